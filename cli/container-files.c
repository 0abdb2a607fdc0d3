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
#include "base/log.h"
#include "base/plain.h"
#include "base/random.h"
#include "cli/exec-calls.h"
#include "cli/run-again.h"
#include "cli/run-disk.h"
#include "cli/run-output.h"
#include "client/create.h"
#include "client/delete.h"
#include "client/exec-process.h"
#include "runtime-spec/exec-tool.h"
#include "runtime-spec/spec.h"

#define SAID_MAX 4096 /* of what the other side says */

/* What a tool is to do; the other ends of its streams. */
struct tool {
	const char *name, **args;
	int in, out; /* -1: nothing */
	bool is_changes;
};

/* ---- whose they are ---- */

static void __attribute__((noreturn)) guard(const char *root, const char *id, int end)
{
	char byte;

	run_output_leave();
	/* Locks among them, which are the parent's alone. */
	if (dup2(end, STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
		_exit(1);
	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(idle_end(root, id, NULL) < 0);
}

static int start_guard(struct files_owner *owner, struct error **ret_error)
{
	const struct handle *handle = owner->handle;
	_cleanup_close_ int end = -1;

	if (pipe_open(&end, &owner->guard_fd, ret_error) < 0)
		return -1;
	owner->guard = fork();
	if (owner->guard == 0)
		guard(handle->root, handle->id, end);
	return owner->guard < 0 ? error_set_errno(ret_error, errno, "cannot start a process") : 0;
}

static int make_idle(const struct client *client, struct files_owner *owner,
		     struct error **ret_error)
{
	struct handle *handle = owner->handle;
	_cleanup_free_ char *directory = state_path(handle->root, handle->id, NULL);
	_cleanup_strv_ char **disks = NULL;

	if (run_disks_used(directory, &disks, ret_error) < 0)
		return -1;
	if (!disks)
		return error_set(ret_error, EBUSY,
				 "container %s has stopped, and what it had written was in its "
				 "machine's memory: only `run --disk` keeps it",
				 handle->id);
	/* First: we may be killed while the machine is made. */
	if (start_guard(owner, ret_error) < 0)
		return -1;
	return run_again_idle(client, handle, &owner->idle, ret_error);
}

static int open_owner(const struct client *client, const char *id, struct files_owner *owner,
		      struct error **ret_error)
{
	_cleanup_free_ char *bundle = state_path(client->root, id, CREATE_IMAGE_BUNDLE);
	enum container_status status;

	if (handle_open(client->root, id, &owner->handle, ret_error) < 0 ||
	    handle_status(owner->handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_STOPPED || access(bundle, F_OK) < 0)
		return 0;
	/* Again: nobody starts it meanwhile. */
	handle_free(TAKE_PTR(owner->handle));
	if (handle_open_locked(client->root, id, &owner->handle, ret_error) < 0 ||
	    handle_status(owner->handle, &status, ret_error) < 0)
		return -1;
	return status == STATUS_STOPPED ? make_idle(client, owner, ret_error) : 0;
}

int files_owner_open(const struct client *client, const char *id, struct files_owner *ret_owner,
		     struct error **ret_error)
{
	struct files_owner owner = FILES_OWNER_NONE;

	if (open_owner(client, id, &owner, ret_error) < 0) {
		files_owner_close(&owner);
		return -1;
	}
	*ret_owner = owner;
	return 0;
}

void files_owner_close(struct files_owner *owner)
{
	int status = 0;

	handle_free(TAKE_PTR(owner->idle));
	close_fdp(&owner->guard_fd);
	owner->guard_fd = -1;
	while (owner->guard > 0 && waitpid(owner->guard, &status, 0) < 0 && errno == EINTR)
		;
	if (owner->guard > 0 && status != 0)
		log_warning("container %s: the machine for its files has not ended",
			    owner->handle->id);
	handle_free(TAKE_PTR(owner->handle));
}

/* ---- on the host ---- */

/* Below the root that the container has: links in it lead nowhere else. */
static void __attribute__((noreturn)) be_tool(const struct tool *tool, const char *root, int errors)
{
	_cleanup_error_ struct error *error = NULL;

	const struct exec_tool run = { .name = tool->name,
				       .args = tool->args,
				       .in = tool->in,
				       .out = tool->out,
				       .errors = errors,
				       .upper = -1,
				       .merged = -1 };

	if (chroot(root) == 0 && chdir("/") == 0)
		_exit(exec_tool_run(&run));
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
	static const char *const usual[] = { "CAP_CHOWN",   "CAP_DAC_OVERRIDE",
					     "CAP_FOWNER",  "CAP_FSETID",
					     "CAP_MKNOD",   "CAP_DAC_READ_SEARCH",
					     "CAP_SETFCAP", NULL };
	/* overlayfs' own attributes are shown to CAP_SYS_ADMIN alone. */
	static const char *const of_changes[] = { "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
						  "CAP_SYS_ADMIN", NULL };
	const struct exec_overrides overrides = { .args = tool->args,
						  .cwd = "/",
						  .user = "0:0",
						  .capabilities =
						      tool->is_changes ? of_changes : usual };
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
	static const char *const names[] = { "fd:0", "fd:1", "fd:2" };
	struct exec_call call = { .id = files->exec, .process = process };
	int fds[ARRAY_SIZE(names)];

	if (tool->in >= 0) {
		call.in = names[call.n_fds];
		fds[call.n_fds++] = tool->in;
	}
	if (tool->out >= 0) {
		call.out = names[call.n_fds];
		fds[call.n_fds++] = tool->out;
	}
	call.error = names[call.n_fds];
	fds[call.n_fds++] = files->errors;
	call.fds = fds;
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
	enum container_status status;

	if (handle_status(files->handle, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_RUNNING || status == STATUS_CREATED)
		return start_in_guest(files, tool, ret_error);
	if (status != STATUS_STOPPED || !files->handle->state->rootfs || tool->is_changes)
		return error_set(ret_error, EBUSY, "container %s is %s", files->handle->id,
				 container_status_name(status));
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

/* Where the tool's streams come from, and go. */
static int open_streams(struct container_files *files, struct tool *tool, bool reads,
			struct error **ret_error)
{
	if (reads && pipe_open(&files->stream, &tool->out, ret_error) < 0)
		return -1;
	if (!reads)
		return pipe_open(&tool->in, &files->stream, ret_error);
	return tool->is_changes ? pipe_open(&tool->in, &files->wait, ret_error) : 0;
}

static int start(const struct files_owner *owner, struct tool *tool, bool reads,
		 struct container_files *ret_files, struct error **ret_error)
{
	struct container_files files = { .handle = owner->idle ? owner->idle : owner->handle,
					 .source = reads ? tool->args[0] : NULL,
					 .stream = -1,
					 .wait = -1,
					 .errors = -1 };
	int result = -1;

	(void)signal(SIGPIPE, SIG_IGN); /* that the other side is gone it says itself */
	tool->in = tool->out = -1;
	files.errors = make_errors(ret_error);
	if (files.errors >= 0 && open_streams(&files, tool, reads, ret_error) == 0)
		result = start_where_it_is(&files, tool, ret_error);
	close_fdp(&tool->in);
	close_fdp(&tool->out);
	if (result == 0) {
		*ret_files = files;
		return 0;
	}
	close_fdp(&files.stream);
	close_fdp(&files.wait);
	close_fdp(&files.errors);
	return -1;
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

int container_files_read(const struct files_owner *owner, const char *path, const char *name,
			 const char *const *flags, struct container_files *ret_files,
			 struct error **ret_error)
{
	_cleanup_free_ const char **args = make_args(path, name ? name : "", flags);
	struct tool tool = { .name = SPEC_TOOL_PACK, .args = args };

	return start(owner, &tool, true, ret_files, ret_error);
}

int container_files_write(const struct files_owner *owner, const char *path,
			  const char *const *flags, struct container_files *ret_files,
			  struct error **ret_error)
{
	_cleanup_free_ const char **args = make_args(path, NULL, flags);
	struct tool tool = { .name = SPEC_TOOL_UNPACK, .args = args };

	return start(owner, &tool, false, ret_files, ret_error);
}

/* What docker makes in a layer of its own, below the container's: no change of the image's files.
 * That of a volume is one. */
static bool is_usual_mount(const char *path)
{
	static const char *const usual[] = { "/dev",	   "/proc",	    "/sys",
					     "/etc/hosts", "/etc/hostname", "/etc/resolv.conf" };

	for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
		const size_t size = strlen(usual[i]);

		if (strncmp(path, usual[i], size) == 0 && (path[size] == '\0' || path[size] == '/'))
			return true;
	}
	return false;
}

/* Those of passt's network are mounts of the task server's own, which has made the files
 * (sandbox/resolver.h). */
static void add_names(const struct handle *handle, char ***args)
{
	static const char *const names[] = { "hosts", "hostname", "resolv.conf" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *file = state_path(handle->root, handle->id, names[i]);
		_cleanup_free_ char *destination = xasprintf("/etc/%s", names[i]);

		if (access(file, F_OK) == 0)
			strv_append(args, destination);
	}
}

/* The words of SPEC_TOOL_CHANGES. */
static int find_mount_points(const struct handle *handle, bool names_only, char ***ret_args,
			     struct error **ret_error)
{
	const char *config = handle->state->config;
	_cleanup_(spec_freep) struct spec *spec = NULL;

	if (spec_parse(config, strlen(config), &spec, ret_error) < 0)
		return -1;
	if (names_only)
		strv_append(ret_args, SPEC_TOOL_NAMES);
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (is_usual_mount(spec->mounts[i].destination))
			strv_append(ret_args, spec->mounts[i].destination);
	add_names(handle, ret_args);
	return 0;
}

int container_files_changes(const struct files_owner *owner, bool names_only,
			    struct container_files *ret_files, struct error **ret_error)
{
	const struct handle *handle = owner->handle;
	_cleanup_free_ char *bundle = state_path(handle->root, handle->id, CREATE_IMAGE_BUNDLE);
	_cleanup_strv_ char **args = NULL;
	struct tool tool = { .name = SPEC_TOOL_CHANGES, .is_changes = true };

	if (access(bundle, F_OK) < 0 || !handle->state->config)
		return error_set(ret_error, ENOTSUP,
				 "container %s is not of an image, whose files it could have "
				 "changed",
				 handle->id);
	if (find_mount_points(handle, names_only, &args, ret_error) < 0)
		return -1;
	/* An exec has a word at least. */
	strv_append(&args, "/");
	tool.args = (const char **)args;
	return start(owner, &tool, true, ret_files, ret_error);
}

void container_files_go(struct container_files *files)
{
	close_fdp(&files->wait);
	files->wait = -1;
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
	close_fdp(&files->wait);
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
