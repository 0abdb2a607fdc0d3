/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a tree and keeping it in memory: see tree.h.  The walk holds one
 * directory open, goes down by name and up by "..", and checks on each move
 * that it arrived where it meant to: so depth costs no descriptors, and a
 * directory moved away under the walk cannot lead it out of the tree.
 */
#include "rootfs/image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"

char *tree_node_path(const struct tree *tree, const struct tree_node *node)
{
	_cleanup_free_ char *path = xstrdup("");

	for (; node->parent; node = node->parent) {
		char *longer = xasprintf("/%s%s", node->name, path);

		free(path);
		path = longer;
	}
	return xasprintf("%s%s", tree->path, path);
}

int tree_changed(const struct tree *tree, const struct tree_node *node, struct error **ret_error)
{
	_cleanup_free_ char *path = tree_node_path(tree, node);

	return error_set(ret_error, ESTALE, "%s changed while it was read", path);
}

struct tree_node *tree_next(const struct tree_node *node)
{
	if (node->children)
		return node->children;
	while (node && !node->next)
		node = node->parent;
	return node ? node->next : NULL;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct tree_node *x = *(struct tree_node *const *)a;
	const struct tree_node *y = *(struct tree_node *const *)b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

void tree_find_links(struct tree *tree)
{
	_cleanup_free_ struct tree_node **names = NULL;
	size_t n = 0, capacity = 0;

	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		node->index = tree->n_nodes++;
		if (S_ISDIR(node->mode) || node->n_links < 2)
			continue;
		if (n == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			names = xreallocarray(names, capacity, sizeof(struct tree_node *));
		}
		names[n++] = node;
	}
	if (n > 0)
		qsort(names, n, sizeof(struct tree_node *), compare_inodes);
	for (size_t i = 0, first = 0; i < n; i++) {
		struct tree_node *node = names[i], *head = names[first];

		if (node->device == head->device && node->inode == head->inode) {
			node->link = head;
			head->n_links = (uint32_t)(i - first + 1);
		} else {
			first = i;
			node->n_links = 1;
		}
	}
}

static int look(int fd, struct statx *ret_stat)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, ret_stat);
}

static bool is_node(const struct tree_node *node, const struct statx *st)
{
	return st->stx_ino == node->inode && st->stx_mnt_id == node->mount &&
	       makedev(st->stx_dev_major, st->stx_dev_minor) == node->device;
}

static bool same_time(const struct tree_time *time, const struct statx_timestamp *other)
{
	return time->seconds == other->tv_sec && time->nanoseconds == other->tv_nsec;
}

bool tree_unchanged(const struct tree_node *node, int fd)
{
	struct statx st;

	return look(fd, &st) == 0 && is_node(node, &st) &&
	       (!S_ISREG(node->mode) || st.stx_size == node->size) &&
	       same_time(&node->mtime, &st.stx_mtime) && same_time(&node->ctime, &st.stx_ctime);
}

/* Moves *fd from its directory to `name` in it, which must be `node`. */
static int move(const struct tree *tree, int *fd, const char *name, const struct tree_node *node,
		struct error **ret_error)
{
	_cleanup_close_ int next =
	    openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statx st;

	if (next < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
		int code = errno;
		_cleanup_free_ char *path = tree_node_path(tree, node);

		return error_set_errno(ret_error, code, "cannot read the directory %s", path);
	}
	if (next < 0 || look(next, &st) < 0 || !is_node(node, &st))
		return tree_changed(tree, node, ret_error);
	(void)close(*fd);
	*fd = TAKE_FD(next);
	return 0;
}

static bool is_entered(const struct tree_node *node)
{
	return S_ISDIR(node->mode) && !node->left_out;
}

int tree_walk(struct tree *tree, tree_visit *visit, void *opaque, struct error **ret_error)
{
	_cleanup_close_ int fd = fcntl(tree->fd, F_DUPFD_CLOEXEC, 0);
	struct tree_node *node = tree->root;

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot read the directory %s",
				       tree->path);
	for (;;) {
		if (node->parent && is_entered(node) &&
		    move(tree, &fd, node->name, node, ret_error) < 0)
			return -1;
		if (visit(tree, node, fd, opaque, ret_error) < 0)
			return -1;
		if (node->children) {
			node = node->children;
			continue;
		}
		for (; node->parent; node = node->parent) {
			if (is_entered(node) && move(tree, &fd, "..", node->parent, ret_error) < 0)
				return -1;
			if (node->next)
				break;
		}
		if (!node->parent)
			return 0;
		node = node->next;
	}
}

struct tree_node *tree_node_new(struct tree_node *parent, const char *name)
{
	size_t size = strlen(name) + 1;
	struct tree_node *node = xcalloc(1, sizeof(*node) + size);

	memcpy(node->name, name, size);
	node->parent = parent;
	node->link = node;
	return node;
}

void tree_xattrs_clear(struct tree_node *node)
{
	struct tree_xattr *next;

	for (struct tree_xattr *xattr = node->xattrs; xattr; xattr = next) {
		next = xattr->next;
		free(xattr);
	}
	node->xattrs = NULL;
}

void tree_node_free(struct tree_node *node)
{
	tree_xattrs_clear(node);
	free(node->target);
	free(node);
}

void tree_xattr_set(struct tree_node *node, const char *name, const void *value, size_t size)
{
	struct tree_xattr **at = &node->xattrs;
	const size_t name_size = strlen(name) + 1;
	struct tree_xattr *xattr = xcalloc(1, sizeof(*xattr) + name_size + size);

	memcpy(xattr->name, name, name_size);
	if (size > 0)
		memcpy(xattr->name + name_size, value, size);
	xattr->value = xattr->name + name_size;
	xattr->size = size;
	while (*at && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	xattr->next = *at;
	if (*at && strcmp((*at)->name, name) == 0) {
		xattr->next = (*at)->next;
		free(*at);
	}
	*at = xattr;
}

void tree_free(struct tree *tree)
{
	struct tree_node *node;

	if (!tree)
		return;
	node = tree->root;
	while (node) {
		struct tree_node *done = node;

		/* A node goes when its children, which know it as parent, are gone. */
		if (node->children) {
			node = node->children;
			done->children = NULL;
			continue;
		}
		node = node->next ? node->next : node->parent;
		tree_node_free(done);
	}
	close_fdp(&tree->fd);
	free(tree->path);
	free(tree);
}
