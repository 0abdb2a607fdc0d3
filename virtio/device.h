/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device as its transport sees it (virtio 1.2 §2).
 *
 * The transport owns the queues and the status; the device declares its sizes
 * and handles kicks.  Which transport drives it, a device never knows.
 *
 * Threads.  Every function of the vtable is called with device->lock held,
 * except free().  activate(), reset(), start_queue(), stop_queue() and the
 * config accesses come on vCPU threads or the loop's; kick() and sync() on the
 * thread of device->loop, where a device also adds and removes its sources
 * (their handlers take device->lock themselves).  A device that would block sets
 * has_workers: the transport then leaves its kick_fds alone, and threads that the
 * device starts in start_queue() and joins in stop_queue() and reset() wait on
 * them and own the queues.  What the kernel serves itself (vhost) is like that, queue
 * by queue: kernel_queues.
 *
 * A queue may stop and go on while the device is active: a front-end of
 * vhost-user does that to pause the machine.
 *
 * Lock order: device->lock, then whatever is inside the device.  interrupt()
 * and virtio_device_fault() take no lock and may be called from any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/packed.h"
#include "virtio/memory.h"

#define VIRTIO_QUEUES_MAX 17 /* of a network device with eight pairs */

struct chain;
struct virtio_device;
struct virtq;

struct virtio_device_ops {
	/* Reads size bytes (already bounds-checked against config_size) at offset. */
	void (*config_read)(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size);
	/* As config_read; NULL: configuration space is read-only. */
	void (*config_write)(struct virtio_device *device, uint32_t offset, const void *bytes,
			     uint32_t size);
	/* DRIVER_OK: features are final, and the queues that the driver set up are
	 * ready; NULL: nothing to do.  -1: the device needs a reset (reset()
	 * follows). */
	int (*activate)(struct virtio_device *device, struct error **ret_error);
	/* The driver kicked this queue (has_workers, kernel_queues: never called).  Handles at
	 * most a queue full of chains, then calls virtio_device_kick_again().  -1:
	 * the driver broke the rules; the transport logs error and sets
	 * NEEDS_RESET. */
	int (*kick)(struct virtio_device *device, unsigned queue, struct error **ret_error);
	/* Only for has_workers and kernel_queues; others hold device->lock anyway, and a queue that
	 * is not ready gives them nothing.  start_queue: the queue is ready, its
	 * worker may begin; after activate(), for each queue that is ready then
	 * or becomes so later.  stop_queue: it must not be touched when this
	 * returns, and what was popped has been pushed; it may start again, the
	 * device's state being what it was. */
	int (*start_queue)(struct virtio_device *device, unsigned queue, struct error **ret_error);
	void (*stop_queue)(struct virtio_device *device, unsigned queue);
	/* A front-end that has a control queue itself (vhost-user's) lets the queue take part in
	 * what the device does, or not; also before activate(), and again after each reset().
	 * The loop's thread.  -1: it cannot, and the device needs a reset.  NULL: nothing to do. */
	int (*enable_queue)(struct virtio_device *device, unsigned queue, bool enable,
			    struct error **ret_error);
	/* Back to the state before activate(): forget the queues, drop work in
	 * flight, join workers.  Comes on any thread, so sources are left to sync().
	 * NULL: nothing to do. */
	void (*reset)(struct virtio_device *device);
	/* Soon after activate(), reset() or a fault (device->active and broken tell), on
	 * the loop's thread: add or remove sources here.  NULL: nothing to do. */
	void (*sync)(struct virtio_device *device);
	/* What the device knows beside what the transport keeps (features, status, the queues'
	 * places): save() appends it, load() gives it to a device of the same options that has
	 * not run, before activate().  On the loop's thread, while no driver runs and every
	 * queue has been stopped.  NULL: nothing.
	 * save, -1: it cannot be saved, and why; the device goes on unharmed.
	 * load, -1: what does not fit.  The state is hostile; what is left of it is refused
	 * (virtio_device_load()). */
	int (*save)(struct virtio_device *device, struct buffer *state, struct error **ret_error);
	int (*load)(struct virtio_device *device, struct packed *state, struct error **ret_error);
	/* The machine goes on after it has been saved.  On the loop's thread.  NULL: nothing to
	 * do. */
	void (*resume)(struct virtio_device *device);
	/* On the loop's thread or after the loop; reset() came before. */
	void (*free)(struct virtio_device *device);
};

/* Embedded first in each device's own struct. */
struct virtio_device {
	const struct virtio_device_ops *ops;
	const char *name;  /* for logs and traces, e.g. "blk" */
	uint32_t type;	   /* VIRTIO_ID_… */
	uint64_t features; /* offered by the device itself; the transport adds
			      VERSION_1, EVENT_IDX, INDIRECT_DESC */
	unsigned n_queues;
	uint16_t queue_size_max; /* power of two, at most VIRTQ_SIZE_MAX */
	uint32_t config_size;
	bool has_workers;
	/* A vhost-user front-end has the configuration space itself, and is offered none. */
	bool config_apart;
	unsigned n_vhost_queues; /* what such a front-end is told of n_queues; 0: all of them */
	uint32_t kernel_queues; /* by bit: those that the kernel serves; activate() may change it */

