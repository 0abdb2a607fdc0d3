/* SPDX-License-Identifier: Apache-2.0 */
/* The memory device (virtio/mem.c): what its driver may ask for, and what it may not. */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_mem.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

#define BASE (4ULL << 30)
#define BLOCKS 8
#define SIZE (BLOCKS * MEM_BLOCK_SIZE)
#define RESPONSE_SIZE 10

/* A device with its region, and what it has told of it. */
struct rig {
	struct driver d;
	struct mem_blocks *blocks;
	void *region;
	gpa_t request, response;
	uint64_t come_offset, come_size, go_offset, go_size;
	unsigned n_come, n_go;
	bool refuse;
};

static int on_come(void *data, uint64_t offset, uint64_t size, struct error **ret_error)
{
	struct rig *rig = data;

	if (rig->refuse)
		return error_set(ret_error, ENOMEM, "no room");
	rig->come_offset = offset;
	rig->come_size = size;
	rig->n_come++;
	return 0;
}

static int on_go(void *data, uint64_t offset, uint64_t size)
{
	struct rig *rig = data;

	if (rig->refuse) {
		errno = EINVAL;
		return -1;
	}
	/* Nobody finds it any more. */
	CHECK(!mem_at(&rig->d.memory, BASE + offset, 1));
	rig->go_offset = offset;
	rig->go_size = size;
	rig->n_go++;
	return 0;
}

static struct virtio_device *new_device(struct rig *rig)
{
	const struct mem_place place = {
		.base = BASE, .blocks = rig->blocks, .come = on_come, .go = on_go, .data = rig
	};
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(mem_device_new(SIZE, &device, &error), &error);
	mem_device_place(device, &place);
	return device;
}

static void rig_init(struct rig *rig)
{
	struct mem_region region = { .base = BASE, .size = SIZE, .fd = -1 };
	struct error *error = NULL;

	*rig = (struct rig){ 0 };
	rig->blocks = mem_blocks_new(SIZE);
	driver_init(&rig->d, new_device(rig), 1 << 20);
	rig->region = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(rig->region != MAP_FAILED);
	region.hva = rig->region;
	region.blocks = rig->blocks;
	CHECK_OK(mem_add_region(&rig->d.memory, &region, &error), &error);
}

static void rig_start(struct rig *rig)
{
	driver_start(&rig->d, ~0ULL);
	rig->request = driver_alloc(&rig->d, sizeof(struct virtio_mem_req), 8);
	rig->response = driver_alloc(&rig->d, sizeof(struct virtio_mem_resp), 8);
}

static void rig_done(struct rig *rig)
{
	driver_done(&rig->d);
	CHECK(munmap(rig->region, SIZE) == 0);
	free(rig->blocks);
}

/* ---- requests ---- */

static struct virtio_mem_config config_of(struct rig *rig)
{
	struct virtio_mem_config config;

	driver_config_read(&rig->d, 0, &config, sizeof(config));
	return config;
}

static void request_size(struct rig *rig, uint64_t blocks)
{
	struct error *error = NULL;

	CHECK_OK(mem_device_request(rig->d.device, blocks * MEM_BLOCK_SIZE, &error), &error);
	CHECK_INT(le64toh(config_of(rig).requested_size), blocks * MEM_BLOCK_SIZE);
}

static struct virtio_mem_resp ask(struct rig *rig, unsigned type, uint64_t address, unsigned n)
{
	const struct virtio_mem_req request = {
		.type = htole16((uint16_t)type),
		.u.plug = { .addr = htole64(address), .nb_blocks = htole16((uint16_t)n) },
	};
	const struct driver_buffer buffers[] = { { rig->request, sizeof(request) },
						 { rig->response, RESPONSE_SIZE } };
	int head;

	memcpy(driver_at(&rig->d, rig->request), &request, sizeof(request));
	memset(driver_at(&rig->d, rig->response), 0xff, sizeof(struct virtio_mem_resp));
	head = ring_add(&rig->d.rings[0], buffers, 1, 1);
	CHECK_INT(driver_complete(&rig->d, 0, (uint16_t)head), RESPONSE_SIZE);
	return *(struct virtio_mem_resp *)driver_at(&rig->d, rig->response);
}

