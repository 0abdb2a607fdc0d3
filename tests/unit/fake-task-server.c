/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task server without a machine, for the command line's tests: it runs the
 * container's programs as processes of the host, with the stdio it was given.
 *
 * It is what containerd-shim-supermachine-v1 is to the verbs: `serve --root R --id I`,
 * fd 3 listening. The process that stands for the container is an orphan that ends
 * with init's status. args[0] of config.json may be "fail-create" (Create is refused),
 * "unavailable-create" (likewise, with a code that a lost connection has too),
 * "die-create" (the server dies with words on stderr), "slow-create FILE" (Create is
 * answered when there is a FILE) or "stuck-create" (it never answers). That of a
 * process may be "stuck-start" (Start never does anything) or "slow-start" (the program
 * follows; Start is answered two seconds after it runs). What it is told is written to
 * stderr, one line a call.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "runtime-spec/spec.h"
#include "ttrpc/any.h"
#include "ttrpc/ttrpc.h"

#define PROCESSES_MAX 16
#define WAITERS_MAX 16

struct process {
	bool used, deleted, started, ended, paused, terminal;
	char exec_id[64];
	char **args, **env;
	int fds[3];
	pid_t pid;
	unsigned status;
	struct ttrpc_call *waiters[WAITERS_MAX];
	size_t n_waiters;
	struct ttrpc_call *kill_call; /* a SIGKILL: answered when it has worked */
};

static struct {
	struct loop *loop;
	const char *id;
	pid_t stand_in; /* the container's pid */
	int stand_in_fd;
	uint64_t oom_kills;
	struct ttrpc_call *oom_call;
	struct spec *creating;
	struct process processes[PROCESSES_MAX]; /* [0]: init */
} fake;

static struct process *find(const char *exec_id)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (fake.processes[i].used && !fake.processes[i].deleted &&
		    strcmp(fake.processes[i].exec_id, exec_id) == 0)
			return &fake.processes[i];
	return NULL;
}

static struct process *known(struct ttrpc_call *call, const char *id, const char *exec_id)
{
	struct process *process = strcmp(id, fake.id) == 0 ? find(exec_id) : NULL;

	if (!process)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such task: %s %s", id, exec_id);
	return process;
}

static void reply_empty(struct ttrpc_call *call)
{
	const Task__Empty empty = TASK__EMPTY__INIT;

	ttrpc_call_reply(call, &empty.base);
}

/* An orphan that ends as it is told, and with us. */
static void make_stand_in(void)
{
	int pair[2], told[2];
	unsigned char status;
	pid_t pid, middle;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || pipe(told) < 0)
		abort();
	middle = fork();
	if (middle == 0) {
		pid = fork();
		if (pid > 0) {
			(void)!write(told[1], &pid, sizeof(pid));
			_exit(0);
		}
		(void)close(pair[0]);
		for (int fd = 0; fd <= 3; fd++)
			(void)close(fd);
		if (read(pair[1], &status, 1) == 1)
			_exit(status);
		(void)kill(getpid(), SIGKILL);
	}
	(void)waitpid(middle, NULL, 0);
	(void)close(pair[1]);
	if (read(told[0], &fake.stand_in, sizeof(fake.stand_in)) < 0)
		abort();
	(void)close(told[0]);
	(void)close(told[1]);
	fake.stand_in_fd = pair[0];
}

static struct process *add_process(const char *exec_id, const struct spec_process *spec,
				   struct ttrpc_call *call)
{
	struct process *process = fake.processes;

	while (process->used && process < &fake.processes[PROCESSES_MAX - 1])
		process++;
	*process = (struct process){ .used = true, .terminal = spec->terminal };
	(void)snprintf(process->exec_id, sizeof(process->exec_id), "%s", exec_id);
	for (size_t i = 0; i < strv_length(spec->args); i++)
		strv_append(&process->args, spec->args[i]);
	for (size_t i = 0; i < strv_length(spec->env); i++)
		strv_append(&process->env, spec->env[i]);
	for (size_t i = 0; i < 3; i++)
		process->fds[i] = ttrpc_call_take_fd(call, i);
	return process;
}

static void finish_create(void *data)
{
	struct ttrpc_call *call = data;
	Task__CreateTaskResponse response = TASK__CREATE_TASK_RESPONSE__INIT;

	make_stand_in();
	(void)add_process("", &fake.creating->process, call);
	spec_free(TAKE_PTR(fake.creating));
	response.pid = (uint32_t)fake.stand_in;
	ttrpc_call_reply(call, &response.base);
}

static void finish_slow_create(void *data)
{
	if (access(fake.creating->process.args[1], F_OK) == 0)
		finish_create(data);
	else
		(void)loop_add_timer(fake.loop, 50, "slow create", finish_slow_create, data);
}

