/* SPDX-License-Identifier: Apache-2.0 */
/* The block device against a model, and what it must refuse. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checked.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

#define SECTOR 512U
#define SECTORS 2048U
#define DISK_SIZE (SECTORS * SECTOR)
#define F(feature) (1ULL << (feature))
#define ID "a serial of twenty b" /* exactly 20, no NUL on the wire */

/* ---- the system calls the disk makes: counted, cut short, held up ---- */

static _Atomic unsigned n_fdatasync, n_dsync_writes;
static _Atomic bool cut_short;
static _Atomic unsigned n_cut;
static _Atomic bool hold_reads;
static sem_t held, go_on;

int fdatasync(int fd)
{
	atomic_fetch_add(&n_fdatasync, 1);
	return (int)syscall(SYS_fdatasync, fd);
}

/* Every third call is interrupted, every other moves a few bytes only. */
static int shorten(const struct iovec *iov, struct iovec *ret_one)
{
	unsigned n = atomic_fetch_add(&n_cut, 1);

	if (n % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	*ret_one = iov[0];
	ret_one->iov_len = MIN(iov[0].iov_len, (size_t)(1 + n % 700));
	return 0;
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	struct iovec one;

	if (atomic_load(&hold_reads)) {
		(void)sem_post(&held);
		(void)sem_wait(&go_on);
	}
	if (!atomic_load(&cut_short))
		return syscall(SYS_preadv, fd, iov, n, offset, 0);
	return shorten(iov, &one) < 0 ? -1 : syscall(SYS_preadv, fd, &one, 1, offset, 0);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	struct iovec one;

	if (flags & RWF_DSYNC)
		atomic_fetch_add(&n_dsync_writes, 1);
	if (!atomic_load(&cut_short))
		return syscall(SYS_pwritev2, fd, iov, n, offset, 0, flags);
	return shorten(iov, &one) < 0 ? -1 : syscall(SYS_pwritev2, fd, &one, 1, offset, 0, flags);
}

/* ---- fixture ---- */

struct fixture {
	struct driver d;
	int fd; /* the same file, for looking */
	gpa_t header, status, data;
	uint8_t *data_at;
	uint8_t *status_at;
	uint8_t model[DISK_SIZE];
	unsigned seed;
};

static unsigned pick(struct fixture *f, unsigned n)
{
	return (unsigned)rand_r(&f->seed) % n;
}

enum backing { BACKING_FILE, BACKING_MEMORY };

static int make_file(enum backing backing)
{
	char path[] = "/tmp/test-virtio-blk-XXXXXX";
	int fd;

	if (backing == BACKING_MEMORY)
		return memfd_create("test-virtio-blk", MFD_CLOEXEC);
	fd = mkstemp(path);
	CHECK(fd >= 0 && unlink(path) == 0);
	return fd;
}

static void fixture_start(struct fixture *f, const struct blk_options *options)
{
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(blk_new(options, &device, &error), &error);
	driver_init(&f->d, device, 8 << 20);
	f->header = driver_alloc(&f->d, sizeof(struct virtio_blk_outhdr), 16);
	f->status = driver_alloc(&f->d, 1, 1);
	f->data = driver_alloc(&f->d, DISK_SIZE + SECTOR, 512);
	f->data_at = driver_at(&f->d, f->data);
	f->status_at = driver_at(&f->d, f->status);
	driver_start(&f->d, ~0ULL);
}

static void fill_model(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->seed = 12345;
	for (unsigned i = 0; i < DISK_SIZE; i++)
		f->model[i] = (uint8_t)(i / SECTOR + i * 7);
}

static void fixture_init(struct fixture *f, enum backing backing, bool readonly, unsigned queues)
{
	struct blk_options options = { .id = ID, .readonly = readonly, .queues = queues };

	fill_model(f);
	f->fd = make_file(backing);
	CHECK(pwrite(f->fd, f->model, DISK_SIZE, 0) == DISK_SIZE);
	options.fd = dup(f->fd);
	fixture_start(f, &options);
}

static void fixture_done(struct fixture *f)
{
	driver_done(&f->d);
	(void)close(f->fd);
}

/* Splits a range into pieces anywhere. */
static unsigned split(struct fixture *f, gpa_t gpa, uint32_t size, struct driver_buffer *buffers,
		      unsigned max)
{
	unsigned n = 0;

	while (size > 0) {
		uint32_t piece = n + 1 < max && pick(f, 3) ? 1 + pick(f, size) : size;

		buffers[n++] = (struct driver_buffer){ gpa, piece };
		gpa += piece;
		size -= piece;
	}
	return n;
}

struct request {
	uint32_t type;
	uint64_t sector;
	uint32_t out, in; /* data bytes, from f->data */
	uint32_t header;  /* bytes of it; 0: all */
};

/* Sends it in pieces; the status byte. *ret_written may be NULL. */
static uint8_t send_request(struct fixture *f, unsigned queue, const struct request *request,
			    uint32_t *ret_written)
{
	struct virtio_blk_outhdr *header = driver_at(&f->d, f->header);
	struct driver_buffer buffers[32];
	unsigned n_out, n_in;
	uint32_t written;
	int head;

	*header = (struct virtio_blk_outhdr){ .type = request->type, .sector = request->sector };
	n_out =
	    split(f, f->header, request->header ? request->header : sizeof(*header), buffers, 3);
	n_out += split(f, f->data, request->out, buffers + n_out, 8);
	n_in = split(f, f->data, request->in, buffers + n_out, 8);
	buffers[n_out + n_in++] = (struct driver_buffer){ f->status, 1 };
	*f->status_at = 0xaa;
	head = ring_add(&f->d.rings[queue], buffers, n_out, n_in);
	CHECK(head >= 0);
	written = driver_complete(&f->d, queue, (uint16_t)head);
	if (ret_written)
		*ret_written = written;
	return *f->status_at;
}

static void check_disk(struct fixture *f)
{
	static uint8_t disk[DISK_SIZE + 1];

	CHECK(pread(f->fd, disk, sizeof(disk), 0) == DISK_SIZE);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		if (disk[i] != f->model[i])
			test_fail(__FILE__, __LINE__, "disk differs from the model at 0x%x", i);
}

/* ---- the model ---- */

static void random_range(struct fixture *f, uint32_t *ret_sector, uint32_t *ret_n)
{
	*ret_n = 1 + pick(f, pick(f, 8) ? 16 : 300);
	*ret_sector = pick(f, SECTORS - *ret_n + 1);
}

static void random_read(struct fixture *f)
{
	uint32_t sector, n, written;

	random_range(f, &sector, &n);
	memset(f->data_at, 0x55, n * SECTOR);
	CHECK_INT(send_request(f, 0, &(struct request){ VIRTIO_BLK_T_IN, sector, 0, n * SECTOR, 0 },
			       &written),
		  VIRTIO_BLK_S_OK);
	CHECK_INT(written, n * SECTOR + 1);
	CHECK(memcmp(f->data_at, f->model + sector * SECTOR, n * SECTOR) == 0);
}

static void random_write(struct fixture *f)
{
	uint32_t sector, n, written;

	random_range(f, &sector, &n);
	for (uint32_t i = 0; i < n * SECTOR; i++)
		f->data_at[i] = (uint8_t)pick(f, 256);
	memcpy(f->model + sector * SECTOR, f->data_at, n * SECTOR);
	CHECK_INT(send_request(f, 0,
			       &(struct request){ VIRTIO_BLK_T_OUT, sector, n * SECTOR, 0, 0 },
			       &written),
		  VIRTIO_BLK_S_OK);
	CHECK_INT(written, 1);
}

static void put_range(struct fixture *f, unsigned i, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = { sector, n, flags };

	memcpy(f->data_at + i * sizeof(range), &range, sizeof(range));
}

static void random_zeroes(struct fixture *f)
{
	uint32_t sector, n;

	random_range(f, &sector, &n);
	put_range(f, 0, sector, n, pick(f, 2));
	memset(f->model + sector * SECTOR, 0, n * SECTOR);
	CHECK_INT(
	    send_request(f, 0, &(struct request){ VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, 0 }, NULL),
	    VIRTIO_BLK_S_OK);
}

/* What is read from a discarded sector is undefined, but here it is one of two. */
static void random_discard(struct fixture *f)
{
	static const uint8_t zeroes[SECTOR];
	uint32_t sectors[4], n[4];
	unsigned n_ranges = 1 + pick(f, 4);

	for (unsigned i = 0; i < n_ranges; i++) {
		random_range(f, &sectors[i], &n[i]);
		put_range(f, i, sectors[i], n[i], 0);
	}
	CHECK_INT(send_request(f, 0,
			       &(struct request){ VIRTIO_BLK_T_DISCARD, 0, n_ranges * 16, 0, 0 },
			       NULL),
		  VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < n_ranges; i++)
		for (uint32_t s = sectors[i]; s < sectors[i] + n[i]; s++) {
			uint8_t now[SECTOR];

			CHECK(pread(f->fd, now, SECTOR, s * SECTOR) == SECTOR);
			CHECK(memcmp(now, zeroes, SECTOR) == 0 ||
			      memcmp(now, f->model + s * SECTOR, SECTOR) == 0);
			memcpy(f->model + s * SECTOR, now, SECTOR);
		}
}

static void random_other(struct fixture *f)
{
	uint32_t written;

	if (pick(f, 2)) {
		CHECK_INT(send_request(f, 0, &(struct request){ VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0 },
				       &written),
			  VIRTIO_BLK_S_OK);
		CHECK_INT(written, 1);
		return;
	}
	CHECK_INT(
	    send_request(f, 0, &(struct request){ VIRTIO_BLK_T_GET_ID, 0, 0, 20, 0 }, &written),
	    VIRTIO_BLK_S_OK);
	CHECK_INT(written, 21);
	CHECK(memcmp(f->data_at, ID, 20) == 0);
}

/* One of the requests that must change nothing. */
static const struct bad_request {
	struct request request;
	uint8_t status;
	struct virtio_blk_discard_write_zeroes range; /* the data */
} bad_requests[] = {
	/* at, over and far past the end; sums that wrap */
	{ { VIRTIO_BLK_T_IN, SECTORS, 0, SECTOR, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_IN, SECTORS - 1, 0, 2 * SECTOR, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, SECTORS, SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, SECTORS - 1, 2 * SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, UINT64_MAX, SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, 1ULL << 55, SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, (1ULL << 55) + 1, SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	/* not whole sectors */
	{ { VIRTIO_BLK_T_IN, 0, 0, SECTOR - 1, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, 0, SECTOR + 1, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	/* data on the wrong side, or on both */
	{ { VIRTIO_BLK_T_IN, 0, SECTOR, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, 0, 0, SECTOR, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_OUT, 0, SECTOR, SECTOR, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_FLUSH, 0, 0, SECTOR, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_GET_ID, 0, 0, 19, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_GET_ID, 0, 0, 21, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_GET_ID, 0, 20, 20, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	/* half a header */
	{ { VIRTIO_BLK_T_OUT, 0, 0, 0, 15 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_FLUSH, 0, 0, 0, 1 }, VIRTIO_BLK_S_IOERR, { 0 } },
	/* nobody's type */
	{ { VIRTIO_BLK_T_SCSI_CMD, 0, 0, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0 } },
	{ { VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0, 1, 0 } },
	{ { 0x80000001, 0, SECTOR, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0 } },
	/* ranges: none, half, too many, too long, past the end, unknown flags */
	{ { VIRTIO_BLK_T_DISCARD, 0, 0, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 15, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0, 1, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 33 * 16, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0, 1, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 16, 0 }, VIRTIO_BLK_S_IOERR, { 0, 1, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, VIRTIO_BLK_S_IOERR, { SECTORS, 1, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, VIRTIO_BLK_S_IOERR, { UINT64_MAX, 2, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0, UINT32_MAX, 0 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0, 1, 1 } },
	{ { VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0, 1, 2 } },
	{ { VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, 0 }, VIRTIO_BLK_S_UNSUPP, { 0, 1, 2 } },
	{ { VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0, 0 }, VIRTIO_BLK_S_IOERR, { 0, 1, 0 } },
	{ { VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, 0 }, VIRTIO_BLK_S_IOERR, { SECTORS - 1, 2, 0 } },
};

static void send_bad(struct fixture *f, const struct bad_request *bad)
{
	uint8_t status;

	memset(f->data_at, 0x77, 64 * SECTOR);
	memcpy(f->data_at, &bad->range, sizeof(bad->range));
	status = send_request(f, 0, &bad->request, NULL);
	if (status != bad->status)
		test_fail(__FILE__, __LINE__, "bad request %zu got status %u, not %u",
			  (size_t)(bad - bad_requests), status, bad->status);
}

static void run_model(enum backing backing, int operations)
{
	static void (*const ops[])(struct fixture *) = {
		random_read,  random_read,   random_read,    random_write,
		random_write, random_zeroes, random_discard, random_other,
	};
	static struct fixture f;

	fixture_init(&f, backing, false, 1);
	for (int i = 0; i < operations; i++) {
		if (pick(&f, 10) == 0)
			send_bad(&f, &bad_requests[pick(&f, ARRAY_SIZE(bad_requests))]);
		else
			ops[pick(&f, ARRAY_SIZE(ops))](&f);
		if (i % 500 == 0)
			check_disk(&f);
	}
	check_disk(&f);
	fixture_done(&f);
}

static void test_model_file(void)
{
	run_model(BACKING_FILE, 6000);
}

static void test_model_memory(void)
{
	run_model(BACKING_MEMORY, 6000);
}

static void test_model_short_counts(void)
{
	atomic_store(&cut_short, true);
	run_model(BACKING_MEMORY, 1000);
	CHECK(atomic_load(&n_cut) > 1000);
}

static void test_bad_requests(void)
{
	static struct fixture f;

	fixture_init(&f, BACKING_MEMORY, false, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad_requests); i++) {
		send_bad(&f, &bad_requests[i]);
		check_disk(&f);
	}
	/* One bad range, and none of them is touched. */
	put_range(&f, 0, 0, 8, 0);
	put_range(&f, 1, SECTORS, 1, 0);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_DISCARD, 0, 32, 0, 0 }, NULL),
		  VIRTIO_BLK_S_IOERR);
	check_disk(&f);
	/* A file that has become shorter. */
	CHECK(ftruncate(f.fd, DISK_SIZE / 2) == 0);
	CHECK_INT(
	    send_request(&f, 0,
			 &(struct request){ VIRTIO_BLK_T_IN, SECTORS / 2 - 1, 0, 2 * SECTOR, 0 },
			 NULL),
	    VIRTIO_BLK_S_IOERR);
	fixture_done(&f);
}

/* Nowhere to put the status: that breaks the rules of the device. */
static void test_no_status(void)
{
	static struct fixture f;
	struct driver_buffer buffer;

	fixture_init(&f, BACKING_MEMORY, false, 1);
	buffer = (struct driver_buffer){ f.header, 16 };
	(void)ring_add(&f.d.rings[0], &buffer, 1, 0);
	driver_kick(&f.d, 0);
	driver_expect_needs_reset(&f.d);
	check_disk(&f);
	driver_start(&f.d, ~0ULL);
	random_read(&f);
	/* So does a broken ring, met on the worker. */
	ring_publish(&f.d.rings[0], 0xffff);
	driver_kick(&f.d, 0);
	driver_expect_needs_reset(&f.d);
	driver_start(&f.d, ~0ULL);
	random_read(&f);
	fixture_done(&f);
}

static void test_readonly(void)
{
	static struct fixture f;

	fixture_init(&f, BACKING_FILE, true, 1);
	CHECK(f.d.device->features & F(VIRTIO_BLK_F_RO));
	CHECK(!(f.d.device->features & (F(VIRTIO_BLK_F_DISCARD) | F(VIRTIO_BLK_F_WRITE_ZEROES))));
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_OUT, 0, SECTOR, 0, 0 }, NULL),
		  VIRTIO_BLK_S_IOERR);
	put_range(&f, 0, 0, 8, 0);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, NULL),
		  VIRTIO_BLK_S_UNSUPP);
	CHECK_INT(
	    send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, 0, 0 }, NULL),
	    VIRTIO_BLK_S_UNSUPP);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0 }, NULL),
		  VIRTIO_BLK_S_OK);
	random_read(&f);
	check_disk(&f);
	fixture_done(&f);
}

