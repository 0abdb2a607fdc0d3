/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: see fuse-parts.h.
 *
 * All names are passed on; what becomes of them the host decides by the
 * thread's capabilities.  So user.*, system.posix_acl_* and security.capability
 * work; trusted.* and the host's own security labels need CAP_SYS_ADMIN and are
 * not there, as for a container's root without a machine.
 *
 * A guest kernel that asks for an ACL before it lets somebody in takes "not supported" for
 * a failure, and lets nobody in.  A file system without ACLs just has none.
 */
#include <errno.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/checked.h"
#include "rootfs/share/fuse-parts.h"

int fuse_op_setxattr(struct fuse_call *call)
{
	const struct fuse_setxattr_in *in = call->args;
	bool extended = call->server->negotiated & FUSE_SETXATTR_EXT;
	bool kill = extended && (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID);
	int fd = fuse_node_fd(call->node);
	char name[FUSE_FD_NAME_MAX];
	int r = 0;

	if (fd < 0)
		return fd;
	if (in->size > call->rest_size)
		return -EINVAL;
	if (in->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	kill = kill && fuse_drop_fsetid(call->thread, &call->header, fd);
	if (setxattr(fuse_fd_name(fd, name), call->names[0], call->rest, in->size, (int)in->flags) <
	    0)
		r = -errno;
	if (kill)
		fuse_regain_fsetid(call->thread);
	return r;
}

/* size: what getxattr(2) or listxattr(2) said; 0 was asked for just that. */
static int reply_xattr(struct fuse_call *call, uint32_t asked, ssize_t size)
{
	struct fuse_getxattr_out *out = call->payload;

	if (size < 0)
		return -errno;
	call->payload_size = (uint32_t)size;
	if (asked == 0) {
		*out = (struct fuse_getxattr_out){ .size = (uint32_t)size };
		call->payload_size = sizeof(*out);
	}
	return 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 ||
	       strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0;
}

int fuse_op_getxattr(struct fuse_call *call)
{
	const struct fuse_getxattr_in *in = call->args;
	int fd = fuse_node_fd(call->node);
	char name[FUSE_FD_NAME_MAX];
	ssize_t size;

	if (fd < 0)
		return fd;
	size = getxattr(fuse_fd_name(fd, name), call->names[0], call->payload,
			MIN(in->size, call->payload_max));
	if (size < 0 && errno == EOPNOTSUPP && is_acl(call->names[0]))
		return -ENODATA;
	return reply_xattr(call, in->size, size);
}

int fuse_op_listxattr(struct fuse_call *call)
{
	const struct fuse_getxattr_in *in = call->args;
	int fd = fuse_node_fd(call->node);
	char name[FUSE_FD_NAME_MAX];

	if (fd < 0)
		return fd;
	return reply_xattr(
	    call, in->size,
	    listxattr(fuse_fd_name(fd, name), call->payload, MIN(in->size, call->payload_max)));
}

int fuse_op_removexattr(struct fuse_call *call)
{
	int fd = fuse_node_fd(call->node);
	char name[FUSE_FD_NAME_MAX];

	if (fd < 0)
		return fd;
	if (removexattr(fuse_fd_name(fd, name), call->names[0]) < 0)
		return -errno;
	return 0;
}
