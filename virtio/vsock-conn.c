/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the socket device: see vsock.h and virtio 1.2 §5.10.6.
 *
 * Guest to host: payload goes straight from guest memory to the unix socket;
 * what that does not take is kept in unwritten, which the credit we give bounds,
 * and written when it can.  A slow reader so uses up its own credit and nothing
 * else.  Host to guest: payload is read straight into the guest's buffer, never
 * more than the guest has room for, so the rest waits in the unix socket.
 *
 * The ends.  The guest's SHUTDOWN(SEND) becomes shutdown(SHUT_WR) behind its last
 * byte, SHUTDOWN(RCV) shutdown(SHUT_RD); both together are answered by RST at
 * once, as the guest waits for that with its ports, while its bytes are still
 * being written.  The end of the unix stream becomes SHUTDOWN(SEND) behind the
 * last byte, a unix peer that is gone SHUTDOWN of both, to which the guest
 * answers RST when it is done; if it does not, we send one.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "virtio/vsock.h"

#define TICK_MS 1000
#define CONN_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

#define SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)
#define CLOSE_TIMEOUT_MS 10000

static const struct {
	const char *name;
	unsigned next; /* bits: states that may follow */
} conn_states[] = {
	[CONN_GREETING] = { "greeting", 1 << CONN_REQUESTED | 1 << CONN_DEAD },
	[CONN_REQUESTED] = { "requested",
			     1 << CONN_ESTABLISHED | 1 << CONN_RESETTING | 1 << CONN_DEAD },
	[CONN_ESTABLISHED] = { "established",
			       1 << CONN_RESETTING | 1 << CONN_DRAINING | 1 << CONN_DEAD },
	[CONN_RESETTING] = { "resetting", 1 << CONN_DRAINING | 1 << CONN_DEAD },
	[CONN_DRAINING] = { "draining", 1 << CONN_DEAD },
	[CONN_DEAD] = { "dead", 0 },
};

void conn_set_state(struct conn *conn, enum conn_state state)
{
	assert(conn_states[conn->state].next & 1U << state);
	log_debug("vsock: host %u guest %u: %s -> %s", conn->host_port, conn->guest_port,
		  conn_states[conn->state].name, conn_states[state].name);
	conn->state = state;
}

/* ---- the table ---- */

static unsigned bucket_of(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	uint64_t key = (uint64_t)host_port << 32 | guest_port;

	return (unsigned)((key * vsock->hash_multiplier) >> 32) % VSOCK_BUCKETS;
}

struct conn *conn_find(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	struct conn *conn = vsock->buckets[bucket_of(vsock, host_port, guest_port)];

	while (conn && (conn->host_port != host_port || conn->guest_port != guest_port))
		conn = conn->next_in_bucket;
	return conn;
}

struct conn *conn_find_parked(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	struct conn *conn = vsock->conns;

	while (conn && (conn->fd >= 0 || !conn->by_host || conn->host_port != host_port ||
			conn->guest_port != guest_port))
		conn = conn->next;
	return conn;
}

void conn_bind(struct conn *conn, uint32_t host_port, uint32_t guest_port)
{
	struct vsock *vsock = conn->vsock;
	struct conn **bucket = &vsock->buckets[bucket_of(vsock, host_port, guest_port)];

	conn->host_port = host_port;
	conn->guest_port = guest_port;
	conn->next_in_bucket = *bucket;
	*bucket = conn;
}

static void unbind(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;
	struct conn **at = &vsock->buckets[bucket_of(vsock, conn->host_port, conn->guest_port)];

	while (*at && *at != conn)
		at = &(*at)->next_in_bucket;
	if (*at)
		*at = conn->next_in_bucket;
	conn->next_in_bucket = NULL;
}

/* ---- the queue of those with something to send ---- */

static void leave_ready(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;
	struct conn **at = &vsock->ready;

	if (!conn->is_ready)
		return;
	while (*at != conn)
		at = &(*at)->next_ready;
	*at = conn->next_ready;
	if (vsock->last_ready == &conn->next_ready)
		vsock->last_ready = at;
	conn->next_ready = NULL;
	conn->is_ready = false;
}

static bool has_packet(const struct conn *conn);

