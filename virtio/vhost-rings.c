/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of a vhost-user device: see vhost-rings.h.
 *
 * Pause or reset.  When QEMU pauses its machine it stops every ring and starts
 * them again later; the device must then be what it was (connections of a socket
 * device live on).  When the guest resets the device, QEMU stops every ring in
 * just the same way, and starts them for the next driver.  Newer versions (8.2)
 * send RESET_DEVICE in between; older ones say nothing, and the status messages
 * do not help (all of them set the status to 0 for a pause too).  But a ring goes
 * on after a pause at the very place where it was stopped, which GET_VRING_BASE
 * told the front-end, while a new driver's rings begin at 0.  So, when the first
 * ring of a session is about to run: if every ring there is goes on where it was
 * stopped, with the same features, it was a pause; else the device is reset first.
 * (A new driver is taken for the old one only where all its rings lie in the same
 * place and all of the old ones had stopped at a multiple of 65536.)
 *
 * What the guest gets wrong (features, sizes, addresses: the front-end passes
 * them on) breaks the device, not the connection: its rings stop until the next
 * session begins anew.  The protocol has no way to show a driver NEEDS_RESET: the
 * rings' error descriptors are signalled, which tells the front-end.
 */
#include "virtio/vhost-rings.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "virtio/queue.h"

#define PROTOCOL_FEATURES_BIT (1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
/* Offered by QEMU whether we do or not; it is what VERSION_1 brings anyway (virtio
 * 1.2 §2.7.4.1). */
#define ANY_LAYOUT_BIT (1ULL << VIRTIO_F_ANY_LAYOUT)

/* ---- descriptors ---- */

