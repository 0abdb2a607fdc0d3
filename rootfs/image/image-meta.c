/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes, directories and tables of the image, behind its data. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <sqfs/block.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/meta_writer.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_writer.h>

#include "base/alloc.h"
#include "rootfs/image/image-parts.h"

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "block sizes are written as they are in memory");

#define NO_XATTRS 0xffffffffU
/* Identifiers in one metadata block of the xattr table. */
#define XATTR_IDS_PER_BLOCK (SQFS_META_BLOCK_SIZE / sizeof(sqfs_xattr_id_t))
/* linux/kdev_t.h, new_encode_dev(): what squashfs stores of a device number. */
#define DEVICE_MAJOR_MAX 0xfffU
#define DEVICE_MINOR_MAX 0xfffffU

struct meta {
	struct image *image;
	sqfs_meta_writer_t *inodes, *directories;
	sqfs_dir_writer_t *directory;
	sqfs_id_table_t *ids;
	sqfs_xattr_writer_t *xattrs;
	uint32_t n_inodes;
};

static void meta_done(struct meta *meta)
{
	sqfs_destroy(meta->directory);
	sqfs_destroy(meta->inodes);
	sqfs_destroy(meta->directories);
	sqfs_destroy(meta->ids);
	sqfs_destroy(meta->xattrs);
}

static int check(const struct meta *meta, int result, struct error **ret_error)
{
	return image_check(meta->image, result, "write the entries of", ret_error);
}

static int record_xattrs(struct meta *meta, const struct tree_node *node, struct error **ret_error)
{
	int result = sqfs_xattr_writer_begin(meta->xattrs, 0);

	for (const struct tree_xattr *xattr = node->xattrs; xattr && result == 0;
	     xattr = xattr->next)
		result =
		    sqfs_xattr_writer_add(meta->xattrs, xattr->name, xattr->value, xattr->size);
	if (result == 0)
		result = sqfs_xattr_writer_end(meta->xattrs, &node->stored->xattr_index);
	return check(meta, result, ret_error);
}

/*
 * libsquashfs 1.2's sqfs_xattr_writer_flush() writes one word behind its list of
 * metadata blocks when the last of them is exactly full; a set of attributes
 * that nothing refers to keeps it from being so.
 */
static int pad_xattrs(struct meta *meta, uint32_t n_sets, struct error **ret_error)
{
	for (uint32_t value = 0; n_sets > 0 && n_sets % XATTR_IDS_PER_BLOCK == 0; value++) {
		uint32_t index = 0;
		int result = sqfs_xattr_writer_begin(meta->xattrs, 0);

		if (result == 0)
			result = sqfs_xattr_writer_add(meta->xattrs, "user.padding", &value,
						       sizeof(value));
		if (result == 0)
			result = sqfs_xattr_writer_end(meta->xattrs, &index);
		if (check(meta, result, ret_error) < 0)
			return -1;
		n_sets = index + 1 > n_sets ? index + 1 : n_sets;
	}
	return 0;
}

static int record_all_xattrs(struct meta *meta, struct error **ret_error)
{
	uint32_t n_sets = 0;

	for (struct tree_node *node = meta->image->tree->root; node; node = tree_next(node)) {
		struct image_entry *entry = node->stored;

		if (node->link != node)
			continue;
		entry->xattr_index = NO_XATTRS;
		if (!node->xattrs)
			continue;
		if (record_xattrs(meta, node, ret_error) < 0)
			return -1;
		if (entry->xattr_index != NO_XATTRS && entry->xattr_index >= n_sets)
			n_sets = entry->xattr_index + 1;
	}
	return pad_xattrs(meta, n_sets, ret_error);
}

static int set_owner(struct meta *meta, const struct tree_node *node, sqfs_inode_t *base,
		     struct error **ret_error)
{
	int result = sqfs_id_table_id_to_index(meta->ids, node->uid, &base->uid_idx);

	if (result == 0)
		result = sqfs_id_table_id_to_index(meta->ids, node->gid, &base->gid_idx);
	if (result == SQFS_ERROR_OVERFLOW)
		return error_set(ret_error, EOVERFLOW,
				 "%s has more than 65536 different owners and groups, which is"
				 " more than an image can hold",
				 meta->image->tree->path);
	return check(meta, result, ret_error);
}

static uint32_t image_time(const struct tree_time *time)
{
	if (time->seconds < 0)
		return 0;
	return time->seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)time->seconds;
}

/* Writes the inode and notes where it is; extra: what of it the caller appends. */
static int put_inode(struct meta *meta, const struct tree_node *node, sqfs_inode_generic_t *inode,
		     struct error **ret_error)
{
	struct image_entry *entry = node->stored;
	sqfs_u64 block;
	sqfs_u32 offset;

