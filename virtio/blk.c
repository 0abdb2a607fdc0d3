/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device: virtio 1.2 §5.2.
 *
 * Each queue has a worker, which handles one request after the other: the disk
 * may block it as long as it likes.  A request is checked as a whole before
 * anything is read or written; its header and its discard segments are copied
 * out first, its data goes between disk and guest memory without a copy.
 *
 * Shape (§5.2.6): header (16 bytes, out), data (out or in), status (the last
 * byte of the in part), in any arrangement of descriptors (§2.7.4).
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "virtio/devices.h"
#include "virtio/disk.h"
#include "virtio/queue.h"
#include "virtio/worker.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE (1U << SECTOR_SHIFT)
#define BLK_QUEUE_SIZE 128
#define BLK_SEG_MAX (BLK_QUEUE_SIZE - 2) /* header and status */
#define BLK_SIZE_MAX (1U << 20)
#define BLK_DISCARD_SECTORS_MAX (1U << (30 - SECTOR_SHIFT))
#define BLK_DISCARD_SEG_MAX 32
#define BLK_DISCARD_ALIGNMENT (4096 / SECTOR_SIZE)
/* Zeroes may have to be written out: no more at once than that. */
#define BLK_ZEROES_SECTORS_MAX (1U << (26 - SECTOR_SHIFT))
#define BLK_ZEROES_SEG_MAX 1

#define DISCARD_SEGMENT_SIZE sizeof(struct virtio_blk_discard_write_zeroes)

struct blk {
	struct virtio_device device;
	struct disk disk;
	struct virtio_blk_config config;
	char id[VIRTIO_BLK_ID_BYTES];
	struct worker workers[BLK_QUEUES_MAX];
};

/* A request whose shape is right: out and in are the data's sizes, header and
 * status not counted. */
struct request {
	const struct chain *chain;
	uint32_t type;
	uint64_t sector;
	uint32_t out_size, in_size;
};

static bool negotiated(const struct blk *blk, unsigned feature)
{
	return blk->device.driver_features & (1ULL << feature);
}

static bool in_range(const struct blk *blk, uint64_t sector, uint64_t n_sectors)
{
	uint64_t capacity = blk->disk.size >> SECTOR_SHIFT;

	return sector <= capacity && n_sectors <= capacity - sector;
}

