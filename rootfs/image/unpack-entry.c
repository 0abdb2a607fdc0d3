/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of a layer's archive: its name, its facts, its contents. See unpack.h. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "rootfs/image/unpack-parts.h"

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define OPAQUE ".wh..wh..opq"
#define XATTR_SIZE (64U << 10) /* XATTR_SIZE_MAX of the kernel */
#define XATTRS_MAX 256

static int refuse(const char *path, int code, const char *why, struct error **ret_error)
{
	return error_set(ret_error, code, "the layer's entry \"%s\" %s", path, why);
}

static bool is_kept(const char *name)
{
	static const char *const kept[] = { "user.", "trusted.", "security." };
	/* What overlayfs would believe. */
	static const char *const dropped[] = { "trusted.overlay.", "user.overlay." };

	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (strncmp(name, dropped[i], strlen(dropped[i])) == 0)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (strncmp(name, kept[i], strlen(kept[i])) == 0 && name[strlen(kept[i])] != '\0')
			return true;
	return false;
}

static bool has_xattr(const struct tree_node *node, const char *name)
{
	for (const struct tree_xattr *xattr = node->xattrs; xattr; xattr = xattr->next)
		if (strcmp(xattr->name, name) == 0)
			return true;
	return false;
}

/* An attribute may come twice, in both of PAX's spellings. The last one counts, which libarchive
 * lists first. */
static int put_xattrs(struct unpack_tree *tree, struct tree_node *node, const char *path,
		      struct archive_entry *entry, struct error **ret_error)
{
	const char *name;
	const void *value;
	size_t size;

	if (archive_entry_xattr_reset(entry) > XATTRS_MAX)
		return refuse(path, EBADMSG, "has more attributes than a file can have", ret_error);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !is_kept(name) || has_xattr(node, name))
			continue;
		if (strlen(name) > NAME_MAX || size > XATTR_SIZE)
			return refuse(path, EBADMSG, "has an attribute that no file can have",
				      ret_error);
		if (unpack_tree_account(tree, strlen(name) + size, ret_error) < 0)
			return -1;
		tree_xattr_set(node, name, value, size);
	}
	return 0;
}

static int put_facts(struct unpack_tree *tree, struct tree_node *node, const char *path,
		     struct archive_entry *entry, struct error **ret_error)
{
	const int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return refuse(path, EBADMSG, "has an owner or group that no file can have",
			      ret_error);
	node->mode = (node->mode & S_IFMT) | (archive_entry_perm(entry) & 07777);
	node->uid = (uint32_t)uid;
	node->gid = (uint32_t)gid;
	if (archive_entry_mtime_is_set(entry))
		node->mtime = (struct tree_time){ archive_entry_mtime(entry),
						  (uint32_t)archive_entry_mtime_nsec(entry) };
	/* A directory that comes twice has the attributes of the last time. */
	tree_xattrs_clear(node);
	return put_xattrs(tree, node, path, entry, ret_error);
}

struct contents {
	struct unpack_tree *tree;
	struct unpack_stream *stream;
	struct tree_node *node;
	const char *path;
	uint8_t *block;	   /* IMAGE_BLOCK_SIZE: the one of a file with holes that is being filled */
	uint64_t block_at; /* its offset; UINT64_MAX: none */
	uint64_t end;	   /* of what was stored */
};

static int damaged(const struct contents *contents, struct error **ret_error)
{
	return refuse(contents->path, EBADMSG, "has other contents than its size says", ret_error);
}

static int store_dense(struct contents *contents, struct error **ret_error)
{
	const void *bytes;
	size_t size;
	uint64_t offset;
	int more;

	while ((more = unpack_stream_data(contents->stream, &bytes, &size, &offset, ret_error)) >
	       0) {
		if (offset != contents->end || size > contents->node->size - offset)
			return damaged(contents, ret_error);
		if (image_file_append(contents->tree->image, bytes, size, ret_error) < 0)
			return -1;
		contents->end += size;
	}
	if (more == 0 && contents->end != contents->node->size)
		return damaged(contents, ret_error);
	return more;
}

