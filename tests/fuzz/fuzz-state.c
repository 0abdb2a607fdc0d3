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
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static char directory[] = "/dev/shm/fuzz-state-XXXXXX";

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

/* A tree with a file and a directory that are open, and a server that may have its state.  Made
 * once: a serving thread's working directory costs more than all the rest. */
static struct client share;
static struct buffer share_state;

static void open_share(void)
{
	const struct client_options options = { .cache = FUSE_CACHE_AUTO, .dir = directory };
	_cleanup_free_ char *path = xasprintf("%s/file", directory);
	struct fuse_open_out out;
	uint64_t node, fh;

	check(write_file_atomic(path, "text", 4, 0644, NULL) == 0);
	client_init(&share, &options);
	check(client_mkdir(&share, 1, "sub", 0755, 0, &node) == 0);
	check(client_opendir(&share, node, &fh) == 0);
	check(client_open(&share, client_walk(&share, "file"), O_RDWR, &out) == 0);
	check(fuse_save(share.server, &share_state, NULL) == 0);
}

static void complete(void *kept, const void *bytes, uint32_t size)
{
	(void)kept, (void)bytes, (void)size;
	check(false); /* nothing waits */
}

/* Nothing that a state says changes a file. */
static void check_share(void)
{
	_cleanup_free_ char *path = xasprintf("%s/file", directory);
	struct stat st;

	check(stat(path, &st) == 0 && st.st_size == 4 && st.st_nlink == 1);
}

static void run_share(struct input *input)
{
	_cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct fuse_options options = { .root_fd = fd,
					      .cache = FUSE_CACHE_AUTO,
					      .fds_max = 1000,
					      .nodes_max = CLIENT_NODES_MAX,
					      .complete = complete };
	struct buffer state = { 0 };
	struct client again = share;
	struct packed from;

	buffer_append(&state, buffer_data(&share_state), buffer_length(&share_state));
	alter(input, NULL, 0, &state);
	check(fd >= 0 && fuse_server_new(&options, &again.server, NULL) == 0);
	from = (struct packed){ buffer_data(&state), buffer_length(&state) };
	if (fuse_load(again.server, &from, NULL) == 0)
		for (uint64_t id = 1; id < 8; id++) {
			struct fuse_attr attr;
			char byte;

			(void)client_getattr(&again, id, &attr);
			(void)client_read(&again, id, id, 0, &byte, 1);
		}
	fuse_server_free(again.server);
	buffer_done(&state);
	check_share();
}

static sem_t begin, end;
static struct input next;

/* (Its working directory is its own.) */
static void *serve_inputs(void *data)
{
	(void)data;
	open_share();
	for (;;) {
		while (sem_wait(&begin) < 0)
			continue;
		run_share(&next);
		(void)sem_post(&end);
	}
	return NULL;
}

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static void set_up(void)
{
	pthread_t thread;

	log_set_level(LOG_LEVEL_ERROR);
	check(mkdtemp(directory) && atexit(remove_directory) == 0);
	check(sem_init(&begin, 0, 0) == 0 && sem_init(&end, 0, 0) == 0);
	check(pthread_create(&thread, NULL, serve_inputs, NULL) == 0);
	check(pthread_detach(thread) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct input input = { data, size };
	const enum kind kind = (enum kind)(take(&input) % KINDS);

	if (!ready)
		set_up();
	ready = true;
	if (kind == SHARE) {
		next = input;
		(void)sem_post(&begin);
		while (sem_wait(&end) < 0)
			continue;
	} else {
		run_device(kind, &input);
	}
	return 0;
}
