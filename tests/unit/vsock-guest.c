/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's vsock, for tests: see vsock-guest.h. */
#include "tests/unit/vsock-guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "virtio/devices.h"

#define PATIENCE_NS 20000000000ULL

enum { RX, TX, EVENT };

void guest_add_rx(struct guest *g, unsigned buffer)
{
	/* As Linux does it: header and payload apart. */
	struct driver_buffer buffers[] = {
		{ g->rx_at[buffer], GUEST_HEADER },
		{ g->rx_at[buffer] + GUEST_HEADER, g->rx_size - GUEST_HEADER },
	};
	gpa_t table = g->rx_at[buffer] + (g->rx_size + 15) / 16 * 16;
	int head =
	    ring_add_indirect(&g->d.rings[RX], table, driver_at(&g->d, table), buffers, 0, 2);

	CHECK(head >= 0);
	g->rx_buffer_of_head[head] = (int)buffer;
}

void guest_start(struct guest *g, unsigned n_rx, uint64_t features)
{
	g->d.ram_used = 0;
	driver_start(&g->d, features);
	for (unsigned i = 0; i < n_rx; i++) {
		g->rx_at[i] = driver_alloc(&g->d, g->rx_size + 64, 64);
		guest_add_rx(g, i);
	}
	for (unsigned i = 0; i < GUEST_TX_SLOTS; i++) {
		g->tx_at[i] = driver_alloc(&g->d, GUEST_HEADER + GUEST_PACKET_MAX, 64);
		g->tx_busy[i] = false;
	}
	memset(g->tx_slot_of_head, -1, sizeof(g->tx_slot_of_head));
	driver_kick(&g->d, RX);
	loop_step(g->d.loop, 0);
	loop_step(g->d.loop, 0);
}

void guest_init(struct guest *g, unsigned n_rx, uint32_t rx_size)
{
	char directory[] = "/tmp/test-virtio-vsock-XXXXXX";
	/* The device binds the socket itself. */
	struct vsock_options options = { .guest_cid = GUEST_CID, .listen_fd = -1 };
	struct virtio_device *device;
	struct error *error = NULL;

	memset(g, 0, sizeof(*g));
	g->rx_size = rx_size;
	CHECK(mkdtemp(directory));
	g->path = xasprintf("%s/sock", directory);
	options.path = g->path;
	CHECK_OK(vsock_new(&options, &device, &error), &error);
	driver_init(&g->d, device, 16 << 20);
	guest_start(g, n_rx, ~0ULL);
}

void guest_done(struct guest *g)
{
	_cleanup_free_ char *directory = xstrdup(g->path);

	driver_done(&g->d);
	CHECK(access(g->path, F_OK) < 0);
	*strrchr(directory, '/') = '\0';
	(void)remove_tree(directory, NULL);
	free(g->path);
}

struct virtio_vsock_hdr guest_header(uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	return (struct virtio_vsock_hdr){
		.src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 256 * 1024,
	};
}

static void reclaim_tx(struct guest *g)
{
	uint16_t head;
	uint32_t written;

	while (ring_take(&g->d.rings[TX], &head, &written)) {
		CHECK_INT(written, 0);
		CHECK(g->tx_slot_of_head[head] >= 0);
		g->tx_busy[g->tx_slot_of_head[head]] = false;
		g->tx_slot_of_head[head] = -1;
	}
}

static int free_slot(struct guest *g)
{
	reclaim_tx(g);
	for (int i = 0; i < GUEST_TX_SLOTS; i++)
		if (!g->tx_busy[i])
			return i;
	return -1;
}

