/* SPDX-License-Identifier: Apache-2.0 */
/* `run` of an image: see run-image.h. */
#include "cli/run-image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "cli/images.h"
#include "cli/run-again.h"
#include "cli/run-changes.h"
#include "cli/run-container.h"
#include "cli/run-disk.h"
#include "cli/run-log.h"
#include "cli/run-output.h"
#include "cli/run-ports.h"
#include "cli/run-request.h"
#include "cli/run-restart.h"
#include "cli/run-words.h"
#include "client/delete.h"
#include "host/network-options.h"
#include "host/passt.h"
#include "rootfs/image/image-config.h"
#include "rootfs/image/manifest.h"

#define ID_BYTES 6

struct run {
	const struct client *client;
	struct run_options options; /* with what was decided */
	struct run_words words;	    /* theirs */
	const char *reference;
	char id[STATE_ID_MAX + 1];
	char short_id[2 * ID_BYTES + 1]; /* random; the host's name in the container */
	struct image_store *store;
	struct stored_image *image;
	struct run_request *request;
	char *volumes, *marks; /* run_volumes_directory(), run_volumes_marks() */
	struct run_disk disk;
	struct restart_policy restart;
	char **publish; /* what becomes of --publish-all */
	char *input;	/* of a detached one with --interactive: RUN_INPUT_FILE */
	struct run_fills fills;
	bool is_held; /* the container's directory is ours */
	struct run_log log;
	char **changes; /* run_changes() */
};

static void run_done(struct run *run)
{
	run_fills_done(&run->fills);
	free(run->volumes);
	free(run->marks);
	free(run->input);
	strv_free(run->publish);
	run_disk_done(&run->disk);
	run_request_free(run->request);
	stored_image_free(run->image);
	image_store_close(run->store);
	run_log_done(&run->log);
	strv_free(run->changes);
	run_words_done(&run->words);
}

/* ---- the image ---- */

static int check_platform(const struct stored_image *image, const char *wanted,
			  struct error **ret_error)
{
	_cleanup_(platform_done) struct platform platform = { 0 };

	return platform_parse(wanted, &platform, ret_error) < 0
		   ? -1
		   : config_check_platform(image->config_json, strlen(image->config_json),
					   &platform, ret_error);
}

/* 1: the store has it. */
static int find_local(struct run *run, struct error **ret_error)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (image_store_find(run->store, run->reference, &image, &error) < 0) {
		if (error->code == ENOENT)
			return 0;
		return error_set(ret_error, error->code, "%s", error->message);
	}
	/* Another platform's, while this one is asked for, is not what is looked for. */
	if (run->options.platform && check_platform(image, run->options.platform, NULL) < 0)
		return 0;
	run->image = TAKE_PTR(image);
	return 1;
}

static int pull(struct run *run, struct error **ret_error)
{
	const struct pull_options options = { .platform = run->options.platform,
					      .quiet = run->options.quiet };

	return image_pull(run->store, run->reference, &options, &run->image, ret_error);
}

static int find_image(struct run *run, struct error **ret_error)
{
	const char *when = run->options.pull ? run->options.pull : "missing";
	const bool always = strcmp(when, "always") == 0, never = strcmp(when, "never") == 0;
	int found = 0;

	if (!always && !never && strcmp(when, "missing") != 0)
		return error_set(ret_error, EINVAL,
				 "--pull: must be missing, always or never, not \"%s\"", when);
	if (!always)
		found = find_local(run, ret_error);
	if (found < 0)
		return -1;
	if (!found && never)
		return error_set(ret_error, ENOENT, "no such image: %s (and --pull is never)",
				 run->reference);
	if (!found && pull(run, ret_error) < 0)
		return -1;
	if (run->image->n_layers == 0)
		return error_set(ret_error, EINVAL, "image %s has no files", run->reference);
	return check_platform(run->image, NULL, ret_error) < 0
		   ? error_wrap(ret_error, "image %s", run->reference)
		   : 0;
}

/* ---- what is decided for it ---- */

static int name_container(struct run *run, struct error **ret_error)
{
	_cleanup_free_ char *digits = NULL;
	unsigned char bytes[ID_BYTES];

	if (random_bytes(bytes, sizeof(bytes), ret_error) < 0)
		return -1;
	digits = hex_encode(bytes, sizeof(bytes));
	(void)snprintf(run->short_id, sizeof(run->short_id), "%s", digits);
	if (run->options.name && state_check_id(run->options.name, ret_error) < 0)
		return error_wrap(ret_error, "--name");
	(void)snprintf(run->id, sizeof(run->id), "%s",
		       run->options.name ? run->options.name : run->short_id);
	return 0;
}

