/* SPDX-License-Identifier: Apache-2.0 */
/* `fork`: a checkpoint that is left running, and a container that goes on from there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/fork-files.h"
#include "cli/run-container.h"
#include "cli/run-disk.h"
#include "cli/run-restored.h"
#include "cli/verb.h"
#include "client/checkpoint.h"
#include "client/create.h"
#include "client/delete.h"

#define FORK_PREFIX "fork-"
#define COUNT_MAX 1000

struct options {
	struct create_options create;
	uint64_t count; /* 0: one, of the name that was given */
};

#define FIELD(name) offsetof(struct options, create.name)

static const struct option_def options_table[] = {
	{ "bundle", 'b', OPTION_STRING, FIELD(bundle),
	  "path of the new container's bundle; made, with copies of the files, if nothing is "
	  "there" },
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),
	  "unix socket that receives the master of the new container's terminal" },
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),
	  "write the pid that represents the new container to this file" },
	{ "count", 0, OPTION_COUNT, offsetof(struct options, count),
	  "make so many, NEW-1, NEW-2 and so on, all from one instant" },
	OPTION_END
};

/* The new container of an image has such files of its own. */
static bool is_of_bundle(const struct spec_mount *mount)
{
	return mount->source && mount->source[0] != '/';
}

/* Two kernels that write to one tree, of which each believes that it knows it. */
static int choose_bundle(const struct state *state, bool of_image, struct create_options *options,
			 struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;

	if (options->bundle)
		return 0;
	if (spec_parse(state->config, strlen(state->config), &spec, ret_error) < 0)
		return -1;
	if (!spec->root_readonly && !of_image && !fork_files_is_layer(spec))
		return error_set(ret_error, EINVAL,
				 "the root file system of container %s is writable: say with "
				 "--bundle where the new container is to have a copy of it",
				 state->id);
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (fork_files_is_writable(&spec->mounts[i]) &&
		    !(of_image && is_of_bundle(&spec->mounts[i])))
			return error_set(
			    ret_error, EINVAL,
			    "the mount on %s in container %s is writable, and two machines cannot "
			    "write to one tree: %s",
			    spec->mounts[i].destination, state->id,
			    of_image
				? "a container of an image can have volumes that are read-only"
				: "say with --bundle where the new container is to have a copy");
	options->bundle = of_image ? NULL : state->bundle;
	return 0;
}

/* Who uses such a directory holds it locked. */
static int lock(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	/* (A sweep may have come before.) */
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0)
		return -1;
	return TAKE_FD(fd);
}

/* Those of forks that were killed. */
static void sweep(const char *cache)
{
	DIR *dir = opendir(cache);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", cache, entry->d_name);
		_cleanup_close_ int fd = -1;

		if (strncmp(entry->d_name, FORK_PREFIX, strlen(FORK_PREFIX)) != 0)
			continue;
		fd = lock(path);
		if (fd >= 0)
			(void)remove_tree(path, NULL);
	}
	if (dir)
		(void)closedir(dir);
}

/* On a disk, not in memory: for as long as the new container takes to begin. */
static int make_directory(char **ret_path, int *ret_lock, struct error **ret_error)
{
	_cleanup_free_ char *cache = paths_cache();
	_cleanup_free_ char *path = NULL;
	int fd;

	if (make_directories(cache, 0755, ret_error) < 0)
		return -1;
	sweep(cache);
	do {
		free(path);
		path = xasprintf("%s/" FORK_PREFIX "XXXXXX", cache);
		if (!mkdtemp(path))
			return error_set_errno(ret_error, errno, "cannot make a directory in %s",
					       cache);
		fd = lock(path);
	} while (fd < 0 && access(path, F_OK) < 0);
	if (fd < 0) {
		(void)rmdir(path);
		return error_set(ret_error, EBUSY, "cannot lock %s", path);
	}
	*ret_path = TAKE_PTR(path);
	*ret_lock = fd;
	return 0;
}

static char *twin_id(const char *name, uint64_t number)
{
	return xasprintf("%s-%llu", name, (unsigned long long)number);
}

/* ---- bundles that are made ---- */