static void test_flush(void)
{
	static struct fixture f;
	unsigned before;

	fixture_init(&f, BACKING_FILE, false, 1);
	random_write(&f);
	CHECK_INT(atomic_load(&n_dsync_writes), 0);
	before = atomic_load(&n_fdatasync);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0 }, NULL),
		  VIRTIO_BLK_S_OK);
	CHECK_INT(atomic_load(&n_fdatasync), before + 1);
	/* Not negotiated: every write is stable when it is completed. */
	driver_start(&f.d, ~F(VIRTIO_BLK_F_FLUSH));
	random_write(&f);
	CHECK_INT(atomic_load(&n_dsync_writes), 1);
	random_zeroes(&f);
	CHECK_INT(atomic_load(&n_fdatasync), before + 2);
	check_disk(&f);
	fixture_done(&f);
}

static void test_features_and_config(void)
{
	static struct fixture f;
	struct virtio_blk_config config;
	uint64_t wanted = F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_SEG_MAX) |
			  F(VIRTIO_BLK_F_SIZE_MAX) | F(VIRTIO_BLK_F_BLK_SIZE) |
			  F(VIRTIO_BLK_F_DISCARD) | F(VIRTIO_BLK_F_WRITE_ZEROES) |
			  F(VIRTIO_BLK_F_MQ);

	fixture_init(&f, BACKING_MEMORY, false, 3);
	CHECK(f.d.device->features == wanted);
	driver_config_read(&f.d, 0, &config, sizeof(config));
	CHECK_INT(config.capacity, SECTORS);
	CHECK_INT(config.blk_size, 512);
	CHECK_INT(config.num_queues, 3);
	CHECK(config.seg_max > 0 && config.seg_max + 2 <= f.d.device->queue_size_max);
	CHECK(config.size_max >= 65536);
	CHECK_INT(config.max_discard_seg, 32);
	CHECK_INT(config.max_write_zeroes_seg, 1);
	CHECK_INT(config.write_zeroes_may_unmap, 1);
	/* Not negotiated, not there. */
	driver_start(&f.d, ~F(VIRTIO_BLK_F_DISCARD));
	put_range(&f, 0, 0, 8, 0);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_DISCARD, 0, 16, 0, 0 }, NULL),
		  VIRTIO_BLK_S_UNSUPP);
	check_disk(&f);
	fixture_done(&f);
}

