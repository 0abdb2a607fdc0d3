/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mmio, version 2: see mmio.h.
 *
 * Status (virtio 1.2 §2.1, §3.1.1).  The driver only ever adds bits, in this
 * order, and starts again by writing 0:
 *
 *	0 → ACKNOWLEDGE → DRIVER → FEATURES_OK → DRIVER_OK
 *
 * FEATURES_OK is refused (it reads back clear) unless the driver's features are
 * a subset of ours with VERSION_1.  Features may be written between DRIVER and
 * FEATURES_OK, queues set up between FEATURES_OK and DRIVER_OK; the device runs
 * from DRIVER_OK to the reset.  NEEDS_RESET is ours: from then on the device is
 * silent and only FAILED or a reset is taken.  All of it is changed by
 * change_status() alone.
 *
 * Registers are served under device->lock, except for the two of the interrupt
 * and the reading of Status, which are atomic: an interrupt handler never waits
 * for a device at work.
 */
#include "virtio/mmio.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "virtio/queue.h"
#include "virtio/transport.h"

#define MMIO_MAGIC 0x74726976 /* "virt" */
#define MMIO_VERSION 2
#define MMIO_VENDOR 0x4d53 /* "SM" */

/* Each step, and what must have been reached before it. */
static const struct status_step {
	uint32_t bit;
	uint32_t needs;
} status_steps[] = {
	{ VIRTIO_CONFIG_S_ACKNOWLEDGE, 0 },
	{ VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE },
	{ VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER },
	{ VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK },
};
#define STATUS_DEAD (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

struct virtio_mmio {
	struct virtio_device *device; /* transport.device */
	struct transport transport;
	int irq_fd;

	_Atomic uint32_t status;
	_Atomic uint32_t interrupt_status;
	_Atomic uint32_t config_generation;
	/* Others raise the interrupt: any may be for a queue (interrupt_fd()). */
	_Atomic bool raised_apart;

	/* device->lock guards the rest. */
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	bool unknown_features;	      /* the driver took one beyond bit 63 */
	struct virtq_layout *layouts; /* n_queues of them */
};

/* The only place where status changes: keeps the bits in keep, adds those in
 * add; returns what it was. */
static uint32_t change_status(struct virtio_mmio *mmio, uint32_t keep, uint32_t add)
{
	uint32_t old = atomic_load(&mmio->status);

	while (!atomic_compare_exchange_weak(&mmio->status, &old, (old & keep) | add))
		continue;
	log_debug("%s: status 0x%x -> 0x%x", mmio->device->name, old, (old & keep) | add);
	return old;
}

/* ---- what the device calls: any thread, no lock ---- */

static void raise_interrupt(struct virtio_mmio *mmio, uint32_t bit)
{
	(void)atomic_fetch_or(&mmio->interrupt_status, bit);
	eventfd_signal(mmio->irq_fd);
}

static void queue_interrupt(struct virtio_device *device, unsigned queue)
{
	(void)queue; /* one interrupt for all of them: §4.2.3.3 */
	raise_interrupt(device->transport, VIRTIO_MMIO_INT_VRING);
}

