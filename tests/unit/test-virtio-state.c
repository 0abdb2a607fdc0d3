/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are stopped in the middle of their work, and others that go on with it. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "tests/unit/net-guest.h"
#include "tests/unit/test.h"
#include "tests/unit/vsock-guest.h"
#include "virtio/devices.h"
#include "virtio/pool.h"

#define PATIENCE_NS 20000000000ULL
#define SECTOR 512U
#define ROUNDS 20
#define REQUESTS 32

/* ---- blk ---- */

static struct virtio_device *new_disk(int fd, const char *id, bool readonly)
{
	const struct blk_options options = {
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .id = id, .readonly = readonly, .queues = 1
	};
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(blk_new(&options, &device, &error), &error);
	return device;
}

static int make_disk(off_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, size) == 0);
	return fd;
}

struct writes {
	struct driver d;
	gpa_t requests; /* header, data and status of each, 1024 bytes apart */
};

static void submit(struct writes *w, unsigned i, unsigned round)
{
	const gpa_t at = w->requests + i * 1024ULL;
	const struct virtio_blk_outhdr header = { .type = htole32(VIRTIO_BLK_T_OUT),
						  .sector = htole64(i) };
	const struct driver_buffer buffers[] = { { at, sizeof(header) },
						 { at + 64, SECTOR },
						 { at + 1023, 1 } };

	memcpy(driver_at(&w->d, at), &header, sizeof(header));
	memset(driver_at(&w->d, at + 64), (int)(round + i), SECTOR);
	*(uint8_t *)driver_at(&w->d, at + 1023) = 0xff;
	CHECK_INT(ring_add(&w->d.rings[0], buffers, 2, 1) % 3, 0);
}

/* Every request is done, once. */
static void await_all(struct writes *w)
{
	const uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	unsigned n = 0;

	while (n < REQUESTS) {
		uint32_t written;
		uint16_t head;

		CHECK(clock_monotonic_ns() < end);
		if (!ring_take(&w->d.rings[0], &head, &written)) {
			loop_step(w->d.loop, 1);
			continue;
		}
		CHECK_INT(written, 1);
		n++;
	}
	for (unsigned i = 0; i < REQUESTS; i++)
		CHECK_INT(*(uint8_t *)driver_at(&w->d, w->requests + i * 1024ULL + 1023), 0);
}

static void test_disk_at_work(void)
{
	int fd = make_disk(REQUESTS * SECTOR);
	struct driver_state state;
	struct error *error = NULL;
	static struct writes w;
	uint8_t byte;

	driver_init(&w.d, new_disk(fd, "disk", false), 1 << 20);
	driver_start(&w.d, ~0ULL);
	w.requests = driver_alloc(&w.d, REQUESTS * 1024, 4096);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < REQUESTS; i++) {
			submit(&w, i, round);
			driver_kick(&w.d, 0);
		}
		driver_save(&w.d, &state);
		CHECK_OK(driver_load(&w.d, new_disk(fd, "disk", false), &state, &error), &error);
		buffer_done(&state.own);
		await_all(&w);
		for (unsigned i = 0; i < REQUESTS; i++) {
			CHECK(pread(fd, &byte, 1, i * SECTOR) == 1);
			CHECK_INT(byte, (uint8_t)(round + i));
		}
	}
	driver_done(&w.d);
	(void)close(fd);
}

/* The worker is asked to let go, and goes on where it was. */
static void test_disk_stays(void)
{
	int fd = make_disk(REQUESTS * SECTOR);
	struct virtio_mmio_state transport;
	static struct writes w;

	driver_init(&w.d, new_disk(fd, "disk", false), 1 << 20);
	driver_start(&w.d, ~0ULL);
	w.requests = driver_alloc(&w.d, REQUESTS * 1024, 4096);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct buffer own = { 0 };
		struct error *error = NULL;

		for (unsigned i = 0; i < REQUESTS; i++) {
			submit(&w, i, round);
			driver_kick(&w.d, 0);
		}
		virtio_mmio_pause(w.d.mmio);
		CHECK_OK(virtio_mmio_save(w.d.mmio, &transport, &own, &error), &error);
		buffer_done(&own);
		virtio_mmio_resume(w.d.mmio);
		await_all(&w);
	}
	driver_done(&w.d);
	(void)close(fd);
}

