/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's state (vmm/snapshot.h) of any bytes: as they are, and as what follows a head that
 * fits them. */
#include <stdlib.h>

#include "base/alloc.h"
#include "vmm/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define INDICES 4

/* Every byte that is said to be there is. */
static void read_parts(const void *bytes, size_t size)
{
	struct snapshot snapshot;

	if (snapshot_open(bytes, size, &snapshot, NULL) < 0)
		return;
	for (int kind = SNAPSHOT_VM; kind < SNAPSHOT_KINDS; kind++)
		for (uint32_t index = 0; index < INDICES; index++) {
			const void *part;
			size_t length;

			if (snapshot_find(&snapshot, (enum snapshot_kind)kind, index, &part,
					  &length, NULL) < 0)
				continue;
			free(xmemdup(part, length));
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct buffer whole = { 0 };
	_cleanup_free_ void *exact = NULL;

	read_parts(bytes, size);
	snapshot_begin(&whole);
	buffer_append(&whole, bytes, size - size % 8);
	snapshot_end(&whole);
	/* Memory of exactly that size: one byte too many is found. */
	exact = xmemdup(buffer_data(&whole), buffer_length(&whole));
	read_parts(exact, buffer_length(&whole));
	buffer_done(&whole);
	return 0;
}
