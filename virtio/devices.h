/* The devices there are: one constructor each.  All return a device whose
 * free() the transport calls.  A descriptor that becomes the device's is closed
 * when its constructor fails. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/device.h"

/* virtio 1.2 §5.2.  The fd (regular file or block device) becomes the
 * device's.  id: at most 20 bytes, the serial number (T_GET_ID). */
struct blk_options {
	int fd;
	const char *id;
	bool readonly;
	unsigned queues; /* 1..VIRTIO_QUEUES_MAX */
};
int blk_new(const struct blk_options *options, struct virtio_device **ret_device,
	    struct error **ret_error);

/*
 * virtio 1.2 §5.10.  Host side: stream connections on the unix socket listen_fd
 * (becomes the device's and non-blocking; it is bound at path; -1: the device binds
 * it and removes it at its end) start with "CONNECT port\n" and
 * are answered "OK host_port\n", or closed where nobody listens; host_port is
 * the connection's port on the host's side (cid 2), as the guest sees it; who
 * connects before the guest's driver is there waits for it.  A
 * guest that connects to (2, port) reaches the unix socket "<path>_<port>".
 */
struct vsock_options {
	uint64_t guest_cid; /* 3..2^32-2 */
	const char *path;
	int listen_fd;
};
int vsock_new(const struct vsock_options *options, struct virtio_device **ret_device,
	      struct error **ret_error);
/* The machine is a copy of another: ends every connection here and tells the
 * guest to end them too (TRANSPORT_RESET, §5.10.6.7), at once or as soon as it
 * has a buffer for the event.  device: of vsock_new().  Loop's thread. */
void vsock_transport_reset(struct virtio_device *device);

/* virtio 1.2 §5.4, from getrandom(2). */
int rng_new(struct virtio_device **ret_device, struct error **ret_error);

/* virtio 1.2 §5.3, one port: the guest's output goes to output_fd (becomes the
 * device's), input comes from input_fd (-1: none; becomes the device's too).
 * Output is never waited for: 64 KiB are kept for a slow reader, the rest is
 * dropped.  SIGPIPE must be ignored. */
struct console_options {
	int output_fd;
	int input_fd;
};
int console_new(const struct console_options *options, struct virtio_device **ret_device,
		struct error **ret_error);
