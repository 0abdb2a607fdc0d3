/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a layer: see unpack-parts.h.
 *
 * libarchive has no place between its decompression and its tar reader where the bytes could be
 * hashed.  So there are two readers: one that decompresses and takes what comes for a
 * file ("raw"), and one that reads tar and nothing else, from the first.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "base/checked.h"
#include "base/io.h"
#include "rootfs/image/unpack-parts.h"

#define READ_SIZE (128U << 10)
/* A PAX header with its attributes, or the map of a sparse file. */
#define HEADER_MAX (1U << 20)
#define TAR_BLOCK 512

/* libarchive's own numbers (-1, EILSEQ) and EINVAL say "this cannot be read as what it claims to
 * be". */
static int archive_code(struct archive *archive)
{
	int code = archive_errno(archive);

	return code > 0 && code != EILSEQ && code != EINVAL ? code : EBADMSG;
}

static int archive_failed(struct unpack_stream *stream, struct archive *archive, const char *what,
			  struct error **ret_error)
{
	const char *words = archive_error_string(archive);

	if (stream->error) {
		if (ret_error)
			*ret_error = TAKE_PTR(stream->error);
		return -1;
	}
	return error_set(ret_error, archive_code(archive), "cannot %s the layer: %s", what,
			 words ? words : "it is damaged");
}

int unpack_stream_charge(struct unpack_stream *stream, uint64_t size, struct error **ret_error)
{
	if (!checked_add(stream->charged, size, &stream->charged) &&
	    stream->charged <= stream->size_max &&
	    stream->size <= stream->size_max - stream->charged)
		return 0;
	return error_set(ret_error, EFBIG,
			 "the layer is larger than %llu bytes without its compression: raise "
			 "the limit if it is to be trusted",
			 (unsigned long long)stream->size_max);
}

static int take(struct unpack_stream *stream, const void *bytes, size_t size,
		struct error **ret_error)
{
	stream->size += size;
	if (unpack_stream_charge(stream, 0, ret_error) < 0)
		return -1;
	if (size > stream->header_left)
		return error_set(ret_error, EFBIG,
				 "the header of one of the layer's entries is larger than %u bytes",
				 HEADER_MAX);
	stream->header_left -= size;
	if (stream->copy_fd && write_all(*stream->copy_fd, bytes, size) < 0)
		return error_set_errno(ret_error, errno, "cannot write the layer's copy");
	return digest_add(stream->digest, bytes, size, ret_error);
}

/* 1: a piece of the decompressed stream; 0: its end. */
static int pull(struct unpack_stream *stream, const void **ret_bytes, size_t *ret_size,
		struct error **ret_error)
{
	int64_t offset;
	int result;

	do {
		*ret_size = 0;
		if (stream->at_end)
			return 0;
		result = archive_read_data_block(stream->filters, ret_bytes, ret_size, &offset);
		if (result == ARCHIVE_EOF)
			stream->at_end = true;
		else if (result != ARCHIVE_OK)
			return archive_failed(stream, stream->filters, "decompress", ret_error);
	} while (*ret_size == 0);
	return take(stream, *ret_bytes, *ret_size, ret_error) < 0 ? -1 : 1;
}

static ssize_t feed_tar(struct archive *tar, void *data, const void **ret_bytes)
{
	struct unpack_stream *stream = data;
	size_t size = 0;

	if (stream->error || pull(stream, ret_bytes, &size, &stream->error) < 0) {
		archive_set_error(tar, EIO, "the stream failed");
		return -1;
	}
	return (ssize_t)size;
}

