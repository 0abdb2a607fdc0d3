/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio: see stdio.h.  Between a connection and a process there is always a
 * pipe (or a pty): the process can open /dev/stdout anew, and never sees a
 * socket.
 */
#include "agent/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/terminal.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/pump.h"

struct waiting {
	uint32_t port;
	int fd;
};

struct stdio_table {
	struct waiting waiting[STDIO_WAITING_MAX]; /* oldest first */
	size_t n;
	void (*refill)(void *data);
	void *refill_data;
};

struct streams {
	struct loop *loop;
	int terminal_socket_fd; /* until the terminal is there */
	int master_fd;		/* for resizing; -1 without a terminal */
	struct pump *in, *out, *err;
};

struct stdio_table *stdio_table_new(void)
{
	return xcalloc(1, sizeof(struct stdio_table));
}

void stdio_table_clear(struct stdio_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		close_fdp(&table->waiting[i].fd);
	table->n = 0;
}

void stdio_table_free(struct stdio_table *table)
{
	if (!table)
		return;
	stdio_table_clear(table);
	free(table);
}

static int take(struct stdio_table *table, size_t index)
{
	int fd = table->waiting[index].fd;

	table->n--;
	for (size_t i = index; i < table->n; i++)
		table->waiting[i] = table->waiting[i + 1];
	return fd;
}

static int take_port(struct stdio_table *table, uint32_t port)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->waiting[i].port == port)
			return take(table, i);
	return -1;
}

void stdio_table_add(struct stdio_table *table, uint32_t port, int fd)
{
	int old_fd = take_port(table, port);

	close_fdp(&old_fd);
	if (table->n == STDIO_WAITING_MAX)
		(void)close(take(table, 0));
	(void)set_nonblocking(fd, true);
	table->waiting[table->n++] = (struct waiting){ .port = port, .fd = fd };
}

void stdio_table_set_refill(struct stdio_table *table, void (*refill)(void *data), void *data)
{
	table->refill = refill;
	table->refill_data = data;
}

int stdio_table_claim(struct stdio_table *table, uint32_t port, struct error **ret_error)
{
	int fd = take_port(table, port);

	/* The host has seen the connection made before it sent the request; the
	 * loop may have come to the request first. */
	if (fd < 0 && table->refill) {
		table->refill(table->refill_data);
		fd = take_port(table, port);
	}
	if (fd < 0)
		return error_set(ret_error, ENOTCONN, "no stdio connection from port %u", port);
	return fd;
}

static int open_null(struct error **ret_error)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open /dev/null");
	return fd;
}

/* A pipe of which our end does not block; the child's end does. */
static int open_pipe(bool to_child, int *ret_own_fd, int *ret_child_fd, struct error **ret_error)
{
	if (pipe_open(to_child ? ret_child_fd : ret_own_fd, to_child ? ret_own_fd : ret_child_fd,
		      ret_error) < 0)
		return -1;
	(void)set_nonblocking(*ret_own_fd, true);
	return 0;
}

static void pump_ended(void *data, bool broken)
{
	struct pump **pump = data;

	(void)broken;
	*pump = NULL;
}

static void start_input(struct streams *streams, int socket_fd, int sink_fd)
{
	const struct pump_setup setup = {
		.from = socket_fd, .to = sink_fd, .function = pump_ended, .data = &streams->in
	};

	streams->in = pump_new(streams->loop, &setup);
}

/* When the host has gone, the container's end is closed: a writer there learns of it
 * as of any reader that has gone. */
static struct pump *start_output(struct streams *streams, int source_fd, int socket_fd,
				 pump_fn function, void *data)
{
	const struct pump_setup setup = { .from = source_fd,
					  .to = socket_fd,
					  .watches_reader = true,
					  .lingers = true,
					  .function = function,
					  .data = data };

	return pump_new(streams->loop, &setup);
}

static int open_stream(struct streams *streams, struct stdio_table *table, uint32_t port,
		       bool input, struct pump **pump, int *ret_child_fd, struct error **ret_error)
{
	_cleanup_close_ int socket_fd = -1;
	_cleanup_close_ int child_fd = -1;
	int own_fd = -1;

	if (port == 0) {
		*ret_child_fd = open_null(ret_error);
		return *ret_child_fd < 0 ? -1 : 0;
	}
	socket_fd = stdio_table_claim(table, port, ret_error);
	if (socket_fd < 0 || open_pipe(input, &own_fd, &child_fd, ret_error) < 0)
		return -1;
	if (input)
		start_input(streams, TAKE_FD(socket_fd), own_fd);
	else
		*pump = start_output(streams, own_fd, TAKE_FD(socket_fd), pump_ended, pump);
	*ret_child_fd = TAKE_FD(child_fd);
	return 0;
}

