/* SPDX-License-Identifier: Apache-2.0 */
/* Files out of layers: see layer-read.h. */
#include "rootfs/image/layer-read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqfs/data_reader.h>
#include <sqfs/error.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/alloc.h"
#include "rootfs/image/layer-reader.h"

#define LINKS_MAX 40  /* as the kernel has it */
#define NAMES_MAX 256 /* components of a path */

void layer_reader_done(struct layer_reader *reader)
{
	sqfs_free(reader->inode);
	sqfs_destroy(reader->directories);
	sqfs_destroy(reader->compressor);
	sqfs_destroy(reader->file);
}

int layer_reader_check(const struct layer_reader *reader, int result, struct error **ret_error)
{
	if (result >= 0)
		return 0;
	return error_set(ret_error, EIO, "cannot read the layer %s (libsquashfs error %d)",
			 reader->path, result);
}

int layer_reader_open(struct layer_reader *reader, struct error **ret_error)
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
		result = sqfs_dir_reader_get_root_inode(reader->directories, &reader->inode);
	return layer_reader_check(reader, result, ret_error);
}

/* To an entry of the directory where we are. 0: it has none, and we stay. */
static int step_into(struct layer_reader *reader, const char *name, struct error **ret_error)
{
	sqfs_inode_generic_t *inode = NULL;
	int result = sqfs_dir_reader_open_dir(reader->directories, reader->inode, 0);

	if (result == 0)
		result = sqfs_dir_reader_find(reader->directories, name);
	if (result == SQFS_ERROR_NO_ENTRY)
		return 0;
	if (result == 0)
		result = sqfs_dir_reader_get_inode(reader->directories, &inode);
	if (layer_reader_check(reader, result, ret_error) < 0)
		return -1;
	sqfs_free(reader->inode);
	reader->inode = inode;
	return 1;
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

static bool is_opaque(const struct layer_reader *reader)
{
	sqfs_xattr_reader_t *xattrs;
	sqfs_u32 index = 0xffffffff;
	bool opaque = false;

	if (sqfs_inode_get_xattr_index(reader->inode, &index) != 0 || index == 0xffffffff)
		return false;
	xattrs = sqfs_xattr_reader_create(0);
	if (xattrs &&
	    sqfs_xattr_reader_load(xattrs, &reader->super, reader->file, reader->compressor) == 0)
		opaque = has_key(xattrs, index, LAYER_OPAQUE_ATTRIBUTE);
	sqfs_destroy(xattrs);
	return opaque;
}

static int read_contents(struct layer_reader *reader, size_t size_max, char **ret_text,
			 struct error **ret_error)
{
	sqfs_u64 size = 0;
	sqfs_data_reader_t *data;
	_cleanup_free_ char *text = NULL;
	int result = sqfs_inode_get_file_size(reader->inode, &size);

	if (layer_reader_check(reader, result, ret_error) < 0)
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
	if (layer_reader_check(reader, result, ret_error) < 0)
		return -1;
	*ret_text = TAKE_PTR(text);
	return 0;
}

/* ---- paths ---- */

/* A path that is being followed: components, without "." and empty ones. */
struct walk {
	char **names;
	unsigned links;	 /* followed so far */
	size_t known;	 /* so many are directories, in layers above */
	bool is_covered; /* nothing below this layer shows */
	size_t at;	 /* which one we are at, of the layer */
};

enum found {
	FOUND_NOTHING, /* the layer says nothing of it */
	FOUND_ALL,     /* reader->inode is the last one */
	FOUND_LINK,    /* reader->inode is a link, for the component walk->at */
	FOUND_HIDDEN,
};

static void append_names(char ***names, const char *path, size_t size)
{
	const char *end = path + size;

	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		const size_t length = (size_t)((slash ? slash : end) - path);
		_cleanup_free_ char *name = xstrndup(path, length);

		if (length > 0 && strcmp(name, ".") != 0)
			strv_append(names, name);
		path += length + 1;
	}
}

/* How far the layer, at whose root the reader is, knows the first n components. */
static int walk_layer(struct layer_reader *reader, struct walk *walk, size_t n,
		      enum found *ret_found, struct error **ret_error)
{
	*ret_found = FOUND_ALL;
	for (walk->at = 0; walk->at < n; walk->at++) {
		const int result = step_into(reader, walk->names[walk->at], ret_error);

		if (result < 0)
			return -1;
		if (result == 0) {
			*ret_found = FOUND_NOTHING;
			return 0;
		}
		if (S_ISDIR(reader->inode->base.mode)) {
			walk->is_covered = walk->is_covered || is_opaque(reader);
			if (walk->known <= walk->at)
				walk->known = walk->at + 1;
			continue;
		}
		/* What is a directory in a layer above hides this one. */
		if (walk->at < walk->known || S_ISCHR(reader->inode->base.mode))
			*ret_found = FOUND_HIDDEN;
		else if (S_ISLNK(reader->inode->base.mode))
			*ret_found = FOUND_LINK;
		else if (walk->at + 1 < n)
			*ret_found = FOUND_HIDDEN;
		return 0;
	}
	return 0;
}

/* The link's target takes its place. */
static int follow(const struct layer_reader *reader, struct walk *walk, struct error **ret_error)
{
	const char *target = (const char *)reader->inode->extra;
	const size_t size = reader->inode->data.slink.target_size;
	char **names = NULL;

	if (++walk->links > LINKS_MAX)
		return error_set(ret_error, ELOOP, "too many symbolic links");
	for (size_t i = 0; i < walk->at && (size == 0 || target[0] != '/'); i++)
		strv_append(&names, walk->names[i]);
	append_names(&names, target, size);
	for (size_t i = walk->at + 1; walk->names[i]; i++)
		strv_append(&names, walk->names[i]);
	if (strv_length(names) > NAMES_MAX) {
		strv_free(names);
		return error_set(ret_error, ELOOP, "too long by its links");
	}
	strv_free(walk->names);
	walk->names = names ? names : xcalloc(1, sizeof(*names));
	return 0;
}