/* Many requests at once on several queues, completed in any order. */
static void test_queues(void)
{
	enum { QUEUES = 4, DEPTH = 16 };
	static struct fixture f;
	gpa_t slots;
	unsigned done = 0;

	fixture_init(&f, BACKING_FILE, false, QUEUES);
	slots = driver_alloc(&f.d, QUEUES * DEPTH * 1024, 16);
	for (int round = 0; round < 50; round++) {
		for (unsigned i = 0; i < QUEUES * DEPTH; i++) {
			gpa_t slot = slots + i * 1024;
			uint32_t sector = i * 8 + (unsigned)round % 8;
			struct virtio_blk_outhdr header = {
				.type = round % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
				.sector = sector,
			};
			struct driver_buffer buffers[] = { { slot, 16 },
							   { slot + 16, SECTOR },
							   { slot + 16 + SECTOR, 1 } };

			memcpy(driver_at(&f.d, slot), &header, sizeof(header));
			memset(driver_at(&f.d, slot + 16), round, SECTOR);
			if (round % 2)
				memset(f.model + sector * SECTOR, round, SECTOR);
			CHECK(ring_add(&f.d.rings[i % QUEUES], buffers, round % 2 ? 2 : 1,
				       round % 2 ? 1 : 2) >= 0);
		}
		for (unsigned queue = 0; queue < QUEUES; queue++)
			driver_kick(&f.d, queue);
		for (unsigned left = QUEUES * DEPTH; left > 0;) {
			uint16_t head;
			uint32_t written;
			bool any = false;

			for (unsigned queue = 0; queue < QUEUES; queue++)
				while (ring_take(&f.d.rings[queue], &head, &written)) {
					any = true;
					left--;
					done++;
				}
			if (!any)
				loop_step(f.d.loop, 1000);
		}
		for (unsigned i = 0; round % 2 == 0 && i < QUEUES * DEPTH; i++)
			CHECK(memcmp(driver_at(&f.d, slots + i * 1024 + 16),
				     f.model + (i * 8 + (unsigned)round % 8) * SECTOR,
				     SECTOR) == 0);
	}
	CHECK_INT(done, 50 * QUEUES * DEPTH);
	check_disk(&f);
	fixture_done(&f);
}

