/* Virtio devices of the machine: see devices.h. */
#include "vmm/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "virtio/devices.h"
#include "virtio/mmio.h"
#include "vmm/arch.h"

_Static_assert(VM_DEVICES_MAX <= ARCH_DEVICES_MAX, "every device has a place");
_Static_assert(VM_DEVICES_MAX < BUS_RANGES_MAX, "the bus has room for every device");

struct devices {
	struct virtio_mmio *transports[VM_DEVICES_MAX];
	size_t n;
	char *socket_path; /* made by us, to be removed */
};

static int open_file(const struct vm_file *file, int flags, int *ret_fd, struct error **ret_error)
{
	int fd = file->fd;

	if (file->path)
		fd = open(file->path, flags | O_CLOEXEC | O_NOCTTY, 0600);
	else if (fd <= STDERR_FILENO) /* stays open for others: the log, a library */
		fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else if (set_cloexec(fd, true) < 0)
		fd = -1;
	if (fd < 0 && file->path)
		return error_set_errno(ret_error, errno, "cannot open %s", file->path);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "descriptor %d", file->fd);
	*ret_fd = fd;
	return 0;
}

static int new_blk(const struct vm_device *device, struct virtio_device **ret_device,
		   struct error **ret_error)
{
	struct blk_options options = {
		.id = device->blk.id ? device->blk.id : "",
		.readonly = device->blk.readonly,
		.queues = device->blk.queues,
	};

	if (open_file(&device->blk.file, device->blk.readonly ? O_RDONLY : O_RDWR, &options.fd,
		      ret_error) < 0)
		return -1;
	return blk_new(&options, ret_device, ret_error);
}

static int new_vsock(struct devices *devices, const struct vm_device *device,
		     struct virtio_device **ret_device, struct error **ret_error)
{
	struct vsock_options options = {
		.guest_cid = device->vsock.cid,
		.path = device->vsock.path,
		.listen_fd = device->vsock.fd,
	};

	if (options.listen_fd < 0) {
		options.listen_fd = unix_listen(device->vsock.path, 0600, ret_error);
		if (options.listen_fd < 0)
			return -1;
		devices->socket_path = xstrdup(device->vsock.path);
	}
	return vsock_new(&options, ret_device, ret_error);
}

static int new_console(const struct vm_device *device, struct virtio_device **ret_device,
		       struct error **ret_error)
{
	struct console_options options = { .input_fd = -1 };

	if (open_file(&device->console.output, O_WRONLY | O_CREAT | O_APPEND, &options.output_fd,
		      ret_error) < 0)
		return -1;
	return console_new(&options, ret_device, ret_error);
}

static int new_device(struct devices *devices, const struct vm_device *device,
		      struct virtio_device **ret_device, struct error **ret_error)
{
	switch (device->type) {
	case VM_DEVICE_BLK:
		return new_blk(device, ret_device, ret_error);
	case VM_DEVICE_VSOCK:
		return new_vsock(devices, device, ret_device, ret_error);
	case VM_DEVICE_RNG:
		return rng_new(ret_device, ret_error);
	case VM_DEVICE_CONSOLE:
		return new_console(device, ret_device, ret_error);
	}
	return error_set(ret_error, EINVAL, "unknown device type");
}

static void read_registers(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	virtio_mmio_read(data, (uint32_t)offset, ret_bytes, size);
}

static void write_registers(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	virtio_mmio_write(data, (uint32_t)offset, bytes, size);
}

/* Registers, one ioeventfd per queue, one irqfd. */
static int connect_transport(struct virtio_mmio *transport, unsigned index,
			     const struct devices_host *host, struct error **ret_error)
{
	static const struct bus_ops ops = { read_registers, write_registers };
	const gpa_t base = arch_device_base(index);
	const struct bus_range range = { base, VIRTIO_MMIO_SIZE, "virtio-mmio", &ops, transport };

	for (unsigned queue = 0; queue < virtio_mmio_n_queues(transport); queue++)
		if (kvm_add_ioeventfd(host->kvm, base + VIRTIO_MMIO_QUEUE_NOTIFY, queue,
				      virtio_mmio_kick_fd(transport, queue), ret_error) < 0)
			return -1;
	if (kvm_add_irqfd(host->kvm, arch_device_gsi(index), virtio_mmio_irq_fd(transport),
			  ret_error) < 0)
		return -1;
	return bus_add(host->mmio, &range, ret_error);
}

static int add_device(struct devices *devices, const struct vm_device *config,
		      const struct devices_host *host, struct error **ret_error)
{
	struct virtio_device *device;
	unsigned index = (unsigned)devices->n;

	if (new_device(devices, config, &device, ret_error) < 0 ||
	    virtio_mmio_new(device, host->memory, host->loop, &devices->transports[index],
			    ret_error) < 0)
		return error_wrap(ret_error, "device %u", index);
	devices->n++;
	return connect_transport(devices->transports[index], index, host, ret_error);
}

int devices_new(const struct vm_config *config, const struct devices_host *host,
		struct devices **ret_devices, struct error **ret_error)
{
	_cleanup_(devices_freep) struct devices *devices = xcalloc(1, sizeof(*devices));

	for (size_t i = 0; i < config->n_devices; i++)
		if (add_device(devices, &config->devices[i], host, ret_error) < 0)
			return -1;
	*ret_devices = TAKE_PTR(devices);
	return 0;
}

void devices_free(struct devices *devices)
{
	if (!devices)
		return;
	for (size_t i = 0; i < devices->n; i++)
		virtio_mmio_free(devices->transports[i]);
	if (devices->socket_path)
		(void)unlink(devices->socket_path);
	free(devices->socket_path);
	free(devices);
}