static void config_interrupt(struct virtio_device *device)
{
	struct virtio_mmio *mmio = device->transport;

	(void)atomic_fetch_add(&mmio->config_generation, 1);
	raise_interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

static int interrupt_fd(struct virtio_device *device)
{
	struct virtio_mmio *mmio = device->transport;

	atomic_store(&mmio->raised_apart, true);
	return mmio->irq_fd;
}

static void needs_reset(struct virtio_device *device)
{
	struct virtio_mmio *mmio = device->transport;
	uint32_t old = change_status(mmio, ~0U, VIRTIO_CONFIG_S_NEEDS_RESET);

	transport_sync_soon(&mmio->transport);
	/* §2.1.2: after DRIVER_OK the driver must be told. */
	if (old & VIRTIO_CONFIG_S_DRIVER_OK)
		config_interrupt(device);
}

/* ---- status, features, queues: device->lock held ---- */

static __attribute__((format(printf, 2, 3))) void driver_fault(struct virtio_mmio *mmio,
							       const char *format, ...)
{
	struct error error = { .code = EPROTO };
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	error.message = message;
	virtio_device_fault(mmio->device, &error);
}

static void reset(struct virtio_mmio *mmio)
{
	bool was_active = mmio->device->active;

	/* Workers are gone after this, so nothing raises or faults behind it. */
	virtio_device_reset(mmio->device);
	mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
	mmio->unknown_features = false;
	memset(mmio->layouts, 0, mmio->device->n_queues * sizeof(*mmio->layouts));
	atomic_store(&mmio->interrupt_status, 0);
	atomic_store(&mmio->raised_apart, false);
	(void)change_status(mmio, 0, 0);
	if (was_active)
		transport_sync_soon(&mmio->transport);
}

static bool features_acceptable(const struct virtio_mmio *mmio)
{
	return !mmio->unknown_features &&
	       transport_accepts(mmio->device, mmio->device->driver_features);
}

/* One step of the table above; false when it was not due. */
static bool take_step(struct virtio_mmio *mmio, const struct status_step *step)
{
	uint32_t status = atomic_load(&mmio->status);

	if ((status & step->needs) != step->needs)
		return false;
	if (step->bit == VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(mmio)) {
		log_debug("%s: features 0x%llx refused", mmio->device->name,
			  (unsigned long long)mmio->device->driver_features);
		return true;
	}
	(void)change_status(mmio, ~0U, step->bit);
	if (step->bit == VIRTIO_CONFIG_S_DRIVER_OK) {
		virtio_device_activate(mmio->device);
		transport_sync_soon(&mmio->transport);
	}
	return true;
}

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	uint32_t status = atomic_load(&mmio->status);

	if (value == 0) {
		reset(mmio);
		return;
	}
	if (value & VIRTIO_CONFIG_S_FAILED)
		(void)change_status(mmio, ~0U, VIRTIO_CONFIG_S_FAILED);
	if ((status | value) & STATUS_DEAD)
		return;
	/* §2.1.1: the driver must not clear a bit. */
	if (status & ~value) {
		driver_fault(mmio, "driver changed the status from 0x%x to 0x%x", status, value);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(status_steps); i++) {
		const struct status_step *step = &status_steps[i];

		if ((value & ~status & step->bit) && !take_step(mmio, step)) {
			driver_fault(mmio, "driver changed the status from 0x%x to 0x%x", status,
				     value);
			return;
		}
	}
}

static bool status_is(const struct virtio_mmio *mmio, uint32_t set, uint32_t clear)
{
	uint32_t status = atomic_load(&mmio->status);

	return (status & set) == set && (status & (clear | STATUS_DEAD)) == 0;
}

static uint32_t read_features(const struct virtio_mmio *mmio)
{
	if (mmio->device_features_sel > 1)
		return 0;
	return (uint32_t)(transport_features(mmio->device) >> (32 * mmio->device_features_sel));
}

