# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += virtio/libvirtio.a
virtio_libvirtio_a_SOURCES = \
	virtio/blk.c \
	virtio/byte-ring.c virtio/byte-ring.h \
	virtio/console.c \
	virtio/device.c virtio/device.h \
	virtio/devices.h \
	virtio/disk.c virtio/disk.h \
	virtio/fs.c \
	virtio/mem.c \
	virtio/memory.c virtio/memory.h \
	virtio/mmio.c virtio/mmio.h \
	virtio/net.c virtio/net-control.c virtio/net-device.h \
	virtio/net-header.c virtio/net-header.h virtio/net-link.c virtio/net-link.h \
	virtio/net-pair.c virtio/net-receive.c virtio/net-transmit.c \
	virtio/net-vhost.c virtio/net-vhost.h \
	virtio/lanes.c virtio/lanes.h \
	virtio/pool.c virtio/pool.h \
	virtio/queue.c virtio/queue.h \
	virtio/rng.c \
	virtio/transport.c virtio/transport.h \
	virtio/vhost-ram.c virtio/vhost-ram.h \
	virtio/vhost-rings.c virtio/vhost-rings.h \
	virtio/vhost-user.c virtio/vhost-user.h \
	virtio/vhost-wire.c virtio/vhost-wire.h \
	virtio/vsock.c virtio/vsock-conn.c virtio/vsock-host.c virtio/vsock-state.c virtio/vsock.h \
	virtio/worker.c virtio/worker.h
