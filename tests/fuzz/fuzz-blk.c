/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block requests of every shape, straight into the request handler (that is why
 * the .c is included: with the worker's thread in between, nothing would repeat).
 * Against a model for what they may change: a request that does not say OK to a
 * change has changed nothing, a read-only disk never changes, no disk its size.
 *
 * Input: flags (bit 0 read-only, bit 1 FLUSH, bit 2 DISCARD and WRITE_ZEROES
 * negotiated), then requests: number of out and in buffers (a nibble each), a
 * 16-bit length for each, then the out buffers' bytes.
 */
#include "tests/fuzz/input.h"
#include "virtio/blk.c"

#include <sys/mman.h>
#include <unistd.h>

#define DISK_SECTORS 16U
#define DISK_BYTES (DISK_SECTORS * SECTOR_SIZE)
#define LENGTH_MAX 9000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each buffer is allocated apart, so that one byte too far is seen. */
static void make_chain(struct input *input, struct chain *ret_chain)
{
	uint8_t counts = take(input);

	*ret_chain = (struct chain){ .n_out = counts & 7, .n_in = counts >> 4 & 7 };
	for (unsigned i = 0; i < ret_chain->n_out + ret_chain->n_in; i++) {
		unsigned low = take(input);
		uint32_t length = 1 + (low | (unsigned)take(input) << 8) % LENGTH_MAX;
		uint8_t *bytes = xcalloc(1, length);

		if (i < ret_chain->n_out) {
			size_t n = MIN((size_t)length, input->left);

			memcpy(bytes, input->at, n);
			input->at += n;
			input->left -= n;
			ret_chain->out_size += length;
		} else {
			ret_chain->in_size += length;
		}
		ret_chain->iov[i] = (struct iovec){ .iov_base = bytes, .iov_len = length };
	}
}

static void read_disk(const struct blk *blk, uint8_t *ret_bytes)
{
	uint8_t more;

	check(pread(blk->disk.fd, ret_bytes, DISK_BYTES, 0) == DISK_BYTES);
	check(pread(blk->disk.fd, &more, 1, DISK_BYTES) == 0);
}

static void one_request(const struct blk *blk, struct input *input)
{
	uint8_t before[DISK_BYTES], after[DISK_BYTES];
	struct error *error = NULL;
	struct chain chain;
	uint32_t written = 0;
	int r;

	make_chain(input, &chain);
	read_disk(blk, before);
	r = handle(blk, &chain, &written, &error);
	read_disk(blk, after);
	check((r < 0) == (chain.in_size == 0) && (r < 0) == (error != NULL));
	check(written <= chain.in_size);
	if (r == 0) {
		const struct iovec *last = &chain.iov[chain.n_out + chain.n_in - 1];
		uint8_t status = ((uint8_t *)last->iov_base)[last->iov_len - 1];

		check(status <= VIRTIO_BLK_S_UNSUPP);
		if (status != VIRTIO_BLK_S_OK || blk->disk.readonly)
			check(memcmp(before, after, DISK_BYTES) == 0);
	} else {
		check(memcmp(before, after, DISK_BYTES) == 0);
	}
	error_free(error);
	for (unsigned i = 0; i < chain.n_out + chain.n_in; i++)
		free(chain.iov[i].iov_base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t flags = take(&input);
	struct blk_options options = { .id = "fuzz", .readonly = flags & 1, .queues = 1 };
	struct virtio_device *device;
	struct blk *blk;

	options.fd = memfd_create("fuzz-blk", MFD_CLOEXEC);
	check(options.fd >= 0);
	for (unsigned i = 0; i < DISK_SECTORS; i++) {
		uint8_t sector[SECTOR_SIZE];

		memset(sector, (int)i + 1, sizeof(sector));
		check(pwrite(options.fd, sector, sizeof(sector), i * SECTOR_SIZE) ==
		      sizeof(sector));
	}
	check(blk_new(&options, &device, NULL) == 0);
	blk = (struct blk *)device;
	if (flags & 2)
		device->driver_features |= 1ULL << VIRTIO_BLK_F_FLUSH;
	if (flags & 4)
		device->driver_features |= device->features & (1ULL << VIRTIO_BLK_F_DISCARD |
							       1ULL << VIRTIO_BLK_F_WRITE_ZEROES);
	while (input.left > 0)
		one_request(blk, &input);
	device->ops->free(device);
	return 0;
}
