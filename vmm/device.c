/* SPDX-License-Identifier: Apache-2.0 */
/* The types of devices there are: see device.h. */
#include "vmm/device.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "virtio/devices.h"
#include "virtio/disk.h"
#include "virtio/queue.h"
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

_Static_assert(VM_BLK_FILE_ALIGN == DISK_PIECE_ALIGN, "the document means what the disk does");

static int open_more(char *const *paths, int *fds, size_t *n_fds, struct error **ret_error)
{
	for (; paths && *paths; paths++) {
		const struct vm_file file = { .path = *paths, .fd = -1 };

		if (device_open_file(&file, O_RDONLY, &fds[*n_fds], ret_error) < 0)
			return -1;
		++*n_fds;
	}
	return 0;
}

static int new_blk(const struct vm_device *device, void *common, struct virtio_device **ret_device,
		   struct error **ret_error)
{
	int more[VM_BLK_FILES_MAX];
	struct blk_options options = {
		.more_fds = more,
		.id = device->blk.id ? device->blk.id : "",
		.readonly = device->blk.readonly,
		.queues = device->blk.queues,
	};

	(void)common;
	if (device_open_file(&device->blk.file, device->blk.readonly ? O_RDONLY : O_RDWR,
			     &options.fd, ret_error) < 0)
		return -1;
	if (open_more(device->blk.more, more, &options.n_more_fds, ret_error) < 0) {
		for (size_t i = 0; i < options.n_more_fds; i++)
			(void)close(more[i]);
		close_fdp(&options.fd);
		return -1;
	}
	return blk_new(&options, ret_device, ret_error);
}

static int new_vsock(const struct vm_device *device, void *common,
		     struct virtio_device **ret_device, struct error **ret_error)
{
	const struct vsock_options options = {
		.guest_cid = device->vsock.cid,
		.path = device->vsock.path,
		.listen_fd = device->vsock.fd,
	};

	(void)common;
	return vsock_new(&options, ret_device, ret_error);
}

bool device_logs_console(const struct vm_device *device)
{
	return !device->console.output.path && device->console.output.fd < 0;
}

static int new_console(const struct vm_device *device, void *common,
		       struct virtio_device **ret_device, struct error **ret_error)
{
	struct console_options options = { .output_fd = -1, .input_fd = -1 };

	(void)common;
	if (!device_logs_console(device) &&
	    device_open_file(&device->console.output, O_WRONLY | O_CREAT | O_APPEND,
			     &options.output_fd, ret_error) < 0)
		return -1;
	return console_new(&options, ret_device, ret_error);
}

static int new_rng(const struct vm_device *device, void *common, struct virtio_device **ret_device,
		   struct error **ret_error)
{
	(void)device;
	(void)common;
	return rng_new(ret_device, ret_error);
}

static int new_mem(const struct vm_device *device, void *common, struct virtio_device **ret_device,
		   struct error **ret_error)
{
	(void)common;
	return mem_device_new(device->mem.max_mib << 20, ret_device, ret_error);
}

static uint64_t mem_room(const struct vm_device *device)
{
	return device->mem.max_mib << 20;
}

static int take_fd(int number, int *ret_fd, struct error **ret_error)
{
	const struct vm_file file = { .fd = number };

	return number < 0 ? 0 : device_open_file(&file, O_RDWR, ret_fd, ret_error);
}

/* Of each pair of queues, or of none, where the link is down. */
static int check_pairs(const struct vm_device *device, struct error **ret_error)
{
	const size_t n_more = device->net.fd < 0 ? 0 : device->net.pairs - 1;

	if (device->net.backend != VM_NET_TAP && device->net.pairs > 1)
		return error_set(ret_error, EINVAL, "a stream has one pair of queues");
	if (device->net.more.n != n_more ||
	    device->net.more_vhosts.n != (device->net.vhost_fd < 0 ? 0 : n_more))
		return error_set(ret_error, EINVAL,
				 "%u pairs of queues, %zu and %zu descriptors more",
				 device->net.pairs, device->net.more.n, device->net.more_vhosts.n);
	return 0;
}

static int take_pairs(const struct vm_device *device, struct net_options *options,
		      struct error **ret_error)
{
	if (take_fd(device->net.fd, &options->fd, ret_error) < 0 ||
	    take_fd(device->net.vhost_fd, &options->vhost_fd, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < options->n_more; i++) {
		options->more_fds[i] = options->more_vhost_fds[i] = -1;
		if ((i < device->net.more.n &&
		     take_fd(device->net.more.fds[i], &options->more_fds[i], ret_error) < 0) ||
		    (i < device->net.more_vhosts.n &&
		     take_fd(device->net.more_vhosts.fds[i], &options->more_vhost_fds[i],
			     ret_error) < 0))
			return -1;
	}
	return 0;
}

static int new_net(const struct vm_device *device, void *common, struct virtio_device **ret_device,
		   struct error **ret_error)
{
	static const enum net_backend backends[] = {
		[VM_NET_TAP] = NET_TAP,
		[VM_NET_STREAM] = NET_STREAM,
	};
	struct net_options options = {
		.fd = -1,
		.vhost_fd = -1,
		.backend = backends[device->net.backend],
		.mtu = (uint16_t)device->net.mtu,
		.n_more = device->net.pairs - 1,
	};