static void test_other_disk(void)
{
	int fd = make_disk(8 * SECTOR), larger = make_disk(16 * SECTOR);
	struct driver_state state;
	static struct driver d;
	struct error *error = NULL;

	driver_init(&d, new_disk(fd, "disk", false), 1 << 20);
	driver_start(&d, ~0ULL);
	driver_save(&d, &state);
	CHECK_ERROR(driver_load(&d, new_disk(fd, "other", false), &state, &error), &error,
		    "device blk: the disk's id is \"other\", and was \"disk\"");
	CHECK_ERROR(driver_load(&d, new_disk(larger, "disk", false), &state, &error), &error,
		    "disk \"disk\" has 8192 bytes in blocks of 512, and had 4096");
	/* It offers less, which its driver has taken. */
	CHECK_ERROR(driver_load(&d, new_disk(fd, "disk", true), &state, &error), &error,
		    "are not this device's");
	state.own.end--;
	CHECK_ERROR(driver_load(&d, new_disk(fd, "disk", false), &state, &error), &error,
		    "its state is cut short");
	state.own.end++;
	buffer_append(&state.own, "x", 1);
	CHECK_ERROR(driver_load(&d, new_disk(fd, "disk", false), &state, &error), &error,
		    "its state has 1 bytes too many");
	driver_done(&d);
	buffer_done(&state.own);
	(void)close(fd);
	(void)close(larger);
}

/* A device that its driver broke stays so. */
static void test_broken_disk(void)
{
	int fd = make_disk(8 * SECTOR);
	struct driver_state state;
	static struct driver d;
	struct error *error = NULL;

	driver_init(&d, new_disk(fd, "disk", false), 1 << 20);
	driver_start(&d, ~0ULL);
	ring_publish(&d.rings[0], 5000);
	driver_kick(&d, 0);
	driver_expect_needs_reset(&d);
	driver_save(&d, &state);
	CHECK_OK(driver_load(&d, new_disk(fd, "disk", false), &state, &error), &error);
	CHECK(driver_needs_reset(&d));
	driver_start(&d, ~0ULL);
	CHECK(!driver_needs_reset(&d));
	driver_done(&d);
	buffer_done(&state.own);
	(void)close(fd);
}

/* ---- console ---- */

static struct virtio_device *new_console(int output_fd)
{
	const struct console_options options = { output_fd, -1 };
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(console_new(&options, &device, &error), &error);
	return device;
}

