/* SPDX-License-Identifier: Apache-2.0 */
/* The header in front of a frame (virtio 1.2 §5.1.6): what is left to do to it. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#define NET_HEADER_SIZE ((uint32_t)sizeof(struct virtio_net_hdr_v1))

/* Checks a header (§5.1.6.2) of a frame of that size, of which the driver has agreed to these
 * features, and clears what means nothing in it.  NULL, or what is wrong. */
const char *net_header_clean(uint64_t features, bool to_driver, struct virtio_net_hdr_v1 *header,
			     uint32_t size);
