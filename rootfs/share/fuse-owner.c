/* SPDX-License-Identifier: Apache-2.0 */
/* Who has locks on a node: see fuse-parts.h. */
#include <stdlib.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

struct fuse_owner **fuse_owner_find(struct fuse_node *node, uint64_t owner)
{
	struct fuse_owner **at = &node->owners;

	while (*at && (*at)->owner != owner)
		at = &(*at)->next;
	return at;
}

void fuse_owner_free(struct fuse_server *server, const struct fuse_node *node,
		     struct fuse_owner **at)
{
	struct fuse_owner *owner = *at;

	*at = owner->next;
	close_fdp(&owner->fd);
	free(owner);
	fuse_fd_release(server, node);
}

void fuse_owners_forget(struct fuse_server *server, struct fuse_node *node)
{
	while (node->owners)
		fuse_owner_free(server, node, &node->owners);
}