/* A disk that does not answer holds up its queue, and nothing else. */
static void test_blocked_disk(void)
{
	static struct fixture f;
	struct driver_buffer buffers[3];
	uint32_t written;
	uint64_t sectors;
	uint16_t head;

	CHECK(sem_init(&held, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	fixture_init(&f, BACKING_FILE, false, 2);
	buffers[0] = (struct driver_buffer){ driver_alloc(&f.d, 16, 16), 16 };
	buffers[1] = (struct driver_buffer){ driver_alloc(&f.d, SECTOR, 16), SECTOR };
	buffers[2] = (struct driver_buffer){ driver_alloc(&f.d, 1, 1), 1 };
	memset(driver_at(&f.d, buffers[0].gpa), 0, 16); /* T_IN, sector 0 */
	atomic_store(&hold_reads, true);
	(void)ring_add(&f.d.rings[1], buffers, 1, 2);
	driver_kick(&f.d, 1);
	CHECK(sem_wait(&held) == 0);
	driver_config_read(&f.d, 0, &sectors, sizeof(sectors));
	CHECK_INT(sectors, SECTORS);
	CHECK(!driver_needs_reset(&f.d));
	random_write(&f);
	check_disk(&f);
	CHECK(!ring_take(&f.d.rings[1], &head, &written));
	atomic_store(&hold_reads, false);
	CHECK(sem_post(&go_on) == 0);
	while (!ring_take(&f.d.rings[1], &head, &written))
		loop_step(f.d.loop, 100);
	CHECK_INT(written, SECTOR + 1);
	/* A queue taken back has no worker any more. */
	driver_stop_queue(&f.d, 1);
	(void)ring_add(&f.d.rings[1], buffers, 1, 2);
	driver_notify(&f.d, 1);
	random_read(&f);
	CHECK(!ring_take(&f.d.rings[1], &head, &written));
	fixture_done(&f);
}

/* Resets while requests are under way: nothing comes after, nothing hangs. */
static void test_reset_in_flight(void)
{
	static struct fixture f;
	struct driver_buffer buffers[3];

	fixture_init(&f, BACKING_FILE, false, 2);
	buffers[0] = (struct driver_buffer){ f.header, 16 };
	buffers[1] = (struct driver_buffer){ f.data, 64 * SECTOR };
	buffers[2] = (struct driver_buffer){ f.status, 1 };
	for (int i = 0; i < 200; i++) {
		uint16_t used;

		f.d.ram_used = 4 << 20;
		memset(driver_at(&f.d, f.header), 0, 16);
		driver_start(&f.d, ~0ULL);
		while (ring_add(&f.d.rings[0], buffers, 1, 2) >= 0)
			continue;
		driver_notify(&f.d, 0);
		if (i % 2)
			loop_step(f.d.loop, 1);
		driver_reset(&f.d);
		used = f.d.rings[0].used->idx;
		loop_step(f.d.loop, 0);
		CHECK_INT(f.d.rings[0].used->idx, used);
	}
	driver_start(&f.d, ~0ULL);
	random_read(&f);
	fixture_done(&f);
}

static void refuse(int fd, bool readonly, const char *id, unsigned queues, const char *part)
{
	struct blk_options options = { .fd = fd, .id = id, .readonly = readonly, .queues = queues };
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_ERROR(blk_new(&options, &device, &error), &error, part);
	CHECK(fcntl(fd, F_GETFD) < 0); /* taken over all the same */
}

static void test_refused_options(void)
{
	int odd = make_file(BACKING_MEMORY);

	CHECK(ftruncate(odd, 1000) == 0);
	refuse(odd, true, NULL, 1, "multiple of 512");
	refuse(open("/dev/zero", O_RDWR | O_CLOEXEC), false, NULL, 1, "neither a file");
	refuse(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), false, NULL, 1, "not open for");
	refuse(open("/proc/self/exe", O_PATH | O_CLOEXEC), true, NULL, 1, "not open for");
	refuse(make_file(BACKING_MEMORY), false, "a serial of twenty-one", 1, "id longer");
	refuse(make_file(BACKING_MEMORY), false, NULL, 0, "0 queues");
	refuse(make_file(BACKING_MEMORY), false, NULL, 17, "17 queues");
}

/* ---- several files ---- */

/* Of these sizes, the model in them; what is between two is zeros. */
static void make_pieces(struct fixture *f, const uint32_t *sizes, size_t n, int *ret_fds)
{
	uint32_t start = 0;

	for (size_t i = 0; i < n; i++) {
		const uint32_t end = start + sizes[i], next = (end + 4095) & ~4095U;

		ret_fds[i] = make_file(BACKING_MEMORY);
		CHECK(pwrite(ret_fds[i], f->model + start, sizes[i], 0) == (ssize_t)sizes[i]);
		if (i + 1 < n)
			memset(f->model + end, 0, next - end);
		start = next;
	}
}

static void test_pieces(void)
{
	static const uint32_t sizes[] = { 5 * SECTOR,	SECTOR,	    4096,
					  100 * SECTOR, 7 * SECTOR, DISK_SIZE - 4096 * 17 };
	static struct fixture f;
	int fds[ARRAY_SIZE(sizes)];
	struct blk_options options = { .readonly = true,
				       .queues = 1,
				       .more_fds = &fds[1],
				       .n_more_fds = ARRAY_SIZE(sizes) - 1 };

	fill_model(&f);
	make_pieces(&f, sizes, ARRAY_SIZE(sizes), fds);
	options.fd = fds[0];
	f.fd = -1;
	fixture_start(&f, &options);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 300; i++)
			random_read(&f);
		atomic_store(&cut_short, true);
	}
	atomic_store(&cut_short, false);
	CHECK_INT(send_request(&f, 0,
			       &(struct request){ VIRTIO_BLK_T_IN, SECTORS - 1, 0, 2 * SECTOR, 0 },
			       NULL),
		  VIRTIO_BLK_S_IOERR);
	CHECK_INT(send_request(&f, 0, &(struct request){ VIRTIO_BLK_T_OUT, 0, SECTOR, 0, 0 }, NULL),
		  VIRTIO_BLK_S_IOERR);
	driver_done(&f.d);
}

