/* SPDX-License-Identifier: Apache-2.0 */
/* A tree's identity: tree_key() of tree.h. */
#include <errno.h>
#include <string.h>
#include <sys/vfs.h>

#include "rootfs/image/digest.h"
#include "rootfs/image/tree.h"

/* Every string goes in with its length before it, and every directory with the
 * number of its entries: no two trees give the same bytes. */
static bool add_bytes(struct digest *hash, const void *bytes, uint64_t size)
{
	return digest_add(hash, &size, sizeof(size), NULL) == 0 &&
	       digest_add(hash, bytes, size, NULL) == 0;
}

static bool add_node(struct digest *hash, const struct tree_node *node)
{
	uint64_t n_children = 0, n_xattrs = 0;

	for (const struct tree_node *child = node->children; child; child = child->next)
		n_children++;
	for (const struct tree_xattr *xattr = node->xattrs; xattr; xattr = xattr->next)
		n_xattrs++;

	const uint64_t facts[] = {
		node->mode,
		node->uid,
		node->gid,
		node->size,
		node->device,
		node->inode,
		node->device_major,
		node->device_minor,
		(uint64_t)node->mtime.seconds,
		node->mtime.nanoseconds,
		(uint64_t)node->ctime.seconds,
		node->ctime.nanoseconds,
		node->link->n_links,
		n_children,
		n_xattrs,
	};

	if (!add_bytes(hash, node->name, strlen(node->name)) ||
	    !add_bytes(hash, node->target, node->target ? strlen(node->target) : 0) ||
	    !add_bytes(hash, facts, sizeof(facts)))
		return false;
	for (const struct tree_xattr *xattr = node->xattrs; xattr; xattr = xattr->next)
		if (!add_bytes(hash, xattr->name, strlen(xattr->name)) ||
		    !add_bytes(hash, xattr->value, xattr->size))
			return false;
	return true;
}

/*
 * The kind of file system goes in as well: a process that serves a FUSE file system
 * chooses inode numbers and times at will, and must not be able to give his
 * tree the identity of one on a real file system.
 */
static bool add_tree(struct digest *hash, const struct tree *tree, const char *salt)
{
	struct statfs fs = { 0 };
	uint64_t kind;

	if (fstatfs(tree->fd, &fs) < 0)
		return false;
	kind = (uint64_t)fs.f_type;
	if (!add_bytes(hash, salt, strlen(salt)) || !add_bytes(hash, &kind, sizeof(kind)))
		return false;
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!add_node(hash, node))
			return false;
	return true;
}

int tree_key(const struct tree *tree, const char *salt, char ret_key[TREE_KEY_SIZE],
	     struct error **ret_error)
{
	_cleanup_(digest_freep) struct digest *hash = NULL;
	char digest[DIGEST_SIZE];

	if (digest_begin(&hash, NULL) < 0 || !add_tree(hash, tree, salt) ||
	    digest_end(TAKE_PTR(hash), digest, NULL) < 0)
		return error_set(ret_error, EIO, "cannot compute the identity of %s", tree->path);
	(void)memcpy(ret_key, digest_hex(digest), TREE_KEY_SIZE);
	return 0;
}