void conn_schedule(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;

	if (conn->is_ready || !has_packet(conn))
		return;
	conn->is_ready = true;
	conn->next_ready = NULL;
	*vsock->last_ready = conn;
	vsock->last_ready = &conn->next_ready;
}

/* ---- life ---- */

static void on_event(void *data, uint32_t events);

static int watch(struct conn *conn)
{
	return loop_add_io(conn->vsock->device.loop, conn->fd, CONN_EVENTS, "vsock-conn", on_event,
			   conn, &conn->source, NULL);
}

struct conn *conn_new(struct vsock *vsock, int fd, enum conn_state state)
{
	struct conn *conn;

	if (vsock->n_conns == VSOCK_CONNS_MAX) {
		close_fdp(&fd);
		return NULL;
	}
	conn = xcalloc(1, sizeof(*conn));
	conn->vsock = vsock;
	conn->state = state;
	conn->fd = fd;
	conn->unwritten.capacity = VSOCK_BUF_ALLOC;
	if (fd >= 0 && watch(conn) < 0) {
		(void)close(fd);
		free(conn);
		return NULL;
	}
	conn->next = vsock->conns;
	if (conn->next)
		conn->next->previous = conn;
	vsock->conns = conn;
	vsock->n_conns++;
	return conn;
}

struct conn *conn_new_of_guest(struct vsock *vsock, int fd)
{
	struct conn *conn;

	if (vsock->n_guest_conns == VSOCK_GUEST_CONNS_MAX) {
		close_fdp(&fd);
		return NULL;
	}
	conn = conn_new(vsock, fd, CONN_ESTABLISHED);
	if (conn) {
		conn->by_guest = true;
		vsock->n_guest_conns++;
	}
	return conn;
}

void conn_kill(struct conn *conn)
{
	struct vsock *vsock = conn->vsock;

	conn_set_state(conn, CONN_DEAD);
	unbind(conn);
	leave_ready(conn);
	byte_ring_done(&conn->unwritten);
	if (conn->previous)
		conn->previous->next = conn->next;
	else
		vsock->conns = conn->next;
	if (conn->next)
		conn->next->previous = conn->previous;
	conn->previous = NULL;
	conn->next = vsock->dead;
	vsock->dead = conn;
}

/* Closes with an end of stream: a unix socket closed while it holds unread
 * bytes gives its peer ECONNRESET instead, in place of the end that follows the
 * last byte we wrote. */
static void close_quietly(int fd)
{
	char bytes[4096];

	(void)shutdown(fd, SHUT_RDWR);
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	(void)close(fd);
}

void conn_free(struct conn *conn)
{
	source_remove(conn->source);
	if (conn->fd >= 0)
		close_quietly(conn->fd);
	free(conn->unread);
	conn->vsock->n_conns--;
	conn->vsock->n_guest_conns -= conn->by_guest;
	free(conn);
}

void vsock_start_timer(struct vsock *vsock)
{
	if (!vsock->timer)
		vsock->timer = loop_add_timer(vsock->device.loop, TICK_MS, "vsock-tick",
					      vsock->parts->tick, vsock);
}

void conn_set_deadline(struct conn *conn, unsigned delay_ms)
{
	/* (The next tick may be about to come.) */
	conn->ticks_left = delay_ms / TICK_MS + 1;
	vsock_start_timer(conn->vsock);
}

/* Over for the guest, which knows it. */
static void finish(struct conn *conn)
{
	if (conn->unwritten.length == 0 || conn->output_lost) {
		conn_kill(conn);
		return;
	}
	conn_set_state(conn, CONN_DRAINING);
	unbind(conn);
	leave_ready(conn);
	conn->owed = 0;
	/* One that is parked waits for a socket, not for ever. */
	if (conn->fd >= 0)
		conn->ticks_left = 0;
}

void conn_reset(struct conn *conn)
{
	conn_set_state(conn, CONN_RESETTING);
	conn->owed = OWED_RST;
	conn->ticks_left = 0;
	conn_schedule(conn);
}

/* ---- guest to host ---- */

/* Tells the guest of room when it may be waiting for it: it has half of the
 * buffer or more in flight as far as it knows, and there is something to say
 * that is not just a few bytes (of which there will be more). */
