/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket that carries frames: see connection.h.
 *
 * Life: OPEN until the peer breaks it, it is told to end, or the owner frees it.
 * Two things hold a reference: the owner, and a handler while it runs; so an
 * event may free the connection that is just handing it a frame.
 *
 * Writing is tried at once and the rest is queued.  A failure noticed there must
 * not call back into a caller that is just answering a call, so it only arms a
 * timer of no delay, which then reports it from the loop.
 *
 * The peer's half-close is not the end: replies to what it asked still go out.
 * Its full close is, and shows as EPOLLHUP (or as a failing write).
 */
#include "ttrpc/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define READS_MAX 64	      /* reads per round, so that no peer keeps the loop to itself */
#define KEEP_SIZE (16u << 10) /* a larger queue is not kept once empty */

struct connection {
	unsigned references;
	struct loop *loop;
	const struct connection_events *events;
	void *data;
	int fd;
	bool serves;
	bool ended;	/* the peer sends no more */
	bool paused;	/* not reading until the queue is shorter */
	bool finishing; /* close when the queue is empty */
	bool closed;	/* no more events; fd and sources are gone */
	const char *broken;
	uint32_t interest; /* what epoll watches for */
	struct source *source;
	struct source *breaker; /* timer: reports `broken` */
	struct frame_decoder decoder;
	int fds[FD_PASS_MAX]; /* that came with the frame being read */
	size_t n_fds;
	struct buffer queue;
};

static struct connection *connection_reference(struct connection *connection)
{
	connection->references++;
	return connection;
}

static void connection_release(struct connection *connection)
{
	if (!connection || --connection->references > 0)
		return;
	frame_decoder_done(&connection->decoder);
	buffer_done(&connection->queue);
	free(connection);
}
DEFINE_CLEANUP(struct connection, connection_release)

static void close_fds(int *fds, size_t *n_fds)
{
	for (size_t i = 0; i < *n_fds; i++)
		(void)close(fds[i]);
	*n_fds = 0;
}

static void shut(struct connection *connection)
{
	if (connection->closed)
		return;
	connection->closed = true;
	source_clear(&connection->source);
	source_clear(&connection->breaker);
	close_fds(connection->fds, &connection->n_fds);
	(void)close(connection->fd);
	connection->fd = -1;
}

static void report_closed(struct connection *connection, const char *why)
{
	if (connection->closed)
		return;
	shut(connection);
	connection->events->closed(connection->data, why);
}

static void on_broken(void *data)
{
	_cleanup_(connection_releasep) struct connection *connection = connection_reference(data);

	connection->breaker = NULL;
	report_closed(connection, connection->broken);
}

void connection_break(struct connection *connection, const char *why)
{
	if (connection->closed || connection->broken)
		return;
	connection->broken = why;
	connection->breaker =
	    loop_add_timer(connection->loop, 0, "ttrpc broken", on_broken, connection);
}

static void update_interest(struct connection *connection)
{
	size_t waiting = buffer_length(&connection->queue);
	uint32_t interest = 0;

	if (connection->closed)
		return;
	if (connection->serves && waiting > CONNECTION_WAITING_HIGH)
		connection->paused = true;
	else if (waiting <= CONNECTION_WAITING_HIGH / 2)
		connection->paused = false;
	if (!connection->broken && !connection->ended && !connection->paused)
		interest |= EPOLLIN;
	if (!connection->broken && waiting > 0)
		interest |= EPOLLOUT;
	if (interest != connection->interest)
		source_set_events(connection->source, interest);
	connection->interest = interest;
}

