/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exec`: a process stands for it, the verb itself or, detached, a child that is an
 * orphan once the verb has ended: it calls Exec and Start, waits, and ends with the
 * program's status.
 *
 *   verb ──fork──► proxy: Exec, Start ──report──► verb: pid file, exit
 *                  proxy: Wait … exits with the status
 *
 * The proxy leads a session whose controlling terminal is the slave, so that the
 * holder of the master (conmon) tells it of a new size by SIGWINCH.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "cli/attach.h"
#include "cli/exec-calls.h"
#include "cli/run-output.h"
#include "cli/run-restored.h"
#include "cli/verb.h"
#include "client/caller.h"
#include "client/handle.h"
#include "client/exec-process.h"
#include "client/interrupt.h"
#include "client/pty.h"
#include "runtime-spec/spec.h"

/* How long a process that is to end may take to be started first. */
#define ABANDON_MS 10000
/* How often a paused container is looked at. */
#define RESUME_POLL_MS 50

struct exec_options {
	const char *console_socket, *cwd, *user, *process, *pid_file, *pidfd_socket, *process_label,
	    *apparmor;
	const char **env, **additional_gids, **capabilities, **cgroups;
	bool interactive, tty, detach, no_new_privileges, ignore_paused;
	uint64_t preserve_fds;
};
#define FIELD(name) offsetof(struct exec_options, name)

static const struct option_def options[] = {
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),
	  "unix socket that receives the master of the process's terminal" },
	{ "cwd", 0, OPTION_STRING, FIELD(cwd), "current directory in the container" },
	{ "workdir", 'w', OPTION_STRING, FIELD(cwd), "the same" },
	{ "interactive", 'i', OPTION_FLAG, FIELD(interactive),
	  "the process reads our standard input (in a container of a bundle, it always does)" },
	{ "env", 'e', OPTION_STRINGS, FIELD(env), "set an environment variable (NAME=value)" },
	{ "tty", 't', OPTION_FLAG, FIELD(tty), "allocate a terminal" },
	{ "user", 'u', OPTION_STRING, FIELD(user),
	  "UID[:GID]; in a container of an image also USER[:GROUP], by name" },
	{ "additional-gids", 'g', OPTION_STRINGS, FIELD(additional_gids), "additional group id" },
	{ "process", 'p', OPTION_STRING, FIELD(process),
	  "file with the JSON of the process to run" },
	{ "detach", 'd', OPTION_FLAG, FIELD(detach), "do not wait for the process" },
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),
	  "write the pid of the process's proxy to this file" },
	{ "pidfd-socket", 0, OPTION_STRING, FIELD(pidfd_socket),
	  "unix socket that receives a pidfd of the process's proxy" },
	{ "process-label", 0, OPTION_STRING, FIELD(process_label), "SELinux label of the process" },
	{ "apparmor", 0, OPTION_STRING, FIELD(apparmor), "AppArmor profile of the process" },
	{ "no-new-privs", 0, OPTION_FLAG, FIELD(no_new_privileges), "set no_new_privs" },
	{ "cap", 'c', OPTION_STRINGS, FIELD(capabilities), "add a capability" },
	{ "preserve-fds", 0, OPTION_COUNT, FIELD(preserve_fds),
	  "pass so many file descriptors, from 3 on" },
	{ "ignore-paused", 0, OPTION_FLAG, FIELD(ignore_paused),
	  "in a paused container, wait until it is resumed" },
	{ "cgroup", 0, OPTION_STRINGS, FIELD(cgroups),
	  "run it in this cgroup below the container's, which exists" },
	OPTION_END
};

struct exec {
	struct handle *handle;
	const struct exec_options *options;
	bool of_image; /* its container is: what is asked for is meant as docker's */
	char *process; /* JSON */
	bool wants_terminal;
	uint32_t width, height;
	char id[32];
	struct pty pty;
	struct interrupts interrupts;
	struct caller_fds fds;
};

static void exec_done(struct exec *exec)
{
	handle_free(exec->handle);
	free(exec->process);
	pty_close(&exec->pty);
}
#define _cleanup_exec_ _cleanup_(exec_done)

static int read_process(struct exec *exec, const char *const *args, struct error **ret_error)
{
	const struct exec_options *values = exec->options;
	const struct exec_overrides overrides = {
		.args = args,
		.env = values->env,
		.cwd = values->cwd,
		.user = values->user,
		.apparmor = values->apparmor,
		.process_label = values->process_label,
		.additional_gids = values->additional_gids,
		.capabilities = values->capabilities,
		.terminal = values->tty,
		.no_new_privileges = values->no_new_privileges,
		.user_by_name = exec->of_image,
	};

	if (values->process)
		return read_file(values->process, SPEC_SIZE_MAX, &exec->process, NULL, ret_error);
	if (!args[0])
		return error_set(ret_error, EINVAL, "process args cannot be empty");
	return exec_process_json(exec->handle->state->config ? exec->handle->state->config : "{}",
				 &overrides, &exec->process, ret_error);
}

static int build_process(struct exec *exec, const char *const *args, struct error **ret_error)
{
	const char *cgroup;

	if (exec_process_cgroup(exec->options->cgroups, &cgroup, ret_error) < 0 ||
	    read_process(exec, args, ret_error) < 0)
		return -1;
	return cgroup ? exec_process_put(&exec->process, SPEC_EXEC_CGROUP, cgroup, ret_error) : 0;
}

/* Docker's detached ones: what they write goes nowhere, and nobody holds their terminal. */
static bool has_no_streams(const struct exec *exec)
{
	return exec->of_image && exec->options->detach && !exec->options->console_socket;
}

/* What would be refused later is refused here, with the path of the fault. */
static int check_process(struct exec *exec, struct error **ret_error)
{
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;

	if (spec_parse_process(exec->process, strlen(exec->process), &process, ret_error) < 0)
		return error_wrap(ret_error, "%s",
				  exec->options->process ? exec->options->process : "process");
	spec_process_log_warnings(process);
	exec->wants_terminal = process->terminal;
	exec->width = process->console_width;
	exec->height = process->console_height;
	if (has_no_streams(exec))
		return 0;
	if (pty_check(process->terminal, exec->options->detach, exec->options->console_socket,
		      ret_error) < 0)
		return -1;
	if (!exec->of_image)
		return pty_check_own(process->terminal, exec->options->detach, ret_error);
	/* Docker's rule: the terminal is the container's, and only what is typed must come from
	 * one.
	 */
	if (process->terminal && exec->options->interactive && !isatty(STDIN_FILENO))
		return error_set(ret_error, ENOTTY, "the input device is not a TTY");
	return 0;
}

static int check_status(const struct exec *exec, struct error **ret_error)
{
	enum container_status status;

	for (;;) {
		if (handle_status(exec->handle, &status, ret_error) < 0)
			return -1;
		/* runc's process is frozen with the others, and the verb waits with it. */
		if (status != STATUS_PAUSED || !exec->options->ignore_paused)
			break;
		(void)poll(NULL, 0, RESUME_POLL_MS);
	}
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "cannot exec in a %s container",
				 container_status_name(status));
	if (status == STATUS_PAUSED)
		return error_set(ret_error, EBUSY,
				 "cannot exec in a paused container (use --ignore-paused to "
				 "override)");
	return 0;
}

static int call_exec(struct exec *exec, struct error **ret_error)
{
	const bool tty = exec->pty.slave >= 0, none = has_no_streams(exec);
	int fds[FD_PASS_MAX] = { tty ? exec->pty.slave : STDIN_FILENO, STDOUT_FILENO,
				 STDERR_FILENO };
	struct exec_call call = { .id = exec->id,
				  .process = exec->process,
				  .in = none ? NULL : "fd:0",
				  .out = none || tty ? NULL : "fd:1",
				  .error = none || tty ? NULL : "fd:2",
				  .terminal = exec->wants_terminal,
				  .fds = fds,
				  .n_fds = none	 ? 0
					   : tty ? 1
						 : 3 };

	caller_add_fds(&exec->fds, fds, &call.n_fds);
	if (exec_call_new(exec->handle, &call, ret_error) < 0)
		return -1;
	caller_close_fds(&exec->fds);
	return 0;
}

/* True: it is gone. */
static bool call_delete(const struct exec *exec)
{
	_cleanup_error_ struct error *error = NULL;

	return exec_call_delete(exec->handle, exec->id, &error) == 0 || error->code == ENOENT ||
	       error->code == ECONNRESET;
}

static void call_kill(const struct exec *exec)
{
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;

	request.id = exec->handle->id;
	request.exec_id = (char *)exec->id;
	request.signal = SIGKILL;
	(void)handle_call(exec->handle, "Kill", &request.base, &task__empty__descriptor,
			  CALL_TIMEOUT_MS, NULL, NULL);
}

/* Nobody is there for it any more, whatever has become of it; one that is being started
 * can be killed only then. */
static void abandon(const struct exec *exec)
{
	const uint64_t end_ns = clock_monotonic_ns() + ABANDON_MS * UINT64_C(1000000);

	handle_reconnect(exec->handle);
	while (!call_delete(exec) && clock_monotonic_ns() < end_ns) {
		call_kill(exec);
		(void)poll(NULL, 0, 20);
	}
}

/* A signal came before Start's answer: a process that runs gets it. */
static bool has_started(const struct exec *exec)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	bool result;

	handle_reconnect(exec->handle);
	request.id = exec->handle->id;
	request.exec_id = (char *)exec->id;
	if (handle_call(exec->handle, "State", &request.base, &task__state_response__descriptor,
			CALL_TIMEOUT_MS, &message, NULL) < 0)
		return false;
	result = ((Task__StateResponse *)message)->status != TASK__STATUS__CREATED;
	protobuf_c_message_free_unpacked(message, NULL);
	return result;
}

/* The attachment's start(): signals are held, so none is lost once it runs. */
static int start(void *data, struct error **ret_error)
{
	struct exec *exec = data;
	bool started;

	started = call_exec(exec, ret_error) == 0 &&
		  exec_call_start(exec->handle, exec->id, 0, ret_error) == 0;
	if (!started && (*ret_error)->code == ECANCELED && has_started(exec)) {
		error_free(TAKE_PTR(*ret_error));
		started = true;
	}
	exec->handle->cancel_fd = -1;
	if (started)
		return 0;
	abandon(exec);
	return -1;
}

static int tell_pid(const struct exec *exec, pid_t pid, struct error **ret_error)
{
	if (caller_write_pid(exec->options->pid_file, pid, ret_error) < 0)
		return -1;
	return caller_send_pidfd(exec->options->pidfd_socket, pid, ret_error);
}

static int start_attached(void *data, struct error **ret_error)
{
	struct exec *exec = data;

	if (start(exec, ret_error) < 0)
		return -1;
	/* The server has its own now: the last one gone is the end of the output. */
	close_fdp(&exec->pty.slave);
	exec->pty.slave = -1;
	if (tell_pid(exec, getpid(), ret_error) == 0)
		return 0;
	abandon(exec);
	return -1;
}

static int run_attached(struct exec *exec, struct error **ret_error)
{
	const struct attachment attachment = { .handle = exec->handle,
					       .exec_id = exec->id,
					       .master = TAKE_FD(exec->pty.master),
					       .slave = -1,
					       .start = start_attached,
					       .data = exec };
	unsigned status;

	if (attach_run(&attachment, &status, ret_error) < 0)
		return -1;
	(void)call_delete(exec);
	return (int)status;
}

/* ---- detached ---- */

struct proxy {
	struct exec *exec;
	int report;
};

/* Tells the verb how it went: a NUL for success, else the message.  A verb that has been
 * killed has told nobody of the process. */
static int start_detached(void *data, struct error **ret_error)
{
	const struct proxy *proxy = data;
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool told;

	if (null < 0)
		return error_set_errno(ret_error, errno, "cannot open /dev/null");
	if (start(proxy->exec, ret_error) < 0)
		return -1;
	/* The caller's pipes are the server's now; they must end with the program. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	told = write(proxy->report, "", 1) == 1;
	(void)close(proxy->report);
	if (told)
		return 0;
	abandon(proxy->exec);
	return error_set(ret_error, ECANCELED, "the exec command was killed");
}

static void __attribute__((noreturn)) run_proxy(struct exec *exec, int report)
{
	struct proxy proxy = { .exec = exec, .report = report };
	const struct attachment attachment = { .handle = exec->handle,
					       .exec_id = exec->id,
					       .master = -1,
					       .slave = exec->pty.slave,
					       .start = start_detached,
					       .data = &proxy };
	struct error *error = NULL;
	unsigned status;

	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN); /* the report's reader may be gone */
	close_fdp(&exec->pty.master);
	exec->pty.master = -1;
	if (exec->pty.slave >= 0)
		(void)ioctl(exec->pty.slave, TIOCSCTTY, 0);
	if (attach_run(&attachment, &status, &error) < 0) {
		/* After the report nobody reads this, and there is no such failure. */
		(void)!write(report, error->message, strlen(error->message));
		_exit(255);
	}
	(void)call_delete(exec);
	_exit((int)status);
}

/* What the proxy tells.  A signal is passed on to it: then it gives up, or the process gets
 * it. */
static ssize_t read_report(const struct exec *exec, pid_t pid, int fd, char *message, size_t size)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
				{ .fd = exec->interrupts.fd, .events = POLLIN } };

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno == EINTR)
		;
	if (!fds[0].revents)
		(void)kill(pid, SIGTERM);
	return read_all(fd, message, size);
}

static int run_detached(struct exec *exec, struct error **ret_error)
{
	char message[1024];
	_cleanup_close_ int report = -1;
	ssize_t n;
	pid_t pid;

	if (exec->options->console_socket &&
	    pty_send(&exec->pty, exec->options->console_socket, ret_error) < 0)
		return -1;
	pid = child_fork(&report, ret_error);
	if (pid < 0)
		return -1;
	if (pid == 0)
		run_proxy(exec, report);
	n = read_report(exec, pid, report, message, sizeof(message) - 1);
	if (n == 1 && message[0] == '\0') {
		if (tell_pid(exec, pid, ret_error) == 0)
			return 0;
		abandon(exec);
		return -1;
	}
	(void)waitpid(pid, NULL, 0);
	message[MAX(n, 0)] = '\0';
	return error_set(ret_error, EIO, "%s", n > 0 ? message : "the exec's proxy process died");
}

static int make_id(struct exec *exec, struct error **ret_error)
{
	uint64_t random;

	/* Unique among the container's execs, of all callers. */
	if (random_bytes(&random, sizeof(random), ret_error) < 0)
		return -1;
	(void)snprintf(exec->id, sizeof(exec->id), "exec-%016llx", (unsigned long long)random);
	return 0;
}

static int run_exec(const struct command *command, struct error **ret_error)
{
	_cleanup_exec_ struct exec exec = { .options = command->options,
					    .pty = PTY_NONE,
					    .interrupts = INTERRUPTS_NONE };
	int result;

	if (caller_find_fds(exec.options->preserve_fds, false, &exec.fds, ret_error) < 0)
		return -1;
	if (handle_open(command->globals->client.root, command->args[0], &exec.handle, ret_error) <
		0 ||
	    check_status(&exec, ret_error) < 0)
		return -1;
	exec.of_image = run_restored_applies(&command->globals->client, command->args[0]);
	if (build_process(&exec, command->args + 1, ret_error) < 0 ||
	    check_process(&exec, ret_error) < 0 || make_id(&exec, ret_error) < 0)
		return -1;
	if (exec.wants_terminal && !has_no_streams(&exec) &&
	    pty_open(&exec.pty, exec.width, exec.height, ret_error) < 0)
		return -1;
	if (exec.of_image && !exec.options->interactive && !exec.options->tty &&
	    !exec.options->process &&
	    run_output_replace(STDIN_FILENO, "/dev/null", O_RDONLY, ret_error) < 0)
		return -1;
	if (interrupts_hold(&exec.interrupts, ret_error) < 0)
		return -1;
	exec.handle->cancel_fd = exec.interrupts.fd;
	result =
	    exec.options->detach ? run_detached(&exec, ret_error) : run_attached(&exec, ret_error);
	if (result < 0)
		interrupts_let_through(&exec.interrupts);
	return result;
}

static int run(const struct command *command, struct error **ret_error)
{
	const int result = run_exec(command, ret_error);

	return result < 0 ? error_wrap(ret_error, "exec failed") : result;
}

const struct verb verb_exec = {
	.name = "exec",
	.arguments = "<container-id> <command> [arguments...] || --process FILE <container-id>",
	.summary = "execute another process inside a container",
	.description =
	    "The process is the one of the container's config.json with another command and the\n"
	    "   changes of the options, or the one in FILE. The exit status is the process's; 255\n"
	    "   if it could not be started.",
	.options = options,
	.options_size = sizeof(struct exec_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.stop_at_argument = true,
	.failure = 255,
	.run = run,
};
