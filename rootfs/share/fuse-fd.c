/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that stand for files of a guest: see fuse-parts.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "rootfs/share/fuse-parts.h"

int fuse_stat(int fd, struct statx *ret_st)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_MNT_ID, ret_st) < 0)
		return -errno;
	return 0;
}

bool fuse_fd_reserve(struct fuse_server *server)
{
	bool free;

	(void)pthread_mutex_lock(&server->lock);
	free = server->n_fds < server->options.fds_max;
	server->n_fds += free;
	(void)pthread_mutex_unlock(&server->lock);
	return free;
}

void fuse_fd_release(struct fuse_server *server)
{
	(void)pthread_mutex_lock(&server->lock);
	server->n_fds--;
	(void)pthread_mutex_unlock(&server->lock);
}
