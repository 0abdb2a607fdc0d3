/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a tree's metadata from disk: tree_scan() of tree.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rootfs/image/scan.h"
#include "rootfs/image/tree.h"

struct scan {
	struct tree_id skip;
	struct tree_node **list; /* a directory's entries, until they are sorted */
	size_t n, capacity;
};

static int scan_error(const struct tree *tree, const struct tree_node *node, int code,
		      const char *what, struct error **ret_error)
{
	_cleanup_free_ char *path = tree_node_path(tree, node);

	return error_set_errno(ret_error, code, "cannot %s %s", what, path);
}

static bool is_later(const struct tree_time *a, const struct tree_time *b)
{
	return a->seconds > b->seconds ||
	       (a->seconds == b->seconds && a->nanoseconds > b->nanoseconds);
}

static void set_facts(struct tree_node *node, const struct statx *st)
{
	node->mount = st->stx_mnt_id;
	node->device = makedev(st->stx_dev_major, st->stx_dev_minor);
	node->inode = st->stx_ino;
	node->mode = st->stx_mode;
	node->uid = st->stx_uid;
	node->gid = st->stx_gid;
	node->n_links = st->stx_nlink;
	node->mtime = (struct tree_time){ st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec };
	node->ctime = (struct tree_time){ st->stx_ctime.tv_sec, st->stx_ctime.tv_nsec };
	if (S_ISREG(node->mode)) {
		node->size = st->stx_size;
		node->has_holes = st->stx_blocks < st->stx_size / 512;
	}
	if (S_ISCHR(node->mode) || S_ISBLK(node->mode)) {
		node->device_major = st->stx_rdev_major;
		node->device_minor = st->stx_rdev_minor;
	}
}

/* What stays of the root of another mount: the place, no sign of what is there. */
static void leave_out(struct tree_node *node)
{
	node->left_out = true;
	node->inode = node->device = node->mount = node->size = 0;
	node->n_links = 1;
	node->has_holes = false;
	node->mtime = node->ctime = (struct tree_time){ 0 };
}

static int read_target(const struct tree *tree, struct tree_node *node, int fd,
		       struct error **ret_error)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(fd, "", target, sizeof(target));

	if (n < 0 || (size_t)n == sizeof(target))
		return scan_error(tree, node, n < 0 ? errno : ENAMETOOLONG, "read the link",
				  ret_error);
	node->target = xstrndup(target, (size_t)n);
	node->size = (uint64_t)n;
	return 0;
}

/* fd: an O_PATH descriptor of the entry. */
static int fill_node(struct tree *tree, const struct scan *scan, struct tree_node *node, int fd,
		     struct error **ret_error)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
		return scan_error(tree, node, errno, "look at", ret_error);
	set_facts(node, &st);
	if (node->parent &&
	    (node->mount != tree->root->mount ||
	     (node->device == scan->skip.device && node->inode == scan->skip.inode))) {
		leave_out(node);
		return S_ISLNK(node->mode) ? read_target(tree, node, fd, ret_error) : 0;
	}
	if (is_later(&node->ctime, &tree->newest))
		tree->newest = node->ctime;
	if (S_ISLNK(node->mode) && read_target(tree, node, fd, ret_error) < 0)
		return -1;
	if (scan_xattrs(tree, node, fd, ret_error) < 0)
		return -1;
	/* Attributes and mode are of one moment only if nothing changed between. */
	if (node->xattrs && !tree_unchanged(node, fd))
		return tree_changed(tree, node, ret_error);
	return 0;
}

static int add_entry(struct tree *tree, struct scan *scan, struct tree_node *parent, int dir_fd,
		     const char *name, struct error **ret_error)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int code = errno;
	struct tree_node *node = tree_node_new(parent, name);

	if (scan->n == scan->capacity) {
		scan->capacity = scan->capacity ? scan->capacity * 2 : 64;
		scan->list = xreallocarray(scan->list, scan->capacity, sizeof(struct tree_node *));
	}
	scan->list[scan->n++] = node;
	if (fd < 0 && code == ENOENT)
		return tree_changed(tree, node, ret_error);
	if (fd < 0)
		return scan_error(tree, node, code, "open", ret_error);
	return fill_node(tree, scan, node, fd, ret_error);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct tree_node *const *)a)->name, (*(struct tree_node *const *)b)->name);
}

/* Hands the list over to the directory, in order; also what an error cut short,
 * so that all of it is freed with the tree. */
static void adopt(struct scan *scan, struct tree_node *node)
{
	struct tree_node **end = &node->children;

	if (scan->n > 0)
		qsort(scan->list, scan->n, sizeof(struct tree_node *), compare_names);
	node->n_links = 2;
	for (size_t i = 0; i < scan->n; i++) {
		*end = scan->list[i];
		end = &scan->list[i]->next;
		node->n_links += S_ISDIR(scan->list[i]->mode);
	}
	scan->n = 0;
}

static int list_entries(struct tree *tree, struct scan *scan, struct tree_node *node, DIR *dir,
			struct error **ret_error)
{
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (add_entry(tree, scan, node, dirfd(dir), entry->d_name, ret_error) < 0)
			return -1;
	}
	if (errno != 0)
		return scan_error(tree, node, errno, "read the directory", ret_error);
	return 0;
}

static int scan_visit(struct tree *tree, struct tree_node *node, int dir_fd, void *opaque,
		      struct error **ret_error)
{
	struct scan *scan = opaque;
	_cleanup_dir_ DIR *dir = NULL;
	_cleanup_close_ int fd = -1;
	int result;

	if (!S_ISDIR(node->mode) || node->left_out)
		return 0;
	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	if (!dir)
		return scan_error(tree, node, errno, "read the directory", ret_error);
	TAKE_FD(fd);
	result = list_entries(tree, scan, node, dir, ret_error);
	adopt(scan, node);
	return result;
}

int tree_scan(const char *path, const struct tree_id *skip, struct tree **ret_tree,
	      struct error **ret_error)
{
	_cleanup_(tree_freep) struct tree *tree = xcalloc(1, sizeof(*tree));
	struct scan scan = { .skip = *skip };
	int result;

	tree->path = xstrdup(path);
	tree->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree->fd < 0)
		return error_set_errno(ret_error, errno, "cannot read the directory %s", path);
	tree->root = tree_node_new(NULL, "");
	if (fill_node(tree, &scan, tree->root, tree->fd, ret_error) < 0)
		return -1;
	result = tree_walk(tree, scan_visit, &scan, ret_error);
	free(scan.list);
	if (result < 0)
		return -1;
	tree_find_links(tree);
	*ret_tree = TAKE_PTR(tree);
	return 0;
}
