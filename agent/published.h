/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the host to unix sockets that containers listen on
 * (protocol/agent.proto: "A published socket").
 *
 * The container chose the path, and what it leads to is the container's too.  So each
 * connection resolves it again, inside the container's root, and connects to sockets only.
 */
#pragma once

#include "agent/agent.h"

/* The doorman of the host's connections, which say first what they want. */
struct doorman *published_doorman_new(struct agent *agent);