static int flush_block(struct contents *contents, struct error **ret_error)
{
	const uint64_t at = contents->block_at;

	if (at == UINT64_MAX)
		return 0;
	contents->block_at = UINT64_MAX;
	/* A few bytes in each block, and the archive is small and the work is not. */
	if (unpack_stream_charge(contents->stream, IMAGE_BLOCK_SIZE, ret_error) < 0)
		return -1;
	return image_file_append_block(
	    contents->tree->image, contents->node, (uint32_t)(at / IMAGE_BLOCK_SIZE),
	    contents->block, MIN(contents->node->size - at, (uint64_t)IMAGE_BLOCK_SIZE), ret_error);
}

static int store_piece(struct contents *contents, const uint8_t *bytes, size_t size,
		       uint64_t offset, struct error **ret_error)
{
	while (size > 0) {
		const uint64_t in_block = offset % IMAGE_BLOCK_SIZE;
		const size_t n = MIN(size, (size_t)(IMAGE_BLOCK_SIZE - in_block));

		if (contents->block_at != offset - in_block) {
			if (flush_block(contents, ret_error) < 0)
				return -1;
			contents->block_at = offset - in_block;
			memset(contents->block, 0, IMAGE_BLOCK_SIZE);
		}
		memcpy(contents->block + in_block, bytes, n);
		bytes += n;
		offset += n;
		size -= n;
	}
	return 0;
}

static int store_sparse(struct contents *contents, struct error **ret_error)
{
	const void *bytes;
	size_t size;
	uint64_t offset;
	int more;

	/* The list of its blocks is written whole, whatever is in them. */
	if (unpack_stream_charge(contents->stream, contents->node->size / IMAGE_BLOCK_SIZE * 4,
				 ret_error) < 0)
		return -1;
	while ((more = unpack_stream_data(contents->stream, &bytes, &size, &offset, ret_error)) >
	       0) {
		if (offset < contents->end || offset > contents->node->size ||
		    size > contents->node->size - offset)
			return damaged(contents, ret_error);
		contents->end = offset + size;
		if (store_piece(contents, bytes, size, offset, ret_error) < 0)
			return -1;
	}
	return more < 0 ? -1 : flush_block(contents, ret_error);
}

static int put_contents(struct unpack_tree *tree, struct unpack_stream *stream,
			struct tree_node *node, const char *path, struct archive_entry *entry,
			struct error **ret_error)
{
	const int64_t size = archive_entry_size(entry);
	_cleanup_free_ uint8_t *block = NULL;
	struct contents contents = {
		.tree = tree, .stream = stream, .node = node, .path = path, .block_at = UINT64_MAX
	};

	if (size < 0 || (uint64_t)size > IMAGE_FILE_SIZE_MAX)
		return refuse(path, EFBIG, "is larger than an image can hold", ret_error);
	node->size = (uint64_t)size;
	node->has_holes = archive_entry_sparse_count(entry) > 0;
	if (node->has_holes)
		contents.block = block = xmalloc(IMAGE_BLOCK_SIZE);
	if (image_file_begin(tree->image, node, ret_error) < 0 ||
	    (block ? store_sparse(&contents, ret_error) : store_dense(&contents, ret_error)) < 0)
		return -1;
	return image_file_end(tree->image, ret_error);
}

static int put_link_target(struct unpack_tree *tree, struct tree_node *node, const char *path,
			   struct archive_entry *entry, struct error **ret_error)
{
	const char *target = archive_entry_symlink(entry);

	if (!target || target[0] == '\0' || strlen(target) >= PATH_MAX)
		return refuse(path, EBADMSG, "is a symbolic link with a target that none can have",
			      ret_error);
	if (unpack_tree_account(tree, strlen(target), ret_error) < 0)
		return -1;
	node->target = xstrdup(target);
	node->size = strlen(target);
	return 0;
}

