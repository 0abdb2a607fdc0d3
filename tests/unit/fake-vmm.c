/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for supermachine-vmm and the guest's agent, for the task server's
 * tests: it reads the configuration, speaks the control protocol, accepts vsock
 * streams on the unix socket and serves the agent's ttrpc service, all in one
 * process on the host.  "Guest" processes are real processes whose stdio are the
 * streams themselves.
 *
 * Its --probe prints $FAKE_VMM_PROBE, else that KVM is usable.
 * $FAKE_VMM_REBOOTS names a file: for as many bytes as it has, one less each time, the
 * guest reboots before its agent dials.
 * Words on the kernel command line make it misbehave:
 *   fake.die=STAGE   exits 1 at: boot, hello, create, network, start, exec, signal
 *   fake.mute=STAGE  never answers there
 *   fake.hangup=STAGE  closes the agent's connection there
 *   fake.version=N   the version it says in Hello
 *   fake.deaf        takes no control requests
 *   fake.mute=save   does not answer that one
 *   fake.stuck=machine  refuses to resume
 *   fake.late=note   answers it when "pause" comes, and that a moment later
 *   fake.lie=oom     answers WaitOom at once, always
 *   fake.refuse=CALL  the agent fails it: network, resume; the VMM: go-on, of a machine that waited
 *   fake.garbage=stats, fake.bomb=processes  answers that are no messages
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/json.h"
#include "base/loop.h"
#include "protocol/agent.pb-c.h"
#include "protocol/control.h"
#include "protocol/probe.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "protocol/vm-config.h"
#include "runtime-spec/spec.h"
#include "ttrpc/ttrpc.h"
#include "vmm/inherited.h"

#define STREAMS_MAX 256
#define PROCESSES_MAX 128
#define WAITERS_MAX 128
#define BOMB_SIZE (3u << 20)

struct process {
	char *id;      /* its container's */
	char *exec_id; /* NULL: a free slot */
	char **args;
	bool terminal;
	uint32_t ports[3];
	pid_t pid; /* 0: waits for its start */
	bool stopped, ended;
	uint32_t code, signal;
	int tty; /* its terminal stream, to report a resize on */
	struct ttrpc_call *waiters[WAITERS_MAX];
	size_t n_waiters;
};

static struct loop *loop;
static struct vm_config *config;
static struct ttrpc_server *server;
static int agent_fd = -1;
static int streams[STREAMS_MAX]; /* by port - 1; 0: none */
static struct process processes[PROCESSES_MAX];
static struct buffer control;
static bool paused, note_due;
static struct ttrpc_call *oom_call;
static uint64_t oom_kills;

/* The word's value if this stage is named, e.g. fake("die", "create"). */
static bool fake(const char *what, const char *stage)
{
	_cleanup_free_ char *word =
	    xasprintf(" fake.%s%s%s ", what, stage ? "=" : "", stage ? stage : "");
	_cleanup_free_ char *line = xasprintf(" %s ", config->cmdline);

	return strstr(line, word) != NULL;
}

/* True when the stage's request is not to be answered. */
static bool misbehave(const char *stage)
{
	if (fake("die", stage)) {
		fprintf(stderr, "fake vmm: dying at %s\n", stage);
		_exit(1);
	}
	if (fake("hangup", stage)) {
		(void)shutdown(agent_fd, SHUT_RDWR);
		return true;
	}
	return fake("mute", stage);
}

static struct process *find(const char *id, const char *exec_id)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (processes[i].exec_id && strcmp(processes[i].id, id) == 0 &&
		    strcmp(processes[i].exec_id, exec_id) == 0)
			return &processes[i];
	return NULL;
}

static struct process *add(const char *id, const char *exec_id, char *const *args, bool terminal,
			   uint32_t in, uint32_t out, uint32_t err)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++) {
		struct process *process = &processes[i];

		if (process->exec_id)
			continue;
		*process = (struct process){ .id = xstrdup(id),
					     .exec_id = xstrdup(exec_id),
					     .terminal = terminal,
					     .ports = { in, out, err },
					     .tty = -1 };
		for (size_t k = 0; k < strv_length(args); k++)
			strv_append(&process->args, args[k]);
		return process;
	}
	abort();
}

static int stream_of(uint32_t port)
{
	return port > 0 && port <= STREAMS_MAX ? streams[port - 1] : 0;
}

