/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's stream into an image: see unpack.h.
 *
 * One pass: an entry's contents go to the image as they come, its metadata stays in memory
 * (unpack-tree.c) until the archive has ended; then inodes and directories are written behind the
 * data. So contents that a later entry replaces stay in the image, where nothing refers to them.
 */
#include "rootfs/image/unpack.h"

#include "rootfs/image/unpack-parts.h"

struct unpack {
	struct unpack_stream stream;
	struct unpack_tree tree;
	struct image image;
};

static void unpack_done(struct unpack *unpack)
{
	/* The image looks at the tree no more once its threads are at rest. */
	image_done(&unpack->image);
	unpack_tree_done(&unpack->tree);
	unpack_stream_done(&unpack->stream);
}

static int run(struct unpack *unpack, int tar_fd, int image_fd,
	       const struct unpack_options *options, struct unpack_result *result,
	       struct error **ret_error)
{
	struct archive_entry *entry;
	int more;

	unpack_tree_init(&unpack->tree, &unpack->image, options);
	if (unpack_stream_open(&unpack->stream, tar_fd, options, ret_error) < 0 ||
	    image_begin(&unpack->image, unpack->tree.tree, image_fd, ret_error) < 0)
		return -1;
	image_entry_add(&unpack->image, unpack->tree.tree->root);
	while ((more = unpack_stream_next(&unpack->stream, &entry, ret_error)) > 0) {
		if (unpack_entry(&unpack->tree, &unpack->stream, entry, ret_error) < 0)
			return -1;
		result->entries++;
	}
	if (more < 0 || unpack_tree_finish(&unpack->tree, ret_error) < 0 ||
	    image_finish(&unpack->image, ret_error) < 0)
		return -1;
	result->tar_bytes = unpack->stream.size;
	result->image_bytes = unpack->image.file.size;
	return unpack_stream_digest(&unpack->stream, result->diff_id, ret_error);
}

int unpack_layer(int tar_fd, int image_fd, const struct unpack_options *options,
		 struct unpack_result *ret_result, struct error **ret_error)
{
	const struct unpack_options all = {
		.bytes_max = options && options->bytes_max ? options->bytes_max : UNPACK_BYTES_MAX,
		.entries_max =
		    options && options->entries_max ? options->entries_max : UNPACK_ENTRIES_MAX,
		.copy_fd = options ? options->copy_fd : NULL,
		.needs_end = options && options->needs_end,
	};
	_cleanup_(unpack_done) struct unpack unpack = { 0 };
	struct unpack_result result = { 0 };

	if (run(&unpack, tar_fd, image_fd, &all, &result, ret_error) < 0)
		return -1;
	*ret_result = result;
	return 0;
}
