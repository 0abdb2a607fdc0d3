/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, creating and releasing files: see fuse-parts.h. */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "rootfs/share/fuse-parts.h"

/* Which of the guest's flags the host's descriptor gets.  O_DIRECT is between
 * the guest and its own page cache. */
static int host_flags(const struct fuse_server *server, uint32_t guest)
{
	int flags = (int)(guest & (O_ACCMODE | O_APPEND | O_TRUNC | O_DSYNC | O_SYNC));

	if (server->negotiated & FUSE_WRITEBACK_CACHE) {
		/* The guest reads what it changes in part, and knows the end itself. */
		if ((flags & O_ACCMODE) == O_WRONLY)
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		flags &= ~O_APPEND;
	}
	return flags;
}

static int check_flags(const struct fuse_server *server, int flags)
{
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (server->options.readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	return 0;
}

/* What the guest may do with the pages it has of the file, whose state is st (NULL:
 * it is new); FOPEN_… flags or a negative errno value. */
static int cache_flags(const struct fuse_call *call, struct fuse_node *node, const struct statx *st)
{
	bool keep_pages = false;
	int r = 0;

	switch (node->cache) {
	case FUSE_CACHE_ALWAYS:
		return FOPEN_KEEP_CACHE;
	case FUSE_CACHE_AUTO:
		if (st)
			r = fuse_fresh_open(call->server, node, call->header.pid, st, &keep_pages);
		return r < 0 ? r : keep_pages ? FOPEN_KEEP_CACHE : 0;
	case FUSE_CACHE_NONE:
		break;
	}
	return FOPEN_DIRECT_IO;
}

static bool is_one_of(const struct statfs *st, const unsigned long *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned long)st->f_type == types[i])
			return true;
	return false;
}

/* Only file systems that keep data back for another machine, or a process, have
 * something to do, or an error to tell, when a file is closed. */
static bool is_local(const struct statfs *st)
{
	static const unsigned long types[] = {
		BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC,
		RAMFS_MAGIC,	   TMPFS_MAGIC,	     XFS_SUPER_MAGIC,
	};

	return is_one_of(st, types, ARRAY_SIZE(types));
}

/* Files that are made as they are read: their sizes say nothing of what is in them. */
static bool is_pseudo(const struct statfs *st)
{
	static const unsigned long types[] = {
		BINFMTFS_MAGIC,	      BPF_FS_MAGIC,	CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,	      EFIVARFS_MAGIC,	PROC_SUPER_MAGIC,   PSTOREFS_MAGIC,
		RDTGROUP_SUPER_MAGIC, SECURITYFS_MAGIC, SELINUX_MAGIC,	    SMACK_MAGIC,
		SYSFS_MAGIC,	      TRACEFS_MAGIC,
	};

	return is_one_of(st, types, ARRAY_SIZE(types));
}

/* Of the file that is open as fd. */
static struct fuse_mount_facts mount_facts(struct fuse_server *server, const struct fuse_node *node,
					   int fd)
{
	struct fuse_mount_facts facts;
	struct statfs st;

	(void)pthread_mutex_lock(&server->lock);
	facts = server->last_mount;
	(void)pthread_mutex_unlock(&server->lock);
	if (facts.mount == node->key.mount)
		return facts;
	facts = (struct fuse_mount_facts){ .mount = node->key.mount, .wants_flush = true };
	if (fstatfs(fd, &st) == 0) {
		facts.wants_flush = !is_local(&st);
		facts.pseudo = is_pseudo(&st);
	}
	(void)pthread_mutex_lock(&server->lock);
	server->last_mount = facts;
	(void)pthread_mutex_unlock(&server->lock);
	return facts;
}

/* What the mount adds to, or takes from, the FOPEN_… flags of an open file. */
static int mount_flags(struct fuse_server *server, const struct fuse_node *node, int fd, int flags,
		       int open_flags)
{
	struct fuse_mount_facts facts = mount_facts(server, node, fd);

	/* The guest would believe the size, and that what it has read stays so. */
	if (facts.pseudo)
		open_flags = (open_flags & ~FOPEN_KEEP_CACHE) | FOPEN_DIRECT_IO;
	/* Closing also releases its owner's locks. */
	if (server->options.host_locks)
		return open_flags;
	/* Is the host to hear of it when the guest closes a file it has written to? */
	if ((flags & O_ACCMODE) != O_RDONLY && facts.wants_flush)
		return open_flags;
	return open_flags | FOPEN_NOFLUSH;
}

/* fd becomes the handle's. */
static int reply_handle(struct fuse_call *call, struct fuse_node *node, int fd, int flags,
			int open_flags, struct fuse_open_out *ret_out)
{
	uint64_t id;
	int r;

	open_flags = mount_flags(call->server, node, fd, flags, open_flags);
	r = fuse_handle_add(call->server, node, fd, flags, &id);
	if (r < 0)
		return r;
	*ret_out = (struct fuse_open_out){ .fh = id, .open_flags = (uint32_t)open_flags };
	return 0;
}