	inode->base.mode = (sqfs_u16)node->mode;
	inode->base.mod_time = image_time(&node->mtime);
	inode->base.inode_number = entry->inode_number;
	if (set_owner(meta, node, &inode->base, ret_error) < 0)
		return -1;
	sqfs_meta_writer_get_position(meta->inodes, &block, &offset);
	entry->inode_reference = block << 16 | offset;
	return check(meta, sqfs_meta_writer_write_inode(meta->inodes, inode), ret_error);
}

/* The block list of a file with holes: size 0 stands for a hole. */
static int put_sparse_blocks(struct meta *meta, const struct image_entry *entry, uint32_t n_stored,
			     struct error **ret_error)
{
	uint32_t sizes[1024];
	uint32_t next = 0;

	for (uint32_t first = 0; first < entry->n_blocks; first += ARRAY_SIZE(sizes)) {
		uint32_t n = entry->n_blocks - first;

		if (n > ARRAY_SIZE(sizes))
			n = ARRAY_SIZE(sizes);
		memset(sizes, 0, sizeof(sizes));
		for (; next < n_stored && entry->data_blocks[next] < first + n; next++)
			sizes[entry->data_blocks[next] - first] = entry->inode->extra[next];
		if (check(meta, sqfs_meta_writer_append(meta->inodes, sizes, n * sizeof(*sizes)),
			  ret_error) < 0)
			return -1;
	}
	return 0;
}

/*
 * The library would copy the whole block list onto the stack: so it gets the
 * inode without one, and the list, which follows the inode, is written here.
 */
static int put_file(struct meta *meta, const struct tree_node *node, struct error **ret_error)
{
	struct image_entry *entry = node->stored;
	sqfs_inode_generic_t *inode = entry->inode;
	uint32_t list_size = inode->payload_bytes_used;
	int result = sqfs_inode_make_extended(inode);

	if (check(meta, result, ret_error) < 0)
		return -1;
	if (node->has_holes) {
		inode->data.file_ext.sparse += node->size - inode->data.file_ext.file_size;
		inode->data.file_ext.file_size = node->size;
	}
	inode->data.file_ext.nlink = node->n_links;
	inode->data.file_ext.xattr_idx = entry->xattr_index;
	result = sqfs_inode_make_basic(inode); /* where nothing speaks against it */
	if (check(meta, result, ret_error) < 0)
		return -1;
	inode->payload_bytes_used = 0;
	if (put_inode(meta, node, inode, ret_error) < 0)
		return -1;
	if (node->has_holes)
		return put_sparse_blocks(meta, entry, list_size / sizeof(uint32_t), ret_error);
	return check(meta, sqfs_meta_writer_append(meta->inodes, inode->extra, list_size),
		     ret_error);
}

static int device_number(const struct meta *meta, const struct tree_node *node,
			 uint32_t *ret_number, struct error **ret_error)
{
	uint32_t major_number = node->device_major, minor_number = node->device_minor;
	_cleanup_free_ char *path = NULL;

	if (major_number <= DEVICE_MAJOR_MAX && minor_number <= DEVICE_MINOR_MAX) {
		*ret_number =
		    (minor_number & 0xff) | major_number << 8 | (minor_number & ~0xffU) << 12;
		return 0;
	}
	path = tree_node_path(meta->image->tree, node);
	return error_set(ret_error, EOVERFLOW,
			 "the device number %u:%u of %s is more than an image can hold",
			 major_number, minor_number, path);
}

static int put_special(struct meta *meta, const struct tree_node *node, struct error **ret_error)
{
	size_t target_size = node->target ? strlen(node->target) : 0;
	_cleanup_free_ sqfs_inode_generic_t *inode = xcalloc(1, sizeof(*inode) + target_size);
	uint32_t number = 0;

	switch (node->mode & S_IFMT) {
	case S_IFLNK:
		inode->base.type = SQFS_INODE_SLINK;
		inode->data.slink.nlink = node->n_links;
		inode->data.slink.target_size = (sqfs_u32)target_size;
		if (target_size > 0)
			memcpy(inode->extra, node->target, target_size);
		break;
	case S_IFBLK:
	case S_IFCHR:
		if (device_number(meta, node, &number, ret_error) < 0)
			return -1;
		inode->base.type = S_ISBLK(node->mode) ? SQFS_INODE_BDEV : SQFS_INODE_CDEV;
		inode->data.dev.nlink = node->n_links;
		inode->data.dev.devno = number;
		break;
	default:
		inode->base.type = S_ISFIFO(node->mode) ? SQFS_INODE_FIFO : SQFS_INODE_SOCKET;
		inode->data.ipc.nlink = node->n_links;
		break;
	}
	if (check(meta, sqfs_inode_set_xattr_index(inode, node->stored->xattr_index), ret_error) <
	    0)
		return -1;
	return put_inode(meta, node, inode, ret_error);
}

