/*
 * `exec`: a process stands for it, the verb itself or, detached, a child that is an
 * orphan once the verb has ended: it calls Exec and Start, waits, and ends with the
 * program's status.
 *
 *   verb ──fork──► proxy: Exec, Start ──report──► verb: pid file, exit
 *                  proxy: Wait … exits with the status
 *
 * The proxy leads a session whose controlling terminal is the slave, so that whoever
 * holds the master (conmon) tells it of a new size by SIGWINCH.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime-spec/attach.h"
#include "runtime-spec/container.h"
#include "runtime-spec/exec-process.h"
#include "runtime-spec/spec.h"
#include "runtime-spec/terminal.h"
#include "runtime-spec/verb.h"

struct exec_options {
	const char *console_socket, *cwd, *user, *process, *pid_file, *process_label, *apparmor;
	const char **env, **additional_gids, **capabilities;
	bool tty, detach, no_new_privileges, ignore_paused;
	uint64_t preserve_fds;
};
#define FIELD(name) offsetof(struct exec_options, name)

static const struct option_def options[] = {
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),
	  "unix socket that receives the master of the process's terminal" },
	{ "cwd", 0, OPTION_STRING, FIELD(cwd), "current directory in the container" },
	{ "env", 'e', OPTION_STRINGS, FIELD(env), "set an environment variable (NAME=value)" },
	{ "tty", 't', OPTION_FLAG, FIELD(tty), "allocate a terminal" },
	{ "user", 'u', OPTION_STRING, FIELD(user), "UID[:GID]" },
	{ "additional-gids", 'g', OPTION_STRINGS, FIELD(additional_gids), "additional group id" },
	{ "process", 'p', OPTION_STRING, FIELD(process),
	  "file with the JSON of the process to run" },
	{ "detach", 'd', OPTION_FLAG, FIELD(detach), "do not wait for the process" },
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),
	  "write the id of the process that stands for it there" },
	{ "process-label", 0, OPTION_STRING, FIELD(process_label), "SELinux label of the process" },
	{ "apparmor", 0, OPTION_STRING, FIELD(apparmor), "AppArmor profile of the process" },
	{ "no-new-privs", 0, OPTION_FLAG, FIELD(no_new_privileges), "set no_new_privs" },
	{ "cap", 'c', OPTION_STRINGS, FIELD(capabilities), "add a capability" },
	{ "preserve-fds", 0, OPTION_COUNT, FIELD(preserve_fds),
	  "additional file descriptors: only 0 is supported" },
	{ "ignore-paused", 0, OPTION_FLAG, FIELD(ignore_paused),
	  "allow it in a paused container (it runs once that is resumed)" },
	{ "cgroup", 0, OPTION_IGNORED_VALUE, 0, "run it in a sub-cgroup" },
	OPTION_END
};

struct exec {
	struct container *container;
	const struct exec_options *options;
	char *process; /* JSON */
	bool wants_terminal;
	uint32_t width, height;
	char id[32];
	struct terminal terminal;
};

static void exec_done(struct exec *exec)
{
	container_free(exec->container);
	free(exec->process);
	terminal_close(&exec->terminal);
}
#define _cleanup_exec_ _cleanup_(exec_done)

static int build_process(struct exec *exec, const char *const *args, struct error **ret_error)
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
	};

	if (values->process)
		return read_file(values->process, SPEC_SIZE_MAX, &exec->process, NULL, ret_error);
	if (!args[0])
		return error_set(ret_error, EINVAL, "process args cannot be empty");
	return exec_process_json(exec->container->state->config ? exec->container->state->config
								: "{}",
				 &overrides, &exec->process, ret_error);
}

/* What would be refused later is refused here, with the path of the fault. */
static int check_process(struct exec *exec, struct error **ret_error)
{
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;

	if (spec_parse_process(exec->process, strlen(exec->process), &process, ret_error) < 0)
		return error_wrap(ret_error, "%s",
				  exec->options->process ? exec->options->process : "process");
	exec->wants_terminal = process->terminal;
	exec->width = process->console_width;
	exec->height = process->console_height;
	return terminal_check(process->terminal, exec->options->detach,
			      exec->options->console_socket, ret_error);
}

static int check_status(const struct exec *exec, struct error **ret_error)
{
	enum container_status status;

	if (container_status(exec->container, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "cannot exec in a %s container",
				 container_status_name(status));
	if (status == STATUS_PAUSED && !exec->options->ignore_paused)
		return error_set(ret_error, EBUSY,
				 "cannot exec in a paused container (use --ignore-paused to "
				 "override)");
	return 0;
}

static int call_exec(struct exec *exec, struct error **ret_error)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	Task__Any spec = TASK__ANY__INIT;
	ProtobufCMessage *response = NULL;
	const bool tty = exec->terminal.slave >= 0;
	const int stdio[] = { tty ? exec->terminal.slave : STDIN_FILENO, STDOUT_FILENO,
			      STDERR_FILENO };

	spec.type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/Process";
	spec.value.data = (uint8_t *)exec->process;
	spec.value.len = strlen(exec->process);
	request.id = exec->container->id;
	request.exec_id = exec->id;
	request.terminal = tty;
	request.spec = &spec;
	request.stdin = (char *)"fd:0";
	if (!tty) {
		request.stdout = (char *)"fd:1";
		request.stderr = (char *)"fd:2";
	}
	if (ttrpc_call_sync(exec->container->server_fd, TASK_SERVICE, "Exec", &request.base, stdio,
			    tty ? 1 : 3, &task__empty__descriptor, CALL_TIMEOUT_MS, &response,
			    ret_error) < 0)
		return -1;
	protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

static void call_delete(const struct exec *exec)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;

	request.id = exec->container->id;
	request.exec_id = (char *)exec->id;
	(void)container_call(exec->container, "Delete", &request.base,
			     &task__delete_response__descriptor, CALL_TIMEOUT_MS, NULL, NULL);
}

