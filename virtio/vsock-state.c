/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device in a saved machine: the guest keeps the connections that clients of the
 * host have made, and notices nothing.
 *
 *   saved      each connection, with what the guest sent and the unix socket has not taken, and
 *              what the socket holds and the guest has not got
 *   parked     so it is in the new device: it has no socket, gives the guest what came before,
 *              and keeps what the guest sends, for which the guest has credit
 *   taken up   a client says "RESUME host_port guest_port\n" (vsock-host.c)
 *
 * A connection that nobody takes up in time is reset, and so are at once those that the
 * guest itself has made: their other ends are services, which know one machine.
 *
 * What was saved must not reach the unix sockets of the old machine too: until resume(), nothing
 * moves there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/packed.h"
#include "virtio/vsock.h"

#define PARKED_TIMEOUT_MS 60000
/* More than a unix socket holds, unless somebody has raised net.core.wmem_default. */
#define UNREAD_MAX (1U << 20)

struct saved_device {
	uint64_t guest_cid;
	uint32_t n_conns, n_replies;
};

struct saved_conn {
	uint32_t state, host_port, guest_port;
	uint32_t owed, guest_shut, host_shut;
	uint32_t sent, peer_buf_alloc, peer_fwd_cnt;
	uint32_t received, written, written_told;
	uint32_t n_unwritten, n_unread; /* bytes that follow, in this order */
	uint8_t by_host, output_lost, credit_asked, reserved;
};

/* ---- saving ---- */

/* The guest knows nothing of the others. */
static bool is_saved(const struct conn *conn)
{
	return conn->state != CONN_GREETING &&
	       (conn->state != CONN_DRAINING || conn->unwritten.length > 0);
}

static bool is_read(const struct conn *conn)
{
	return conn->state == CONN_ESTABLISHED && conn->by_host &&
	       !(conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
	       !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* What the socket holds stays there, for the device that may go on. */
static int put_unread(const struct conn *conn, struct buffer *state, uint32_t *ret_size,
		      struct error **ret_error)
{
	const uint32_t left = conn->n_unread - conn->unread_at;
	struct iovec iov = { .iov_len = UNREAD_MAX };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = 0;

	*ret_size = 0;
	if (!is_read(conn))
		return 0;
	if (left > 0)
		buffer_append(state, conn->unread + conn->unread_at, left);
	iov.iov_base = buffer_reserve(state, UNREAD_MAX);
	if (conn->fd >= 0)
		n = recvmsg(conn->fd, &message, MSG_PEEK | MSG_DONTWAIT);
	n = n < 0 ? 0 : n;
	if ((size_t)n + left >= UNREAD_MAX)
		return error_set(ret_error, EFBIG,
				 "the guest has not read %u bytes of a stream: wait until it has",
				 UNREAD_MAX);
	buffer_commit(state, (size_t)n);
	*ret_size = left + (uint32_t)n;
	return 0;
}

static int save_conn(const struct conn *conn, struct buffer *state, struct error **ret_error)
{
	struct saved_conn saved = {
		.state = conn->state,
		.host_port = conn->host_port,
		.guest_port = conn->guest_port,
		.owed = conn->owed,
		.guest_shut = conn->guest_shut,
		.host_shut = conn->host_shut,
		.sent = conn->sent,
		.peer_buf_alloc = conn->peer_buf_alloc,
		.peer_fwd_cnt = conn->peer_fwd_cnt,
		.received = conn->received,
		.written = conn->written,
		.written_told = conn->written_told,
		.n_unwritten = conn->unwritten.length,
		.by_host = conn->by_host,
		.output_lost = conn->output_lost,
		.credit_asked = conn->credit_asked,
	};
	struct buffer unread = { 0 };
	struct iovec iov[2];
	unsigned n_iov = byte_ring_peek(&conn->unwritten, iov);

	if (put_unread(conn, &unread, &saved.n_unread, ret_error) < 0) {
		buffer_done(&unread);
		return -1;
	}
	buffer_append(state, &saved, sizeof(saved));
	for (unsigned i = 0; i < n_iov; i++)
		buffer_append(state, iov[i].iov_base, iov[i].iov_len);
	buffer_append(state, buffer_data(&unread), saved.n_unread);
	buffer_done(&unread);
	return 0;
}

int vsock_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	struct vsock *vsock = (struct vsock *)device;
	struct saved_device saved = { .guest_cid = vsock->guest_cid,
				      .n_replies = vsock->n_replies };

	for (const struct conn *conn = vsock->conns; conn; conn = conn->next)
		saved.n_conns += is_saved(conn);
	buffer_append(state, &saved, sizeof(saved));
	for (unsigned i = 0; i < vsock->n_replies; i++)
		buffer_append(state, &vsock->replies[(vsock->first_reply + i) % VSOCK_REPLIES_MAX],
			      sizeof(vsock->replies[0]));
	for (const struct conn *conn = vsock->conns; conn; conn = conn->next)
		if (is_saved(conn) && save_conn(conn, state, ret_error) < 0)
			return -1;
	vsock->saved = true;
	source_clear(&vsock->listen_source);
	return 0;
}

void vsock_resume(struct virtio_device *device)
{
	struct vsock *vsock = (struct vsock *)device;

	if (!vsock->saved)
		return;
	vsock->saved = false;
	for (struct conn *conn = vsock->conns; conn; conn = conn->next)
		conn_look_again(conn);
	vsock->parts->work(vsock);
	vsock_listen_update(vsock);
	vsock_start_timer(vsock);
}

/* ---- loading ---- */

static int cut_short(struct error **ret_error)
{
	return error_set(ret_error, EINVAL, "its state is cut short");
}

/* What the counters promise each other (vsock-conn.c). */
static bool is_sound(const struct vsock *vsock, const struct saved_conn *saved)
{
	if (saved->state < CONN_REQUESTED || saved->state > CONN_DRAINING)
		return false;
	if (saved->n_unwritten > VSOCK_BUF_ALLOC || saved->n_unread >= UNREAD_MAX)
		return false;
	if (saved->received - saved->written != saved->n_unwritten ||
	    saved->received - saved->written_told > VSOCK_BUF_ALLOC ||
	    saved->written - saved->written_told > VSOCK_BUF_ALLOC)
		return false;
	return saved->state == CONN_DRAINING ||
	       !conn_find(vsock, saved->host_port, saved->guest_port);
}

/* Its bytes; false: the state has fewer, or there is no memory. */
static bool fill_conn(struct conn *conn, const struct saved_conn *saved, struct packed *state)
{
	const uint8_t *unwritten = packed_view(state, saved->n_unwritten);
	const uint8_t *unread = packed_view(state, saved->n_unread);
	struct iovec iov[2];
	unsigned n;

	if (!unwritten || !unread)
		return false;
	n = byte_ring_append(&conn->unwritten, saved->n_unwritten, iov);
	if (n == 0 && saved->n_unwritten > 0)
		return false;
	for (unsigned i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, unwritten, iov[i].iov_len);
		unwritten += iov[i].iov_len;
	}
	if (saved->n_unread > 0)
		conn->unread = xmemdup(unread, saved->n_unread);
	conn->n_unread = saved->n_unread;
	conn->readable = saved->n_unread > 0;
	return true;
}

