/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's client: see agent-client.h. */
#include "sandbox/agent-client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "protocol/agent.pb-c.h"

#define AGENT_SERVICE "supermachine.v1.Agent"
#define HELLO_TIMEOUT_MS 60000
#define ENTROPY_SIZE 64

struct agent_client {
	struct ttrpc_client *client;
	int fd; /* of the client's connection, to break it */
	struct agent_client_events events;
};

void agent_client_free(struct agent_client *agent)
{
	if (!agent)
		return;
	ttrpc_client_free(agent->client);
	close_fdp(&agent->fd);
	free(agent);
}

void agent_client_break(struct agent_client *agent)
{
	(void)shutdown(agent->fd, SHUT_RDWR);
}

static void hello_answered(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct agent_client *agent = data;
	const Agent__HelloResponse *hello = (const Agent__HelloResponse *)response;
	_cleanup_error_ struct error *refusal = NULL;

	if (!error && hello->version != AGENT_PROTOCOL_VERSION) {
		(void)error_set(&refusal, EPROTO,
				"the agent speaks protocol version %u, this program version %d: "
				"the initramfs and the programs are of different builds",
				hello->version, AGENT_PROTOCOL_VERSION);
		error = refusal;
	}
	if (!error)
		log_debug("the agent is ready, guest kernel %.64s", hello->kernel_release);
	agent->events.greeted(agent->events.data, error);
}

static void connection_closed(void *data)
{
	struct agent_client *agent = data;

	agent->events.closed(agent->events.data);
}

int agent_client_new(struct loop *loop, int fd, const char *hostname,
		     const struct agent_client_events *events, struct agent_client **ret_agent,
		     struct error **ret_error)
{
	Agent__HelloRequest request = AGENT__HELLO_REQUEST__INIT;
	int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	uint8_t entropy[ENTROPY_SIZE];
	struct agent_client *agent;
	const struct ttrpc_request call = { .service = AGENT_SERVICE,
					    .method = "Hello",
					    .message = &request.base,
					    .response = &agent__hello_response__descriptor,
					    .timeout_ms = HELLO_TIMEOUT_MS };

	if (own_fd < 0) {
		int code = errno;

		(void)close(fd);
		return error_set_errno(ret_error, code, "cannot duplicate the agent's connection");
	}
	agent = xcalloc(1, sizeof(*agent));
	agent->fd = own_fd;
	agent->events = *events;
	if (ttrpc_client_new(loop, fd, connection_closed, agent, &agent->client, ret_error) < 0) {
		close_fdp(&agent->fd);
		free(agent);
		return -1;
	}
	request.version = AGENT_PROTOCOL_VERSION;
	request.realtime_ns = clock_realtime_ns();
	request.hostname = (char *)(hostname ? hostname : "");
	if (random_bytes(entropy, sizeof(entropy), NULL) == 0)
		request.entropy = (ProtobufCBinaryData){ sizeof(entropy), entropy };
	ttrpc_client_call(agent->client, &call, hello_answered, agent);
	explicit_bzero(entropy, sizeof(entropy));
	*ret_agent = agent;
	return 0;
}

void agent_client_call(struct agent_client *agent, const char *method,
		       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		       uint64_t timeout_ms, ttrpc_reply_fn function, void *data)
{
	const struct ttrpc_request call = { .service = AGENT_SERVICE,
					    .method = method,
					    .message = request,
					    .response = response,
					    .timeout_ms = timeout_ms };

	ttrpc_client_call(agent->client, &call, function, data);
}

const char *agent_client_text(const struct error *error)
{
	const char *text = error->message;

	if (strncmp(text, AGENT_SERVICE, strlen(AGENT_SERVICE)) == 0) {
		const char *colon = strstr(text, ": ");

		text = colon ? colon + 2 : text;
	}
	return text;
}

void agent_client_fail(struct ttrpc_call *call, const struct error *error)
{
	ttrpc_call_fail(call, ttrpc_code_of_errno(error->code), "%.*s", AGENT_TEXT_MAX,
			agent_client_text(error));
}
