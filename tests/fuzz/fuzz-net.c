/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest sends and commands, and what a stream's peer sends, straight into the network
 * device's handlers (that is why the .c is included).  Against a model for what goes out: the
 * tap gets no header that asks for what was not negotiated or lies outside the frame; a
 * stream's frames keep their framing.
 *
 * Input: flags (bit 0 a stream, else a tap; bits 1 to 7 features, one bit for the newer ones), then
 * steps: a kind, and for a chain the number of out and in buffers (a nibble each), a 16-bit length
 * for each, then the out buffers' bytes; for the peer a 16-bit length and bytes.  The device has a
 * second pair of queues, without a link, for commands to turn on.
 */
#include "base/alloc.h"
#include "base/checked.h"
#include "tests/fuzz/input.h"
#include "virtio/net-control.c"
#include "virtio/net-transmit.c"

#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_MAX 70000U
#define NET_QUEUES 5 /* two pairs, and the one for commands */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
	struct net *net;
	int peer;
	uint8_t got[4 + 2 * NET_FRAME_MAX];
	size_t n_got; /* of a stream */
};

static unsigned take16(struct input *input)
{
	unsigned low = take(input);

	return low | (unsigned)take(input) << 8;
}

static uint32_t take_bytes(struct input *input, uint8_t *bytes, uint32_t length)
{
	uint32_t n = (uint32_t)MIN((size_t)length, input->left);

	memcpy(bytes, input->at, n);
	input->at += n;
	input->left -= n;
	return n;
}

/* Each buffer is allocated apart, so that one byte too far is seen. */
static void make_chain(struct input *input, struct chain *chain)
{
	uint8_t counts = take(input);

	chain->n_out = counts & 7;
	chain->n_in = counts >> 4 & 7;
	chain->out_size = chain->in_size = 0;
	for (unsigned i = 0; i < chain->n_out + chain->n_in; i++) {
		uint32_t length = 1 + take16(input) % LENGTH_MAX;
		uint8_t *bytes = xcalloc(1, length);

		if (i < chain->n_out) {
			(void)take_bytes(input, bytes, length);
			chain->out_size += length;
		} else {
			chain->in_size += length;
		}
		chain->iov[i] = (struct iovec){ .iov_base = bytes, .iov_len = length };
	}
}

static void check_tap(struct rig *rig)
{
	const struct net *net = rig->net;
	struct virtio_net_hdr_v1 header;
	ssize_t n;

	while ((n = recv(rig->peer, rig->got, sizeof(rig->got), MSG_DONTWAIT)) > 0) {
		size_t size = (size_t)n - sizeof(header);

		memcpy(&header, rig->got, sizeof(header));
		check(size >= NET_FRAME_MIN && size <= NET_FRAME_MAX);
		check((header.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0);
		if (header.flags)
			check(net_negotiated(net, NET_BIT(CSUM)) &&
			      (size_t)header.csum_start + header.csum_offset + 2 <= size);
		if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
			check(header.flags && header.gso_size > 0 && header.hdr_len <= size &&
			      net_negotiated(net, NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) |
						      NET_BIT(HOST_USO)));
		if (header.gso_type & VIRTIO_NET_HDR_GSO_ECN)
			check(net_negotiated(net, NET_BIT(HOST_ECN)));
	}
}

static void check_stream(struct rig *rig)
{
	ssize_t n;

	while ((n = recv(rig->peer, rig->got + rig->n_got, sizeof(rig->got) - rig->n_got,
			 MSG_DONTWAIT)) > 0) {
		size_t at = 0;

		rig->n_got += (size_t)n;
		while (rig->n_got - at >= sizeof(uint32_t)) {
			uint32_t length;

			memcpy(&length, rig->got + at, sizeof(length));
			length = be32toh(length);
			check(length >= NET_FRAME_MIN && length <= NET_FRAME_MAX);
			if (rig->n_got - at - sizeof(length) < length)
				break;
			at += sizeof(length) + length;
		}
		memmove(rig->got, rig->got + at, rig->n_got - at);
		rig->n_got -= at;
	}
}