/* Output that nobody has read yet: no byte of it gets lost, and none comes twice. */
static void test_console_at_work(void)
{
	static uint8_t expected[48 << 10], got[sizeof(expected)];
	struct driver_state state;
	static struct driver d;
	struct error *error = NULL;
	size_t n = 0;
	int pair[2];
	gpa_t page;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)) == 0);
	driver_init(&d, new_console(fcntl(pair[1], F_DUPFD_CLOEXEC, 0)), 1 << 20);
	driver_start(&d, ~0ULL);
	page = driver_alloc(&d, 4096, 4096);
	for (size_t at = 0; at < sizeof(expected); at += 4096) {
		const struct driver_buffer buffer = { page, 4096 };

		for (size_t i = 0; i < 4096; i++)
			expected[at + i] = (uint8_t)(at / 4096 * 3 + i);
		memcpy(driver_at(&d, page), expected + at, 4096);
		(void)driver_complete(&d, 1, (uint16_t)ring_add(&d.rings[1], &buffer, 1, 0));
	}
	driver_save(&d, &state);
	CHECK(buffer_length(&state.own) > 0);
	CHECK_OK(driver_load(&d, new_console(pair[1]), &state, &error), &error);
	while (n < sizeof(got)) {
		ssize_t more = recv(pair[0], got + n, sizeof(got) - n, MSG_DONTWAIT);

		if (more > 0)
			n += (size_t)more;
		else
			loop_step(d.loop, 10);
	}
	CHECK(memcmp(got, expected, sizeof(got)) == 0);
	loop_step(d.loop, 10);
	CHECK(recv(pair[0], got, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	buffer_done(&state.own);
	for (int i = 0; i < 17; i++)
		buffer_append(&state.own, expected, 4096);
	CHECK_ERROR(driver_load(&d, new_console(-1), &state, &error), &error,
		    "device console: 69632 bytes of output are more than there can be");
	driver_done(&d);
	buffer_done(&state.own);
	(void)close(pair[0]);
}

/* ---- rng ---- */

static void test_rng_at_work(void)
{
	struct virtio_device *device;
	struct driver_state state;
	static struct driver d;
	struct error *error = NULL;
	struct driver_buffer buffer;
	int head;

	CHECK_OK(rng_new(&device, &error), &error);
	driver_init(&d, device, 1 << 20);
	driver_start(&d, ~0ULL);
	buffer = (struct driver_buffer){ driver_alloc(&d, 64, 64), 64 };
	head = ring_add(&d.rings[0], &buffer, 0, 1);
	driver_save(&d, &state);
	CHECK_OK(rng_new(&device, &error), &error);
	CHECK_OK(driver_load(&d, device, &state, &error), &error);
	CHECK_INT(driver_complete(&d, 0, (uint16_t)head), 64);
	CHECK_OK(rng_new(&device, &error), &error);
	buffer_append(&state.own, "x", 1);
	CHECK_ERROR(driver_load(&d, device, &state, &error), &error,
		    "device rng: its state has 1 bytes too many");
	driver_done(&d);
	buffer_done(&state.own);
}

/* ---- net ---- */

static struct virtio_device *new_net(int fd)
{
	const struct net_options options = {
		.fd = fd, .vhost_fd = -1, .backend = NET_STREAM, .mac = NET_TEST_MAC
	};
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(net_new(&options, &device, &error), &error);
	return device;
}

static int receive_length(int fd)
{
	const uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint32_t length;

	while (recv(fd, &length, sizeof(length), MSG_DONTWAIT) != sizeof(length)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(guest.loop, 1);
	}
	return (int)be32toh(length);
}

/* Frames go both ways over the new link; the address is the one that the driver chose, and it is
 * told that the link is gone. */
static void test_net_at_work(void)
{
	static const uint8_t mac[] = { 0x02, 1, 2, 3, 4, 5 };
	const uint16_t asked = VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE;
	struct net_options options = { .vhost_fd = -1, .backend = NET_STREAM, .mac = NET_TEST_MAC };
	struct driver_state state;
	struct error *error = NULL;
	struct virtio_net_hdr_v1 header;
	uint8_t frame[100], config[8];
	uint32_t length = htobe32(sizeof(frame));
	int pair[2], other[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) == 0);
	options.fd = pair[1];
	net_guest_new(&options, ~0ULL);
	net_guest_give(4, 2048);
	CHECK_INT(
	    net_guest_command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, sizeof(mac)),
	    VIRTIO_NET_OK);
	net_fill(frame, sizeof(frame), 1);
	(void)net_guest_send(NULL, frame, sizeof(frame)); /* not kicked */
	driver_save(&guest, &state);
	CHECK_OK(driver_load(&guest, new_net(other[1]), &state, &error), &error);
	CHECK_INT(receive_length(other[0]), sizeof(frame));
	driver_config_read(&guest, 0, config, sizeof(config));
	CHECK(memcmp(config, mac, sizeof(mac)) == 0);
	/* It is to say where it is now, until it has. */
	CHECK_INT(net_guest_status(), asked);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_ANNOUNCE, 1, "", 0), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_ANNOUNCE, 0, "x", 1), VIRTIO_NET_ERR);
	CHECK_INT(net_guest_status(), asked);
	CHECK_INT(net_guest_command(VIRTIO_NET_CTRL_ANNOUNCE, 0, "", 0), VIRTIO_NET_OK);
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_LINK_UP);
	CHECK(write(other[0], &length, sizeof(length)) == sizeof(length));
	CHECK(write(other[0], frame, sizeof(frame)) == sizeof(frame));
	CHECK_INT(net_guest_take(&header, frame, sizeof(frame)), sizeof(frame));
	net_check(frame, sizeof(frame), 1);
	CHECK_OK(driver_load(&guest, new_net(-1), &state, &error), &error);
	CHECK_INT(net_guest_status(), VIRTIO_NET_S_ANNOUNCE);
	CHECK(driver_read(&guest, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	state.own.bytes[state.own.start] |= 1;
	CHECK_ERROR(driver_load(&guest, new_net(-1), &state, &error), &error,
		    "device net: its address is a group's");
	driver_done(&guest);
	buffer_done(&state.own);
	(void)close(pair[0]);
	(void)close(other[0]);
}

/* ---- vsock ---- */

static struct virtio_device *new_vsock(const struct guest *g)
{
	const struct vsock_options options = { .guest_cid = GUEST_CID,
					       .listen_fd = -1,
					       .path = g->path };
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(vsock_new(&options, &device, &error), &error);
	return device;
}

/* A client that takes the connection up again. */
static int take_up(struct guest *g, uint32_t host_port, uint32_t guest_port)
{
	_cleanup_free_ char *line = xasprintf("RESUME %u %u\n", host_port, guest_port);
	_cleanup_free_ char *answer = xasprintf("OK %u\n", host_port);
	int fd = host_connect(g, line);

	host_expect(g, fd, answer, strlen(answer));
	return fd;
}

/* The guest keeps the connections of the host's clients; its own ends, whose other end is gone. */
static void test_vsock_at_work(void)
{
	static struct guest g;
	struct driver_state state;
	struct error *error = NULL;
	uint32_t host_port, other_port;
	int fd, other, own;

	guest_init(&g, 16, 4096);
	fd = guest_accept(&g, 1000, &host_port);
	other = guest_accept(&g, 1001, &other_port);
	own = guest_connect(&g, 77, 5000);
	guest_send_text(&g, host_port, 1000, "before");
	host_expect(&g, fd, "before", 6);
	CHECK_INT(send(other, "unread", 6, MSG_NOSIGNAL), 6);
	driver_save(&g.d, &state);
	CHECK_OK(driver_load(&g.d, new_vsock(&g), &state, &error), &error);
	buffer_done(&state.own);
	host_expect(&g, fd, NULL, 0);
	(void)close(fd);
	(void)close(other);
	(void)close(own);
	for (int i = 0; i < 2; i++) {
		struct virtio_vsock_hdr header;
		const uint8_t *payload;

		while (!guest_receive(&g, &header, &payload))
			loop_step(g.d.loop, 10);
		if (header.op == VIRTIO_VSOCK_OP_RST)
			CHECK_INT(header.dst_port, 5000);
		else
			CHECK(header.dst_port == 1001 && header.len == 6 &&
			      memcmp(payload, "unread", 6) == 0);
	}
	/* A stream that nobody has taken up waits until somebody does. */
	guest_send_text(&g, host_port, 1000, "between");
	guest_expect_nothing(&g);
	fd = take_up(&g, host_port, 1000);
	host_expect(&g, fd, "between", 7);
	CHECK_INT(send(fd, "after", 5, MSG_NOSIGNAL), 5);
	guest_expect_text(&g, "after");
	/* Once. */
	other = host_connect(&g, "RESUME 5 5\n");
	host_expect(&g, other, NULL, 0);
	(void)close(other);
	(void)close(fd);
	(void)guest_expect(&g, VIRTIO_VSOCK_OP_SHUTDOWN);
	fd = guest_accept(&g, 1000, &host_port);
	guest_send_text(&g, host_port, 1000, "other");
	host_expect(&g, fd, "other", 5);
	(void)close(fd);
	guest_done(&g);
}

#define PIECE 16384U

static uint8_t nth_byte(uint64_t n)
{
	return (uint8_t)(n * 31 + (n >> 8));
}

static void fill_piece(uint8_t *bytes, uint64_t from)
{
	for (unsigned i = 0; i < PIECE; i++)
		bytes[i] = nth_byte(from + i);
}

/* Takes what has come for the guest, in order; *told is how much of the guest's is written. */
static void take_packets(struct guest *g, uint64_t *n_taken, uint32_t *told)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;

	for (int i = 0; i < 4; i++)
		loop_step(g->d.loop, 2);
	while (guest_receive(g, &header, &payload)) {
		*told = header.fwd_cnt;
		for (uint32_t i = 0; i < header.len; i++)
			CHECK_INT(payload[i], nth_byte((*n_taken)++));
	}
}

