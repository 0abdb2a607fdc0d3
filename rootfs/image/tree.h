/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as it is on disk: every entry's metadata in memory, in the
 * order an image needs (names by byte value), and a walk back over the same
 * entries to read what is in them.
 *
 * Nothing leaves the tree: entries are reached from the root's descriptor,
 * one component at a time and without following links, and a directory that is
 * no longer the one first seen is an error with the code ESTALE, which means
 * "the tree changed meanwhile: start again".  At most a handful of descriptors
 * is open, whatever the depth; memory grows with the number of entries only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

struct image_entry;

struct tree_time {
	int64_t seconds;
	uint32_t nanoseconds;
};

/* One extended attribute; a list of them is in the order of their names. */
struct tree_xattr {
	struct tree_xattr *next;
	const void *value; /* inside this allocation, behind the name */
	size_t size;
	char name[];
};

struct tree_node {
	struct tree_node *parent;   /* NULL: the root */
	struct tree_node *next;	    /* next in the same directory */
	struct tree_node *children; /* first in this directory */
	/* The first entry, in tree_next() order, with the same inode; often itself. */
	struct tree_node *link;
	struct tree_xattr *xattrs;
	size_t index;		    /* its place in tree_next() order, from 0 */
	char *target;		    /* of a symbolic link, else NULL */
	struct image_entry *stored; /* not owned: what an image that is being written knows of it */
	uint64_t mount, device, inode, size;
	struct tree_time mtime, ctime;
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t device_major, device_minor; /* of a device node */
	uint32_t n_links; /* names of this inode within the tree; 2 + directories for a directory */
	bool has_holes;	  /* a regular file with less on disk than its size */
	bool left_out;	  /* the root of another mount, or the directory to skip: empty */
	char name[];
};

struct tree {
	struct tree_node *root;
	char *path; /* as given, for messages */
	int fd;	    /* of the root directory */
	size_t n_nodes;
	struct tree_time newest; /* the newest ctime of all entries */
	uint64_t n_acls;	 /* entries whose POSIX ACL was left out */
};

/* An (st_dev, st_ino) pair; a directory to be treated as another mount. */
struct tree_id {
	uint64_t device, inode;
};

/*
 * Reads the tree of directory `path`.  What another mount covers is left out:
 * its mount point stays, empty, with the mode and owner seen there and no
 * times, so that the same holds for each mount of it.  So is `skip`.
 *
 * Of the extended attributes user.*, trusted.* and security.* are kept: what
 * squashfs can hold.  A POSIX ACL cannot be; without its ACL an entry's group
 * permissions would mean more (they are the ACL's mask), so they become what
 * the ACL grants the owning group.
 */
int tree_scan(const char *path, const struct tree_id *skip, struct tree **ret_tree,
	      struct error **ret_error);
void tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree, tree_free)

/* One that is in no directory yet. */
struct tree_node *tree_node_new(struct tree_node *parent, const char *name);
void tree_node_free(struct tree_node *node);
void tree_xattrs_clear(struct tree_node *node);
/* Keeps the list in the order of names; an attribute of that name goes. */
void tree_xattr_set(struct tree_node *node, const char *name, const void *value, size_t size);
/* Numbers the entries, joins the names of each inode (of those with more than one link) and
 * counts them. */
void tree_find_links(struct tree *tree);

/* The entry after `node`, a directory before what is in it; NULL at the end. */
struct tree_node *tree_next(const struct tree_node *node);

/* Calls visit for each entry in tree_next() order. dir_fd is the directory the
 * entry is in, or the entry itself if it is a directory. */
typedef int tree_visit(struct tree *tree, struct tree_node *node, int dir_fd, void *opaque,
		       struct error **ret_error);
int tree_walk(struct tree *tree, tree_visit *visit, void *opaque, struct error **ret_error);

/* True if the file behind fd is still what the node says, by inode, size and times. */
bool tree_unchanged(const struct tree_node *node, int fd);

/* The entry's path below the one given to tree_scan(), for messages; caller frees. */
char *tree_node_path(const struct tree *tree, const struct tree_node *node);
/* An error with the code ESTALE that names the entry; returns -1. */
int tree_changed(const struct tree *tree, const struct tree_node *node, struct error **ret_error);

#define TREE_KEY_SIZE 65
/*
 * The tree's identity, as 64 hexadecimal digits: SHA-256 over `salt` and every
 * entry's path and all of struct tree_node's facts; not over file contents,
 * for which inode, size, mtime and ctime stand.
 */
int tree_key(const struct tree *tree, const char *salt, char ret_key[TREE_KEY_SIZE],
	     struct error **ret_error);
