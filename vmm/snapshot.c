/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's state as a file: see snapshot.h. */
#include "vmm/snapshot.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"

#define MAGIC "SMSTATE"
/* Any change of a part's structure needs another. */
#define FORMAT 3
#define ALIGNMENT 8

struct head {
	char magic[8];
	uint64_t format;
	uint64_t size;
	uint64_t checksum;
};

struct part {
	uint32_t kind, index;
	uint64_t size;
};

static const char *const names[SNAPSHOT_KINDS] = {
	[SNAPSHOT_VM] = "virtual machine", [SNAPSHOT_VCPU] = "vCPU",
	[SNAPSHOT_MSRS] = "MSRs",	   [SNAPSHOT_XSAVE] = "extended registers",
	[SNAPSHOT_TRANSPORT] = "device",   [SNAPSHOT_DEVICE] = "what is known of device",
	[SNAPSHOT_CPU] = "processor",	   [SNAPSHOT_MACHINE] = "machine",
};

/* FNV-1a by words: finds a file that was cut, mixed or changed, not one that was forged.  The
 * rotation lets a high bit count for the low ones that follow. */
static uint64_t sum(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0xcbf29ce484222325, word;

	for (size_t at = 0; at < size; at += sizeof(word)) {
		(void)memcpy(&word, bytes + at, sizeof(word));
		value = (value ^ word) * 0x100000001b3;
		value = value << 29 | value >> 35;
	}
	return value;
}

void snapshot_begin(struct buffer *bytes)
{
	static const struct head none;

	buffer_append(bytes, &none, sizeof(none));
}

void snapshot_put(struct buffer *bytes, enum snapshot_kind kind, uint32_t index, const void *part,
		  size_t size)
{
	static const uint8_t filling[ALIGNMENT];
	const struct part head = { .kind = kind, .index = index, .size = size };

	buffer_append(bytes, &head, sizeof(head));
	if (size > 0)
		buffer_append(bytes, part, size);
	buffer_append(bytes, filling, align_up(size, ALIGNMENT) - size);
}

void snapshot_end(struct buffer *bytes)
{
	const size_t size = buffer_length(bytes);
	struct head head = {
		.magic = MAGIC,
		.format = FORMAT,
		.size = size,
		.checksum = sum(buffer_data(bytes) + sizeof(head), size - sizeof(head)),
	};

	(void)memcpy(buffer_data(bytes), &head, sizeof(head));
}

static int check_head(const uint8_t *bytes, size_t size, struct error **ret_error)
{
	struct head head;

	if (size < sizeof(head))
		return error_set(ret_error, ENODATA, "a machine's state of %zu bytes is cut short",
				 size);
	(void)memcpy(&head, bytes, sizeof(head));
	if (memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0)
		return error_set(ret_error, EINVAL, "this is not the state of a machine");
	if (head.format != FORMAT)
		return error_set(
		    ret_error, EPROTONOSUPPORT,
		    "the machine's state was written by another version of this program "
		    "(format %llu, not %d)",
		    (unsigned long long)head.format, FORMAT);
	if (size < head.size)
		return error_set(ret_error, ENODATA,
				 "the machine's state is cut short: %zu of %llu bytes", size,
				 (unsigned long long)head.size);
	if (size != head.size || size % ALIGNMENT != 0 ||
	    sum(bytes + sizeof(head), size - sizeof(head)) != head.checksum)
		return error_set(ret_error, EINVAL,
				 "the machine's state was altered: its checksum is wrong");
	return 0;
}

/* The part at *at, which moves behind it; false: there is none, or it is not inside. */
static bool next_part(const struct snapshot *snapshot, size_t *at, struct part *ret_part)
{
	const size_t left = snapshot->size - *at;

	if (left < sizeof(*ret_part))
		return false;
	(void)memcpy(ret_part, snapshot->bytes + *at, sizeof(*ret_part));
	if (ret_part->size > left - sizeof(*ret_part))
		return false;
	*at += sizeof(*ret_part) + align_up(ret_part->size, ALIGNMENT);
	return true;
}

int snapshot_open(const void *bytes, size_t size, struct snapshot *ret_snapshot,
		  struct error **ret_error)
{
	const struct snapshot snapshot = { .bytes = bytes, .size = size };
	size_t at = sizeof(struct head);
	struct part part;

	if (check_head(bytes, size, ret_error) < 0)
		return -1;
	while (next_part(&snapshot, &at, &part))
		;
	if (at != size)
		return error_set(ret_error, EINVAL,
				 "the machine's state is malformed at byte %zu of %zu", at, size);
	*ret_snapshot = snapshot;
	return 0;
}

/* The part's bytes; NULL: there is none. */
static const void *find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index,
			size_t *ret_size)
{
	size_t at = sizeof(struct head), end = at;
	struct part part;

	for (; next_part(snapshot, &end, &part); at = end)
		if (part.kind == (uint32_t)kind && part.index == index) {
			*ret_size = part.size;
			return snapshot->bytes + at + sizeof(part);
		}
	return NULL;
}

bool snapshot_has(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index)
{
	size_t size;

	return find(snapshot, kind, index, &size) != NULL;
}

int snapshot_find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index,
		  const void **ret_part, size_t *ret_size, struct error **ret_error)
{
	const void *part = find(snapshot, kind, index, ret_size);

	if (!part)
		return error_set(ret_error, ENOENT, "the machine's state has nothing of %s %u",
				 names[kind], index);
	*ret_part = part;
	return 0;
}

int snapshot_take(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index,
		  void *ret_part, size_t size, struct error **ret_error)
{
	const void *part = NULL;
	size_t found = 0;

	if (snapshot_find(snapshot, kind, index, &part, &found, ret_error) < 0)
		return -1;
	if (found != size)
		return error_set(ret_error, EINVAL,
				 "the machine's state has %zu bytes of %s %u, not %zu", found,
				 names[kind], index, size);
	(void)memcpy(ret_part, part, size);
	return 0;
}