/* The guest's own, and what was still being made: the one end is gone. */
static void park(struct conn *conn, enum conn_state state)
{
	if (!conn->by_host) {
		conn->written = conn->received;
		byte_ring_done(&conn->unwritten);
	}
	if (state == CONN_DRAINING) {
		conn->owed = 0;
		conn_set_state(conn, CONN_DRAINING);
	} else {
		conn_bind(conn, conn->host_port, conn->guest_port);
	}
	if (state == CONN_RESETTING || state == CONN_REQUESTED ||
	    (state == CONN_ESTABLISHED && !conn->by_host))
		conn_reset(conn);
	conn_set_deadline(conn, PARKED_TIMEOUT_MS);
	conn_schedule(conn);
}

static int load_conn(struct vsock *vsock, struct packed *state, struct error **ret_error)
{
	struct saved_conn saved;
	struct conn *conn;

	if (!packed_take(state, &saved, sizeof(saved)))
		return cut_short(ret_error);
	if (!is_sound(vsock, &saved))
		return error_set(ret_error, EINVAL, "one of its connections is invalid");
	conn = conn_new(vsock, -1, CONN_ESTABLISHED);
	if (!conn)
		return error_set(ret_error, EINVAL, "it has too many connections");
	conn->host_port = saved.host_port;
	conn->guest_port = saved.guest_port;
	conn->owed = saved.owed & (OWED_SHUTDOWN | OWED_CREDIT_UPDATE | OWED_CREDIT_REQUEST);
	conn->guest_shut = saved.guest_shut & 3;
	conn->host_shut = saved.host_shut & 3;
	conn->sent = saved.sent;
	conn->peer_buf_alloc = saved.peer_buf_alloc;
	conn->peer_fwd_cnt = saved.peer_fwd_cnt;
	conn->received = saved.received;
	conn->written = saved.written;
	conn->written_told = saved.written_told;
	conn->by_host = saved.by_host;
	conn->output_lost = saved.output_lost;
	conn->credit_asked = saved.credit_asked;
	if (!fill_conn(conn, &saved, state)) {
		conn_kill(conn);
		return cut_short(ret_error);
	}
	park(conn, (enum conn_state)saved.state);
	return 0;
}

int vsock_load(struct virtio_device *device, struct packed *state, struct error **ret_error)
{
	struct vsock *vsock = (struct vsock *)device;
	struct saved_device saved;

	if (!packed_take(state, &saved, sizeof(saved)))
		return cut_short(ret_error);
	if (saved.guest_cid != vsock->guest_cid)
		return error_set(ret_error, EINVAL, "its cid was %llu, not %llu",
				 (unsigned long long)saved.guest_cid,
				 (unsigned long long)vsock->guest_cid);
	if (saved.n_replies > VSOCK_REPLIES_MAX || saved.n_conns > VSOCK_CONNS_MAX)
		return error_set(ret_error, EINVAL, "it has too many connections");
	for (; vsock->n_replies < saved.n_replies; vsock->n_replies++)
		if (!packed_take(state, &vsock->replies[vsock->n_replies],
				 sizeof(vsock->replies[0])))
			return cut_short(ret_error);
	for (uint32_t i = 0; i < saved.n_conns; i++)
		if (load_conn(vsock, state, ret_error) < 0)
			return -1;
	return 0;
}
