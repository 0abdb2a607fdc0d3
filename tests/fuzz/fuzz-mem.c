/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of every shape to the memory device, straight into the request handler (that is why the
 * .c is included), against a model of its blocks: what is there is exactly what was acknowledged,
 * never more than the host has asked for in the meantime, and never twice.
 *
 * Input: steps. An even first byte: the host asks for so many blocks as the next one says. An odd
 * one: a request. Its bits 1 and 2 are the type, bit 3: the address is not the base and a
 * multiple of blocks, but the next eight bytes, bit 4: a request that is cut short; then a byte
 * for the first block and two for the number of them.
 */
#include "tests/fuzz/input.h"
#include "virtio/mem.c"

#define BASE (4ULL << 30)
#define BLOCKS 70

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct model {
	bool there[BLOCKS];
	uint64_t requested; /* blocks */
};

static int on_come(void *data, uint64_t offset, uint64_t size, struct error **ret_error)
{
	struct model *model = data;

	(void)ret_error;
	check(offset % MEM_BLOCK_SIZE == 0 && size % MEM_BLOCK_SIZE == 0 && size > 0);
	check(offset + size <= BLOCKS * MEM_BLOCK_SIZE);
	for (uint64_t i = offset / MEM_BLOCK_SIZE; i < (offset + size) / MEM_BLOCK_SIZE; i++) {
		check(!model->there[i]);
		model->there[i] = true;
	}
	return 0;
}

static int on_go(void *data, uint64_t offset, uint64_t size)
{
	struct model *model = data;

	check(offset % MEM_BLOCK_SIZE == 0 && size % MEM_BLOCK_SIZE == 0 && size > 0);
	check(offset + size <= BLOCKS * MEM_BLOCK_SIZE);
	for (uint64_t i = offset / MEM_BLOCK_SIZE; i < (offset + size) / MEM_BLOCK_SIZE; i++) {
		check(model->there[i]);
		model->there[i] = false;
	}
	return 0;
}

static uint64_t count(const struct model *model)
{
	uint64_t n = 0;

	for (size_t i = 0; i < BLOCKS; i++)
		n += model->there[i];
	return n;
}

static void fill_request(struct input *input, uint8_t flags, struct virtio_mem_req *ret_request)
{
	uint64_t address = 0;
	uint16_t n;

	if (flags & 8) {
		for (unsigned i = 0; i < 8; i++)
			address = address << 8 | take(input);
	} else {
		address = BASE + take(input) * MEM_BLOCK_SIZE;
	}
	n = take(input);
	n = (uint16_t)(n | take(input) << 8);
	*ret_request = (struct virtio_mem_req){
		.type = htole16(flags >> 1 & 3),
		.u.plug = { .addr = htole64(address), .nb_blocks = htole16(n) },
	};
}

static void one_request(struct mem_device *mem, const struct model *model, struct input *input,
			uint8_t flags)
{
	const uint64_t before = count(model);
	struct virtio_mem_req request;
	struct virtio_mem_resp *response = calloc(1, RESPONSE_SIZE);
	const bool cut = flags & 16;
	const uint32_t out_size = sizeof(request) - cut;
	static struct chain chain;
	struct error *error = NULL;
	uint32_t written = 0;
	void *bytes;
	enum serve_result r;

	check(response != NULL);
	fill_request(input, flags, &request);
	bytes = xmemdup(&request, out_size);
	chain =
	    (struct chain){ .n_out = 1, .n_in = 1, .out_size = out_size, .in_size = RESPONSE_SIZE };
	chain.iov[0] = (struct iovec){ bytes, out_size };
	chain.iov[1] = (struct iovec){ response, RESPONSE_SIZE };
	r = serve(&mem->device, &chain, &written, &error);
	check((r == SERVE_FAULT) == cut && (error != NULL) == cut);
	if (cut || le16toh(response->type) != VIRTIO_MEM_RESP_ACK)
		check(count(model) == before);
	else if (le16toh(request.type) == VIRTIO_MEM_REQ_PLUG)
		check(count(model) == before + le16toh(request.u.plug.nb_blocks) &&
		      count(model) <= model->requested);
	error_free(error);
	free(bytes);
	free(response);
}

/* A state of it makes the same again. */
static void check_state(struct mem_device *mem, const struct model *model)
{
	struct model again = { 0 };
	struct mem_place place = mem->place;
	struct virtio_device *device;
	struct buffer state = { 0 };

	place.blocks = mem_blocks_new(BLOCKS * MEM_BLOCK_SIZE);
	place.data = &again;
	check(mem_save(&mem->device, &state, NULL) == 0);
	check(mem_device_new(BLOCKS * MEM_BLOCK_SIZE, &device, NULL) == 0);
	mem_device_place(device, &place);
	check(virtio_device_load(device, buffer_data(&state), buffer_length(&state), NULL) == 0);
	check(memcmp(again.there, model->there, sizeof(again.there)) == 0);
	check(((struct mem_device *)device)->plugged == mem->plugged);
	buffer_done(&state);
	device->ops->free(device);
	free(place.blocks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct model model = { 0 };
	const struct mem_place place = {
		.base = BASE,
		.blocks = mem_blocks_new(BLOCKS * MEM_BLOCK_SIZE),
		.come = on_come,
		.go = on_go,
		.data = &model,
	};
	struct virtio_device *device;
	struct mem_device *mem;

	check(mem_device_new(BLOCKS * MEM_BLOCK_SIZE, &device, NULL) == 0);
	mem_device_place(device, &place);
	mem = (struct mem_device *)device;
	while (input.left > 0) {
		const uint8_t flags = take(&input);

		if (flags & 1) {
			one_request(mem, &model, &input, flags);
		} else {
			const uint64_t wanted = take(&input);
			const int r = mem_device_request(device, wanted * MEM_BLOCK_SIZE, NULL);

			check((r == 0) == (wanted <= BLOCKS));
			model.requested = r == 0 ? wanted : model.requested;
		}
		check(mem->plugged == count(&model) * MEM_BLOCK_SIZE);
		for (size_t i = 0; i < BLOCKS; i++)
			check(mem_blocks_have(place.blocks, i) == model.there[i]);
	}
	check_state(mem, &model);
	device->ops->free(device);
	free(place.blocks);
	return 0;
}
