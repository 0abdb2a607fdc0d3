/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of a shared directory's tree, for fuzz-share.c: what each call that changes the tree must
 * answer, and what the tree is then.  It touches no file.
 *
 * Files are known by their inode numbers, names by their places in a short list.  A directory that
 * has no name any more stays in the model, empty, and so does a file: somebody may have it open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_NAMES 5
#define TREE_OBJECTS_MAX 64

struct tree_object {
	uint64_t ino;
	mode_t type;		    /* S_IFMT bits */
	unsigned names;		    /* 0: it has been removed */
	struct tree_object *parent; /* of a directory, until it is removed; NULL: the root */
	struct tree_object *entries[TREE_NAMES];
};

struct tree {
	struct tree_object objects[TREE_OBJECTS_MAX]; /* the first is the root */
	size_t n_objects;
};

void tree_init(struct tree *tree, uint64_t root_ino);
/* The name's place; TREE_NAMES: it is none that a file may have. */
size_t tree_place(const char *name);
/* NULL: not a file of this tree. */
struct tree_object *tree_find(struct tree *tree, uint64_t ino);
bool tree_is_full(const struct tree *tree);

/*
 * 0, or the negative errno value that the call must end with.  Where several would be right (the
 * order of the kernel's checks is its own), -1.
 */
int tree_may_look(const struct tree_object *dir, size_t place);
int tree_may_add(const struct tree_object *dir, size_t place);
int tree_may_link(const struct tree_object *object, const struct tree_object *dir, size_t place);
int tree_may_remove(const struct tree_object *dir, size_t place, bool directory);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE */
int tree_may_rename(const struct tree_object *from, size_t place, const struct tree_object *to,
		    size_t new_place, unsigned flags);

/* The same calls, which were allowed. */
struct tree_object *tree_add(struct tree *tree, struct tree_object *dir, size_t place, mode_t type,
			     uint64_t ino);
void tree_link(struct tree_object *object, struct tree_object *dir, size_t place);
void tree_remove(struct tree_object *dir, size_t place);
void tree_rename(struct tree_object *from, size_t place, struct tree_object *to, size_t new_place,
		 unsigned flags);
