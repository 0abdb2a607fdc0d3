/* SPDX-License-Identifier: Apache-2.0 */
/* config.json as a whole: see spec.h. The parts are in spec-*.c. */
#include "runtime-spec/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "runtime-spec/spec-internal.h"

/* SemVer 2.0 of major version 1: "1.", digits, ".", digits, and maybe "-dev" or "+x". */
static int read_version(const struct json_at *root, struct spec *spec, struct error **ret_error)
{
	static const char digits[] = "0123456789";
	const struct json_at at = { .parent = root, .key = "ociVersion" };
	const char *p;
	size_t minor, patch;

	if (spec_get_text(root, "ociVersion", JSON_REQUIRED, &spec->oci_version, ret_error) < 0)
		return -1;
	p = spec->oci_version;
	if (strncmp(p, "1.", 2) != 0)
		return json_error(&at, ret_error, "version \"%s\" is not supported, 1.x.y is", p);
	minor = strspn(p + 2, digits);
	if (minor == 0 || p[2 + minor] != '.')
		return json_error(&at, ret_error, "\"%s\" is not a version (MAJOR.MINOR.PATCH)", p);
	patch = strspn(p + 3 + minor, digits);
	if (patch == 0 || !strchr("-+", p[3 + minor + patch]))
		return json_error(&at, ret_error, "\"%s\" is not a version (MAJOR.MINOR.PATCH)", p);
	return 0;
}

static int read_root(const struct json_at *root, struct spec *spec, struct error **ret_error)
{
	struct json_at at;

	if (json_object(root, "root", JSON_REQUIRED, &at, ret_error) < 0 ||
	    spec_get_text(&at, "path", JSON_REQUIRED, &spec->root_path, ret_error) < 0)
		return -1;
	return json_get_bool(&at, "readonly", JSON_OPTIONAL, &spec->root_readonly, ret_error);
}

static int read_sections(const struct json_at *root, struct spec *spec, struct error **ret_error)
{
	struct json_at process, linux_, vm;

	if (json_object(root, "process", JSON_OPTIONAL, &process, ret_error) < 0 ||
	    json_object(root, "linux", JSON_OPTIONAL, &linux_, ret_error) < 0 ||
	    json_object(root, "vm", JSON_OPTIONAL, &vm, ret_error) < 0)
		return -1;
	spec->has_process = json_present(&process);
	if (spec->has_process && spec_read_process(&process, &spec->process, ret_error) < 0)
		return -1;
	spec->has_linux = json_present(&linux_);
	if (spec->has_linux && spec_read_linux(&linux_, &spec->linux_, ret_error) < 0)
		return -1;
	spec->has_vm = json_present(&vm);
	if (spec->has_vm && spec_read_vm(&vm, &spec->vm, ret_error) < 0)
		return -1;
	return 0;
}

int spec_parse(const char *text, size_t size, struct spec **ret_spec, struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (size > SPEC_SIZE_MAX)
		return error_set(ret_error, EFBIG, "config.json is larger than %u bytes",
				 SPEC_SIZE_MAX);
	if (json_parse(text, size, "config.json", &value, ret_error) < 0)
		return -1;
	spec = xcalloc(1, sizeof(*spec));
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 || read_version(&root, spec, ret_error) < 0 ||
	    read_root(&root, spec, ret_error) < 0 ||
	    spec_get_text(&root, "hostname", JSON_OPTIONAL, &spec->hostname, ret_error) < 0 ||
	    spec_get_text(&root, "domainname", JSON_OPTIONAL, &spec->domainname, ret_error) < 0 ||
	    spec_read_mounts(&root, spec, ret_error) < 0 ||
	    spec_read_hooks(&root, &spec->hooks, ret_error) < 0 ||
	    spec_get_map(&root, "annotations", &spec->annotations, &spec->n_annotations,
			 ret_error) < 0 ||
	    read_sections(&root, spec, ret_error) < 0)
		return -1;
	*ret_spec = TAKE_PTR(spec);
	return 0;
}

/* config-linux.md "Namespaces": one that is not named is the runtime's own, which is the host's. */
static void warn_of_host_namespaces(const struct spec *spec)
{
	static const enum spec_namespace_type types[] = { SPEC_NS_PID, SPEC_NS_NETWORK, SPEC_NS_IPC,
							  SPEC_NS_UTS };
	_cleanup_free_ char *names = xstrdup("");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		char *longer;

		if (spec->linux_.namespaces[types[i]].present)
			continue;
		longer =
		    xasprintf("%s%s%s", names, names[0] ? ", " : "", spec_namespace_name(types[i]));
		free(names);
		names = longer;
	}
	if (names[0])
		log_warning("namespaces of the host cannot be shared with a microVM: %s: the "
			    "guest's are used",
			    names);
}

void spec_log_warnings(const struct spec *spec)
{
	warn_of_host_namespaces(spec);
	for (size_t i = 0; spec->warnings && spec->warnings[i]; i++)
		log_warning("%s", spec->warnings[i]);
	spec_process_log_warnings(&spec->process);
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	free(spec->oci_version);
	free(spec->root_path);
	free(spec->hostname);
	free(spec->domainname);
	spec_mounts_done(spec);
	spec_process_done(&spec->process);
	spec_hooks_done(&spec->hooks);
	spec_map_done(spec->annotations, spec->n_annotations);
	spec_linux_done(&spec->linux_);
	spec_vm_done(&spec->vm);
	strv_free(spec->warnings);
	free(spec);
}

const char *spec_annotation(const struct spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_annotations; i++)
		if (strcmp(spec->annotations[i].key, key) == 0)
			return spec->annotations[i].value;
	return NULL;
}
