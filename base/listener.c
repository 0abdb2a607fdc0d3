/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections: see listener.h. */
#include "base/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define LISTENER_ROUNDS 16    /* accepted per event, so that others have their turn */
#define LISTENER_RETRY_MS 100 /* after running out of descriptors */

struct listener {
	struct loop *loop;
	int fd;
	const char *kind;
	listener_fn function;
	void *data;
	bool paused;
	struct source *source;
	struct source *retry; /* timer; nothing is accepted until it fires */
	struct ratelimit ratelimit;
};

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	source_remove(listener->source);
	source_remove(listener->retry);
	close_fdp(&listener->fd);
	free(listener);
}
DEFINE_CLEANUP(struct listener, listener_free)

static bool accepting(const struct listener *listener)
{
	return !listener->paused && !listener->retry;
}

static void watch(struct listener *listener)
{
	source_set_events(listener->source, accepting(listener) ? EPOLLIN : 0);
}

static void on_retry(void *data)
{
	struct listener *listener = data;

	listener->retry = NULL;
	watch(listener);
}

static void accept_failed(struct listener *listener, int code)
{
	uint32_t suppressed;

	if (code == EAGAIN || code == EINTR || code == ECONNABORTED)
		return;
	if (ratelimit_pass(&listener->ratelimit, &suppressed))
		log_warning("cannot accept a connection (%s): %s", listener->kind, strerror(code));
	if (!listener->retry)
		listener->retry = loop_add_timer(listener->loop, LISTENER_RETRY_MS, listener->kind,
						 on_retry, listener);
	watch(listener);
}

/* False when there is none, or it cannot be accepted. */
static bool accept_one(struct listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		accept_failed(listener, errno);
	else
		listener->function(listener->data, fd);
	return fd >= 0;
}

static void on_connection(void *data, uint32_t events)
{
	struct listener *listener = data;

	(void)events;
	for (int i = 0; i < LISTENER_ROUNDS && accepting(listener); i++)
		if (!accept_one(listener))
			break;
}

void listener_accept_now(struct listener *listener)
{
	while (accept_one(listener))
		;
}

void listener_pause(struct listener *listener, bool paused)
{
	if (listener->paused == paused)
		return;
	listener->paused = paused;
	watch(listener);
}

int listener_new(struct loop *loop, int fd, const char *kind, listener_fn function, void *data,
		 struct listener **ret_listener, struct error **ret_error)
{
	_cleanup_(listener_freep) struct listener *listener = xcalloc(1, sizeof(*listener));

	listener->loop = loop;
	listener->fd = fd;
	listener->kind = kind;
	listener->function = function;
	listener->data = data;
	if (set_nonblocking(fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot use the %s descriptor %d", kind,
				       fd);
	if (loop_add_io(loop, fd, EPOLLIN, kind, on_connection, listener, &listener->source,
			ret_error) < 0)
		return -1;
	*ret_listener = TAKE_PTR(listener);
	return 0;
}
