/* A virtio device from its part of the configuration: see device.h. */
#include "vmm/device.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "virtio/devices.h"
#include "vmm/share.h"

int device_open_file(const struct vm_file *file, int flags, int *ret_fd, struct error **ret_error)
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

	if (device_open_file(&device->blk.file, device->blk.readonly ? O_RDONLY : O_RDWR,
			     &options.fd, ret_error) < 0)
		return -1;
	return blk_new(&options, ret_device, ret_error);
}

static int new_vsock(const struct vm_device *device, struct virtio_device **ret_device,
		     struct error **ret_error)
{
	const struct vsock_options options = {
		.guest_cid = device->vsock.cid,
		.path = device->vsock.path,
		.listen_fd = device->vsock.fd,
	};

	return vsock_new(&options, ret_device, ret_error);
}

static int new_console(const struct vm_device *device, struct virtio_device **ret_device,
		       struct error **ret_error)
{
	struct console_options options = { .input_fd = -1 };

	if (device_open_file(&device->console.output, O_WRONLY | O_CREAT | O_APPEND,
			     &options.output_fd, ret_error) < 0)
		return -1;
	return console_new(&options, ret_device, ret_error);
}

int device_new(const struct vm_device *device, struct shares *shares,
	       struct virtio_device **ret_device, struct error **ret_error)
{
	switch (device->type) {
	case VM_DEVICE_BLK:
		return new_blk(device, ret_device, ret_error);
	case VM_DEVICE_VSOCK:
		return new_vsock(device, ret_device, ret_error);
	case VM_DEVICE_RNG:
		return rng_new(ret_device, ret_error);
	case VM_DEVICE_CONSOLE:
		return new_console(device, ret_device, ret_error);
	case VM_DEVICE_FS:
		return share_new(shares, device, ret_device, ret_error);
	}
	return error_set(ret_error, EINVAL, "unknown device type");
}