static void consider_credit(struct conn *conn)
{
	uint32_t news = conn->written - conn->written_told;

	if (conn->state != CONN_ESTABLISHED || news == 0 ||
	    conn->received - conn->written_told < VSOCK_BUF_ALLOC / 2)
		return;
	if (conn->unwritten.length > 0 && news < VSOCK_BUF_ALLOC / 8)
		return;
	conn->owed |= OWED_CREDIT_UPDATE;
}

static void owe_shutdown(struct conn *conn, unsigned flags)
{
	if (conn->state != CONN_ESTABLISHED || (conn->host_shut & flags) == flags)
		return;
	conn->host_shut |= flags;
	conn->owed |= OWED_SHUTDOWN;
}

/* The unix peer takes nothing any more: what the guest sends is dropped, and it
 * is told to stop. */
static void lose_output(struct conn *conn)
{
	conn->output_lost = true;
	conn->written += conn->unwritten.length;
	byte_ring_done(&conn->unwritten);
	owe_shutdown(conn, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* As much as goes now; the number of bytes, counted as written. */
static uint32_t write_some(struct conn *conn, struct iovec *iov, unsigned n_iov)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = n_iov };
	ssize_t n;

	if (conn->fd < 0)
		return 0;
	do {
		n = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != EAGAIN)
			lose_output(conn);
		return 0;
	}
	conn->written += (uint32_t)n;
	return (uint32_t)n;
}

/* Behind the guest's last byte. */
static void pass_on_end(struct conn *conn)
{
	if (conn->unwritten.length > 0)
		return;
	if ((conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && !conn->output_shut &&
	    conn->fd >= 0) {
		conn->output_shut = true;
		(void)shutdown(conn->fd, SHUT_WR);
	}
	if (conn->state == CONN_DRAINING)
		conn_kill(conn);
}

static void flush(struct conn *conn)
{
	while (conn->unwritten.length > 0) {
		struct iovec iov[2];
		unsigned n_iov = byte_ring_peek(&conn->unwritten, iov);
		uint32_t n = write_some(conn, iov, n_iov);

		if (n == 0)
			break;
		byte_ring_consume(&conn->unwritten, n);
	}
	consider_credit(conn);
	pass_on_end(conn);
}

/* The payload from offset on, into unwritten. */
static bool keep(struct conn *conn, const struct chain *chain, uint32_t offset, uint32_t size)
{
	struct iovec iov[2];
	unsigned n = byte_ring_append(&conn->unwritten, size, iov);

	for (unsigned i = 0; i < n; i++) {
		(void)chain_read(chain, offset, iov[i].iov_base, (uint32_t)iov[i].iov_len);
		offset += (uint32_t)iov[i].iov_len;
	}
	return n > 0;
}

static void receive_data(struct conn *conn, const struct chain *chain, uint32_t size)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	uint32_t in_flight = conn->received - conn->written_told;
	uint32_t n = 0;

	/* in_flight is at most the buffer: this check has always held. */
	if ((conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) || size > VSOCK_BUF_ALLOC - in_flight) {
		log_debug("vsock: guest port %u sent %u bytes it had no credit for",
			  conn->guest_port, size);
		conn_reset(conn);
		return;
	}
	conn->received += size;
	if (!conn->output_lost && conn->unwritten.length == 0 && size > 0)
		n = write_some(conn, iov, chain_out_slice(chain, VSOCK_HEADER_SIZE, size, iov));
	if (conn->output_lost)
		conn->written += size - n;
	else if (n < size && !keep(conn, chain, VSOCK_HEADER_SIZE + n, size - n))
		conn_reset(conn);
	consider_credit(conn);
}

