/* SPDX-License-Identifier: Apache-2.0 */
/* Files out of layers: see layer-read.h. */
#include "rootfs/image/layer-read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/alloc.h"

#define OPAQUE_ATTRIBUTE "trusted.overlay.opaque"

struct reader {
	const char *path;
	sqfs_file_t *file;
	sqfs_super_t super;
	sqfs_compressor_t *compressor;
	sqfs_dir_reader_t *directories;
	sqfs_inode_generic_t *root, *directory, *inode;
};

static void reader_done(struct reader *reader)
{
	sqfs_free(reader->inode);
	sqfs_free(reader->directory);
	sqfs_free(reader->root);
	sqfs_destroy(reader->directories);
	sqfs_destroy(reader->compressor);
	sqfs_destroy(reader->file);
}

static int check(const struct reader *reader, int result, struct error **ret_error)
{
	if (result >= 0)
		return 0;
	return error_set(ret_error, EIO, "cannot read the layer %s (libsquashfs error %d)",
			 reader->path, result);
}

static int reader_open(struct reader *reader, struct error **ret_error)
{
	sqfs_compressor_config_t config;
	int result;

	reader->file = sqfs_open_file(reader->path, SQFS_FILE_OPEN_READ_ONLY);
	if (!reader->file)
		return error_set_errno(ret_error, errno, "cannot read the layer %s", reader->path);
	result = sqfs_super_read(&reader->super, reader->file);
	if (result == 0)
		result = sqfs_compressor_config_init(&config, reader->super.compression_id,
						     reader->super.block_size,
						     SQFS_COMP_FLAG_UNCOMPRESS);
	if (result == 0)
		result = sqfs_compressor_create(&config, &reader->compressor);
	if (result == 0) {
		reader->directories =
		    sqfs_dir_reader_create(&reader->super, reader->compressor, reader->file, 0);
		result = reader->directories ? 0 : SQFS_ERROR_ALLOC;
	}
	if (result == 0)
		result = sqfs_dir_reader_get_root_inode(reader->directories, &reader->root);
	return check(reader, result, ret_error);
}

/* The entry in `at`; NULL: there is none. */
static int look_up(struct reader *reader, const sqfs_inode_generic_t *at, const char *name,
		   sqfs_inode_generic_t **ret_inode, struct error **ret_error)
{
	int result = sqfs_dir_reader_open_dir(reader->directories, at, 0);

	*ret_inode = NULL;
	if (result == 0)
		result = sqfs_dir_reader_find(reader->directories, name);
	if (result == SQFS_ERROR_NO_ENTRY)
		return 0;
	if (result == 0)
		result = sqfs_dir_reader_get_inode(reader->directories, ret_inode);
	return check(reader, result, ret_error);
}

static bool has_key(sqfs_xattr_reader_t *xattrs, sqfs_u32 index, const char *name)
{
	sqfs_xattr_id_t description;
	bool found = false;

	if (sqfs_xattr_reader_get_desc(xattrs, index, &description) != 0 ||
	    sqfs_xattr_reader_seek_kv(xattrs, &description) != 0)
		return false;
	for (sqfs_u32 i = 0; i < description.count && !found; i++) {
		sqfs_xattr_entry_t *key = NULL;
		sqfs_xattr_value_t *value = NULL;

		if (sqfs_xattr_reader_read_key(xattrs, &key) != 0)
			return false;
		found = strcmp((const char *)key->key, name) == 0;
		if (sqfs_xattr_reader_read_value(xattrs, key, &value) == 0)
			sqfs_free(value);
		sqfs_free(key);
	}
	return found;
}

static bool is_opaque(const struct reader *reader)
{
	sqfs_xattr_reader_t *xattrs;
	sqfs_u32 index = 0xffffffff;
	bool opaque = false;

	if (sqfs_inode_get_xattr_index(reader->directory, &index) != 0 || index == 0xffffffff)
		return false;
	xattrs = sqfs_xattr_reader_create(0);
	if (xattrs &&
	    sqfs_xattr_reader_load(xattrs, &reader->super, reader->file, reader->compressor) == 0)
		opaque = has_key(xattrs, index, OPAQUE_ATTRIBUTE);
	sqfs_destroy(xattrs);
	return opaque;
}

static int read_contents(struct reader *reader, size_t size_max, char **ret_text,
			 struct error **ret_error)
{
	sqfs_u64 size = 0;
	sqfs_data_reader_t *data;
	_cleanup_free_ char *text = NULL;
	int result = sqfs_inode_get_file_size(reader->inode, &size);

	if (check(reader, result, ret_error) < 0)
		return -1;
	if (size > size_max)
		return error_set(ret_error, EFBIG,
				 "a file in the layer %s is larger than %zu bytes", reader->path,
				 size_max);
	text = xcalloc(1, size + 1);
	data =
	    sqfs_data_reader_create(reader->file, reader->super.block_size, reader->compressor, 0);
	result =
	    data ? sqfs_data_reader_load_fragment_table(data, &reader->super) : SQFS_ERROR_ALLOC;
	if (result == 0 && size > 0)
		result = sqfs_data_reader_read(data, reader->inode, 0, text, (sqfs_u32)size);
	sqfs_destroy(data);
	if (check(reader, result, ret_error) < 0)
		return -1;
	*ret_text = TAKE_PTR(text);
	return 0;
}

/* 1: found; 0: this layer says nothing of it; or an error, ENOENT when it hides it. */
static int read_layer(struct reader *reader, const char *directory, const char *name,
		      size_t size_max, char **ret_text, struct error **ret_error)
{
	if (reader_open(reader, ret_error) < 0 ||
	    look_up(reader, reader->root, directory, &reader->directory, ret_error) < 0)
		return -1;
	if (!reader->directory)
		return 0;
	if (S_ISLNK(reader->directory->base.mode))
		return error_set(ret_error, ELOOP, "/%s is a symbolic link in the image",
				 directory);
	if (!S_ISDIR(reader->directory->base.mode))
		return error_set(ret_error, ENOENT, "the image has no /%s", directory);
	if (look_up(reader, reader->directory, name, &reader->inode, ret_error) < 0)
		return -1;
	if (!reader->inode && !is_opaque(reader))
		return 0;
	if (reader->inode && S_ISREG(reader->inode->base.mode))
		return read_contents(reader, size_max, ret_text, ret_error) < 0 ? -1 : 1;
	if (reader->inode && S_ISLNK(reader->inode->base.mode))
		return error_set(ret_error, ELOOP, "/%s/%s is a symbolic link in the image",
				 directory, name);
	return error_set(ret_error, ENOENT, "the image has no /%s/%s", directory, name);
}

int layers_read_file(char *const *layers, size_t n_layers, const char *directory, const char *name,
		     size_t size_max, char **ret_text, struct error **ret_error)
{
	for (size_t i = n_layers; i > 0; i--) {
		_cleanup_(reader_done) struct reader reader = { .path = layers[i - 1] };
		int result = read_layer(&reader, directory, name, size_max, ret_text, ret_error);

		if (result != 0)
			return result < 0 ? -1 : 0;
	}
	return error_set(ret_error, ENOENT, "the image has no /%s/%s", directory, name);
}
