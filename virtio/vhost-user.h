/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user transport: one device, served to one front-end (QEMU, which
 * emulates the CPU and shows the guest the device's registers) over a unix stream
 * socket.
 *
 * Protocol: QEMU docs/interop/vhost-user.rst; as the front-ends of QEMU 7.2 to 10
 * use it for blk, vsock, fs and net devices.  Offered are REPLY_ACK, MQ, CONFIG (but
 * not for fs and net: QEMU answers for that itself), BACKEND_REQ and RESET_DEVICE; not
 * STATUS (QEMU sets it to 0 for a pause as for a reset, see vhost-rings.c), memory
 * slots one by one (no memory is plugged here), logging and in-flight tracking
 * (no migration, no reconnection), polling instead of kicks.
 *
 * The front-end runs the guest and is trusted no further than the guest is: every
 * size, index, address, count and kind of descriptor is checked.  What breaks the
 * protocol ends the connection, what breaks the rules of virtio breaks the device
 * until its driver resets it; neither ends the process.  A driver cannot be
 * shown NEEDS_RESET through this protocol: the front-end is told by the rings'
 * error descriptors, and the log has the reason.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "virtio/device.h"

struct vhost_user;

/* The front-end hung up or broke the protocol; the device has been reset and does
 * nothing any more.  Once, on the loop's thread; vhost_user_free() may be called
 * from here. */
typedef void (*vhost_user_lost_fn)(void *data, const char *reason);

/* device and socket (connected; made non-blocking) become the transport's, on
 * failure too.  All work but that of the device's workers is done on loop's
 * thread. */
int vhost_user_new(struct virtio_device *device, int socket, struct loop *loop,
		   vhost_user_lost_fn lost, void *data, struct vhost_user **ret_transport,
		   struct error **ret_error);
/* What is to be done when the device has changed its configuration, on the loop's thread: for
 * front-ends that are not asked for it (net). */
typedef void (*vhost_user_changed_fn)(void *data);
void vhost_user_on_change(struct vhost_user *transport, vhost_user_changed_fn changed, void *data);
/* On the loop's thread, or after the loop. */
void vhost_user_free(struct vhost_user *transport);
DEFINE_CLEANUP(struct vhost_user, vhost_user_free)
