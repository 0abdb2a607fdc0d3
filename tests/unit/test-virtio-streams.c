/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device under load: 64 streams of 16 MiB each way at once, byte for
 * byte, with slow readers on either side.  The device's loop has a thread of its
 * own, as in the VMM; guest and host clients are played by the main thread.
 *
 * Stream i: the host reads slowly when i % 8 == 0, the guest when i % 8 == 1.
 * Slow ones must not hold up the others, so they stay slow until those are done.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/vsock-guest.h"

#define STREAMS 64U
/* A sanitizer makes it ten times slower and finds nothing more in more bytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STREAM_SIZE (1U << 20)
#else
#define STREAM_SIZE (16U << 20)
#endif
#define PORT_BASE 10000U
#define GUEST_BUFFER (64U * 1024)
#define PATTERN_SIZE ((1U << 20) + 7)
#define PATIENCE_NS 120000000000ULL
#define SLOW_TURN_NS 5000000ULL
#define CHUNK (64U * 1024)

struct stream {
	int fd;
	uint32_t host_port, guest_port;
	bool host_slow, guest_slow;
	/* guest to host */
	uint32_t guest_sent;
	uint32_t peer_buf_alloc, peer_fwd_cnt;
	uint32_t host_received;
	bool guest_shut;
	bool host_saw_end;
	/* host to guest */
	uint32_t host_sent;
	uint32_t guest_received, guest_consumed, guest_told;
	bool host_shut;
	bool guest_saw_end;
	bool owes_rst; /* the answer to a full SHUTDOWN */
};

static struct guest g;
static struct stream streams[STREAMS];
static uint8_t pattern[PATTERN_SIZE + CHUNK];
static bool slow_phase = true;
static bool slow_turn; /* a slow reader reads a little now */

/* What stands at an offset of a stream's one direction. */
static const uint8_t *expected(const struct stream *s, bool to_host, uint32_t offset)
{
	return pattern + (offset + s->guest_port * 7919U + (to_host ? 0 : 333)) % PATTERN_SIZE;
}

static void *run_loop(void *data)
{
	loop_run(data);
	return NULL;
}

static void quit(void *data)
{
	loop_quit(data);
}

/* ---- the guest ---- */

static struct virtio_vsock_hdr header_of(struct stream *s, uint16_t op)
{
	struct virtio_vsock_hdr header = guest_header(op, s->host_port, s->guest_port);

	header.buf_alloc = GUEST_BUFFER;
	header.fwd_cnt = s->guest_consumed;
	return header;
}

static bool send_for(struct stream *s, const struct virtio_vsock_hdr *header, const void *payload)
{
	if (!guest_send(&g, header, payload, 0))
		return false;
	s->guest_told = header->fwd_cnt;
	return true;
}

static bool guest_write(struct stream *s)
{
	uint32_t in_flight = s->guest_sent - s->peer_fwd_cnt;
	uint32_t room = s->peer_buf_alloc > in_flight ? s->peer_buf_alloc - in_flight : 0;
	struct virtio_vsock_hdr header;

	if (s->guest_shut)
		return false;
	if (s->guest_sent == STREAM_SIZE) {
		header = header_of(s, VIRTIO_VSOCK_OP_SHUTDOWN);
		header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
		s->guest_shut = send_for(s, &header, NULL);
		return s->guest_shut;
	}
	if (room == 0)
		return false;
	header = header_of(s, VIRTIO_VSOCK_OP_RW);
	/* Odd sizes, so that nothing stays aligned. */
	header.len = MIN(room, STREAM_SIZE - s->guest_sent);
	header.len = MIN(header.len, CHUNK - s->guest_sent % 97);
	if (!send_for(s, &header, expected(s, true, s->guest_sent)))
		return false;
	s->guest_sent += header.len;
	return true;
}

