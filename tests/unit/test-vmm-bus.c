/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/bus: who answers where, and nobody elsewhere; RAM around the hole. */
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/test.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/x86_64/layout.h"

static uint64_t last_offset;
static uint32_t last_size;
static int calls;

static void on_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	last_offset = offset;
	last_size = size;
	calls++;
	(void)memset(ret_bytes, *(int *)data, size);
}

static void on_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	(void)bytes, (void)data;
	last_offset = offset;
	last_size = size;
	calls++;
}

static const struct bus_ops ops = { on_read, on_write };

static int add(struct bus *bus, uint64_t base, uint64_t size, int *data, struct error **error)
{
	const struct bus_range range = { base, size, "test", &ops, data };

	return bus_add(bus, &range, error);
}

static void test_dispatch(void)
{
	struct bus bus = { .n_ranges = 0 };
	struct error *error = NULL;
	int one = 1, two = 2;
	uint64_t value;

	CHECK_OK(add(&bus, 0x1000, 0x10, &one, &error), &error);
	CHECK_OK(add(&bus, 0x1010, 0x10, &two, &error), &error);
	bus_read(&bus, 0x100f, &value, 1);
	CHECK_INT(value & 0xff, 1);
	CHECK_INT(last_offset, 0xf);
	bus_read(&bus, 0x1010, &value, 8);
	CHECK_INT(value, 0x0202020202020202);
	CHECK_INT(last_offset, 0);
	CHECK_INT(last_size, 8);
	bus_write(&bus, 0x101f, &value, 1);
	CHECK_INT(calls, 3);
	/* Across a range's end, before, behind, at the very end of the space. */
	bus_read(&bus, 0x100e, &value, 4);
	CHECK_INT(value & 0xffffffff, 0xffffffff);
	bus_write(&bus, 0x101d, &value, 8);
	bus_write(&bus, 0xfff, &value, 1);
	bus_write(&bus, 0xfff, &value, 4);
	bus_read(&bus, 0x1020, &value, 8);
	CHECK_INT(value, -1);
	value = 0;
	bus_read(&bus, UINT64_MAX, &value, 8);
	CHECK_INT(value, -1);
	CHECK_INT(calls, 3);
}

static void test_refused(void)
{
	struct bus bus = { .n_ranges = 0 };
	struct error *error = NULL;
	int one = 1;

	CHECK_OK(add(&bus, 0x1000, 0x10, &one, &error), &error);
	CHECK_ERROR(add(&bus, 0x1000, 0, &one, &error), &error, "not a range");
	CHECK_ERROR(add(&bus, UINT64_MAX, 2, &one, &error), &error, "not a range");
	CHECK_ERROR(add(&bus, 0x100f, 1, &one, &error), &error, "overlap");
	CHECK_ERROR(add(&bus, 0xff0, 0x11, &one, &error), &error, "overlap");
	CHECK_ERROR(add(&bus, 0, 0x10000, &one, &error), &error, "overlap");
	for (size_t i = 1; i < BUS_RANGES_MAX; i++)
		CHECK_OK(add(&bus, 0x10000 * i, 1, &one, &error), &error);
	CHECK_ERROR(add(&bus, 0, 1, &one, &error), &error, "full");
}

/* A device comes to the first of the places that had none. */
static void test_cut(void)
{
	struct bus bus = { .n_ranges = 0 };
	struct error *error = NULL;
	int empty = 1, device = 2;
	uint32_t value;

	CHECK_OK(add(&bus, 0x1000, 0x3000, &empty, &error), &error);
	CHECK_ERROR(bus_cut(&bus, 0x2000, 0x1000, &error), &error, "no range at 0x2000");
	CHECK_ERROR(bus_cut(&bus, 0x1000, 0x4000, &error), &error, "no range");
	CHECK_OK(bus_cut(&bus, 0x1000, 0x1000, &error), &error);
	bus_read(&bus, 0x1000, &value, sizeof(value));
	CHECK_INT(value, UINT32_MAX);
	CHECK_OK(add(&bus, 0x1000, 0x1000, &device, &error), &error);
	CHECK_OK(bus_cut(&bus, 0x2000, 0x2000, &error), &error);
	bus_read(&bus, 0x3000, &value, sizeof(value));
	CHECK_INT(value, UINT32_MAX);
}

static void check_ram(uint64_t size, size_t count, uint64_t low, uint64_t high)
{
	struct arch_range ranges[ARCH_RAM_RANGES_MAX];

	CHECK_INT(arch_ram_ranges(size, ranges), count);
	CHECK_INT(ranges[0].base, 0);
	CHECK_INT(ranges[0].size, low);
	if (count == 1)
		return;
	CHECK_INT(ranges[1].base, 4 * GIB);
	CHECK_INT(ranges[1].size, high);
}

static void test_ram(void)
{
	unsigned sharing[24] = { 0 };

	check_ram(32 * MIB, 1, 32 * MIB, 0);
	check_ram(3 * GIB, 1, 3 * GIB, 0);
	check_ram(3 * GIB + MIB, 2, 3 * GIB, MIB);
	check_ram(4096 * GIB, 2, 3 * GIB, 4093 * GIB);
	/* Devices lie in the hole and apart. */
	for (unsigned i = 0; i < ARCH_DEVICES_MAX; i++) {
		CHECK(arch_device_base(i) >= HOLE_START);
		CHECK(arch_device_base(i) + 0x1000 <= IOAPIC_BASE);
		CHECK(arch_device_gsi(i) < 24);
		CHECK(i == 0 || arch_device_base(i) >= arch_device_base(i - 1) + 0x1000);
		CHECK(i == 0 || arch_device_gsi(i) != arch_device_gsi(i - 1));
		CHECK(arch_device_gsi(i) >= VIRTIO_GSI_FIRST);
		sharing[arch_device_gsi(i)]++;
	}
	for (unsigned gsi = 0; gsi < ARRAY_SIZE(sharing); gsi++)
		CHECK(sharing[gsi] <= 2);
	/* The console's and the last one's, and of others the second one's alone. */
	CHECK_INT(arch_device_gsi(ARCH_DEVICES_MAX - 1), arch_device_gsi(0));
	CHECK_INT(sharing[VIRTIO_GSI_FIRST + 1], 1);
}

static const struct test_case cases[] = {
	{ "dispatch", test_dispatch },
	{ "refused", test_refused },
	{ "cut", test_cut },
	{ "memory around the hole", test_ram },
};

TEST_MAIN(cases)