static int open_filters(struct unpack_stream *stream, int fd, struct error **ret_error)
{
	struct archive *archive = stream->filters;
	struct archive_entry *entry;
	int result;

	/* Not ARCHIVE_WARN: that would run a program for it. */
	if (archive_read_support_filter_gzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
	    archive_read_support_format_raw(archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(archive) != ARCHIVE_OK)
		return archive_failed(stream, archive, "prepare to read", ret_error);
	if (archive_read_open_fd(archive, fd, READ_SIZE) != ARCHIVE_OK)
		return archive_failed(stream, archive, "read", ret_error);
	result = archive_read_next_header(archive, &entry);
	if (result == ARCHIVE_EOF)
		stream->at_end = true;
	else if (result != ARCHIVE_OK)
		return archive_failed(stream, archive, "read", ret_error);
	return 0;
}

int unpack_stream_open(struct unpack_stream *stream, int fd, const struct unpack_options *options,
		       struct error **ret_error)
{
	*stream = (struct unpack_stream){ .size_max = options->bytes_max,
					  .header_left = UINT64_MAX,
					  .copy_fd = options->copy_fd,
					  .needs_end = options->needs_end };
	stream->filters = archive_read_new();
	stream->tar = archive_read_new();
	if (!stream->filters || !stream->tar)
		return error_set(ret_error, ENOMEM, "cannot prepare to read the layer");
	if (digest_begin(&stream->digest, ret_error) < 0 || open_filters(stream, fd, ret_error) < 0)
		return -1;
	if (archive_read_support_format_tar(stream->tar) != ARCHIVE_OK ||
	    archive_read_support_format_empty(stream->tar) != ARCHIVE_OK ||
	    archive_read_open2(stream->tar, stream, NULL, feed_tar, NULL, NULL) != ARCHIVE_OK)
		return archive_failed(stream, stream->tar, "read", ret_error);
	return 0;
}

void unpack_stream_done(struct unpack_stream *stream)
{
	/* The reader first: it may hold on to a piece of the other's. */
	if (stream->tar)
		(void)archive_read_free(stream->tar);
	if (stream->filters)
		(void)archive_read_free(stream->filters);
	digest_free(stream->digest);
	error_free(stream->error);
}

/*
 * libarchive ends at the first block of zeros.  Others (Go's, containerd's) demand a second: what
 * comes behind a lone one must not be something that one program sees and another does not.
 */
static int drain(struct unpack_stream *stream, struct error **ret_error)
{
	const int64_t end = archive_filter_bytes(stream->tar, 0);
	const int64_t zeros = end - archive_read_header_position(stream->tar);
	const bool lone = zeros == TAR_BLOCK;
	const void *bytes;
	size_t size;
	int result;

	if (stream->needs_end && zeros < 2 * TAR_BLOCK)
		return error_set(ret_error, EPROTO, "the layer is cut off: tar's end is missing");
	if (lone && (uint64_t)end < stream->size)
		return error_set(ret_error, EBADMSG,
				 "the layer is damaged: a single block of zeros within it");
	while ((result = pull(stream, &bytes, &size, ret_error)) > 0)
		if (lone)
			return error_set(ret_error, EBADMSG,
					 "the layer is damaged: a single block of zeros within it");
	return result;
}

int unpack_stream_next(struct unpack_stream *stream, struct archive_entry **ret_entry,
		       struct error **ret_error)
{
	int result;

	stream->header_left = HEADER_MAX;
	result = archive_read_next_header(stream->tar, ret_entry);
	stream->header_left = UINT64_MAX;
	if (result == ARCHIVE_EOF)
		return drain(stream, ret_error) < 0 ? -1 : 0;
	/* Names are bytes; that they are nothing in this locale is not their fault. */
	if (result == ARCHIVE_WARN && strstr(archive_error_string(stream->tar), "converted"))
		return 1;
	if (result != ARCHIVE_OK)
		return archive_failed(stream, stream->tar, "read", ret_error);
	return 1;
}

int unpack_stream_data(struct unpack_stream *stream, const void **ret_bytes, size_t *ret_size,
		       uint64_t *ret_offset, struct error **ret_error)
{
	int64_t offset;
	int result = archive_read_data_block(stream->tar, ret_bytes, ret_size, &offset);

	if (result == ARCHIVE_EOF)
		return 0;
	if (result != ARCHIVE_OK || offset < 0)
		return archive_failed(stream, stream->tar, "read", ret_error);
	*ret_offset = (uint64_t)offset;
	return 1;
}

int unpack_stream_digest(struct unpack_stream *stream, char ret_digest[DIGEST_SIZE],
			 struct error **ret_error)
{
	return digest_end(TAKE_PTR(stream->digest), ret_digest, ret_error);
}