/* The application reads: all there is, or a little now and then. */
static bool guest_read(struct stream *s)
{
	uint32_t unread = s->guest_received - s->guest_consumed;
	struct virtio_vsock_hdr header;

	if (s->guest_saw_end)
		return false;
	if (s->guest_slow && slow_phase)
		unread = slow_turn ? MIN(unread, 512U) : 0;
	s->guest_consumed += unread;
	if (s->guest_consumed - s->guest_told < GUEST_BUFFER / 4 &&
	    !(unread > 0 && s->guest_consumed == s->guest_received && s->guest_slow))
		return false;
	header = header_of(s, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	return send_for(s, &header, NULL);
}

static bool guest_finish(struct stream *s)
{
	struct virtio_vsock_hdr header;

	if (!s->owes_rst)
		return false;
	header = header_of(s, VIRTIO_VSOCK_OP_RST);
	s->owes_rst = !send_for(s, &header, NULL);
	return !s->owes_rst;
}

static void guest_packet(const struct virtio_vsock_hdr *header, const uint8_t *payload)
{
	struct stream *s = &streams[header->dst_port - PORT_BASE];

	CHECK(header->dst_port - PORT_BASE < STREAMS && header->src_port == s->host_port);
	CHECK_INT(header->type, VIRTIO_VSOCK_TYPE_STREAM);
	s->peer_buf_alloc = header->buf_alloc;
	s->peer_fwd_cnt = header->fwd_cnt;
	CHECK(s->guest_sent - s->peer_fwd_cnt <= header->buf_alloc);
	switch (header->op) {
	case VIRTIO_VSOCK_OP_RW:
		CHECK(!s->guest_saw_end);
		CHECK(header->len <= GUEST_BUFFER - (s->guest_received - s->guest_told));
		CHECK(memcmp(payload, expected(s, false, s->guest_received), header->len) == 0);
		s->guest_received += header->len;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		/* Both flags only when the guest's end has been passed on too. */
		CHECK(header->flags & VIRTIO_VSOCK_SHUTDOWN_SEND);
		s->owes_rst = header->flags & VIRTIO_VSOCK_SHUTDOWN_RCV;
		CHECK(!s->owes_rst || s->guest_shut);
		CHECK_INT(s->guest_received, STREAM_SIZE);
		s->guest_saw_end = true;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		test_fail(__FILE__, __LINE__, "packet with op %u", header->op);
	}
}

static bool guest_turn(void)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	bool progress = false;

	while (guest_receive(&g, &header, &payload)) {
		guest_packet(&header, payload);
		progress = true;
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		progress |= guest_write(&streams[i]);
		progress |= guest_read(&streams[i]);
		progress |= guest_finish(&streams[i]);
	}
	return progress;
}

/* ---- the host's clients ---- */

static bool host_write(struct stream *s)
{
	ssize_t n;

	if (s->host_shut)
		return false;
	if (s->host_sent == STREAM_SIZE) {
		s->host_shut = true;
		CHECK(shutdown(s->fd, SHUT_WR) == 0);
		return true;
	}
	n = write(s->fd, expected(s, false, s->host_sent), MIN(STREAM_SIZE - s->host_sent, CHUNK));
	CHECK(n > 0 || errno == EAGAIN);
	s->host_sent += n > 0 ? (uint32_t)n : 0;
	return n > 0;
}

static bool host_read(struct stream *s)
{
	static uint8_t bytes[CHUNK];
	ssize_t n;

	if (s->host_saw_end)
		return false;
	n = read(s->fd, bytes, s->host_slow && slow_phase ? 512 : sizeof(bytes));
	CHECK(n >= 0 || errno == EAGAIN);
	if (n == 0) {
		CHECK_INT(s->host_received, STREAM_SIZE);
		s->host_saw_end = true;
		return true;
	}
	if (n < 0)
		return false;
	CHECK(s->host_received + (uint32_t)n <= STREAM_SIZE);
	CHECK(memcmp(bytes, expected(s, true, s->host_received), (size_t)n) == 0);
	s->host_received += (uint32_t)n;
	return true;
}

static bool host_turn(void)
{
	struct pollfd fds[STREAMS];
	bool progress = false;

	for (unsigned i = 0; i < STREAMS; i++) {
		const struct stream *s = &streams[i];

		fds[i] = (struct pollfd){ .fd = s->host_shut && s->host_saw_end ? -1 : s->fd };
		if (!s->host_shut)
			fds[i].events |= POLLOUT;
		if (!s->host_saw_end && !(s->host_slow && slow_phase && !slow_turn))
			fds[i].events |= POLLIN;
	}
	CHECK(poll(fds, STREAMS, 0) >= 0);
	for (unsigned i = 0; i < STREAMS; i++) {
		if (fds[i].revents & (POLLOUT | POLLHUP))
			progress |= host_write(&streams[i]);
		if (fds[i].events & POLLIN && fds[i].revents & (POLLIN | POLLHUP))
			progress |= host_read(&streams[i]);
	}
	return progress;
}

/* ---- the test ---- */

