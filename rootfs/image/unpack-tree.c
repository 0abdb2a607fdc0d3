/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's tree while its archive is read: see unpack-parts.h.
 *
 * Names are found by a search tree over (directory, name), whose depth no choice of names makes
 * larger. Nothing is taken out of it: what another entry replaces is marked as gone, and what was
 * below it can be reached no more, because its parent's node is never looked up again.  No node is
 * freed before the end, so no address stands for two.
 *
 * A hard link has facts of its own only at the end: its `origin` may be gone by then, as the
 * inode on disk would live on.
 */
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "rootfs/image/unpack-parts.h"

#define WORDS_PER_ENTRY 256U
#define LINKS_FOLLOWED_MAX 40
#define DIRECTORY_MODE (S_IFDIR | 0755)

static int compare_places(const void *a, const void *b)
{
	const struct tree_node *x = a, *y = b;

	if (x->parent != y->parent)
		return (uintptr_t)x->parent < (uintptr_t)y->parent ? -1 : 1;
	return strcmp(x->name, y->name);
}

static struct tree_node *add_node(struct unpack_tree *tree, struct tree_node *parent,
				  const char *name, uint32_t mode)
{
	struct tree_node *node = tree_node_new(parent, name);

	if (tree->n_places == tree->n_room) {
		tree->n_room = tree->n_room ? tree->n_room * 2 : 256;
		tree->places = xreallocarray(tree->places, tree->n_room, sizeof(*tree->places));
	}
	node->mode = mode;
	node->n_links = 1;
	node->index = tree->n_places;
	node->inode = tree->n_places + 1;
	tree->places[tree->n_places++] = (struct unpack_place){ .node = node };
	return node;
}

void unpack_tree_init(struct unpack_tree *tree, struct image *image,
		      const struct unpack_options *limits)
{
	*tree = (struct unpack_tree){ .image = image, .n_places_max = limits->entries_max };
	tree->words_max = limits->entries_max * WORDS_PER_ENTRY;
	tree->probe = xcalloc(1, sizeof(*tree->probe) + NAME_MAX + 1);
	tree->tree = xcalloc(1, sizeof(*tree->tree));
	tree->tree->path = xstrdup("the layer");
	tree->tree->fd = -1;
	tree->tree->root = add_node(tree, NULL, "", DIRECTORY_MODE);
}

static void leave(void *node)
{
	(void)node;
}

void unpack_tree_done(struct unpack_tree *tree)
{
	if (!tree->tree)
		return;
	tdestroy(tree->names, leave);
	for (size_t i = 0; i < tree->n_places; i++) {
		free(tree->places[i].target);
		tree_node_free(tree->places[i].node);
	}
	free(tree->places);
	free(tree->probe);
	free(tree->tree->path);
	free(tree->tree);
}

int unpack_tree_account(struct unpack_tree *tree, size_t size, struct error **ret_error)
{
	tree->words += size;
	if (tree->words > tree->words_max)
		return error_set(ret_error, EFBIG,
				 "the names, links and attributes of the layer take more than %llu "
				 "bytes",
				 (unsigned long long)tree->words_max);
	return 0;
}

int unpack_path(const char *path, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *clean = xmalloc(strlen(path) + 1);
	size_t n = 0;

	if (strlen(path) >= PATH_MAX)
		return error_set(ret_error, EBADMSG,
				 "a name in the layer is longer than a path can be (%.40s…)", path);
	while (*path) {
		const size_t size = strcspn(path, "/");

		if (size == 2 && memcmp(path, "..", 2) == 0)
			return error_set(ret_error, EBADMSG,
					 "a name in the layer has \"..\" in it: %s", path);
		if (size > NAME_MAX)
			return error_set(ret_error, EBADMSG,
					 "a name in the layer is longer than a file's can be "
					 "(%.40s…)",
					 path);
		if (size > 0 && !(size == 1 && path[0] == '.')) {
			if (n > 0)
				clean[n++] = '/';
			memcpy(clean + n, path, size);
			n += size;
		}
		path += size;
		path += path[0] == '/';
	}
	clean[n] = '\0';
	*ret_path = TAKE_PTR(clean);
	return 0;
}

