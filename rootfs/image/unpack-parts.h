/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of unpack_layer(): see unpack.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "rootfs/image/digest.h"
#include "rootfs/image/image-parts.h"
#include "rootfs/image/tree.h"
#include "rootfs/image/unpack.h"

struct archive;
struct archive_entry;

/* What one entry of the archive, or a parent that was made, has become. */
struct unpack_place {
	struct tree_node *node;
	struct tree_node *origin; /* of a hard link: the node that has the inode's facts */
	char *target;		  /* of a hard link whose target is not there yet: its path */
	bool gone;		  /* another came in its place, or in that of a parent */
	bool whiteout;		  /* `.wh.` and its name was there too */
	bool opaque;
	/* A chain of hard links that is being followed: */
	bool waiting;
	struct tree_node *next;
};

/*
 * The layer's tree while it grows (unpack-tree.c).  A node's index is its place's, and its
 * `children` are not linked, until unpack_tree_finish() makes of it what image_finish() wants.
 */
struct unpack_tree {
	struct tree *tree;   /* root included, from the start */
	struct image *image; /* where entries get their `stored` */
	struct unpack_place *places;
	size_t n_places, n_room;
	size_t n_places_max;
	uint64_t words, words_max; /* bytes of names, targets and attributes */
	uint64_t followed;	   /* bytes of paths that symbolic links gave; the same limit */
	void *names;		   /* tsearch(3): nodes by parent and name */
	struct tree_node *probe;
};

void unpack_tree_init(struct unpack_tree *tree, struct image *image,
		      const struct unpack_options *limits);
void unpack_tree_done(struct unpack_tree *tree);

static inline struct unpack_place *unpack_place(struct unpack_tree *tree,
						const struct tree_node *node)
{
	return &tree->places[node->index];
}

/* An entry's path without "/", "." and empty components at its ends and within; caller frees.
 * "" is the root. */
int unpack_path(const char *path, char **ret_path, struct error **ret_error);
/* Counts what is kept of the archive's words. */
int unpack_tree_account(struct unpack_tree *tree, size_t size, struct error **ret_error);
/* The directory that the path's last component is in, made if it is missing; its name is in
 * path itself. */
int unpack_tree_parent(struct unpack_tree *tree, const char *path, struct tree_node **ret_parent,
		       const char **ret_name, struct error **ret_error);
/* A node of this name for an entry of this mode (type and permissions), in the place of what is
 * there; a directory stays itself. */
int unpack_tree_put(struct unpack_tree *tree, struct tree_node *parent, const char *name,
		    uint32_t mode, struct tree_node **ret_node, struct error **ret_error);
int unpack_tree_link(struct unpack_tree *tree, struct tree_node *parent, const char *name,
		     const char *target, struct error **ret_error);
int unpack_tree_whiteout(struct unpack_tree *tree, struct tree_node *parent, const char *name,
			 struct error **ret_error);
/* What is at the path now, its last component not followed; NULL: nothing. */
struct tree_node *unpack_tree_find(struct unpack_tree *tree, const char *path);
/* -1: the layer's hard link to target is wrong, as "which WHY" says. */
int unpack_link_error(const char *target, const char *why, struct error **ret_error);
/* unpack-finish.c. Nothing can be put into it any more. */
int unpack_tree_finish(struct unpack_tree *tree, struct error **ret_error);

/* The stream, decompressed, counted and hashed, as the tar reader takes it (unpack-stream.c). */
struct unpack_stream {
	struct archive *filters, *tar;
	struct digest *digest;
	uint64_t size, size_max;
	uint64_t charged;     /* work that is not in the stream's own size, as bytes of it */
	uint64_t header_left; /* what an entry's header may still take */
	const int *copy_fd;   /* struct unpack_options, as is: */
	bool needs_end;
	bool at_end;
	struct error *error; /* the first one, which libarchive only passes on */
};

int unpack_stream_open(struct unpack_stream *stream, int fd, const struct unpack_options *options,
		       struct error **ret_error);
void unpack_stream_done(struct unpack_stream *stream);
/* 1, or 0 at the end, up to which all is read and hashed then. */
int unpack_stream_next(struct unpack_stream *stream, struct archive_entry **ret_entry,
		       struct error **ret_error);
/* The next piece of the entry's contents: 1, or 0 at their end. */
int unpack_stream_data(struct unpack_stream *stream, const void **ret_bytes, size_t *ret_size,
		       uint64_t *ret_offset, struct error **ret_error);
int unpack_stream_charge(struct unpack_stream *stream, uint64_t size, struct error **ret_error);
int unpack_stream_digest(struct unpack_stream *stream, char ret_digest[DIGEST_SIZE],
			 struct error **ret_error);

/* One entry of the archive into tree and image (unpack-entry.c). */
int unpack_entry(struct unpack_tree *tree, struct unpack_stream *stream,
		 struct archive_entry *entry, struct error **ret_error);