static unsigned ask_blocks(struct rig *rig, unsigned type, unsigned first, unsigned n)
{
	return le16toh(ask(rig, type, BASE + first * MEM_BLOCK_SIZE, n).type);
}

static unsigned state_of(struct rig *rig, unsigned first, unsigned n)
{
	const struct virtio_mem_resp response =
	    ask(rig, VIRTIO_MEM_REQ_STATE, BASE + first * MEM_BLOCK_SIZE, n);

	CHECK_INT(le16toh(response.type), VIRTIO_MEM_RESP_ACK);
	return le16toh(response.u.state.state);
}

static bool is_memory(const struct rig *rig, unsigned first, unsigned n)
{
	void *at = mem_at(&rig->d.memory, BASE + first * MEM_BLOCK_SIZE, n * MEM_BLOCK_SIZE);

	if (at)
		CHECK(at == (char *)rig->region + first * MEM_BLOCK_SIZE);
	return at;
}

static void test_grows(void)
{
	static struct rig rig;
	struct virtio_mem_config config;

	rig_init(&rig);
	rig_start(&rig);
	config = config_of(&rig);
	CHECK_INT(le64toh(config.block_size), MEM_BLOCK_SIZE);
	CHECK_INT(le64toh(config.addr), BASE);
	CHECK_INT(le64toh(config.region_size), SIZE);
	CHECK_INT(le64toh(config.usable_region_size), SIZE);
	CHECK_INT(le64toh(config.plugged_size), 0);
	CHECK_INT(le64toh(config.requested_size), 0);
	/* Nothing is there, and nothing comes, before the host says so. */
	CHECK(!is_memory(&rig, 0, 1));
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 1), VIRTIO_MEM_RESP_NACK);
	CHECK_INT(state_of(&rig, 0, BLOCKS), VIRTIO_MEM_STATE_UNPLUGGED);
	request_size(&rig, 4);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 1, 3), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(rig.come_offset, MEM_BLOCK_SIZE);
	CHECK_INT(rig.come_size, 3 * MEM_BLOCK_SIZE);
	CHECK(is_memory(&rig, 1, 3) && !is_memory(&rig, 0, 2) && !is_memory(&rig, 3, 2));
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 3 * MEM_BLOCK_SIZE);
	CHECK_INT(state_of(&rig, 1, 3), VIRTIO_MEM_STATE_PLUGGED);
	CHECK_INT(state_of(&rig, 0, 2), VIRTIO_MEM_STATE_MIXED);
	/* One more may come, and no two. */
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 4, 2), VIRTIO_MEM_RESP_NACK);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 7, 1), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(rig.n_come, 2);
	rig_done(&rig);
}

static void test_shrinks(void)
{
	static struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, 6);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 6), VIRTIO_MEM_RESP_ACK);
	request_size(&rig, 2);
	/* It keeps what it has, and gets no more. */
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 6 * MEM_BLOCK_SIZE);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 6, 1), VIRTIO_MEM_RESP_NACK);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_UNPLUG, 2, 2), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(rig.go_offset, 2 * MEM_BLOCK_SIZE);
	CHECK_INT(rig.go_size, 2 * MEM_BLOCK_SIZE);
	CHECK(is_memory(&rig, 0, 2) && is_memory(&rig, 4, 2) && !is_memory(&rig, 2, 1));
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_UNPLUG, 1, 2), VIRTIO_MEM_RESP_ERROR);
	CHECK_INT(rig.n_go, 1);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(rig.n_go, 3);
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 0);
	CHECK_INT(state_of(&rig, 0, BLOCKS), VIRTIO_MEM_STATE_UNPLUGGED);
	rig_done(&rig);
}