	(void)common;
	memcpy(options.mac, device->net.mac.bytes, sizeof(options.mac));
	if (check_pairs(device, ret_error) < 0 || take_pairs(device, &options, ret_error) < 0)
		return -1;
	return net_new(&options, ret_device, ret_error);
}

/* ---- QEMU's front-ends ---- */

/* No commands that ours does not have: what a guest says to the front-end about its filters
 * and offloads, ours is not told. */
static char *qemu_net_options(const struct vm_device *device)
{
	const uint8_t *mac = device->net.mac.bytes;
	_cleanup_free_ char *mtu =
	    device->net.mtu ? xasprintf(",host_mtu=%u", device->net.mtu) : xstrdup("");

	return xasprintf(",mac=%02x:%02x:%02x:%02x:%02x:%02x%s%s,ctrl_guest_offloads=off,"
			 "ctrl_rx_extra=off,ctrl_vlan=off,guest_announce=off",
			 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], mtu,
			 device->net.pairs > 1 ? ",mq=on" : "");
}

static char *qemu_netdev_options(const struct vm_device *device)
{
	return device->net.pairs > 1 ? xasprintf(",queues=%u", device->net.pairs) : xstrdup("");
}

static char *qemu_blk_options(const struct vm_device *device)
{
	return xasprintf(",num-queues=%u,config-wce=off", device->blk.queues);
}

/* In a QEMU option a comma is doubled. */
static char *qemu_fs_options(const struct vm_device *device)
{
	char escaped[2 * VM_FS_TAG_MAX + 1], *end = escaped;

	for (const char *tag = device->fs.tag; *tag; tag++) {
		if (*tag == ',')
			*end++ = ',';
		*end++ = *tag;
	}
	*end = '\0';
	return xasprintf(",tag=%s,queue-size=%d", escaped, VIRTQ_SIZE_MAX);
}

static bool net_link_is_up(struct virtio_device *device)
{
	uint16_t status;

	(void)pthread_mutex_lock(&device->lock);
	virtio_device_config_read(device, offsetof(struct virtio_net_config, status), &status,
				  sizeof(status));
	(void)pthread_mutex_unlock(&device->lock);
	return le16toh(status) & VIRTIO_NET_S_LINK_UP;
}

/* ---- system calls ---- */

static const struct seccomp_call blk_calls[] = {
	/* data, flush, discard, zeroes */
	{ SECCOMP_CALL(preadv, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(preadv2, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(pwritev, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(pwritev2, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(fdatasync, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(fallocate, SECCOMP_BY_BOTH) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, BLKDISCARD) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, BLKZEROOUT) },
	{ 0 },
};

static const struct seccomp_call vsock_calls[] = {
	/* connections of both sides: unix sockets only */
	{ SECCOMP_CALL(socket, SECCOMP_BY_LOOP), SECCOMP_IF_IS(0, AF_UNIX) },
	{ SECCOMP_CALL(connect, SECCOMP_BY_LOOP) },
	{ SECCOMP_CALL(accept4, SECCOMP_BY_LOOP) },
	{ SECCOMP_CALL(shutdown, SECCOMP_BY_LOOP) },
	/* a socket's path too long for its address goes through its directory */
	{ SECCOMP_CALL(openat, SECCOMP_BY_LOOP), SECCOMP_IF_MASKED(2, O_PATH, O_PATH) },
	/* the path we bound ourselves is removed at the end */
	{ SECCOMP_CALL(unlink, SECCOMP_BY_LOOP) },
	{ 0 },
};

static const struct seccomp_call net_calls[] = {
	/* what the tap leaves to a driver, from its start to its reset (by a vCPU); the
	 * frames need no calls that not every machine makes */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, TUNSETOFFLOAD) },
	/* whether the tap is still there */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, TUNGETIFF) },
	/* which of its queues take part: as the driver says, and one at its reset */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, TUNSETQUEUE) },
	/* /dev/vhost-net: the kernel's thread, memory and features at a driver's start, the
	 * queues at that, at a pause and at a reset.  None of them reaches more than the
	 * process has: its memory, its descriptors */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_OWNER) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_MEM_TABLE) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_FEATURES) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_NUM) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_BASE) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_GET_VRING_BASE) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_ADDR) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_CALL) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_ERR) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_SET_VRING_KICK) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_BOTH), SECCOMP_IF_IS(1, VHOST_NET_SET_BACKEND) },
	{ 0 },
};

