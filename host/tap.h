/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: the host's end of a machine's network device (linux: networking/tuntap). */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* What our taps are called, with a number behind it. */
#define TAP_PREFIX "sm"

/* A new tap in the caller's network namespace, with the virtio header's format (IFF_VNET_HDR),
 * down, without IPv6 addresses of its own; it goes with its last descriptor.  ret_fds, which are
 * not blocking: one for each of its n queues (IFF_MULTI_QUEUE where there are several).  Needs
 * CAP_NET_ADMIN there and /dev/net/tun. */
int tap_new(size_t n, int *ret_fds, int *ret_index, struct error **ret_error);

/* The kernel's vhost-net, which moves frames between a tap and a machine: one for each of its
 * queues. Needs the right to open the device. */
#define VHOST_NET_DEVICE "/dev/vhost-net"
int vhost_net_open(int *ret_fd, struct error **ret_error);
