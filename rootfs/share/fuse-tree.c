/* SPDX-License-Identifier: Apache-2.0 */
/* Making, naming and removing files: see fuse-parts.h. */
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rootfs/share/fuse-parts.h"

/* After a file was made: the reply. */
static int reply_entry(struct fuse_call *call)
{
	int r = fuse_fill_entry(call->server, call->node, call->names[0], call->payload, NULL);

	if (r == 0)
		call->payload_size = sizeof(struct fuse_entry_out);
	return r;
}

int fuse_op_symlink(struct fuse_call *call)
{
	int fd = fuse_node_fd(call->node);
	int r = fd < 0 ? fd : fuse_become(call->thread, &call->header, 0);

	if (r < 0)
		return r;
	if (symlinkat(call->names[1], fd, call->names[0]) < 0)
		r = -errno;
	fuse_become_self(call->thread);
	return r < 0 ? r : reply_entry(call);
}

/* The inverse of new_encode_dev(), as fuse-attr.c has it. */
static dev_t decode_device(uint32_t rdev)
{
	return makedev((rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
}

static bool can_make(mode_t mode)
{
	return !(mode & ~(mode_t)(S_IFMT | 07777)) &&
	       (S_ISREG(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) ||
		S_ISSOCK(mode));
}

int fuse_op_mknod(struct fuse_call *call)
{
	const struct fuse_mknod_in *in = call->args;
	int fd = can_make(in->mode) ? fuse_node_fd(call->node) : -EINVAL;
	int r = fd < 0 ? fd : fuse_become(call->thread, &call->header, in->umask);

	if (r < 0)
		return r;
	if (mknodat(fd, call->names[0], in->mode, decode_device(in->rdev)) < 0)
		r = -errno;
	fuse_become_self(call->thread);
	return r < 0 ? r : reply_entry(call);
}

int fuse_op_mkdir(struct fuse_call *call)
{
	const struct fuse_mkdir_in *in = call->args;
	int fd = fuse_node_fd(call->node);
	int r = fd < 0 ? fd : fuse_become(call->thread, &call->header, in->umask);

	if (r < 0)
		return r;
	if (mkdirat(fd, call->names[0], in->mode & 07777) < 0)
		r = -errno;
	fuse_become_self(call->thread);
	return r < 0 ? r : reply_entry(call);
}

static int remove_name(struct fuse_call *call, int flags)
{
	int fd = fuse_node_fd(call->node);

	if (fd < 0)
		return fd;
	return unlinkat(fd, call->names[0], flags) < 0 ? -errno : 0;
}

int fuse_op_unlink(struct fuse_call *call)
{
	return remove_name(call, 0);
}

int fuse_op_rmdir(struct fuse_call *call)
{
	return remove_name(call, AT_REMOVEDIR);
}

static int rename_to(struct fuse_call *call, uint64_t new_parent, unsigned flags)
{
	struct fuse_server *server = call->server;
	struct fuse_node *parent = fuse_node_get(server, new_parent);
	int from = fuse_node_fd(call->node);
	int to = parent ? fuse_node_fd(parent) : -ESTALE;
	int r = from < 0 ? from : to;

	if (r >= 0)
		r = renameat2(from, call->names[0], to, call->names[1], flags) < 0 ? -errno : 0;
	fuse_node_put(server, parent);
	return r;
}

int fuse_op_rename(struct fuse_call *call)
{
	const struct fuse_rename_in *in = call->args;

	return rename_to(call, in->newdir, 0);
}

int fuse_op_rename2(struct fuse_call *call)
{
	const struct fuse_rename2_in *in = call->args;

	if (in->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	return rename_to(call, in->newdir, in->flags);
}

int fuse_op_link(struct fuse_call *call)
{
	const struct fuse_link_in *in = call->args;
	struct fuse_server *server = call->server;
	struct fuse_node *node = fuse_node_get(server, in->oldnodeid);
	int to = fuse_node_fd(call->node);
	int from = node ? fuse_node_fd(node) : -ESTALE;
	char name[FUSE_FD_NAME_MAX];
	int r = to < 0 ? to : from;

	/* The name in /proc leads to the file itself, be it a symbolic link. */
	if (r >= 0)
		r = linkat(AT_FDCWD, fuse_fd_name(from, name), to, call->names[0],
			   AT_SYMLINK_FOLLOW) < 0
			? -errno
			: 0;
	fuse_node_put(server, node);
	return r < 0 ? r : reply_entry(call);
}