/* "a/..", of which a is a directory, goes; at the top, ".." alone. */
static void go_up(struct walk *walk, size_t at)
{
	const size_t from = at > 0 ? at - 1 : 0, to = at + 1;

	for (size_t i = from; i < to; i++)
		free(walk->names[i]);
	memmove(walk->names + from, walk->names + to,
		(strv_length(walk->names + to) + 1) * sizeof(*walk->names));
}

/* One pass through the layers: 1: the file is read; 0: the path is another now. */
static int pass(char *const *layers, size_t n_layers, struct walk *walk, size_t size_max,
		char **ret_text, struct error **ret_error)
{
	size_t n = 0;

	walk->known = 0;
	walk->is_covered = false;
	while (walk->names[n] && strcmp(walk->names[n], "..") != 0)
		n++;
	for (size_t i = n_layers; i > 0 && !walk->is_covered; i--) {
		_cleanup_(layer_reader_done) struct layer_reader reader = { .path = layers[i - 1] };
		enum found found;

		if (layer_reader_open(&reader, ret_error) < 0 ||
		    walk_layer(&reader, walk, n, &found, ret_error) < 0)
			return -1;
		if (found == FOUND_NOTHING)
			continue;
		if (found == FOUND_LINK)
			return follow(&reader, walk, ret_error);
		if (found == FOUND_HIDDEN)
			break;
		if (!walk->names[n] && S_ISREG(reader.inode->base.mode))
			return read_contents(&reader, size_max, ret_text, ret_error) < 0 ? -1 : 1;
		if (!walk->names[n] || !S_ISDIR(reader.inode->base.mode))
			break;
		go_up(walk, n);
		return 0;
	}
	return error_set(ret_error, ENOENT, "not there");
}

int layers_read_file(char *const *layers, size_t n_layers, const char *path, size_t size_max,
		     char **ret_text, struct error **ret_error)
{
	struct walk walk = { .names = xcalloc(1, sizeof(*walk.names)) };
	int result;

	append_names(&walk.names, path, strlen(path));
	do
		result = pass(layers, n_layers, &walk, size_max, ret_text, ret_error);
	while (result == 0);
	strv_free(walk.names);
	return result < 0 ? error_wrap(ret_error, "/%s of the image", path) : 0;
}

/* ---- many questions ---- */

struct layer_stack {
	struct layer_reader *readers; /* lowest first */
	size_t n;
};

void layer_stack_close(struct layer_stack *stack)
{
	if (!stack)
		return;
	for (size_t i = 0; i < stack->n; i++)
		layer_reader_done(&stack->readers[i]);
	free(stack->readers);
	free(stack);
}

int layer_stack_open(char *const *layers, size_t n_layers, struct layer_stack **ret_stack,
		     struct error **ret_error)
{
	_cleanup_(layer_stack_closep) struct layer_stack *stack = xcalloc(1, sizeof(*stack));

	stack->readers = xcalloc(n_layers + 1, sizeof(*stack->readers));
	while (stack->n < n_layers) {
		struct layer_reader *reader = &stack->readers[stack->n++];

		reader->path = layers[stack->n - 1];
		if (layer_reader_open(reader, ret_error) < 0)
			return -1;
	}
	*ret_stack = TAKE_PTR(stack);
	return 0;
}

static int go_to_root(struct layer_reader *reader, struct error **ret_error)
{
	sqfs_inode_generic_t *root = NULL;
	const int result = sqfs_dir_reader_get_root_inode(reader->directories, &root);

	if (layer_reader_check(reader, result, ret_error) < 0)
		return -1;
	sqfs_free(reader->inode);
	reader->inode = root;
	return 0;
}

static bool is_whiteout(const sqfs_inode_generic_t *inode)
{
	return inode->base.type == SQFS_INODE_EXT_CDEV ? inode->data.dev_ext.devno == 0
	       : inode->base.type == SQFS_INODE_CDEV   ? inode->data.dev.devno == 0
						       : false;
}

/* 1: the layer decides, and *ret_has says how; 0: it says nothing of it. */
static int ask_layer(struct layer_reader *reader, struct walk *walk, size_t n, bool *ret_has,
		     struct error **ret_error)
{
	enum found found;

	if (go_to_root(reader, ret_error) < 0 || walk_layer(reader, walk, n, &found, ret_error) < 0)
		return -1;
	/* The last one may be a link, or a device, which a file that is read may not be. */
	*ret_has = found == FOUND_ALL ||
		   (walk->at + 1 == n && (found == FOUND_LINK ||
					  (found == FOUND_HIDDEN && !is_whiteout(reader->inode))));
	return found != FOUND_NOTHING;
}

int layer_stack_has(struct layer_stack *stack, const char *path, bool *ret_has,
		    struct error **ret_error)
{
	struct walk walk = { .names = xcalloc(1, sizeof(*walk.names)) };
	int result = 0;

	*ret_has = false;
	append_names(&walk.names, path, strlen(path));
	for (size_t i = stack->n; i > 0 && result == 0 && !walk.is_covered; i--)
		result = ask_layer(&stack->readers[i - 1], &walk, strv_length(walk.names), ret_has,
				   ret_error);
	strv_free(walk.names);
	return result < 0 ? -1 : 0;
}
