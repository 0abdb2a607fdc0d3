/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ttrpc service supermachine.v1.Agent (protocol/agent.proto): each handler
 * checks its request, and answers or hands the call on to who will.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/container.h"
#include "agent/identity.h"
#include "agent/memory.h"
#include "agent/network.h"
#include "agent/processors.h"
#include "base/log.h"
#include "protocol/agent.pb-c.h"

static void reply_empty(struct ttrpc_call *call)
{
	Agent__Empty empty = AGENT__EMPTY__INIT;

	ttrpc_call_reply(call, &empty.base);
}

/* The answer of calls that are done or have failed at once. (What yields result and error is not
 * called among the arguments: they are evaluated in any order.) */
static void conclude(struct ttrpc_call *call, int result, struct error *error)
{
	if (result < 0)
		ttrpc_call_fail_error(call, error);
	else
		reply_empty(call);
}

/* Every call but Hello passes here; false: answered already. */
static bool admit(struct ttrpc_call *call, const struct agent *agent)
{
	if (agent->greeted)
		return true;
	ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the first call must be Hello");
	return false;
}

static struct agent_container *admit_container(struct ttrpc_call *call, const struct agent *agent,
					       const char *id)
{
	struct agent_container *container;

	if (!admit(call, agent))
		return NULL;
	container = agent_container_find(agent, id);
	if (!container)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container \"%.64s\" does not exist", id);
	return container;
}

static struct process *admit_process(struct ttrpc_call *call, const struct agent *agent,
				     const char *id, const char *exec_id)
{
	struct agent_container *container = admit_container(call, agent, id);
	struct process *process;

	if (!container)
		return NULL;
	process = agent_container_find_process(container, exec_id);
	if (!process)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "process \"%.64s\" does not exist", exec_id);
	return process;
}

static void hello(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__HelloRequest *request = (const Agent__HelloRequest *)message;
	struct agent *agent = data;
	Agent__HelloResponse response = AGENT__HELLO_RESPONSE__INIT;
	_cleanup_error_ struct error *error = NULL;
	struct utsname names;

	if (request->version != AGENT_PROTOCOL_VERSION) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
				"the agent speaks version %d of its protocol, not %u",
				AGENT_PROTOCOL_VERSION, request->version);
		return;
	}
	if (identity_add_entropy(request->entropy.data, request->entropy.len, &error) < 0) {
		ttrpc_call_fail_error(call, error);
		return;
	}
	if (identity_set_clock(request->realtime_ns, &error) < 0)
		log_warning("%s", error->message);
	if (request->hostname[0] && sethostname(request->hostname, strlen(request->hostname)) < 0)
		log_warning("sethostname: %s", strerror(errno));
	agent->greeted = true;
	response.version = AGENT_PROTOCOL_VERSION;
	response.kernel_release = (char *)(uname(&names) == 0 ? names.release : "");
	ttrpc_call_reply(call, &response.base);
}

static void create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	_cleanup_error_ struct error *error = NULL;

	if (admit(call, data) &&
	    agent_container_create(data, (const Agent__CreateRequest *)message, call, &error) < 0)
		ttrpc_call_fail_error(call, error);
}

/* A container lives without as well. */
static void answer_names(struct agent *agent, struct agent_container *container)
{
	_cleanup_error_ struct error *error = NULL;

	if (!container->names && names_new(agent, container->init->pid, container->cgroup,
					   &container->names, &error) < 0)
		log_warning("no names from " AGENT_NAMES_ADDRESS ": %s", error->message);
}

static void network(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__NetworkRequest *request = (const Agent__NetworkRequest *)message;
	struct agent *agent = data;
	struct agent_container *container = admit_container(call, agent, request->id);
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (!container)
		return;
	if (container->removing || container->init->state == PROCESS_STOPPED ||
	    container->init->state == PROCESS_SETTING_UP) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container not running");
		return;
	}
	result =
	    networks_apply(agent->networks, container->init->pid, container->spec, request, &error);
	if (result == 0 && request->names)
		answer_names(agent, container);
	conclude(call, result, error);
}

static void start(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__StartRequest *request = (const Agent__StartRequest *)message;
	struct process *process = admit_process(call, data, request->id, "");
	_cleanup_error_ struct error *error = NULL;

	if (process && process_go(process, call, &error) < 0)
		ttrpc_call_fail_error(call, error);
}

static void exec(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ExecRequest *request = (const Agent__ExecRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);
	_cleanup_error_ struct error *error = NULL;

	if (container && agent_container_exec(container, request, call, &error) < 0)
		ttrpc_call_fail_error(call, error);
}

static void wait_(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__WaitRequest *request = (const Agent__WaitRequest *)message;
	struct process *process = admit_process(call, data, request->id, request->exec_id);

	if (process)
		process_wait(process, call);
}

static void signal_(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__SignalRequest *request = (const Agent__SignalRequest *)message;
	struct process *process = admit_process(call, data, request->id, request->exec_id);
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (!process)
		return;
	if (request->all)
		result = agent_container_signal_all(process->container, request->signal, &error);
	else
		result = process_signal(process, request->signal, &error);
	conclude(call, result, error);
}

