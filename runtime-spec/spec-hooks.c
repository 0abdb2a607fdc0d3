/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's `mounts` and `hooks`: runtime-spec config.md "Mounts", "POSIX-platform Hooks". */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/alloc.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/spec-internal.h"

static int read_mount(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_mount *mount = element;

	if (spec_get_text(at, "destination", JSON_REQUIRED, &mount->destination, ret_error) < 0 ||
	    spec_get_text(at, "type", JSON_OPTIONAL, &mount->type, ret_error) < 0 ||
	    spec_get_text(at, "source", JSON_OPTIONAL, &mount->source, ret_error) < 0 ||
	    json_get_strv(at, "options", JSON_OPTIONAL, &mount->options, ret_error) < 0 ||
	    spec_read_id_mappings(at, "uidMappings", &mount->uid_mappings, &mount->n_uid_mappings,
				  ret_error) < 0)
		return -1;
	return spec_read_id_mappings(at, "gidMappings", &mount->gid_mappings,
				     &mount->n_gid_mappings, ret_error);
}

/* The spec forbids it, but runc takes it so, and callers rely on that. */
static void make_absolute(struct spec_mount *mount, char ***warnings)
{
	_cleanup_free_ char *written = mount->destination;
	_cleanup_free_ char *warning = NULL;

	mount->destination = xasprintf("/%s", written);
	warning = xasprintf("mount destination %s not absolute: taken as %s", written,
			    mount->destination);
	strv_append(warnings, warning);
}

/* What is mounted in the guest cannot appear on the host. */
static void warn_of_shared(const struct spec_mount *mount, char ***warnings)
{
	for (size_t i = 0; mount->options && mount->options[i]; i++) {
		_cleanup_free_ char *warning = NULL;

		if (!(mount_propagation(mount->options[i]) & MS_SHARED))
			continue;
		warning = xasprintf("mount %s: a microVM's mounts do not reach the host: \"%s\" is "
				    "taken as \"rslave\"",
				    mount->destination, mount->options[i]);
		strv_append(warnings, warning);
		break;
	}
}

/* With the host's pid namespace, callers without root bind its /proc in, as they may mount none:
 * the container has the guest's processes, and so the guest's /proc. */
static void own_proc(struct spec_mount *mount, char ***warnings)
{
	_cleanup_free_ char *warning = NULL;
	size_t n = 0;

	if (strcmp(mount->destination, "/proc") != 0 || !mount->source ||
	    strcmp(mount->source, "/proc") != 0)
		return;
	warning = xasprintf("mount %s: a microVM has the guest's processes, not the host's",
			    mount->destination);
	strv_append(warnings, warning);
	free(mount->type);
	mount->type = xstrdup("proc");
	for (size_t i = 0; mount->options && mount->options[i]; i++) {
		if (strcmp(mount->options[i], "bind") == 0 ||
		    strcmp(mount->options[i], "rbind") == 0)
			free(mount->options[i]);
		else
			mount->options[n++] = mount->options[i];
	}
	if (mount->options)
		mount->options[n] = NULL;
}

int spec_read_mounts(const struct json_at *root, struct spec *spec, struct error **ret_error)
{
	if (spec_get_list(root, "mounts", JSON_OPTIONAL, sizeof(struct spec_mount), read_mount,
			  &spec->mounts, &spec->n_mounts, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (spec->mounts[i].destination[0] != '/')
			make_absolute(&spec->mounts[i], &spec->warnings);
		if (mount_is_bind(&spec->mounts[i]))
			own_proc(&spec->mounts[i], &spec->warnings);
		if (mount_is_bind(&spec->mounts[i]))
			warn_of_shared(&spec->mounts[i], &spec->warnings);
	}
	return 0;
}

void spec_mounts_done(struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		free(spec->mounts[i].destination);
		free(spec->mounts[i].type);
		free(spec->mounts[i].source);
		free(spec->mounts[i].uid_mappings);
		free(spec->mounts[i].gid_mappings);
		strv_free(spec->mounts[i].options);
	}
	free(spec->mounts);
}

static int read_hook(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_hook *hook = element;
	int64_t timeout = 0;

	if (spec_get_path(at, "path", JSON_REQUIRED, &hook->path, ret_error) < 0 ||
	    json_get_strv(at, "args", JSON_OPTIONAL, &hook->args, ret_error) < 0 ||
	    json_get_strv(at, "env", JSON_OPTIONAL, &hook->env, ret_error) < 0 ||
	    /* config.md: "If set, timeout MUST be greater than zero." */
	    json_get_int64(at, "timeout", JSON_OPTIONAL, 1, UINT32_MAX, &timeout, ret_error) < 0)
		return -1;
	hook->timeout_seconds = (uint32_t)timeout;
	return 0;
}

static int read_hook_list(const struct json_at *hooks, const char *key, struct spec_hook_list *list,
			  struct error **ret_error)
{
	return spec_get_list(hooks, key, JSON_OPTIONAL, sizeof(struct spec_hook), read_hook,
			     &list->hooks, &list->n_hooks, ret_error);
}

int spec_read_hooks(const struct json_at *root, struct spec_hooks *ret_hooks,
		    struct error **ret_error)
{
	struct json_at at;

	if (json_object(root, "hooks", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (read_hook_list(&at, "prestart", &ret_hooks->prestart, ret_error) < 0 ||
	    read_hook_list(&at, "createRuntime", &ret_hooks->create_runtime, ret_error) < 0 ||
	    read_hook_list(&at, "createContainer", &ret_hooks->create_container, ret_error) < 0 ||
	    read_hook_list(&at, "startContainer", &ret_hooks->start_container, ret_error) < 0 ||
	    read_hook_list(&at, "poststart", &ret_hooks->poststart, ret_error) < 0)
		return -1;
	return read_hook_list(&at, "poststop", &ret_hooks->poststop, ret_error);
}

static void hook_list_done(struct spec_hook_list *list)
{
	for (size_t i = 0; i < list->n_hooks; i++) {
		free(list->hooks[i].path);
		strv_free(list->hooks[i].args);
		strv_free(list->hooks[i].env);
	}
	free(list->hooks);
}

void spec_hooks_done(struct spec_hooks *hooks)
{
	hook_list_done(&hooks->prestart);
	hook_list_done(&hooks->create_runtime);
	hook_list_done(&hooks->create_container);
	hook_list_done(&hooks->start_container);
	hook_list_done(&hooks->poststart);
	hook_list_done(&hooks->poststop);
}