	pthread_mutex_t lock;

	/* The transport's: set before activate(). */
	uint64_t driver_features;
	struct virtq *queues;		 /* n_queues of them */
	int kick_fds[VIRTIO_QUEUES_MAX]; /* eventfds, non-blocking */
	struct guest_memory *memory;
	struct loop *loop; /* where kick() runs */
	bool active;	   /* between activate() and reset(); under lock */
	bool loaded;	   /* and not resumed yet: what serves apart waits for it; under lock */
	/* Set by virtio_device_fault(), cleared by a reset: touch no queue while
	 * it is set. */
	_Atomic bool broken;
	struct ratelimit faults;
	/* Raise the used-buffer interrupt of a queue (unconditionally; devices call
	 * virtq_should_notify() first), or the configuration-change interrupt. Any
	 * thread. */
	void (*interrupt)(struct virtio_device *device, unsigned queue);
	void (*config_interrupt)(struct virtio_device *device);
	/* An eventfd that raises the used-buffer interrupt of any queue, for who does so
	 * without us until the next reset.  NULL: the transport has none. */
	int (*interrupt_fd)(struct virtio_device *device);
	/* Shows the driver NEEDS_RESET; only virtio_device_fault() calls it. */
	void (*needs_reset)(struct virtio_device *device);
	void *transport;
};

/*
 * What the transports share: each vtable call goes through one of these, which
 * checks its preconditions and keeps active and broken.
 */

/* For a constructor: the lock, and what is not zero in a new device. */
void virtio_device_init(struct virtio_device *device);
/* Undoes virtio_device_init(); at the end of every free(). */
void virtio_device_done(struct virtio_device *device);

/* Lock held.  Reads 0 and writes nothing unless all of it is inside. */
void virtio_device_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			       uint32_t size);
void virtio_device_config_write(struct virtio_device *device, uint32_t offset, const void *bytes,
				uint32_t size);
/* Lock held.  A failure is the device's fault: NEEDS_RESET. */
void virtio_device_activate(struct virtio_device *device);
void virtio_device_reset(struct virtio_device *device);
/* Lock held.  A queue of the device was made ready, or is not to be ready any
 * more; whether the device is active or not.  The latter returns where it was:
 * the next chain's index, for virtq_continue(). */
void virtio_device_start_queue(struct virtio_device *device, unsigned queue);
uint16_t virtio_device_stop_queue(struct virtio_device *device, unsigned queue);
/* Lock held, the loop's thread. */
void virtio_device_enable_queue(struct virtio_device *device, unsigned queue, bool enable);
/* Lock held, the loop's thread.  Workers and the kernel let go of their queues, which are where
 * they left them, and then have them again: around virtio_device_save().  No vCPU runs meanwhile.
 */
void virtio_device_pause(struct virtio_device *device);
void virtio_device_resume(struct virtio_device *device);
/* Are the queue's kicks somebody else's than the loop's? */
bool virtio_device_serves_apart(const struct virtio_device *device, unsigned queue);
/* Lock held.  Exactly the bytes that another device of this type has saved.  A loaded device's
 * workers, and the kernel, begin with virtio_device_resume(), when the process is confined. */
int virtio_device_save(struct virtio_device *device, struct buffer *state,
		       struct error **ret_error);
int virtio_device_load(struct virtio_device *device, const void *bytes, size_t size,
		       struct error **ret_error);
/* Loop's thread, takes the lock. */
void virtio_device_kick(struct virtio_device *device, unsigned queue);
void virtio_device_sync(struct virtio_device *device);

/* Any thread: handles the queue (again) from the loop or its worker. */
void virtio_device_kick_again(struct virtio_device *device, unsigned queue);

/*
 * The body of most kick()s: pops chains (into *chain, the device's scratch) and
 * has serve() handle each, pushes and notifies.  At most a queue full at a time,
 * so that a busy driver does not keep the loop from other devices.
 */
enum serve_result {
	SERVE_FAULT = -1, /* the driver broke the rules; error set */
	SERVE_DONE = 0,	  /* *ret_written bytes of the in part written */
	SERVE_LATER = 1,  /* nothing done, the chain stays available; the device
			     comes back to it by itself */
};
typedef enum serve_result (*virtio_serve_fn)(struct virtio_device *device, struct chain *chain,
					     uint32_t *ret_written, struct error **ret_error);
int virtio_device_serve(struct virtio_device *device, unsigned queue, struct chain *chain,
			virtio_serve_fn serve, struct error **ret_error);

/*
 * The driver broke the rules, or the device cannot go on: one rate-limited
 * line, and NEEDS_RESET until the driver resets.  Any thread, no lock.
 */
void virtio_device_fault(struct virtio_device *device, const struct error *error);