static void one_chain(struct rig *rig, struct input *input, virtio_serve_fn serve)
{
	struct chain *chain = &rig->net->chain;
	struct error *error = NULL;
	uint32_t written = 0;
	int r;

	make_chain(input, chain);
	r = serve(&rig->net->device, chain, &written, &error);
	check((r < 0) == (error != NULL) && written <= chain->in_size);
	error_free(error);
	for (unsigned i = 0; i < rig->net->n_pairs; i++)
		check(rig->net->pairs[i].on == (i < rig->net->n_on));
	check(rig->net->n_on == 1 || net_negotiated(rig->net, NET_BIT(MQ)));
	for (unsigned i = 0; i < chain->n_out + chain->n_in; i++)
		free(chain->iov[i].iov_base);
}

/* What a stream's peer sends, and a tap never does. */
static void one_read(struct rig *rig, struct input *input)
{
	uint8_t bytes[4096];
	uint32_t n = take_bytes(input, bytes, take16(input) % sizeof(bytes));
	struct net_link *link = &rig->net->pairs[0].link;
	struct net_frame frame;
	struct error *error = NULL;

	if (link->backend != NET_STREAM)
		return;
	(void)!send(rig->peer, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (net_link_peek(link, &frame, &error) == NET_DONE) {
		check(frame.size >= NET_FRAME_MIN && frame.size <= NET_FRAME_MAX);
		check(frame.bytes >= link->in &&
		      frame.bytes + frame.size <= link->in + link->in_end);
		net_link_consume(link, &frame);
	}
	if (error)
		net_lose_link(rig->net, error);
	error_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtq queues[NET_QUEUES];
	static struct rig rig;
	struct input input = { data, size };
	uint8_t flags = take(&input);
	const struct net_options options = {
		.fd = -1, .vhost_fd = -1, .n_more = 1, .more_fds = { -1 }, .more_vhost_fds = { -1 }
	};
	struct virtio_device *device = NULL;
	struct loop *loop;
	int pair[2];

	log_set_level(LOG_LEVEL_ERROR);
	check(socketpair(AF_UNIX, (flags & 1 ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0,
			 pair) == 0);
	check(loop_new(&loop, NULL) == 0 && net_new(&options, &device, NULL) == 0);
	rig = (struct rig){ .net = (struct net *)device, .peer = pair[1] };
	rig.net->pairs[0].link.fd = pair[0];
	rig.net->transmitting = &rig.net->pairs[0];
	rig.net->pairs[0].link.backend = flags & 1 ? NET_STREAM : NET_TAP;
	device->loop = loop;
	/* Which no driver has made ready. */
	check(device->n_queues <= NET_QUEUES);
	device->queues = queues;
	device->driver_features =
	    (flags & 2 ? NET_BIT(CSUM) : 0) | (flags & 4 ? NET_BIT(HOST_TSO4) : 0) |
	    (flags & 8 ? NET_BIT(HOST_TSO6) : 0) | (flags & 16 ? NET_BIT(HOST_ECN) : 0) |
	    (flags & 32 ? NET_BIT(CTRL_RX) : 0) | (flags & 64 ? NET_BIT(CTRL_MAC_ADDR) : 0) |
	    (flags & 128 ? NET_BIT(HOST_USO) | NET_BIT(GUEST_ANNOUNCE) | NET_BIT(MQ) : 0);
	while (input.left > 0) {
		uint8_t kind = take(&input) % 3;

		if (kind == 2)
			one_read(&rig, &input);
		else
			one_chain(&rig, &input, kind == 0 ? transmit : control);
		if (flags & 1)
			check_stream(&rig);
		else
			check_tap(&rig);
	}
	device->ops->free(device);
	loop_free(loop);
	(void)close(rig.peer);
	return 0;
}