static void run(struct process *process)
{
	pid_t parent = getpid();
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = stream_of(process->ports[process->terminal ? 1 : i]);
		if (fds[i] <= 0)
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	process->pid = fork();
	if (process->pid == 0) {
		sigset_t none;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		for (int i = 0; i < 3; i++)
			(void)dup2(fds[i], 60 + i);
		for (int i = 0; i < 3; i++)
			(void)dup2(60 + i, i);
		(void)close_range(3, ~0u, 0);
		/* The VMM's own directory has no name, at which a shell would wonder. */
		if (chdir("/") == 0)
			(void)execvp(process->args[0], process->args);
		_exit(127);
	}
	if (process->terminal)
		process->tty = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < (process->terminal ? 1 : 3); i++)
		(void)close(fds[i]);
	for (int i = 0; i < 3; i++)
		if (process->ports[i])
			streams[process->ports[i] - 1] = 0;
}

static void answer_wait(const struct process *process, struct ttrpc_call *call)
{
	Agent__WaitResponse response = AGENT__WAIT_RESPONSE__INIT;

	response.code = process->signal ? 128 + process->signal : process->code;
	response.signal = process->signal;
	ttrpc_call_reply(call, &response.base);
}

static void ended(struct process *process, uint32_t code, uint32_t signal)
{
	process->ended = true;
	process->code = code;
	process->signal = signal;
	close_fdp(&process->tty);
	process->tty = -1;
	/* Its streams, if it never ran. */
	for (int i = 0; i < 3; i++)
		if (process->pid == 0 && stream_of(process->ports[i]) > 0)
			(void)close(stream_of(process->ports[i]));
	for (size_t i = 0; i < process->n_waiters; i++)
		answer_wait(process, process->waiters[i]);
	process->n_waiters = 0;
	/* The pid namespace goes with init. */
	for (size_t i = 0; !process->exec_id[0] && i < PROCESSES_MAX; i++)
		if (processes[i].exec_id && strcmp(processes[i].id, process->id) == 0 &&
		    processes[i].pid > 0 && !processes[i].ended)
			(void)kill(processes[i].pid, SIGKILL);
}

static void on_child(void *data, const struct signalfd_siginfo *info)
{
	int status;
	pid_t pid;

	(void)data;
	(void)info;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < PROCESSES_MAX; i++)
			if (processes[i].exec_id && processes[i].pid == pid)
				ended(&processes[i], (uint32_t)WEXITSTATUS(status),
				      WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
}

/* ---- the agent ---- */

static void reply_empty(struct ttrpc_call *call)
{
	Agent__Empty response = AGENT__EMPTY__INIT;

	ttrpc_call_reply(call, &response.base);
}

static void on_hello(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__HelloRequest *request = (const Agent__HelloRequest *)message;
	Agent__HelloResponse response = AGENT__HELLO_RESPONSE__INIT;

	(void)data;
	if (misbehave("hello") || (config->pooled && fake("refuse", "go-on")))
		return;
	if (request->entropy.len < 32 || request->realtime_ns == 0) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "no entropy or no clock in Hello");
		return;
	}
	response.version = fake("version", "7") ? 7 : request->version;
	response.kernel_release = (char *)"fake";
	ttrpc_call_reply(call, &response.base);
}

/* What a container of a pod has of others, and that its root is there. */
static void tell_shared(const Agent__CreateRequest *request)
{
	for (size_t i = 0; i < request->n_joins; i++)
		fprintf(stderr, "fake agent: %s joins %s of %s\n", request->id,
			request->joins[i]->type, request->joins[i]->id);
	for (size_t i = 0; i < config->n_devices; i++)
		if (config->devices[i].type == VM_DEVICE_FS && request->root_share[0])
			fprintf(stderr, "fake agent: %s is %s\n", request->root_share,
				faccessat(config->devices[i].fs.root.fd, request->root_share, F_OK,
					  0) == 0
				    ? "there"
				    : "missing");
}

static void slow_over(void *data)
{
	Agent__CreateResponse response = AGENT__CREATE_RESPONSE__INIT;

	response.pid = 2;
	ttrpc_call_reply(data, &response.base);
}