/* name: at most NAME_MAX bytes. */
static struct tree_node **find_slot(struct unpack_tree *tree, struct tree_node *parent,
				    const char *name, size_t size)
{
	tree->probe->parent = parent;
	memcpy(tree->probe->name, name, size);
	tree->probe->name[size] = '\0';
	return tfind(tree->probe, &tree->names, compare_places);
}

static bool is_whiteout(const struct tree_node *node)
{
	return S_ISCHR(node->mode) && node->device_major == 0 && node->device_minor == 0;
}

int unpack_tree_put(struct unpack_tree *tree, struct tree_node *parent, const char *name,
		    uint32_t mode, struct tree_node **ret_node, struct error **ret_error)
{
	struct tree_node **slot = find_slot(tree, parent, name, strlen(name));
	struct tree_node *node;
	bool whiteout = false;

	if (slot && S_ISDIR(mode) && S_ISDIR((*slot)->mode)) {
		*ret_node = *slot;
		return 0;
	}
	if (tree->n_places >= tree->n_places_max)
		return error_set(ret_error, EFBIG,
				 "the layer has more than %zu entries: raise the limit if it is to "
				 "be trusted",
				 tree->n_places_max);
	if (unpack_tree_account(tree, strlen(name), ret_error) < 0)
		return -1;
	if (slot) {
		struct unpack_place *place = unpack_place(tree, *slot);

		place->gone = true;
		whiteout = place->whiteout;
	}
	node = add_node(tree, parent, name, mode);
	unpack_place(tree, node)->whiteout = whiteout;
	image_entry_add(tree->image, node);
	if (slot)
		*slot = node;
	else if (!tsearch(node, &tree->names, compare_places))
		return error_set(ret_error, ENOMEM, "cannot keep the names of the layer");
	*ret_node = node;
	return 0;
}

/*
 * The rest of a path, with what symbolic links put in front of it.  A link leads to
 * what is there in this layer, and ".." at the root to the root, as for a process whose root it is.
 */
struct walk {
	struct unpack_tree *tree;
	const char *path; /* for messages */
	struct tree_node *at;
	char *rest;
	unsigned n_links;
};

static int follow(struct walk *walk, const struct tree_node *link, const char *after,
		  struct error **ret_error)
{
	char *rest;

	if (++walk->n_links > LINKS_FOLLOWED_MAX ||
	    strlen(link->target) + strlen(after) >= PATH_MAX)
		return error_set(ret_error, EBADMSG,
				 "the layer's entry \"%s\" is below too many symbolic links",
				 walk->path);
	/* An entry of the stream is a block, and can cost us 40 paths of 4 KiB. */
	walk->tree->followed += strlen(link->target) + strlen(after);
	if (walk->tree->followed > walk->tree->words_max)
		return error_set(ret_error, EFBIG,
				 "the symbolic links that the layer's entries are below make "
				 "paths of more than %llu bytes",
				 (unsigned long long)walk->tree->words_max);
	rest = xasprintf("%s/%s", link->target, after);
	if (rest[0] == '/')
		walk->at = walk->tree->tree->root;
	free(walk->rest);
	walk->rest = rest;
	return 0;
}

/* Into the directory of this name. make: one that is missing is made, else it is ENOENT. */
static int step(struct walk *walk, const char *name, size_t size, const char *after, bool make,
		struct error **ret_error)
{
	struct tree_node **slot;
	char copy[NAME_MAX + 1];