/* As much as the guest has credit for. */
static void send_pieces(struct guest *g, uint32_t host_port, uint64_t *n_sent, uint64_t *n_taken,
			uint32_t *told)
{
	static uint8_t bytes[PIECE];

	take_packets(g, n_taken, told);
	while ((uint32_t)*n_sent - *told <= 128 * 1024 - PIECE) {
		struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, host_port, 1000);

		header.len = PIECE;
		header.buf_alloc = 64 * 1024;
		header.fwd_cnt = (uint32_t)*n_taken;
		fill_piece(bytes, *n_sent);
		CHECK(guest_send(g, &header, bytes, 0));
		*n_sent += PIECE;
		take_packets(g, n_taken, told);
	}
}

static void read_pieces(struct guest *g, int fd, uint64_t *n_read, bool to_end)
{
	uint8_t bytes[4096];
	ssize_t n;

	do {
		loop_step(g->d.loop, 1);
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++)
			CHECK_INT(bytes[i], nth_byte((*n_read)++));
	} while (n > 0 || (to_end && n < 0 && errno == EAGAIN));
}

/* More than the socket takes, in both directions, over several machines: no byte is lost, none
 * comes twice; also where the machine goes on after it was saved. */
static void test_vsock_full(void)
{
	static struct guest g;
	uint64_t n_sent = 0, n_taken = 0, n_read = 0, n_given = 0;
	static uint8_t bytes[PIECE];
	struct error *error = NULL;
	uint32_t host_port, told = 0;
	ssize_t n;
	int fd;

	guest_init(&g, 16, 4096);
	fd = guest_accept(&g, 1000, &host_port);
	for (int round = 0; round < 6; round++) {
		struct driver_state state;

		send_pieces(&g, host_port, &n_sent, &n_taken, &told);
		do {
			fill_piece(bytes, n_given);
			n = send(fd, bytes, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);
			n_given += n > 0 ? (uint64_t)n : 0;
		} while (n > 0);
		take_packets(&g, &n_taken, &told);
		driver_save(&g.d, &state);
		CHECK_OK(driver_load(&g.d, new_vsock(&g), &state, &error), &error);
		buffer_done(&state.own);
		if (round % 2)
			take_packets(&g, &n_taken, &told);
		read_pieces(&g, fd, &n_read, true);
		(void)close(fd);
		fd = take_up(&g, host_port, 1000);
		send_pieces(&g, host_port, &n_sent, &n_taken, &told);
		read_pieces(&g, fd, &n_read, false);
	}
	while (n_taken < n_given || n_read < n_sent) {
		send_pieces(&g, host_port, &n_sent, &n_taken, &told);
		read_pieces(&g, fd, &n_read, false);
	}
	CHECK_INT(n_taken, n_given);
	CHECK_INT(n_read, n_sent);
	(void)close(fd);
	guest_done(&g);
}