static void on_create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__CreateTaskRequest *request = (const Task__CreateTaskRequest *)message;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *text = NULL, *publish = NULL;
	_cleanup_strv_ char **words = NULL;
	struct error *error = NULL;
	size_t size;
	Sandbox__CreateOptions *options =
	    (Sandbox__CreateOptions *)any_unpack(request->options, "supermachine.v1.CreateOptions",
						 &sandbox__create_options__descriptor);

	(void)data;
	if (!options || read_file(options->config, SPEC_SIZE_MAX, &text, &size, &error) < 0 ||
	    spec_parse(text, size, &spec, &error) < 0) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "%s",
				error ? error->message : "no options");
		return;
	}
	for (size_t i = 0; i < options->n_publish; i++)
		strv_append(&words, options->publish[i]);
	publish = strv_join(words, ",");
	(void)fprintf(
	    stderr,
	    "Create kernel=%s vcpus=%u memory=%llu accel=%s owner=%d tty=%d stdio=%s,%s,%s "
	    "root=%s mount=%s,%s network=%s publish=%s\n",
	    options->kernel, options->vcpus, (unsigned long long)options->memory_mib,
	    options->accel, options->terminal_owner, request->terminal, request->stdin,
	    request->stdout, request->stderr, options->root,
	    request->n_rootfs > 0 ? request->rootfs[0]->type : "none",
	    request->n_rootfs > 0 ? request->rootfs[0]->options[0] : "", options->network, publish);
	protobuf_c_message_free_unpacked(&options->base, NULL);
	if (strcmp(spec->process.args[0], "fail-create") == 0) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the machine did not boot");
		return;
	}
	if (strcmp(spec->process.args[0], "unavailable-create") == 0) {
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "the guest ended");
		return;
	}
	if (strcmp(spec->process.args[0], "die-create") == 0) {
		(void)fprintf(stderr, "these are my last words\n");
		_exit(1);
	}
	if (strcmp(spec->process.args[0], "stuck-create") == 0)
		return;
	if (strcmp(spec->process.args[0], "slow-create") == 0) {
		fake.creating = TAKE_PTR(spec);
		finish_slow_create(call);
		return;
	}
	fake.creating = TAKE_PTR(spec);
	finish_create(call);
}

static void on_exec(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ExecProcessRequest *request = (const Task__ExecProcessRequest *)message;
	_cleanup_(spec_process_freep) struct spec_process *spec = NULL;
	_cleanup_error_ struct error *error = NULL;

	(void)data;
	if (!known(call, request->id, ""))
		return;
	if (spec_parse_process((const char *)request->spec->value.data, request->spec->value.len,
			       &spec, &error) < 0) {
		ttrpc_call_fail_error(call, error);
		return;
	}
	(void)fprintf(stderr, "Exec %.*s\n", (int)request->spec->value.len,
		      (const char *)request->spec->value.data);
	(void)add_process(request->exec_id, spec, call);
	reply_empty(call);
}

static void __attribute__((noreturn)) run_program(const struct process *process)
{
	const int null = open("/dev/null", O_RDWR);
	char **args = process->args + (strcmp(process->args[0], "slow-start") == 0 ? 1 : 0);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	for (int i = 0; i < 3; i++) {
		const int fd = process->terminal ? process->fds[0] : process->fds[i];

		(void)dup2(fd >= 0 ? fd : null, i);
	}
	if (process->terminal)
		(void)ioctl(0, TIOCSCTTY, 0);
	(void)close_range(3, ~0u, 0);
	(void)execvpe(args[0], args, process->env);
	_exit(127);
}

static void finish_start(void *data)
{
	const Task__StartResponse response = TASK__START_RESPONSE__INIT;

	ttrpc_call_reply(data, &response.base);
}

static void on_start(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__StartRequest *request = (const Task__StartRequest *)message;
	Task__StartResponse response = TASK__START_RESPONSE__INIT;
	struct process *process = known(call, request->id, request->exec_id);

	(void)data;
	if (!process)
		return;
	if (process->started) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "already started");
		return;
	}
	if (strcmp(process->args[0], "no-such-program") == 0) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"no-such-program\": executable file not found in $PATH");
		return;
	}
	if (strcmp(process->args[0], "stuck-start") == 0)
		return;
	process->started = true;
	process->pid = fork();
	if (process->pid == 0)
		run_program(process);
	for (size_t i = 0; i < 3; i++) {
		close_fdp(&process->fds[i]);
		process->fds[i] = -1;
	}
	response.pid = (uint32_t)process->pid;
	if (strcmp(process->args[0], "slow-start") == 0)
		(void)loop_add_timer(fake.loop, 2000, "slow start", finish_start, call);
	else
		ttrpc_call_reply(call, &response.base);
}

