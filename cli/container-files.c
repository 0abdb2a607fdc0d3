/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a container: see container-files.h. */
#include "cli/container-files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/plain.h"
#include "base/random.h"
#include "cli/exec-calls.h"
#include "client/create.h"
#include "client/exec-process.h"
#include "runtime-spec/exec-tool.h"
#include "runtime-spec/spec.h"

#define SAID_MAX 4096 /* of what the other side says */

/* What a tool is to do; the other ends of its streams. */
struct tool {
	const char *name, **args;
	int in, out; /* -1: nothing */
};

/* ---- on the host ---- */

/* Below the root that the container has: links in it lead nowhere else. */
static void __attribute__((noreturn)) be_tool(const struct tool *tool, const char *root, int errors)
{
	_cleanup_error_ struct error *error = NULL;

	if (chroot(root) == 0 && chdir("/") == 0)
		_exit(exec_tool_run(tool->name, tool->args, tool->in, tool->out, errors));
	(void)error_set_errno(&error, errno, "cannot enter %s", root);
	(void)write_all(errors, error->message, strlen(error->message));
	_exit(error->code == ENOENT ? SPEC_TOOL_MISSING : 1);
}

static int start_here(struct container_files *files, const struct tool *tool,
		      struct error **ret_error)
{
	files->pid = fork();
	if (files->pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process");
	if (files->pid == 0) {
		(void)close(files->stream);
		be_tool(tool, files->handle->state->rootfs, files->errors);
	}
	return 0;
}

/* ---- in the guest ---- */

static int make_process(const struct handle *handle, const struct tool *tool, char **ret_json,
			struct error **ret_error)
{
	/* What root of a host has for cp(1) and tar(1). */
	static const char *const capabilities[] = { "CAP_CHOWN",   "CAP_DAC_OVERRIDE",
						    "CAP_FOWNER",  "CAP_FSETID",
						    "CAP_MKNOD",   "CAP_DAC_READ_SEARCH",
						    "CAP_SETFCAP", NULL };
	const struct exec_overrides overrides = {
		.args = tool->args, .cwd = "/", .user = "0:0", .capabilities = capabilities
	};
	_cleanup_free_ char *json = NULL;

	if (exec_process_json(handle->state->config ? handle->state->config : "{}", &overrides,
			      &json, ret_error) < 0 ||
	    exec_process_put(&json, SPEC_EXEC_TOOL, tool->name, ret_error) < 0)
		return -1;
	*ret_json = TAKE_PTR(json);
	return 0;
}

static int call_exec(const struct container_files *files, const struct tool *tool,
		     const char *process, struct error **ret_error)
{
	const bool reads = tool->in >= 0;
	const int fds[] = { reads ? tool->in : tool->out, files->errors };
	const struct exec_call call = { .id = files->exec,
					.process = process,
					.in = reads ? "fd:0" : NULL,
					.out = reads ? NULL : "fd:0",
					.error = "fd:1",
					.fds = fds,
					.n_fds = ARRAY_SIZE(fds) };

	return exec_call_new(files->handle, &call, ret_error);
}

static int start_in_guest(struct container_files *files, const struct tool *tool,
			  struct error **ret_error)
{
	_cleanup_free_ char *json = NULL;
	uint64_t random;

	if (make_process(files->handle, tool, &json, ret_error) < 0 ||
	    random_bytes(&random, sizeof(random), ret_error) < 0)
		return -1;
	(void)snprintf(files->exec, sizeof(files->exec), "files-%016llx",
		       (unsigned long long)random);
	if (call_exec(files, tool, json, ret_error) < 0)
		return -1;
	if (exec_call_start(files->handle, files->exec, 0, ret_error) == 0)
		return 0;
	(void)exec_call_delete(files->handle, files->exec, NULL);
	return -1;
}

/* ---- */

static int start_where_it_is(struct container_files *files, const struct tool *tool,
			     struct error **ret_error)
{
	const struct state *state = files->handle->state;
	_cleanup_free_ char *own =
	    state_path(files->handle->root, files->handle->id, CREATE_IMAGE_BUNDLE);
	enum container_status status;

	if (handle_status(files->handle, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_RUNNING || status == STATUS_CREATED)
		return start_in_guest(files, tool, ret_error);
	if (status != STATUS_STOPPED || access(own, F_OK) == 0 || !state->rootfs)
		return error_set(ret_error, EBUSY,
				 "container %s is %s, and its files are in its machine alone",
				 files->handle->id, container_status_name(status));
	return start_here(files, tool, ret_error);
}

/* For what the other side says, a guest maybe: of so many bytes, and no more (fcntl(2), seals). */
static int make_errors(struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("errors", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, SAID_MAX) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return error_set_errno(ret_error, errno, "cannot make a file in memory");
	return TAKE_FD(fd);
}

static int start(const struct handle *handle, const char *name, const char **args, bool reads,
		 struct container_files *ret_files, struct error **ret_error)
{
	struct container_files files = {
		.handle = handle, .source = reads ? args[0] : NULL, .stream = -1, .errors = -1
	};
	_cleanup_close_ int in = -1, out = -1;
	struct tool tool = { .name = name, .args = args, .in = -1, .out = -1 };

