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

/* Lock held: one of this id (0: a new one). */
static void add(struct fuse_server *server, struct fuse_handle *handle, uint64_t id)
{
	handle->id = id ? id : ++server->last_id;
	fuse_table_add(&server->handles, &handle->by_id, handle->id);
	fuse_account_keep(server, handle->node->account);
}

/* fd becomes the handle's, on failure too. */
static int new_handle(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
		      uint64_t id, uint64_t *ret_id)
{
	struct fuse_handle *handle = xcalloc(1, sizeof(*handle));
	int r = 0;

	handle->fd = fd;
	handle->node = node;
	handle->directory = S_ISDIR(node->type);
	handle->writable = (flags & O_ACCMODE) != O_RDONLY;
	handle->users = 1;
	(void)pthread_mutex_init(&handle->lock, NULL);
	fuse_node_hold(server, node);
	(void)pthread_mutex_lock(&server->lock);
	if (!fuse_account_may_keep(server, node->account))
		r = -ENFILE;
	else if (id && fuse_table_first(&server->handles, id))
		r = -EEXIST;
	else
		add(server, handle, id);
	if (r == 0)
		*ret_id = handle->id;
	(void)pthread_mutex_unlock(&server->lock);
	if (r < 0)
		handle_free(server, handle);
	return r;
}

int fuse_handle_add(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
		    uint64_t *ret_id)
{
	return new_handle(server, node, fd, flags, 0, ret_id);
}

int fuse_handle_restore(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
			uint64_t id)
{
	return new_handle(server, node, fd, flags, id, &id);
}

int fuse_handles_walk(struct fuse_server *server, int (*fn)(void *data, struct fuse_handle *handle),
		      void *data)
{
	const struct fuse_table *table = &server->handles;
	int r = 0;

	for (size_t i = 0; r == 0 && i < table->n_buckets; i++)
		for (struct fuse_link *at = table->buckets[i]; r == 0 && at; at = at->next)
			r = fn(data, from_id(at));
	return r;
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
		fuse_account_let_go(server, handle->node->account);
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