static void on_create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__CreateRequest *request = (const Agent__CreateRequest *)message;
	Agent__CreateResponse response = AGENT__CREATE_RESPONSE__INIT;
	struct error *error = NULL;
	struct spec *spec;

	(void)data;
	if (misbehave("create"))
		return;
	if (spec_parse((const char *)request->config.data, request->config.len, &spec, &error) <
	    0) {
		ttrpc_call_fail_error(call, error);
		error_free(error);
		return;
	}
	if (strcmp(spec->process.args[0], "missing") == 0) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"missing\": executable file not found in $PATH");
		spec_free(spec);
		return;
	}
	(void)add(request->id, "", spec->process.args, spec->process.terminal, request->stdin_port,
		  request->stdout_port, request->stderr_port);
	fprintf(stderr, "fake agent: %zu layers, first %s, terminal %ux%u\n", request->n_layers,
		request->n_layers ? request->layers[0]->serial : "-", request->width,
		request->height);
	tell_shared(request);
	response.pid = 2;
	if (strcmp(spec->process.args[0], "slow") == 0)
		(void)loop_add_timer(loop, 1000, "slow create", slow_over, call);
	else
		ttrpc_call_reply(call, &response.base);
	spec_free(spec);
}

static void on_start(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__StartRequest *request = (const Agent__StartRequest *)message;

	(void)data;
	if (misbehave("start"))
		return;
	run(find(request->id, ""));
	reply_empty(call);
}

static void on_exec(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ExecRequest *request = (const Agent__ExecRequest *)message;
	Agent__ExecResponse response = AGENT__EXEC_RESPONSE__INIT;
	struct spec_process *process;

	(void)data;
	if (misbehave("exec"))
		return;
	if (spec_parse_process((const char *)request->process.data, request->process.len, &process,
			       NULL) < 0 ||
	    strcmp(process->args[0], "missing") == 0) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"missing\": executable file not found in $PATH");
		return;
	}
	run(add(request->id, request->exec_id, process->args, request->terminal,
		request->stdin_port, request->stdout_port, request->stderr_port));
	spec_process_free(process);
	response.pid = 3;
	ttrpc_call_reply(call, &response.base);
}

static void on_wait(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__WaitRequest *request = (const Agent__WaitRequest *)message;
	struct process *process = find(request->id, request->exec_id);

	(void)data;
	if (misbehave("wait"))
		return;
	if (!process)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such process");
	else if (process->ended)
		answer_wait(process, call);
	else
		process->waiters[process->n_waiters++] = call;
}

static void on_signal(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__SignalRequest *request = (const Agent__SignalRequest *)message;
	struct process *process = find(request->id, request->exec_id);

	(void)data;
	if (misbehave("signal"))
		return;
	if (process && process->pid > 0 && !process->ended)
		(void)kill(process->pid, (int)request->signal);
	else if (process && !process->ended)
		ended(process, 0, request->signal);
	reply_empty(call);
}

static void on_resize(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ResizeRequest *request = (const Agent__ResizeRequest *)message;
	struct process *process = find(request->id, request->exec_id);

	(void)data;
	if (process && process->tty >= 0)
		(void)dprintf(process->tty, "resize %ux%u\n", request->width, request->height);
	reply_empty(call);
}

static void on_delete(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__DeleteRequest *request = (const Agent__DeleteRequest *)message;
	struct process *process = find(request->id, request->exec_id);

	(void)data;
	if (misbehave("delete"))
		return;
	if (process && (process->ended || process->pid == 0)) {
		free(process->id);
		free(process->exec_id);
		strv_free(process->args);
		process->exec_id = NULL;
	}
	reply_empty(call);
}

/* A freezer answers when all have stopped. */
static void on_freeze(struct ttrpc_call *call, const char *id, int number)
{
	struct process *process = find(id, "");
	const pid_t pid = process->pid;
	const bool stop = number == SIGSTOP;
	siginfo_t info;

	if (pid > 0 && process->stopped != stop && kill(pid, number) == 0 && stop)
		(void)waitid(P_PID, (id_t)pid, &info, WSTOPPED);
	process->stopped = stop;
	reply_empty(call);
}

static void on_pause(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)data;
	on_freeze(call, ((const Agent__ContainerRequest *)message)->id, SIGSTOP);
}

static void on_resume(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)data;
	if (fake("refuse", "resume"))
		ttrpc_call_fail(call, TTRPC_INTERNAL, "cannot thaw");
	else
		on_freeze(call, ((const Agent__ContainerRequest *)message)->id, SIGCONT);
}

/* Tells of it in the log: "network of ID: lo eth0@02:…". */
static void on_network(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__NetworkRequest *request = (const Agent__NetworkRequest *)message;

	(void)data;
	fprintf(stderr, "network of %s:", request->id);
	for (size_t i = 0; i < request->n_interfaces; i++) {
		fprintf(stderr, " %s", request->interfaces[i]->name);
		for (size_t k = 0; k < request->interfaces[i]->slot.len; k++)
			fprintf(stderr, "%c%02x", k ? ':' : '@',
				request->interfaces[i]->slot.data[k]);
	}
	fprintf(stderr, "\n");
	if (misbehave("network"))
		return;
	if (fake("refuse", "network"))
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "the route is not for this guest");
	else
		reply_empty(call);
}

