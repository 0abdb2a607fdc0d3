/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's image as a tar archive: see layer-tar.h. */
#include "rootfs/registry/layer-tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <sqfs/data_reader.h>
#include <sqfs/dir.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "rootfs/image/layer-reader.h"

#define CHUNK 131072
#define NO_XATTRS 0xffffffffU
#define WHITEOUT ".wh."
#define OPAQUE "/.wh..wh..opq"

/* A directory that is being gone through. */
struct level {
	char **names;
	sqfs_inode_generic_t **inodes;
	size_t n, at;
	size_t path_length; /* its own */
};

/* An inode with more than one name. */
struct linked {
	sqfs_u32 number;
	char *path; /* the first one */
};

struct layer_tar {
	struct layer_reader reader;
	sqfs_id_table_t *ids;
	sqfs_xattr_reader_t *xattrs; /* NULL: the image has none */
	sqfs_data_reader_t *data;
	struct archive *archive;
	struct digest *digest;
	int fd;
	struct buffer path; /* of where we are; NUL behind it */
	struct level *levels;
	size_t n_levels;
	void *linked; /* tsearch(3) */
	uint8_t *chunk;
};

static void level_done(struct level *level)
{
	for (size_t i = 0; i < level->n; i++) {
		sqfs_free(level->inodes[i]);
		free(level->names[i]);
	}
	free(level->inodes);
	free(level->names);
}

static void linked_free(void *data)
{
	struct linked *linked = data;

	free(linked->path);
	free(linked);
}

static void layer_tar_done(struct layer_tar *tar)
{
	for (size_t i = 0; i < tar->n_levels; i++)
		level_done(&tar->levels[i]);
	free(tar->levels);
	tdestroy(tar->linked, linked_free);
	buffer_done(&tar->path);
	free(tar->chunk);
	(void)archive_write_free(tar->archive);
	digest_free(tar->digest);
	sqfs_destroy(tar->data);
	sqfs_destroy(tar->xattrs);
	sqfs_destroy(tar->ids);
	layer_reader_done(&tar->reader);
}

static int check(const struct layer_tar *tar, int result, struct error **ret_error)
{
	return layer_reader_check(&tar->reader, result, ret_error);
}

/* ---- opening ---- */

static int open_tables(struct layer_tar *tar, struct error **ret_error)
{
	struct layer_reader *reader = &tar->reader;
	int result;

	tar->ids = sqfs_id_table_create(0);
	tar->data =
	    sqfs_data_reader_create(reader->file, reader->super.block_size, reader->compressor, 0);
	if (!tar->ids || !tar->data)
		return error_set(ret_error, ENOMEM, "cannot set up libsquashfs");
	result = sqfs_id_table_read(tar->ids, reader->file, &reader->super, reader->compressor);
	if (result == 0)
		result = sqfs_data_reader_load_fragment_table(tar->data, &reader->super);
	if (result == 0 && !(reader->super.flags & SQFS_FLAG_NO_XATTRS)) {
		tar->xattrs = sqfs_xattr_reader_create(0);
		result = tar->xattrs ? sqfs_xattr_reader_load(tar->xattrs, &reader->super,
							      reader->file, reader->compressor)
				     : SQFS_ERROR_ALLOC;
	}
	return check(tar, result, ret_error);
}

static la_ssize_t put_bytes(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct layer_tar *tar = data;

	if (write_all(tar->fd, bytes, size) < 0) {
		archive_set_error(archive, errno, "%s", strerror(errno));
		return -1;
	}
	if (digest_add(tar->digest, bytes, size, NULL) < 0) {
		archive_set_error(archive, EIO, "cannot hash it");
		return -1;
	}
	return (la_ssize_t)size;
}

static int archive_failed(struct layer_tar *tar, struct error **ret_error)
{
	const char *words = archive_error_string(tar->archive);

	return error_set(ret_error, EIO, "cannot write an archive of the layer %s: %s",
			 tar->reader.path, words ? words : "libarchive fails");
}