static int put_directory(struct meta *meta, const struct tree_node *node, struct error **ret_error)
{
	_cleanup_free_ sqfs_inode_generic_t *inode = NULL;
	/* The root's parent is a number that no entry has. */
	uint32_t parent = node->parent ? node->parent->stored->inode_number : meta->n_inodes + 1;
	int result = sqfs_dir_writer_begin(meta->directory, 0);

	for (const struct tree_node *child = node->children; child && result == 0;
	     child = child->next) {
		const struct image_entry *entry = child->link->stored;

		result =
		    sqfs_dir_writer_add_entry(meta->directory, child->name, entry->inode_number,
					      entry->inode_reference, (sqfs_u16)child->mode);
	}
	if (result == 0)
		result = sqfs_dir_writer_end(meta->directory);
	if (check(meta, result, ret_error) < 0)
		return -1;
	inode = sqfs_dir_writer_create_inode(meta->directory, 0, node->stored->xattr_index, parent);
	if (!inode)
		return check(meta, SQFS_ERROR_ALLOC, ret_error);
	if (inode->base.type == SQFS_INODE_DIR)
		inode->data.dir.nlink = node->n_links;
	else
		inode->data.dir_ext.nlink = node->n_links;
	return put_inode(meta, node, inode, ret_error);
}

static const struct tree_node *deepest_first(const struct tree_node *node)
{
	while (node->children)
		node = node->children;
	return node;
}

/* A directory's listing says where its entries' inodes are: they come first. */
static int put_all(struct meta *meta, struct error **ret_error)
{
	const struct tree_node *node = deepest_first(meta->image->tree->root);

	for (;;) {
		int result = 0;

		if (S_ISDIR(node->mode))
			result = put_directory(meta, node, ret_error);
		else if (node->link == node)
			result = S_ISREG(node->mode) ? put_file(meta, node, ret_error)
						     : put_special(meta, node, ret_error);
		if (result < 0)
			return -1;
		if (!node->parent)
			return 0;
		node = node->next ? deepest_first(node->next) : node->parent;
	}
}

static void number_inodes(struct meta *meta)
{
	for (struct tree_node *node = meta->image->tree->root; node; node = tree_next(node))
		if (node->link == node)
			node->stored->inode_number = ++meta->n_inodes;
}

static int write_tables(struct meta *meta, struct error **ret_error)
{
	struct image *image = meta->image;
	sqfs_file_t *file = &image->file.base;
	int result;

	image->super.inode_table_start = image->file.size;
	if (put_all(meta, ret_error) < 0)
		return -1;
	result = sqfs_meta_writer_flush(meta->inodes);
	if (result == 0)
		result = sqfs_meta_writer_flush(meta->directories);
	image->super.directory_table_start = image->file.size;
	if (result == 0)
		result = sqfs_meta_write_write_to_file(meta->directories);
	if (result == 0)
		result =
		    sqfs_frag_table_write(image->fragments, file, &image->super, image->compressor);
	if (result == 0)
		result = sqfs_id_table_write(meta->ids, file, &image->super, image->compressor);
	if (result == 0)
		result =
		    sqfs_xattr_writer_flush(meta->xattrs, file, &image->super, image->compressor);
	return check(meta, result, ret_error);
}

static int meta_init(struct meta *meta, struct image *image, struct error **ret_error)
{
	*meta = (struct meta){ .image = image };
	meta->ids = sqfs_id_table_create(0);
	meta->xattrs = sqfs_xattr_writer_create(0);
	meta->inodes = sqfs_meta_writer_create(&image->file.base, image->compressor, 0);
	meta->directories = sqfs_meta_writer_create(&image->file.base, image->compressor,
						    SQFS_META_WRITER_KEEP_IN_MEMORY);
	if (meta->directories)
		meta->directory = sqfs_dir_writer_create(meta->directories, 0);
	if (!meta->ids || !meta->xattrs || !meta->inodes || !meta->directory)
		return check(meta, SQFS_ERROR_ALLOC, ret_error);
	return 0;
}

int image_write_metadata(struct image *image, struct error **ret_error)
{
	_cleanup_(meta_done) struct meta meta;
	sqfs_super_t *super = &image->super;

	if (meta_init(&meta, image, ret_error) < 0)
		return -1;
	if (image->tree->n_nodes >= UINT32_MAX)
		return error_set(ret_error, EOVERFLOW, "%s has more entries than an image can hold",
				 image->tree->path);
	number_inodes(&meta);
	if (record_all_xattrs(&meta, ret_error) < 0 || write_tables(&meta, ret_error) < 0)
		return -1;
	super->inode_count = meta.n_inodes;
	super->root_inode_ref = image->tree->root->stored->inode_reference;
	super->bytes_used = image->file.size;
	return check(&meta, sqfs_super_write(super, &image->file.base), ret_error);
}