static void resize(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ResizeRequest *request = (const Agent__ResizeRequest *)message;
	struct process *process = admit_process(call, data, request->id, request->exec_id);
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (!process)
		return;
	result = streams_resize(process->streams, request->width, request->height, &error);
	conclude(call, result, error);
}

static void delete_(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__DeleteRequest *request = (const Agent__DeleteRequest *)message;
	struct process *process = admit_process(call, data, request->id, request->exec_id);

	if (!process)
		return;
	/* A container that was never started is killed, as runc's delete does. */
	if (process->state != PROCESS_STOPPED &&
	    !(process_is_init(process) && process->state == PROCESS_CREATED)) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
				"cannot delete \"%.64s\" that is not stopped",
				process_is_init(process) ? request->id : request->exec_id);
	} else if (process_is_init(process)) {
		agent_container_remove(process->container, call, NULL);
	} else {
		agent_container_remove_exec(process->container, process);
		reply_empty(call);
	}
}

static void pause_(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ContainerRequest *request = (const Agent__ContainerRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);

	if (!container)
		return;
	if (container->removing || container->init->state == PROCESS_STOPPED ||
	    container->init->state == PROCESS_SETTING_UP)
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container not running");
	else
		agent_container_pause(container, call);
}

static void resume(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ContainerRequest *request = (const Agent__ContainerRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (!container)
		return;
	if (!agent_container_is_paused(container)) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container not paused");
		return;
	}
	result = cgroup_freeze(container->cgroup, false, &error);
	conclude(call, result, error);
}

static void update(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__UpdateRequest *request = (const Agent__UpdateRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;
	_cleanup_error_ struct error *error = NULL;
	int result;

	if (!container)
		return;
	result = spec_parse_resources((const char *)request->resources.data, request->resources.len,
				      &resources, &error);
	if (result == 0)
		result = agent_container_limit(container, resources, &error);
	if (result == 0 && resources->n_devices > 0)
		result = cgroup_set_devices(container->cgroup, resources, &error);
	conclude(call, result, error);
}

static void memory(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__MemoryRequest *request = (const Agent__MemoryRequest *)message;

	if (admit(call, data))
		memory_await(data, request->mib, call);
}

static void processors(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ProcessorsRequest *request = (const Agent__ProcessorsRequest *)message;
	struct agent *agent = data;

	if (!admit(call, agent))
		return;
	if (request->count == 0)
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "no CPU at all");
	else
		processors_set(agent->processors, request->count, call);
}

static void stats(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ContainerRequest *request = (const Agent__ContainerRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);
	Agent__StatsResponse response = AGENT__STATS_RESPONSE__INIT;

	if (!container)
		return;
	response.metrics.len = stats_pack(container, &response.metrics.data);
	ttrpc_call_reply(call, &response.base);
	free(response.metrics.data);
}

static void processes(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__ContainerRequest *request = (const Agent__ContainerRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);
	Agent__ProcessesResponse response = AGENT__PROCESSES_RESPONSE__INIT;

	if (!container)
		return;
	response.processes.len = processes_pack(container, &response.processes.data);
	ttrpc_call_reply(call, &response.base);
	free(response.processes.data);
}

static void wait_oom(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Agent__OomRequest *request = (const Agent__OomRequest *)message;
	struct agent_container *container = admit_container(call, data, request->id);

	if (container)
		oom_wait(container, request->seen, call);
}

static void shutdown_(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	struct agent *agent = data;

	(void)message;
	if (!admit(call, agent))
		return;
	reply_empty(call);
	if (agent->power_off)
		agent->power_off(agent->power_off_data);
}

static const struct ttrpc_method methods[] = {
	{ "Hello", &agent__hello_request__descriptor, hello },
	{ "Create", &agent__create_request__descriptor, create },
	{ "Network", &agent__network_request__descriptor, network },
	{ "Start", &agent__start_request__descriptor, start },
	{ "Exec", &agent__exec_request__descriptor, exec },
	{ "Wait", &agent__wait_request__descriptor, wait_ },
	{ "Signal", &agent__signal_request__descriptor, signal_ },
	{ "Resize", &agent__resize_request__descriptor, resize },
	{ "Delete", &agent__delete_request__descriptor, delete_ },
	{ "Pause", &agent__container_request__descriptor, pause_ },
	{ "Resume", &agent__container_request__descriptor, resume },
	{ "Update", &agent__update_request__descriptor, update },
	{ "Memory", &agent__memory_request__descriptor, memory },
	{ "Processors", &agent__processors_request__descriptor, processors },
	{ "Stats", &agent__container_request__descriptor, stats },
	{ "Processes", &agent__container_request__descriptor, processes },
	{ "WaitOom", &agent__oom_request__descriptor, wait_oom },
	{ "Shutdown", &agent__empty__descriptor, shutdown_ },
};

void agent_service_init(struct agent *agent, struct ttrpc_service *ret_service)
{
	*ret_service = (struct ttrpc_service){
		.name = "supermachine.v1.Agent",
		.methods = methods,
		.n_methods = ARRAY_SIZE(methods),
		.data = agent,
	};
}
