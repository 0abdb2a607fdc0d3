/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device between a hostile guest and careless host clients: packets
 * with any header, clients that write, read, half-close and leave, resets, all
 * in any order, with real unix sockets.  The device never crashes, never hangs,
 * keeps to the credit it was given, and works after a reset.
 *
 * Input: a row of operations, each a byte (see run()) and its arguments.
 */
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "tests/fuzz/input.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define CID 3
#define CLIENTS 4
#define N_PORTS 2 /* host ports somebody listens on: 0, 1; not 2, 3 */
#define RX_BUFFERS 16
#define RX_SIZE 600
#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define RAM_SIZE (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct driver d;
	int clients[CLIENTS];
	gpa_t rx[RX_BUFFERS], tx;
	uint32_t last_host_port; /* of the latest REQUEST that came */
};

/* Once for the process: the sockets. */
static char directory[] = "/tmp/fuzz-vsock-XXXXXX";
static char *path;
static int listen_fd, service_fds[N_PORTS];

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static void set_up(void)
{
	if (path)
		return;
	(void)signal(SIGPIPE, SIG_IGN);
	check(mkdtemp(directory) && atexit(remove_directory) == 0);
	path = xasprintf("%s/s", directory);
	listen_fd = unix_listen(path, 0600, NULL);
	for (unsigned i = 0; i < N_PORTS; i++) {
		_cleanup_free_ char *service = xasprintf("%s_%u", path, i);

		service_fds[i] = unix_listen(service, 0600, NULL);
		check(service_fds[i] >= 0 && set_nonblocking(service_fds[i], true) == 0);
	}
	check(listen_fd >= 0);
}

static void step(struct machine *m)
{
	for (int i = 0; i < 3; i++)
		loop_step(m->d.loop, 0);
}

static void add_rx(struct machine *m, unsigned i)
{
	struct driver_buffer buffer = { m->rx[i], RX_SIZE };

	(void)ring_add(&m->d.rings[0], &buffer, 0, 1);
}

static void start(struct machine *m)
{
	struct driver_buffer event;

	m->d.ram_used = 0;
	driver_start(&m->d, ~0ULL);
	for (unsigned i = 0; i < RX_BUFFERS; i++) {
		m->rx[i] = driver_alloc(&m->d, RX_SIZE, 16);
		add_rx(m, i);
	}
	event = (struct driver_buffer){ driver_alloc(&m->d, 4, 4), 4 };
	(void)ring_add(&m->d.rings[2], &event, 0, 1);
	m->tx = driver_alloc(&m->d, HEADER + 70000, 16);
	driver_kick(&m->d, 0);
	driver_kick(&m->d, 2);
	step(m);
}

