/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls from a transport into a device: see device.h.
 *
 * A fault may come from a worker that a vCPU's reset is waiting for with the
 * lock held; so it takes no lock: it sets one flag and lets the transport set
 * one status bit, both atomic, and a reset clears both after the workers are
 * gone.
 */
#include "virtio/device.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "virtio/queue.h"

void virtio_device_init(struct virtio_device *device)
{
	(void)pthread_mutex_init(&device->lock, NULL);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		device->kick_fds[i] = -1;
}

void virtio_device_done(struct virtio_device *device)
{
	(void)pthread_mutex_destroy(&device->lock);
}

static bool inside_config(const struct virtio_device *device, uint32_t offset, uint32_t size)
{
	return offset < device->config_size && size <= device->config_size - offset;
}

void virtio_device_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			       uint32_t size)
{
	if (inside_config(device, offset, size))
		device->ops->config_read(device, offset, ret_bytes, size);
	else
		memset(ret_bytes, 0, size);
}

void virtio_device_config_write(struct virtio_device *device, uint32_t offset, const void *bytes,
				uint32_t size)
{
	if (device->ops->config_write && inside_config(device, offset, size))
		device->ops->config_write(device, offset, bytes, size);
}

void virtio_device_activate(struct virtio_device *device)
{
	_cleanup_error_ struct error *error = NULL;

	if (device->active)
		return;
	log_debug("%s: active, features 0x%llx", device->name,
		  (unsigned long long)device->driver_features);
	device->active = true;
	if (device->ops->activate && device->ops->activate(device, &error) < 0) {
		virtio_device_fault(device, error);
		return;
	}
	for (unsigned i = 0; i < device->n_queues; i++)
		if (device->queues[i].ready)
			virtio_device_start_queue(device, i);
}

bool virtio_device_serves_apart(const struct virtio_device *device, unsigned queue)
{
	return device->has_workers || device->kernel_queues & 1U << queue;
}

void virtio_device_start_queue(struct virtio_device *device, unsigned queue)
{
	_cleanup_error_ struct error *error = NULL;

	if (!device->active || atomic_load(&device->broken))
		return;
	if (device->loaded && virtio_device_serves_apart(device, queue))
		return; /* virtio_device_resume() */
	if (virtio_device_serves_apart(device, queue) &&
	    device->ops->start_queue(device, queue, &error) < 0) {
		virtio_device_fault(device, error);
		return;
	}
	/* Buffers made available before may have come without a kick that
	 * counted: look once. */
	virtio_device_kick_again(device, queue);
}

uint16_t virtio_device_stop_queue(struct virtio_device *device, unsigned queue)
{
	struct virtq *vq = &device->queues[queue];
	uint16_t next_avail;

	if (device->active && virtio_device_serves_apart(device, queue))
		device->ops->stop_queue(device, queue);
	next_avail = vq->next_avail;
	virtq_stop(vq);
	return next_avail;
}

void virtio_device_enable_queue(struct virtio_device *device, unsigned queue, bool enable)
{
	_cleanup_error_ struct error *error = NULL;

	if (device->ops->enable_queue &&
	    device->ops->enable_queue(device, queue, enable, &error) < 0)
		virtio_device_fault(device, error);
}

int virtio_device_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	return device->ops->save ? device->ops->save(device, state, ret_error) : 0;
}

int virtio_device_load(struct virtio_device *device, const void *bytes, size_t size,
		       struct error **ret_error)
{
	struct packed state = { bytes, size };

	if (device->ops->load && device->ops->load(device, &state, ret_error) < 0)
		return -1;
	if (state.left > 0)
		return error_set(ret_error, EINVAL, "its state has %zu bytes too many", state.left);
	device->loaded = true;
	return 0;
}

void virtio_device_reset(struct virtio_device *device)
{
	if (device->active && device->ops->reset)
		device->ops->reset(device);
	device->active = false;
	device->loaded = false;
	for (unsigned i = 0; i < device->n_queues; i++)
		virtq_stop(&device->queues[i]);
	device->driver_features = 0;
	atomic_store(&device->broken, false);
}

/* (The loop's own are served by the thread that pauses.) */
static bool is_paused_with(const struct virtio_device *device, unsigned queue)
{
	return device->active && device->queues[queue].ready &&
	       virtio_device_serves_apart(device, queue);
}

void virtio_device_pause(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->n_queues; i++)
		if (is_paused_with(device, i))
			device->ops->stop_queue(device, i);
}

void virtio_device_resume(struct virtio_device *device)
{
	device->loaded = false;
	for (unsigned i = 0; i < device->n_queues; i++)
		if (is_paused_with(device, i))
			virtio_device_start_queue(device, i);
	if (device->ops->resume)
		device->ops->resume(device);
}

void virtio_device_kick(struct virtio_device *device, unsigned queue)
{
	_cleanup_error_ struct error *error = NULL;

	(void)pthread_mutex_lock(&device->lock);
	/* (What is served apart may have been the loop's a moment ago.) */
	if (device->active && !atomic_load(&device->broken) &&
	    !virtio_device_serves_apart(device, queue) &&
	    device->ops->kick(device, queue, &error) < 0)
		virtio_device_fault(device, error);
	(void)pthread_mutex_unlock(&device->lock);
}

void virtio_device_sync(struct virtio_device *device)
{
	(void)pthread_mutex_lock(&device->lock);
	if (device->ops->sync)
		device->ops->sync(device);
	(void)pthread_mutex_unlock(&device->lock);
}

void virtio_device_kick_again(struct virtio_device *device, unsigned queue)
{
	uint64_t one = 1;

	/* Fails only when the counter is about to overflow: then it is readable. */
	(void)!write(device->kick_fds[queue], &one, sizeof(one));
}

/* Serves until the queue is empty (0), serve() cannot (SERVE_LATER) or the
 * budget is used up (1 as well: more to do), or there is a fault. */
static int serve_some(struct virtio_device *device, struct virtq *vq, struct chain *chain,
		      virtio_serve_fn serve, struct error **ret_error)
{
	for (unsigned left = vq->size; left > 0; left--) {
		uint32_t written = 0;
		int r = virtq_pop(vq, chain, ret_error);

		if (r <= 0)
			return r;
		r = serve(device, chain, &written, ret_error);
		if (r == SERVE_LATER)
			virtq_unpop(vq, 1);
		if (r != SERVE_DONE)
			return r;
		virtq_push(vq, chain->head, written);
	}
	virtio_device_kick_again(device, (unsigned)(vq - device->queues));
	return 1;
}

int virtio_device_serve(struct virtio_device *device, unsigned queue, struct chain *chain,
			virtio_serve_fn serve, struct error **ret_error)
{
	struct virtq *vq = &device->queues[queue];
	int r;

	do {
		virtq_disable_kicks(vq);
		r = serve_some(device, vq, chain, serve, ret_error);
	} while (r == 0 && virtq_enable_kicks(vq));
	if (virtq_should_notify(vq))
		device->interrupt(device, queue);
	return r < 0 ? -1 : 0;
}

void virtio_device_fault(struct virtio_device *device, const struct error *error)
{
	uint32_t suppressed;

	if (atomic_exchange(&device->broken, true))
		return;
	if (ratelimit_pass(&device->faults, &suppressed)) {
		if (suppressed > 0)
			log_warning("%s: device needs a reset: %s (%u more before this)",
				    device->name, error->message, suppressed);
		else
			log_warning("%s: device needs a reset: %s", device->name, error->message);
	}
	device->needs_reset(device);
}