/* The number `to` stands for what fd is from now on; -1: for nothing. */
static int replace_fd(const struct vhost_rings *rings, int fd, int to, struct error **ret_error)
{
	if (dup3(fd < 0 ? rings->null_fd : fd, to, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot replace a descriptor");
	return 0;
}

/* Only eventfds are taken, and non-blocking ones: anything else could have us
 * wait, or do more than count when it is written to.  (All anonymous files have
 * one inode; of their kinds only an eventfd takes a write of 8 bytes.) */
static int check_eventfd(const struct vhost_rings *rings, int fd, struct error **ret_error)
{
	struct stat own, other;

	if (fstat(rings->null_fd, &own) < 0 || fstat(fd, &other) < 0)
		return error_set_errno(ret_error, errno, "ring descriptor");
	if (own.st_dev != other.st_dev || own.st_ino != other.st_ino)
		return error_set(ret_error, EINVAL, "ring descriptor is not an eventfd");
	if (set_nonblocking(fd, true) < 0)
		return error_set_errno(ret_error, errno, "ring descriptor");
	return 0;
}

/* ---- running ---- */

static bool is_enabled(const struct vhost_rings *rings, const struct vhost_ring *ring)
{
	/* "Ring states": without protocol features there is no SET_VRING_ENABLE. */
	return ring->enabled || !(rings->features & PROTOCOL_FEATURES_BIT);
}

static bool may_run(const struct vhost_rings *rings, unsigned queue)
{
	const struct vhost_ring *ring = &rings->rings[queue];

	return ring->has_kick && is_enabled(rings, ring);
}

static bool goes_on(const struct vhost_ring *ring)
{
	const struct vhost_ring_place *a = &ring->place, *b = &ring->stopped;

	return a->size == b->size && a->desc == b->desc && a->avail == b->avail &&
	       a->used == b->used && a->next_avail == b->next_avail;
}

/* What the driver accepted of what a device and its transport offer. */
static uint64_t driver_features(const struct vhost_rings *rings)
{
	return rings->features & ~(PROTOCOL_FEATURES_BIT | ANY_LAYOUT_BIT);
}

static bool was_pause(const struct vhost_rings *rings)
{
	unsigned n = 0;

	if (!rings->device->active || atomic_load(&rings->device->broken) ||
	    rings->device->driver_features != driver_features(rings))
		return false;
	for (unsigned i = 0; i < rings->device->n_queues; i++) {
		const struct vhost_ring *ring = &rings->rings[i];

		if (!ring->has_kick || !ring->ran)
			continue;
		if (!goes_on(ring))
			return false;
		n++;
	}
	return n > 0;
}

/* device->lock held, as in what follows. */
static void reset_device(struct vhost_rings *rings)
{
	bool was_active = rings->device->active;

	virtio_device_reset(rings->device);
	for (unsigned i = 0; i < rings->device->n_queues; i++) {
		rings->rings[i].ran = false;
		virtio_device_enable_queue(rings->device, i, rings->rings[i].enabled);
	}
	if (was_active)
		transport_sync_soon(&rings->transport);
}

static void begin_session(struct vhost_rings *rings)
{
	struct virtio_device *device = rings->device;
	uint64_t features = driver_features(rings);
	_cleanup_error_ struct error *error = NULL;

	rings->in_session = true;
	if (was_pause(rings)) {
		log_debug("%s: goes on", device->name);
		return;
	}
	reset_device(rings);
	if (transport_accepts(device, features)) {
		device->driver_features = features;
		return;
	}
	(void)error_set(&error, EPROTO, "features 0x%llx, offered were 0x%llx",
			(unsigned long long)features,
			(unsigned long long)transport_features(device));
	virtio_device_fault(device, error);
}

static int make_ready(struct vhost_rings *rings, unsigned queue, struct error **ret_error)
{
	struct virtio_device *device = rings->device;
	struct vhost_ring *ring = &rings->rings[queue];
	const struct vhost_ring_place *place = &ring->place;
	struct virtq_layout layout = { .size = place->size };

	if (!vhost_ram_gpa(&rings->ram, place->desc, &layout.desc) ||
	    !vhost_ram_gpa(&rings->ram, place->avail, &layout.avail) ||
	    !vhost_ram_gpa(&rings->ram, place->used, &layout.used))
		return error_set(ret_error, EFAULT, "queue %u: outside the memory table", queue);
	/* Not queue_size_max: the front-end's registers say how large a queue may be,
	 * and QEMU's virtio-mmio says 1024 for every device. */
	if (virtq_start(&device->queues[queue], device->memory, &layout, VIRTQ_SIZE_MAX,
			device->driver_features, ret_error) < 0)
		return error_wrap(ret_error, "queue %u", queue);
	virtq_continue(&device->queues[queue], place->next_avail);
	ring->ran = true;
	return 0;
}

/* Runs every ring that may: the one place where a ring begins to. */
static void run_rings(struct vhost_rings *rings)
{
	struct virtio_device *device = rings->device;
	_cleanup_error_ struct error *error = NULL;
	uint32_t started = 0;

	for (unsigned i = 0; i < device->n_queues; i++) {
		if (!may_run(rings, i) || device->queues[i].ready)
			continue;
		if (!rings->in_session)
			begin_session(rings);
		if (atomic_load(&device->broken))
			return;
		if (make_ready(rings, i, &error) < 0) {
			virtio_device_fault(device, error);
			return;
		}
		started |= 1U << i;
	}
	if (started != 0 && !device->active) {
		virtio_device_activate(device);
		transport_sync_soon(&rings->transport);
		return;
	}
	for (unsigned i = 0; i < device->n_queues; i++)
		if (started & 1U << i)
			virtio_device_start_queue(device, i);
}

/* Stops the ring where it is; run_rings() may take it up again. */
static void halt_ring(struct vhost_rings *rings, unsigned queue)
{
	if (rings->device->queues[queue].ready)
		rings->rings[queue].place.next_avail =
		    virtio_device_stop_queue(rings->device, queue);
}

/* Stops it until it gets a new kick descriptor. */
static void stop_ring(struct vhost_rings *rings, unsigned queue)
{
	struct vhost_ring *ring = &rings->rings[queue];
	bool any_left = false;

	halt_ring(rings, queue);
	ring->stopped = ring->place;
	ring->has_kick = false;
	transport_unwatch_kick(&rings->transport, queue);
	(void)replace_fd(rings, -1, rings->device->kick_fds[queue], NULL);
	for (unsigned i = 0; i < rings->device->n_queues; i++)
		any_left |= rings->rings[i].has_kick;
	if (!any_left)
		rings->in_session = false;
}

/* ---- requests ---- */

static struct vhost_ring *find_ring(struct vhost_rings *rings, uint32_t queue,
				    struct error **ret_error)
{
	if (queue < rings->device->n_queues)
		return &rings->rings[queue];
	(void)error_set(ret_error, ERANGE, "queue %u of %u", queue, rings->device->n_queues);
	return NULL;
}

/* The ring's place while it may be changed. */
static struct vhost_ring_place *open_place(struct vhost_rings *rings, uint32_t queue,
					   struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);

	if (!ring)
		return NULL;
	if (!rings->device->queues[queue].ready)
		return &ring->place;
	(void)error_set(ret_error, EBUSY, "queue %u runs", queue);
	return NULL;
}

int vhost_rings_set_features(struct vhost_rings *rings, uint64_t features, struct error **ret_error)
{
	for (unsigned i = 0; i < rings->device->n_queues; i++)
		if (rings->device->queues[i].ready && features != rings->features)
			return error_set(ret_error, EBUSY,
					 "features may not change while queue %u runs", i);
	rings->features = features;
	return 0;
}

int vhost_rings_set_size(struct vhost_rings *rings, uint32_t queue, uint32_t size,
			 struct error **ret_error)
{
	struct vhost_ring_place *place = open_place(rings, queue, ret_error);

	if (!place)
		return -1;
	place->size = size; /* checked when it is made ready */
	return 0;
}

int vhost_rings_set_addresses(struct vhost_rings *rings, const struct vhost_vring_addr *addr,
			      struct error **ret_error)
{
	struct vhost_ring_place *place = open_place(rings, addr->index, ret_error);

	if (!place)
		return -1;
	if (addr->flags != 0)
		return error_set(ret_error, EOPNOTSUPP, "queue %u: flags 0x%x (logging?)",
				 addr->index, addr->flags);
	place->desc = addr->desc_user_addr;
	place->avail = addr->avail_user_addr;
	place->used = addr->used_user_addr;
	return 0;
}

int vhost_rings_set_base(struct vhost_rings *rings, uint32_t queue, uint32_t base,
			 struct error **ret_error)
{
	struct vhost_ring_place *place = open_place(rings, queue, ret_error);

	if (!place)
		return -1;
	if (base > UINT16_MAX)
		return error_set(ret_error, ERANGE, "queue %u: base %u", queue, base);
	place->next_avail = (uint16_t)base;
	return 0;
}

int vhost_rings_get_base(struct vhost_rings *rings, uint32_t queue, uint32_t *ret_base,
			 struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);

	if (!ring)
		return -1;
	(void)pthread_mutex_lock(&rings->device->lock);
	stop_ring(rings, queue);
	(void)pthread_mutex_unlock(&rings->device->lock);
	*ret_base = ring->place.next_avail;
	return 0;
}

