/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory device: virtio 1.2 §5.15.  A region of guest physical addresses, of which the driver
 * takes blocks (plugs them) and gives them back, until it has as many as the host asks for.
 *
 * The requested size is the host's wish, and nothing happens by itself: the driver hears of it by
 * an interrupt and sends requests, which are answered one by one.  It may never have more than was
 * asked for.  What it has when less is asked for stays, until it gives it back.
 *
 * A reset changes nothing about the blocks (§5.15.5.3).  A driver that does not know
 * UNPLUGGED_INACCESSIBLE may be one that reads what is not plugged; there are zeroes.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mem.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define MIB (1ULL << 20)
#define MEM_QUEUE_SIZE 64
/* (The largest answer; the structure's end is padding.) */
#define RESPONSE_SIZE (offsetof(struct virtio_mem_resp, u) + sizeof(struct virtio_mem_resp_state))

struct mem_device {
	struct virtio_device device;
	struct chain chain;
	uint64_t size; /* of the region; bytes, as are these: */
	uint64_t requested, plugged;
	struct mem_place place; /* no blocks: it has none, and nothing can be asked for */
};

/* What a state has; the words of the blocks follow. */
struct mem_state {
	uint64_t size, requested;
	uint64_t n_words;
};

/* ---- configuration ---- */

static void mem_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			    uint32_t size)
{
	const struct mem_device *mem = (struct mem_device *)device;
	const struct virtio_mem_config config = {
		.block_size = htole64(MEM_BLOCK_SIZE),
		.addr = htole64(mem->place.base),
		.region_size = htole64(mem->size),
		.usable_region_size = htole64(mem->place.blocks ? mem->size : 0),
		.plugged_size = htole64(mem->plugged),
		.requested_size = htole64(mem->requested),
	};

	(void)memcpy(ret_bytes, (const char *)&config + offset, size);
}

/* ---- requests ---- */

/* Some blocks of the region. */
struct range {
	size_t first, n;
};

/* The one check of what a request is about.  (All three have the same form.) */
static bool find_range(const struct mem_device *mem, const struct virtio_mem_req *request,
		       struct range *ret_range)
{
	const uint64_t address = le64toh(request->u.plug.addr);
	const size_t n = le16toh(request->u.plug.nb_blocks);
	uint64_t first;

	if (!mem->place.blocks || address < mem->place.base ||
	    (address - mem->place.base) % MEM_BLOCK_SIZE != 0)
		return false;
	first = (address - mem->place.base) / MEM_BLOCK_SIZE;
	if (n == 0 || n > mem->place.blocks->n || first > mem->place.blocks->n - n)
		return false;
	*ret_range = (struct range){ .first = first, .n = n };
	return true;
}

static int come(struct mem_device *mem, const struct range *range, struct error **ret_error)
{
	const struct mem_place *place = &mem->place;

	if (place->come && place->come(place->data, range->first * MEM_BLOCK_SIZE,
				       range->n * MEM_BLOCK_SIZE, ret_error) < 0)
		return -1;
	mem_blocks_set(place->blocks, range->first, range->n, true);
	mem->plugged += range->n * MEM_BLOCK_SIZE;
	return 0;
}

/* No device finds it any more, and then it goes. */
static bool go(struct mem_device *mem, const struct range *range)
{
	const struct mem_place *place = &mem->place;

	mem_blocks_set(place->blocks, range->first, range->n, false);
	if (place->go &&
	    place->go(place->data, range->first * MEM_BLOCK_SIZE, range->n * MEM_BLOCK_SIZE) < 0) {
		mem_blocks_set(place->blocks, range->first, range->n, true);
		return false;
	}
	mem->plugged -= range->n * MEM_BLOCK_SIZE;
	return true;
}