/* Whatever a range is, that is not one of blocks in the region. */
static void test_wrong_ranges(void)
{
	static const struct {
		uint64_t address;
		unsigned n;
	} wrong[] = {
		{ BASE - MEM_BLOCK_SIZE, 1 },
		{ BASE - MEM_BLOCK_SIZE, BLOCKS },
		{ 0, 1 },
		{ DRIVER_RAM_BASE, 1 },
		{ BASE + 4096, 1 },
		{ BASE + MEM_BLOCK_SIZE - 1, 1 },
		{ BASE + SIZE, 1 },
		{ BASE + SIZE - MEM_BLOCK_SIZE, 2 },
		{ BASE, BLOCKS + 1 },
		{ BASE, UINT16_MAX },
		{ BASE, 0 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - MEM_BLOCK_SIZE + 1, 1 },
		{ UINT64_MAX - MEM_BLOCK_SIZE + 1, UINT16_MAX },
	};
	static const unsigned types[] = { VIRTIO_MEM_REQ_PLUG, VIRTIO_MEM_REQ_UNPLUG,
					  VIRTIO_MEM_REQ_STATE };
	static struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, BLOCKS);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++)
			CHECK_INT(le16toh(ask(&rig, types[j], wrong[i].address, wrong[i].n).type),
				  VIRTIO_MEM_RESP_ERROR);
	CHECK_INT(ask_blocks(&rig, 4, 0, 1), VIRTIO_MEM_RESP_ERROR);
	CHECK_INT(ask_blocks(&rig, UINT16_MAX, 0, 1), VIRTIO_MEM_RESP_ERROR);
	/* What is there already does not come again, nor does a part of it. */
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 2, 2), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 2, 2), VIRTIO_MEM_RESP_ERROR);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 1, 2), VIRTIO_MEM_RESP_ERROR);
	CHECK_INT(rig.n_come, 1);
	CHECK_INT(rig.n_go, 0);
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 2 * MEM_BLOCK_SIZE);
	rig_done(&rig);
}

static void send_short(uint32_t out, uint32_t in)
{
	static struct rig rig;
	struct driver_buffer buffers[2];

	rig_init(&rig);
	rig_start(&rig);
	buffers[0] = (struct driver_buffer){ rig.request, out };
	buffers[1] = (struct driver_buffer){ rig.response, in };
	CHECK(ring_add(&rig.d.rings[0], buffers, 1, 1) >= 0);
	driver_notify(&rig.d, 0);
	driver_expect_needs_reset(&rig.d);
	rig_done(&rig);
}

static void test_short_requests(void)
{
	send_short(sizeof(struct virtio_mem_req) - 1, RESPONSE_SIZE);
	send_short(sizeof(struct virtio_mem_req), RESPONSE_SIZE - 1);
}

/* What the host cannot give or take stays as it is. */
static void test_host_refuses(void)
{
	static struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, 2);
	rig.refuse = true;
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 1), VIRTIO_MEM_RESP_BUSY);
	CHECK(!is_memory(&rig, 0, 1));
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 0);
	rig.refuse = false;
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 1), VIRTIO_MEM_RESP_ACK);
	rig.refuse = true;
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_UNPLUG, 0, 1), VIRTIO_MEM_RESP_BUSY);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 1), VIRTIO_MEM_RESP_BUSY);
	CHECK(is_memory(&rig, 0, 1));
	rig_done(&rig);
}

static void test_host_asks(void)
{
	static struct rig rig;
	struct virtio_device *device;
	struct error *error = NULL;

	rig_init(&rig);
	/* Before there is a driver it hears nothing, and reads the size when it comes. */
	request_size(&rig, 1);
	rig_start(&rig);
	CHECK_INT(rig.d.interrupts, 0);
	request_size(&rig, 3);
	CHECK_INT(driver_read(&rig.d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	loop_step(rig.d.loop, 0);
	CHECK_INT(rig.d.interrupts, 1);
	CHECK_OK(mem_device_request(rig.d.device, 1, &error), &error);
	CHECK_INT(le64toh(config_of(&rig).requested_size), MEM_BLOCK_SIZE);
	CHECK_ERROR(mem_device_request(rig.d.device, SIZE + 1, &error), &error,
		    "can grow by 16 MiB, not by 17");
	CHECK_INT(le64toh(config_of(&rig).requested_size), MEM_BLOCK_SIZE);
	rig_done(&rig);
	/* One without a place. */
	CHECK_OK(mem_device_new(SIZE, &device, &error), &error);
	CHECK_ERROR(mem_device_request(device, MEM_BLOCK_SIZE, &error), &error,
		    "can grow by 0 MiB, not by 2");
	device->ops->free(device);
}

/* §5.15.5.3: the blocks are not the driver's life. */
static void test_reset(void)
{
	static struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, 2);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 1, 2), VIRTIO_MEM_RESP_ACK);
	driver_reset(&rig.d);
	CHECK(is_memory(&rig, 1, 2));
	CHECK_INT(rig.n_go, 0);
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 2 * MEM_BLOCK_SIZE);
	rig_done(&rig);
}