int vhost_rings_set_kick(struct vhost_rings *rings, uint32_t queue, int fd,
			 struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);
	int r;

	if (!ring)
		return -1;
	if (fd < 0)
		return error_set(ret_error, EOPNOTSUPP,
				 "queue %u: no kick descriptor, and polling is not supported",
				 queue);
	if (check_eventfd(rings, fd, ret_error) < 0)
		return -1;
	(void)pthread_mutex_lock(&rings->device->lock);
	halt_ring(rings, queue);
	transport_unwatch_kick(&rings->transport, queue);
	r = replace_fd(rings, fd, rings->device->kick_fds[queue], ret_error);
	if (r == 0)
		r = transport_watch_kick(&rings->transport, queue, ret_error);
	ring->has_kick = true;
	if (r < 0)
		stop_ring(rings, queue);
	else
		run_rings(rings);
	(void)pthread_mutex_unlock(&rings->device->lock);
	return r;
}

int vhost_rings_set_call(struct vhost_rings *rings, uint32_t queue, int fd,
			 struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);

	if (!ring || (fd >= 0 && check_eventfd(rings, fd, ret_error) < 0) ||
	    replace_fd(rings, fd, ring->call_fd, ret_error) < 0)
		return -1;
	/* An interrupt may have gone to the old one, which nobody looks at. */
	if (rings->device->queues[queue].ready)
		eventfd_signal(ring->call_fd);
	return 0;
}

