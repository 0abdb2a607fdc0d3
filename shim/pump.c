/* One direction of one stream: see pump.h. */
#include "shim/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"

#define PUMP_CHUNK (32u << 10)
/* Chunks in a row before other descriptors get their turn. */
#define PUMP_ROUNDS 8

struct pump_end {
	int fd;
	bool is_socket;
};

struct pump {
	struct loop *loop;
	struct pump_end from, to;
	pump_fn function;
	void *data;
	bool ended;	       /* nothing more comes from the source */
	bool broken;	       /* the sink takes no more */
	struct buffer pending; /* read, not yet written; at most one chunk */
	struct source *source; /* what is waited for: one end, or the next round */
	uint32_t waiting;      /* EPOLLIN: the source; EPOLLOUT: the sink; 0: a timer */
};

static void pump_run(struct pump *pump);

void pump_free(struct pump *pump)
{
	if (!pump)
		return;
	source_remove(pump->source);
	close_fdp(&pump->from.fd);
	close_fdp(&pump->to.fd);
	buffer_done(&pump->pending);
	free(pump);
}

static void next_round(void *data)
{
	struct pump *pump = data;

	pump->source = NULL;
	pump_run(pump);
}

static void ready(void *data, uint32_t events)
{
	(void)events;
	pump_run(data);
}

/* A timer of no delay rather than loop_defer(): it can be taken back. */
static void wait_round(struct pump *pump)
{
	source_clear(&pump->source);
	pump->waiting = 0;
	pump->source = loop_add_timer(pump->loop, 0, "pump", next_round, pump);
}

/* Waits for the source (EPOLLIN) or the sink (EPOLLOUT).  The other end is not
 * watched meanwhile, not even with an empty mask: epoll reports a hang-up
 * whatever the mask, and the loop would spin on it. */
static void wait_for(struct pump *pump, uint32_t events)
{
	int fd = events == EPOLLIN ? pump->from.fd : pump->to.fd;

	if (pump->source && pump->waiting == events)
		return;
	source_clear(&pump->source);
	pump->waiting = events;
	/* A regular file cannot be watched and is always ready. */
	if (loop_add_io(pump->loop, fd, events, "pump", ready, pump, &pump->source, NULL) < 0)
		wait_round(pump);
}

static ssize_t end_read(const struct pump_end *end, void *bytes, size_t size)
{
	return end->is_socket ? recv(end->fd, bytes, size, MSG_DONTWAIT)
			      : read(end->fd, bytes, size);
}

static ssize_t end_write(const struct pump_end *end, const void *bytes, size_t size)
{
	return end->is_socket ? send(end->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(end->fd, bytes, size);
}

/* Writes what the sink takes; the count, with broken set when it takes no more
 * for good. */
static size_t write_some(struct pump *pump, const uint8_t *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = end_write(&pump->to, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			pump->broken = true;
			break;
		}
		done += (size_t)n;
	}
	return done;
}

static void finish(struct pump *pump)
{
	pump_fn function = pump->function;
	void *data = pump->data;
	bool broken = pump->broken;

	/* The socket may have another holder (a terminal's stream has two pumps):
	 * closing alone would not tell the peer. */
	if (pump->to.is_socket)
		(void)shutdown(pump->to.fd, SHUT_WR);
	pump_free(pump);
	function(data, broken);
}

/* One chunk from source to sink; false when there is something to wait for. */
static bool copy_chunk(struct pump *pump)
{
	uint8_t chunk[PUMP_CHUNK];
	ssize_t n = end_read(&pump->from, chunk, sizeof(chunk));
	size_t done;

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		wait_for(pump, EPOLLIN);
		return false;
	}
	/* An error is an end too: EIO is how a terminal says that it hung up. */
	if (n <= 0) {
		pump->ended = true;
		return true;
	}
	done = write_some(pump, chunk, (size_t)n);
	buffer_append(&pump->pending, chunk + done, (size_t)n - done);
	return true;
}

/* Writes what is pending; true when nothing is left. */
static bool flush_pending(struct pump *pump)
{
	size_t length = buffer_length(&pump->pending);

	if (length == 0)
		return true;
	buffer_consume(&pump->pending, write_some(pump, buffer_data(&pump->pending), length));
	if (buffer_length(&pump->pending) > 0)
		return false;
	buffer_done(&pump->pending);
	return true;
}

static void pump_run(struct pump *pump)
{
	for (int i = 0; i < PUMP_ROUNDS; i++) {
		bool flushed = flush_pending(pump);

		if (pump->broken || (flushed && pump->ended)) {
			finish(pump);
			return;
		}
		if (!flushed) {
			wait_for(pump, EPOLLOUT);
			return;
		}
		if (!copy_chunk(pump))
			return;
	}
	if (pump->ended || pump->broken || buffer_length(&pump->pending) > 0)
		wait_round(pump);
	else
		wait_for(pump, EPOLLIN);
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

struct pump *pump_new(struct loop *loop, int from, int to, pump_fn function, void *data)
{
	struct pump *pump = xcalloc(1, sizeof(*pump));

	pump->loop = loop;
	pump->from = (struct pump_end){ .fd = from, .is_socket = is_socket(from) };
	pump->to = (struct pump_end){ .fd = to, .is_socket = is_socket(to) };
	pump->function = function;
	pump->data = data;
	wait_for(pump, EPOLLIN);
	return pump;
}

void pump_end_input(struct pump *pump)
{
	pump->ended = true;
	if (buffer_length(&pump->pending) == 0)
		wait_round(pump);
}
