/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of the task server's fuzz target: see task-guest.h. */
#include "tests/fuzz/task-guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "protocol/agent.pb-c.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "sandbox/agent-client.h"
#include "sandbox/vmm.h"
#include "ttrpc/ttrpc.h"

#define HELD_MAX 64

struct vmm {
	struct vmm_events events;
	bool lost, ending, dialled;
	vmm_answer_fn answered;
	void *answered_data;
};

struct held {
	struct ttrpc_call *call;
	const struct answer *answer;
};

struct guest {
	struct loop *loop;
	struct vmm *vmm; /* NULL: none, or freed by its owner */
	struct ttrpc_server *agent;
	int agent_fd; /* to babble on; -1: not dialled */
	bool obliging;
	enum guest_stream_answer stream_answer;
	struct held held[HELD_MAX];
	size_t n_held;
	int streams[GUEST_STREAMS_MAX]; /* the guest's ends */
	size_t n_streams;
};

/* vmm_start() has nowhere to be told. */
static struct guest *the_guest;

/* ---- the agent ---- */

/* What a method is answered with; number is the input's. */
struct answer {
	const char *method;
	void (*reply)(struct ttrpc_call *call, uint32_t number);
};

static void reply_hello(struct ttrpc_call *call, uint32_t number)
{
	Agent__HelloResponse response = AGENT__HELLO_RESPONSE__INIT;

	response.version = number < 8 ? AGENT_PROTOCOL_VERSION : number;
	ttrpc_call_reply(call, &response.base);
}

static void reply_empty(struct ttrpc_call *call, uint32_t number)
{
	Agent__Empty response = AGENT__EMPTY__INIT;

	(void)number;
	ttrpc_call_reply(call, &response.base);
}

static void reply_pid(struct ttrpc_call *call, uint32_t number)
{
	Agent__CreateResponse response = AGENT__CREATE_RESPONSE__INIT;

	response.pid = number;
	ttrpc_call_reply(call, &response.base);
}

static void reply_wait(struct ttrpc_call *call, uint32_t number)
{
	Agent__WaitResponse response = AGENT__WAIT_RESPONSE__INIT;

	response.code = number;
	response.signal = number > 127 ? number - 127 : 0;
	ttrpc_call_reply(call, &response.base);
}

static void reply_oom(struct ttrpc_call *call, uint32_t number)
{
	Agent__OomResponse response = AGENT__OOM_RESPONSE__INIT;

	response.count = number;
	ttrpc_call_reply(call, &response.base);
}

/* Messages in messages: whole, cut short, or none at all. */
static size_t spoil(uint8_t *bytes, size_t size, uint32_t number)
{
	if (number > 200)
		bytes[number % size] ^= (uint8_t)number;
	return number % 4 == 3 ? size / 2 : size;
}

static void reply_stats(struct ttrpc_call *call, uint32_t number)
{
	Agent__StatsResponse response = AGENT__STATS_RESPONSE__INIT;
	Task__Metrics metrics = TASK__METRICS__INIT;
	Task__PidsStat pids = TASK__PIDS_STAT__INIT;
	uint8_t bytes[64];

	pids.current = number;
	pids.limit = number;
	metrics.pids = &pids;
	response.metrics.len = spoil(bytes, task__metrics__pack(&metrics, bytes), number | 1);
	response.metrics.data = bytes;
	ttrpc_call_reply(call, &response.base);
}

static void reply_processes(struct ttrpc_call *call, uint32_t number)
{
	Agent__ProcessesResponse response = AGENT__PROCESSES_RESPONSE__INIT;
	Sandbox__ProcessesResponse list = SANDBOX__PROCESSES_RESPONSE__INIT;
	Sandbox__Process process = SANDBOX__PROCESS__INIT;
	Sandbox__Process *processes[] = { &process };
	uint8_t bytes[64];

	process.pid = number;
	process.command = (char *)"init";
	list.processes = processes;
	list.n_processes = 1;
	response.processes.len =
	    spoil(bytes, sandbox__processes_response__pack(&list, bytes), number);
	response.processes.data = bytes;
	ttrpc_call_reply(call, &response.base);
}

static void asked(struct ttrpc_call *call, struct guest *guest, const struct answer *answer)
{
	/* What tells of an end waits for the input even so. */
	bool waits = answer->reply == reply_wait || answer->reply == reply_oom;

	if (guest->obliging && !waits)
		answer->reply(call, 1);
	else if (guest->n_held < HELD_MAX)
		guest->held[guest->n_held++] = (struct held){ call, answer };
	else
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "too many calls");
}

#define ANSWERS(X)                                                                                 \
	X(Hello, hello_request, reply_hello)                                                       \
	X(Create, create_request, reply_pid)                                                       \
	X(Start, start_request, reply_empty)                                                       \
	X(Exec, exec_request, reply_pid)                                                           \
	X(Wait, wait_request, reply_wait)                                                          \
	X(Signal, signal_request, reply_empty)                                                     \
	X(Resize, resize_request, reply_empty)                                                     \
	X(Delete, delete_request, reply_empty)                                                     \
	X(Pause, container_request, reply_empty)                                                   \
	X(Resume, container_request, reply_empty)                                                  \
	X(Update, update_request, reply_empty)                                                     \
	X(Stats, container_request, reply_stats)                                                   \
	X(Processes, container_request, reply_processes)                                           \
	X(WaitOom, oom_request, reply_oom)