bool guest_send(struct guest *g, const struct virtio_vsock_hdr *header, const void *payload,
		uint32_t chain_size)
{
	int slot = free_slot(g);
	struct driver_buffer buffers[2];
	uint8_t *at;
	int head;

	if (slot < 0)
		return false;
	at = driver_at(&g->d, g->tx_at[slot]);
	memcpy(at, header, sizeof(*header));
	if (payload)
		memcpy(at + GUEST_HEADER, payload, header->len);
	if (chain_size == 0)
		chain_size = GUEST_HEADER + header->len;
	buffers[0] = (struct driver_buffer){ g->tx_at[slot], chain_size };
	if (chain_size > GUEST_HEADER) {
		buffers[0].length = GUEST_HEADER;
		buffers[1] = (struct driver_buffer){ g->tx_at[slot] + GUEST_HEADER,
						     chain_size - GUEST_HEADER };
	}
	head = ring_add(&g->d.rings[TX], buffers, chain_size > GUEST_HEADER ? 2 : 1, 0);
	if (head < 0)
		return false;
	g->tx_busy[slot] = true;
	g->tx_slot_of_head[head] = slot;
	driver_kick(&g->d, TX);
	return true;
}

bool guest_receive(struct guest *g, struct virtio_vsock_hdr *ret_header,
		   const uint8_t **ret_payload)
{
	uint16_t head;
	uint32_t written;
	unsigned buffer;
	const uint8_t *at;

	if (!ring_take(&g->d.rings[RX], &head, &written))
		return false;
	buffer = (unsigned)g->rx_buffer_of_head[head];
	at = driver_at(&g->d, g->rx_at[buffer]);
	memcpy(ret_header, at, sizeof(*ret_header));
	CHECK(written >= GUEST_HEADER && written == GUEST_HEADER + ret_header->len);
	CHECK(ret_header->src_cid == 2 || ret_header->op == VIRTIO_VSOCK_OP_RST);
	CHECK_INT(ret_header->dst_cid, GUEST_CID);
	/* The payload stays where it is until this buffer is used again, which
	 * needs the ring to come round: long after the caller has looked. */
	*ret_payload = at + GUEST_HEADER;
	if (!g->keep_rx) {
		static uint8_t copy[GUEST_PACKET_MAX + 4096];

		CHECK(ret_header->len <= sizeof(copy));
		memcpy(copy, at + GUEST_HEADER, ret_header->len);
		*ret_payload = copy;
		guest_add_rx(g, buffer);
		driver_kick(&g->d, RX);
	}
	return true;
}

struct virtio_vsock_hdr guest_expect(struct guest *g, uint16_t op)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	struct virtio_vsock_hdr header;
	const uint8_t *payload;

	while (!guest_receive(g, &header, &payload)) {
		CHECK(clock_monotonic_ns() < end);
		CHECK(!driver_needs_reset(&g->d));
		loop_step(g->d.loop, 10);
	}
	CHECK_INT(header.op, op);
	return header;
}

void guest_expect_nothing(struct guest *g)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;

	for (int i = 0; i < 5; i++)
		loop_step(g->d.loop, 5);
	if (guest_receive(g, &header, &payload))
		test_fail(__FILE__, __LINE__, "unexpected packet, op %u", header.op);
	CHECK(!driver_needs_reset(&g->d));
}

int host_listen(const struct guest *g, uint32_t port)
{
	_cleanup_free_ char *path = xasprintf("%s_%u", g->path, port);
	struct error *error = NULL;
	int fd = unix_listen(path, 0600, &error);

	CHECK_OK(fd, &error);
	CHECK(set_nonblocking(fd, true) == 0);
	return fd;
}

void host_unlisten(const struct guest *g, uint32_t port)
{
	_cleanup_free_ char *path = xasprintf("%s_%u", g->path, port);

	CHECK(unlink(path) == 0);
}

int host_accept(struct guest *g, int listen_fd)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(g->d.loop, 10);
	}
	return fd;
}

int host_connect(const struct guest *g, const char *greeting)
{
	struct error *error = NULL;
	int fd = unix_connect_nonblocking(g->path, &error);

	CHECK_OK(fd, &error);
	CHECK(write_all(fd, greeting, strlen(greeting)) == 0);
	return fd;
}