struct bundles {
	struct fork_files *files; /* one for each new container */
	size_t n;		  /* 0: they have one, or need none */
	char **copies;
};

static void bundles_done(struct bundles *bundles)
{
	for (size_t i = 0; i < bundles->n; i++)
		fork_files_done(&bundles->files[i]);
	free(bundles->files);
	strv_free(bundles->copies);
}

/* Nothing is there yet: so it is to be made. */
static bool has_bundle_to_make(const struct create_options *create)
{
	return create->bundle && access(create->bundle, F_OK) < 0 && errno == ENOENT;
}

static int plan_bundles(const struct command *command, const struct state *state,
			struct bundles *bundles, struct error **ret_error)
{
	const struct options *options = command->options;
	const size_t n = options->count > 0 ? (size_t)options->count : 1;

	if (run_restored_applies(&command->globals->client, state->id))
		return error_set(ret_error, EINVAL,
				 "container %s is of an image: its twin has files of its own, and "
				 "no --bundle",
				 state->id);
	bundles->files = xcalloc(n, sizeof(bundles->files[0]));
	while (bundles->n < n) {
		_cleanup_free_ char *path = options->count > 0
						? twin_id(options->create.bundle, bundles->n + 1)
						: xstrdup(options->create.bundle);

		if (fork_files_plan(state, path, &bundles->files[bundles->n++], &bundles->copies,
				    ret_error) < 0)
			return -1;
	}
	return 0;
}

static int begin_bundles(struct bundles *bundles, struct error **ret_error)
{
	for (size_t i = 0; i < bundles->n; i++)
		if (fork_files_begin(&bundles->files[i], ret_error) < 0)
			return -1;
	return 0;
}

static int finish_bundles(const struct bundles *bundles, struct error **ret_error)
{
	for (size_t i = 0; i < bundles->n; i++)
		if (fork_files_finish(&bundles->files[i], ret_error) < 0)
			return -1;
	return 0;
}

/* ---- the new containers ---- */

/* Of the checkpoint in options->checkpoint. */
static int make_twin(const struct command *command, const struct create_options *options,
		     bool of_image, const char *bundle, const char *id, struct error **ret_error)
{
	struct create_options twin = *options;

	twin.bundle = bundle ? bundle : options->bundle;
	return of_image ? run_restored(command, &twin, command->args[0], id, ret_error)
			: run_container(&command->globals->client, &twin, id, ret_error);
}

/* One that was made before another failed. */
static void remove_twin(const struct command *command, bool of_image, const char *id)
{
	const char *root = command->globals->client.root;
	_cleanup_free_ char *directory = state_path(root, id, NULL);
	_cleanup_error_ struct error *error = NULL;
	_cleanup_strv_ char **disks = NULL;

	if ((of_image && run_disks_used(directory, &disks, &error) < 0) ||
	    delete_container(root, id, true, &error) < 0)
		log_warning("container %s stays: %s", id, error->message);
	else if (of_image)
		run_restored_release(command, id, disks);
}

/* All of them, or none. */
static int make_twins(const struct command *command, const struct create_options *create,
		      bool of_image, const struct bundles *bundles, struct error **ret_error)
{
	const uint64_t count = ((const struct options *)command->options)->count;

	if (of_image &&
	    run_restored_keep(command, command->args[0], create->checkpoint, ret_error) < 0)
		return -1;
	if (count == 0)
		return make_twin(command, create, of_image,
				 bundles->n > 0 ? bundles->files[0].bundle : NULL, command->args[1],
				 ret_error);
	for (uint64_t i = 1; i <= count; i++) {
		_cleanup_free_ char *id = twin_id(command->args[1], i);

		if (make_twin(command, create, of_image,
			      bundles->n > 0 ? bundles->files[i - 1].bundle : NULL, id,
			      ret_error) == 0)
			continue;
		while (--i > 0) {
			_cleanup_free_ char *made = twin_id(command->args[1], i);

			remove_twin(command, of_image, made);
		}
		return error_wrap(ret_error, "%s", id);
	}
	return 0;
}