/* An existing file; the descriptor or a negative errno value. */
static int open_node(struct fuse_call *call, struct fuse_node *node, int flags, uint32_t open_flags)
{
	bool kill = (flags & O_TRUNC) && (open_flags & FUSE_OPEN_KILL_SUIDGID);
	int path_fd, fd;

	/* The guest's kernel opens all others by itself. */
	if (!S_ISREG(node->type))
		return S_ISDIR(node->type) ? -EISDIR : -ENXIO;
	path_fd = fuse_node_fd(node);
	if (path_fd < 0)
		return path_fd;
	kill = kill && fuse_drop_fsetid(call->thread, &call->header, path_fd);
	fd = fuse_reopen(path_fd, flags);
	if (fd < 0)
		fd = -errno;
	if (kill)
		fuse_regain_fsetid(call->thread);
	return fd;
}

/* Asked before it is opened, which may truncate it. */
static int existing_cache_flags(const struct fuse_call *call, struct fuse_node *node)
{
	int path_fd = fuse_node_fd(node);
	struct statx st;
	int r = path_fd < 0 ? path_fd : fuse_stat(path_fd, &st);

	if (r < 0)
		return r;
	/* Others are refused in any case. */
	return S_ISREG(node->type) ? cache_flags(call, node, &st) : 0;
}

int fuse_op_open(struct fuse_call *call)
{
	const struct fuse_open_in *in = call->args;
	int flags = host_flags(call->server, in->flags);
	int r = check_flags(call->server, flags);
	int open_flags = r < 0 ? r : existing_cache_flags(call, call->node);
	int fd;

	if (open_flags < 0)
		return open_flags;
	fd = open_node(call, call->node, flags, in->open_flags);
	if (fd < 0)
		return fd;
	r = reply_handle(call, call->node, fd, flags, open_flags, call->payload);
	if (r == 0)
		call->payload_size = sizeof(struct fuse_open_out);
	return r;
}

/* A new file's descriptor, which is opened already; or a negative errno value. */
static int make_file(struct fuse_call *call, int flags, const struct fuse_create_in *in)
{
	int parent_fd = fuse_node_fd(call->node);
	int r = parent_fd < 0 ? parent_fd : fuse_become(call->thread, &call->header, in->umask);
	int fd;

	if (r < 0)
		return r;
	flags |= O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
	if (call->header.opcode == FUSE_TMPFILE)
		fd = openat(parent_fd, ".", (flags & ~(O_TRUNC | O_NOFOLLOW)) | O_TMPFILE,
			    in->mode & 07777);
	else /* O_EXCL: what there is already might be anything */
		fd = openat(parent_fd, call->names[0], flags | O_CREAT | O_EXCL, in->mode & 07777);
	if (fd < 0)
		fd = -errno;
	fuse_become_self(call->thread);
	return fd;
}

struct created {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

/* The node of the file that is open as fd (stays the caller's). */
static int enter_open_file(struct fuse_call *call, int fd, struct fuse_entry_out *ret_entry,
			   struct fuse_node **ret_node)
{
	char name[FUSE_FD_NAME_MAX];
	int path_fd = open(fuse_fd_name(fd, name), O_PATH | O_CLOEXEC);

	if (path_fd < 0)
		return -errno;
	return fuse_fill_entry_fd(call->server, call->node, call->names[0], path_fd, ret_entry,
				  ret_node);
}

static int finish_create(struct fuse_call *call, struct fuse_node *node, int fd, int flags,
			 struct created *created)
{
	/* Its name is not older than this request. */
	int r = reply_handle(call, node, fd, flags, cache_flags(call, node, NULL), &created->open);

	if (r < 0)
		fuse_node_forget(call->server, node->id, 1);
	fuse_node_put(call->server, node);
	if (r == 0)
		call->payload_size = sizeof(*created);
	return r;
}

int fuse_op_create(struct fuse_call *call)
{
	const struct fuse_create_in *in = call->args;
	struct created *created = call->payload;
	int flags = host_flags(call->server, in->flags);
	int r = check_flags(call->server, flags);
	_cleanup_close_ int fd = -1;
	struct fuse_node *node;

	if (r < 0)
		return r;
	fd = make_file(call, flags, in);
	if (fd >= 0) {
		r = enter_open_file(call, fd, &created->entry, &node);
		return r < 0 ? r : finish_create(call, node, TAKE_FD(fd), flags, created);
	}
	if (fd != -EEXIST || (in->flags & O_EXCL) || call->header.opcode == FUSE_TMPFILE)
		return fd;
	r = fuse_fill_entry(call->server, call->node, call->names[0], &created->entry, &node);
	if (r < 0)
		return r;
	fd = open_node(call, node, flags, in->open_flags);
	if (fd < 0) {
		fuse_node_forget(call->server, node->id, 1);
		fuse_node_put(call->server, node);
		return fd;
	}
	return finish_create(call, node, TAKE_FD(fd), flags, created);
}

int fuse_op_tmpfile(struct fuse_call *call)
{
	/* O_EXCL would forbid to link it later. */
	return fuse_op_create(call);
}

int fuse_op_release(struct fuse_call *call)
{
	const struct fuse_release_in *in = call->args;

	fuse_handle_remove(call->server, in->fh);
	/* flock(2) locks go with the last descriptor. */
	fuse_locks_retry(call->server);
	return 0;
}