void host_expect(struct guest *g, int fd, const void *bytes, size_t size)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;
	uint8_t got[4096];
	size_t n = 0;

	CHECK(size <= sizeof(got));
	for (;;) {
		ssize_t r = read(fd, got + n, size == 0 ? 1 : size - n);

		CHECK(r >= 0 || errno == EAGAIN);
		if (r == 0 && size == 0)
			return;
		CHECK(r != 0);
		n += r > 0 ? (size_t)r : 0;
		CHECK(size > 0 || n == 0);
		if (n == size && size > 0)
			break;
		CHECK(clock_monotonic_ns() < end);
		if (r < 0)
			loop_step(g->d.loop, 10);
	}
	CHECK(memcmp(got, bytes, size) == 0);
}

/* ---- both ends ---- */

void guest_send_op(struct guest *g, uint16_t op, uint32_t host_port, uint32_t guest_port,
		   uint32_t flags)
{
	struct virtio_vsock_hdr header = guest_header(op, host_port, guest_port);

	header.flags = flags;
	CHECK(guest_send(g, &header, NULL, 0));
}

void guest_send_text(struct guest *g, uint32_t host_port, uint32_t guest_port, const char *text)
{
	struct virtio_vsock_hdr header = guest_header(VIRTIO_VSOCK_OP_RW, host_port, guest_port);

	header.len = (uint32_t)strlen(text);
	CHECK(guest_send(g, &header, text, 0));
}

void guest_expect_text(struct guest *g, const char *text)
{
	struct virtio_vsock_hdr header;
	const uint8_t *payload;
	uint64_t end = clock_monotonic_ns() + 20000000000ULL;

	while (!guest_receive(g, &header, &payload)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(g->d.loop, 10);
	}
	CHECK_INT(header.op, VIRTIO_VSOCK_OP_RW);
	CHECK_INT(header.len, strlen(text));
	CHECK(memcmp(payload, text, header.len) == 0);
}

void guest_expect_rst(struct guest *g, uint32_t host_port, uint32_t guest_port)
{
	struct virtio_vsock_hdr header = guest_expect(g, VIRTIO_VSOCK_OP_RST);

	CHECK_INT(header.src_port, host_port);
	CHECK_INT(header.dst_port, guest_port);
}

/* The guest connects to (2, port); the host's end. */
int guest_connect(struct guest *g, uint32_t port, uint32_t guest_port)
{
	int listen_fd = host_listen(g, port);
	struct virtio_vsock_hdr header;
	int fd;

	guest_send_op(g, VIRTIO_VSOCK_OP_REQUEST, port, guest_port, 0);
	fd = host_accept(g, listen_fd);
	header = guest_expect(g, VIRTIO_VSOCK_OP_RESPONSE);
	CHECK_INT(header.src_port, port);
	CHECK_INT(header.dst_port, guest_port);
	CHECK(header.buf_alloc >= 64 * 1024);
	CHECK_INT(header.fwd_cnt, 0);
	(void)close(listen_fd);
	host_unlisten(g, port);
	return fd;
}

/* A host client connects to the guest's port; *ret_host_port is its own. */
int guest_accept(struct guest *g, uint32_t port, uint32_t *ret_host_port)
{
	char line[32];
	int fd;
	struct virtio_vsock_hdr header;

	(void)snprintf(line, sizeof(line), "CONNECT %u\n", port);
	fd = host_connect(g, line);
	header = guest_expect(g, VIRTIO_VSOCK_OP_REQUEST);
	CHECK_INT(header.dst_port, port);
	CHECK_INT(header.type, VIRTIO_VSOCK_TYPE_STREAM);
	*ret_host_port = header.src_port;
	guest_send_op(g, VIRTIO_VSOCK_OP_RESPONSE, header.src_port, port, 0);
	(void)snprintf(line, sizeof(line), "OK %u\n", header.src_port);
	host_expect(g, fd, line, strlen(line));
	return fd;
}

/* The connection is known no more: what the guest sends for it gets an RST. */
void guest_check_gone(struct guest *g, uint32_t host_port, uint32_t guest_port)
{
	guest_send_op(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, host_port, guest_port, 0);
	guest_expect_rst(g, host_port, guest_port);
}
