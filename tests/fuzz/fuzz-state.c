/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices, and a share's server, that are given a state which was theirs, altered.
 *
 * Input: which of them (0 to 5), how many bytes the device's own part loses (8 bits), how many are
 * added (8 bits), then changes: place (16 bits), value.  A place is counted over the transport's
 * part and the device's.  What takes the state goes on with it, for some steps.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/fuzz/input.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

#define RAM_SIZE (1u << 20)
#define DISK_SIZE 65536
#define STEPS 4
#define QUEUED 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { BLK, CONSOLE, NET, RNG, VSOCK, SHARE, KINDS };

static char directory[] = "/tmp/fuzz-state-XXXXXX";

static struct virtio_device *new_device(enum kind kind)
{
	_cleanup_free_ char *path = xasprintf("%s/vsock", directory);
	const struct console_options console = { open("/dev/null", O_WRONLY | O_CLOEXEC), -1 };
	const struct net_options net = {
		.fd = -1,
		.vhost_fd = -1,
		.mac = { 2, 0, 0, 0, 0, 1 },
		.n_more = 1,
		.more_fds = { -1 },
		.more_vhost_fds = { -1 },
	};
	const struct vsock_options vsock = { .guest_cid = 3, .path = path, .listen_fd = -1 };
	struct blk_options blk = { .id = "disk", .queues = 1 };
	struct virtio_device *device = NULL;
	int r;

	if (kind != CONSOLE)
		(void)close(console.output_fd);
	switch (kind) {
	case BLK:
		blk.fd = memfd_create("disk", MFD_CLOEXEC);
		check(ftruncate(blk.fd, DISK_SIZE) == 0);
		r = blk_new(&blk, &device, NULL);
		break;
	case CONSOLE:
		r = console_new(&console, &device, NULL);
		break;
	case NET:
		r = net_new(&net, &device, NULL);
		break;
	case RNG:
		r = rng_new(&device, NULL);
		break;
	default:
		r = vsock_new(&vsock, &device, NULL);
		break;
	}
	check(r == 0);
	return device;
}

/* Changes as the input says; the bytes are in two pieces. */
static void alter(struct input *input, uint8_t *first, size_t n_first, struct buffer *second)
{
	const size_t lost = MIN((size_t)take(input), buffer_length(second));
	static const uint8_t more[255];

	second->end -= lost;
	buffer_append(second, more, take(input));
	while (input->left >= 3) {
		const size_t place = (size_t)take(input) << 8 | take(input);
		const uint8_t value = take(input);

		if (place < n_first)
			first[place] = value;
		else if (place - n_first < buffer_length(second))
			buffer_data(second)[place - n_first] = value;
	}
}

/* With buffers in every queue, of which it has seen none. */
static void run_device(enum kind kind, struct input *input)
{
	struct driver_state state;
	struct driver d = { 0 };

	driver_init(&d, new_device(kind), RAM_SIZE);
	driver_start(&d, ~0ULL);
	for (unsigned queue = 0; queue < d.device->n_queues; queue++)
		for (int i = 0; i < QUEUED; i++) {
			const struct driver_buffer buffer = { driver_alloc(&d, 64, 64), 64 };

			(void)ring_add(&d.rings[queue], &buffer, queue == 1, queue != 1);
		}
	driver_save(&d, &state);
	alter(input, (uint8_t *)&state.transport, sizeof(state.transport), &state.own);
	(void)driver_load(&d, new_device(kind), &state, NULL);
	for (int i = 0; i < STEPS; i++)
		loop_step(d.loop, 0);
	driver_done(&d);
	buffer_done(&state.own);
}

/* A tree with a file and a directory that are open; beside it, what is not shared. */
static void *run_share(void *data)
{
	struct input *input = data;
	_cleanup_free_ char *path = NULL;
	struct buffer state = { 0 };
	struct client_options options = { .cache = FUSE_CACHE_AUTO };
	struct client client, again;
	struct fuse_open_out out;
	struct packed from;
	uint64_t node, fh;

	client_init(&client, &options);
	path = xasprintf("%s/file", client.dir);
	check(write_file_atomic(path, "text", 4, 0644, NULL) == 0);
	check(client_mkdir(&client, 1, "sub", 0755, 0, &node) == 0);
	check(client_opendir(&client, node, &fh) == 0);
	check(client_open(&client, client_walk(&client, "file"), O_RDWR, &out) == 0);
	check(fuse_save(client.server, &state, NULL) == 0);
	alter(input, NULL, 0, &state);
	options.dir = client.dir;
	options.without_init = true;
	client_init(&again, &options);
	from = (struct packed){ state.bytes, buffer_length(&state) };
	if (fuse_load(again.server, &from, NULL) == 0)
		for (uint64_t id = 1; id < 8; id++) {
			struct fuse_attr attr;
			char byte;

			(void)client_getattr(&again, id, &attr);
			(void)client_read(&again, id, id, 0, &byte, 1);
		}
	fuse_server_free(again.server);
	fuse_thread_free(again.thread);
	free(again.dir);
	client_done(&client);
	buffer_done(&state);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	pthread_t thread;
	const enum kind kind = (enum kind)(take(&input) % KINDS);

	log_set_level(LOG_LEVEL_ERROR);
	(void)strcpy(directory, "/tmp/fuzz-state-XXXXXX");
	check(mkdtemp(directory) != NULL);
	if (kind == SHARE) {
		/* A thread that serves has a working directory of its own. */
		check(pthread_create(&thread, NULL, run_share, &input) == 0 &&
		      pthread_join(thread, NULL) == 0);
	} else {
		run_device(kind, &input);
	}
	check(remove_tree(directory, NULL) == 0);
	return 0;
}
