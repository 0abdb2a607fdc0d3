/* SPDX-License-Identifier: Apache-2.0 */
/* A container's directory below --root, and the OCI state object: see state.h. */
#include "runtime-spec/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/user.h"
#include "runtime-spec/spec.h"

/* config.json is inside as a string: every byte of it may need an escape. */
#define STATE_SIZE_MAX (8u * SPEC_SIZE_MAX)

const char *container_status_name(enum container_status status)
{
	static const char *const names[] = {
		[STATUS_CREATING] = "creating", [STATUS_CREATED] = "created",
		[STATUS_RUNNING] = "running",	[STATUS_PAUSED] = "paused",
		[STATUS_STOPPED] = "stopped",
	};

	return names[status];
}

int state_check_id(const char *id, struct error **ret_error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_+.-";
	size_t length = strlen(id);

	if (length == 0)
		return error_set(ret_error, EINVAL, "container id cannot be empty");
	if (length > STATE_ID_MAX)
		return error_set(ret_error, EINVAL,
				 "invalid container ID format: longer than %d characters",
				 STATE_ID_MAX);
	if (strspn(id, allowed) != length || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return error_set(ret_error, EINVAL, "invalid container ID format");
	return 0;
}

char *state_path(const char *root, const char *id, const char *name)
{
	return name ? xasprintf("%s/%s/%s", root, id, name) : xasprintf("%s/%s", root, id);
}

int state_save(const char *root, const struct state *state, struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(root, state->id, "state.json");
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	size_t size;

	json_begin_object(writer);
	json_put_string(writer, "id", state->id);
	json_put_string(writer, "bundle", state->bundle);
	json_put_string(writer, "rootfs", state->rootfs);
	json_put_int64(writer, "pid", state->pid);
	json_put_uint64(writer, "pidStart", state->pid_start);
	json_put_int64(writer, "serverPid", state->server_pid);
	json_put_uint64(writer, "serverStart", state->server_start);
	json_put_uint64(writer, "created", state->created_ns);
	json_put_uint64(writer, "owner", state->owner);
	if (state->machine_of)
		json_put_string(writer, "machineOf", state->machine_of);
	json_put_string(writer, "config", state->config);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

static int parse_pid(const struct json_at *root, const char *key, pid_t *ret_pid,
		     struct error **ret_error)
{
	int64_t pid = 0;

	if (json_get_int64(root, key, JSON_REQUIRED, 0, INT32_MAX, &pid, ret_error) < 0)
		return -1;
	*ret_pid = (pid_t)pid;
	return 0;
}

static int parse_state(const struct json_at *root, struct state *state, struct error **ret_error)
{
	if (json_get_string(root, "id", JSON_REQUIRED, &state->id, ret_error) < 0 ||
	    json_get_string(root, "bundle", JSON_REQUIRED, &state->bundle, ret_error) < 0 ||
	    json_get_string(root, "rootfs", JSON_REQUIRED, &state->rootfs, ret_error) < 0 ||
	    parse_pid(root, "pid", &state->pid, ret_error) < 0 ||
	    json_get_uint64(root, "pidStart", JSON_REQUIRED, UINT64_MAX, &state->pid_start,
			    ret_error) < 0 ||
	    parse_pid(root, "serverPid", &state->server_pid, ret_error) < 0 ||
	    json_get_uint64(root, "serverStart", JSON_REQUIRED, UINT64_MAX, &state->server_start,
			    ret_error) < 0 ||
	    json_get_uint64(root, "created", JSON_REQUIRED, UINT64_MAX, &state->created_ns,
			    ret_error) < 0 ||
	    json_get_uint32(root, "owner", JSON_REQUIRED, &state->owner, ret_error) < 0)
		return -1;
	if (json_get_string(root, "machineOf", JSON_OPTIONAL, &state->machine_of, ret_error) < 0 ||
	    (state->machine_of && state_check_id(state->machine_of, ret_error) < 0))
		return -1;
	return json_get_string(root, "config", JSON_OPTIONAL, &state->config, ret_error);
}

int state_load(const char *root, const char *id, struct state **ret_state, struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(root, id, "state.json");
	_cleanup_(state_freep) struct state *state = NULL;
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_at at;
	struct stat st;
	size_t size;

	if (state_check_id(id, ret_error) < 0)
		return -1;
	if (stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_set(ret_error, ENOENT, "container does not exist: %s", id);
	if (read_file(path, STATE_SIZE_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, path, &value, ret_error) < 0)
		return -1;
	state = xcalloc(1, sizeof(*state));
	at = json_root(value);
	if (json_as_object(&at, ret_error) < 0 || parse_state(&at, state, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	if (strcmp(state->id, id) != 0)
		return error_set(ret_error, EINVAL, "%s is of another container, %s", path,
				 state->id);
	*ret_state = TAKE_PTR(state);
	return 0;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	free(state->id);
	free(state->bundle);
	free(state->rootfs);
	free(state->machine_of);
	free(state->config);
	free(state);
}

static void put_annotations(struct json_writer *writer, const struct state *state)
{
	_cleanup_json_ yajl_val config = NULL;
	struct json_at root, annotations;

	if (!state->config ||
	    json_parse(state->config, strlen(state->config), "config.json", &config, NULL) < 0)
		return;
	root = json_root(config);
	if (json_object(&root, "annotations", JSON_OPTIONAL, &annotations, NULL) == 0 &&
	    json_length(&annotations) > 0)
		json_put_value(writer, "annotations", annotations.value);
}

char *state_json(const struct state *state, enum container_status status, bool pretty)
{
	struct json_writer *writer = json_writer_new(pretty);
	_cleanup_free_ char *owner = user_name(state->owner);
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(state->created_ns, created);
	json_begin_object(writer);
	json_put_string(writer, "ociVersion", SPEC_VERSION);
	json_put_string(writer, "id", state->id);
	json_put_int64(writer, "pid", status == STATUS_STOPPED ? 0 : state->pid);
	json_put_string(writer, "status", container_status_name(status));
	json_put_string(writer, "bundle", state->bundle);
	json_put_string(writer, "rootfs", state->rootfs);
	json_put_string(writer, "created", created);
	put_annotations(writer, state);
	json_put_string(writer, "owner", owner);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}
