/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of threads: see pool.h.
 *
 * All threads wait in one epoll set, whose sources are edge-triggered: each
 * write wakes one thread.  An event names its source by a number, which the
 * thread exchanges for the source under the lock: pool_remove() may have been
 * faster, and then there is none.
 */
#include "virtio/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

/* A chain, its slices, and the server's system calls fit many times. */
#define POOL_STACK (256 * 1024)
#define STOP_NUMBER 0

struct pool_source {
	struct pool *pool;
	struct pool_source *next;
	uint64_t number; /* never used twice */
	int fd;
	pool_fn serve;
	void *data;
	unsigned busy; /* threads in serve() */
};

struct pool {
	struct pool_options options;
	int epoll_fd;
	int stop_fd;		/* readable: threads end */
	pthread_mutex_t lock;	/* a leaf lock; guards the rest */
	pthread_cond_t changed; /* a source is busy no more; the first thread has started */
	struct pool_source *sources;
	uint64_t last_number;
	pthread_t *threads; /* threads_max of them */
	unsigned n_threads;
	unsigned n_idle;
	bool started;		   /* the first thread has entered, or has failed: */
	struct error *start_error; /* why */
};

static void *run(void *data);

/* Lock held: no thread is lost when this fails, there is just none more. */
static int start_thread(struct pool *pool)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int code;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, POOL_STACK);
	/* Inherited: signals are for the loop and the vCPUs. */
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&pool->threads[pool->n_threads], &attributes, run, pool);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attributes);
	if (code != 0)
		return code;
	pool->n_threads++;
	pool->n_idle++;
	return 0;
}

static struct pool_source *source_begin(struct pool *pool, uint64_t number)
{
	struct pool_source *source;

	(void)pthread_mutex_lock(&pool->lock);
	for (source = pool->sources; source && source->number != number; source = source->next)
		continue;
	if (source) {
		source->busy++;
		pool->n_idle--;
		if (pool->n_idle == 0 && pool->n_threads < pool->options.threads_max &&
		    start_thread(pool) != 0)
			log_debug("%s: no more than %u threads", pool->options.name,
				  pool->n_threads);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return source;
}

static void source_end(struct pool *pool, struct pool_source *source)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->n_idle++;
	source->busy--;
	if (source->busy == 0)
		(void)pthread_cond_broadcast(&pool->changed);
	(void)pthread_mutex_unlock(&pool->lock);
}

static void serve_events(struct pool *pool, void *context)
{
	for (;;) {
		struct pool_source *source;
		struct epoll_event event;

		if (epoll_wait(pool->epoll_fd, &event, 1, -1) != 1)
			continue;
		if (event.data.u64 == STOP_NUMBER)
			return;
		source = source_begin(pool, event.data.u64);
		if (!source)
			continue;
		source->serve(source->data, context);
		source_end(pool, source);
	}
}

/* Reports to pool_new() from the first thread; true when this was it. */
static bool report_start(struct pool *pool, struct error *error)
{
	bool first;

	(void)pthread_mutex_lock(&pool->lock);
	first = !pool->started;
	if (first) {
		pool->started = true;
		pool->start_error = error;
		(void)pthread_cond_broadcast(&pool->changed);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return first;
}

static void *run(void *data)
{
	struct pool *pool = data;
	struct error *error = NULL;
	void *context = NULL;

	(void)prctl(PR_SET_NAME, pool->options.name, 0, 0, 0);
	if (pool->options.enter && pool->options.enter(pool->options.data, &context, &error) < 0) {
		if (report_start(pool, error))
			return NULL;
		log_warning("%s: a thread cannot start: %s", pool->options.name, error->message);
		error_free(error);
		(void)pthread_mutex_lock(&pool->lock);
		pool->n_idle--;
		(void)pthread_mutex_unlock(&pool->lock);
		return NULL;
	}
	(void)report_start(pool, NULL);
	serve_events(pool, context);
	if (pool->options.leave)
		pool->options.leave(context);
	return NULL;
}

static int start_first(struct pool *pool, struct error **ret_error)
{
	int code;

	(void)pthread_mutex_lock(&pool->lock);
	code = start_thread(pool);
	while (code == 0 && !pool->started)
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot start a thread");
	if (!pool->start_error)
		return 0;
	(void)error_set(ret_error, pool->start_error->code, "%s", pool->start_error->message);
	error_free(TAKE_PTR(pool->start_error));
	return -1;
}

static int watch(struct pool *pool, int fd, uint32_t events, uint64_t number)
{
	struct epoll_event event = { .events = events, .data.u64 = number };

	return epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int pool_new(const struct pool_options *options, struct pool **ret_pool, struct error **ret_error)
{
	_cleanup_(pool_freep) struct pool *pool = xcalloc(1, sizeof(*pool));

	pool->options = *options;
	pool->threads = xcalloc(options->threads_max, sizeof(*pool->threads));
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->changed, NULL);
	pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pool->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->epoll_fd < 0 || pool->stop_fd < 0 ||
	    watch(pool, pool->stop_fd, EPOLLIN, STOP_NUMBER) < 0)
		return error_set_errno(ret_error, errno, "%s: cannot wait for events",
				       options->name);
	if (start_first(pool, ret_error) < 0)
		return error_wrap(ret_error, "%s", options->name);
	*ret_pool = TAKE_PTR(pool);
	return 0;
}