static void open_stream(unsigned i)
{
	struct stream *s = &streams[i];
	struct virtio_vsock_hdr header, response;
	char line[32];

	*s = (struct stream){ .guest_port = PORT_BASE + i,
			      .host_slow = i % 8 == 0,
			      .guest_slow = i % 8 == 1 };
	if (i % 2) {
		int listen_fd = host_listen(&g, 1024 + i);

		s->host_port = 1024 + i;
		header = header_of(s, VIRTIO_VSOCK_OP_REQUEST);
		CHECK(guest_send(&g, &header, NULL, 0));
		s->fd = host_accept(&g, listen_fd);
		header = guest_expect(&g, VIRTIO_VSOCK_OP_RESPONSE);
		(void)close(listen_fd);
	} else {
		(void)snprintf(line, sizeof(line), "CONNECT %u\n", s->guest_port);
		s->fd = host_connect(&g, line);
		header = guest_expect(&g, VIRTIO_VSOCK_OP_REQUEST);
		s->host_port = header.src_port;
		response = header_of(s, VIRTIO_VSOCK_OP_RESPONSE);
		CHECK(guest_send(&g, &response, NULL, 0));
		(void)snprintf(line, sizeof(line), "OK %u\n", s->host_port);
		host_expect(&g, s->fd, line, strlen(line));
	}
	s->peer_buf_alloc = header.buf_alloc;
	s->peer_fwd_cnt = header.fwd_cnt;
}

static bool stream_done(const struct stream *s)
{
	return s->host_saw_end && s->guest_saw_end;
}

static unsigned n_done(bool slow)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STREAMS; i++)
		n += (streams[i].host_slow || streams[i].guest_slow) == slow &&
		     stream_done(&streams[i]);
	return n;
}

static void wait_for_news(void)
{
	struct pollfd fd = { .fd = driver_irq_fd(&g.d), .events = POLLIN };
	uint64_t count;

	if (poll(&fd, 1, 1) > 0)
		(void)!read(fd.fd, &count, sizeof(count));
}

static void stuck(void)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		const struct stream *s = &streams[i];

		if (!stream_done(s))
			printf(
			    "stream %u: guest sent %u (peer fwd %u) shut %d, host got %u end %d; "
			    "host sent %u shut %d, guest got %u consumed %u told %u end %d\n",
			    i, s->guest_sent, s->peer_fwd_cnt, s->guest_shut, s->host_received,
			    s->host_saw_end, s->host_sent, s->host_shut, s->guest_received,
			    s->guest_consumed, s->guest_told, s->guest_saw_end);
	}
	test_fail(__FILE__, __LINE__, "stuck");
}

static void run_streams(uint32_t rx_size)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint64_t next_slow_turn = 0;
	unsigned n_slow = STREAMS / 4, n_fast = STREAMS - n_slow;
	pthread_t thread;

	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] =
		    i < PATTERN_SIZE ? (uint8_t)(i * 2654435761U >> 19) : pattern[i - PATTERN_SIZE];
	guest_init(&g, 100, rx_size);
	for (unsigned i = 0; i < STREAMS; i++)
		open_stream(i);
	source_clear(&g.d.irq_source);
	CHECK(pthread_create(&thread, NULL, run_loop, g.d.loop) == 0);
	while (n_done(false) + n_done(true) < STREAMS) {
		bool progress;

		slow_turn = clock_monotonic_ns() >= next_slow_turn;
		if (slow_turn)
			next_slow_turn = clock_monotonic_ns() + SLOW_TURN_NS;
		progress = guest_turn();
		progress |= host_turn();
		if (n_done(false) == n_fast && slow_phase) {
			/* None of the slow ones can be: they were not held up by. */
			CHECK_INT(n_done(true), 0);
			slow_phase = false;
		}
		if (!progress)
			wait_for_news();
		if (clock_monotonic_ns() > end)
			stuck();
		CHECK(!driver_needs_reset(&g.d));
	}
	loop_call(g.d.loop, quit, g.d.loop);
	CHECK(pthread_join(thread, NULL) == 0);
	for (unsigned i = 0; i < STREAMS; i++)
		(void)close(streams[i].fd);
	guest_done(&g);
}

/* With the buffers Linux gives. */
static void test_page_buffers(void)
{
	run_streams(4096 + GUEST_HEADER);
}

static void test_large_buffers(void)
{
	run_streams(65536 + GUEST_HEADER);
}

static const struct test_case cases[] = {
	{ "64 streams, 4 KiB buffers", test_page_buffers },
	{ "64 streams, 64 KiB buffers", test_large_buffers },
};

TEST_MAIN(cases)