/* What came: headers must be sane, whatever was sent. */
static void receive(struct machine *m)
{
	uint16_t head;
	uint32_t written;

	while (ring_take(&m->d.rings[0], &head, &written)) {
		unsigned i = (unsigned)((m->d.rings[0].desc[head].addr - m->rx[0]) /
					((RX_SIZE + 15) / 16 * 16));
		const struct virtio_vsock_hdr *header = driver_at(&m->d, m->rx[i]);

		check(written >= HEADER && written <= RX_SIZE && header->len == written - HEADER);
		check(header->dst_cid == CID);
		check(header->op >= VIRTIO_VSOCK_OP_REQUEST &&
		      header->op <= VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		check(header->len == 0 || header->op == VIRTIO_VSOCK_OP_RW);
		if (header->op == VIRTIO_VSOCK_OP_REQUEST)
			m->last_host_port = header->src_port;
		add_rx(m, i);
	}
	driver_kick(&m->d, 0);
	while (ring_take(&m->d.rings[1], &head, &written))
		check(written == 0);
	check(!ring_take(&m->d.rings[2], &head, &written));
}

/* Mostly sane fields, so that states are reached; now and then any. */
static void send_packet(struct machine *m, struct input *input)
{
	struct virtio_vsock_hdr *header = driver_at(&m->d, m->tx);
	uint8_t kind = take(input), ports = take(input), length = take(input);
	uint32_t chain_size;
	struct driver_buffer buffers[2];
	int head;

	*header = (struct virtio_vsock_hdr){
		.src_cid = kind & 0x80 ? take(input) : CID,
		.dst_cid = kind & 0x40 ? take(input) : 2,
		.src_port = ports >> 4 & 3,
		.dst_port = ports & 0x80 ? m->last_host_port : ports & 3,
		.type = kind & 0x20 ? take(input) : VIRTIO_VSOCK_TYPE_STREAM,
		.op = kind & 0x0f,
		.flags = ports >> 2 & 3,
		.buf_alloc = kind & 0x10 ? take(input) * 16U : 65536,
		.fwd_cnt = kind & 0x10 ? take(input) * 16U : 0,
	};
	if (header->op == VIRTIO_VSOCK_OP_RW)
		header->len = length & 0x80 ? (length & 0x7f) * 547U : length;
	chain_size = HEADER + header->len;
	if (kind == 0xff)
		header->len = take(input) * 0x1010101U;
	if (kind == 0xfe)
		chain_size = 1 + take(input) % HEADER;
	buffers[0] = (struct driver_buffer){ m->tx, chain_size };
	if (chain_size > 50) {
		buffers[0].length = 50;
		buffers[1] = (struct driver_buffer){ m->tx + 50, chain_size - 50 };
	}
	head = ring_add(&m->d.rings[1], buffers, chain_size > 50 ? 2 : 1, 0);
	if (head >= 0)
		driver_kick(&m->d, 1);
}

static void client_connect(int *client, struct input *input)
{
	static const char *const greetings[] = { "CONNECT 1\n", "CONNECT 2\nhello", "CONN",
						 "GET /\n" };
	const char *greeting = greetings[take(input) % ARRAY_SIZE(greetings)];

	close_fdp(client);
	*client = unix_connect_nonblocking(path, NULL);
	if (*client >= 0)
		(void)send(*client, greeting, strlen(greeting), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void client_accept(int *client, struct input *input)
{
	int fd =
	    accept4(service_fds[take(input) % N_PORTS], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	close_fdp(client);
	*client = fd;
}

static void client_turn(struct machine *m, uint8_t what, struct input *input)
{
	static char bytes[4096];
	int *client = &m->clients[what >> 4 & 3];

	switch (what & 7) {
	case 0:
		client_connect(client, input);
		break;
	case 1:
		client_accept(client, input);
		break;
	case 2:
		(void)send(*client, bytes, take(input) * 16U, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 3:
		(void)recv(*client, bytes, sizeof(bytes), MSG_DONTWAIT);
		break;
	case 4:
		(void)shutdown(*client, take(input) % 3);
		break;
	default:
		close_fdp(client);
		*client = -1;
	}
}

static void run(struct machine *m, struct input *input)
{
	while (input->left > 0) {
		uint8_t what = take(input);

		if (what < 0x80)
			send_packet(m, input);
		else if (what < 0xf0)
			client_turn(m, what, input);
		else if (what == 0xf1)
			start(m);
		else if (what == 0xf2)
			driver_reset(&m->d);
		else
			step(m);
		if (what & 8)
			step(m);
		if (driver_needs_reset(&m->d)) {
			step(m);
			start(m);
		} else if (m->d.device->active) {
			receive(m);
		}
	}
}

/* What nobody accepted must not reach the next input. */
static void drain_backlogs(void)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		(void)close(fd);
	for (unsigned i = 0; i < N_PORTS; i++)
		while ((fd = accept4(service_fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct vsock_options options = { .guest_cid = CID };
	struct virtio_device *device;
	static struct machine m;

	set_up();
	log_set_level(LOG_LEVEL_ERROR);
	options.path = path;
	options.listen_fd = dup(listen_fd);
	check(vsock_new(&options, &device, NULL) == 0);
	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < CLIENTS; i++)
		m.clients[i] = -1;
	driver_init(&m.d, device, RAM_SIZE);
	start(&m);
	run(&m, &input);
	for (unsigned i = 0; i < CLIENTS; i++)
		close_fdp(&m.clients[i]);
	/* Still in order: nobody is on port 3. */
	driver_reset(&m.d);
	step(&m);
	drain_backlogs();
	start(&m);
	input = (struct input){ (const uint8_t[]){ VIRTIO_VSOCK_OP_REQUEST, 3, 0 }, 3 };
	send_packet(&m, &input);
	step(&m);
	check(m.d.rings[0].used->idx == 1);
	driver_done(&m.d);
	return 0;
}
