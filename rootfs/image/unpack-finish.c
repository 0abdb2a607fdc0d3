/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer's archive has become, as a tree that can be written: unpack_tree_finish(). */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "rootfs/image/unpack-parts.h"

#define OPAQUE_ATTRIBUTE "trusted.overlay.opaque"

static struct tree_node *origin_of(struct unpack_tree *tree, struct tree_node *node)
{
	struct unpack_place *place = unpack_place(tree, node);

	return place->origin ? place->origin : node;
}

/*
 * A hard link whose target came after it, perhaps another such link: follows the chain to its
 * end, then tells all of it.  Each is followed once.
 */
static int resolve(struct unpack_tree *tree, struct unpack_place *first, struct error **ret_error)
{
	struct unpack_place *place = first;
	struct tree_node *node = NULL;

	for (;;) {
		place->waiting = true;
		node = unpack_tree_find(tree, place->target);
		if (!node)
			return unpack_link_error(place->target, "this layer does not have",
						 ret_error);
		if (S_ISDIR(node->mode))
			return unpack_link_error(place->target, "is a directory", ret_error);
		place->next = node;
		if (!unpack_place(tree, node)->target)
			break;
		place = unpack_place(tree, node);
		if (place->waiting)
			return unpack_link_error(place->target, "is only a link to itself",
						 ret_error);
	}
	node = origin_of(tree, node);
	for (place = first; place->target; place = unpack_place(tree, place->next)) {
		place->origin = node;
		free(TAKE_PTR(place->target));
		place->waiting = false;
	}
	return 0;
}

static int resolve_links(struct unpack_tree *tree, struct error **ret_error)
{
	for (size_t i = 0; i < tree->n_places; i++) {
		struct unpack_place *place = &tree->places[i];

		if (place->target && !place->gone && resolve(tree, place, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* Parents come before what is in them. */
static void find_gone(struct unpack_tree *tree)
{
	for (size_t i = 1; i < tree->n_places; i++) {
		struct unpack_place *place = &tree->places[i];

		place->gone = place->gone || unpack_place(tree, place->node->parent)->gone;
	}
}

static void share_facts(struct unpack_tree *tree)
{
	for (size_t i = 0; i < tree->n_places; i++) {
		struct tree_node *node = tree->places[i].node, *origin = tree->places[i].origin;

		if (!origin)
			continue;
		node->mode = origin->mode;
		node->uid = origin->uid;
		node->gid = origin->gid;
		node->size = origin->size;
		node->has_holes = origin->has_holes;
		node->mtime = origin->mtime;
		node->device_major = origin->device_major;
		node->device_minor = origin->device_minor;
		node->inode = origin->inode;
		node->n_links = origin->n_links = 2;
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct tree_node *x = *(struct tree_node *const *)a;
	const struct tree_node *y = *(struct tree_node *const *)b;

	if (x->parent != y->parent)
		return x->parent->index < y->parent->index ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void link_children(struct unpack_tree *tree)
{
	_cleanup_free_ struct tree_node **nodes = xcalloc(tree->n_places, sizeof(*nodes));
	struct tree_node *before = NULL;
	size_t n = 0;

	for (size_t i = 1; i < tree->n_places; i++)
		if (!tree->places[i].gone)
			nodes[n++] = tree->places[i].node;
	if (n > 0)
		qsort(nodes, n, sizeof(*nodes), compare_entries);
	for (size_t i = 0; i < tree->n_places; i++)
		if (S_ISDIR(tree->places[i].node->mode))
			tree->places[i].node->n_links = 2;
	for (size_t i = 0; i < n; i++) {
		struct tree_node *node = nodes[i];

		if (before && before->parent == node->parent)
			before->next = node;
		else
			node->parent->children = node;
		node->parent->n_links += S_ISDIR(node->mode);
		before = node;
	}
}

static void mark_opaque(struct unpack_tree *tree)
{
	for (size_t i = 0; i < tree->n_places; i++) {
		const struct unpack_place *place = &tree->places[i];

		if (!place->gone && S_ISDIR(place->node->mode) &&
		    (place->opaque || place->whiteout))
			tree_xattr_set(place->node, OPAQUE_ATTRIBUTE, "y", 1);
	}
}

/* The first name of an inode is the one that is written: it gets what the origin has, which may
 * be another name or gone. */
static void hand_over(struct unpack_tree *tree)
{
	for (size_t i = 0; i < tree->n_places; i++) {
		struct tree_node *origin = tree->places[i].origin, *head;

		if (!origin || tree->places[i].gone)
			continue;
		head = tree->places[i].node->link;
		if (head == origin || !origin->stored)
			continue;
		head->stored = TAKE_PTR(origin->stored);
		head->target = TAKE_PTR(origin->target);
		head->xattrs = TAKE_PTR(origin->xattrs);
	}
}

int unpack_tree_finish(struct unpack_tree *tree, struct error **ret_error)
{
	find_gone(tree);
	if (resolve_links(tree, ret_error) < 0)
		return -1;
	share_facts(tree);
	link_children(tree);
	mark_opaque(tree);
	tree_find_links(tree->tree);
	hand_over(tree);
	return 0;
}