/* The attachment's start(): signals are held, so none is lost once it runs. */
static int start(void *data, struct error **ret_error)
{
	struct exec *exec = data;
	Task__StartRequest request = TASK__START_REQUEST__INIT;

	if (call_exec(exec, ret_error) < 0)
		return -1;
	request.id = exec->container->id;
	request.exec_id = exec->id;
	if (container_call(exec->container, "Start", &request.base,
			   &task__start_response__descriptor, 0, NULL, ret_error) < 0) {
		call_delete(exec);
		return -1;
	}
	return 0;
}

static int write_pid_file(const char *path, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("%d", pid);

	return path ? write_file_atomic(path, text, strlen(text), 0644, ret_error) : 0;
}

static int start_attached(void *data, struct error **ret_error)
{
	struct exec *exec = data;

	if (start(exec, ret_error) < 0)
		return -1;
	/* The server has its own now: the last one gone is the end of the output. */
	close_fdp(&exec->terminal.slave);
	exec->terminal.slave = -1;
	return write_pid_file(exec->options->pid_file, getpid(), ret_error);
}

static int run_attached(struct exec *exec, struct error **ret_error)
{
	const struct attachment attachment = { .container = exec->container,
					       .exec_id = exec->id,
					       .master = TAKE_FD(exec->terminal.master),
					       .slave = -1,
					       .start = start_attached,
					       .data = exec };
	unsigned status;

	if (attach_run(&attachment, &status, ret_error) < 0)
		return -1;
	call_delete(exec);
	return (int)status;
}

/* ---- detached ---- */

struct proxy {
	struct exec *exec;
	int report;
};

/* Tells the verb how it went: nothing but an end for success, else the message. */
static int start_detached(void *data, struct error **ret_error)
{
	const struct proxy *proxy = data;
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (start(proxy->exec, ret_error) < 0)
		return -1;
	/* The caller's pipes are the server's now; they must end with the program. */
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null >= 0)
		(void)close(null);
	(void)!write(proxy->report, "", 1);
	(void)close(proxy->report);
	return 0;
}

static void __attribute__((noreturn)) run_proxy(struct exec *exec, int report)
{
	struct proxy proxy = { .exec = exec, .report = report };
	const struct attachment attachment = { .container = exec->container,
					       .exec_id = exec->id,
					       .master = -1,
					       .slave = exec->terminal.slave,
					       .start = start_detached,
					       .data = &proxy };
	struct error *error = NULL;
	unsigned status;

	(void)setsid();
	close_fdp(&exec->terminal.master);
	exec->terminal.master = -1;
	if (exec->terminal.slave >= 0)
		(void)ioctl(exec->terminal.slave, TIOCSCTTY, 0);
	if (attach_run(&attachment, &status, &error) < 0) {
		/* After the report nobody reads this, and there is no such failure. */
		(void)!write(report, error->message, strlen(error->message));
		_exit(255);
	}
	call_delete(exec);
	_exit((int)status);
}

static int run_detached(struct exec *exec, struct error **ret_error)
{
	char message[1024];
	_cleanup_close_ int report_in = -1, report_out = -1;
	int report[2];
	ssize_t n;
	pid_t pid;

	if (exec->options->console_socket &&
	    terminal_send(&exec->terminal, exec->options->console_socket, ret_error) < 0)
		return -1;
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pipe");
	report_in = report[0];
	report_out = report[1];
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process");
	if (pid == 0) {
		(void)close(report_in);
		run_proxy(exec, report_out);
	}
	close_fdp(&report_out);
	report_out = -1;
	n = read_all(report_in, message, sizeof(message) - 1);
	if (n == 1 && message[0] == '\0')
		return write_pid_file(exec->options->pid_file, pid, ret_error);
	(void)waitpid(pid, NULL, 0);
	message[MAX(n, 0)] = '\0';
	return error_set(ret_error, EIO, "%s", n > 0 ? message : "the exec's process died");
}

static int make_id(struct exec *exec, struct error **ret_error)
{
	uint64_t random;

	/* Unique among the container's execs, whoever makes them. */
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set_errno(ret_error, errno, "no random numbers");
	(void)snprintf(exec->id, sizeof(exec->id), "exec-%016llx", (unsigned long long)random);
	return 0;
}

static int run_exec(const struct command *command, struct error **ret_error)
{
	_cleanup_exec_ struct exec exec = { .options = command->options,
					    .terminal = TERMINAL_NONE };

	if (exec.options->preserve_fds > 0)
		return error_set(ret_error, ENOTSUP,
				 "--preserve-fds %llu: descriptors of the host cannot reach the "
				 "guest: only 0 is supported",
				 (unsigned long long)exec.options->preserve_fds);
	if (container_open(command->globals->root, command->args[0], &exec.container, ret_error) <
		0 ||
	    check_status(&exec, ret_error) < 0 ||
	    build_process(&exec, command->args + 1, ret_error) < 0 ||
	    check_process(&exec, ret_error) < 0 || make_id(&exec, ret_error) < 0)
		return -1;
	if (exec.wants_terminal &&
	    terminal_open(&exec.terminal, exec.width, exec.height, ret_error) < 0)
		return -1;
	return exec.options->detach ? run_detached(&exec, ret_error)
				    : run_attached(&exec, ret_error);
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
	    "The process is that of the container's config.json with another command and what\n"
	    "   the options say; or that of FILE. Ends with its status; 255 where it could not\n"
	    "   be started.",
	.options = options,
	.options_size = sizeof(struct exec_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.stop_at_argument = true,
	.failure = 255,
	.run = run,
};