static void write_features(struct virtio_mmio *mmio, uint32_t value)
{
	uint64_t *features = &mmio->device->driver_features;
	unsigned shift = 32 * (mmio->driver_features_sel & 1);

	if (!status_is(mmio, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (mmio->driver_features_sel > 1)
		mmio->unknown_features |= value != 0;
	else
		*features = (*features & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

/* The selected queue, or NULL: the one place where the selector is bounded. */
static struct virtq *selected_queue(const struct virtio_mmio *mmio)
{
	if (mmio->queue_sel >= mmio->device->n_queues)
		return NULL;
	return &mmio->device->queues[mmio->queue_sel];
}

/* The selected queue's layout while the driver may change it, else NULL. */
static struct virtq_layout *open_layout(struct virtio_mmio *mmio)
{
	struct virtq *vq = selected_queue(mmio);

	if (!vq || vq->ready ||
	    !status_is(mmio, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK))
		return NULL;
	return &mmio->layouts[mmio->queue_sel];
}

static void write_queue_size(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtq_layout *layout = open_layout(mmio);

	if (layout)
		layout->size = value; /* checked when it is made ready */
}

static void set_half(gpa_t *gpa, bool high, uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	*gpa = (*gpa & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

static void write_queue_address(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	struct virtq_layout *layout = open_layout(mmio);

	if (!layout)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&layout->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&layout->avail, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	default:
		set_half(&layout->used, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
	}
}

static void write_queue_ready(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtio_device *device = mmio->device;
	struct virtq *vq = selected_queue(mmio);
	struct virtq_layout *layout = open_layout(mmio);
	_cleanup_error_ struct error *error = NULL;

	if (value == 0 && vq) {
		(void)virtio_device_stop_queue(device, mmio->queue_sel);
	} else if (value == 1 && layout &&
		   virtq_start(vq, device->memory, layout, device->queue_size_max,
			       device->driver_features, &error) < 0) {
		driver_fault(mmio, "queue %u: %s", mmio->queue_sel, error->message);
	}
}

static void write_notify(struct virtio_mmio *mmio, uint32_t queue)
{
	if (queue < mmio->device->n_queues)
		eventfd_signal(mmio->device->kick_fds[queue]);
	else if (status_is(mmio, VIRTIO_CONFIG_S_DRIVER_OK, 0))
		driver_fault(mmio, "driver kicked queue %u of %u", queue, mmio->device->n_queues);
}

/* ---- registers ---- */

static uint32_t read_register(struct virtio_mmio *mmio, uint32_t offset)
{
	const struct virtq *vq = selected_queue(mmio);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MMIO_MAGIC;
	case VIRTIO_MMIO_VERSION:
		return MMIO_VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return mmio->device->type;
	case VIRTIO_MMIO_VENDOR_ID:
		return MMIO_VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return read_features(mmio);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return vq ? mmio->device->queue_size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return vq ? vq->ready : 0;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return 0xffffffff; /* no shared memory regions */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load(&mmio->config_generation);
	default:
		return 0;
	}
}

static void write_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_features(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
		write_queue_size(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_queue_ready(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		write_notify(mmio, value);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		write_queue_address(mmio, offset, value);
		break;
	default:
		break;
	}
}

void virtio_mmio_read_empty(uint32_t offset, void *ret_bytes, uint32_t size)
{
	uint32_t value = 0;

	memset(ret_bytes, 0, size);
	if (size != sizeof(value))
		return;
	if (offset == VIRTIO_MMIO_MAGIC_VALUE)
		value = MMIO_MAGIC;
	else if (offset == VIRTIO_MMIO_VERSION)
		value = MMIO_VERSION;
	value = htole32(value);
	memcpy(ret_bytes, &value, sizeof(value));
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *ret_bytes, uint32_t size)
{
	struct virtio_device *device = mmio->device;
	uint32_t value = 0;

	memset(ret_bytes, 0, size);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		(void)pthread_mutex_lock(&device->lock);
		virtio_device_config_read(device, offset - VIRTIO_MMIO_CONFIG, ret_bytes, size);
		(void)pthread_mutex_unlock(&device->lock);
		return;
	}
	if (size != sizeof(value) || offset % sizeof(value) != 0)
		return;
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS) {
		value = atomic_load(&mmio->interrupt_status);
		if (atomic_load(&mmio->raised_apart))
			value |= VIRTIO_MMIO_INT_VRING;
	} else if (offset == VIRTIO_MMIO_STATUS) {
		value = atomic_load(&mmio->status);
	} else {
		(void)pthread_mutex_lock(&device->lock);
		value = read_register(mmio, offset);
		(void)pthread_mutex_unlock(&device->lock);
	}
	value = htole32(value);
	memcpy(ret_bytes, &value, sizeof(value));
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *bytes, uint32_t size)
{
	struct virtio_device *device = mmio->device;
	uint32_t value;

	if (offset >= VIRTIO_MMIO_CONFIG) {
		(void)pthread_mutex_lock(&device->lock);
		virtio_device_config_write(device, offset - VIRTIO_MMIO_CONFIG, bytes, size);
		(void)pthread_mutex_unlock(&device->lock);
		return;
	}
	if (size != sizeof(value) || offset % sizeof(value) != 0)
		return;
	memcpy(&value, bytes, sizeof(value));
	value = le32toh(value);
	if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
		(void)atomic_fetch_and(&mmio->interrupt_status, ~value);
		return;
	}
	(void)pthread_mutex_lock(&device->lock);
	write_register(mmio, offset, value);
	(void)pthread_mutex_unlock(&device->lock);
}

/* ---- the transport ---- */

int virtio_mmio_new(struct virtio_device *device, struct guest_memory *memory, struct loop *loop,
		    struct virtio_mmio **ret_mmio, struct error **ret_error)
{
	_cleanup_(virtio_mmio_freep) struct virtio_mmio *mmio = xcalloc(1, sizeof(*mmio));
	int r;

	mmio->device = device;
	mmio->irq_fd = -1;
	mmio->layouts = xcalloc(device->n_queues, sizeof(*mmio->layouts));
	device->interrupt = queue_interrupt;
	device->config_interrupt = config_interrupt;
	device->interrupt_fd = interrupt_fd;
	device->needs_reset = needs_reset;
	device->transport = mmio;
	r = transport_init(&mmio->transport, device, memory, loop, ret_error);
	if (r == 0)
		r = eventfd_new(&mmio->irq_fd, ret_error);
	for (unsigned i = 0; r == 0 && i < device->n_queues; i++)
		r = transport_watch_kick(&mmio->transport, i, ret_error);
	if (r < 0)
		return error_wrap(ret_error, "device %s", device->name);
	*ret_mmio = TAKE_PTR(mmio);
	return 0;
}

void virtio_mmio_free(struct virtio_mmio *mmio)
{
	if (!mmio)
		return;
	(void)pthread_mutex_lock(&mmio->device->lock);
	reset(mmio);
	(void)pthread_mutex_unlock(&mmio->device->lock);
	transport_done(&mmio->transport);
	close_fdp(&mmio->irq_fd);
	free(mmio->layouts);
	free(mmio);
}

unsigned virtio_mmio_n_queues(const struct virtio_mmio *mmio)
{
	return mmio->device->n_queues;
}

int virtio_mmio_kick_fd(const struct virtio_mmio *mmio, unsigned queue)
{
	return mmio->device->kick_fds[queue];
}

int virtio_mmio_irq_fd(const struct virtio_mmio *mmio)
{
	return mmio->irq_fd;
}

int virtio_mmio_share_irq(struct virtio_mmio *mmio, const struct virtio_mmio *other,
			  struct error **ret_error)
{
	int fd = fcntl(other->irq_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot share an interrupt");
	close_fdp(&mmio->irq_fd);
	mmio->irq_fd = fd;
	return 0;
}

/* ---- pause ---- */

void virtio_mmio_pause(struct virtio_mmio *mmio)
{
	(void)pthread_mutex_lock(&mmio->device->lock);
	virtio_device_pause(mmio->device);
	(void)pthread_mutex_unlock(&mmio->device->lock);
}

void virtio_mmio_resume(struct virtio_mmio *mmio)
{
	(void)pthread_mutex_lock(&mmio->device->lock);
	virtio_device_resume(mmio->device);
	(void)pthread_mutex_unlock(&mmio->device->lock);
}

/* ---- state ---- */

int virtio_mmio_save(const struct virtio_mmio *mmio, struct virtio_mmio_state *ret_state,
		     struct buffer *own, struct error **ret_error)
{
	struct virtio_device *device = mmio->device;
	int r;

	*ret_state = (struct virtio_mmio_state){
		.type = device->type,
		.status = atomic_load(&mmio->status),
		.interrupt_status = atomic_load(&mmio->interrupt_status),
		.config_generation = atomic_load(&mmio->config_generation),
		.device_features_sel = mmio->device_features_sel,
		.driver_features_sel = mmio->driver_features_sel,
		.queue_sel = mmio->queue_sel,
		.unknown_features = mmio->unknown_features,
		.n_queues = device->n_queues,
		.driver_features = device->driver_features,
	};
	for (unsigned i = 0; i < device->n_queues; i++)
		ret_state->queues[i] = (struct virtio_mmio_queue){
			.layout = mmio->layouts[i],
			.ready = device->queues[i].ready,
			.next_avail = device->queues[i].next_avail,
		};
	(void)pthread_mutex_lock(&device->lock);
	r = virtio_device_save(device, own, ret_error);
	(void)pthread_mutex_unlock(&device->lock);
	return r < 0 ? error_wrap(ret_error, "device %s", device->name) : 0;
}

static int load_queue(struct virtio_mmio *mmio, unsigned index,
		      const struct virtio_mmio_queue *queue, struct error **ret_error)
{
	struct virtio_device *device = mmio->device;
	struct virtq *vq = &device->queues[index];

	mmio->layouts[index] = queue->layout;
	if (!queue->ready)
		return 0;
	if (queue->next_avail > UINT16_MAX)
		return error_set(ret_error, EINVAL, "queue %u: index %u is larger than any", index,
				 queue->next_avail);
	if (virtq_start(vq, device->memory, &queue->layout, device->queue_size_max,
			device->driver_features, ret_error) < 0)
		return error_wrap(ret_error, "queue %u", index);
	virtq_continue(vq, (uint16_t)queue->next_avail);
	return 0;
}

/* What no driver can have brought about (the table above) is not this device's. */
static int check_status(uint32_t status, struct error **ret_error)
{
	uint32_t known = STATUS_DEAD;
	bool reached = true;

	for (size_t i = 0; i < ARRAY_SIZE(status_steps); i++) {
		const struct status_step *step = &status_steps[i];

		known |= step->bit;
		if (status & step->bit)
			reached &= (status & step->needs) == step->needs;
	}
	if (!reached || (status & ~known))
		return error_set(ret_error, EINVAL, "0x%x is not a status", status);
	return 0;
}

static int check_state(const struct virtio_mmio *mmio, const struct virtio_mmio_state *state,
		       struct error **ret_error)
{
	const struct virtio_device *device = mmio->device;

	if (state->type != device->type || state->n_queues != device->n_queues)
		return error_set(ret_error, EINVAL,
				 "the state is of a device of type %u with %u queues", state->type,
				 state->n_queues);
	return check_status(state->status, ret_error);
}

static void load_registers(struct virtio_mmio *mmio, const struct virtio_mmio_state *state)
{
	mmio->device_features_sel = state->device_features_sel;
	mmio->driver_features_sel = state->driver_features_sel;
	mmio->queue_sel = state->queue_sel;
	mmio->unknown_features = state->unknown_features;
	mmio->device->driver_features = state->driver_features;
	atomic_store(&mmio->config_generation, state->config_generation);
	atomic_store(&mmio->interrupt_status,
		     state->interrupt_status & (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG));
}

/* Lock held. */
static void go_on(struct virtio_mmio *mmio, const struct virtio_mmio_state *state)
{
	struct virtio_device *device = mmio->device;

	(void)change_status(mmio, 0, state->status);
	atomic_store(&device->broken, state->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	if (state->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		virtio_device_activate(device);
		transport_sync_soon(&mmio->transport);
	}
	/* One that was on its way; one too many does no harm. */
	if (state->interrupt_status)
		eventfd_signal(mmio->irq_fd);
}

/* Lock held. */
static int load(struct virtio_mmio *mmio, const struct virtio_mmio_state *state, const void *own,
		size_t size, struct error **ret_error)
{
	struct virtio_device *device = mmio->device;

	if (check_state(mmio, state, ret_error) < 0)
		return -1;
	load_registers(mmio, state);
	if (state->status & VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(mmio))
		return error_set(ret_error, EINVAL, "features 0x%llx are not this device's",
				 (unsigned long long)state->driver_features);
	for (unsigned i = 0; i < device->n_queues; i++)
		if (load_queue(mmio, i, &state->queues[i], ret_error) < 0)
			return -1;
	if (virtio_device_load(device, own, size, ret_error) < 0)
		return -1;
	go_on(mmio, state);
	return 0;
}

int virtio_mmio_load(struct virtio_mmio *mmio, const struct virtio_mmio_state *state,
		     const void *own, size_t size, struct error **ret_error)
{
	int r;

	(void)pthread_mutex_lock(&mmio->device->lock);
	r = load(mmio, state, own, size, ret_error);
	(void)pthread_mutex_unlock(&mmio->device->lock);
	return r < 0 ? error_wrap(ret_error, "device %s", mmio->device->name) : 0;
}