/* §5.15.6.2: never more than is asked for, nor what is there already. */
static uint16_t plug(struct mem_device *mem, const struct range *range)
{
	_cleanup_error_ struct error *error = NULL;
	const uint64_t size = range->n * MEM_BLOCK_SIZE;
	uint32_t suppressed;

	if (mem_blocks_have_any(mem->place.blocks, range->first, range->n))
		return VIRTIO_MEM_RESP_ERROR;
	if (mem->requested < mem->plugged || size > mem->requested - mem->plugged)
		return VIRTIO_MEM_RESP_NACK;
	if (come(mem, range, &error) == 0)
		return VIRTIO_MEM_RESP_ACK;
	if (ratelimit_pass(&mem->device.faults, &suppressed))
		log_warning("device mem: %s (%u more)", error->message, suppressed);
	return VIRTIO_MEM_RESP_BUSY;
}

static uint16_t unplug(struct mem_device *mem, const struct range *range)
{
	if (!mem_blocks_have_all(mem->place.blocks, range->first, range->n))
		return VIRTIO_MEM_RESP_ERROR;
	return go(mem, range) ? VIRTIO_MEM_RESP_ACK : VIRTIO_MEM_RESP_BUSY;
}

static uint16_t unplug_all(struct mem_device *mem)
{
	struct range range = { 0 };

	if (!mem->place.blocks)
		return VIRTIO_MEM_RESP_ACK;
	while ((range.n = mem_blocks_next(mem->place.blocks, &range.first)) > 0)
		if (!go(mem, &range))
			return VIRTIO_MEM_RESP_BUSY;
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t state_of(const struct mem_device *mem, const struct range *range)
{
	if (mem_blocks_have_all(mem->place.blocks, range->first, range->n))
		return VIRTIO_MEM_STATE_PLUGGED;
	return mem_blocks_have_any(mem->place.blocks, range->first, range->n)
		   ? VIRTIO_MEM_STATE_MIXED
		   : VIRTIO_MEM_STATE_UNPLUGGED;
}

/* The answer's type; a state goes to *ret_state. */
static uint16_t answer(struct mem_device *mem, const struct virtio_mem_req *request,
		       uint16_t *ret_state)
{
	const uint16_t type = le16toh(request->type);
	struct range range;

	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		return unplug_all(mem);
	if (!find_range(mem, request, &range))
		return VIRTIO_MEM_RESP_ERROR;
	switch (type) {
	case VIRTIO_MEM_REQ_PLUG:
		return plug(mem, &range);
	case VIRTIO_MEM_REQ_UNPLUG:
		return unplug(mem, &range);
	case VIRTIO_MEM_REQ_STATE:
		*ret_state = state_of(mem, &range);
		return VIRTIO_MEM_RESP_ACK;
	default:
		return VIRTIO_MEM_RESP_ERROR;
	}
}

static enum serve_result serve(struct virtio_device *device, struct chain *chain,
			       uint32_t *ret_written, struct error **ret_error)
{
	struct mem_device *mem = (struct mem_device *)device;
	struct virtio_mem_resp response = { 0 };
	struct virtio_mem_req request;
	uint16_t state = 0;

	if (!chain_read(chain, 0, &request, sizeof(request)) || chain->in_size < RESPONSE_SIZE)
		return error_set(ret_error, EPROTO, "a request of %u bytes, and %u for the answer",
				 chain->out_size, chain->in_size);
	response.type = htole16(answer(mem, &request, &state));
	response.u.state.state = htole16(state);
	(void)chain_write(chain, 0, &response, RESPONSE_SIZE);
	*ret_written = RESPONSE_SIZE;
	return SERVE_DONE;
}

static int mem_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct mem_device *mem = (struct mem_device *)device;

	return virtio_device_serve(device, queue, &mem->chain, serve, ret_error);
}

/* ---- state ---- */

static int mem_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	const struct mem_device *mem = (struct mem_device *)device;
	const struct mem_blocks *blocks = mem->place.blocks;
	struct mem_state saved = { .size = mem->size, .requested = mem->requested };
	struct range range = { 0 };

	(void)ret_error;
	for (; blocks && (range.n = mem_blocks_next(blocks, &range.first)) > 0;
	     range.first += range.n)
		saved.n_words = (range.first + range.n + 63) / 64;
	buffer_append(state, &saved, sizeof(saved));
	for (uint64_t i = 0; i < saved.n_words; i++) {
		const uint64_t word = atomic_load(&blocks->words[i]);

		buffer_append(state, &word, sizeof(word));
	}
	return 0;
}