/* What was handed over is closed. */
static void test_refused_pieces(void)
{
	static const struct {
		uint32_t size;
		bool readonly;
		const char *error;
	} cases[] = {
		{ SECTOR + 1, true, "pad the image" },
		{ SECTOR, false, "a disk of several files is read-only" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int more[] = { make_file(BACKING_MEMORY), make_file(BACKING_MEMORY) };
		struct blk_options options = { .fd = make_file(BACKING_MEMORY),
					       .readonly = cases[i].readonly,
					       .queues = 1,
					       .more_fds = more,
					       .n_more_fds = 2 };
		struct virtio_device *device;
		struct error *error = NULL;

		CHECK(ftruncate(options.fd, SECTOR) == 0 &&
		      ftruncate(more[0], cases[i].size) == 0 && ftruncate(more[1], SECTOR) == 0);
		CHECK_ERROR(blk_new(&options, &device, &error), &error, cases[i].error);
		CHECK(fcntl(options.fd, F_GETFD) < 0 && fcntl(more[0], F_GETFD) < 0 &&
		      fcntl(more[1], F_GETFD) < 0);
	}
}

static const struct test_case cases[] = {
	{ "model, file", test_model_file },
	{ "model, memory", test_model_memory },
	{ "model, short counts", test_model_short_counts },
	{ "bad requests", test_bad_requests },
	{ "no status byte", test_no_status },
	{ "read-only", test_readonly },
	{ "flush", test_flush },
	{ "features and config", test_features_and_config },
	{ "queues", test_queues },
	{ "blocked disk", test_blocked_disk },
	{ "reset in flight", test_reset_in_flight },
	{ "refused options", test_refused_options },
	{ "pieces", test_pieces },
	{ "refused pieces", test_refused_pieces },
};

TEST_MAIN(cases)