static void answer_wait(struct ttrpc_call *call, const struct process *process)
{
	Task__WaitResponse response = TASK__WAIT_RESPONSE__INIT;

	response.exit_status = process->status;
	ttrpc_call_reply(call, &response.base);
}

static void process_ended(struct process *process, unsigned status)
{
	const unsigned char byte = (unsigned char)status;

	process->ended = true;
	process->status = status;
	for (size_t i = 0; i < process->n_waiters; i++)
		answer_wait(process->waiters[i], process);
	process->n_waiters = 0;
	if (process->kill_call)
		reply_empty(TAKE_PTR(process->kill_call));
	if (process == fake.processes)
		(void)!write(fake.stand_in_fd, &byte, 1);
}

static void on_child(void *data, const struct signalfd_siginfo *info)
{
	int status;
	pid_t pid;

	(void)data;
	(void)info;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < PROCESSES_MAX; i++)
			if (fake.processes[i].used && !fake.processes[i].ended &&
			    fake.processes[i].pid == pid)
				process_ended(&fake.processes[i],
					      WIFEXITED(status)
						  ? (unsigned)WEXITSTATUS(status)
						  : 128u + (unsigned)WTERMSIG(status));
}

static void on_wait(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__WaitRequest *request = (const Task__WaitRequest *)message;
	struct process *process = known(call, request->id, request->exec_id);

	(void)data;
	if (!process)
		return;
	if (process->ended || process->n_waiters == WAITERS_MAX)
		answer_wait(call, process);
	else
		process->waiters[process->n_waiters++] = call;
}

static void on_state(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__StateRequest *request = (const Task__StateRequest *)message;
	Task__StateResponse response = TASK__STATE_RESPONSE__INIT;
	const struct process *process;

	(void)data;
	if (fake.creating) { /* the status is UNKNOWN */
		ttrpc_call_reply(call, &response.base);
		return;
	}
	process = known(call, request->id, request->exec_id);
	if (!process)
		return;
	response.pid = (uint32_t)fake.stand_in;
	response.status = process->ended     ? TASK__STATUS__STOPPED
			  : process->paused  ? TASK__STATUS__PAUSED
			  : process->started ? TASK__STATUS__RUNNING
					     : TASK__STATUS__CREATED;
	ttrpc_call_reply(call, &response.base);
}

static void on_kill(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__KillRequest *request = (const Task__KillRequest *)message;
	struct process *process = known(call, request->id, request->exec_id);

	(void)data;
	if (!process)
		return;
	(void)fprintf(stderr, "Kill %u all=%d\n", request->signal, request->all);
	if (process->started)
		(void)kill(-process->pid, (int)request->signal);
	else if (request->signal == SIGKILL)
		process_ended(process, 128 + SIGKILL);
	if (request->signal == SIGKILL && !process->ended && !process->kill_call)
		process->kill_call = call;
	else
		reply_empty(call);
}

static void on_delete(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__DeleteRequest *request = (const Task__DeleteRequest *)message;
	Task__DeleteResponse response = TASK__DELETE_RESPONSE__INIT;
	struct process *process = known(call, request->id, request->exec_id);

	(void)data;
	if (!process)
		return;
	if (process->started && !process->ended) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
				"cannot delete container %s that is not stopped: %s", request->id,
				process->paused ? "paused" : "running");
		return;
	}
	(void)fprintf(stderr, "Delete %s\n", request->exec_id[0] ? "exec" : "init");
	process->deleted = true;
	response.exit_status = process->status;
	ttrpc_call_reply(call, &response.base);
}

static void set_paused(struct ttrpc_call *call, const char *id, bool paused)
{
	struct process *process = known(call, id, "");

	if (!process)
		return;
	process->paused = paused;
	reply_empty(call);
}

static void on_pause(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)data;
	set_paused(call, ((const Task__PauseRequest *)message)->id, true);
}

static void on_resume(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)data;
	set_paused(call, ((const Task__ResumeRequest *)message)->id, false);
}

static void on_update(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__UpdateTaskRequest *request = (const Task__UpdateTaskRequest *)message;

	(void)data;
	if (!known(call, request->id, ""))
		return;
	(void)fprintf(stderr, "Update %s %.*s\n", request->resources->type_url,
		      (int)request->resources->value.len,
		      (const char *)request->resources->value.data);
	reply_empty(call);
}

static void on_resize(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Task__ResizePtyRequest *request = (const Task__ResizePtyRequest *)message;

	(void)data;
	(void)fprintf(stderr, "ResizePty %ux%u\n", request->width, request->height);
	reply_empty(call);
}

static void answer_oom(void)
{
	Sandbox__WaitOomResponse response = SANDBOX__WAIT_OOM_RESPONSE__INIT;

	response.count = fake.oom_kills;
	if (fake.oom_call)
		ttrpc_call_reply(TAKE_PTR(fake.oom_call), &response.base);
}

