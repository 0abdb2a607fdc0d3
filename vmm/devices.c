/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio devices of the machine: see devices.h. */
#include "vmm/devices.h"

#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "virtio/mmio.h"
#include "vmm/arch.h"
#include "vmm/device.h"

_Static_assert(VM_DEVICES_MAX <= ARCH_DEVICES_MAX, "every device has a place");
_Static_assert(VM_DEVICES_MAX < BUS_RANGES_MAX, "the bus has room for every device");

struct devices {
	struct virtio_mmio *transports[VM_DEVICES_MAX];
	struct virtio_device *devices[VM_DEVICES_MAX]; /* the transports' */
	const struct device_type *types[VM_DEVICES_MAX];
	unsigned slots[VM_DEVICES_MAX];
	size_t n;
	unsigned n_slots; /* taken from the first one on */
	struct device_maker *maker;
};

/* That of a device that is found there alone, whenever it is needed (device_type.last). */
#define LAST_SLOT (ARCH_DEVICES_MAX - 1)

static void read_registers(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	virtio_mmio_read(data, (uint32_t)offset, ret_bytes, size);
}

static void write_registers(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	virtio_mmio_write(data, (uint32_t)offset, bytes, size);
}

/* An irqfd of the index-th device's own, or that of the earlier one which has
 * the same interrupt. */
static int connect_irq(const struct devices *devices, unsigned index,
		       const struct devices_host *host, struct error **ret_error)
{
	struct virtio_mmio *transport = devices->transports[index];
	const uint32_t gsi = arch_device_gsi(devices->slots[index]);

	for (unsigned i = 0; i < index; i++)
		if (arch_device_gsi(devices->slots[i]) == gsi)
			return virtio_mmio_share_irq(transport, devices->transports[i], ret_error);
	return kvm_add_irqfd(host->kvm, gsi, virtio_mmio_irq_fd(transport), ret_error);
}

/* Registers, one ioeventfd per queue (but where kicks are rare: they come as register writes), the
 * interrupt. */
static int connect_transport(const struct devices *devices, unsigned index,
			     const struct devices_host *host, struct error **ret_error)
{
	struct virtio_mmio *transport = devices->transports[index];
	static const struct bus_ops ops = { read_registers, write_registers };
	const gpa_t base = arch_device_base(devices->slots[index]);
	const struct bus_range range = { base, VIRTIO_MMIO_SIZE, "virtio-mmio", &ops, transport };

	for (unsigned queue = 0;
	     !devices->types[index]->last && queue < virtio_mmio_n_queues(transport); queue++)
		if (kvm_add_ioeventfd(host->kvm, base + VIRTIO_MMIO_QUEUE_NOTIFY, queue,
				      virtio_mmio_kick_fd(transport, queue), ret_error) < 0)
			return -1;
	if (connect_irq(devices, index, host, ret_error) < 0)
		return -1;
	return bus_add(host->mmio, &range, ret_error);
}

static int add_device(struct devices *devices, const struct vm_device *config,
		      const struct devices_host *host, struct error **ret_error)
{
	struct virtio_device *device;
	unsigned index = (unsigned)devices->n;

	if (device_new(devices->maker, config, &device, ret_error) < 0 ||
	    virtio_mmio_new(device, host->memory, host->loop, &devices->transports[index],
			    ret_error) < 0)
		return error_wrap(ret_error, "device %u", index);
	devices->devices[index] = device;
	devices->types[index] = device_type(config->type);
	devices->slots[index] = devices->types[index]->last ? LAST_SLOT : devices->n_slots++;
	devices->n++;
	return connect_transport(devices, index, host, ret_error);
}

/* What a slot without a device shows (virtio 1.2 §4.2.2): a transport, and device ID 0. */
static void read_empty(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	const uint32_t at = (uint32_t)(offset % VIRTIO_MMIO_SIZE);

	(void)data;
	virtio_mmio_read_empty(at, ret_bytes, size);
}

static void write_empty(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	(void)data, (void)offset, (void)bytes, (void)size;
}

