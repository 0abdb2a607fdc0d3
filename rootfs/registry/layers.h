/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of an image, several at a time: one thread unpacks a layer while the caller's thread
 * has the bytes of all of them come in.
 *
 *   thread: lock the layer in the store ─► READY ─► unpack from a pipe ─► compare ─► commit
 *   caller:                                  └─► fetch into that pipe ─► verdict ─► close the pipe
 *
 * A layer gets its name in the store only when the fetch has said that all bytes were the
 * manifest's, and the uncompressed stream has the diff-id that the configuration says.
 */
#pragma once

#include "rootfs/image/manifest.h"
#include "rootfs/image/store.h"
#include "rootfs/registry/fetch.h"
#include "rootfs/registry/progress.h"

#define LAYERS_AT_ONCE 4

struct layers_setup {
	const struct image_store *store;
	const struct manifest *manifest;
	char *const *diff_ids; /* one for each layer of the manifest */
	bool keep_blobs;
	struct progress *progress;
	struct registry *registry;
	struct http *http;
};

/* All of them are in the store afterwards; those that are there are not fetched.  Blocks. */
int layers_pull(const struct layers_setup *setup, struct error **ret_error);
/* One layer from a file that holds its blob as it came, read from its start. */
int layer_add(const struct image_store *store, int blob_fd, const char *diff_id,
	      struct error **ret_error);