/* ---- state ---- */

static void forget(struct rig *rig)
{
	mem_blocks_set(rig->blocks, 0, BLOCKS, false);
	rig->n_come = rig->n_go = 0;
}

static void test_goes_on(void)
{
	static struct rig rig;
	struct driver_state state;
	struct error *error = NULL;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, 5);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 2), VIRTIO_MEM_RESP_ACK);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 4, 2), VIRTIO_MEM_RESP_ACK);
	driver_save(&rig.d, &state);
	forget(&rig);
	CHECK_OK(driver_load(&rig.d, new_device(&rig), &state, &error), &error);
	CHECK_INT(rig.n_come, 2);
	CHECK_INT(rig.come_offset, 4 * MEM_BLOCK_SIZE);
	CHECK(is_memory(&rig, 0, 2) && is_memory(&rig, 4, 2) && !is_memory(&rig, 2, 1));
	CHECK_INT(le64toh(config_of(&rig).plugged_size), 4 * MEM_BLOCK_SIZE);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 2, 2), VIRTIO_MEM_RESP_NACK);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 2, 1), VIRTIO_MEM_RESP_ACK);
	buffer_done(&state.own);
	rig_done(&rig);
}

static void refuse_state(struct rig *rig, struct driver_state *state, size_t at, uint64_t value,
			 const char *part)
{
	struct error *error = NULL;
	uint64_t *word = (uint64_t *)(void *)(buffer_data(&state->own) + at);
	const uint64_t before = *word;

	forget(rig);
	*word = value;
	CHECK_ERROR(driver_load(&rig->d, new_device(rig), state, &error), &error, part);
	*word = before;
}

static void test_wrong_states(void)
{
	static struct rig rig;
	struct driver_state state;
	struct error *error = NULL;

	rig_init(&rig);
	rig_start(&rig);
	request_size(&rig, 2);
	CHECK_INT(ask_blocks(&rig, VIRTIO_MEM_REQ_PLUG, 0, 2), VIRTIO_MEM_RESP_ACK);
	driver_save(&rig.d, &state);
	CHECK_INT(buffer_length(&state.own), 32);
	refuse_state(&rig, &state, 0, SIZE / 2, "the machine could grow by 8 MiB, not by 16");
	refuse_state(&rig, &state, 8, SIZE + MEM_BLOCK_SIZE, "cannot have been asked for");
	refuse_state(&rig, &state, 8, 1, "cannot have been asked for");
	refuse_state(&rig, &state, 16, 2, "blocks beyond its region");
	refuse_state(&rig, &state, 16, UINT64_MAX, "blocks beyond its region");
	refuse_state(&rig, &state, 16, 0, "8 bytes too many");
	refuse_state(&rig, &state, 24, 1ULL << BLOCKS, "blocks beyond its region");
	refuse_state(&rig, &state, 24, UINT64_MAX, "blocks beyond its region");
	forget(&rig);
	state.own.end -= 8;
	CHECK_ERROR(driver_load(&rig.d, new_device(&rig), &state, &error), &error, "cut short");
	state.own.end -= 1 + 8;
	CHECK_ERROR(driver_load(&rig.d, new_device(&rig), &state, &error), &error, "cut short");
	buffer_done(&state.own);
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "grows", test_grows },
	{ "shrinks", test_shrinks },
	{ "wrong ranges", test_wrong_ranges },
	{ "short requests", test_short_requests },
	{ "host refuses", test_host_refuses },
	{ "host asks", test_host_asks },
	{ "reset", test_reset },
	{ "goes on", test_goes_on },
	{ "wrong states", test_wrong_states },
};

TEST_MAIN(cases)
