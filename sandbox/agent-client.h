/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent, as the task server calls it: one ttrpc connection, Hello first.
 * The agent's answers are trusted no more than a client's words.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/agent.h"
#include "ttrpc/ttrpc.h"

/* For calls that the user's program does not delay. */
#define AGENT_TIMEOUT_MS 60000

struct agent_client;

struct agent_client_events {
	/* Once, with what came of Hello. */
	void (*greeted)(void *data, const struct error *error);
	/* Once, last of all callbacks, when the connection has ended and every open call has
	 * failed; it may free the agent. */
	void (*closed)(void *data);
	void *data;
};

/* Takes over fd and says Hello: version, clock, entropy, the guest's own name (NULL: none). */
int agent_client_new(struct loop *loop, int fd, const char *hostname,
		     const struct agent_client_events *events, struct agent_client **ret_agent,
		     struct error **ret_error);
/* No callback of any call comes after. */
void agent_client_free(struct agent_client *agent);
/* The machine is gone: the connection is to end, even if something holds its other end. */
void agent_client_break(struct agent_client *agent);

/* One call of the service, as ttrpc_client_call().  An error's message is the
 * agent's: pass it on by agent_client_fail() only. */
void agent_client_call(struct agent_client *agent, const char *method,
		       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		       uint64_t timeout_ms, ttrpc_reply_fn function, void *data);

/* Fails a client's call with the agent's answer: its code, and its words cut to a
 * bounded length, without the name of our own call before them. */
void agent_client_fail(struct ttrpc_call *call, const struct error *error);
/* The same words for a message of our own. */
#define AGENT_TEXT_MAX 4096
const char *agent_client_text(const struct error *error);