static int choose_network(struct run_options *options, struct error **ret_error)
{
	const char *named = options->create.network;

	if (named && strcmp(named, "host") == 0)
		return error_set(ret_error, ENOTSUP,
				 "--network host is not supported: a machine has a network of its "
				 "own (passt reaches what the host reaches)");
	if (named)
		return 0;
	/* Its errors say what is missing, if a network was asked for. */
	options->create.network = "passt";
	if (options->create.publish || passt_is_usable())
		return 0;
	options->create.network = "none";
	log_warning("the container has no network: passt is not installed (Debian package passt), "
		    "or this machine has no default route");
	return 0;
}

/* Read again when the container is made: here is where an error comes before a pull. */
static int check_network(const struct create_options *create, struct error **ret_error)
{
	_cleanup_network_options_ struct network_options network = { 0 };

	return network_options_read(create->network, create->publish,
				    strv_length((char *const *)create->publish), &network,
				    ret_error);
}

/* The guest has as much, and the host will have to find it. */
static void warn_of_memory(uint64_t limit)
{
	const uint64_t there_is =
	    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (limit > there_is)
		log_warning("--memory: this machine has %llu MiB, fewer than the container may use",
			    (unsigned long long)(there_is >> 20));
}

/* As docker: one that is there may be another container's. */
static int check_cidfile(const char *path, struct error **ret_error)
{
	if (!path || access(path, F_OK) < 0)
		return 0;
	return error_set(ret_error, EEXIST,
			 "Container ID file found, make sure the other container isn't running or "
			 "delete %s",
			 path);
}

static int write_cidfile(const char *path, const char *id, struct error **ret_error)
{
	_cleanup_close_ int fd =
	    path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;

	if (path && (fd < 0 || write_all(fd, id, strlen(id)) < 0))
		return error_set_errno(ret_error, errno, "cannot write %s", path);
	return 0;
}

static int decide(struct run *run, struct error **ret_error)
{
	struct create_options *create = &run->options.create;

	if (check_cidfile(run->options.cidfile, ret_error) < 0)
		return -1;
	/* The terminal would be ours, and the end of our input none of it. */
	if (run->options.tty && run->options.interactive && !create->detach &&
	    !isatty(STDIN_FILENO))
		return error_set(ret_error, ENOTTY,
				 "the input device is not a TTY: leave out --tty");
	if (restart_policy_parse(run->options.restart, &run->restart, ret_error) < 0)
		return error_wrap(ret_error, "--restart");
	if (run->restart.when != RESTART_NEVER && (run->options.rm || !create->detach))
		return error_set(ret_error, EINVAL,
				 "--restart is for containers with -d and without --rm");
	if (name_container(run, ret_error) < 0 ||
	    run_log_read(&run->options, run->client->root, run->id, &run->log, ret_error) < 0)
		return -1;
	return choose_network(&run->options, ret_error) < 0 || check_network(create, ret_error) < 0
		   ? -1
		   : 0;
}

/* Where there is no network for them there are no ports, as with docker. */
static int publish_all(struct run *run, struct error **ret_error)
{
	_cleanup_(image_config_freep) struct image_config *config = NULL;
	const char *text = run->image->config_json;
	struct run_options *options = &run->options;

	if (!options->publish_all || !network_is_passt(options->create.network))
		return 0;
	for (const char **word = options->create.publish; word && *word; word++)
		strv_append(&run->publish, *word);
	if (image_config_parse(text, strlen(text), &config, ret_error) < 0 ||
	    run_ports_publish("the image's ExposedPorts", config->exposed_ports, &run->publish,
			      ret_error) < 0 ||
	    run_ports_publish("--expose", (char *const *)options->exposed, &run->publish,
			      ret_error) < 0)
		return -1;
	options->create.publish = (const char **)run->publish;
	return 0;
}

/* ---- the container ---- */