int vhost_rings_set_err(struct vhost_rings *rings, uint32_t queue, int fd, struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);

	if (!ring || (fd >= 0 && check_eventfd(rings, fd, ret_error) < 0))
		return -1;
	return replace_fd(rings, fd, ring->err_fd, ret_error);
}

int vhost_rings_enable(struct vhost_rings *rings, uint32_t queue, uint32_t enable,
		       struct error **ret_error)
{
	struct vhost_ring *ring = find_ring(rings, queue, ret_error);

	if (!ring)
		return -1;
	if (enable > 1)
		return error_set(ret_error, EINVAL, "queue %u: enable %u", queue, enable);
	(void)pthread_mutex_lock(&rings->device->lock);
	ring->enabled = enable;
	virtio_device_enable_queue(rings->device, queue, enable);
	if (!may_run(rings, queue))
		halt_ring(rings, queue);
	run_rings(rings);
	(void)pthread_mutex_unlock(&rings->device->lock);
	return 0;
}

void vhost_rings_set_ram(struct vhost_rings *rings, const struct vhost_ram *ram)
{
	(void)pthread_mutex_lock(&rings->device->lock);
	for (unsigned i = 0; i < rings->device->n_queues; i++)
		halt_ring(rings, i);
	vhost_ram_unmap(&rings->ram);
	rings->ram = *ram;
	run_rings(rings);
	(void)pthread_mutex_unlock(&rings->device->lock);
}

void vhost_rings_reset(struct vhost_rings *rings)
{
	(void)pthread_mutex_lock(&rings->device->lock);
	for (unsigned i = 0; i < rings->device->n_queues; i++) {
		stop_ring(rings, i);
		rings->rings[i].enabled = false;
		rings->rings[i].place = (struct vhost_ring_place){ 0 };
	}
	reset_device(rings);
	(void)pthread_mutex_unlock(&rings->device->lock);
}

/* ---- what the device calls: any thread, no lock ---- */

void vhost_rings_interrupt(struct vhost_rings *rings, unsigned queue)
{
	eventfd_signal(rings->rings[queue].call_fd);
}

void vhost_rings_fault(struct vhost_rings *rings)
{
	for (unsigned i = 0; i < rings->device->n_queues; i++)
		eventfd_signal(rings->rings[i].err_fd);
}

/* ---- the rings ---- */

static int new_fd(const struct vhost_rings *rings, int *ret_fd, struct error **ret_error)
{
	*ret_fd = fcntl(rings->null_fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? error_set_errno(ret_error, errno, "cannot duplicate a descriptor") : 0;
}

int vhost_rings_init(struct vhost_rings *rings, struct virtio_device *device, struct loop *loop,
		     struct error **ret_error)
{
	rings->device = device;
	rings->null_fd = -1;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		rings->rings[i].call_fd = rings->rings[i].err_fd = -1;
	if (transport_init(&rings->transport, device, &rings->ram.memory, loop, ret_error) < 0 ||
	    eventfd_new(&rings->null_fd, ret_error) < 0)
		return -1;
	for (unsigned i = 0; i < device->n_queues; i++)
		if (new_fd(rings, &rings->rings[i].call_fd, ret_error) < 0 ||
		    new_fd(rings, &rings->rings[i].err_fd, ret_error) < 0)
			return -1;
	return 0;
}

void vhost_rings_done(struct vhost_rings *rings)
{
	(void)pthread_mutex_lock(&rings->device->lock);
	virtio_device_reset(rings->device);
	(void)pthread_mutex_unlock(&rings->device->lock);
	transport_done(&rings->transport);
	vhost_ram_unmap(&rings->ram);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		close_fdp(&rings->rings[i].call_fd);
		close_fdp(&rings->rings[i].err_fd);
	}
	close_fdp(&rings->null_fd);
}