static const struct seccomp_call mem_calls[] = {
	/* the first block makes the room a memory slot: of memory that this process has, for a
	 * guest whose memory it has anyway */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, KVM_SET_USER_MEMORY_REGION) },
	{ 0 },
};

/* One that is made when the process is jailed already. */
static const struct seccomp_call late_net_calls[] = {
	/* how a tap's frames begin, and what vhost-net can */
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, TUNSETVNETHDRSZ) },
	{ SECCOMP_CALL(ioctl, SECCOMP_BY_LOOP), SECCOMP_IF_IS(1, VHOST_GET_FEATURES) },
	{ 0 },
};

/* ---- the table ---- */

static const struct device_type types[] = {
	[VM_DEVICE_BLK] = {
		.create = new_blk,
		.calls = blk_calls,
		.qemu = { "vhost-user-blk", .options = qemu_blk_options },
	},
	[VM_DEVICE_VSOCK] = {
		.create = new_vsock,
		.calls = vsock_calls,
		.qemu = { .name = "vhost-user-vsock-device" },
	},
	[VM_DEVICE_RNG] = {
		.create = new_rng,
		.qemu = { "virtio-rng-device", .own = true },
	},
	[VM_DEVICE_CONSOLE] = {
		.create = new_console,
		.qemu = { "virtio-serial-device", .own = true },
	},
	[VM_DEVICE_FS] = {
		.prepare = shares_new,
		.release = shares_free,
		.create = share_new,
		.keeps_user = true,
		.calls = share_calls,
		.qemu = { "vhost-user-fs-device", .options = qemu_fs_options },
	},
	[VM_DEVICE_NET] = {
		.create = new_net,
		.calls = net_calls,
		.late_calls = late_net_calls,
		.set_link = net_set_link,
		.qemu = { "virtio-net-device", .netdev = "vhost-user", .link_is_up = net_link_is_up,
			  .options = qemu_net_options, .netdev_options = qemu_netdev_options },
	},
	/* (No emulated machine has one: qemu/qemu-engine.c.) */
	[VM_DEVICE_MEM] = {
		.create = new_mem,
		.calls = mem_calls,
		.last = true,
		.room = mem_room,
		.place = mem_device_place,
		.request = mem_device_request,
	},
};

_Static_assert(VM_NET_PAIRS_MAX == NET_PAIRS_MAX, "the document means what the device does");
_Static_assert(ARRAY_SIZE(types) == VM_DEVICE_TYPES, "every type has an entry");

const struct device_type *device_type(enum vm_device_type type)
{
	return &types[type];
}

bool device_find_room(const struct vm_config *config, size_t *ret_index, uint64_t *ret_size)
{
	for (size_t i = 0; i < config->n_devices; i++) {
		const struct device_type *type = &types[config->devices[i].type];

		if (!type->room)
			continue;
		*ret_index = i;
		*ret_size = type->room(&config->devices[i]);
		return true;
	}
	return false;
}

bool device_keeps_user(const struct vm_config *config)
{
	for (size_t i = 0; i < config->n_devices; i++)
		if (types[config->devices[i].type].keeps_user)
			return true;
	return false;
}

size_t device_calls(const struct vm_config *config,
		    const struct seccomp_call *ret_lists[DEVICE_CALLS_MAX])
{
	bool has[VM_DEVICE_TYPES] = { false };
	size_t n = 0;

	for (size_t i = 0; i < config->n_devices; i++)
		has[config->devices[i].type] = true;
	for (size_t type = 0; type < VM_DEVICE_TYPES; type++) {
		const bool may_come = config->pooled && types[type].late_calls;

		if ((has[type] || may_come) && types[type].calls)
			ret_lists[n++] = types[type].calls;
		if (may_come)
			ret_lists[n++] = types[type].late_calls;
	}
	return n;
}

/* ---- making them ---- */

struct device_maker {
	const struct vm_config *config;
	void *common[VM_DEVICE_TYPES];
};

int device_maker_new(const struct vm_config *config, struct device_maker **ret_maker,
		     struct error **ret_error)
{
	_cleanup_(device_maker_freep) struct device_maker *maker = xcalloc(1, sizeof(*maker));

	maker->config = config;
	for (size_t i = 0; i < config->n_devices; i++) {
		const enum vm_device_type type = config->devices[i].type;

		if (types[type].prepare && !maker->common[type] &&
		    types[type].prepare(config, &maker->common[type], ret_error) < 0)
			return -1;
	}
	*ret_maker = TAKE_PTR(maker);
	return 0;
}

void device_maker_free(struct device_maker *maker)
{
	if (!maker)
		return;
	for (size_t type = 0; type < VM_DEVICE_TYPES; type++)
		if (maker->common[type])
			types[type].release(maker->common[type]);
	free(maker);
}

int device_new(const struct device_maker *maker, const struct vm_device *device,
	       struct virtio_device **ret_device, struct error **ret_error)
{
	return types[device->type].create(device, maker->common[device->type], ret_device,
					  ret_error);
}
