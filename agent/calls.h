/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the host that wait for something to happen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ttrpc/ttrpc.h"

#define CALLS_MAX 256

struct calls {
	struct ttrpc_call *waiting[CALLS_MAX];
	size_t n;
};

/* Too many: the call is failed at once. */
void calls_add(struct calls *calls, struct ttrpc_call *call);
void calls_reply(struct calls *calls, const ProtobufCMessage *response);
void calls_fail(struct calls *calls, enum ttrpc_code code, const char *message);
