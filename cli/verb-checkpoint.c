/* SPDX-License-Identifier: Apache-2.0 */
/* `checkpoint` and `restore`: known, and not there yet. */
#include <errno.h>

#include "cli/verb.h"
#include "client/handle.h"

/* The options that callers give, so that the answer is the one below. */
/* clang-format off */
static const struct option_def checkpoint_options[] = {
	{ "image-path", 0, OPTION_IGNORED_VALUE, 0, "directory of the images" },
	{ "work-path", 0, OPTION_IGNORED_VALUE, 0, "directory of work files and logs" },
	{ "parent-path", 0, OPTION_IGNORED_VALUE, 0, "directory of earlier images" },
	{ "leave-running", 0, OPTION_IGNORED_FLAG, 0, "leave the container running" },
	{ "tcp-established", 0, OPTION_IGNORED_FLAG, 0, "allow open TCP connections" },
	{ "ext-unix-sk", 0, OPTION_IGNORED_FLAG, 0, "allow external unix sockets" },
	{ "shell-job", 0, OPTION_IGNORED_FLAG, 0, "allow shell jobs" },
	{ "lazy-pages", 0, OPTION_IGNORED_FLAG, 0, "restore memory lazily" },
	{ "status-fd", 0, OPTION_IGNORED_VALUE, 0, "descriptor told when lazy pages are ready" },
	{ "page-server", 0, OPTION_IGNORED_VALUE, 0, "address of a page server" },
	{ "file-locks", 0, OPTION_IGNORED_FLAG, 0, "handle file locks" },
	{ "pre-dump", 0, OPTION_IGNORED_FLAG, 0, "memory only" },
	{ "manage-cgroups-mode", 0, OPTION_IGNORED_VALUE, 0, "soft, full or strict" },
	{ "empty-ns", 0, OPTION_IGNORED_VALUE, 0, "namespace to leave empty" },
	{ "auto-dedup", 0, OPTION_IGNORED_FLAG, 0, "deduplicate memory images" },
	OPTION_END
};

static const struct option_def restore_options[] = {
	{ "console-socket", 0, OPTION_IGNORED_VALUE, 0, "unix socket for the terminal's master" },
	{ "image-path", 0, OPTION_IGNORED_VALUE, 0, "directory of the images" },
	{ "work-path", 0, OPTION_IGNORED_VALUE, 0, "directory of work files and logs" },
	{ "tcp-established", 0, OPTION_IGNORED_FLAG, 0, "allow open TCP connections" },
	{ "ext-unix-sk", 0, OPTION_IGNORED_FLAG, 0, "allow external unix sockets" },
	{ "shell-job", 0, OPTION_IGNORED_FLAG, 0, "allow shell jobs" },
	{ "file-locks", 0, OPTION_IGNORED_FLAG, 0, "handle file locks" },
	{ "manage-cgroups-mode", 0, OPTION_IGNORED_VALUE, 0, "soft, full or strict" },
	{ "bundle", 'b', OPTION_IGNORED_VALUE, 0, "path of the bundle" },
	{ "detach", 'd', OPTION_IGNORED_FLAG, 0, "do not wait for the container" },
	{ "pid-file", 0, OPTION_IGNORED_VALUE, 0, "file for the process id" },
	{ "no-subreaper", 0, OPTION_IGNORED_FLAG, 0, "do not reap orphans" },
	{ "no-pivot", 0, OPTION_IGNORED_FLAG, 0, "do not use pivot_root" },
	{ "empty-ns", 0, OPTION_IGNORED_VALUE, 0, "namespace to leave empty" },
	{ "auto-dedup", 0, OPTION_IGNORED_FLAG, 0, "deduplicate memory images" },
	{ "lazy-pages", 0, OPTION_IGNORED_FLAG, 0, "restore memory lazily" },
	{ "lsm-profile", 0, OPTION_IGNORED_VALUE, 0, "LSM profile" },
	{ "lsm-mount-context", 0, OPTION_IGNORED_VALUE, 0, "LSM mount context" },
	OPTION_END
};
/* clang-format on */

static int checkpoint(const struct command *command, struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;

	if (handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0)
		return -1;
	return error_set(ret_error, ENOTSUP,
			 "checkpoint is not supported yet: container %s is unchanged", handle->id);
}

static int restore(const struct command *command, struct error **ret_error)
{
	(void)command;
	return error_set(ret_error, ENOTSUP,
			 "restore is not supported yet: there are no checkpoints to restore");
}

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.arguments = "<container-id>",
	.summary = "checkpoint a running container (not supported yet)",
	.options = checkpoint_options,
	.min_args = 1,
	.max_args = 1,
	.run = checkpoint,
};
const struct verb verb_restore = {
	.name = "restore",
	.arguments = "<container-id>",
	.summary = "restore a container from a checkpoint (not supported yet)",
	.options = restore_options,
	.min_args = 1,
	.max_args = 1,
	.run = restore,
};
