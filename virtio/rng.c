/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device: virtio 1.2 §5.4.  Each buffer gets up to 256 bytes from
 * getrandom(2), which it delivers whole; a driver that wants more asks again. */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/random.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define RNG_QUEUE_SIZE 64
#define RNG_BYTES_MAX 256

struct rng {
	struct virtio_device device;
	struct chain chain; /* the one being filled */
};

static enum serve_result fill(struct virtio_device *device, struct chain *chain,
			      uint32_t *ret_written, struct error **ret_error)
{
	uint8_t bytes[RNG_BYTES_MAX];
	uint32_t size = MIN(chain->in_size, (uint32_t)sizeof(bytes));

	(void)device;
	if (chain->n_out > 0)
		return error_set(ret_error, EPROTO, "buffer that is not write-only");
	if (random_bytes(bytes, size, ret_error) < 0)
		return -1;
	(void)chain_write(chain, 0, bytes, size);
	*ret_written = size;
	return SERVE_DONE;
}

static int rng_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct rng *rng = (struct rng *)device;

	return virtio_device_serve(device, queue, &rng->chain, fill, ret_error);
}

static void rng_free(struct virtio_device *device)
{
	virtio_device_done(device);
	free(device);
}

static const struct virtio_device_ops rng_ops = {
	.kick = rng_kick,
	.free = rng_free,
};

int rng_new(struct virtio_device **ret_device, struct error **ret_error)
{
	struct rng *rng = xcalloc(1, sizeof(*rng));

	(void)ret_error;
	rng->device.ops = &rng_ops;
	rng->device.name = "rng";
	rng->device.type = VIRTIO_ID_RNG;
	rng->device.n_queues = 1;
	rng->device.queue_size_max = RNG_QUEUE_SIZE;
	virtio_device_init(&rng->device);
	*ret_device = &rng->device;
	return 0;
}