static int add_empty_slots(const struct devices *devices, const struct devices_host *host,
			   struct error **ret_error)
{
	static const struct bus_ops ops = { read_empty, write_empty };
	const gpa_t base = arch_device_base(devices->n_slots);
	const bool last_is_free = devices->n == devices->n_slots;
	const struct bus_range range = {
		.base = base,
		.size = arch_device_base(LAST_SLOT + last_is_free) - base,
		.name = "virtio-mmio without a device",
		.ops = &ops,
	};

	return range.size > 0 ? bus_add(host->mmio, &range, ret_error) : 0;
}

int devices_new(const struct vm_config *config, const struct devices_host *host,
		struct devices **ret_devices, struct error **ret_error)
{
	_cleanup_(devices_freep) struct devices *devices = xcalloc(1, sizeof(*devices));

	if (device_maker_new(config, &devices->maker, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < config->n_devices; i++)
		if (add_device(devices, &config->devices[i], host, ret_error) < 0)
			return -1;
	if (add_empty_slots(devices, host, ret_error) < 0)
		return -1;
	*ret_devices = TAKE_PTR(devices);
	return 0;
}

int devices_plug(struct devices *devices, const struct vm_device *config,
		 const struct devices_host *host, struct error **ret_error)
{
	const gpa_t base = arch_device_base(devices->n_slots);

	if (bus_cut(host->mmio, base, arch_device_base(devices->n_slots + 1) - base, ret_error) < 0)
		return -1;
	return add_device(devices, config, host, ret_error);
}

struct virtio_device *devices_device(const struct devices *devices, size_t index)
{
	return devices->devices[index];
}

void devices_pause(struct devices *devices)
{
	for (size_t i = 0; i < devices->n; i++)
		virtio_mmio_pause(devices->transports[i]);
}

void devices_resume(struct devices *devices)
{
	for (size_t i = 0; i < devices->n; i++)
		virtio_mmio_resume(devices->transports[i]);
}

static int save_device(const struct devices *devices, uint32_t index, struct buffer *own,
		       struct buffer *state, struct error **ret_error)
{
	struct virtio_mmio_state transport;

	if (virtio_mmio_save(devices->transports[index], &transport, own, ret_error) < 0)
		return -1;
	snapshot_put(state, SNAPSHOT_TRANSPORT, index, &transport, sizeof(transport));
	snapshot_put(state, SNAPSHOT_DEVICE, index, own->bytes, buffer_length(own));
	return 0;
}

int devices_save(const struct devices *devices, struct buffer *state, struct error **ret_error)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < devices->n; i++) {
		struct buffer own = { 0 };

		r = save_device(devices, (uint32_t)i, &own, state, ret_error);
		buffer_done(&own);
	}
	return r;
}

static int load_device(struct devices *devices, uint32_t index, const struct snapshot *state,
		       struct error **ret_error)
{
	struct virtio_mmio_state transport;
	const void *own;
	size_t size;

	if (snapshot_take(state, SNAPSHOT_TRANSPORT, index, &transport, sizeof(transport),
			  ret_error) < 0 ||
	    snapshot_find(state, SNAPSHOT_DEVICE, index, &own, &size, ret_error) < 0)
		return -1;
	return virtio_mmio_load(devices->transports[index], &transport, own, size, ret_error);
}

/* Those that bring memory, or the others. */
static int load_devices(struct devices *devices, bool memory, const struct snapshot *state,
			struct error **ret_error)
{
	for (size_t i = 0; i < devices->n; i++)
		if ((devices->types[i]->place != NULL) == memory &&
		    snapshot_has(state, SNAPSHOT_TRANSPORT, (uint32_t)i) &&
		    load_device(devices, (uint32_t)i, state, ret_error) < 0)
			return error_wrap(ret_error, "device %zu", i);
	return 0;
}

/* Memory first: others' queues may lie in it. */
int devices_load(struct devices *devices, const struct snapshot *state, struct error **ret_error)
{
	return load_devices(devices, true, state, ret_error) < 0
		   ? -1
		   : load_devices(devices, false, state, ret_error);
}

void devices_free(struct devices *devices)
{
	if (!devices)
		return;
	for (size_t i = 0; i < devices->n; i++)
		virtio_mmio_free(devices->transports[i]);
	device_maker_free(devices->maker);
	free(devices);
}
