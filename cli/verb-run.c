/* SPDX-License-Identifier: Apache-2.0 */
/* `create` and `run`. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "cli/attach.h"
#include "cli/verb.h"
#include "client/create.h"
#include "client/delete.h"

#define FIELD(name) offsetof(struct create_options, name)

/* clang-format off */
#define CREATE_OPTIONS                                                                             \
	{ "bundle", 'b', OPTION_STRING, FIELD(bundle),                                             \
	  "path of the bundle (default: the current directory)" },                                 \
	{ "config", 'f', OPTION_STRING, FIELD(config),                                             \
	  "the configuration's file: only the bundle's config.json is supported" },                                \
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),                               \
	  "unix socket that receives the master of the container's terminal" },                    \
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),                                           \
	  "write the pid that represents the container to this file" },                     \
	{ "preserve-fds", 0, OPTION_COUNT, FIELD(preserve_fds),                                    \
	  "additional file descriptors for the container: only 0 is supported" },                  \
	{ "kernel", 0, OPTION_STRING, FIELD(kernel),                                               \
	  "guest kernel: a kernel directory, vmlinux or bzImage" },                                \
	{ "vcpus", 0, OPTION_COUNT, FIELD(vcpus), "virtual CPUs (default: 1)" },                   \
	{ "memory", 0, OPTION_STRING, FIELD(memory),                                               \
	  "guest memory, e.g. 512M (default: what the container's limit needs, at least 256M)" },  \
	{ "accel", 0, OPTION_STRING, FIELD(accel),                                         \
	  "what runs the guest: 'auto' (default), 'kvm', or 'tcg' (emulated, slower)" },           \
	{ "rootfs", 0, OPTION_STRING, FIELD(rootfs),                                               \
	  "how the root file system reaches the guest: share (default) or layer" },                \
	{ "network", 0, OPTION_STRING, FIELD(network),                                             \
	  "the network: none, ns:PATH or passt (default: what config.json says)" },                \
	{ "publish", 'p', OPTION_STRINGS, FIELD(publish),                                          \
	  "lead ports of the host to the guest: [IP:]PORT[-PORT]:PORT[-PORT][/tcp|/udp]" },        \
	{ "cache", 0, OPTION_STRING, FIELD(cache), "directory for layers and kernels" },           \
	{ "no-pivot", 0, OPTION_IGNORED_FLAG, 0, "do not use pivot_root" },                        \
	{ "no-new-keyring", 0, OPTION_IGNORED_FLAG, 0, "do not make a new session keyring" }
/* clang-format on */

static const struct option_def create_options[] = { CREATE_OPTIONS, OPTION_END };

static const struct option_def run_options[] = {
	CREATE_OPTIONS,
	{ "detach", 'd', OPTION_FLAG, FIELD(detach), "do not wait for the container" },
	{ "keep", 0, OPTION_FLAG, FIELD(keep), "do not delete the container after it has ended" },
	{ "no-subreaper", 0, OPTION_IGNORED_FLAG, 0, "do not reap orphans" },
	OPTION_END
};

static int create(const struct command *command, struct error **ret_error)
{
	struct create_options options = *(const struct create_options *)command->options;
	struct created created;

	options.detach = true;
	if (create_container(&command->globals->client, &options, command->args[0], &created,
			     ret_error) < 0)
		return error_wrap(ret_error, PACKAGE_NAME " create failed");
	pty_close(&created.pty);
	handle_free(created.handle);
	return 0;
}

/* A signal came before the answer.  A program that runs (poststart hooks are waited for)
 * gets it; else it ends the verb. */
static bool has_started(struct handle *handle)
{
	enum container_status status = STATUS_CREATED;

	handle_reconnect(handle);
	return handle_status(handle, &status, NULL) == 0 && status != STATUS_CREATED;
}

static int start(void *data, struct error **ret_error)
{
	struct handle *handle = data;
	Task__StartRequest request = TASK__START_REQUEST__INIT;

	request.id = handle->id;
	if (handle_call(handle, "Start", &request.base, &task__start_response__descriptor, 0, NULL,
			ret_error) < 0) {
		if ((*ret_error)->code != ECANCELED || !has_started(handle))
			return -1;
		error_free(TAKE_PTR(*ret_error));
	}
	handle->cancel_fd = -1;
	/* `kill`, `exec` and the others come while it runs. */
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	return 0;
}

static int run_attached(struct created *created, unsigned *ret_status, struct error **ret_error)
{
	const struct attachment attachment = { .handle = created->handle,
					       .exec_id = "",
					       .master = TAKE_FD(created->pty.master),
					       .slave = -1,
					       .start = start,
					       .data = created->handle };

	return attach_run(&attachment, ret_status, ret_error);
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct create_options *options = command->options;
	const char *id = command->args[0];
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;
	struct created created;
	unsigned status = 0;
	int result;

	if (create_container(&command->globals->client, options, id, &created, ret_error) < 0)
		return error_wrap(ret_error, PACKAGE_NAME " run failed");
	handle = created.handle;
	if (options->detach)
		result = start(handle, ret_error);
	else
		result = run_attached(&created, &status, ret_error);
	pty_close(&created.pty);
	if (result == 0 && (options->detach || options->keep))
		return (int)status;
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	/* Another's `delete` may have been first. */
	if (delete_container(command->globals->client.root, id, true, &error) < 0)
		log_warning("cannot delete container %s: %s", id, error->message);
	if (result == 0)
		return (int)status;
	interrupts_let_through(&created.interrupts);
	return error_wrap(ret_error, PACKAGE_NAME " run failed");
}

const struct verb verb_create = {
	.name = "create",
	.arguments = "<container-id>",
	.summary = "create a container",
	.description =
	    "Creates a container from a bundle, a directory with a config.json and a root file\n"
	    "   system, in a microVM of its own. `start` executes the user's program. The id must\n"
	    "   be unique on this host.",
	.options = create_options,
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = create,
};

const struct verb verb_run = {
	.name = "run",
	.arguments = "<container-id>",
	.summary = "create and run a container",
	.description =
	    "Does what create and start do. Unless detached, it then waits for the container,\n"
	    "   deletes it and ends with its status (128+n: ended by signal n).",
	.options = run_options,
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