/* Names are bytes; attributes are written as docker reads them. */
static int open_archive(struct layer_tar *tar, struct error **ret_error)
{
	tar->archive = archive_write_new();
	if (!tar->archive || digest_begin(&tar->digest, ret_error) < 0)
		return tar->archive ? -1 : error_set(ret_error, ENOMEM, "cannot set up libarchive");
	if (archive_write_set_format_pax_restricted(tar->archive) != ARCHIVE_OK ||
	    archive_write_set_format_option(tar->archive, "pax", "hdrcharset", "BINARY") !=
		ARCHIVE_OK ||
	    archive_write_set_format_option(tar->archive, "pax", "xattrheader", "SCHILY") !=
		ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(tar->archive, 1) != ARCHIVE_OK ||
	    archive_write_open(tar->archive, tar, NULL, put_bytes, NULL) != ARCHIVE_OK)
		return archive_failed(tar, ret_error);
	return 0;
}

/* ---- one entry ---- */

static uint32_t links_of(const sqfs_inode_generic_t *inode)
{
	switch (inode->base.type) {
	case SQFS_INODE_EXT_FILE:
		return inode->data.file_ext.nlink;
	case SQFS_INODE_SLINK:
	case SQFS_INODE_EXT_SLINK:
		return inode->data.slink.nlink;
	case SQFS_INODE_BDEV:
	case SQFS_INODE_CDEV:
	case SQFS_INODE_EXT_BDEV:
	case SQFS_INODE_EXT_CDEV:
		return inode->data.dev.nlink;
	case SQFS_INODE_FIFO:
	case SQFS_INODE_EXT_FIFO:
		return inode->data.ipc.nlink;
	default:
		return 1;
	}
}

/* As Linux's new_decode_dev(). */
static dev_t device_of(const sqfs_inode_generic_t *inode)
{
	const sqfs_u32 number = inode->data.dev.devno;

	return makedev((number & 0xfff00) >> 8, (number & 0xff) | (number >> 12 & 0xfff00));
}

static int compare_linked(const void *one, const void *other)
{
	const struct linked *a = one, *b = other;

	return a->number < b->number ? -1 : a->number > b->number;
}

/* The name that the inode was written under before; NULL: this one is the first. */
static const char *first_name(struct layer_tar *tar, const sqfs_inode_generic_t *inode)
{
	struct linked *linked, **found;

	if (S_ISDIR(inode->base.mode) || links_of(inode) < 2)
		return NULL;
	linked = xcalloc(1, sizeof(*linked));
	linked->number = inode->base.inode_number;
	found = tsearch(linked, &tar->linked, compare_linked);
	if (!found)
		abort(); /* as base/alloc.h: no memory */
	if (*found == linked) {
		linked->path = xstrdup((const char *)buffer_data(&tar->path));
		return NULL;
	}
	free(linked);
	return (*found)->path;
}

/* One attribute, unless it says that the directory is opaque. */
static int put_xattr(struct layer_tar *tar, struct archive_entry *entry, bool *is_opaque,
		     struct error **ret_error)
{
	sqfs_xattr_entry_t *key = NULL;
	sqfs_xattr_value_t *value = NULL;
	int result = sqfs_xattr_reader_read_key(tar->xattrs, &key);

	if (result == 0)
		result = sqfs_xattr_reader_read_value(tar->xattrs, key, &value);
	if (result == 0 && strcmp((const char *)key->key, LAYER_OPAQUE_ATTRIBUTE) == 0)
		*is_opaque = true;
	else if (result == 0)
		archive_entry_xattr_add_entry(entry, (const char *)key->key, value->value,
					      value->size);
	sqfs_free(value);
	sqfs_free(key);
	return check(tar, result, ret_error);
}

static int put_xattrs(struct layer_tar *tar, const sqfs_inode_generic_t *inode,
		      struct archive_entry *entry, bool *is_opaque, struct error **ret_error)
{
	sqfs_xattr_id_t description;
	sqfs_u32 index = NO_XATTRS;
	int result;

	(void)sqfs_inode_get_xattr_index(inode, &index);
	if (index == NO_XATTRS || !tar->xattrs)
		return 0;
	result = sqfs_xattr_reader_get_desc(tar->xattrs, index, &description);
	if (result == 0)
		result = sqfs_xattr_reader_seek_kv(tar->xattrs, &description);
	if (check(tar, result, ret_error) < 0)
		return -1;
	for (sqfs_u32 i = 0; i < description.count; i++)
		if (put_xattr(tar, entry, is_opaque, ret_error) < 0)
			return -1;
	return 0;
}

static int put_header(struct layer_tar *tar, struct archive_entry *entry, struct error **ret_error)
{
	return archive_write_header(tar->archive, entry) == ARCHIVE_OK
		   ? 0
		   : archive_failed(tar, ret_error);
}