static uint8_t status_of(int result)
{
	return result < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t read_data(const struct blk *blk, const struct request *request)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	unsigned n;

	if (request->out_size != 0 || request->in_size % SECTOR_SIZE != 0 ||
	    !in_range(blk, request->sector, request->in_size >> SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	n = chain_in_slice(request->chain, 0, request->in_size, iov);
	return status_of(disk_read(&blk->disk, request->sector << SECTOR_SHIFT, iov, n));
}

static uint8_t write_data(const struct blk *blk, const struct request *request)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	unsigned n;

	if (blk->disk.readonly || request->in_size != 0 || request->out_size % SECTOR_SIZE != 0 ||
	    !in_range(blk, request->sector, request->out_size >> SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	n = chain_out_slice(request->chain, sizeof(struct virtio_blk_outhdr), request->out_size,
			    iov);
	/* §5.2.6.2: a driver without FLUSH has no other way to make it stable. */
	return status_of(disk_write(&blk->disk, request->sector << SECTOR_SHIFT, iov, n,
				    !negotiated(blk, VIRTIO_BLK_F_FLUSH)));
}

static uint8_t flush(const struct blk *blk, const struct request *request)
{
	if (request->in_size != 0)
		return VIRTIO_BLK_S_IOERR;
	return blk->disk.readonly ? VIRTIO_BLK_S_OK : status_of(disk_flush(&blk->disk));
}

static uint8_t get_id(const struct blk *blk, const struct request *request)
{
	if (request->out_size != 0 || request->in_size != sizeof(blk->id))
		return VIRTIO_BLK_S_IOERR;
	(void)chain_write(request->chain, 0, blk->id, sizeof(blk->id));
	return VIRTIO_BLK_S_OK;
}

/* Discard and write zeroes: which flags there may be, how many sectors and
 * segments at most. */
struct range_rules {
	unsigned feature;
	uint32_t flags;
	uint32_t sectors_max;
	uint32_t segments_max;
};

static const struct range_rules discard_rules = { VIRTIO_BLK_F_DISCARD, 0, BLK_DISCARD_SECTORS_MAX,
						  BLK_DISCARD_SEG_MAX };
static const struct range_rules zeroes_rules = { VIRTIO_BLK_F_WRITE_ZEROES,
						 VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
						 BLK_ZEROES_SECTORS_MAX, BLK_ZEROES_SEG_MAX };

static uint8_t check_range(const struct blk *blk, const struct range_rules *rules,
			   struct virtio_blk_discard_write_zeroes *range)
{
	range->sector = le64toh(range->sector);
	range->num_sectors = le32toh(range->num_sectors);
	range->flags = le32toh(range->flags);
	if (range->flags & ~rules->flags)
		return VIRTIO_BLK_S_UNSUPP; /* §5.2.6.2 */
	if (range->num_sectors > rules->sectors_max ||
	    !in_range(blk, range->sector, range->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static int change_range(const struct blk *blk, uint32_t type,
			const struct virtio_blk_discard_write_zeroes *range)
{
	uint64_t offset = range->sector << SECTOR_SHIFT;
	uint64_t size = (uint64_t)range->num_sectors << SECTOR_SHIFT;

	if (size == 0)
		return 0;
	if (type == VIRTIO_BLK_T_DISCARD)
		return disk_discard(&blk->disk, offset, size);
	if (disk_zero(&blk->disk, offset, size, range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) <
	    0)
		return -1;
	return negotiated(blk, VIRTIO_BLK_F_FLUSH) ? 0 : disk_flush(&blk->disk);
}

static uint8_t change_ranges(const struct blk *blk, const struct request *request,
			     const struct range_rules *rules)
{
	struct virtio_blk_discard_write_zeroes ranges[BLK_DISCARD_SEG_MAX];
	uint32_t n = request->out_size / DISCARD_SEGMENT_SIZE;

	if (!negotiated(blk, rules->feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (request->in_size != 0 || request->out_size % DISCARD_SEGMENT_SIZE != 0 || n == 0 ||
	    n > rules->segments_max)
		return VIRTIO_BLK_S_IOERR;
	(void)chain_read(request->chain, sizeof(struct virtio_blk_outhdr), ranges,
			 request->out_size);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t status = check_range(blk, rules, &ranges[i]);

		if (status != VIRTIO_BLK_S_OK)
			return status;
	}
	for (uint32_t i = 0; i < n; i++)
		if (change_range(blk, request->type, &ranges[i]) < 0)
			return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t execute(const struct blk *blk, const struct request *request)
{
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		return read_data(blk, request);
	case VIRTIO_BLK_T_OUT:
		return write_data(blk, request);
	case VIRTIO_BLK_T_FLUSH:
		return flush(blk, request);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(blk, request);
	case VIRTIO_BLK_T_DISCARD:
		return change_ranges(blk, request, &discard_rules);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return change_ranges(blk, request, &zeroes_rules);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static int handle(const struct blk *blk, const struct chain *chain, uint32_t *ret_written,
		  struct error **ret_error)
{
	struct virtio_blk_outhdr header;
	struct request request = { .chain = chain };
	uint8_t status = VIRTIO_BLK_S_IOERR;

	if (chain->in_size == 0)
		return error_set(ret_error, EPROTO, "request without a status byte");
	request.in_size = chain->in_size - 1;
	if (chain_read(chain, 0, &header, sizeof(header))) {
		request.type = le32toh(header.type);
		request.sector = le64toh(header.sector);
		request.out_size = chain->out_size - (uint32_t)sizeof(header);
		status = execute(blk, &request);
	}
	(void)chain_write(chain, request.in_size, &status, sizeof(status));
	/* §2.7.8.2: what is written counts from the start of the in part, so after
	 * a failure that left data unwritten nothing may be claimed. */
	*ret_written = status == VIRTIO_BLK_S_OK || request.in_size == 0 ? chain->in_size : 0;
	return 0;
}

static bool may_serve(const struct worker *worker)
{
	return !worker_stopping(worker) && !atomic_load(&worker->device->broken);
}

static int serve_some(struct worker *worker, struct virtq *vq, struct error **ret_error)
{
	struct virtio_device *device = worker->device;
	const struct blk *blk = (const struct blk *)device;
	struct chain chain;
	int r = 0;

	while (may_serve(worker) && (r = virtq_pop(vq, &chain, ret_error)) > 0) {
		uint32_t written = 0;

		if (handle(blk, &chain, &written, ret_error) < 0)
			return -1;
		virtq_push(vq, chain.head, written);
		if (virtq_should_notify(vq))
			device->interrupt(device, worker->queue);
	}
	return r;
}

static void serve(struct worker *worker)
{
	struct virtq *vq = &worker->device->queues[worker->queue];
	_cleanup_error_ struct error *error = NULL;
	int r = 0;

	while (may_serve(worker)) {
		virtq_disable_kicks(vq);
		r = serve_some(worker, vq, &error);
		if (r != 0 || !virtq_enable_kicks(vq))
			break;
	}
	if (r < 0)
		virtio_device_fault(worker->device, error);
}

static void blk_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size)
{
	memcpy(ret_bytes, (char *)&((struct blk *)device)->config + offset, size);
}

static int blk_start_queue(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct worker *worker = &((struct blk *)device)->workers[queue];

	worker->device = device;
	worker->queue = queue;
	worker->serve = serve;
	return worker_start(worker, ret_error);
}

static void blk_stop_queue(struct virtio_device *device, unsigned queue)
{
	worker_stop(&((struct blk *)device)->workers[queue]);
}

static void blk_reset(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->n_queues; i++)
		blk_stop_queue(device, i);
}

/* Which disk it is: another one under a running file system would be destroyed. */
struct blk_state {
	uint64_t size;
	char id[VIRTIO_BLK_ID_BYTES];
	uint32_t block_size, readonly, reserved;
};

static struct blk_state state_of(const struct blk *blk)
{
	struct blk_state state = {
		.size = blk->disk.size,
		.block_size = blk->disk.block_size,
		.readonly = blk->disk.readonly,
	};

	memcpy(state.id, blk->id, sizeof(state.id));
	return state;
}

/* What has been written is stable when somebody else may go on with the disk. */
static int blk_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	const struct blk *blk = (const struct blk *)device;
	const struct blk_state mine = state_of(blk);

	if (!blk->disk.readonly && disk_flush(&blk->disk) < 0)
		return error_set_errno(ret_error, errno, "cannot flush disk \"%.*s\"",
				       VIRTIO_BLK_ID_BYTES, blk->id);
	buffer_append(state, &mine, sizeof(mine));
	return 0;
}

static int blk_load(struct virtio_device *device, struct packed *state, struct error **ret_error)
{
	const struct blk_state mine = state_of((const struct blk *)device);
	struct blk_state saved;

	if (!packed_take(state, &saved, sizeof(saved)))
		return error_set(ret_error, EINVAL, "its state is cut short");
	if (memcmp(saved.id, mine.id, sizeof(mine.id)) != 0)
		return error_set(ret_error, EINVAL, "the disk's id is \"%.*s\", and was \"%.*s\"",
				 VIRTIO_BLK_ID_BYTES, mine.id, VIRTIO_BLK_ID_BYTES, saved.id);
	if (saved.size != mine.size || saved.block_size != mine.block_size)
		return error_set(ret_error, EINVAL,
				 "disk \"%.*s\" has %llu bytes in blocks of %u, and had %llu in "
				 "blocks of %u",
				 VIRTIO_BLK_ID_BYTES, mine.id, (unsigned long long)mine.size,
				 mine.block_size, (unsigned long long)saved.size, saved.block_size);
	if (saved.readonly != mine.readonly)
		return error_set(ret_error, EINVAL, "disk \"%.*s\" is %s, and was not",
				 VIRTIO_BLK_ID_BYTES, mine.id,
				 mine.readonly ? "read-only" : "writable");
	return 0;
}

static void blk_free(struct virtio_device *device)
{
	struct blk *blk = (struct blk *)device;

	disk_done(&blk->disk);
	virtio_device_done(device);
	free(blk);
}

static const struct virtio_device_ops blk_ops = {
	.config_read = blk_config_read,
	.start_queue = blk_start_queue,
	.stop_queue = blk_stop_queue,
	.reset = blk_reset,
	.save = blk_save,
	.load = blk_load,
	.free = blk_free,
};

static void fill_config(struct blk *blk)
{
	blk->config = (struct virtio_blk_config){
		.capacity = htole64(blk->disk.size >> SECTOR_SHIFT),
		.size_max = htole32(BLK_SIZE_MAX),
		.seg_max = htole32(BLK_SEG_MAX),
		.blk_size = htole32(blk->disk.block_size),
		.num_queues = htole16((uint16_t)blk->device.n_queues),
	};
	if (blk->disk.readonly)
		return;
	blk->config.max_discard_sectors = htole32(BLK_DISCARD_SECTORS_MAX);
	blk->config.max_discard_seg = htole32(BLK_DISCARD_SEG_MAX);
	blk->config.discard_sector_alignment = htole32(BLK_DISCARD_ALIGNMENT);
	blk->config.max_write_zeroes_sectors = htole32(BLK_ZEROES_SECTORS_MAX);
	blk->config.max_write_zeroes_seg = htole32(BLK_ZEROES_SEG_MAX);
	blk->config.write_zeroes_may_unmap = 1;
}

static uint64_t blk_features(bool readonly)
{
	uint64_t features = 1ULL << VIRTIO_BLK_F_SIZE_MAX | 1ULL << VIRTIO_BLK_F_SEG_MAX |
			    1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_FLUSH |
			    1ULL << VIRTIO_BLK_F_MQ;

	return features |
	       (readonly ? 1ULL << VIRTIO_BLK_F_RO
			 : 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES);
}

static int open_disk(const struct blk_options *options, struct disk *disk, struct error **ret_error)
{
	size_t i = 0;
	int result = disk_init(disk, options->fd, options->readonly, ret_error);

	for (; i < options->n_more_fds && result == 0; i++)
		result = disk_append(disk, options->more_fds[i], ret_error);
	if (result == 0)
		return 0;
	disk_done(disk);
	for (; i < options->n_more_fds; i++)
		(void)close(options->more_fds[i]);
	return -1;
}

int blk_new(const struct blk_options *options, struct virtio_device **ret_device,
	    struct error **ret_error)
{
	size_t id_size = options->id ? strlen(options->id) : 0;
	struct disk disk;
	struct blk *blk;

	if (open_disk(options, &disk, ret_error) < 0)
		return -1;
	if (id_size > VIRTIO_BLK_ID_BYTES || options->queues == 0 ||
	    options->queues > BLK_QUEUES_MAX) {
		disk_done(&disk);
		return error_set(ret_error, EINVAL,
				 "disk with an id longer than %u bytes, or %u queues",
				 VIRTIO_BLK_ID_BYTES, options->queues);
	}
	blk = xcalloc(1, sizeof(*blk));
	blk->disk = disk;
	if (id_size > 0)
		memcpy(blk->id, options->id, id_size);
	blk->device.ops = &blk_ops;
	blk->device.name = "blk";
	blk->device.type = VIRTIO_ID_BLOCK;
	blk->device.features = blk_features(options->readonly);
	blk->device.n_queues = options->queues;
	blk->device.queue_size_max = BLK_QUEUE_SIZE;
	blk->device.config_size = sizeof(blk->config);
	blk->device.has_workers = true;
	virtio_device_init(&blk->device);
	fill_config(blk);
	*ret_device = &blk->device;
	return 0;
}