static int put_file(struct unpack_tree *tree, struct unpack_stream *stream,
		    struct tree_node *parent, const char *name, const char *path,
		    struct archive_entry *entry, struct error **ret_error)
{
	const uint32_t mode = archive_entry_filetype(entry);
	struct tree_node *node = tree->tree->root;

	switch (mode) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		break;
	default:
		return refuse(path, ENOTSUP, "is of a kind that cannot be unpacked", ret_error);
	}
	if (!parent && mode != S_IFDIR)
		return refuse(path, EBADMSG, "would be the root directory, and is none", ret_error);
	if (parent && unpack_tree_put(tree, parent, name, mode, &node, ret_error) < 0)
		return -1;
	if (put_facts(tree, node, path, entry, ret_error) < 0)
		return -1;
	if (mode == S_IFREG)
		return put_contents(tree, stream, node, path, entry, ret_error);
	if (mode == S_IFLNK)
		return put_link_target(tree, node, path, entry, ret_error);
	if (mode == S_IFCHR || mode == S_IFBLK) {
		node->device_major = (uint32_t)archive_entry_rdevmajor(entry);
		node->device_minor = (uint32_t)archive_entry_rdevminor(entry);
	}
	return 0;
}

/* `.wh.` names: 1, and the entry is done with. */
static int put_whiteout(struct unpack_tree *tree, struct tree_node *parent, const char *name,
			const char *path, struct error **ret_error)
{
	const char *hidden = name + strlen(WHITEOUT);

	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) != 0)
		return 0;
	if (strcmp(name, OPAQUE) == 0) {
		if (!parent->parent)
			return refuse(
			    path, ENOTSUP,
			    "hides all of the image's other layers, which is not supported",
			    ret_error);
		unpack_place(tree, parent)->opaque = true;
		return 1;
	}
	if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return refuse(path, EBADMSG, "hides nothing that can be there", ret_error);
	return unpack_tree_whiteout(tree, parent, hidden, ret_error) < 0 ? -1 : 1;
}

/* aufs' own files, or something below a directory of them. */
static bool is_meta(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += at[0] == '/';
		if (strncmp(at, WHITEOUT_META, strlen(WHITEOUT_META)) == 0 &&
		    strcmp(at, OPAQUE) != 0)
			return true;
	}
	return false;
}

static int skip_contents(struct unpack_stream *stream, struct error **ret_error)
{
	const void *bytes;
	size_t size;
	uint64_t offset;
	int more;

	do
		more = unpack_stream_data(stream, &bytes, &size, &offset, ret_error);
	while (more > 0);
	return more;
}

static int put_entry(struct unpack_tree *tree, struct unpack_stream *stream, const char *path,
		     struct archive_entry *entry, struct error **ret_error)
{
	const char *link = archive_entry_hardlink(entry), *name = "";
	struct tree_node *parent = NULL;
	_cleanup_free_ char *target = NULL;
	int done;

	if (path[0] != '\0' && unpack_tree_parent(tree, path, &parent, &name, ret_error) < 0)
		return -1;
	done = parent ? put_whiteout(tree, parent, name, path, ret_error) : 0;
	if (done != 0)
		return done < 0 ? -1 : 0;
	if (!link)
		return put_file(tree, stream, parent, name, path, entry, ret_error);
	if (!parent)
		return refuse(path, EBADMSG, "would be the root directory, and is none", ret_error);
	if (unpack_path(link, &target, ret_error) < 0)
		return -1;
	return unpack_tree_link(tree, parent, name, target, ret_error);
}

int unpack_entry(struct unpack_tree *tree, struct unpack_stream *stream,
		 struct archive_entry *entry, struct error **ret_error)
{
	const char *name = archive_entry_pathname(entry);
	_cleanup_free_ char *path = NULL;

	if (!name)
		return error_set(ret_error, EBADMSG, "an entry of the layer has no name");
	if (unpack_path(name, &path, ret_error) < 0)
		return -1;
	if (!is_meta(path) && put_entry(tree, stream, path, entry, ret_error) < 0)
		return -1;
	/* What a hard link (whose file has them already) or anything else has with it. */
	return skip_contents(stream, ret_error);
}