/* So that it is known before anything is written; making one says the same. */
static int check_ids(const struct command *command, struct error **ret_error)
{
	const uint64_t count = ((const struct options *)command->options)->count;

	for (uint64_t i = 1; i <= count; i++) {
		_cleanup_free_ char *id = twin_id(command->args[1], i);
		_cleanup_free_ char *state =
		    state_path(command->globals->client.root, id, "state.json");

		if (access(state, F_OK) == 0)
			return error_set(ret_error, EEXIST, "container %s already exists", id);
	}
	return 0;
}

static int check_options(const struct command *command, struct error **ret_error)
{
	const struct options *options = command->options;
	_cleanup_free_ char *last = twin_id(command->args[1], options->count);

	if (options->count > COUNT_MAX)
		return error_set(ret_error, EINVAL, "--count %llu: at most %d",
				 (unsigned long long)options->count, COUNT_MAX);
	if (options->count > 0 && (options->create.pid_file || options->create.console_socket))
		return error_set(ret_error, EINVAL,
				 "--count: --pid-file and --console-socket are for one container");
	return state_check_id(options->count > 0 ? last : command->args[1], ret_error);
}

static int check_status(const struct handle *handle, struct error **ret_error)
{
	enum container_status status;

	if (handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_RUNNING && status != STATUS_PAUSED)
		return error_set(ret_error, EBUSY, "cannot fork a container in the %s state",
				 container_status_name(status));
	return 0;
}

/* The checkpoint in directory, and containers of it. */
static int make_fork(const struct command *command, const struct handle *handle, bool of_image,
		     struct create_options *create, const char *directory, struct bundles *bundles,
		     struct error **ret_error)
{
	const struct checkpoint_request request = { .directory = directory,
						    .copies = bundles->copies,
						    .leave_running = true };

	create->detach = true;
	create->checkpoint = directory;
	/* The ports of the host are the first one's. */
	create->unpublished = true;
	if (begin_bundles(bundles, ret_error) < 0 ||
	    checkpoint_container(handle, &request, ret_error) < 0 ||
	    finish_bundles(bundles, ret_error) < 0 ||
	    make_twins(command, create, of_image, bundles, ret_error) < 0)
		return error_wrap(ret_error, "cannot fork container %s", command->args[0]);
	for (size_t i = 0; i < bundles->n; i++)
		fork_files_keep(&bundles->files[i]);
	return 0;
}

static int fork_(const struct command *command, struct error **ret_error)
{
	struct create_options create = ((const struct options *)command->options)->create;
	const bool makes_bundle = has_bundle_to_make(&create);
	const bool of_image =
	    !create.bundle && run_restored_applies(&command->globals->client, command->args[0]);
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_(bundles_done) struct bundles bundles = { 0 };
	_cleanup_free_ char *directory = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_close_ int held = -1;
	int result;

	if (check_options(command, ret_error) < 0 || check_ids(command, ret_error) < 0 ||
	    handle_open_locked(command->globals->client.root, command->args[0], &handle,
			       ret_error) < 0 ||
	    check_status(handle, ret_error) < 0 ||
	    (of_image && run_restored_check(command, handle->id, ret_error) < 0) ||
	    (makes_bundle ? plan_bundles(command, handle->state, &bundles, ret_error)
			  : choose_bundle(handle->state, of_image, &create, ret_error)) < 0 ||
	    make_directory(&directory, &held, ret_error) < 0)
		return -1;
	result = make_fork(command, handle, of_image, &create, directory, &bundles, ret_error);
	/* The new machine has its memory mapped. */
	if (remove_tree(directory, &error) < 0)
		log_warning("%s", error->message);
	return result;
}

const struct verb verb_fork = {
	.name = "fork",
	.arguments = "<container-id> <new-container-id>",
	.summary = "make another container of a running one, as it is now",
	.description =
	    "The container runs on, and the new one goes on from the same instant, detached, with\n"
	    "   its output to where this command's goes. Unless its root file system is "
	    "read-only,\n"
	    "   the new one needs a bundle of its own, in which the files that are open are the "
	    "same.",
	.options = options_table,
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = 2,
	.run = fork_,
};