static int open_all(struct streams *streams, struct stdio_table *table,
		    const struct stdio_ports *ports, bool terminal, int child_fds[3],
		    struct error **ret_error)
{
	if (terminal) {
		if (ports->out != 0) {
			streams->terminal_socket_fd =
			    stdio_table_claim(table, ports->out, ret_error);
			if (streams->terminal_socket_fd < 0)
				return -1;
		}
		for (int i = 0; i < 3; i++) {
			child_fds[i] = open_null(ret_error);
			if (child_fds[i] < 0)
				return -1;
		}
		return 0;
	}
	if (open_stream(streams, table, ports->in, true, &streams->in, &child_fds[0], ret_error) <
		0 ||
	    open_stream(streams, table, ports->out, false, &streams->out, &child_fds[1],
			ret_error) < 0)
		return -1;
	return open_stream(streams, table, ports->err, false, &streams->err, &child_fds[2],
			   ret_error);
}

int streams_new(struct loop *loop, struct stdio_table *table, const struct stdio_ports *ports,
		bool terminal, struct streams **ret_streams, int child_fds[3],
		struct error **ret_error)
{
	_cleanup_(streams_freep) struct streams *streams = xcalloc(1, sizeof(*streams));

	streams->loop = loop;
	streams->terminal_socket_fd = streams->master_fd = -1;
	child_fds[0] = child_fds[1] = child_fds[2] = -1;
	if (open_all(streams, table, ports, terminal, child_fds, ret_error) < 0) {
		for (int i = 0; i < 3; i++)
			close_fdp(&child_fds[i]);
		return -1;
	}
	*ret_streams = TAKE_PTR(streams);
	return 0;
}

/* A terminal whose last master is closed is hung up: SIGHUP, and no more reads and writes. */
static void terminal_ended(void *data, bool broken)
{
	struct streams *streams = data;

	streams->out = NULL;
	if (!broken)
		return;
	pump_free(TAKE_PTR(streams->in));
	close_fdp(&streams->master_fd);
	streams->master_fd = -1;
}

int streams_set_terminal(struct streams *streams, int master_fd, struct error **ret_error)
{
	const bool connected = streams->terminal_socket_fd >= 0;
	_cleanup_close_ int out_master_fd = -1, in_master_fd = -1, in_socket_fd = -1;
	int sink_fd;

	close_fdp(&streams->master_fd);
	streams->master_fd = master_fd;
	(void)set_nonblocking(master_fd, true);
	/* One descriptor for each direction: epoll knows a descriptor once. */
	out_master_fd = fcntl(master_fd, F_DUPFD_CLOEXEC, 0);
	if (connected) {
		in_master_fd = fcntl(master_fd, F_DUPFD_CLOEXEC, 0);
		in_socket_fd = fcntl(streams->terminal_socket_fd, F_DUPFD_CLOEXEC, 0);
	}
	if (out_master_fd < 0 || (connected && (in_master_fd < 0 || in_socket_fd < 0)))
		return error_set_errno(ret_error, errno, "cannot duplicate the terminal");
	/* What nobody takes is read nevertheless. */
	sink_fd = connected ? TAKE_FD(streams->terminal_socket_fd) : open_null(ret_error);
	if (sink_fd < 0)
		return -1;
	streams->out =
	    start_output(streams, TAKE_FD(out_master_fd), sink_fd, terminal_ended, streams);
	if (connected)
		start_input(streams, TAKE_FD(in_socket_fd), TAKE_FD(in_master_fd));
	return 0;
}

int streams_resize(const struct streams *streams, uint32_t width, uint32_t height,
		   struct error **ret_error)
{
	if (streams->master_fd < 0)
		return error_set(ret_error, EINVAL, "the process has no terminal");
	return agent_terminal_resize(streams->master_fd, width, height, ret_error);
}

void streams_close_input(struct streams *streams)
{
	pump_free(TAKE_PTR(streams->in));
}

void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	pump_free(streams->in);
	pump_free(streams->out);
	pump_free(streams->err);
	close_fdp(&streams->terminal_socket_fd);
	close_fdp(&streams->master_fd);
	free(streams);
}
