/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tar stream, straight into a squashfs image: no file of it is ever on disk by
 * itself, and no root is needed.
 *
 * What OCI's image-spec (layer.md) writes as names is written as overlayfs wants it:
 * `.wh.NAME` becomes a character device 0:0 called NAME, and `.wh..wh..opq` the attribute
 * trusted.overlay.opaque of its directory, as does `.wh.NAME` beside a directory NAME of the
 * same layer.  Other names that begin with `.wh..wh.` are aufs' own and left out, and so are
 * attributes of overlayfs (trusted.overlay.*, user.overlay.*) that the archive brings.
 *
 * As when the archive is unpacked on disk: an entry that comes twice counts as it came last
 * (a directory keeps what is in it), parents that are missing are made (0755, root's, no
 * time), a symbolic link as a parent is followed within the layer's own tree.  A hard link's target
 * may come later.  Differently: a name with `..` in it is refused, and the target of a hard link
 * must be in the same layer.
 *
 * Memory: some 8 MiB and what the compression needs (its window: zstd at most 128 MiB,
 * xz what it was made with), whatever the files' sizes; and 300 bytes or so and its name,
 * target and attributes for each entry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "rootfs/image/digest.h"

/* Of the uncompressed stream. */
#define UNPACK_BYTES_MAX (64ULL << 30)
#define UNPACK_ENTRIES_MAX 1000000ULL

struct unpack_options {
	uint64_t bytes_max;   /* 0: UNPACK_BYTES_MAX */
	uint64_t entries_max; /* 0: UNPACK_ENTRIES_MAX; parents that are made count */
	const int *copy_fd;   /* a file that gets the uncompressed stream, too; NULL: none */
	bool needs_end;	      /* tar's end, two blocks of zeros: nobody knows the diff-id yet */
};

struct unpack_result {
	char diff_id[DIGEST_SIZE]; /* "sha256:<hex>" of the uncompressed stream, to its end */
	uint64_t tar_bytes;
	uint64_t image_bytes;
	uint64_t entries;
};

/*
 * Reads a layer's stream (tar: not compressed, or by gzip, zstd, bzip2 or xz) from tar_fd to its
 * end, and writes a squashfs image to image_fd: an empty regular file, open for reading and
 * writing, padded to 4 KiB at the end and not synced.  options may be NULL.  Any thread; starts
 * threads, all ended on return.
 *
 * Errors: EBADMSG, what the stream says cannot be (damaged, cut off within an entry, a name
 * that leads out, …); EFBIG, beyond a limit; EOVERFLOW, more than squashfs can hold; ENOTSUP; or
 * what reading or writing failed with.  A stream that is cut off between two entries is
 * noticed with needs_end only (EPROTO); else compare the diff-id.
 */
int unpack_layer(int tar_fd, int image_fd, const struct unpack_options *options,
		 struct unpack_result *ret_result, struct error **ret_error);
