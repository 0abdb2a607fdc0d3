/* SPDX-License-Identifier: Apache-2.0 */
/* A driver behind a vhost-user front-end: see virtio-driver.h. */
#include <linux/virtio_config.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/vhost-frontend.h"
#include "virtio/transport.h"

static void on_irq(void *data, uint32_t events)
{
	struct driver *d = data;
	uint64_t count;

	(void)events;
	if (read(driver_irq_fd(d), &count, sizeof(count)) == sizeof(count))
		d->interrupts++;
}

void driver_init(struct driver *d, struct virtio_device *device, size_t ram_size)
{
	struct error *error = NULL;

	(void)signal(SIGPIPE, SIG_IGN);
	driver_init_memory(d, ram_size);
	d->device = device;
	CHECK_OK(loop_new(&d->loop, &error), &error);
	frontend_init(d);
	CHECK_OK(loop_add_io(d->loop, driver_irq_fd(d), EPOLLIN, "test-irq", on_irq, d,
			     &d->irq_source, &error),
		 &error);
}

void driver_done(struct driver *d)
{
	source_remove(d->irq_source);
	frontend_done(d);
	loop_free(d->loop);
	driver_done_memory(d);
}

/* Without a word about a reset, as QEMU 7.2 does it: the device must see that this
 * is a new driver. */
void driver_start(struct driver *d, uint64_t wanted_features)
{
	struct frontend *f = d->frontend;

	frontend_stop(d);
	(void)driver_needs_reset(d);
	f->broken = false;
	memset(f->base, 0, sizeof(f->base));
	f->accepted = f->features & (wanted_features | 1ULL << VIRTIO_F_VERSION_1 |
				     1ULL << VHOST_USER_F_PROTOCOL_FEATURES);
	for (unsigned i = 0; i < d->device->n_queues; i++) {
		driver_init_ring(d, &d->rings[i], d->device->queue_size_max);
		d->rings[i].event_idx = f->accepted & 1ULL << VIRTIO_RING_F_EVENT_IDX;
	}
	frontend_start(d);
}

/* As QEMU 8.2 and later do it. */
void driver_reset(struct driver *d)
{
	frontend_stop(d);
	frontend_set(d, VHOST_RESET_DEVICE, NULL, 0, NULL, 0);
	CHECK(!d->device->active);
	(void)driver_needs_reset(d);
	d->frontend->broken = false;
}

void driver_stop_queue(struct driver *d, unsigned queue)
{
	struct vhost_vring_state state = { queue, 0 };

	frontend_send(d, VHOST_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	(void)frontend_expect(d, VHOST_GET_VRING_BASE, &state, sizeof(state));
	d->frontend->started &= ~(1U << queue);
}

void driver_config_read(struct driver *d, uint32_t offset, void *ret_bytes, uint32_t size)
{
	struct vhost_config config = { .offset = offset, .size = size };

	frontend_send(d, VHOST_GET_CONFIG, 0, &config, VHOST_CONFIG_HEADER + size, NULL, 0);
	CHECK_INT(frontend_expect(d, VHOST_GET_CONFIG, &config, sizeof(config)),
		  VHOST_CONFIG_HEADER + size);
	CHECK_INT(config.offset, offset);
	CHECK_INT(config.size, size);
	memcpy(ret_bytes, config.bytes, size);
}

void driver_notify(struct driver *d, unsigned queue)
{
	eventfd_signal(d->frontend->kick_fds[queue]);
}

int driver_irq_fd(const struct driver *d)
{
	return d->frontend->call_fd;
}

bool driver_needs_reset(struct driver *d)
{
	uint64_t count;

	d->frontend->broken |= read(d->frontend->err_fd, &count, sizeof(count)) == sizeof(count);
	return d->frontend->broken;
}
