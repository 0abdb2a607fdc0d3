/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device: virtio 1.2 §5.10.  Its queues and packets; connections are
 * in vsock-conn.c, whose states and ends are told there.
 *
 * The tx queue is read to its end whatever the rx queue does, because what a
 * packet makes us owe the guest is kept as a few bits in its connection, and
 * RSTs for packets without a connection in a small table; only when that is
 * full does tx wait for rx (§5.10.6.1).  The rx queue is filled from those
 * connections that have something to send, one packet each in turn.
 */
#include "virtio/vsock.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/random.h"

/* The event queue has nothing to tell (§5.10.6.7): a machine that goes on from a state has its
 * connections (vsock-state.c). */
enum { RX_QUEUE, TX_QUEUE, EVENT_QUEUE, N_QUEUES };

/* ---- rx: to the guest ---- */

static uint32_t fill_reply(struct vsock *vsock, const struct chain *chain)
{
	const struct virtio_vsock_hdr *reply = &vsock->replies[vsock->first_reply];

	(void)chain_write(chain, 0, reply, sizeof(*reply));
	vsock->first_reply = (vsock->first_reply + 1) % VSOCK_REPLIES_MAX;
	vsock->n_replies--;
	return VSOCK_HEADER_SIZE;
}

/* A packet of the connection whose turn it is; 0: it had none. */
static uint32_t fill_from_ready(struct vsock *vsock, const struct chain *chain)
{
	struct conn *conn = vsock->ready;
	uint32_t size;

	vsock->ready = conn->next_ready;
	if (!vsock->ready)
		vsock->last_ready = &vsock->ready;
	conn->next_ready = NULL;
	conn->is_ready = false;
	size = conn_fill_packet(conn, chain);
	if (conn->state != CONN_DEAD)
		conn_schedule(conn);
	return size;
}

/* One rx buffer: 1, or 0 when there is none or nothing to put into one. */
static int send_one(struct vsock *vsock, struct error **ret_error)
{
	struct virtq *vq = &vsock->device.queues[RX_QUEUE];
	struct chain *chain = &vsock->rx_chain;
	uint32_t size = 0;
	int r;

	if (vsock->n_replies == 0 && !vsock->ready)
		return 0;
	r = virtq_pop(vq, chain, ret_error);
	if (r <= 0)
		return r;
	if (chain->n_out > 0 || chain->in_size <= VSOCK_HEADER_SIZE)
		return error_set(ret_error, EPROTO,
				 "receive buffer of %u bytes (%u readable) holds no packet",
				 chain->in_size, chain->out_size);
	while (size == 0 && (vsock->n_replies > 0 || vsock->ready))
		size =
		    vsock->n_replies > 0 ? fill_reply(vsock, chain) : fill_from_ready(vsock, chain);
	if (size == 0) {
		virtq_unpop(vq, 1);
		return 0;
	}
	virtq_push(vq, chain->head, size);
	return 1;
}

static int send_packets(struct vsock *vsock, struct error **ret_error)
{
	struct virtq *vq = &vsock->device.queues[RX_QUEUE];
	unsigned left = vq->size;
	int r = 0;

	virtq_disable_kicks(vq);
	do {
		while (left > 0 && (r = send_one(vsock, ret_error)) > 0)
			left--;
		/* Kicks are wanted only while something waits for a buffer. */
	} while (r == 0 && (vsock->n_replies > 0 || vsock->ready) && virtq_enable_kicks(vq));
	if (r > 0)
		virtio_device_kick_again(&vsock->device, RX_QUEUE);
	if (virtq_should_notify(vq))
		vsock->device.interrupt(&vsock->device, RX_QUEUE);
	return r;
}

static void unstall_tx(struct vsock *vsock)
{
	if (!vsock->tx_stalled || vsock->n_replies == VSOCK_REPLIES_MAX)
		return;
	vsock->tx_stalled = false;
	virtio_device_kick_again(&vsock->device, TX_QUEUE);
}

