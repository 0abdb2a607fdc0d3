/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop over epoll: see loop.h.
 *
 * A source removed while events are being dispatched is only marked, and freed
 * at the end of the round: epoll may still hand out its pointer until then.
 * Timers sit in one list ordered by deadline (there are few).  Calls from other
 * threads go through a locked queue and an eventfd.
 */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

/* While there are timers, it is looked that often whether time was lost. */
#define TICK_MS 5000
/* In a wait that ended so much later than it should, the process did not run. */
#define LATE_MS 1000
/* Likewise one that a stop and SIGCONT interrupted (signal(7)): other signals are read from
 * descriptors.  Shorter ones do not count, so that signals without end do not hold timers up. */
#define STOPPED_MS 100

enum source_type { SOURCE_IO, SOURCE_TIMER, SOURCE_SIGNAL };

struct source {
	struct loop *loop;
	enum source_type type;
	const char *kind;
	bool removed;
	int fd; /* watched; owned for SOURCE_SIGNAL only */
	uint64_t deadline_ns;
	loop_io_fn io;
	loop_timer_fn timer;
	loop_signal_fn signal;
	void *data;
	struct source *previous, *next; /* loop->sources, or loop->timers */
};

struct call {
	loop_call_fn function;
	void *data;
	struct call *next;
};

struct call_queue {
	struct call *first;
	struct call **last; /* where the next one is linked */
};

struct loop {
	int epoll_fd;
	int wake_fd;
	bool quit;
	struct source *sources; /* io and signals */
	struct source *timers;	/* by deadline */
	struct source *removed;

	pthread_mutex_t lock;	  /* guards called; a leaf lock */
	struct call_queue called; /* from any thread */
};

static void queue_init(struct call_queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

static void queue_push(struct call_queue *queue, loop_call_fn function, void *data)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->function = function;
	call->data = data;
	*queue->last = call;
	queue->last = &call->next;
}

static struct call *queue_take(struct call_queue *queue)
{
	struct call *first = queue->first;

	queue_init(queue);
	return first;
}

static void run_calls(struct call *call)
{
	while (call) {
		struct call *next = call->next;

		call->function(call->data);
		free(call);
		call = next;
	}
}

static void free_calls(struct call *call)
{
	while (call) {
		struct call *next = call->next;

		free(call);
		call = next;
	}
}

int loop_new(struct loop **ret_loop, struct error **ret_error)
{
	_cleanup_(loop_freep) struct loop *loop = xcalloc(1, sizeof(*loop));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	queue_init(&loop->called);
	(void)pthread_mutex_init(&loop->lock, NULL);
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0)
		return error_set_errno(ret_error, errno, "cannot make an event loop");
	*ret_loop = TAKE_PTR(loop);
	return 0;
}

