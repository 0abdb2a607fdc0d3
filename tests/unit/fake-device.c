/* SPDX-License-Identifier: Apache-2.0 */
/* A device for tests of transports: see fake-device.h. */
#include "tests/unit/fake-device.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/test.h"

static struct fake *fake_of(struct virtio_device *device)
{
	return (struct fake *)device;
}

static void fake_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			     uint32_t size)
{
	CHECK(offset + size <= sizeof(fake_of(device)->config));
	memcpy(ret_bytes, fake_of(device)->config + offset, size);
}

static void fake_config_write(struct virtio_device *device, uint32_t offset, const void *bytes,
			      uint32_t size)
{
	CHECK(offset + size <= sizeof(fake_of(device)->config));
	memcpy(fake_of(device)->config + offset, bytes, size);
}

static int fake_activate(struct virtio_device *device, struct error **ret_error)
{
	fake_of(device)->activated++;
	return fake_of(device)->fail_activate ? error_set(ret_error, EIO, "no such luck") : 0;
}

static enum serve_result fake_serve(struct virtio_device *device, struct chain *chain,
				    uint32_t *ret_written, struct error **ret_error)
{
	if (fake_of(device)->fail_kick)
		return error_set(ret_error, EPROTO, "bad chain");
	fake_of(device)->served++;
	*ret_written = chain->in_size;
	return SERVE_DONE;
}

static int fake_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	fake_of(device)->kicked[queue]++;
	return virtio_device_serve(device, queue, &fake_of(device)->chain, fake_serve, ret_error);
}

static void work(struct worker *worker)
{
	struct fake *fake = fake_of(worker->device);
	struct virtq *vq = &worker->device->queues[worker->queue];

	if (virtq_pop(vq, &fake->worker_chain, NULL) <= 0)
		return;
	atomic_store(&fake->at_work, true);
	while (!worker_stopping(worker))
		(void)sched_yield();
	virtq_push(vq, fake->worker_chain.head, fake->worker_chain.in_size);
	if (virtq_should_notify(vq))
		worker->device->interrupt(worker->device, worker->queue);
}

static int fake_start_queue(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct worker *worker = &fake_of(device)->workers[queue];

	worker->device = device;
	worker->queue = queue;
	worker->serve = work;
	return worker_start(worker, ret_error);
}

static void fake_stop_queue(struct virtio_device *device, unsigned queue)
{
	worker_stop(&fake_of(device)->workers[queue]);
}

static void fake_reset(struct virtio_device *device)
{
	for (unsigned i = 0; i < FAKE_QUEUES; i++)
		fake_stop_queue(device, i);
	fake_of(device)->reset++;
}

static void fake_sync(struct virtio_device *device)
{
	fake_of(device)->synced++;
}

static void fake_free(struct virtio_device *device)
{
	if (fake_of(device)->freed)
		*fake_of(device)->freed = true;
	virtio_device_done(device);
	free(device);
}

static const struct virtio_device_ops fake_ops = {
	.config_read = fake_config_read,
	.config_write = fake_config_write,
	.activate = fake_activate,
	.kick = fake_kick,
	.start_queue = fake_start_queue,
	.stop_queue = fake_stop_queue,
	.reset = fake_reset,
	.sync = fake_sync,
	.free = fake_free,
};

struct fake *fake_new(bool has_workers, bool *freed)
{
	struct fake *fake = xcalloc(1, sizeof(*fake));

	fake->freed = freed;
	for (size_t i = 0; i < sizeof(fake->config); i++)
		fake->config[i] = (uint8_t)(0x10 + i);
	fake->device.ops = &fake_ops;
	fake->device.name = "fake";
	fake->device.type = FAKE_TYPE;
	fake->device.features = FAKE_FEATURE_A | FAKE_FEATURE_B;
	fake->device.n_queues = FAKE_QUEUES;
	fake->device.queue_size_max = FAKE_QUEUE_SIZE;
	fake->device.config_size = sizeof(fake->config);
	fake->device.has_workers = has_workers;
	virtio_device_init(&fake->device);
	return fake;
}