static void forget_all(struct vsock *vsock)
{
	while (vsock->conns)
		conn_kill(vsock->conns);
	vsock->n_replies = 0;
	vsock->tx_stalled = false;
}

static void vsock_work(struct vsock *vsock)
{
	_cleanup_error_ struct error *error = NULL;

	if (vsock->device.active && !atomic_load(&vsock->device.broken)) {
		if (send_packets(vsock, &error) < 0)
			virtio_device_fault(&vsock->device, error);
		unstall_tx(vsock);
	}
	/* With a broken guest nobody need wait for an answer. */
	if (atomic_load(&vsock->device.broken))
		forget_all(vsock);
	vsock_reap(vsock);
}

void vsock_reap(struct vsock *vsock)
{
	while (vsock->dead) {
		struct conn *conn = vsock->dead;

		vsock->dead = conn->next;
		conn_free(conn);
	}
}

/* ---- tx: from the guest ---- */

/* RST for a packet that belongs to no connection: addresses swapped, and never
 * one for an RST. */
static void reply_reset(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	struct virtio_vsock_hdr *reply;

	if (le16toh(header->op) == VIRTIO_VSOCK_OP_RST)
		return;
	reply = &vsock->replies[(vsock->first_reply + vsock->n_replies) % VSOCK_REPLIES_MAX];
	vsock_fill_header(vsock, VIRTIO_VSOCK_OP_RST, le32toh(header->dst_port),
			  le32toh(header->src_port), reply);
	reply->src_cid = header->dst_cid;
	reply->type = header->type;
	vsock->n_replies++;
}

/* The guest connects: <path>_<port>, where somebody listens or nobody does. */
static void accept_request(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	_cleanup_free_ char *path = xasprintf("%s_%u", vsock->path, le32toh(header->dst_port));
	_cleanup_error_ struct error *error = NULL;
	struct conn *conn = NULL;
	int fd = unix_connect_nonblocking(path, &error);

	if (fd < 0)
		log_debug("vsock: guest port %u: %s", le32toh(header->src_port), error->message);
	else
		conn = conn_new_of_guest(vsock, fd);
	if (!conn) {
		reply_reset(vsock, header);
		return;
	}
	conn_bind(conn, le32toh(header->dst_port), le32toh(header->src_port));
	conn->owed |= OWED_RESPONSE;
	conn->peer_buf_alloc = le32toh(header->buf_alloc);
	conn->peer_fwd_cnt = le32toh(header->fwd_cnt);
	conn_schedule(conn);
}

static void handle_packet(struct vsock *vsock, const struct virtio_vsock_hdr *header,
			  const struct chain *chain)
{
	uint16_t op = le16toh(header->op);
	struct conn *conn;

	/* Its cid may have changed with a packet under way: no fault. */
	if (le64toh(header->src_cid) != vsock->guest_cid)
		return;
	if (le64toh(header->dst_cid) != VSOCK_CID_HOST ||
	    le16toh(header->type) != VIRTIO_VSOCK_TYPE_STREAM) {
		reply_reset(vsock, header);
		return;
	}
	conn = conn_find(vsock, le32toh(header->dst_port), le32toh(header->src_port));
	if (conn)
		conn_packet(conn, header, chain);
	else if (op == VIRTIO_VSOCK_OP_REQUEST)
		accept_request(vsock, header);
	else
		reply_reset(vsock, header);
}

static enum serve_result receive_packet(struct virtio_device *device, struct chain *chain,
					uint32_t *ret_written, struct error **ret_error)
{
	struct vsock *vsock = (struct vsock *)device;
	struct virtio_vsock_hdr header;

	(void)ret_written;
	if (vsock->n_replies == VSOCK_REPLIES_MAX) {
		vsock->tx_stalled = true;
		return SERVE_LATER;
	}
	if (!chain_read(chain, 0, &header, sizeof(header)))
		return error_set(ret_error, EPROTO, "packet of %u bytes", chain->out_size);
	if (le32toh(header.len) > chain->out_size - VSOCK_HEADER_SIZE)
		return error_set(ret_error, EPROTO, "packet of %u bytes says its payload is %u",
				 chain->out_size, le32toh(header.len));
	handle_packet(vsock, &header, chain);
	return SERVE_DONE;
}

