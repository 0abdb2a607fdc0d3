/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/snapshot: what was put is found; a file that is not whole, or not ours, is refused and said
 * to be so. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/test.h"
#include "vmm/engine.h"
#include "vmm/snapshot.h"

/* In the head. */
#define AT_FORMAT 8
#define HEAD_SIZE 32

static void make(struct buffer *bytes)
{
	*bytes = (struct buffer){ 0 };
	snapshot_begin(bytes);
	snapshot_put(bytes, SNAPSHOT_VCPU, 0, "first", 5);
	snapshot_put(bytes, SNAPSHOT_VCPU, 1, "the second", 10);
	snapshot_put(bytes, SNAPSHOT_MSRS, 1, "", 0);
	snapshot_put(bytes, SNAPSHOT_VM, 0, "12345678", 8);
	snapshot_end(bytes);
}

static void test_round_trip(void)
{
	struct snapshot snapshot;
	struct error *error = NULL;
	struct buffer bytes;
	const void *part;
	size_t size;
	char text[10];

	make(&bytes);
	CHECK_OK(snapshot_open(buffer_data(&bytes), buffer_length(&bytes), &snapshot, &error),
		 &error);
	CHECK_OK(snapshot_find(&snapshot, SNAPSHOT_VCPU, 0, &part, &size, &error), &error);
	CHECK(size == 5 && memcmp(part, "first", 5) == 0);
	CHECK_OK(snapshot_take(&snapshot, SNAPSHOT_VCPU, 1, text, 10, &error), &error);
	CHECK(memcmp(text, "the second", 10) == 0);
	CHECK_OK(snapshot_find(&snapshot, SNAPSHOT_MSRS, 1, &part, &size, &error), &error);
	CHECK_INT(size, 0);
	CHECK_OK(snapshot_take(&snapshot, SNAPSHOT_VM, 0, text, 8, &error), &error);
	CHECK(snapshot_has(&snapshot, SNAPSHOT_VCPU, 1) &&
	      !snapshot_has(&snapshot, SNAPSHOT_VCPU, 2) &&
	      !snapshot_has(&snapshot, SNAPSHOT_MSRS, 0));
	CHECK_ERROR(snapshot_take(&snapshot, SNAPSHOT_VCPU, 1, text, 9, &error), &error,
		    "the machine's state has 10 bytes of vCPU 1, not 9");
	CHECK_ERROR(snapshot_find(&snapshot, SNAPSHOT_TRANSPORT, 3, &part, &size, &error), &error,
		    "the machine's state has nothing of device 3");
	buffer_done(&bytes);
}

static int code_of(const void *bytes, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	struct snapshot snapshot;

	return snapshot_open(bytes, size, &snapshot, &error) < 0 ? error->code : 0;
}

/* Any byte that is missing, or another, is found out. */
static void test_damage(void)
{
	struct buffer bytes;
	uint8_t *at;
	size_t size;

	make(&bytes);
	size = buffer_length(&bytes);
	for (size_t i = 0; i < size; i++) {
		_cleanup_free_ void *part = xmemdup(buffer_data(&bytes), size);

		CHECK_INT(code_of(part, i), ENODATA);
		at = part;
		for (unsigned bit = 1; bit < 256; bit <<= 1) {
			at[i] ^= (uint8_t)bit;
			CHECK(code_of(at, size) != 0);
			at[i] ^= (uint8_t)bit;
		}
		CHECK_INT(code_of(at, size), 0);
	}
	buffer_append(&bytes, "and more", 8);
	CHECK_INT(code_of(buffer_data(&bytes), size + 8), EINVAL);
	at = buffer_data(&bytes);
	at[AT_FORMAT]++;
	CHECK_INT(code_of(at, size), EPROTONOSUPPORT);
	at[0] = 'X';
	CHECK_INT(code_of(at, size), EINVAL);
	buffer_done(&bytes);
}

/* Parts that are not where they say, in a file with the right checksum. */
static void test_malformed(void)
{
	static const uint64_t sizes[] = { 9, 16, 1ULL << 32, UINT64_MAX, UINT64_MAX - 7 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct buffer bytes = { 0 };

		snapshot_begin(&bytes);
		snapshot_put(&bytes, SNAPSHOT_VM, 0, "12345678", 8);
		(void)memcpy(buffer_data(&bytes) + HEAD_SIZE + 8, &sizes[i], 8);
		snapshot_end(&bytes);
		CHECK_INT(code_of(buffer_data(&bytes), buffer_length(&bytes)), EINVAL);
		buffer_done(&bytes);
	}
}

/* Not every engine can save its machine: QEMU's has no such operation. */
static void test_engine_without(void)
{
	static const struct engine_ops ops;
	const struct save_files files = { .state_fd = -1, .ram_fd = -1 };
	struct engine engine = { &ops };
	struct error *error = NULL;

	CHECK_ERROR(engine_save(&engine, &files, &error), &error,
		    "an emulated machine cannot be saved: checkpoint needs KVM");
}

static const struct test_case cases[] = {
	{ "round trip", test_round_trip },
	{ "damage", test_damage },
	{ "malformed", test_malformed },
	{ "engine without", test_engine_without },
};

TEST_MAIN(cases)