static void receive_shutdown(struct conn *conn, unsigned flags)
{
	conn->guest_shut |= flags & SHUT_BOTH;
	if ((conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
		(void)shutdown(conn->fd, SHUT_RD);
	if (conn->guest_shut == SHUT_BOTH)
		conn_reset(conn);
	pass_on_end(conn);
}

static void established_packet(struct conn *conn, const struct virtio_vsock_hdr *header,
			       const struct chain *chain)
{
	switch (le16toh(header->op)) {
	case VIRTIO_VSOCK_OP_RW:
		receive_data(conn, chain, le32toh(header->len));
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		receive_shutdown(conn, le32toh(header->flags));
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn->owed |= OWED_CREDIT_UPDATE;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break; /* every packet is one */
	default:
		conn_reset(conn);
	}
}

static uint32_t credit(const struct conn *conn)
{
	uint32_t in_flight = conn->sent - conn->peer_fwd_cnt;

	/* A guest may make its buffer smaller than what is in flight. */
	return in_flight < conn->peer_buf_alloc ? conn->peer_buf_alloc - in_flight : 0;
}

void conn_packet(struct conn *conn, const struct virtio_vsock_hdr *header,
		 const struct chain *chain)
{
	uint16_t op = le16toh(header->op);

	conn->peer_buf_alloc = le32toh(header->buf_alloc);
	conn->peer_fwd_cnt = le32toh(header->fwd_cnt);
	if (credit(conn) > 0)
		conn->credit_asked = false;
	if (op == VIRTIO_VSOCK_OP_RST)
		finish(conn);
	else if (conn->state == CONN_REQUESTED && op == VIRTIO_VSOCK_OP_RESPONSE)
		conn->vsock->parts->welcome(conn);
	else if (conn->state == CONN_REQUESTED)
		conn_reset(conn);
	else if (conn->state == CONN_ESTABLISHED)
		established_packet(conn, header, chain);
	if (conn->state != CONN_DEAD)
		conn_schedule(conn);
}

/* ---- host to guest ---- */

/* May the unix socket be read for the guest? */
static bool wants_data(const struct conn *conn)
{
	return conn->state == CONN_ESTABLISHED && conn->readable &&
	       !(conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
	       !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

static bool has_packet(const struct conn *conn)
{
	return conn->owed != 0 || (wants_data(conn) && (credit(conn) > 0 || !conn->credit_asked));
}

/* The end of the unix stream has been seen, or cannot be read for. */
static void note_end(struct conn *conn)
{
	owe_shutdown(conn, conn->hung_up ? SHUT_BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
}

/* Behind the header's place, what came before the machine was saved. */
static uint32_t take_unread(struct conn *conn, const struct chain *chain, uint32_t room)
{
	const uint32_t n = MIN(room, conn->n_unread - conn->unread_at);

	(void)chain_write(chain, VSOCK_HEADER_SIZE, conn->unread + conn->unread_at, n);
	conn->unread_at += n;
	if (conn->unread_at < conn->n_unread)
		return n;
	free(conn->unread);
	conn->unread = NULL;
	conn->n_unread = conn->unread_at = 0;
	conn->readable = conn->fd >= 0;
	return n;
}

/* Reads behind the header's place; 0: nothing now, or the end. */
static uint32_t read_some(struct conn *conn, const struct chain *chain)
{
	uint32_t room = MIN(chain->in_size - VSOCK_HEADER_SIZE, VSOCK_PACKET_MAX);
	struct iovec iov[VIRTQ_SIZE_MAX];
	struct msghdr message = { .msg_iov = iov };
	ssize_t n;

	if (conn->unread)
		return take_unread(conn, chain, MIN(room, credit(conn)));
	message.msg_iovlen = chain_in_slice(chain, VSOCK_HEADER_SIZE, MIN(room, credit(conn)), iov);
	do {
		n = recvmsg(conn->fd, &message, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (uint32_t)n;
	conn->readable = false;
	if (n < 0 && errno != EAGAIN)
		conn->hung_up = true;
	if (n == 0 || errno != EAGAIN)
		note_end(conn);
	return 0;
}

/* Which packet comes next, and the payload's size when it is data. */
static uint16_t next_op(struct conn *conn, const struct chain *chain, uint32_t *ret_size)
{
	*ret_size = 0;
	if (conn->owed & OWED_RST)
		return VIRTIO_VSOCK_OP_RST;
	if (conn->owed & OWED_REQUEST)
		return VIRTIO_VSOCK_OP_REQUEST;
	if (conn->owed & OWED_RESPONSE)
		return VIRTIO_VSOCK_OP_RESPONSE;
	if (conn->owed & OWED_SHUTDOWN)
		return VIRTIO_VSOCK_OP_SHUTDOWN;
	if (wants_data(conn) && credit(conn) > 0)
		*ret_size = read_some(conn, chain);
	if (*ret_size > 0)
		return VIRTIO_VSOCK_OP_RW;
	if (conn->owed & OWED_SHUTDOWN) /* the end, seen by read_some() */
		return VIRTIO_VSOCK_OP_SHUTDOWN;
	if (wants_data(conn) && credit(conn) == 0 && !conn->credit_asked)
		return VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	if (conn->owed & OWED_CREDIT_UPDATE)
		return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	return VIRTIO_VSOCK_OP_INVALID;
}

/* What changes with the packet on its way. */
static void packet_sent(struct conn *conn, uint16_t op, uint32_t size)
{
	conn->sent += size;
	conn->written_told = conn->written;
	conn->owed &= ~(unsigned)OWED_CREDIT_UPDATE; /* every packet is one */
	switch (op) {
	case VIRTIO_VSOCK_OP_RST:
		finish(conn);
		break;
	case VIRTIO_VSOCK_OP_REQUEST:
		conn->owed &= ~(unsigned)OWED_REQUEST;
		break;
	case VIRTIO_VSOCK_OP_RESPONSE:
		conn->owed &= ~(unsigned)OWED_RESPONSE;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn->owed &= ~(unsigned)OWED_SHUTDOWN;
		if (conn->host_shut == SHUT_BOTH)
			conn_set_deadline(conn, CLOSE_TIMEOUT_MS);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		conn->credit_asked = true;
		break;
	default:
		break;
	}
}

void vsock_fill_header(const struct vsock *vsock, uint16_t op, uint32_t host_port,
		       uint32_t guest_port, struct virtio_vsock_hdr *ret_header)
{
	*ret_header = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_CID_HOST),
		.dst_cid = htole64(vsock->guest_cid),
		.src_port = htole32(host_port),
		.dst_port = htole32(guest_port),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
	};
}

uint32_t conn_fill_packet(struct conn *conn, const struct chain *chain)
{
	struct virtio_vsock_hdr header;
	uint32_t size;
	uint16_t op = next_op(conn, chain, &size);

	if (op == VIRTIO_VSOCK_OP_INVALID)
		return 0;
	vsock_fill_header(conn->vsock, op, conn->host_port, conn->guest_port, &header);
	header.len = htole32(size);
	header.buf_alloc = htole32(VSOCK_BUF_ALLOC);
	header.fwd_cnt = htole32(conn->written);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN)
		header.flags = htole32(conn->host_shut);
	(void)chain_write(chain, 0, &header, sizeof(header));
	packet_sent(conn, op, size);
	return VSOCK_HEADER_SIZE + size;
}

/* ---- the unix socket ---- */

static void handle_event(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn->readable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		conn->hung_up = true;
	if (conn->state == CONN_GREETING) {
		conn->vsock->parts->greet(conn);
		return;
	}
	if (conn->hung_up && conn->state == CONN_REQUESTED) {
		conn_reset(conn);
		return;
	}
	/* Gone after its half-close had been passed on, or while nothing is read
	 * for the guest: no read will find the end. */
	if (conn->hung_up && conn->state == CONN_ESTABLISHED && !wants_data(conn))
		note_end(conn);
	flush(conn);
}

void conn_look_again(struct conn *conn)
{
	if (conn->source)
		source_set_events(conn->source, CONN_EVENTS);
	conn_schedule(conn);
}

void conn_attach(struct conn *conn, int fd)
{
	conn->fd = fd;
	if (watch(conn) < 0) {
		conn->fd = -1;
		(void)close(fd);
		return;
	}
	conn->ticks_left = 0;
	conn->readable = true;
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		(void)shutdown(fd, SHUT_RD);
	conn_schedule(conn);
}

static void on_event(void *data, uint32_t events)
{
	struct conn *conn = data;
	struct vsock *vsock = conn->vsock;

	(void)pthread_mutex_lock(&vsock->device.lock);
	if (vsock->saved) {
		/* conn_look_again() */
		(void)pthread_mutex_unlock(&vsock->device.lock);
		return;
	}
	if (conn->state != CONN_DEAD)
		handle_event(conn, events);
	if (conn->state != CONN_DEAD)
		conn_schedule(conn);
	vsock->parts->work(vsock);
	(void)pthread_mutex_unlock(&vsock->device.lock);
}
