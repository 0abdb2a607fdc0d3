/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle of a forked container: see fork-files.h. */
#include "cli/fork-files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "host/root.h"
#include "runtime-spec/machine-options.h"
#include "runtime-spec/mount-options.h"

bool fork_files_is_writable(const struct spec_mount *mount)
{
	struct mount_options options;
	bool is_writable;

	if ((!mount_is_bind(mount) && !mount_is_overlay(mount)) ||
	    mount_options_parse(mount->options, &options, NULL) < 0)
		return false;
	is_writable = !(options.flags & MS_RDONLY) && !(options.recursive_set & MOUNT_ATTR_RDONLY);
	mount_options_done(&options);
	return is_writable;
}

bool fork_files_is_layer(const struct spec *spec)
{
	const struct machine_flags none = { 0 };
	struct machine_options options;

	return machine_options_find(&none, spec, &options, NULL) == 0 &&
	       strcmp(options.rootfs, ROOTFS_LAYER) == 0;
}

/* The string in the document becomes text, which it takes. */
static void set_string(yajl_val value, char *text)
{
	free(value->u.string);
	value->u.string = text;
}

static void add_copy(char ***copies, const char *source, const char *target)
{
	strv_append(copies, source);
	strv_append(copies, target);
}

static int plan_root(const struct spec *spec, const char *bundle, struct fork_files *files,
		     char ***copies, struct error **ret_error)
{
	static const char *const path[] = { "root", "path", NULL };
	yajl_val value = yajl_tree_get(files->config, (const char **)path, yajl_t_string);
	_cleanup_free_ char *root = NULL, *target = xasprintf("%s/rootfs", files->bundle);

	if (root_find(spec, bundle, &root, ret_error) < 0)
		return -1;
	if (spec->root_readonly || fork_files_is_layer(spec)) {
		set_string(value, TAKE_PTR(root));
		return 0;
	}
	add_copy(copies, root, target);
	set_string(value, xstrdup("rootfs"));
	return 0;
}

/* Two mounts of one directory are so again. */
static char *copy_of(char *const *copies, const char *source, const char *bundle)
{
	const size_t length = strlen(bundle);

	for (; copies && *copies; copies += 2)
		if (strcmp(copies[0], source) == 0 && strncmp(copies[1], bundle, length) == 0 &&
		    copies[1][length] == '/')
			return xstrdup(copies[1]);
	return NULL;
}

static int plan_bind(const struct spec_mount *mount, const char *bundle, size_t index,
		     struct fork_files *files, char ***copies, struct error **ret_error)
{
	static const char *const path[] = { "mounts", NULL }, *const member[] = { "source", NULL };
	yajl_val mounts = yajl_tree_get(files->config, (const char **)path, yajl_t_array);
	yajl_val value =
	    yajl_tree_get(mounts->u.array.values[index], (const char **)member, yajl_t_string);
	_cleanup_free_ char *named = mount->source[0] == '/'
					 ? xstrdup(mount->source)
					 : xasprintf("%s/%s", bundle, mount->source);
	_cleanup_free_ char *source = realpath(named, NULL), *target = NULL;

	if (!source)
		return error_set_errno(ret_error, errno, "mounts[%zu]: %s", index, named);
	target = copy_of(*copies, source, files->bundle);
	if (!target && fork_files_is_writable(mount)) {
		target = xasprintf("%s/binds/%zu", files->bundle, index);
		add_copy(copies, source, target);
	}
	set_string(value, target ? TAKE_PTR(target) : TAKE_PTR(source));
	return 0;
}

static int plan_binds(const struct spec *spec, const char *bundle, struct fork_files *files,
		      char ***copies, struct error **ret_error)
{
	/* Those that are only read come second, as they may be of what another writes to. */
	for (size_t i = 0; i < 2 * spec->n_mounts; i++) {
		const size_t index = i % spec->n_mounts;
		const struct spec_mount *mount = &spec->mounts[index];

		if (mount_is_overlay(mount) && fork_files_is_writable(mount))
			return error_set(ret_error, ENOTSUP,
					 "mounts[%zu] (%s): there is no copy of an overlay that is "
					 "written to",
					 index, mount->destination);
		if (mount_is_bind(mount) && mount->source &&
		    fork_files_is_writable(mount) == (i < spec->n_mounts) &&
		    plan_bind(mount, bundle, index, files, copies, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* SOURCE:DESTINATION[:OPTION,…], of which the last of ro and rw counts. */
static bool is_readonly_volume(const char *text)
{
	const char *options = strchr(text, ':');
	_cleanup_free_ char *copy = NULL;
	bool readonly = false;
	char *rest = NULL;

	options = options ? strchr(options + 1, ':') : NULL;
	copy = xstrdup(options ? options + 1 : "");
	for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
			readonly = word[1] == 'o';
	return readonly;
}

static void plan_volumes(struct fork_files *files)
{
	static const char *const path[] = { "annotations", NULL };
	yajl_val annotations = yajl_tree_get(files->config, (const char **)path, yajl_t_object);

	for (size_t i = 0; annotations && i < annotations->u.object.len; i++) {
		yajl_val value = annotations->u.object.values[i];
		const char *key = annotations->u.object.keys[i], *rest;

		if (strncmp(key, ANNOTATION_VOLUME, strlen(ANNOTATION_VOLUME)) != 0 ||
		    !YAJL_IS_STRING(value) || is_readonly_volume(value->u.string))
			continue;
		rest = strchr(value->u.string, ':');
		set_string(value,
			   xasprintf("%s/volumes/%zu%s", files->bundle, i, rest ? rest : ""));
	}
}

int fork_files_plan(const struct state *state, const char *path, struct fork_files *files,
		    char ***copies, struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;

	*files = (struct fork_files){ 0 };
	if (spec_parse(state->config, strlen(state->config), &spec, ret_error) < 0 ||
	    json_parse(state->config, strlen(state->config), "config.json", &files->config,
		       ret_error) < 0 ||
	    absolute_path(path, &files->bundle, ret_error) < 0 ||
	    plan_root(spec, state->bundle, files, copies, ret_error) < 0 ||
	    plan_binds(spec, state->bundle, files, copies, ret_error) < 0)
		return -1;
	plan_volumes(files);
	return 0;
}

int fork_files_begin(struct fork_files *files, struct error **ret_error)
{
	static const char *const names[] = { "binds", "volumes" };

	files->made = mkdir(files->bundle, 0700) == 0;
	if (!files->made)
		return error_set_errno(ret_error, errno, "cannot make the bundle %s",
				       files->bundle);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", files->bundle, names[i]);

		if (mkdir(path, 0700) < 0)
			return error_set_errno(ret_error, errno, "cannot make %s", path);
	}
	return 0;
}

int fork_files_finish(const struct fork_files *files, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", files->bundle);
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	size_t size;

	json_put_value(writer, NULL, files->config);
	text = json_writer_finish(writer, &size);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

void fork_files_keep(struct fork_files *files)
{
	files->made = false;
}

void fork_files_done(struct fork_files *files)
{
	_cleanup_error_ struct error *error = NULL;

	if (files->made && remove_tree(files->bundle, &error) < 0)
		log_warning("%s", error->message);
	json_free(files->config);
	free(files->bundle);
}
