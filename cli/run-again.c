/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of images that are started again: see run-again.h. */
#include "cli/run-again.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "cli/run-container.h"
#include "cli/run-output.h"
#include "cli/run-restart.h"
#include "cli/run-volumes.h"
#include "client/delete.h"
#include "host/volumes.h"

#define SAVED_MAX (1u << 20)

/* What is kept, and what the new container needs meanwhile. */
struct again {
	const struct client *client;
	struct create_options options;
	char *network, *kernel, *accel, *cache, *restart, *store_path;
	char **publish, **layers, **changes;
	struct image_store *store;
	char *volumes, *marks, *input;
	struct run_fills fills;
	struct run_log log;
	const struct restart_again *watcher; /* NULL: somebody asks for it */
};

static void again_done(struct again *again)
{
	run_log_done(&again->log);
	run_fills_done(&again->fills);
	image_store_close(again->store);
	free(again->network);
	free(again->kernel);
	free(again->accel);
	free(again->cache);
	free(again->restart);
	free(again->store_path);
	strv_free(again->publish);
	strv_free(again->layers);
	strv_free(again->changes);
	free(again->volumes);
	free(again->marks);
	free(again->input);
}

int run_again_save(const char *bundle, const struct create_options *options, char *const *layers,
		   const char *restart, const char *store, const struct run_log *log,
		   char *const *changes, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" RUN_AGAIN_FILE, bundle), *text = NULL;
	struct json_writer *writer = json_writer_new(true);
	size_t size;

	json_begin_object(writer);
	json_put_string(writer, "network", options->network);
	json_put_string(writer, "kernel", options->kernel);
	json_put_string(writer, "accel", options->accel);
	json_put_string(writer, "cache", options->cache);
	json_put_string(writer, "restart", restart);
	json_put_string(writer, "store", store);
	json_put_uint64(writer, "vcpus", options->vcpus);
	json_put_strv(writer, "publish", (char *const *)options->publish);
	json_put_strv(writer, "layers", layers);
	json_put_strv(writer, "changes", changes);
	run_log_put(writer, log);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

static int load_text(const char *path, const char *container_root, const char *id,
		     struct again *again, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_at root;
	size_t size;

	if (read_regular_file(path, SAVED_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_get_string(&root, "network", JSON_OPTIONAL, &again->network, ret_error) < 0 ||
	    json_get_string(&root, "kernel", JSON_OPTIONAL, &again->kernel, ret_error) < 0 ||
	    json_get_string(&root, "accel", JSON_OPTIONAL, &again->accel, ret_error) < 0 ||
	    json_get_string(&root, "cache", JSON_OPTIONAL, &again->cache, ret_error) < 0 ||
	    json_get_string(&root, "restart", JSON_OPTIONAL, &again->restart, ret_error) < 0 ||
	    json_get_string(&root, "store", JSON_OPTIONAL, &again->store_path, ret_error) < 0 ||
	    json_get_uint64(&root, "vcpus", JSON_REQUIRED, UINT32_MAX, &again->options.vcpus,
			    ret_error) < 0 ||
	    json_get_strv(&root, "publish", JSON_REQUIRED, &again->publish, ret_error) < 0 ||
	    json_get_strv(&root, "layers", JSON_REQUIRED, &again->layers, ret_error) < 0 ||
	    json_get_strv(&root, "changes", JSON_OPTIONAL, &again->changes, ret_error) < 0 ||
	    run_log_get(&root, container_root, id, &again->log, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	return 0;
}

/* What was loaded, as options. */
static void take_options(struct again *again)
{
	again->options.detach = true;
	again->options.network = again->network;
	again->options.kernel = again->kernel;
	again->options.accel = again->accel;
	again->options.cache = again->cache;
	again->options.publish =
	    again->publish && again->publish[0] ? (const char **)again->publish : NULL;
}

static int load(const struct client *client, const char *id, struct again *again,
		struct error **ret_error)
{
	_cleanup_free_ char *path =
	    state_path(client->root, id, CREATE_IMAGE_BUNDLE "/" RUN_AGAIN_FILE);

	again->client = client;
	if (load_text(path, client->root, id, again, ret_error) < 0)
		return -1;
	take_options(again);
	return 0;
}

int run_again_copy(const char *from, const char *bundle, const struct create_options *options,
		   const char *store, const struct run_log *log, struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/" RUN_AGAIN_FILE, from);

	if (load_text(path, "", "", &again, ret_error) < 0)
		return -1;
	take_options(&again);
	if (options->network || options->publish || options->unpublished)
		again.options.publish = options->publish;
	if (options->network)
		again.options.network = options->network;
	return run_again_save(bundle, &again.options, again.layers, NULL, store, log, again.changes,
			      ret_error);
}

int run_again_store(const struct client *client, const char *id, char **ret_path,
		    struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };

	if (load(client, id, &again, ret_error) < 0)
		return -1;
	*ret_path = TAKE_PTR(again.store_path);
	return 0;
}

int run_again_network(const struct client *client, const char *id,
		      struct network_options *ret_network, struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };

	if (load(client, id, &again, ret_error) < 0)
		return -1;
	return network_options_read("passt", (const char *const *)again.publish,
				    strv_length(again.publish), ret_network, ret_error);
}

int run_again_changes(const struct client *client, const char *id, char ***ret_changes,
		      struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };
	_cleanup_error_ struct error *error = NULL;

	if (load(client, id, &again, &error) < 0 && error->code != ENOENT)
		return error_set(ret_error, error->code, "%s", error->message);
	*ret_changes = TAKE_PTR(again.changes);
	return 0;
}

int run_again_log(const char *bundle, const char *root, const char *id, struct run_log *ret_log,
		  struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/" RUN_AGAIN_FILE, bundle);

	if (load_text(path, root, id, &again, ret_error) < 0)
		return -1;
	*ret_log = again.log;
	again.log.path = NULL;
	return 0;
}

int run_again_reader(const struct client *client, const char *id, char **ret_path,
		     struct log_reader **ret_reader, struct error **ret_error)
{
	_cleanup_free_ char *bundle = state_path(client->root, id, CREATE_IMAGE_BUNDLE);
	_cleanup_(run_log_done) struct run_log log = { 0 };
	_cleanup_error_ struct error *error = NULL;

	if (run_again_log(bundle, client->root, id, &log, &error) < 0 && error->code != ENOENT)
		return error_set(ret_error, error->code, "%s", error->message);
	if (!log.path)
		return error_set(ret_error, ENOENT,
				 "container %s keeps no output: only containers of images that "
				 "are run with -d do, unless by --log-driver none",
				 id);
	if (log_reader_open(log.path, &log.rule, ret_reader, ret_error) < 0)
		return -1;
	if (ret_path)
		*ret_path = TAKE_PTR(log.path);
	return 0;
}

/* It is a user of its volumes already, which somebody may have emptied. */
static int take_volumes(struct again *again, int cancel_fd, struct error **ret_error)
{
	_cleanup_free_ struct run_volume *volumes = NULL;
	_cleanup_strv_ char **names = NULL;
	size_t n;

	if (volumes_used(again->marks, &names, ret_error) < 0)
		return -1;
	n = strv_length(names);
	volumes = xcalloc(n + 1, sizeof(*volumes));
	for (size_t i = 0; i < n; i++)
		volumes[i].name = names[i];
	return run_volumes_take(again->volumes, again->marks, volumes, n, cancel_fd, &again->fills,
				ret_error);
}

static int prepare(void *data, const char *directory, int cancel_fd, struct error **ret_error)
{
	struct again *again = data;

	(void)directory;
	return take_volumes(again, cancel_fd, ret_error);
}

static void created(void *data)
{
	struct again *again = data;

	run_fills_finish(&again->fills);
}

/* `stop` came while it was made: as if it had ended. */
static int start_unless_stopped(const struct again *again, struct handle *handle,
				struct error **ret_error)
{
	if (!again->watcher || restart_check(again->watcher, handle->state, ret_error) == 0)
		return run_start(handle, ret_error);
	(void)end_container(handle, true, NULL);
	return -1;
}

static int make_and_start(struct again *again, struct handle *handle, struct error **ret_error)
{
	_cleanup_free_ char *config = xstrdup(handle->state->config);
	const struct create_image image = { .config = config,
					    .layers = again->layers,
					    .output = again->log.path,
					    .output_rule = again->log.rule,
					    .input = access(again->input, F_OK) == 0 ? again->input
										     : NULL,
					    .prepare = prepare,
					    .created = created,
					    .data = again };
	struct created made;
	int result;

	again->options.image = &image;
	result = create_container_again(again->client, &again->options, handle, &made, ret_error);
	if (result == 0) {
		pty_close(&made.pty);
		result = start_unless_stopped(again, handle, ret_error);
	}
	return result;
}

static int start_it(const struct client *client, const char *image_store, const char *id,
		    const struct restart_again *watcher, struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { .watcher = watcher };
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;
	enum container_status status;

	if (handle_open_locked(client->root, id, &handle, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0 ||
	    (watcher && restart_check(watcher, handle->state, ret_error) < 0))
		return -1;
	if (status != STATUS_STOPPED)
		return error_set(ret_error, EBUSY, "container %s is %s", id,
				 container_status_name(status));
	if (load(client, id, &again, &error) < 0) {
		if (error->code == ENOENT)
			return error_set(ret_error, EBUSY,
					 "cannot start a container that has stopped");
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	/* Where its volumes are, whatever the caller's is. */
	if (image_store_open(again.store_path ? again.store_path : image_store, &again.store,
			     ret_error) < 0)
		return -1;
	again.volumes = run_volumes_directory(again.store);
	again.marks = run_volumes_marks(client, id);
	again.input = state_path(client->root, id, RUN_INPUT_FILE);
	return make_and_start(&again, handle, ret_error);
}

int run_again(const struct restart_again *watcher, struct error **ret_error)
{
	return start_it(watcher->client, watcher->image_store, watcher->id, watcher, ret_error);
}

int run_again_asked(const struct client *client, const char *image_store, const char *id,
		    struct error **ret_error)
{
	_cleanup_(again_done) struct again again = { 0 };
	const bool was_stopped = restart_is_stopped(client, id);
	struct restart_policy policy;

	if (load(client, id, &again, NULL) == 0 &&
	    (restart_policy_parse(again.restart, &policy, ret_error) < 0 ||
	     /* Before it can end again: from then on, a `stop` is a new one. */
	     restart_set_stopped(client, id, false, ret_error) < 0))
		return -1;
	if (start_it(client, image_store, id, NULL, ret_error) < 0) {
		if (was_stopped)
			(void)restart_set_stopped(client, id, true, NULL);
		return -1;
	}
	return restart_watch(client, image_store, id, &policy, run_again, ret_error);
}

/* Files of the bundle are where they were. */
static void put_mount(struct json_writer *writer, const struct json_at *mount, const char *bundle)
{
	_cleanup_free_ char *type = NULL, *source = NULL, *path = NULL;
	bool is_own;

	(void)json_get_string(mount, "type", JSON_OPTIONAL, &type, NULL);
	(void)json_get_string(mount, "source", JSON_OPTIONAL, &source, NULL);
	is_own = type && source && strcmp(type, "bind") == 0 && source[0] != '/';
	if (is_own)
		path = xasprintf("%s/%s", bundle, source);
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(mount); i++) {
		const struct json_at at = json_member_at(mount, i);

		if (is_own && strcmp(at.key, "source") == 0)
			json_put_string(writer, at.key, path);
		else
			json_put_value(writer, at.key, at.value);
	}
	json_end_object(writer);
}

static void put_mounts(struct json_writer *writer, const struct json_at *mounts, const char *bundle)
{
	json_put_key(writer, mounts->key);
	json_begin_array(writer);
	for (size_t i = 0; i < json_length(mounts); i++) {
		const struct json_at mount = json_element(mounts, i);

		put_mount(writer, &mount, bundle);
	}
	json_end_array(writer);
}

/* With a program that each container has: its own may be what is to be mended. */
static int make_idle_config(const char *config, const char *bundle, char **ret_config,
			    struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL, args = NULL;
	static const char idle[] = "[\"/proc/self/exe\"]";
	struct json_writer *writer;
	struct json_at root, process;

	if (json_parse(config, strlen(config), "config.json", &value, ret_error) < 0 ||
	    json_parse(idle, strlen(idle), "args", &args, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_object(&root, "process", JSON_REQUIRED, &process, ret_error) < 0)
		return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(&root); i++) {
		const struct json_at at = json_member_at(&root, i);

		if (strcmp(at.key, "mounts") == 0)
			put_mounts(writer, &at, bundle);
		else if (strcmp(at.key, "process") != 0)
			json_put_value(writer, at.key, at.value);
	}
	json_put_key(writer, "process");
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(&process); i++) {
		const struct json_at at = json_member_at(&process, i);

		json_put_value(writer, at.key, strcmp(at.key, "args") == 0 ? args : at.value);
	}
	json_end_object(writer);
	json_end_object(writer);
	*ret_config = json_writer_finish(writer, NULL);
	return 0;
}

static int make_idle(struct again *again, const struct client *client, const char *id,
		     const char *config, struct handle **ret_handle, struct error **ret_error)
{
	const struct create_image image = { .config = config, .layers = again->layers };
	struct created made;

	again->options.image = &image;
	again->options.network = "none";
	again->options.publish = NULL;
	if (create_container(client, &again->options, id, &made, ret_error) < 0)
		return -1;
	pty_close(&made.pty);
	interrupts_let_through(&made.interrupts);
	made.handle->cancel_fd = -1;
	*ret_handle = made.handle;
	return 0;
}

int run_again_idle(const struct client *client, const struct handle *stopped,
		   struct handle **ret_handle, struct error **ret_error)
{
	_cleanup_free_ char *root = idle_root(client->root, stopped->id), *config = NULL;
	_cleanup_(again_done) struct again again = { 0 };
	struct client below = *client;

	below.root = root;
	if (load(client, stopped->id, &again, ret_error) < 0 ||
	    make_idle_config(stopped->state->config, stopped->state->bundle, &config, ret_error) <
		0 ||
	    idle_end(client->root, stopped->id, ret_error) < 0 ||
	    make_directories(root, 0700, ret_error) < 0)
		return -1;
	if (make_idle(&again, &below, stopped->id, config, ret_handle, ret_error) == 0)
		return 0;
	(void)idle_end(client->root, stopped->id, NULL);
	return error_wrap(ret_error, "a machine for its files");
}
