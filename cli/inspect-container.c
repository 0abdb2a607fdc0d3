/* SPDX-License-Identifier: Apache-2.0 */
/* `inspect` of a container: see inspect-container.h. */
#include "cli/inspect-container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/health.h"
#include "cli/run-again.h"
#include "cli/run-image.h"
#include "cli/run-restart.h"
#include "client/handle.h"

static void put_time(struct json_writer *writer, const char *key, uint64_t realtime_ns)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(realtime_ns, text);
	json_put_string(writer, key, text);
}

/* As its watcher has written it. */
static void put_health(struct json_writer *writer, const struct handle *handle)
{
	_cleanup_free_ char *path = state_path(handle->root, handle->id, HEALTH_FILE);
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (read_regular_file(path, HEALTH_TEXT_MAX, &text, &size, NULL) == 0 &&
	    json_parse(text, size, path, &value, NULL) == 0)
		json_put_value(writer, "Health", value);
}

static void put_state(struct json_writer *writer, const struct client *client,
		      const struct handle *handle, enum container_status status)
{
	const bool runs = status == STATUS_RUNNING || status == STATUS_PAUSED;
	const bool restarts =
	    !runs && status != STATUS_CREATED && restart_is_watched(client, handle->id);
	uint32_t exit_status = 0;
	uint64_t ended_s = 0;

	if (status == STATUS_STOPPED)
		(void)handle_wait(handle, &exit_status, &ended_s, NULL);
	json_put_key(writer, "State");
	json_begin_object(writer);
	json_put_string(writer, "Status",
			restarts		   ? "restarting"
			: status == STATUS_STOPPED ? "exited"
						   : container_status_name(status));
	json_put_bool(writer, "Running", runs);
	json_put_bool(writer, "Paused", status == STATUS_PAUSED);
	json_put_bool(writer, "Restarting", restarts);
	json_put_int64(writer, "Pid", runs ? handle->state->pid : 0);
	json_put_uint64(writer, "ExitCode", exit_status);
	if (ended_s)
		put_time(writer, "FinishedAt", ended_s * NS_PER_SECOND);
	put_health(writer, handle);
	json_end_object(writer);
}

static void copy_member(struct json_writer *writer, const char *to, const struct json_at *object,
			const char *from)
{
	struct json_at at;

	if (json_present(object) && json_member(object, from, JSON_OPTIONAL, &at, NULL) == 0 &&
	    json_present(&at))
		json_put_value(writer, to, at.value);
}

static void put_labels(struct json_writer *writer, const struct json_at *annotations)
{
	json_put_key(writer, "Labels");
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(annotations); i++) {
		const struct json_at at = json_member_at(annotations, i);

		if (strncmp(at.key, RUN_LABEL_PREFIX, strlen(RUN_LABEL_PREFIX)) == 0)
			json_put_value(writer, at.key + strlen(RUN_LABEL_PREFIX), at.value);
	}
	json_end_object(writer);
}

static int put_config(struct json_writer *writer, const struct handle *handle,
		      struct error **ret_error)
{
	const char *text = handle->state->config ? handle->state->config : "{}";
	struct json_at process = { 0 }, annotations = { 0 };
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_strv_ char **args = NULL;
	struct json_at root;

	if (json_parse(text, strlen(text), "config.json", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	(void)json_object(&root, "process", JSON_OPTIONAL, &process, NULL);
	(void)json_object(&root, "annotations", JSON_OPTIONAL, &annotations, NULL);
	if (json_present(&process))
		(void)json_get_strv(&process, "args", JSON_OPTIONAL, &args, NULL);
	json_put_string(writer, "Path", args ? args[0] : "");
	json_put_strv(writer, "Args", args && args[0] ? args + 1 : (char *[]){ NULL });
	json_put_key(writer, "Config");
	json_begin_object(writer);
	copy_member(writer, "Hostname", &root, "hostname");
	copy_member(writer, "Image", &annotations, ANNOTATION_IMAGE);
	copy_member(writer, "Env", &process, "env");
	copy_member(writer, "WorkingDir", &process, "cwd");
	copy_member(writer, "Tty", &process, "terminal");
	put_labels(writer, &annotations);
	json_end_object(writer);
	copy_member(writer, "Mounts", &root, "mounts");
	return 0;
}

/* One port of the container, with the places that lead to it. */
static void put_port(struct json_writer *writer, const struct publish *publish, unsigned i)
{
	const char *const everywhere[] = { publish->family != AF_INET6 ? "0.0.0.0" : NULL,
					   publish->family != AF_INET ? "::" : NULL };
	const char *const one[] = { publish->address, NULL };
	const char *const *addresses = publish->address[0] ? one : everywhere;
	_cleanup_free_ char *key =
	    xasprintf("%u/%s", publish->guest_port + i, publish->udp ? "udp" : "tcp");
	_cleanup_free_ char *port = xasprintf("%u", publish->host_port + i);

	json_put_key(writer, key);
	json_begin_array(writer);
	for (size_t k = 0; k < ARRAY_SIZE(everywhere); k++) {
		if (!addresses[k])
			continue;
		json_begin_object(writer);
		json_put_string(writer, "HostIp", addresses[k]);
		json_put_string(writer, "HostPort", port);
		json_end_object(writer);
	}
	json_end_array(writer);
}

static void put_network(struct json_writer *writer, const struct client *client, const char *id)
{
	_cleanup_network_options_ struct network_options network = { 0 };

	if (run_again_network(client, id, &network, NULL) < 0)
		return;
	json_put_key(writer, "NetworkSettings");
	json_begin_object(writer);
	json_put_key(writer, "Ports");
	json_begin_object(writer);
	for (size_t i = 0; i < network.n_published; i++)
		for (unsigned k = 0; k < network.published[i].n_ports; k++)
			put_port(writer, &network.published[i], k);
	json_end_object(writer);
	json_end_object(writer);
}

int inspect_container(struct json_writer *writer, const struct client *client, const char *id,
		      struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	enum container_status status;

	if (state_check_id(id, NULL) < 0)
		return error_set(ret_error, ENOENT, "no such container: %s", id);
	if (handle_open(client->root, id, &handle, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	json_begin_object(writer);
	json_put_string(writer, "Id", handle->id);
	json_put_string(writer, "Name", handle->id);
	put_time(writer, "Created", handle->state->created_ns);
	if (put_config(writer, handle, ret_error) < 0)
		return error_wrap(ret_error, "container %s", id);
	put_state(writer, client, handle, status);
	put_network(writer, client, id);
	json_end_object(writer);
	return 0;
}