static int prepare(void *data, const char *directory, int cancel_fd, struct error **ret_error)
{
	struct run *run = data;
	_cleanup_free_ char *bundle = xasprintf("%s/" CREATE_IMAGE_BUNDLE, directory);

	if (image_store_hold(run->store, run->image, directory, ret_error) < 0)
		return -1;
	run->is_held = true;
	if (write_cidfile(run->options.cidfile, run->id, ret_error) < 0)
		return -1;
	if (run_files_write(&run->options, run->options.create.network, run->request, bundle,
			    ret_error) < 0 ||
	    run_volumes_take(run->volumes, run->marks, run->request->volumes,
			     run->request->n_volumes, cancel_fd, &run->fills, ret_error) < 0 ||
	    run_disk_take(&run->disk, directory, ret_error) < 0 ||
	    health_check_save(&run->request->health, bundle, ret_error) < 0 ||
	    run_again_save(bundle, &run->options.create, run->image->layer_paths,
			   run->options.restart, image_store_path(run->store), &run->log,
			   run->changes, ret_error) < 0)
		return -1;
	return run->input ? run_input_make(directory, ret_error) : 0;
}

static void created(void *data)
{
	struct run *run = data;

	run_fills_finish(&run->fills);
}

/* The container's directory is gone. */
static void release(const struct run *run)
{
	_cleanup_free_ char *directory = state_path(run->client->root, run->id, NULL);
	_cleanup_strv_ char **names = NULL;

	image_store_release(run->store, directory);
	for (size_t i = 0; i < run->request->n_volumes; i++)
		strv_append(&names, run->request->volumes[i].name);
	run_volumes_drop(run->volumes, names);
	run_disk_remove(&run->disk);
}

/* Of a detached one that is to be deleted: a process stays for it, without the caller's streams. */
static void wait_and_delete(const struct run *run)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	uint32_t status;

	run_output_leave();
	/* Gone already: another deleted it. */
	if (handle_open(run->client->root, run->id, &handle, NULL) < 0)
		return;
	(void)handle_wait(handle, &status, NULL, NULL);
	if (delete_container(run->client->root, run->id, true, NULL) == 0)
		release(run);
}

static int leave(struct run *run, struct error **ret_error)
{
	pid_t pid;

	printf("%s\n", run->id);
	(void)fflush(stdout);
	if (!run->options.rm)
		return restart_watch(run->client, image_store_path(run->store), run->id,
				     &run->restart, run_again, ret_error);
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot fork for --rm");
	if (pid == 0) {
		wait_and_delete(run);
		_exit(0);
	}
	return 0;
}

static int run_it(struct run *run, struct error **ret_error)
{
	_cleanup_free_ char *config = run_spec_json(run->request);
	struct create_options *create = &run->options.create;
	const struct create_image image = { .config = config,
					    .layers = run->image->layer_paths,
					    .output = run->log.path,
					    .output_rule = run->log.rule,
					    .input = run->input,
					    .prepare = prepare,
					    .created = created,
					    .data = run };
	int status;

	if (!run->options.interactive && !run->options.tty &&
	    run_output_replace(STDIN_FILENO, "/dev/null", O_RDONLY, ret_error) < 0)
		return -1;
	create->image = &image;
	status = run_container(run->client, create, run->id, ret_error);
	if (status >= 0 && create->detach)
		return leave(run, ret_error);
	if (run->is_held && (status < 0 || !create->keep))
		release(run);
	return status;
}

int run_image(const struct command *command, struct error **ret_error)
{
	_cleanup_(run_done) struct run run = {
		.client = &command->globals->client,
		.options = *(const struct run_options *)command->options,
		.reference = command->args[0],
	};

	if (decide(&run, ret_error) < 0 ||
	    run_words_read(&run.options, &run.words, ret_error) < 0 ||
	    run_request_check(&run.options, ret_error) < 0 ||
	    image_verb_open(command, &run.store, ret_error) < 0 ||
	    find_image(&run, ret_error) < 0 || publish_all(&run, ret_error) < 0 ||
	    run_request_new(&run.options, run.image, command->args + 1, run.short_id, &run.request,
			    ret_error) < 0 ||
	    run_changes(&run.options, command->args + 1, run.request, &run.changes, ret_error) <
		0 ||
	    run_disk_plan(&run.disk, run.request->disk, run.store, &run.request->annotations,
			  ret_error) < 0)
		return -1;
	run_files_plan(&run.options, run.options.create.network, run.request);
	warn_of_memory(run.request->memory);
	run.volumes = run_volumes_directory(run.store);
	run.marks = run_volumes_marks(run.client, run.id);
	if (run.options.create.detach && run.options.interactive)
		run.input = state_path(run.client->root, run.id, RUN_INPUT_FILE);
	run_mounts_place(run.request, run.volumes);
	/* The machine has what the container's limits need, which config.json says. */
	run.options.create.memory = NULL;
	return run_it(&run, ret_error);
}
