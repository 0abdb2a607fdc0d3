/* SPDX-License-Identifier: Apache-2.0 */
/* `checkpoint`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/alloc.h"
#include "cli/criu-options.h"
#include "cli/run-disk.h"
#include "cli/run-restored.h"
#include "cli/verb.h"
#include "client/checkpoint.h"
#include "client/delete.h"

struct options {
	const char *image_path;
	const char *parent_path;
	bool leave_running, pre_dump;
	struct criu_options criu;
};

#define BASE offsetof(struct options, criu)

/* clang-format off */
static const struct option_def options_table[] = {
	{ "image-path", 0, OPTION_STRING, offsetof(struct options, image_path),
	  "directory for the files of the checkpoint (default: ./checkpoint)" },
	{ "leave-running", 0, OPTION_FLAG, offsetof(struct options, leave_running),
	  "leave the container running" },
	{ "parent-path", 0, OPTION_STRING, offsetof(struct options, parent_path),
	  "earlier checkpoint, relative to the image path: write what has changed in memory" },
	{ "pre-dump", 0, OPTION_FLAG, offsetof(struct options, pre_dump),
	  "write the memory alone, while the container runs, for the parent path of another" },
	CRIU_OPTIONS(BASE),
	{ "status-fd", 0, OPTION_STRING, CRIU_FIELD(BASE, status_fd),
	  "descriptor told when lazy pages are ready: not supported" },
	{ "page-server", 0, OPTION_STRING, CRIU_FIELD(BASE, page_server),
	  "address of a page server: not supported" },
	OPTION_END
};
/* clang-format on */

/* What is there is the task server's to judge. */
static int check_parent(const char *image_path, const char *parent, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (!parent)
		return 0;
	if (parent[0] == '/')
		return error_set(ret_error, EINVAL,
				 "--parent-path %s: not relative to --image-path", parent);
	/* (A way through a directory that is not made yet.) */
	if (strstr(parent, "..") && access(image_path, F_OK) < 0)
		return 0;
	path = xasprintf("%s/%s", image_path, parent);
	if (stat(path, &st) < 0)
		return error_set_errno(ret_error, errno, "--parent-path %s", path);
	return 0;
}

static int checkpoint(const struct command *command, struct error **ret_error)
{
	const struct options *options = command->options;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_free_ char *path = NULL, *work_path = NULL, *directory = NULL;
	_cleanup_strv_ char **disks = NULL;
	struct checkpoint_request request;
	bool of_image;

	if (handle_open_locked(command->globals->client.root, command->args[0], &handle,
			       ret_error) < 0 ||
	    criu_options_check(options_table, options, &options->criu, ret_error) < 0 ||
	    criu_image_path(options->image_path, &path, ret_error) < 0 ||
	    check_parent(path, options->parent_path, ret_error) < 0 ||
	    criu_work_path(&options->criu, &work_path, ret_error) < 0)
		return -1;
	of_image = run_restored_applies(&command->globals->client, handle->id);
	directory = state_path(command->globals->client.root, handle->id, NULL);
	if (of_image && (run_restored_check(command, handle->id, ret_error) < 0 ||
			 run_disks_used(directory, &disks, ret_error) < 0))
		return -1;
	request = (struct checkpoint_request){
		.directory = path,
		.parent_path = options->parent_path,
		.work_path = work_path,
		.memory_only = options->pre_dump,
		.leave_running = options->leave_running,
	};
	if (checkpoint_container(handle, &request, ret_error) < 0 ||
	    (!options->pre_dump && run_restored_keep(command, handle->id, path, ret_error) < 0))
		return error_wrap(ret_error, "cannot checkpoint container %s", handle->id);
	if (options->leave_running || options->pre_dump)
		return 0;
	/* As runc does. */
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	if (delete_container(command->globals->client.root, command->args[0], true, ret_error) < 0)
		return -1;
	if (of_image)
		run_restored_release(command, command->args[0], disks);
	return 0;
}

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.arguments = "<container-id>",
	.summary = "checkpoint a running container",
	.description =
	    "Writes the machine of the container, with all that runs in it, to files, from which\n"
	    "   `restore` goes on. The container is deleted then, unless it is left running. If\n"
	    "   anything fails, it runs on.",
	.options = options_table,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = 1,
	.run = checkpoint,
};
