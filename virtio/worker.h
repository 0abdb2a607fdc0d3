/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that serves one queue of a device that has_workers: it sleeps on the
 * queue's kick fd, so that a kick costs no detour over the loop.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "virtio/device.h"

/* Serves what is available; stops early when worker_stopping().  Owns the queue
 * meanwhile; holds no lock. */
struct worker;
typedef void (*worker_fn)(struct worker *worker);

struct worker {
	struct virtio_device *device;
	unsigned queue;
	worker_fn serve;
	bool running; /* device->lock held */
	pthread_t thread;
	int stop_fd;
	_Atomic bool stopping;
};

/* From start_queue(); device, queue and serve are set. */
int worker_start(struct worker *worker, struct error **ret_error);
/* From reset() and stop_queue(): returns when the thread has ended, having
 * finished at most the chain it is at.  One that does not run is fine. */
void worker_stop(struct worker *worker);
bool worker_stopping(const struct worker *worker);
