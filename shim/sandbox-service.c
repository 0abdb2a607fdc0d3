/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's Sandbox API: see sandbox-service.h. */
#include "shim/sandbox-service.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "protocol/sandbox-api.pb-c.h"
#include "sandbox/kept.h"

/* A task server is one sandbox's.  Fails the call if another is named. */
static bool check_id(const struct sandbox *sandbox, struct ttrpc_call *call, const char *id)
{
	if (strcmp(sandbox->options.id, id) == 0)
		return true;
	ttrpc_call_fail(call, TTRPC_NOT_FOUND, "this task server is for the sandbox %s, not %s",
			sandbox->options.id, id);
	return false;
}

/* The same for the messages that have nothing but the id. */
static bool check_request(const struct sandbox *sandbox, struct ttrpc_call *call,
			  const ProtobufCMessage *message)
{
	return check_id(sandbox, call, ((const SandboxApi__SandboxRequest *)message)->sandbox_id);
}

static void on_create(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const SandboxApi__CreateSandboxRequest *request =
	    (const SandboxApi__CreateSandboxRequest *)message;

	if (check_id(data, call, request->sandbox_id))
		kept_create(data, call, request);
}

static void on_start(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	if (check_request(data, call, message))
		kept_start(data, call);
}

/* In the words of the image specification, which are Go's. */
static const char *architecture(const char *machine)
{
	static const struct {
		const char *machine, *architecture;
	} table[] = { { "x86_64", "amd64" }, { "aarch64", "arm64" } };

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].machine, machine) == 0)
			return table[i].architecture;
	return machine;
}

static void on_platform(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	SandboxApi__PlatformResponse response = SANDBOX_API__PLATFORM_RESPONSE__INIT;
	SandboxApi__Platform platform = SANDBOX_API__PLATFORM__INIT;
	struct utsname names;

	if (!check_request(data, call, message))
		return;
	(void)uname(&names);
	platform.os = (char *)"linux";
	platform.architecture = (char *)architecture(names.machine);
	response.platform = &platform;
	ttrpc_call_reply(call, &response.base);
}

static void on_stop(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	if (check_id(data, call, ((const SandboxApi__StopSandboxRequest *)message)->sandbox_id))
		kept_stop(data, call);
}

static void on_wait(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	if (check_request(data, call, message))
		kept_wait(data, call);
}

static void on_status(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const SandboxApi__SandboxStatusRequest *request =
	    (const SandboxApi__SandboxStatusRequest *)message;

	if (check_id(data, call, request->sandbox_id))
		kept_status(data, call, request->verbose);
}

static void on_ping(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	Task__Empty response = TASK__EMPTY__INIT;

	if (check_request(data, call, message))
		ttrpc_call_reply(call, &response.base);
}

static void on_shutdown(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	if (check_request(data, call, message))
		sandbox_shutdown(data, call, true);
}

static void on_metrics(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	if (check_request(data, call, message))
		ttrpc_call_fail(call, TTRPC_UNIMPLEMENTED,
				"SandboxMetrics is not supported: ask for the metrics of the "
				"sandbox's containers");
}

static const struct ttrpc_method methods[] = {
	{ "CreateSandbox", &sandbox_api__create_sandbox_request__descriptor, on_create },
	{ "StartSandbox", &sandbox_api__sandbox_request__descriptor, on_start },
	{ "Platform", &sandbox_api__sandbox_request__descriptor, on_platform },
	{ "StopSandbox", &sandbox_api__stop_sandbox_request__descriptor, on_stop },
	{ "WaitSandbox", &sandbox_api__sandbox_request__descriptor, on_wait },
	{ "SandboxStatus", &sandbox_api__sandbox_status_request__descriptor, on_status },
	{ "PingSandbox", &sandbox_api__sandbox_request__descriptor, on_ping },
	{ "ShutdownSandbox", &sandbox_api__sandbox_request__descriptor, on_shutdown },
	{ "SandboxMetrics", &sandbox_api__sandbox_request__descriptor, on_metrics },
};

struct ttrpc_service sandbox_service(struct sandbox *sandbox)
{
	return (struct ttrpc_service){ .name = SANDBOX_SERVICE,
				       .methods = methods,
				       .n_methods = ARRAY_SIZE(methods),
				       .data = sandbox };
}