static void on_processors(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)data,
	    fprintf(stderr, "processors %u\n", ((const Agent__ProcessorsRequest *)message)->count);
	if (fake("refuse", "processors"))
		ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "CPU 1 does not start");
	else
		reply_empty(call);
}

static void answer_oom(void)
{
	Agent__OomResponse response = AGENT__OOM_RESPONSE__INIT;

	response.count = oom_kills;
	if (oom_call)
		ttrpc_call_reply(oom_call, &response.base);
	oom_call = NULL;
}

/* What is updated has less memory from now on: the kernel kills something of it. */
static void on_update(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	(void)message;
	(void)data;
	oom_kills++;
	answer_oom();
	reply_empty(call);
}

static void on_wait_oom(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__OomRequest *request = (const Agent__OomRequest *)message;

	(void)data;
	oom_call = call;
	/* A lying agent tells the same kill again and again. */
	if (oom_kills > request->seen || fake("lie", "oom"))
		answer_oom();
}

/* A guest that takes all that it is offered, or ("small") no more than so much. */
static void on_memory(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__MemoryRequest *request = (const Agent__MemoryRequest *)message;
	Agent__MemoryResponse response = AGENT__MEMORY_RESPONSE__INIT;

	(void)data;
	fprintf(stderr, "fake vmm: %llu MiB more\n", (unsigned long long)request->mib);
	response.mib = fake("small", "memory") && request->mib > 100 ? 100 : request->mib;
	ttrpc_call_reply(call, &response.base);
}

static void on_stats(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Agent__StatsResponse response = AGENT__STATS_RESPONSE__INIT;
	Task__Metrics metrics = TASK__METRICS__INIT;
	Task__PidsStat pids = TASK__PIDS_STAT__INIT;
	uint8_t bytes[64];

	(void)message;
	(void)data;
	pids.current = 5;
	metrics.pids = &pids;
	response.metrics.len = task__metrics__pack(&metrics, bytes);
	response.metrics.data = bytes;
	if (fake("garbage", "stats")) {
		memset(bytes, 0xff, sizeof(bytes));
		response.metrics.len = sizeof(bytes);
	}
	ttrpc_call_reply(call, &response.base);
}

/* A few bytes for each of very many empty processes. */
static void reply_bomb(struct ttrpc_call *call)
{
	Agent__ProcessesResponse response = AGENT__PROCESSES_RESPONSE__INIT;
	_cleanup_free_ uint8_t *bytes = xmalloc(BOMB_SIZE);

	for (size_t i = 0; i < BOMB_SIZE; i++)
		bytes[i] = i % 2 ? 0 : 1 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	response.processes = (ProtobufCBinaryData){ BOMB_SIZE, bytes };
	ttrpc_call_reply(call, &response.base);
}

static void on_processes(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Agent__ProcessesResponse response = AGENT__PROCESSES_RESPONSE__INIT;
	Sandbox__ProcessesResponse list = SANDBOX__PROCESSES_RESPONSE__INIT;
	Sandbox__Process init = SANDBOX__PROCESS__INIT;
	Sandbox__Process *entries[] = { &init };
	uint8_t bytes[256];

	(void)message;
	(void)data;
	if (fake("bomb", "processes")) {
		reply_bomb(call);
		return;
	}
	init.pid = 2;
	init.command = (char *)"init";
	list.processes = entries;
	list.n_processes = 1;
	response.processes.len = sandbox__processes_response__pack(&list, bytes);
	response.processes.data = bytes;
	ttrpc_call_reply(call, &response.base);
}

