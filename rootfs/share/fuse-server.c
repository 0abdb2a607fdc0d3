/* SPDX-License-Identifier: Apache-2.0 */
/* A server's beginning and end: see fuse.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

int fuse_server_new(const struct fuse_options *options, struct fuse_server **ret_server,
		    struct error **ret_error)
{
	_cleanup_(fuse_server_freep) struct fuse_server *server = xcalloc(1, sizeof(*server));

	server->options = *options;
	server->root_fd = server->fdinfo = server->timer_fd = -1;
	(void)pthread_mutex_init(&server->lock, NULL);
	(void)pthread_mutex_init(&server->locks_lock, NULL);
	server->root_fd = openat(options->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->root_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the shared directory");
	if (options->host_locks) {
		server->fdinfo = fuse_open_proc("fdinfo", ret_error);
		if (server->fdinfo < 0)
			return -1;
	}
	server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->timer_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make a timer");
	if (fuse_nodes_init(server, ret_error) < 0)
		return -1;
	*ret_server = TAKE_PTR(server);
	return 0;
}

void fuse_server_free(struct fuse_server *server)
{
	if (!server)
		return;
	fuse_handles_reset(server);
	fuse_nodes_done(server);
	close_fdp(&server->root_fd);
	close_fdp(&server->fdinfo);
	close_fdp(&server->timer_fd);
	(void)pthread_mutex_destroy(&server->lock);
	(void)pthread_mutex_destroy(&server->locks_lock);
	free(server);
}

int fuse_timer_fd(const struct fuse_server *server)
{
	return server->timer_fd;
}