/* An empty file that tells of another name: image-spec layer.md "Whiteouts". */
static int put_mark(struct layer_tar *tar, const char *name, sqfs_u32 time,
		    struct error **ret_error)
{
	struct archive_entry *entry = archive_entry_new();
	int result;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_mtime(entry, time, 0);
	archive_entry_set_size(entry, 0);
	result = put_header(tar, entry, ret_error);
	archive_entry_free(entry);
	return result;
}

static int put_whiteout(struct layer_tar *tar, const sqfs_inode_generic_t *inode,
			struct error **ret_error)
{
	const char *path = (const char *)buffer_data(&tar->path), *slash = strrchr(path, '/');
	const int directory = slash ? (int)(slash + 1 - path) : 0;
	_cleanup_free_ char *name =
	    xasprintf("%.*s" WHITEOUT "%s", directory, path, path + directory);

	return put_mark(tar, name, inode->base.mod_time, ret_error);
}

static int put_contents(struct layer_tar *tar, const sqfs_inode_generic_t *inode,
			struct error **ret_error)
{
	sqfs_u64 size = 0;

	if (check(tar, sqfs_inode_get_file_size(inode, &size), ret_error) < 0)
		return -1;
	for (sqfs_u64 at = 0; at < size;) {
		const sqfs_u32 wanted = size - at < CHUNK ? (sqfs_u32)(size - at) : CHUNK;
		const sqfs_s32 n = sqfs_data_reader_read(tar->data, inode, at, tar->chunk, wanted);

		if (n <= 0)
			return check(tar, n < 0 ? n : SQFS_ERROR_CORRUPTED, ret_error);
		if (archive_write_data(tar->archive, tar->chunk, (size_t)n) != n)
			return archive_failed(tar, ret_error);
		at += (sqfs_u32)n;
	}
	return 0;
}

/* What the entry is, but for its attributes and contents. */
static int describe(struct layer_tar *tar, const sqfs_inode_generic_t *inode, const char *first,
		    struct archive_entry *entry, struct error **ret_error)
{
	sqfs_u32 uid = 0, gid = 0;
	sqfs_u64 size = 0;
	int result = sqfs_id_table_index_to_id(tar->ids, inode->base.uid_idx, &uid);

	if (result == 0)
		result = sqfs_id_table_index_to_id(tar->ids, inode->base.gid_idx, &gid);
	if (result == 0 && S_ISREG(inode->base.mode) && !first)
		result = sqfs_inode_get_file_size(inode, &size);
	if (check(tar, result, ret_error) < 0)
		return -1;
	archive_entry_set_pathname(entry, (const char *)buffer_data(&tar->path));
	archive_entry_set_mode(entry, inode->base.mode);
	archive_entry_set_uid(entry, uid);
	archive_entry_set_gid(entry, gid);
	archive_entry_set_mtime(entry, inode->base.mod_time, 0);
	archive_entry_set_size(entry, (la_int64_t)size);
	if (S_ISCHR(inode->base.mode) || S_ISBLK(inode->base.mode))
		archive_entry_set_rdev(entry, device_of(inode));
	if (S_ISLNK(inode->base.mode)) {
		_cleanup_free_ char *target =
		    xstrndup((const char *)inode->extra, inode->data.slink.target_size);

		archive_entry_set_symlink(entry, target);
	}
	if (first)
		archive_entry_set_hardlink(entry, first);
	return 0;
}

static int write_entry(struct layer_tar *tar, const sqfs_inode_generic_t *inode,
		       struct archive_entry *entry, struct error **ret_error)
{
	const char *first = first_name(tar, inode);
	bool is_opaque = false;

	if (describe(tar, inode, first, entry, ret_error) < 0 ||
	    (!first && put_xattrs(tar, inode, entry, &is_opaque, ret_error) < 0) ||
	    put_header(tar, entry, ret_error) < 0)
		return -1;
	if (is_opaque) {
		_cleanup_free_ char *name =
		    xasprintf("%s" OPAQUE, (const char *)buffer_data(&tar->path));

		return put_mark(tar, name, inode->base.mod_time, ret_error);
	}
	return S_ISREG(inode->base.mode) && !first ? put_contents(tar, inode, ret_error) : 0;
}

