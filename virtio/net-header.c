/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of frames: see net-header.h. */
#include "virtio/net-header.h"

#include <endian.h>
#include <stddef.h>

#include "virtio/net-link.h"

#define BIT(feature) (1ULL << VIRTIO_NET_F_##feature)

static bool agreed(uint64_t features, uint64_t feature)
{
	return features & feature;
}

/* What may be left to do to a frame in one direction. */
struct offload_rules {
	uint64_t csum, tso4, tso6, uso, ecn;
	uint8_t flags; /* that mean something */
};

static const struct offload_rules transmit_rules = {
	BIT(CSUM),     BIT(HOST_TSO4), BIT(HOST_TSO6),
	BIT(HOST_USO), BIT(HOST_ECN),  VIRTIO_NET_HDR_F_NEEDS_CSUM,
};
static const struct offload_rules receive_rules = {
	BIT(GUEST_CSUM), BIT(GUEST_TSO4),
	BIT(GUEST_TSO6), BIT(GUEST_USO4) | BIT(GUEST_USO6),
	BIT(GUEST_ECN),	 VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID,
};

static const char *check_segmentation(uint64_t features, const struct offload_rules *rules,
				      const struct virtio_net_hdr_v1 *header, uint32_t size)
{
	const uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	const uint64_t needed = type == VIRTIO_NET_HDR_GSO_TCPV4    ? rules->tso4
				: type == VIRTIO_NET_HDR_GSO_TCPV6  ? rules->tso6
				: type == VIRTIO_NET_HDR_GSO_UDP_L4 ? rules->uso
								    : 0;

	if (!agreed(features, needed) ||
	    (type != header->gso_type && !agreed(features, rules->ecn)))
		return "segmentation that was not negotiated";
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return "segmentation without a checksum";
	if (header->gso_size == 0)
		return "segments of 0 bytes";
	if (le16toh(header->hdr_len) > size)
		return "headers longer than the frame";
	return NULL;
}

const char *net_header_clean(uint64_t features, bool to_driver, struct virtio_net_hdr_v1 *header,
			     uint32_t size)
{
	const struct offload_rules *rules = to_driver ? &receive_rules : &transmit_rules;
	uint32_t end =
	    0U + le16toh(header->csum_start) + le16toh(header->csum_offset) + sizeof(uint16_t);

	header->flags &= rules->flags;
	header->num_buffers = 0;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!agreed(features, rules->csum))
			return "a checksum to fill in, which was not negotiated";
		if (end > size)
			return "a checksum behind the frame's end";
	} else {
		header->csum_start = header->csum_offset = 0;
	}
	if (!agreed(features, rules->csum))
		header->flags = 0;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return check_segmentation(features, rules, header, size);
	header->gso_size = header->hdr_len = 0;
	return NULL;
}