static void free_sources(struct source *source)
{
	while (source) {
		struct source *next = source->next;

		if (source->type == SOURCE_SIGNAL)
			close_fdp(&source->fd);
		free(source);
		source = next;
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	free_sources(loop->sources);
	free_sources(loop->timers);
	free_sources(loop->removed);
	free_calls(loop->called.first);
	close_fdp(&loop->epoll_fd);
	close_fdp(&loop->wake_fd);
	(void)pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static struct source *source_new(struct loop *loop, enum source_type type, const char *kind,
				 void *data)
{
	struct source *source = xcalloc(1, sizeof(*source));

	source->loop = loop;
	source->type = type;
	source->kind = kind;
	source->data = data;
	source->fd = -1;
	return source;
}

static void link_before(struct source **head, struct source *previous, struct source *next,
			struct source *source)
{
	source->previous = previous;
	source->next = next;
	if (next)
		next->previous = source;
	if (previous)
		previous->next = source;
	else
		*head = source;
}

static void unlink_source(struct source **head, struct source *source)
{
	if (source->next)
		source->next->previous = source->previous;
	if (source->previous)
		source->previous->next = source->next;
	else
		*head = source->next;
}

int loop_add_io(struct loop *loop, int fd, uint32_t events, const char *kind, loop_io_fn function,
		void *data, struct source **ret_source, struct error **ret_error)
{
	struct source *source = source_new(loop, SOURCE_IO, kind, data);
	struct epoll_event event = { .events = events, .data.ptr = source };

	source->fd = fd;
	source->io = function;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int code = errno;

		free(source);
		return error_set_errno(ret_error, code, "cannot watch the %s descriptor %d", kind,
				       fd);
	}
	link_before(&loop->sources, NULL, loop->sources, source);
	*ret_source = source;
	return 0;
}

void source_set_events(struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	(void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void source_remove(struct source *source)
{
	struct loop *loop;

	if (!source || source->removed)
		return;
	loop = source->loop;
	source->removed = true;
	if (source->type == SOURCE_TIMER) {
		unlink_source(&loop->timers, source);
	} else {
		(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
		unlink_source(&loop->sources, source);
	}
	if (source->type == SOURCE_SIGNAL) {
		(void)close(source->fd);
		source->fd = -1;
	}
	link_before(&loop->removed, NULL, loop->removed, source);
}

struct source *loop_add_timer(struct loop *loop, uint64_t delay_ms, const char *kind,
			      loop_timer_fn function, void *data)
{
	struct source *source = source_new(loop, SOURCE_TIMER, kind, data);
	struct source *previous = NULL, *next = loop->timers;

	source->timer = function;
	source->deadline_ns = clock_monotonic_ns() + delay_ms * 1000000;
	while (next && next->deadline_ns <= source->deadline_ns) {
		previous = next;
		next = next->next;
	}
	link_before(&loop->timers, previous, next, source);
	return source;
}

int loop_add_signal(struct loop *loop, int signal, const char *kind, loop_signal_fn function,
		    void *data, struct source **ret_source, struct error **ret_error)
{
	struct source *source;
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t mask;
	int fd;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, signal);
	(void)pthread_sigmask(SIG_BLOCK, &mask, NULL);
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot watch signal %d", signal);
	source = source_new(loop, SOURCE_SIGNAL, kind, data);
	source->fd = fd;
	source->signal = function;
	event.data.ptr = source;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int code = errno;

		(void)close(fd);
		free(source);
		return error_set_errno(ret_error, code, "cannot watch signal %d", signal);
	}
	link_before(&loop->sources, NULL, loop->sources, source);
	*ret_source = source;
	return 0;
}

void loop_call(struct loop *loop, loop_call_fn function, void *data)
{
	uint64_t one = 1;

	(void)pthread_mutex_lock(&loop->lock);
	queue_push(&loop->called, function, data);
	(void)pthread_mutex_unlock(&loop->lock);
	(void)!write(loop->wake_fd, &one, sizeof(one));
}

static void run_called(struct loop *loop)
{
	struct call *calls;
	uint64_t count;

	(void)!read(loop->wake_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&loop->lock);
	calls = queue_take(&loop->called);
	(void)pthread_mutex_unlock(&loop->lock);
	run_calls(calls);
}

static void dispatch_signal(struct source *source)
{
	struct signalfd_siginfo info;

	while (!source->removed && read(source->fd, &info, sizeof(info)) == sizeof(info))
		source->signal(source->data, &info);
}

static void run_timers(struct loop *loop)
{
	uint64_t now = clock_monotonic_ns();

	/* A timer added by a handler has a deadline at or after its own clock
	 * reading; one of zero delay waits for the next round. */
	while (loop->timers && loop->timers->deadline_ns <= now) {
		struct source *source = loop->timers;

		source_remove(source);
		source->timer(source->data);
	}
}

static int next_timeout(const struct loop *loop, int timeout_ms)
{
	uint64_t now;
	uint64_t left_ms;

	if (!loop->timers)
		return timeout_ms;
	now = clock_monotonic_ns();
	if (loop->timers->deadline_ns <= now)
		return 0;
	left_ms = (loop->timers->deadline_ns - now + 999999) / 1000000;
	if (timeout_ms >= 0 && (uint64_t)timeout_ms < left_ms)
		return timeout_ms;
	return left_ms > TICK_MS ? TICK_MS : (int)left_ms;
}

/* A process that was stopped, with its peers perhaps, or a machine that slept: nobody has used the
 * time that has passed, so no timer has either. */
static void make_good(struct loop *loop, uint64_t since_ns, int timeout_ms, bool interrupted)
{
	const uint64_t lost_ns = clock_monotonic_ns() - since_ns;
	const uint64_t bound_ms = interrupted ? STOPPED_MS : (uint64_t)timeout_ms + LATE_MS;

	if (timeout_ms < 0 || lost_ns / 1000000 < bound_ms)
		return;
	for (struct source *timer = loop->timers; timer; timer = timer->next)
		timer->deadline_ns += lost_ns;
}

void loop_step(struct loop *loop, int timeout_ms)
{
	const int wait_ms = next_timeout(loop, timeout_ms);
	const uint64_t since_ns = clock_monotonic_ns();
	struct epoll_event events[32];
	int n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), wait_ms);

	make_good(loop, since_ns, wait_ms, n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct source *source = events[i].data.ptr;

		if (!source)
			run_called(loop);
		else if (source->removed)
			continue;
		else if (source->type == SOURCE_SIGNAL)
			dispatch_signal(source);
		else
			source->io(source->data, events[i].events);
	}
	run_timers(loop);
	free_sources(loop->removed);
	loop->removed = NULL;
}

void loop_run(struct loop *loop)
{
	loop->quit = false;
	while (!loop->quit)
		loop_step(loop, -1);
}

void loop_quit(struct loop *loop)
{
	loop->quit = true;
}
