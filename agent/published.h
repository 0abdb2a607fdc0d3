/*
 * Connections of the host to unix sockets that containers listen on
 * (ttrpc/agent.proto: "A published socket").
 *
 * The path is the container's, and so is what it leads to: it is resolved inside the
 * container's root, anew for every connection, and only a socket is connected to.
 */
#pragma once

#include "agent/agent.h"

struct published;

struct published *published_new(struct agent *agent);
/* Ends every connection. */
void published_free(struct published *published);
/* A connection of the host's, which says first what it wants; fd becomes ours, and
 * does not block. */
void published_accept(struct published *published, int fd);
