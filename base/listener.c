/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections: see listener.h. */
#include "base/listener.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define LISTENER_ROUNDS 16    /* accepted per event, so that others have their turn */
#define LISTENER_RETRY_MS 100 /* after running out of descriptors */
#define SHARED_WAIT_US 1000   /* for a connection that another has taken first */

struct listener {
	struct loop *loop;
	int fd;
	bool is_shared;
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

static int accept_now(int listen_fd)
{
	return accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void interrupt(int signal)
{
	(void)signal;
}

/* accept4() has no flag by which it does not wait for a connection, and O_NONBLOCK is that of
 * everybody who has the socket: so a timer interrupts it. It repeats, as its first signal may come
 * before the call. */
static int accept_soon(int listen_fd)
{
	const struct sigaction action = { .sa_handler = interrupt }; /* no SA_RESTART */
	const struct itimerval off = { 0 };
	const struct itimerval tick = { .it_interval.tv_usec = SHARED_WAIT_US,
					.it_value.tv_usec = SHARED_WAIT_US };
	struct sigaction old_action;
	sigset_t mask, old_mask;
	int fd = -1, code;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGALRM);
	(void)sigaction(SIGALRM, &action, &old_action);
	(void)pthread_sigmask(SIG_UNBLOCK, &mask, &old_mask);
	if (setitimer(ITIMER_REAL, &tick, NULL) == 0)
		fd = accept_now(listen_fd);
	code = errno;
	(void)setitimer(ITIMER_REAL, &off, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
	(void)sigaction(SIGALRM, &old_action, NULL);
	errno = code;
	return fd;
}

/* False when there is none, or it cannot be accepted. */
static bool accept_one(struct listener *listener)
{
	int fd = listener->is_shared ? accept_soon(listener->fd) : accept_now(listener->fd);

	if (fd < 0)
		accept_failed(listener, errno);
	else
		listener->function(listener->data, fd);
	return fd >= 0;
}

static void on_connection(void *data, uint32_t events)
{
	struct listener *listener = data;
	/* The event tells of one: another call would wait where there is no other. */
	const int rounds = listener->is_shared ? 1 : LISTENER_ROUNDS;

	(void)events;
	for (int i = 0; i < rounds && accepting(listener); i++)
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

static struct listener *create(struct loop *loop, int fd, const char *kind, listener_fn function,
			       void *data)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));

	listener->loop = loop;
	listener->fd = fd;
	listener->kind = kind;
	listener->function = function;
	listener->data = data;
	return listener;
}

static int begin(struct listener *listener, struct error **ret_error)
{
	return loop_add_io(listener->loop, listener->fd, EPOLLIN, listener->kind, on_connection,
			   listener, &listener->source, ret_error);
}

int listener_new(struct loop *loop, int fd, const char *kind, listener_fn function, void *data,
		 struct listener **ret_listener, struct error **ret_error)
{
	_cleanup_(listener_freep) struct listener *listener =
	    create(loop, fd, kind, function, data);

	if (set_nonblocking(fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot use the %s descriptor %d", kind,
				       fd);
	if (begin(listener, ret_error) < 0)
		return -1;
	*ret_listener = TAKE_PTR(listener);
	return 0;
}

int listener_new_shared(struct loop *loop, int fd, const char *kind, listener_fn function,
			void *data, struct listener **ret_listener, struct error **ret_error)
{
	_cleanup_(listener_freep) struct listener *listener =
	    create(loop, fd, kind, function, data);

	listener->is_shared = true;
	if (begin(listener, ret_error) < 0)
		return -1;
	*ret_listener = TAKE_PTR(listener);
	return 0;
}