static const struct ttrpc_method methods[] = {
	{ "Hello", &agent__hello_request__descriptor, on_hello },
	{ "Create", &agent__create_request__descriptor, on_create },
	{ "Network", &agent__network_request__descriptor, on_network },
	{ "Start", &agent__start_request__descriptor, on_start },
	{ "Exec", &agent__exec_request__descriptor, on_exec },
	{ "Wait", &agent__wait_request__descriptor, on_wait },
	{ "Signal", &agent__signal_request__descriptor, on_signal },
	{ "Resize", &agent__resize_request__descriptor, on_resize },
	{ "Delete", &agent__delete_request__descriptor, on_delete },
	{ "Pause", &agent__container_request__descriptor, on_pause },
	{ "Resume", &agent__container_request__descriptor, on_resume },
	{ "Processors", &agent__processors_request__descriptor, on_processors },
	{ "Update", &agent__update_request__descriptor, on_update },
	{ "Memory", &agent__memory_request__descriptor, on_memory },
	{ "Stats", &agent__container_request__descriptor, on_stats },
	{ "WaitOom", &agent__oom_request__descriptor, on_wait_oom },
	{ "Processes", &agent__container_request__descriptor, on_processes },
};
static const struct ttrpc_service service = { .name = "supermachine.v1.Agent",
					      .methods = methods,
					      .n_methods = ARRAY_SIZE(methods) };

/* ---- the machine ---- */

static void __attribute__((noreturn)) end(int code, int number)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (processes[i].exec_id && processes[i].pid > 0 && !processes[i].ended)
			(void)kill(processes[i].pid, SIGKILL);
	if (number) {
		sigset_t none;

		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)signal(number, SIG_DFL);
		(void)kill(getpid(), number);
	}
	/* As process 1 of a pid namespace. */
	_exit(number ? 128 + number : code);
}

static void answer(bool ok)
{
	const char *line = ok ? "{\"ok\":true}\n" : "{\"error\":\"not paused\"}\n";

	/* A server that was killed does not end us: the end of its socket does. */
	(void)send(config->control_fd, line, strlen(line), MSG_NOSIGNAL);
}

static void pause_over(void *data)
{
	(void)data;
	paused = true;
	answer(true);
}

static void serve_control(const char *op, const int *fds, size_t n_fds)
{
	if (strcmp(op, "note") == 0) {
		note_due = fake("late", "note");
		if (!note_due)
			answer(true);
	} else if (strcmp(op, "link") == 0 || strcmp(op, "memory") == 0 ||
		   strcmp(op, "vcpus") == 0) {
		fprintf(stderr, "fake vmm: told of its %s\n", op);
		answer(true);
	} else if (strcmp(op, "pause") == 0 && note_due) {
		answer(true);
		(void)loop_add_timer(loop, 200, "pause", pause_over, NULL);
	} else if (strcmp(op, "pause") == 0) {
		pause_over(NULL);
	} else if (strcmp(op, "resume") == 0) {
		answer(paused && !fake("stuck", "machine") &&
		       !(config->pooled && fake("refuse", "go-on")));
		paused = false;
	} else if (strcmp(op, "save_memory") == 0) {
		/* (Those of its past are not written to.) */
		const bool saved = !paused && n_fds > 0 && write_all(fds[0], "saved", 5) == 0 &&
				   (n_fds == 1 || write(fds[1], "x", 1) < 0);

		if (!fake("mute", "save"))
			answer(saved);
	} else if (strcmp(op, "enter") == 0) {
		answer(n_fds == 1 && fchdir(fds[0]) == 0);
	} else if (strcmp(op, "plug") == 0) {
		fprintf(stderr, "fake vmm: plugged, %zu descriptors\n", n_fds);
		answer(paused);
	} else if (strcmp(op, "save") == 0) {
		for (size_t i = 0; i < n_fds; i++)
			(void)write_all(fds[i], "saved", 5);
		if (!fake("mute", "save"))
			answer(paused);
	}
}

static void on_control(void *data, uint32_t events)
{
	int fds[FD_PASS_MAX];
	size_t n_fds = 0;
	uint8_t *newline;
	ssize_t n;

	(void)data, (void)events;
	n = recv_with_fds(config->control_fd, buffer_reserve(&control, CONTROL_LINE_MAX),
			  CONTROL_LINE_MAX, fds, &n_fds);
	if (n <= 0)
		end(VMM_EXIT_ORPHANED, 0);
	buffer_commit(&control, (size_t)n);
	while ((newline = memchr(buffer_data(&control), '\n', buffer_length(&control)))) {
		uint64_t code = 0, number = 0;
		char *op = NULL;
		struct json_at root;
		yajl_val value;

		if (json_parse((char *)buffer_data(&control),
			       (size_t)(newline - buffer_data(&control)), "control", &value,
			       NULL) < 0)
			abort();
		root = json_root(value);
		if (json_get_string(&root, "op", JSON_REQUIRED, &op, NULL) < 0 ||
		    json_get_uint64(&root, "code", JSON_OPTIONAL, 255, &code, NULL) < 0 ||
		    json_get_uint64(&root, "signal", JSON_OPTIONAL, 64, &number, NULL) < 0)
			abort();
		if (strcmp(op, "exit") == 0)
			end((int)code, (int)number);
		serve_control(op, fds, n_fds);
		json_free(value);
		free(op);
		buffer_consume(&control, (size_t)(newline + 1 - buffer_data(&control)));
	}
	for (size_t i = 0; i < n_fds; i++)
		(void)close(fds[i]);
}

