/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio of the container's processes: connections from the host that wait to
 * be claimed by the port they come from, and the pipes or the terminal that
 * they are pumped from and to (protocol/agent.proto "stdio").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

/* As many connections as the host may have (virtio/vsock.h). */
#define STDIO_WAITING_MAX 2048

struct stdio_table;

struct stdio_table *stdio_table_new(void);
void stdio_table_free(struct stdio_table *table);
/* fd, connected, becomes the table's.  Of too many, and of two with the same
 * port, the oldest is closed. */
void stdio_table_add(struct stdio_table *table, uint32_t port, int fd);
/* Called when a claimed port is not there: to accept what has come, but not been
 * seen by the loop. */
void stdio_table_set_refill(struct stdio_table *table, void (*refill)(void *data), void *data);
void stdio_table_clear(struct stdio_table *table); /* the host that made them has gone */
/* The connection, the caller's and non-blocking, or -1 (ENOTCONN). */
int stdio_table_claim(struct stdio_table *table, uint32_t port, struct error **ret_error);

/* The ports of a Create or Exec request. */
struct stdio_ports {
	uint32_t in, out, err;
};

struct streams;

/* Claims the ports and makes what the child gets as its stdio: pipes,
 * /dev/null for port 0; with a terminal /dev/null, until streams_set_terminal().
 * child_fds are the caller's. */
int streams_new(struct loop *loop, struct stdio_table *table, const struct stdio_ports *ports,
		bool terminal, struct streams **ret_streams, int child_fds[3],
		struct error **ret_error);
/* master_fd becomes the streams'. */
int streams_set_terminal(struct streams *streams, int master_fd, struct error **ret_error);
int streams_resize(const struct streams *streams, uint32_t width, uint32_t height,
		   struct error **ret_error);
/* The process has ended: nobody reads its stdin any more. */
void streams_close_input(struct streams *streams);
void streams_free(struct streams *streams);
DEFINE_CLEANUP(struct streams, streams_free)