void pool_free(struct pool *pool)
{
	uint64_t one = 1;

	if (!pool)
		return;
	if (pool->stop_fd >= 0)
		(void)!write(pool->stop_fd, &one, sizeof(one));
	/* A thread that has work may still start another. */
	for (unsigned i = 0;; i++) {
		unsigned n_threads;

		(void)pthread_mutex_lock(&pool->lock);
		n_threads = pool->n_threads;
		(void)pthread_mutex_unlock(&pool->lock);
		if (i == n_threads)
			break;
		(void)pthread_join(pool->threads[i], NULL);
	}
	close_fdp(&pool->epoll_fd);
	close_fdp(&pool->stop_fd);
	(void)pthread_cond_destroy(&pool->changed);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

int pool_add(struct pool *pool, int fd, pool_fn serve, void *data, struct pool_source **ret_source,
	     struct error **ret_error)
{
	_cleanup_free_ struct pool_source *source = xcalloc(1, sizeof(*source));
	int code = 0;

	source->pool = pool;
	source->fd = fd;
	source->serve = serve;
	source->data = data;
	(void)pthread_mutex_lock(&pool->lock);
	source->number = ++pool->last_number;
	if (watch(pool, fd, EPOLLIN | EPOLLET, source->number) < 0) {
		code = errno;
	} else {
		source->next = pool->sources;
		pool->sources = source;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (code != 0)
		return error_set_errno(ret_error, code, "%s: cannot watch descriptor %d",
				       pool->options.name, fd);
	*ret_source = TAKE_PTR(source);
	return 0;
}

void pool_remove(struct pool_source *source)
{
	struct pool_source **at;
	struct pool *pool;

	if (!source)
		return;
	pool = source->pool;
	(void)pthread_mutex_lock(&pool->lock);
	(void)epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	for (at = &pool->sources; *at != source; at = &(*at)->next)
		continue;
	*at = source->next;
	while (source->busy > 0)
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
	free(source);
}

/* ---- one call ---- */

struct pool_one_call {
	pool_fn fn;
	void *data;
	pthread_mutex_t lock; /* a leaf lock */
	pthread_cond_t changed;
	bool done;
};

static void run_call(void *data, void *context)
{
	struct pool_one_call *call = data;

	call->fn(call->data, context);
	(void)pthread_mutex_lock(&call->lock);
	call->done = true;
	(void)pthread_cond_signal(&call->changed);
	(void)pthread_mutex_unlock(&call->lock);
}

int pool_call(struct pool *pool, pool_fn fn, void *data, struct error **ret_error)
{
	/* Readable from the start. */
	_cleanup_close_ int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pool_one_call call = { .fn = fn, .data = data };
	struct pool_source *source = NULL;
	int r;

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot make an eventfd");
	(void)pthread_mutex_init(&call.lock, NULL);
	(void)pthread_cond_init(&call.changed, NULL);
	r = pool_add(pool, fd, run_call, &call, &source, ret_error);
	(void)pthread_mutex_lock(&call.lock);
	while (r == 0 && !call.done)
		(void)pthread_cond_wait(&call.changed, &call.lock);
	(void)pthread_mutex_unlock(&call.lock);
	pool_remove(source);
	(void)pthread_cond_destroy(&call.changed);
	(void)pthread_mutex_destroy(&call.lock);
	return r;
}