/* ---- fs ---- */

struct server {
	pthread_t thread; /* the pool's */
	int timer_fd;
	bool refuses;
};

static uint32_t serve(void *server, void *context, const struct fs_request *request,
		      struct fs_later *(*keep)(const struct fs_request *request))
{
	(void)server, (void)context, (void)keep;
	memcpy(request->in[0].iov_base, "answer", 6);
	return 6;
}

static void nothing(void *server)
{
	(void)server;
}

static int timer_of(const void *server)
{
	return ((const struct server *)server)->timer_fd;
}

static void expired(void *server, void *context)
{
	(void)server, (void)context;
}

static int save_server(void *server, void *context, struct buffer *state, struct error **ret_error)
{
	(void)context, (void)ret_error;
	CHECK(pthread_equal(((const struct server *)server)->thread, pthread_self()));
	buffer_append(state, "tree", 4);
	return 0;
}

static int load_server(void *server, void *context, struct packed *state, struct error **ret_error)
{
	const struct server *mine = server;
	char bytes[4];

	(void)context;
	CHECK(pthread_equal(mine->thread, pthread_self()));
	if (mine->refuses)
		return error_set(ret_error, ESTALE, "a file is gone");
	CHECK(packed_take(state, bytes, sizeof(bytes)) && memcmp(bytes, "tree", 4) == 0);
	return 0;
}

