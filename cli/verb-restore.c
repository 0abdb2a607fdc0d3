/* SPDX-License-Identifier: Apache-2.0 */
/* `restore`: `run` of a container that a checkpoint has. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/criu-options.h"
#include "cli/run-container.h"
#include "cli/run-restored.h"
#include "cli/verb.h"
#include "client/create.h"

struct options {
	struct create_options create;
	const char *image_path;
	struct criu_options criu;
};

#define BASE offsetof(struct options, criu)
#define FIELD(name) offsetof(struct options, create.name)

/* clang-format off */
static const struct option_def options_table[] = {
	{ "image-path", 0, OPTION_STRING, offsetof(struct options, image_path),
	  "directory with the files of the checkpoint (default: ./checkpoint)" },
	{ "bundle", 'b', OPTION_STRING, FIELD(bundle),
	  "path of the bundle (default: the current directory)" },
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),
	  "unix socket that receives the master of the container's terminal" },
	{ "detach", 'd', OPTION_FLAG, FIELD(detach), "do not wait for the container" },
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),
	  "write the pid that represents the container to this file" },
	{ "network", 0, OPTION_STRING, FIELD(network),
	  "its network (none, passt or ns:PATH), with its ports; default: as it was" },
	{ "publish", 'p', OPTION_STRINGS, FIELD(publish),
	  "with passt: other ports of the host than it had" },
	CRIU_OPTIONS(BASE),
	{ "lsm-profile", 0, OPTION_STRING, CRIU_FIELD(BASE, lsm_profile),
	  "LSM profile: not supported" },
	{ "lsm-mount-context", 0, OPTION_STRING, CRIU_FIELD(BASE, lsm_mount_context),
	  "LSM mount context: not supported" },
	{ "no-subreaper", 0, OPTION_IGNORED_FLAG, 0, "do not reap orphans" },
	{ "no-pivot", 0, OPTION_IGNORED_FLAG, 0, "do not use pivot_root" },
	OPTION_END
};
/* clang-format on */

static int restore(const struct command *command, struct error **ret_error)
{
	const struct options *options = command->options;
	struct create_options create = options->create;
	_cleanup_free_ char *path = NULL, *work_path = NULL;
	struct stat st;

	if (criu_options_check(options_table, options, &options->criu, ret_error) < 0 ||
	    criu_image_path(options->image_path, &path, ret_error) < 0 ||
	    criu_work_path(&options->criu, &work_path, ret_error) < 0)
		return -1;
	if (stat(path, &st) < 0)
		return error_set_errno(ret_error, errno, "the image path %s", path);
	create.checkpoint = path;
	create.work_path = work_path;
	if (!create.bundle && run_restored_is_kept(path))
		return run_restored(command, &create, NULL, command->args[0], ret_error);
	return run_container(&command->globals->client, &create, command->args[0], ret_error);
}

const struct verb verb_restore = {
	.name = "restore",
	.arguments = "<container-id>",
	.summary = "restore a container from a checkpoint",
	.description =
	    "Makes a container of the bundle whose programs go on where `checkpoint` has saved\n"
	    "   them. Unless detached, it then waits for the container, deletes it and ends with\n"
	    "   its status.",
	.options = options_table,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = 1,
	.run = restore,
};
