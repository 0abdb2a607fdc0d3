/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue (virtio 1.2 §5.1.6.5).  It has nothing to control but how many pairs of queues
 * are on, and the address that the driver says it has: every frame is the guest's, for the link has
 * no other end there; and that the driver has confirmed an announcement.  (Behind vhost-user the
 * front-end has a control queue and a configuration space itself, and this one's are not used.)
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtio/net-device.h"

/* It has said, or is about to say, where it is now. */
static bool confirm_announcement(struct net *net, uint8_t command, uint32_t size)
{
	const uint16_t bit = htole16(VIRTIO_NET_S_ANNOUNCE);

	if (!net_negotiated(net, NET_BIT(GUEST_ANNOUNCE)) ||
	    command != VIRTIO_NET_CTRL_ANNOUNCE_ACK || size != 0 || !(net->config.status & bit))
		return false;
	net->config.status &= (uint16_t)~bit;
	return true;
}

static bool set_mac(struct net *net, const struct chain *chain, uint32_t size)
{
	uint8_t mac[ETH_ALEN];

	if (!net_negotiated(net, NET_BIT(CTRL_MAC_ADDR)) || size != sizeof(mac) ||
	    !chain_read(chain, sizeof(struct virtio_net_ctrl_hdr), mac, sizeof(mac)) || mac[0] & 1)
		return false;
	memcpy(net->config.mac, mac, sizeof(mac));
	return true;
}

/* Two tables, unicast and multicast, each behind its number of entries; nothing is filtered,
 * so that only their shape is looked at. */
static bool check_mac_tables(const struct net *net, const struct chain *chain, uint32_t size)
{
	const uint64_t end = sizeof(struct virtio_net_ctrl_hdr) + (uint64_t)size;
	uint64_t at = sizeof(struct virtio_net_ctrl_hdr);

	if (!net_negotiated(net, NET_BIT(CTRL_RX)))
		return false;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t entries;

		if (at + sizeof(entries) > end ||
		    !chain_read(chain, (uint32_t)at, &entries, sizeof(entries)))
			return false;
		at += sizeof(entries) + (uint64_t)ETH_ALEN * le32toh(entries);
	}
	return at == end;
}

static bool check_receive_mode(const struct net *net, const struct chain *chain, uint8_t command,
			       uint32_t size)
{
	uint8_t on;

	/* The further modes are those of CTRL_RX_EXTRA, which is not offered. */
	return net_negotiated(net, NET_BIT(CTRL_RX)) && command <= VIRTIO_NET_CTRL_RX_ALLMULTI &&
	       size == sizeof(on) &&
	       chain_read(chain, sizeof(struct virtio_net_ctrl_hdr), &on, sizeof(on)) && on <= 1;
}

/* For the frames of a driver's other processors.  One pair has to be left: §5.1.6.5.5.1. */
static bool set_pairs(struct net *net, const struct chain *chain, uint8_t command, uint32_t size)
{
	_cleanup_error_ struct error *error = NULL;
	struct virtio_net_ctrl_mq wanted;
	const unsigned before = net->n_on;
	unsigned n;

	if (!net_negotiated(net, NET_BIT(MQ)) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    size != sizeof(wanted) ||
	    !chain_read(chain, sizeof(struct virtio_net_ctrl_hdr), &wanted, sizeof(wanted)))
		return false;
	n = le16toh(wanted.virtqueue_pairs);
	if (n < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || n > net->n_pairs)
		return false;
	if (net_set_pairs(net, n, &error) < 0) {
		log_warning("net: %u pairs of queues: %s", n, error->message);
		return false;
	}
	for (unsigned i = before; i < n; i++)
		net_pair_start(&net->pairs[i]);
	for (unsigned i = 0; i < net->n_pairs; i++)
		net_watch_link(&net->pairs[i]);
	return true;
}

static bool execute(struct net *net, const struct chain *chain)
{
	struct virtio_net_ctrl_hdr header;
	uint32_t size;

	if (!chain_read(chain, 0, &header, sizeof(header)))
		return false;
	size = chain->out_size - (uint32_t)sizeof(header);
	if (header.class == VIRTIO_NET_CTRL_RX)
		return check_receive_mode(net, chain, header.cmd, size);
	if (header.class == VIRTIO_NET_CTRL_MAC && header.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return check_mac_tables(net, chain, size);
	if (header.class == VIRTIO_NET_CTRL_MAC && header.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET)
		return set_mac(net, chain, size);
	if (header.class == VIRTIO_NET_CTRL_MQ)
		return set_pairs(net, chain, header.cmd, size);
	if (header.class == VIRTIO_NET_CTRL_ANNOUNCE)
		return confirm_announcement(net, header.cmd, size);
	return false;
}

static enum serve_result control(struct virtio_device *device, struct chain *chain,
				 uint32_t *ret_written, struct error **ret_error)
{
	struct net *net = (struct net *)device;
	virtio_net_ctrl_ack ack;

	if (chain->in_size < sizeof(ack))
		return error_set(ret_error, EPROTO, "command without room for its answer");
	ack = execute(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	(void)chain_write(chain, 0, &ack, sizeof(ack));
	*ret_written = sizeof(ack);
	return SERVE_DONE;
}

int net_control(struct net *net, struct error **ret_error)
{
	return virtio_device_serve(&net->device, net_control_queue(net), &net->chain, control,
				   ret_error);
}