	if (size > NAME_MAX)
		return error_set(ret_error, EBADMSG,
				 "the layer's entry \"%s\" is below a symbolic link that leads "
				 "nowhere",
				 walk->path);
	if (size == 2 && memcmp(name, "..", 2) == 0) {
		walk->at = walk->at->parent ? walk->at->parent : walk->at;
		return 0;
	}
	slot = find_slot(walk->tree, walk->at, name, size);
	if (slot && S_ISDIR((*slot)->mode)) {
		walk->at = *slot;
		return 0;
	}
	if (slot && S_ISLNK((*slot)->mode) && !unpack_place(walk->tree, *slot)->target)
		return follow(walk, *slot, after, ret_error) < 0 ? -1 : 1;
	if (!make)
		return error_set(ret_error, ENOENT, "no such entry");
	if (slot && !is_whiteout(*slot))
		return error_set(ret_error, EBADMSG,
				 "the layer's entry \"%s\" is below something that is not a "
				 "directory",
				 walk->path);
	memcpy(copy, name, size);
	copy[size] = '\0';
	return unpack_tree_put(walk->tree, walk->at, copy, DIRECTORY_MODE, &walk->at, ret_error);
}

static int find_parent(struct unpack_tree *tree, const char *path, bool make,
		       struct tree_node **ret_parent, struct error **ret_error)
{
	const char *slash = strrchr(path, '/');
	struct walk walk = { .tree = tree, .path = path, .at = tree->tree->root };
	size_t at = 0;
	int result = 0;

	walk.rest = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	while (result >= 0) {
		const char *name = walk.rest + at;
		const size_t size = strcspn(name, "/");

		if (name[0] == '\0')
			break;
		at += size + (name[size] == '/');
		if (size == 0 || (size == 1 && name[0] == '.'))
			continue;
		result = step(&walk, name, size, walk.rest + at, make, ret_error);
		if (result > 0)
			at = 0;
	}
	free(walk.rest);
	*ret_parent = walk.at;
	return result < 0 ? -1 : 0;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int unpack_tree_parent(struct unpack_tree *tree, const char *path, struct tree_node **ret_parent,
		       const char **ret_name, struct error **ret_error)
{
	*ret_name = last_name(path);
	return find_parent(tree, path, true, ret_parent, ret_error);
}

struct tree_node *unpack_tree_find(struct unpack_tree *tree, const char *path)
{
	_cleanup_error_ struct error *error = NULL;
	struct tree_node *parent, **slot;

	if (path[0] == '\0')
		return tree->tree->root;
	if (find_parent(tree, path, false, &parent, &error) < 0)
		return NULL;
	slot = find_slot(tree, parent, last_name(path), strlen(last_name(path)));
	return slot ? *slot : NULL;
}

int unpack_link_error(const char *target, const char *why, struct error **ret_error)
{
	return error_set(ret_error, EBADMSG, "the layer has a hard link to \"%s\", which %s",
			 target, why);
}

int unpack_tree_link(struct unpack_tree *tree, struct tree_node *parent, const char *name,
		     const char *target, struct error **ret_error)
{
	struct tree_node *origin = unpack_tree_find(tree, target), *node;
	struct tree_node **slot = find_slot(tree, parent, name, strlen(name));
	struct unpack_place *place;

	if (origin && S_ISDIR(origin->mode))
		return unpack_link_error(target, "is a directory", ret_error);
	if (origin && slot && *slot == origin)
		return 0; /* to itself */
	if (!origin && unpack_tree_account(tree, strlen(target), ret_error) < 0)
		return -1;
	/* Its mode is yet to come; no directory, no symbolic link. */
	if (unpack_tree_put(tree, parent, name, S_IFREG, &node, ret_error) < 0)
		return -1;
	place = unpack_place(tree, node);
	if (!origin)
		place->target = xstrdup(target);
	else if (unpack_place(tree, origin)->target)
		place->target = xstrdup(target); /* to a link that waits itself */
	else
		place->origin = unpack_place(tree, origin)->origin
				    ? unpack_place(tree, origin)->origin
				    : origin;
	return 0;
}

int unpack_tree_whiteout(struct unpack_tree *tree, struct tree_node *parent, const char *name,
			 struct error **ret_error)
{
	struct tree_node **slot = find_slot(tree, parent, name, strlen(name));
	struct tree_node *node;

	/* It hides what lower layers have; what this one has under the name stays. */
	if (!slot && unpack_tree_put(tree, parent, name, S_IFCHR, &node, ret_error) < 0)
		return -1;
	unpack_place(tree, slot ? *slot : node)->whiteout = true;
	return 0;
}