static void on_wait_oom(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Sandbox__WaitOomRequest *request = (const Sandbox__WaitOomRequest *)message;

	(void)data;
	if (!known(call, request->id, ""))
		return;
	if (fake.oom_call)
		ttrpc_call_fail(fake.oom_call, TTRPC_ABORTED, "another asks");
	fake.oom_call = call;
	if (fake.oom_kills > request->seen)
		answer_oom();
}

/* Every question finds one more out-of-memory kill. */
static void on_stats(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Task__MemoryEvents events = TASK__MEMORY_EVENTS__INIT;
	Task__PidsStat pids = TASK__PIDS_STAT__INIT;
	Task__Metrics metrics = TASK__METRICS__INIT;
	Task__StatsResponse response = TASK__STATS_RESPONSE__INIT;
	Task__Any any;

	(void)data;
	if (!known(call, ((const Task__StatsRequest *)message)->id, ""))
		return;
	events.oom_kill = fake.oom_kills++;
	answer_oom();
	pids.current = 7;
	metrics.memory_events = &events;
	metrics.pids = &pids;
	any_pack(&any, "io.containerd.cgroups.v2.Metrics", &metrics.base);
	response.stats = &any;
	ttrpc_call_reply(call, &response.base);
	any_done(&any);
}

static void on_processes(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Sandbox__ProcessesResponse response = SANDBOX__PROCESSES_RESPONSE__INIT;
	Sandbox__Process process = SANDBOX__PROCESS__INIT;
	Sandbox__Process *processes[] = { &process, &process };

	(void)data;
	if (!known(call, ((const Sandbox__ProcessesRequest *)message)->id, ""))
		return;
	process.pid = 41;
	process.ppid = 1;
	process.cpu_ms = 3723000;
	process.command = (char *)"a \033[31mprogram";
	process.tty = (char *)"?";
	response.processes = processes;
	response.n_processes = 2;
	ttrpc_call_reply(call, &response.base);
}

static void on_shutdown(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)message;
	(void)data;
	(void)fprintf(stderr, "Shutdown\n");
	reply_empty(call);
	loop_quit(fake.loop);
}

#define METHOD(name, type, handler)                                                                \
	{                                                                                          \
		name, &task__##type##_request__descriptor, handler                                 \
	}
static const struct ttrpc_method task_methods[] = {
	METHOD("Create", create_task, on_create),   METHOD("Start", start, on_start),
	METHOD("Exec", exec_process, on_exec),	    METHOD("Wait", wait, on_wait),
	METHOD("State", state, on_state),	    METHOD("Kill", kill, on_kill),
	METHOD("Delete", delete, on_delete),	    METHOD("Pause", pause, on_pause),
	METHOD("Resume", resume, on_resume),	    METHOD("Update", update_task, on_update),
	METHOD("ResizePty", resize_pty, on_resize), METHOD("Stats", stats, on_stats),
	METHOD("Shutdown", shutdown, on_shutdown),
};
static const struct ttrpc_method sandbox_methods[] = {
	{ "Processes", &sandbox__processes_request__descriptor, on_processes },
	{ "WaitOom", &sandbox__wait_oom_request__descriptor, on_wait_oom },
};
static const struct ttrpc_service services[] = {
	{ "containerd.task.v2.Task", task_methods, ARRAY_SIZE(task_methods), NULL },
	{ "supermachine.v1.Sandbox", sandbox_methods, ARRAY_SIZE(sandbox_methods), NULL },
};

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;
	struct ttrpc_server *server;
	struct source *child;

	if (argc < 6 || strcmp(argv[1], "serve") != 0 || strcmp(argv[2], "--root") != 0 ||
	    strcmp(argv[4], "--id") != 0) {
		(void)fprintf(stderr, "wrong arguments\n");
		return 2;
	}
	(void)setvbuf(stderr, NULL, _IOLBF, 0);
	fake.id = argv[5];
	(void)set_cloexec(3, true);
	if (loop_new(&fake.loop, &error) < 0 ||
	    loop_add_signal(fake.loop, SIGCHLD, "child", on_child, NULL, &child, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error->message);
		return 1;
	}
	server = ttrpc_server_new(fake.loop, services, ARRAY_SIZE(services));
	if (ttrpc_server_listen(server, 3, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error->message);
		return 1;
	}
	loop_run(fake.loop);
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (fake.processes[i].used && fake.processes[i].started && !fake.processes[i].ended)
			(void)kill(-fake.processes[i].pid, SIGKILL);
	/* The answer to Shutdown goes out first. */
	loop_step(fake.loop, 100);
	ttrpc_server_free(server);
	loop_free(fake.loop);
	return 0;
}
