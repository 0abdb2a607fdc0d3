/* SPDX-License-Identifier: Apache-2.0 */
/* A model of a tree of files: see share-tree.h. */
#include "tests/fuzz/share-tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/input.h"

void tree_init(struct tree *tree, uint64_t root_ino)
{
	memset(tree, 0, sizeof(*tree));
	tree->objects[0] = (struct tree_object){ .ino = root_ino, .type = S_IFDIR, .names = 1 };
	tree->n_objects = 1;
}

size_t tree_place(const char *name)
{
	return name[0] >= 'a' && name[0] < 'a' + TREE_NAMES && !name[1] ? (size_t)(name[0] - 'a')
									: TREE_NAMES;
}

struct tree_object *tree_find(struct tree *tree, uint64_t ino)
{
	for (size_t i = 0; i < tree->n_objects; i++)
		if (tree->objects[i].ino == ino)
			return &tree->objects[i];
	return NULL;
}

bool tree_is_full(const struct tree *tree)
{
	return tree->n_objects == TREE_OBJECTS_MAX;
}

/* Can anything be named there? */
static int check_directory(const struct tree_object *dir, size_t place)
{
	if (place == TREE_NAMES)
		return -1;
	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	return dir->names > 0 ? 0 : -ENOENT;
}

int tree_may_look(const struct tree_object *dir, size_t place)
{
	int r = check_directory(dir, place);

	return r < 0 ? r : dir->entries[place] ? 0 : -ENOENT;
}

int tree_may_add(const struct tree_object *dir, size_t place)
{
	int r = check_directory(dir, place);

	return r < 0 ? r : dir->entries[place] ? -EEXIST : 0;
}

int tree_may_link(const struct tree_object *object, const struct tree_object *dir, size_t place)
{
	int r = tree_may_add(dir, place);

	if (r < 0)
		return -1;
	if (object->type == S_IFDIR)
		return -EPERM;
	return object->names > 0 ? 0 : -ENOENT;
}

static bool is_empty(const struct tree_object *dir)
{
	for (size_t i = 0; i < TREE_NAMES; i++)
		if (dir->entries[i])
			return false;
	return true;
}

int tree_may_remove(const struct tree_object *dir, size_t place, bool directory)
{
	int r = tree_may_look(dir, place);
	const struct tree_object *victim;

	if (r < 0)
		return r;
	victim = dir->entries[place];
	if (directory != (victim->type == S_IFDIR))
		return directory ? -ENOTDIR : -EISDIR;
	return directory && !is_empty(victim) ? -ENOTEMPTY : 0;
}

/* Is dir the object, or below it? */
static bool is_below(const struct tree_object *dir, const struct tree_object *object)
{
	for (; dir; dir = dir->parent)
		if (dir == object)
			return true;
	return false;
}

static int may_replace(const struct tree_object *object, const struct tree_object *victim)
{
	if (object == victim)
		return 0;
	if ((object->type == S_IFDIR) != (victim->type == S_IFDIR))
		return object->type == S_IFDIR ? -ENOTDIR : -EISDIR;
	return victim->type == S_IFDIR && !is_empty(victim) ? -ENOTEMPTY : 0;
}

int tree_may_rename(const struct tree_object *from, size_t place, const struct tree_object *to,
		    size_t new_place, unsigned flags)
{
	const bool exchange = flags & RENAME_EXCHANGE, noreplace = flags & RENAME_NOREPLACE;
	const struct tree_object *object, *victim;

	if (check_directory(from, place) < 0 || check_directory(to, new_place) < 0 ||
	    (exchange && noreplace))
		return -1;
	object = from->entries[place];
	victim = to->entries[new_place];
	if (!object || (exchange && !victim))
		return -ENOENT;
	if (noreplace && victim)
		return -EEXIST;
	if (is_below(to, object))
		return -EINVAL;
	if (victim && is_below(from, victim))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return victim && !exchange ? may_replace(object, victim) : 0;
}

static void put(struct tree_object *dir, size_t place, struct tree_object *object)
{
	dir->entries[place] = object;
	if (object && object->type == S_IFDIR)
		object->parent = dir;
}

struct tree_object *tree_add(struct tree *tree, struct tree_object *dir, size_t place, mode_t type,
			     uint64_t ino)
{
	struct tree_object *before = tree_find(tree, ino), *object;

	/* A number is used again only where nobody has the file any more. */
	check(!before || before->names == 0);
	if (before)
		before->ino = 0;
	check(!tree_is_full(tree));
	object = &tree->objects[tree->n_objects++];
	*object = (struct tree_object){ .ino = ino, .type = type, .names = 1 };
	put(dir, place, object);
	return object;
}

void tree_link(struct tree_object *object, struct tree_object *dir, size_t place)
{
	object->names++;
	put(dir, place, object);
}

void tree_remove(struct tree_object *dir, size_t place)
{
	struct tree_object *object = dir->entries[place];

	dir->entries[place] = NULL;
	if (--object->names == 0)
		object->parent = NULL;
}

void tree_rename(struct tree_object *from, size_t place, struct tree_object *to, size_t new_place,
		 unsigned flags)
{
	struct tree_object *object = from->entries[place], *victim = to->entries[new_place];

	if (object == victim)
		return; /* rename(2): two names of one file stay */
	if (victim && !(flags & RENAME_EXCHANGE)) {
		tree_remove(to, new_place);
		victim = NULL;
	}
	put(from, place, victim);
	put(to, new_place, object);
}