/* ---- the device ---- */

static int vsock_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct vsock *vsock = (struct vsock *)device;
	int r = 0;

	if (queue == TX_QUEUE)
		r = virtio_device_serve(device, queue, &vsock->tx_chain, receive_packet, ret_error);
	if (r < 0)
		forget_all(vsock);
	vsock_work(vsock);
	return r;
}

static void vsock_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			      uint32_t size)
{
	struct virtio_vsock_config config = {
		.guest_cid = htole64(((struct vsock *)device)->guest_cid),
	};

	memcpy(ret_bytes, (char *)&config + offset, size);
}

/* Any thread: descriptors and sources are left to the loop. */
static void vsock_reset(struct virtio_device *device)
{
	forget_all((struct vsock *)device);
}

static void vsock_sync(struct virtio_device *device)
{
	struct vsock *vsock = (struct vsock *)device;

	vsock_reap(vsock);
	vsock_listen_update(vsock);
}

static void vsock_free(struct virtio_device *device)
{
	struct vsock *vsock = (struct vsock *)device;

	forget_all(vsock);
	vsock_reap(vsock);
	source_remove(vsock->listen_source);
	source_remove(vsock->timer);
	close_fdp(&vsock->listen_fd);
	if (vsock->bound)
		(void)unlink(vsock->path);
	free(vsock->path);
	virtio_device_done(device);
	free(vsock);
}

static const struct virtio_device_ops vsock_ops = {
	.config_read = vsock_config_read,
	.kick = vsock_kick,
	.reset = vsock_reset,
	.sync = vsock_sync,
	.save = vsock_save,
	.load = vsock_load,
	.resume = vsock_resume,
	.free = vsock_free,
};

static int set_up_socket(struct vsock *vsock, struct error **ret_error)
{
	/* §5.10.4: reserved cids. */
	if (vsock->guest_cid <= VSOCK_CID_HOST || vsock->guest_cid >= 0xffffffffU)
		return error_set(ret_error, EINVAL, "vsock cid %llu is reserved",
				 (unsigned long long)vsock->guest_cid);
	if (vsock->listen_fd < 0) {
		vsock->listen_fd = unix_listen(vsock->path, 0600, ret_error);
		if (vsock->listen_fd < 0)
			return -1;
		vsock->bound = true;
	}
	if (set_nonblocking(vsock->listen_fd, true) < 0)
		return error_set_errno(ret_error, errno, "vsock socket %s", vsock->path);
	return 0;
}

static const struct vsock_parts vsock_parts = {
	.work = vsock_work,
	.tick = vsock_tick,
	.greet = conn_greet,
	.welcome = conn_welcome,
};

int vsock_new(const struct vsock_options *options, struct virtio_device **ret_device,
	      struct error **ret_error)
{
	struct vsock *vsock = xcalloc(1, sizeof(*vsock));
	uint64_t secrets[2];

	vsock->parts = &vsock_parts;
	vsock->device.ops = &vsock_ops;
	vsock->device.name = "vsock";
	vsock->device.type = VIRTIO_ID_VSOCK;
	vsock->device.n_queues = N_QUEUES;
	vsock->device.queue_size_max = VSOCK_QUEUE_SIZE;
	vsock->device.config_size = sizeof(struct virtio_vsock_config);
	virtio_device_init(&vsock->device);
	vsock->guest_cid = options->guest_cid;
	vsock->path = xstrdup(options->path);
	vsock->listen_fd = options->listen_fd;
	vsock->last_ready = &vsock->ready;
	if (set_up_socket(vsock, ret_error) < 0) {
		vsock_free(&vsock->device);
		return -1;
	}
	(void)random_bytes(secrets, sizeof(secrets), NULL);
	vsock->hash_multiplier = secrets[0] | 1;
	vsock->next_host_port = (uint32_t)secrets[1];
	*ret_device = &vsock->device;
	return 0;
}