static int load_word(struct mem_device *mem, size_t first, uint64_t word, struct error **ret_error)
{
	struct range range = { 0 };

	for (size_t i = 0; i < 64; i += range.n + 1) {
		range.first = first + i;
		range.n = 0;
		while (i + range.n < 64 && word >> (i + range.n) & 1)
			range.n++;
		if (range.n == 0)
			continue;
		if (range.first + range.n > mem->place.blocks->n)
			return error_set(ret_error, EINVAL, "it had blocks beyond its region");
		if (come(mem, &range, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int mem_load(struct virtio_device *device, struct packed *state, struct error **ret_error)
{
	struct mem_device *mem = (struct mem_device *)device;
	const uint64_t most = mem->place.blocks ? (mem->place.blocks->n + 63) / 64 : 0;
	struct mem_state saved;

	if (!packed_take(state, &saved, sizeof(saved)))
		return error_set(ret_error, EINVAL, "its state is cut short");
	if (saved.size != mem->size)
		return error_set(
		    ret_error, EINVAL, "the machine could grow by %llu MiB, not by %llu",
		    (unsigned long long)saved.size >> 20, (unsigned long long)mem->size >> 20);
	if (saved.requested > mem->size || saved.requested % MEM_BLOCK_SIZE != 0)
		return error_set(ret_error, EINVAL, "%llu bytes cannot have been asked for",
				 (unsigned long long)saved.requested);
	if (saved.n_words > most)
		return error_set(ret_error, EINVAL, "it had blocks beyond its region");
	mem->requested = saved.requested;
	for (uint64_t i = 0; i < saved.n_words; i++) {
		uint64_t word;

		if (!packed_take(state, &word, sizeof(word)))
			return error_set(ret_error, EINVAL, "its state is cut short");
		if (load_word(mem, i * 64, word, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* ---- the host's side ---- */

void mem_device_place(struct virtio_device *device, const struct mem_place *place)
{
	((struct mem_device *)device)->place = *place;
}

int mem_device_request(struct virtio_device *device, uint64_t size, struct error **ret_error)
{
	struct mem_device *mem = (struct mem_device *)device;

	if (!mem->place.blocks || size > mem->size)
		return error_set(ret_error, ERANGE, "the memory can grow by %llu MiB, not by %llu",
				 mem->place.blocks ? (unsigned long long)mem->size >> 20 : 0,
				 (unsigned long long)align_up(size, MIB) >> 20);
	(void)pthread_mutex_lock(&device->lock);
	mem->requested = align_up(size, MEM_BLOCK_SIZE);
	if (device->active)
		device->config_interrupt(device);
	(void)pthread_mutex_unlock(&device->lock);
	return 0;
}

static void mem_free(struct virtio_device *device)
{
	virtio_device_done(device);
	free(device);
}

static const struct virtio_device_ops mem_ops = {
	.config_read = mem_config_read,
	.kick = mem_kick,
	.save = mem_save,
	.load = mem_load,
	.free = mem_free,
};

int mem_device_new(uint64_t size, struct virtio_device **ret_device, struct error **ret_error)
{
	struct mem_device *mem = xcalloc(1, sizeof(*mem));

	(void)ret_error;
	mem->size = size / MEM_BLOCK_SIZE * MEM_BLOCK_SIZE;
	mem->device.ops = &mem_ops;
	mem->device.name = "mem";
	mem->device.type = VIRTIO_ID_MEM;
	mem->device.features = 1ULL << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE;
	mem->device.n_queues = 1;
	mem->device.queue_size_max = MEM_QUEUE_SIZE;
	mem->device.config_size = sizeof(struct virtio_mem_config);
	virtio_device_init(&mem->device);
	*ret_device = &mem->device;
	return 0;
}
