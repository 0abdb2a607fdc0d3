/* SPDX-License-Identifier: Apache-2.0 */
/* A driver behind the mmio transport: see virtio-driver.h. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"

uint32_t driver_read(struct driver *d, uint32_t reg)
{
	uint32_t value;

	virtio_mmio_read(d->mmio, reg, &value, sizeof(value));
	return value;
}

void driver_write(struct driver *d, uint32_t reg, uint32_t value)
{
	virtio_mmio_write(d->mmio, reg, &value, sizeof(value));
}

static void on_irq(void *data, uint32_t events)
{
	struct driver *d = data;
	uint64_t count;

	(void)events;
	if (read(driver_irq_fd(d), &count, sizeof(count)) == sizeof(count)) {
		d->interrupts++;
		driver_write(d, VIRTIO_MMIO_INTERRUPT_ACK,
			     driver_read(d, VIRTIO_MMIO_INTERRUPT_STATUS));
	}
}

static void add_device(struct driver *d, struct virtio_device *device)
{
	struct error *error = NULL;

	d->device = device;
	CHECK_OK(virtio_mmio_new(device, &d->memory, d->loop, &d->mmio, &error), &error);
	CHECK_OK(loop_add_io(d->loop, driver_irq_fd(d), EPOLLIN, "test-irq", on_irq, d,
			     &d->irq_source, &error),
		 &error);
}

void driver_init(struct driver *d, struct virtio_device *device, size_t ram_size)
{
	struct error *error = NULL;

	(void)signal(SIGPIPE, SIG_IGN);
	driver_init_memory(d, ram_size);
	CHECK_OK(loop_new(&d->loop, &error), &error);
	add_device(d, device);
}

void driver_save(struct driver *d, struct driver_state *ret_state)
{
	struct error *error = NULL;

	ret_state->own = (struct buffer){ 0 };
	virtio_mmio_pause(d->mmio);
	CHECK_OK(virtio_mmio_save(d->mmio, &ret_state->transport, &ret_state->own, &error), &error);
	source_clear(&d->irq_source);
	virtio_mmio_free(d->mmio);
	d->mmio = NULL;
}

int driver_load(struct driver *d, struct virtio_device *device, const struct driver_state *state,
		struct error **ret_error)
{
	source_clear(&d->irq_source);
	virtio_mmio_free(d->mmio);
	add_device(d, device);
	if (virtio_mmio_load(d->mmio, &state->transport, state->own.bytes,
			     buffer_length(&state->own), ret_error) < 0)
		return -1;
	virtio_mmio_resume(d->mmio);
	return 0;
}

static void start_queue(struct driver *d, unsigned queue)
{
	struct driver_ring *ring = &d->rings[queue];
	uint32_t size;

	driver_write(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_QUEUE_READY), 0);
	size = driver_read(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
	if (ring->size == 0)
		driver_init_ring(d, ring, (uint16_t)size);
	driver_write(d, VIRTIO_MMIO_QUEUE_NUM, ring->size);
	driver_write(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring->desc_gpa);
	driver_write(d, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(ring->desc_gpa >> 32));
	driver_write(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)ring->avail_gpa);
	driver_write(d, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(ring->avail_gpa >> 32));
	driver_write(d, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)ring->used_gpa);
	driver_write(d, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(ring->used_gpa >> 32));
	driver_write(d, VIRTIO_MMIO_QUEUE_READY, 1);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_QUEUE_READY), 1);
}

void driver_start(struct driver *d, uint64_t wanted_features)
{
	uint64_t features = 0;
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	driver_reset(d);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_STATUS), 0);
	driver_write(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_write(d, VIRTIO_MMIO_STATUS, status);
	for (uint32_t page = 0; page < 2; page++) {
		driver_write(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, page);
		features |= (uint64_t)driver_read(d, VIRTIO_MMIO_DEVICE_FEATURES) << (32 * page);
	}
	features &= wanted_features | 1ULL << VIRTIO_F_VERSION_1;
	for (uint32_t page = 0; page < 2; page++) {
		driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
		driver_write(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * page)));
	}
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	driver_write(d, VIRTIO_MMIO_STATUS, status);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_STATUS), status);
	for (unsigned i = 0; i < d->device->n_queues; i++) {
		struct driver_ring *ring = &d->rings[i];

		*ring = (struct driver_ring){ 0 };
		start_queue(d, i);
		ring->event_idx = features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
	}
	status |= VIRTIO_CONFIG_S_DRIVER_OK;
	driver_write(d, VIRTIO_MMIO_STATUS, status);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_STATUS), status);
}

void driver_done(struct driver *d)
{
	source_remove(d->irq_source);
	virtio_mmio_free(d->mmio);
	loop_free(d->loop);
	driver_done_memory(d);
}

void driver_reset(struct driver *d)
{
	driver_write(d, VIRTIO_MMIO_STATUS, 0);
}

void driver_notify(struct driver *d, unsigned queue)
{
	driver_write(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void driver_stop_queue(struct driver *d, unsigned queue)
{
	driver_write(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	driver_write(d, VIRTIO_MMIO_QUEUE_READY, 0);
	CHECK_INT(driver_read(d, VIRTIO_MMIO_QUEUE_READY), 0);
}

void driver_config_read(struct driver *d, uint32_t offset, void *ret_bytes, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		virtio_mmio_read(d->mmio, VIRTIO_MMIO_CONFIG + offset + i, (char *)ret_bytes + i,
				 1);
}

int driver_irq_fd(const struct driver *d)
{
	return virtio_mmio_irq_fd(d->mmio);
}

bool driver_needs_reset(struct driver *d)
{
	return driver_read(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
