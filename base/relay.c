/*
 * Joining two sockets: see relay.h.
 *
 * Each socket is watched once, for what its two directions want of it.  A
 * direction that can go no further waits for its source to be readable while its
 * buffer is empty, and for its target to be writable otherwise.  A socket that
 * nobody wants anything of is not watched at all: epoll reports a hang-up whatever
 * is asked for, and the loop would spin on it.
 */
#include "base/relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define RELAY_BUFFER_SIZE (64U << 10)
#define RELAY_ROUNDS 8 /* per event, so that busy relays share the loop */

struct direction {
	int from, to; /* indices of sockets */
	bool ended;   /* everything has been passed on, the end included */
	size_t start, end;
	uint8_t buffer[RELAY_BUFFER_SIZE];
};

struct relay {
	struct loop *loop;
	relay_fn function;
	void *data;
	struct {
		int fd;
		struct source *source;
		uint32_t wanted; /* what the source is for */
	} sockets[2];
	struct source *timer; /* the next round, or the end */
	bool failed;
	struct direction directions[2];
};

static void update(struct relay *relay);

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	source_remove(relay->timer);
	for (int i = 0; i < 2; i++) {
		source_remove(relay->sockets[i].source);
		close_fdp(&relay->sockets[i].fd);
	}
	free(relay);
}

/* false: it has to wait, or has ended. */
static bool step(struct relay *relay, struct direction *direction)
{
	int from = relay->sockets[direction->from].fd, to = relay->sockets[direction->to].fd;
	bool filling = direction->start == direction->end;
	ssize_t n;

	if (direction->ended || relay->failed)
		return false;
	n = filling ? recv(from, direction->buffer, sizeof(direction->buffer), MSG_DONTWAIT)
		    : send(to, direction->buffer + direction->start,
			   direction->end - direction->start, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0) {
		relay->failed = true;
		return false;
	}
	if (!filling) {
		direction->start += (size_t)n;
		return true;
	}
	direction->start = 0;
	direction->end = (size_t)n;
	if (n == 0) {
		direction->ended = true;
		(void)shutdown(to, SHUT_WR);
	}
	return n > 0;
}

static void on_socket(void *data, uint32_t events)
{
	(void)events;
	update(data);
}

static void on_timer(void *data)
{
	struct relay *relay = data;
	relay_fn function = relay->function;
	void *its_data = relay->data;

	relay->timer = NULL;
	if (!relay->failed && !(relay->directions[0].ended && relay->directions[1].ended)) {
		update(relay);
		return;
	}
	relay_free(relay);
	function(its_data);
}

static void again(struct relay *relay)
{
	if (!relay->timer)
		relay->timer = loop_add_timer(relay->loop, 0, "relay", on_timer, relay);
}

static void watch(struct relay *relay, int index, uint32_t wanted)
{
	if (relay->sockets[index].wanted == wanted)
		return;
	source_clear(&relay->sockets[index].source);
	relay->sockets[index].wanted = wanted;
	if (wanted && loop_add_io(relay->loop, relay->sockets[index].fd, wanted, "relay", on_socket,
				  relay, &relay->sockets[index].source, NULL) < 0)
		relay->failed = true;
}

static void update(struct relay *relay)
{
	uint32_t wanted[2] = { 0, 0 };
	bool more = true;

	for (int round = 0; more && round < RELAY_ROUNDS; round++) {
		more = step(relay, &relay->directions[0]);
		more |= step(relay, &relay->directions[1]);
	}
	for (int i = 0; i < 2; i++) {
		const struct direction *direction = &relay->directions[i];

		if (direction->ended || relay->failed)
			continue;
		if (direction->start == direction->end)
			wanted[direction->from] |= EPOLLIN;
		else
			wanted[direction->to] |= EPOLLOUT;
	}
	for (int i = 0; i < 2; i++)
		watch(relay, i, wanted[i]);
	if (relay->failed || (relay->directions[0].ended && relay->directions[1].ended))
		again(relay);
}

struct relay *relay_new(struct loop *loop, int a, int b, relay_fn function, void *data)
{
	struct relay *relay = xcalloc(1, sizeof(*relay));

	relay->loop = loop;
	relay->function = function;
	relay->data = data;
	relay->sockets[0].fd = a;
	relay->sockets[1].fd = b;
	relay->directions[0].to = relay->directions[1].from = 1;
	again(relay);
	return relay;
}