	(void)signal(SIGPIPE, SIG_IGN); /* that the other side is gone it says itself */
	files.errors = make_errors(ret_error);
	if (files.errors < 0)
		return -1;
	if (pipe_open(&in, &out, ret_error) < 0) {
		(void)close(files.errors);
		return -1;
	}
	files.stream = reads ? TAKE_FD(in) : TAKE_FD(out);
	*(reads ? &tool.out : &tool.in) = reads ? out : in;
	if (start_where_it_is(&files, &tool, ret_error) < 0) {
		close_fdp(&files.stream);
		close_fdp(&files.errors);
		return -1;
	}
	*ret_files = files;
	return 0;
}

static const char **make_args(const char *first, const char *second, const char *const *flags)
{
	const char **args = xcalloc(strv_length((char *const *)flags) + 3, sizeof(*args));
	size_t n = 0;

	args[n++] = first;
	if (second)
		args[n++] = second;
	for (; flags && *flags; flags++)
		args[n++] = *flags;
	return args;
}

int container_files_read(const struct handle *handle, const char *path, const char *name,
			 const char *const *flags, struct container_files *ret_files,
			 struct error **ret_error)
{
	_cleanup_free_ const char **args = make_args(path, name ? name : "", flags);

	return start(handle, SPEC_TOOL_PACK, args, true, ret_files, ret_error);
}

int container_files_write(const struct handle *handle, const char *path, const char *const *flags,
			  struct container_files *ret_files, struct error **ret_error)
{
	_cleanup_free_ const char **args = make_args(path, NULL, flags);

	return start(handle, SPEC_TOOL_UNPACK, args, false, ret_files, ret_error);
}

static int wait_for(struct container_files *files, uint32_t *ret_status, struct error **ret_error)
{
	Task__WaitRequest request = TASK__WAIT_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	int status;

	if (files->pid > 0) {
		while (waitpid(files->pid, &status, 0) < 0 && errno == EINTR)
			;
		*ret_status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 1;
		return 0;
	}
	request.id = files->handle->id;
	request.exec_id = files->exec;
	if (handle_call(files->handle, "Wait", &request.base, &task__wait_response__descriptor, 0,
			&response, ret_error) < 0)
		return -1;
	*ret_status = ((const Task__WaitResponse *)response)->exit_status;
	protobuf_c_message_free_unpacked(response, NULL);
	(void)exec_call_delete(files->handle, files->exec, NULL);
	return 0;
}

int container_files_end(struct container_files *files, struct error **ret_error)
{
	_cleanup_close_ int errors = files->errors;
	char said[SAID_MAX + 1] = { 0 };
	uint32_t status;

	close_fdp(&files->stream);
	if (wait_for(files, &status, ret_error) < 0)
		return -1;
	if (status == 0)
		return 0;
	if (status == SPEC_TOOL_MISSING && files->source)
		return error_set(ret_error, ENOENT, "No such container:path: %s:%s",
				 files->handle->id, files->source);
	if (pread(errors, said, SAID_MAX, 0) < 0 || !said[0])
		return error_set(ret_error, EIO, "the container's files: ended with status %u",
				 status);
	plain_text(said);
	return error_set(ret_error, EIO, "%s", said);
}

int container_files_close(struct container_files *files, int result, struct error *error,
			  struct error **ret_error)
{
	_cleanup_error_ struct error *theirs = NULL, *ours = error;

	if (container_files_end(files, &theirs) < 0 &&
	    (result == 0 || ours->code == EPROTO || ours->code == EPIPE)) {
		if (ret_error)
			*ret_error = TAKE_PTR(theirs);
		return -1;
	}
	if (result < 0 && ret_error)
		*ret_error = TAKE_PTR(ours);
	return result;
}

int copy_all(int from, int to, struct error **ret_error)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || write_all(to, bytes, (size_t)n) < 0)
			return error_set_errno(ret_error, errno, "cannot copy the archive");
	}
	return 0;
}

int container_files_copy(struct container_files *files, int to, struct error **ret_error)
{
	struct error *error = NULL;
	const int result = copy_all(files->stream, to, &error);

	return container_files_close(files, result, error, ret_error);
}
