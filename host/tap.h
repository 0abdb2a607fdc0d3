/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: the host's end of a machine's network device (linux: networking/tuntap). */
#pragma once

#include "base/error.h"

/* What our taps are called, with a number behind it. */
#define TAP_PREFIX "sm"

/* A new tap in the caller's network namespace, with the virtio header's format (IFF_VNET_HDR),
 * down, without IPv6 addresses of its own; it goes with its last descriptor.  *ret_fd is not
 * blocking.  Needs CAP_NET_ADMIN there and /dev/net/tun. */
int tap_new(int *ret_fd, int *ret_index, struct error **ret_error);

/* The kernel's vhost-net, which moves frames between a tap and a machine: one for each tap.
 * Needs the right to open the device. */
#define VHOST_NET_DEVICE "/dev/vhost-net"
int vhost_net_open(int *ret_fd, struct error **ret_error);