#define HANDLER(name, request, reply)                                                              \
	static void on_##name(struct ttrpc_call *call, const ProtobufCMessage *message,            \
			      void *data)                                                          \
	{                                                                                          \
		static const struct answer answer = { #name, reply };                              \
                                                                                                   \
		(void)message;                                                                     \
		asked(call, data, &answer);                                                        \
	}
ANSWERS(HANDLER)

#define METHOD(name, request, reply) { #name, &agent__##request##__descriptor, on_##name },
static const struct ttrpc_method methods[] = { ANSWERS(METHOD) };

void guest_dial(struct guest *guest)
{
	static struct ttrpc_service service = { .name = "supermachine.v1.Agent",
						.methods = methods,
						.n_methods = ARRAY_SIZE(methods) };
	int fds[2];

	/* The server takes one connection of a machine. */
	if (!guest->vmm || guest->vmm->lost || guest->vmm->dialled)
		return;
	guest->vmm->dialled = true;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		abort();
	service.data = guest;
	guest->agent_fd = dup(fds[1]);
	guest->agent = ttrpc_server_new(guest->loop, &service, 1);
	if (ttrpc_server_serve(guest->agent, fds[1], NULL, NULL, NULL) < 0)
		abort();
	guest->vmm->events.agent(guest->vmm->events.data, fds[0]);
}

static struct held take_held(struct guest *guest, size_t which)
{
	struct held held = guest->held[which %= guest->n_held];

	guest->held[which] = guest->held[--guest->n_held];
	return held;
}

void guest_answer(struct guest *guest, size_t which, uint32_t number)
{
	struct held held;

	if (guest->n_held == 0)
		return;
	held = take_held(guest, which);
	held.answer->reply(held.call, number);
}

void guest_refuse(struct guest *guest, size_t which, int32_t code)
{
	if (guest->n_held > 0)
		ttrpc_call_fail(take_held(guest, which).call, (enum ttrpc_code)code, "%s",
				"the guest \033[2J will not");
}

void guest_babble(struct guest *guest, const uint8_t *bytes, size_t size)
{
	if (guest->agent_fd >= 0)
		(void)send(guest->agent_fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void guest_hang_up(struct guest *guest)
{
	ttrpc_server_free(guest->agent);
	guest->agent = NULL;
	close_fdp(&guest->agent_fd);
	guest->agent_fd = -1;
	while (guest->n_held > 0)
		guest_refuse(guest, 0, TTRPC_UNAVAILABLE);
}

/* ---- streams ---- */

void guest_write(struct guest *guest, size_t which, const uint8_t *bytes, size_t size)
{
	if (guest->n_streams > 0)
		(void)send(guest->streams[which % guest->n_streams], bytes, size,
			   MSG_NOSIGNAL | MSG_DONTWAIT);
}

void guest_close_stream(struct guest *guest, size_t which)
{
	if (guest->n_streams == 0)
		return;
	which %= guest->n_streams;
	(void)close(guest->streams[which]);
	guest->streams[which] = guest->streams[--guest->n_streams];
}

static void answer_stream(struct guest *guest, int fd)
{
	static const char *const answers[N_STREAM_ANSWERS] = {
		[STREAM_OK] = "OK 7\n",
		[STREAM_REFUSED] = "",
		[STREAM_SILENT] = NULL,
		[STREAM_ODD] = "OK 99999999999999999999",
	};
	const char *text = answers[guest->stream_answer];

	if (text && text[0])
		(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
	if (text && !text[0])
		guest_close_stream(guest, guest->n_streams - 1);
}

/* ---- the machine: sandbox/vmm.h ---- */

static void refuse_request(void *data)
{
	_cleanup_error_ struct error *error = NULL;
	struct vmm *vmm = ((struct guest *)data)->vmm;
	vmm_answer_fn function = vmm ? vmm->answered : NULL;

	if (!function)
		return;
	vmm->answered = NULL;
	(void)error_set(&error, EIO, "this machine cannot be paused");
	function(vmm->answered_data, error);
}

/* Nothing is ever saved: the path is the input's. */
void vmm_ask(struct vmm *vmm, const char *operation, const int *fds, size_t n_fds,
	     vmm_answer_fn function, void *data)
{
	(void)operation, (void)fds, (void)n_fds;
	if (vmm->answered)
		abort();
	vmm->answered = function;
	vmm->answered_data = data;
	loop_call(the_guest->loop, refuse_request, the_guest);
}

int vmm_start(struct loop *loop, const struct vmm_setup *setup, const struct vmm_events *events,
	      struct vmm **ret_vmm, struct error **ret_error)
{
	(void)loop;
	(void)setup;
	(void)ret_error;
	/* At most one: the server must have let go of the last. */
	if (the_guest->vmm)
		abort();
	guest_hang_up(the_guest);
	*ret_vmm = the_guest->vmm = xcalloc(1, sizeof(struct vmm));
	the_guest->vmm->events = *events;
	return 0;
}

void vmm_free(struct vmm *vmm)
{
	if (!vmm)
		return;
	if (vmm != the_guest->vmm)
		abort();
	the_guest->vmm = NULL;
	free(vmm);
}

pid_t vmm_pid(const struct vmm *vmm)
{
	(void)vmm;
	return getpid();
}

bool vmm_is_adopted(const struct vmm *vmm)
{
	(void)vmm;
	return false;
}

const char *vmm_reason(const struct vmm *vmm)
{
	return vmm->lost ? "reboot" : NULL;
}

static void end(void *data)
{
	struct guest *guest = data;

	if (guest->vmm && guest->vmm->ending)
		guest_die(guest);
}

void vmm_thaw(const struct vmm *vmm)
{
	(void)vmm;
}

void vmm_kill(struct vmm *vmm)
{
	if (!vmm->ending)
		loop_call(the_guest->loop, end, the_guest);
	vmm->ending = true;
}

void vmm_set_link(struct vmm *vmm, size_t slot, bool up)
{
	(void)vmm, (void)slot, (void)up;
}

void vmm_set_memory(struct vmm *vmm, uint64_t mib)
{
	(void)vmm, (void)mib;
}

void vmm_set_vcpus(struct vmm *vmm, uint32_t count)
{
	(void)vmm, (void)count;
}

void vmm_note(struct vmm *vmm)
{
	(void)vmm;
}

void vmm_exit(struct vmm *vmm, unsigned code, unsigned signal, bool broken)
{
	(void)broken;
	(void)code;
	(void)signal;
	vmm_kill(vmm);
}

int vmm_connect(struct vmm *vmm, struct error **ret_error)
{
	struct guest *guest = the_guest;
	int fds[2];

	if (vmm != guest->vmm)
		abort();
	if (guest->n_streams == GUEST_STREAMS_MAX)
		return error_set(ret_error, ECONNREFUSED, "too many streams");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		abort();
	guest->streams[guest->n_streams++] = fds[1];
	answer_stream(guest, fds[1]);
	return fds[0];
}

int vmm_stage(const struct vmm *vmm, enum vmm_stage operation, const struct stage *stage,
	      struct error **ret_error)
{
	(void)operation;
	(void)stage;
	(void)ret_error;
	if (vmm != the_guest->vmm)
		abort();
	return 0;
}

const struct vmm_file *vmm_volume(const struct vmm *vmm, size_t i)
{
	static const struct vmm_file none;

	(void)vmm, (void)i;
	return &none;
}

int vmm_limit(const struct vmm *vmm, struct error **ret_error)
{
	(void)vmm;
	(void)ret_error;
	return 0;
}

int vmm_update(const struct vmm *vmm, const struct spec_resources *resources,
	       struct error **ret_error)
{
	(void)vmm;
	(void)resources;
	(void)ret_error;
	return 0;
}

/* The bundles have no network namespace. */
int vmm_network(const struct vmm *vmm, struct network **ret_network, struct error **ret_error)
{
	(void)vmm;
	(void)ret_network;
	return error_set(ret_error, ENOTSUP, "no network");
}

char *vmm_log_tail(const struct vmm *vmm)
{
	(void)vmm;
	return xstrdup("the last words");
}

char *vmm_port_path(const char *directory, uint32_t port)
{
	return xasprintf("%s/vsock.sock_%u", directory, port);
}

void guest_stop(struct guest *guest)
{
	struct vmm *vmm = guest->vmm;

	if (!vmm || vmm->lost)
		return;
	vmm->lost = true;
	vmm->events.lost(vmm->events.data, "the guest stopped");
}

void guest_die(struct guest *guest)
{
	guest_stop(guest);
	refuse_request(guest);
	if (guest->vmm)
		guest->vmm->events.ended(guest->vmm->events.data);
	guest_hang_up(guest);
	while (guest->n_streams > 0)
		guest_close_stream(guest, 0);
}

/* ---- as a whole ---- */

struct guest *guest_new(struct loop *loop, bool obliging)
{
	struct guest *guest = xcalloc(1, sizeof(*guest));

	guest->loop = loop;
	guest->agent_fd = -1;
	guest->obliging = obliging;
	the_guest = guest;
	return guest;
}

void guest_free(struct guest *guest)
{
	if (guest->vmm)
		abort();
	guest_hang_up(guest);
	while (guest->n_streams > 0)
		guest_close_stream(guest, 0);
	free(guest);
	the_guest = NULL;
}

void guest_set_obliging(struct guest *guest, bool obliging)
{
	guest->obliging = obliging;
}

void guest_set_stream_answer(struct guest *guest, enum guest_stream_answer answer)
{
	guest->stream_answer = answer;
}

void guest_give_in(struct guest *guest)
{
	guest->obliging = true;
	guest->stream_answer = STREAM_OK;
	while (guest->n_held > 0)
		guest_answer(guest, 0, 1);
}