static int put_entry(struct layer_tar *tar, const sqfs_inode_generic_t *inode,
		     struct error **ret_error)
{
	struct archive_entry *entry;
	int result;

	if (S_ISCHR(inode->base.mode) && device_of(inode) == 0)
		return put_whiteout(tar, inode, ret_error);
	entry = archive_entry_new();
	result = write_entry(tar, inode, entry, ret_error);
	archive_entry_free(entry);
	return result;
}

/* ---- the tree ---- */

/* All names of a directory, in their order. */
static int push_level(struct layer_tar *tar, const sqfs_inode_generic_t *directory,
		      struct error **ret_error)
{
	sqfs_dir_reader_t *reader = tar->reader.directories;
	struct level *level;
	int result = sqfs_dir_reader_open_dir(reader, directory, 0);

	tar->levels = xreallocarray(tar->levels, tar->n_levels + 1, sizeof(*tar->levels));
	level = &tar->levels[tar->n_levels++];
	*level = (struct level){ .path_length = buffer_length(&tar->path) };
	while (result == 0) {
		sqfs_inode_generic_t *inode = NULL;
		sqfs_dir_entry_t *entry = NULL;

		result = sqfs_dir_reader_read(reader, &entry);
		if (result > 0)
			return 0;
		if (result == 0)
			result = sqfs_dir_reader_get_inode(reader, &inode);
		if (result == 0) {
			const size_t n = level->n++;

			level->names = xreallocarray(level->names, level->n, sizeof(*level->names));
			level->inodes =
			    xreallocarray(level->inodes, level->n, sizeof(*level->inodes));
			level->names[n] = xstrndup((const char *)entry->name, entry->size + 1U);
			level->inodes[n] = inode;
		}
		sqfs_free(entry);
	}
	return check(tar, result, ret_error);
}

static void set_path(struct layer_tar *tar, const struct level *level, const char *name)
{
	tar->path.end = tar->path.start + level->path_length;
	if (level->path_length > 0)
		buffer_append(&tar->path, "/", 1);
	buffer_append(&tar->path, name, strlen(name) + 1);
	tar->path.end--;
}

static int put_tree(struct layer_tar *tar, struct error **ret_error)
{
	if (push_level(tar, tar->reader.inode, ret_error) < 0)
		return -1;
	while (tar->n_levels > 0) {
		struct level *level = &tar->levels[tar->n_levels - 1];
		const sqfs_inode_generic_t *inode;

		if (level->at == level->n) {
			level_done(level);
			tar->n_levels--;
			continue;
		}
		inode = level->inodes[level->at];
		set_path(tar, level, level->names[level->at++]);
		if (put_entry(tar, inode, ret_error) < 0 ||
		    (S_ISDIR(inode->base.mode) && push_level(tar, inode, ret_error) < 0))
			return -1;
	}
	return 0;
}

/* A root that no archive told of is as it is made (unpack.h): nothing is said of it. */
static bool is_root_said(const sqfs_inode_generic_t *root)
{
	sqfs_u32 index = NO_XATTRS;

	(void)sqfs_inode_get_xattr_index(root, &index);
	return index != NO_XATTRS || root->base.mode != (S_IFDIR | 0755) ||
	       root->base.mod_time != 0;
}

static int put_root(struct layer_tar *tar, struct error **ret_error)
{
	int result;

	if (!is_root_said(tar->reader.inode))
		return 0;
	buffer_append(&tar->path, ".", 2);
	tar->path.end--;
	result = put_entry(tar, tar->reader.inode, ret_error);
	buffer_done(&tar->path);
	return result;
}

int layer_write_tar(const char *image_path, int fd, char ret_digest[DIGEST_SIZE],
		    struct error **ret_error)
{
	_cleanup_(layer_tar_done) struct layer_tar tar = { .reader = { .path = image_path },
							   .fd = fd,
							   .chunk = xmalloc(CHUNK) };

	if (layer_reader_open(&tar.reader, ret_error) < 0 || open_tables(&tar, ret_error) < 0 ||
	    open_archive(&tar, ret_error) < 0 || put_root(&tar, ret_error) < 0 ||
	    put_tree(&tar, ret_error) < 0)
		return -1;
	if (archive_write_close(tar.archive) != ARCHIVE_OK)
		return archive_failed(&tar, ret_error);
	return digest_end(TAKE_PTR(tar.digest), ret_digest, ret_error);
}
