/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of waiting calls: see calls.h. */
#include "agent/calls.h"

void calls_add(struct calls *calls, struct ttrpc_call *call)
{
	if (calls->n == CALLS_MAX) {
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "more than %d calls are waiting",
				CALLS_MAX);
		return;
	}
	calls->waiting[calls->n++] = call;
}

void calls_reply(struct calls *calls, const ProtobufCMessage *response)
{
	while (calls->n > 0)
		ttrpc_call_reply(calls->waiting[--calls->n], response);
}

void calls_fail(struct calls *calls, enum ttrpc_code code, const char *message)
{
	while (calls->n > 0)
		ttrpc_call_fail(calls->waiting[--calls->n], code, "%s", message);
}