static void on_vsock(void *data, uint32_t events)
{
	int listener = *(int *)data;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char line[32];
	size_t n = 0;

	(void)events;
	while (n < sizeof(line) - 1 && read(fd, &line[n], 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	if (strncmp(line, "RESUME ", 7) == 0)
		fprintf(stderr, "fake vmm: %s\n", line);
	if (strcmp(line, "CONNECT 1025") != 0 || misbehave("stream")) {
		(void)close(fd);
		return;
	}
	for (uint32_t i = 0; i < STREAMS_MAX; i++) {
		if (streams[i])
			continue;
		streams[i] = fd;
		(void)dprintf(fd, "OK %u\n", i + 1);
		return;
	}
	(void)close(fd);
}

static void dial(const char *path)
{
	_cleanup_free_ char *socket = xasprintf("%s_1024", path);
	struct error *error = NULL;

	agent_fd = unix_connect(socket, &error);
	if (agent_fd < 0 || ttrpc_server_serve(server, agent_fd, NULL, NULL, &error) < 0) {
		fprintf(stderr, "fake agent: %s\n", error->message);
		exit(1);
	}
}

static bool reboots(void)
{
	const char *path = getenv("FAKE_VMM_REBOOTS");
	struct stat st;

	if (!path || stat(path, &st) < 0 || st.st_size == 0)
		return false;
	if (truncate(path, st.st_size - 1) < 0)
		abort();
	return true;
}

int main(int argc, char **argv)
{
	struct source *source;
	char *text;
	size_t size;
	struct error *error = NULL;

	if (argc == 2 && strcmp(argv[1], "--probe") == 0) {
		(void)puts(getenv("FAKE_VMM_PROBE") ? getenv("FAKE_VMM_PROBE") : PROBE_USABLE);
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "--config-fd") != 0 ||
	    read_file_fd(atoi(argv[2]), "config", 1 << 20, &text, &size, &error) < 0 ||
	    vm_config_parse(text, size, &config, &error) < 0 ||
	    inherited_check(config, &error) < 0 || loop_new(&loop, &error) < 0) {
		fprintf(stderr, "fake vmm: %s\n", error ? error->message : "usage");
		return 1;
	}
	fprintf(stderr, "fake vmm: accel %s\n", vm_accel_name(config->accel));
	if (config->template_failed)
		fprintf(stderr, "fake vmm: without a template\n");
	fprintf(stderr, "fake vmm: booting\n");
	if (misbehave("boot")) {
		if (fake("babble", NULL))
			fprintf(stderr, "fake vmm: no root\033[2J device\n");
	}
	for (size_t i = 0; i < config->n_devices; i++) {
		struct vm_device *device = &config->devices[i];

		if (device->type == VM_DEVICE_VSOCK &&
		    (loop_add_io(loop, device->vsock.fd, EPOLLIN, "vsock", on_vsock,
				 &device->vsock.fd, &source, NULL) < 0))
			return 1;
	}
	server = ttrpc_server_new(loop, &service, 1);
	if (loop_add_signal(loop, SIGCHLD, "child", on_child, NULL, &source, NULL) < 0 ||
	    (!fake("deaf", NULL) && loop_add_io(loop, config->control_fd, EPOLLIN, "control",
						on_control, NULL, &source, NULL) < 0))
		return 1;
	for (int i = 0; fake("nonsense", NULL) && i < 1000; i++)
		(void)dprintf(config->control_fd, "nonsense\n");
	if (fake("stopped", "boot"))
		(void)dprintf(
		    config->control_fd,
		    "{\"event\":\"stopped\",\"reason\":\"panic\",\"message\":\"VFS\\n\"}\n");
	if (reboots())
		(void)dprintf(config->control_fd,
			      "{\"event\":\"stopped\",\"reason\":\"reboot\"}\n");
	else
		for (size_t i = 0; i < config->n_devices && !fake("mute", "boot"); i++)
			if (config->devices[i].type == VM_DEVICE_VSOCK)
				dial(config->devices[i].vsock.path);
	loop_run(loop);
	return 0;
}
