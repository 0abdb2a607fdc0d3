/*
 * Copying streams: see pump.h.
 *
 * The sources of a pump exist only while it wants their event: the one for
 * reading while the buffer is empty, the one for writing while it is not.
 * (epoll reports EPOLLHUP whether asked or not: a source merely without
 * events would spin the loop.)
 */
#include "agent/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

#define PUMP_BUFFER_SIZE 65536
#define PUMP_ROUNDS 8 /* per event, so that busy streams share the loop */

struct pump {
	struct loop *loop;
	enum pump_kind kind;
	int from_fd, to_fd;
	struct source *from_source, *to_source;
	size_t start, end; /* of what waits in the buffer */
	bool finished;
	char buffer[PUMP_BUFFER_SIZE];
};

static void pump_event(void *data, uint32_t events);

static void close_from(struct pump *pump)
{
	source_clear(&pump->from_source);
	close_fdp(&pump->from_fd);
	pump->from_fd = -1;
}

static void close_to(struct pump *pump)
{
	source_clear(&pump->to_source);
	close_fdp(&pump->to_fd);
	pump->to_fd = -1;
}

/* After the half-close the socket stays until the host closes its side, or
 * the process is deleted: closing it with the host's end open could cut off
 * what is still on its way. */
static void linger(void *data, uint32_t events)
{
	struct pump *pump = data;
	char byte[256];
	ssize_t n = read(pump->to_fd, byte, sizeof(byte));

	(void)events;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_to(pump);
}

static void finish(struct pump *pump)
{
	_cleanup_error_ struct error *error = NULL;

	pump->finished = true;
	close_from(pump);
	source_clear(&pump->to_source);
	if (pump->kind == PUMP_INPUT || pump->to_fd < 0 || shutdown(pump->to_fd, SHUT_WR) < 0 ||
	    loop_add_io(pump->loop, pump->to_fd, EPOLLIN | EPOLLRDHUP, "stdio end", linger, pump,
			&pump->to_source, &error) < 0)
		close_to(pump);
}

static void target_gone(struct pump *pump)
{
	pump->start = pump->end = 0;
	close_to(pump);
	if (pump->kind == PUMP_INPUT)
		finish(pump);
}

/* Reads until there is nothing more: a pty gives no more than a page at once, and each write
 * is a packet to the host. false: nothing more can be done now. */
static bool fill(struct pump *pump)
{
	ssize_t n;

	pump->start = pump->end = 0;
	do {
		n = read(pump->from_fd, pump->buffer + pump->end, sizeof(pump->buffer) - pump->end);
		if (n > 0)
			pump->end += (size_t)n;
	} while (pump->end < sizeof(pump->buffer) && (n > 0 || (n < 0 && errno == EINTR)));
	if (pump->end > 0)
		return true;
	if (n == 0 || errno != EAGAIN) /* a pty without slaves answers EIO: its end */
		finish(pump);
	return false;
}

static bool drain(struct pump *pump)
{
	ssize_t n;

	if (pump->to_fd < 0) {
		pump->start = pump->end;
		return true;
	}
	n = write(pump->to_fd, pump->buffer + pump->start, pump->end - pump->start);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0) {
		target_gone(pump);
		return !pump->finished;
	}
	pump->start += (size_t)n;
	return true;
}

static void want(struct pump *pump, int fd, uint32_t events, struct source **source)
{
	_cleanup_error_ struct error *error = NULL;

	if (*source)
		return;
	if (loop_add_io(pump->loop, fd, events, "stdio", pump_event, pump, source, &error) < 0) {
		log_error("%s", error->message);
		finish(pump);
	}
}

static void pump_event(void *data, uint32_t events)
{
	struct pump *pump = data;
	bool more = true;

	(void)events;
	for (unsigned int i = 0; i < PUMP_ROUNDS && more; i++)
		more = pump->start == pump->end ? fill(pump) : drain(pump);
	if (pump->finished)
		return;
	if (pump->start == pump->end) {
		source_clear(&pump->to_source);
		want(pump, pump->from_fd, EPOLLIN, &pump->from_source);
	} else {
		source_clear(&pump->from_source);
		want(pump, pump->to_fd, EPOLLOUT, &pump->to_source);
	}
}

int pump_new(struct loop *loop, int from_fd, int to_fd, enum pump_kind kind, struct pump **ret_pump,
	     struct error **ret_error)
{
	struct pump *pump = xcalloc(1, sizeof(*pump));

	pump->loop = loop;
	pump->kind = kind;
	pump->from_fd = from_fd;
	pump->to_fd = to_fd;
	if (loop_add_io(loop, from_fd, EPOLLIN, "stdio", pump_event, pump, &pump->from_source,
			ret_error) < 0) {
		pump_free(pump);
		return -1;
	}
	*ret_pump = pump;
	return 0;
}

bool pump_finished(const struct pump *pump)
{
	return pump->finished;
}

void pump_free(struct pump *pump)
{
	if (!pump)
		return;
	close_from(pump);
	close_to(pump);
	free(pump);
}
