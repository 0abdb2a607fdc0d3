/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have which annotations: see allow.h. */
#include "host/allow.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/machine-options.h"

/* They open nothing of the host, and take nothing from another pod (decision 006). */
#define DEFAULT_OPTIONS                                                                            \
	(1U << MACHINE_VCPUS | 1U << MACHINE_MEMORY | 1U << MACHINE_CACHE | 1U << MACHINE_ACCEL)
/* containerd's CRI plugin and CRI-O ("…cri-o.") mark each container of a pod so, and a pod's
 * author cannot take it away. */
#define POD "io.kubernetes.cri"

void allow_done(struct allow *allow)
{
	strv_free(allow->paths);
	*allow = (struct allow){ 0 };
}

/* ---- the configuration file ---- */

static int check_keys(const struct json_at *object, struct error **ret_error)
{
	for (size_t i = 0; i < json_length(object); i++) {
		struct json_at member = json_member_at(object, i);

		if (strcmp(member.key, "annotations") != 0 && strcmp(member.key, "paths") != 0)
			return json_error(&member, ret_error,
					  "unknown key (known: annotations, paths)");
	}
	return 0;
}

static int read_options(const struct json_at *object, struct allow *allow, struct error **ret_error)
{
	_cleanup_strv_ char **words = NULL;

	if (json_get_strv(object, "annotations", JSON_OPTIONAL, &words, ret_error) < 0)
		return -1;
	allow->has_options = words;
	for (size_t i = 0; words && words[i]; i++) {
		enum machine_option option = machine_option_of_word(words[i]);

		if (option == MACHINE_OPTIONS)
			return error_set(
			    ret_error, EINVAL,
			    "allow.annotations[%zu]: unknown annotation \"%s\" (known: "
			    "vcpus, memory, cache, accel, rootfs, kernel, volume, "
			    "socket)",
			    i, words[i]);
		allow->options |= 1U << option;
	}
	return 0;
}

static int read_paths(const struct json_at *object, struct allow *allow, struct error **ret_error)
{
	if (json_get_strv(object, "paths", JSON_OPTIONAL, &allow->paths, ret_error) < 0)
		return -1;
	for (size_t i = 0; allow->paths && allow->paths[i]; i++) {
		char *path = allow->paths[i];
		size_t length = strlen(path);

		if (path[0] != '/')
			return error_set(ret_error, EINVAL,
					 "allow.paths[%zu]: must be an absolute path", i);
		while (length > 0 && path[length - 1] == '/')
			path[--length] = '\0';
	}
	return 0;
}

int allow_read(const struct json_at *settings, struct allow *allow, struct error **ret_error)
{
	struct json_at object;

	if (json_object(settings, "allow", JSON_OPTIONAL, &object, ret_error) < 0)
		return -1;
	if (!json_present(&object))
		return 0;
	if (check_keys(&object, ret_error) < 0 || read_options(&object, allow, ret_error) < 0)
		return -1;
	return read_paths(&object, allow, ret_error);
}

/* ---- the rule ---- */

static bool is_of_pod(const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_annotations; i++)
		if (strncmp(spec->annotations[i].key, POD, strlen(POD)) == 0)
			return true;
	return false;
}

const struct allow *allow_for(const struct allow *allow, const struct spec *spec,
			      const char *namespace)
{
	return namespace || is_of_pod(spec) ? allow : NULL;
}

static int check_annotation(const struct allow *allow, const char *key, struct error **ret_error)
{
	enum machine_option option = machine_option_of_annotation(key);
	uint32_t allowed;

	if (option == MACHINE_OPTIONS)
		return error_set(ret_error, EINVAL, "annotations[\"%s\"]: unknown annotation", key);
	if (!allow)
		return 0;
	allowed = allow->has_options ? allow->options : DEFAULT_OPTIONS;
	if (allowed & 1U << option)
		return 0;
	return error_set(ret_error, EPERM,
			 "annotations[\"%s\"]: not allowed for containers of containerd and of "
			 "pods: to allow it, add \"%s\" to allow.annotations in the configuration "
			 "file",
			 key, machine_option_word(option));
}

int allow_check(const struct allow *allow, const struct spec *spec, struct error **ret_error)
{
	for (size_t i = 0; i < spec->n_annotations; i++) {
		const char *key = spec->annotations[i].key;

		if (strncmp(key, ANNOTATION_OURS, strlen(ANNOTATION_OURS)) == 0 &&
		    check_annotation(allow, key, ret_error) < 0)
			return -1;
	}
	return 0;
}

const char *const *allow_paths(const struct allow *allow)
{
	static const char *const none[] = { NULL };

	if (!allow)
		return NULL;
	return allow->paths ? (const char *const *)allow->paths : none;
}

int allow_refuse_path(const char *path, struct error **ret_error)
{
	return error_set(ret_error, EPERM,
			 "%s does not lie below a directory of allow.paths in the configuration "
			 "file (links that lead out, and absolute ones, are refused)",
			 path);
}
