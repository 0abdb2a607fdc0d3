/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and directories of a guest: see fuse-parts.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

static struct fuse_handle *from_id(struct fuse_link *link)
{
	return (struct fuse_handle *)((char *)link - offsetof(struct fuse_handle, by_id));
}

static void handle_free(struct fuse_server *server, struct fuse_handle *handle)
{
	close_fdp(&handle->fd);
	fuse_node_put(server, handle->node);
	(void)pthread_mutex_destroy(&handle->lock);
	free(handle);
}

int fuse_handle_add(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
		    uint64_t *ret_id)
{
	_cleanup_close_ int mine = fd;
	_cleanup_free_ struct fuse_handle *handle = xcalloc(1, sizeof(*handle));
	bool full;

	fuse_node_hold(server, node);
	(void)pthread_mutex_lock(&server->lock);
	full = server->n_fds >= server->options.fds_max;
	if (!full) {
		handle->fd = TAKE_FD(mine);
		handle->node = node;
		handle->directory = S_ISDIR(node->type);
		handle->writable = (flags & O_ACCMODE) != O_RDONLY;
		handle->users = 1;
		(void)pthread_mutex_init(&handle->lock, NULL);
		handle->id = ++server->last_id;
		*ret_id = handle->id;
		fuse_table_add(&server->handles, &handle->by_id, handle->id);
		server->n_fds++;
		(void)TAKE_PTR(handle);
	}
	(void)pthread_mutex_unlock(&server->lock);
	if (!full)
		return 0;
	fuse_node_put(server, node);
	return -ENFILE;
}

struct fuse_handle *fuse_handle_get(struct fuse_server *server, uint64_t id, bool directory)
{
	struct fuse_handle *handle = NULL;
	struct fuse_link *link;

	(void)pthread_mutex_lock(&server->lock);
	link = fuse_table_first(&server->handles, id);
	if (link && from_id(link)->directory == directory) {
		handle = from_id(link);
		handle->users++;
	}
	(void)pthread_mutex_unlock(&server->lock);
	return handle;
}

void fuse_handle_put(struct fuse_server *server, struct fuse_handle *handle)
{
	bool last;

	if (!handle)
		return;
	(void)pthread_mutex_lock(&server->lock);
	last = --handle->users == 0;
	if (last)
		server->n_fds--;
	(void)pthread_mutex_unlock(&server->lock);
	if (last)
		handle_free(server, handle);
}

void fuse_handle_remove(struct fuse_server *server, uint64_t id)
{
	struct fuse_link *link;

	(void)pthread_mutex_lock(&server->lock);
	link = fuse_table_first(&server->handles, id);
	if (link)
		fuse_table_remove(&server->handles, link);
	(void)pthread_mutex_unlock(&server->lock);
	if (link)
		fuse_handle_put(server, from_id(link)); /* the table's */
}

void fuse_handles_reset(struct fuse_server *server)
{
	struct fuse_link *all, *next;

	(void)pthread_mutex_lock(&server->lock);
	all = fuse_table_take(&server->handles);
	(void)pthread_mutex_unlock(&server->lock);
	for (; all; all = next) {
		next = all->next;
		fuse_handle_put(server, from_id(all));
	}
}
