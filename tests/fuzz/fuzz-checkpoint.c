/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a checkpoint (sandbox/checkpoint-manifest.h) of any bytes: as they are, and as
 * what follows a head that fits them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fnv.h"
#include "sandbox/checkpoint-manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What has been read can be written, and read again. */
static void read_manifest(const char *text, size_t size)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = NULL;
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *again = NULL;
	_cleanup_free_ char *written = NULL;
	size_t written_size;

	if (checkpoint_manifest_parse(text, size, &manifest, NULL) < 0)
		return;
	written = checkpoint_manifest_write(manifest, &written_size);
	if (checkpoint_manifest_parse(written, written_size, &again, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_free_ char *exact = xmemdup(size ? bytes : (const uint8_t *)"", size ? size : 1);
	_cleanup_free_ char *head = NULL;
	_cleanup_free_ char *whole = NULL;

	read_manifest(exact, size);
	head =
	    xasprintf("supermachine-checkpoint 4 %zu %016" PRIx64 "\n", size, fnv1a(exact, size));
	whole = xmalloc(strlen(head) + size);
	memcpy(whole, head, strlen(head));
	memcpy(whole + strlen(head), bytes, size);
	read_manifest(whole, strlen(head) + size);
	return 0;
}