static int enter(void *data, void **ret_context, struct error **ret_error)
{
	(void)ret_error;
	((struct server *)data)->thread = pthread_self();
	*ret_context = NULL;
	return 0;
}

static struct lane lane_of(void *server, const struct fs_request *request)
{
	(void)server, (void)request;
	return (struct lane){ 0 };
}

static struct virtio_device *new_fs(struct server *server, struct pool *pool)
{
	static const struct fs_server_ops ops = { .serve = serve,
						  .lane_of = lane_of,
						  .cancel = nothing,
						  .reset = nothing,
						  .timer_fd = timer_of,
						  .expired = expired,
						  .save = save_server,
						  .load = load_server,
						  .free = nothing };
	const struct fs_options options = {
		.tag = "tag",
		.ops = &ops,
		.server = server,
		.requests = pool,
		.urgent = pool,
		.threads_max = 2,
	};
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(fs_new(&options, &device, &error), &error);
	return device;
}

/* What its server knows is saved and loaded where requests are served, with that thread's
 * privileges. */
static void test_fs_at_work(void)
{
	struct server server = { .timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) };
	const struct pool_options pool_options = {
		.name = "test", .threads_max = 1, .enter = enter, .data = &server
	};
	struct driver_buffer buffers[2];
	struct driver_state state;
	static struct driver d;
	struct error *error = NULL;
	struct pool *pool;
	int head;

	CHECK_OK(pool_new(&pool_options, &pool, &error), &error);
	driver_init(&d, new_fs(&server, pool), 1 << 20);
	driver_start(&d, ~0ULL);
	buffers[0] = (struct driver_buffer){ driver_alloc(&d, 64, 64), 64 };
	buffers[1] = (struct driver_buffer){ driver_alloc(&d, 64, 64), 64 };
	for (int i = 0; i < ROUNDS; i++) {
		head = ring_add(&d.rings[1], buffers, 1, 1);
		driver_save(&d, &state);
		CHECK_OK(driver_load(&d, new_fs(&server, pool), &state, &error), &error);
		CHECK_INT(driver_complete(&d, 1, (uint16_t)head), 6);
		buffer_done(&state.own);
	}
	driver_save(&d, &state);
	server.refuses = true;
	CHECK_ERROR(driver_load(&d, new_fs(&server, pool), &state, &error), &error,
		    "device fs: share \"tag\": a file is gone");
	buffer_done(&state.own);
	driver_done(&d);
	pool_free(pool);
	(void)close(server.timer_fd);
}

static const struct test_case cases[] = {
	{ "disk at work", test_disk_at_work },	     { "disk stays", test_disk_stays },
	{ "other disk", test_other_disk },	     { "broken disk", test_broken_disk },
	{ "console at work", test_console_at_work }, { "rng at work", test_rng_at_work },
	{ "net at work", test_net_at_work },	     { "vsock at work", test_vsock_at_work },
	{ "vsock full", test_vsock_full },	     { "fs at work", test_fs_at_work },
};

TEST_MAIN(cases)
