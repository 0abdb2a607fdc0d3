/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue workers: see worker.h.
 *
 * The stack is small because it is the VMM's resident memory: a chain, its
 * slices and a system call fit many times.  Workers allocate nothing but on the
 * way to a fault, so that the allocator makes no arena for them.
 */
#include "virtio/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORKER_STACK (128 * 1024)

static void *work(void *data)
{
	struct worker *worker = data;
	struct pollfd fds[] = {
		{ .fd = worker->device->kick_fds[worker->queue], .events = POLLIN },
		{ .fd = worker->stop_fd, .events = POLLIN },
	};

	while (!worker_stopping(worker)) {
		uint64_t count;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (read(fds[0].fd, &count, sizeof(count)) == sizeof(count))
			worker->serve(worker);
	}
	return NULL;
}

static int start_thread(struct worker *worker)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int code;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, WORKER_STACK);
	/* Inherited: signals are for the loop and the vCPUs. */
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&worker->thread, &attributes, work, worker);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attributes);
	return code;
}

int worker_start(struct worker *worker, struct error **ret_error)
{
	_cleanup_close_ int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int code;

	if (stop_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make an eventfd");
	worker->stop_fd = stop_fd;
	atomic_store(&worker->stopping, false);
	code = start_thread(worker);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot start a worker thread");
	(void)TAKE_FD(stop_fd);
	worker->running = true;
	return 0;
}

void worker_stop(struct worker *worker)
{
	uint64_t one = 1;

	if (!worker->running)
		return;
	atomic_store(&worker->stopping, true);
	(void)!write(worker->stop_fd, &one, sizeof(one));
	(void)pthread_join(worker->thread, NULL);
	close_fdp(&worker->stop_fd);
	worker->running = false;
}

bool worker_stopping(const struct worker *worker)
{
	return atomic_load(&worker->stopping);
}