static void flush(struct connection *connection)
{
	struct buffer *queue = &connection->queue;

	while (buffer_length(queue) > 0 && !connection->broken) {
		ssize_t n = send(connection->fd, buffer_data(queue), buffer_length(queue),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			connection_break(connection, "the peer does not read any more");
		else
			buffer_consume(queue, (size_t)n);
	}
	if (buffer_length(queue) == 0) {
		if (queue->capacity > KEEP_SIZE)
			buffer_done(queue);
		if (connection->finishing)
			connection_break(connection, "finished");
	}
}

/* Surplus descriptors are closed: the owner sees at most FD_PASS_MAX. */
static void collect_fds(struct connection *connection, int *fds, size_t n_fds)
{
	for (size_t i = 0; i < n_fds; i++) {
		if (connection->n_fds < FD_PASS_MAX)
			connection->fds[connection->n_fds++] = fds[i];
		else
			(void)close(fds[i]);
	}
}

static void hand_over(struct connection *connection)
{
	struct frame_decoder *decoder = &connection->decoder;
	size_t size = buffer_length(&decoder->payload);
	int fds[FD_PASS_MAX];
	struct frame frame = { .header = decoder->header,
			       .oversize = frame_decoder_oversize(decoder),
			       .payload = size > 0 ? buffer_data(&decoder->payload) : NULL,
			       .size = size,
			       .fds = fds,
			       .n_fds = connection->n_fds };

	memcpy(fds, connection->fds, sizeof(fds));
	connection->n_fds = 0;
	connection->events->frame(connection->data, &frame);
	close_fds(fds, &frame.n_fds);
	frame_decoder_next(decoder);
}

static void on_end(struct connection *connection)
{
	connection->ended = true;
	if (!frame_decoder_at_boundary(&connection->decoder))
		report_closed(connection, "the peer closed within a frame");
	else
		connection->events->ended(connection->data);
}

static bool readable(const struct connection *connection)
{
	return !connection->closed && !connection->broken && !connection->ended &&
	       !connection->paused;
}

/* A client asks for no descriptors: the kernel drops those that come. */
static ssize_t receive(const struct connection *connection, uint8_t *bytes, size_t size, int *fds,
		       size_t *n_fds)
{
	ssize_t n;

	if (connection->serves)
		return recv_with_fds(connection->fd, bytes, size, fds, n_fds);
	do
		n = recv(connection->fd, bytes, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

static void read_frames(struct connection *connection)
{
	for (int i = 0; i < READS_MAX && readable(connection); i++) {
		int fds[FD_PASS_MAX];
		size_t n_fds = 0;
		uint8_t *where;
		size_t size = frame_decoder_want(&connection->decoder, &where);
		ssize_t n = receive(connection, where, size, fds, &n_fds);

		if (n < 0 && errno == EAGAIN)
			return;
		collect_fds(connection, fds, n_fds);
		if (n < 0) {
			report_closed(connection, strerror(errno));
			return;
		}
		if (n == 0) {
			on_end(connection);
			return;
		}
		if (frame_decoder_advance(&connection->decoder, (size_t)n))
			hand_over(connection);
	}
}

static void on_io(void *data, uint32_t events)
{
	_cleanup_(connection_releasep) struct connection *connection = connection_reference(data);

	if (events & EPOLLOUT)
		flush(connection);
	update_interest(connection);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_frames(connection);
	/* What a peer sent before it went is read first; once that is done, or
	 * if it went without reading our replies, nothing is left to do. */
	if (events & (EPOLLHUP | EPOLLERR) && !connection->closed && !readable(connection))
		report_closed(connection, "the peer has gone");
	update_interest(connection);
}

int connection_new(struct loop *loop, int fd, bool serves, const struct connection_events *events,
		   void *data, struct connection **ret_connection, struct error **ret_error)
{
	_cleanup_close_ int owned_fd = fd;
	_cleanup_(connection_releasep) struct connection *connection =
	    xcalloc(1, sizeof(*connection));

	connection->references = 1;
	connection->loop = loop;
	connection->events = events;
	connection->data = data;
	connection->serves = serves;
	connection->interest = EPOLLIN;
	if (set_nonblocking(fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot use the connection %d", fd);
	if (loop_add_io(loop, fd, EPOLLIN, "ttrpc", on_io, connection, &connection->source,
			ret_error) < 0)
		return -1;
	connection->fd = TAKE_FD(owned_fd);
	*ret_connection = TAKE_PTR(connection);
	return 0;
}

void connection_free(struct connection *connection)
{
	if (!connection)
		return;
	shut(connection);
	connection_release(connection);
}

void connection_send(struct connection *connection, uint32_t stream, enum frame_type type,
		     const uint8_t *payload, size_t size)
{
	struct frame_header header = { .length = (uint32_t)size,
				       .stream = stream,
				       .type = (uint8_t)type };
	bool was_empty = buffer_length(&connection->queue) == 0;

	if (connection->closed || connection->broken)
		return;
	if (buffer_length(&connection->queue) + FRAME_HEADER_SIZE + size > CONNECTION_WAITING_MAX) {
		connection_break(connection, "the peer does not read");
		return;
	}
	frame_header_encode(&header, buffer_reserve(&connection->queue, FRAME_HEADER_SIZE));
	buffer_commit(&connection->queue, FRAME_HEADER_SIZE);
	buffer_append(&connection->queue, payload, size);
	if (was_empty)
		flush(connection);
	update_interest(connection);
}

size_t connection_waiting(const struct connection *connection)
{
	return buffer_length(&connection->queue);
}

void connection_finish(struct connection *connection)
{
	connection->finishing = true;
	if (buffer_length(&connection->queue) == 0)
		connection_break(connection, "finished");
}
