/* SPDX-License-Identifier: Apache-2.0 */
/* Names, attributes, symbolic links' targets: see fuse-parts.h. */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "rootfs/share/fuse-parts.h"

/* fuse.h: how long the guest may keep what it was told, in seconds. */
#define SHORT_SECONDS 1
#define EVER_SECONDS (365ULL * 24 * 60 * 60)

static void fill_attr(const struct fuse_node *node, const struct statx *st,
		      struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
		.ino = fuse_ino(node, st->stx_ino),
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		/* as the guest's kernel decodes it: new_decode_dev() */
		.rdev = (st->stx_rdev_minor & 0xff) | st->stx_rdev_major << 8 |
			(st->stx_rdev_minor & ~0xffU) << 12,
		.blksize = st->stx_blksize,
	};
}

static uint64_t seconds_of(enum fuse_cache cache)
{
	switch (cache) {
	case FUSE_CACHE_ALWAYS:
		return EVER_SECONDS;
	case FUSE_CACHE_AUTO:
		return SHORT_SECONDS;
	case FUSE_CACHE_NONE:
		break;
	}
	return 0;
}

/* How long the guest may use a name without looking it up, which the directory's mode
 * says. */
static void set_entry_time(struct fuse_server *server, const struct fuse_node *parent,
			   const char *name, struct fuse_node *node, const struct statx *st,
			   uint64_t asked_ns, struct fuse_entry_out *entry)
{
	if (parent->cache != FUSE_CACHE_AUTO || S_ISDIR(st->stx_mode))
		entry->entry_valid =
		    fuse_may_remember(server, node) ? seconds_of(parent->cache) : 0;
	else if (S_ISREG(st->stx_mode) && fuse_fresh_tell(server, node, parent, name, st, asked_ns))
		entry->entry_valid_nsec = 1;
	/* Else it is looked up each time, which also brings its size and times: no
	 * open() of it would find that it has been replaced. */
}

enum fuse_cache fuse_cache_below(const struct fuse_server *server, const struct fuse_node *parent,
				 const char *name, const struct statx *st)
{
	uint64_t staging = server->root->key.mount;
	enum fuse_cache cache = server->options.cache;

	if (!server->options.staging || parent->key.mount != staging || st->stx_mnt_id == staging)
		return parent->cache;
	if (server->options.cache_of)
		(void)server->options.cache_of(name, &cache);
	return cache;
}

int fuse_fill_entry_fd(struct fuse_server *server, const struct fuse_node *parent, const char *name,
		       int path_fd, struct fuse_entry_out *ret_entry, struct fuse_node **ret_node)
{
	_cleanup_close_ int fd = path_fd;
	uint64_t asked_ns = clock_realtime_ns();
	struct fuse_node *node;
	struct statx st;
	int r = fuse_stat(fd, &st);

	if (r < 0)
		return r;
	r = fuse_node_intern(server, parent, TAKE_FD(fd), &st,
			     fuse_cache_below(server, parent, name, &st), &node);
	if (r < 0)
		return r;
	*ret_entry = (struct fuse_entry_out){
		.nodeid = node->id,
		.attr_valid = seconds_of(node->cache),
	};
	set_entry_time(server, parent, name, node, &st, asked_ns, ret_entry);
	fill_attr(node, &st, &ret_entry->attr);
	if (ret_node)
		*ret_node = node;
	else
		fuse_node_put(server, node);
	return 0;
}

/* This process, or a thread of it, in a proc file system: a process may read and write
 * its own memory there, whatever its capabilities are. */
static bool is_own_process(int parent_fd, const char *name)
{
	char task[sizeof("self/task/") + 20];
	struct statfs st;

	if (name[strspn(name, "0123456789")] || strlen(name) > 20)
		return false;
	if (fstatfs(parent_fd, &st) < 0 || (unsigned long)st.f_type != PROC_SUPER_MAGIC)
		return false;
	(void)snprintf(task, sizeof(task), "self/task/%s", name);
	return faccessat(parent_fd, task, F_OK, AT_EACCESS) == 0;
}

int fuse_open_name(int parent_fd, const char *name)
{
	int fd;

	if (is_own_process(parent_fd, name))
		return -ENOENT;
	fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fuse_fill_entry(struct fuse_server *server, struct fuse_node *parent, const char *name,
		    struct fuse_entry_out *ret_entry, struct fuse_node **ret_node)
{
	int parent_fd = fuse_node_fd(parent);
	int fd = parent_fd < 0 ? parent_fd : fuse_open_name(parent_fd, name);

	if (fd < 0)
		return fd;
	return fuse_fill_entry_fd(server, parent, name, fd, ret_entry, ret_node);
}

int fuse_op_lookup(struct fuse_call *call)
{
	struct fuse_entry_out *entry = call->payload;
	int r = fuse_fill_entry(call->server, call->node, call->names[0], entry, NULL);

	if (r == -ENOENT && call->node->cache == FUSE_CACHE_ALWAYS) {
		/* There is none, and that may be kept too. */
		*entry = (struct fuse_entry_out){ .entry_valid = EVER_SECONDS };
		r = 0;
	}
	if (r == 0)
		call->payload_size = sizeof(*entry);
	return r;
}

int fuse_op_forget(struct fuse_call *call)
{
	const struct fuse_forget_in *in = call->args;

	fuse_node_forget(call->server, call->header.nodeid, in->nlookup);
	return 0;
}

int fuse_op_batch_forget(struct fuse_call *call)
{
	const struct fuse_batch_forget_in *in = call->args;
	const char *at = call->rest;

	/* As many as there are: count is the guest's. */
	for (uint32_t i = 0; i < in->count; i++) {
		struct fuse_forget_one one;

		if (call->rest_size / sizeof(one) <= i)
			break;
		memcpy(&one, at + i * sizeof(one), sizeof(one));
		fuse_node_forget(call->server, one.nodeid, one.nlookup);
	}
	return 0;
}

static int reply_attr(struct fuse_call *call, int fd)
{
	struct fuse_attr_out *out = call->payload;
	struct statx st;
	int r = fuse_stat(fd, &st);

	if (r < 0)
		return r;
	*out = (struct fuse_attr_out){ .attr_valid = seconds_of(call->node->cache) };
	fill_attr(call->node, &st, &out->attr);
	call->payload_size = sizeof(*out);
	return 0;
}

int fuse_op_getattr(struct fuse_call *call)
{
	int fd = fuse_node_fd(call->node);

	return fd < 0 ? fd : reply_attr(call, fd);
}

static int change_owner(int fd, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	/* EINVAL: our user namespace, an ordinary user's, has no such id. */
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return errno == EINVAL ? -EPERM : -errno;
	return 0;
}

static int change_mode(const struct fuse_node *node, int fd, mode_t mode)
{
	char name[FUSE_FD_NAME_MAX];

	if (S_ISLNK(node->type))
		return -EOPNOTSUPP;
	if (chmod(fuse_fd_name(fd, name), mode & 07777) < 0)
		return -errno;
	return 0;
}

static int truncate_file(struct fuse_call *call, int path_fd, const struct fuse_setattr_in *in)
{
	_cleanup_close_ int fd = -1;
	bool killing;
	int r = 0;

	if (!S_ISREG(call->node->type))
		return S_ISDIR(call->node->type) ? -EISDIR : -EINVAL;
	if (in->size > INT64_MAX)
		return -EFBIG;
	fd = fuse_reopen(path_fd, O_WRONLY);
	if (fd < 0)
		return -errno;
	killing =
	    (in->valid & FATTR_KILL_SUIDGID) && fuse_drop_fsetid(call->thread, &call->header, fd);
	if (ftruncate(fd, (off_t)in->size) < 0)
		r = -errno;
	if (killing)
		fuse_regain_fsetid(call->thread);
	return r;
}

static struct timespec new_time(uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds,
				uint32_t nanoseconds)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (!(valid & set))
		return (struct timespec){ .tv_nsec = UTIME_OMIT };
	/* The guest's nanoseconds must not be one of those two. */
	return (struct timespec){ .tv_sec = (time_t)seconds,
				  .tv_nsec = MIN(nanoseconds, 999999999U) };
}

static int change_times(int fd, const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {
		new_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		new_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	if (utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* The owner first: that takes set-id bits, which the new mode may bring. */
int fuse_op_setattr(struct fuse_call *call)
{
	const struct fuse_setattr_in *in = call->args;
	int fd = fuse_node_fd(call->node);
	int r = fd < 0 ? fd : 0;

	if (r == 0 && (in->valid & (FATTR_UID | FATTR_GID)))
		r = change_owner(fd, in);
	if (r == 0 && (in->valid & FATTR_MODE))
		r = change_mode(call->node, fd, in->mode);
	if (r == 0 && (in->valid & FATTR_SIZE))
		r = truncate_file(call, fd, in);
	if (r == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		r = change_times(fd, in);
	return r < 0 ? r : reply_attr(call, fd);
}

int fuse_op_readlink(struct fuse_call *call)
{
	int fd = fuse_node_fd(call->node);
	ssize_t size;

	if (fd < 0)
		return fd;
	if (!S_ISLNK(call->node->type))
		return -EINVAL;
	size = readlinkat(fd, "", call->payload, call->payload_max);
	if (size < 0)
		return -errno;
	call->payload_size = (uint32_t)size;
	return 0;
}

int fuse_op_statfs(struct fuse_call *call)
{
	struct fuse_statfs_out *out = call->payload;
	int fd = fuse_node_fd(call->node);
	struct statfs st;

	if (fd < 0)
		return fd;
	if (fstatfs(fd, &st) < 0)
		return -errno;
	*out = (struct fuse_statfs_out){
		.st = {
			.blocks = st.f_blocks,
			.bfree = st.f_bfree,
			.bavail = st.f_bavail,
			.files = st.f_files,
			.ffree = st.f_ffree,
			.bsize = (uint32_t)st.f_bsize,
			.namelen = (uint32_t)st.f_namelen,
			.frsize = (uint32_t)st.f_frsize,
		},
	};
	call->payload_size = sizeof(*out);
	return 0;
}

/* What the guest's users may do its kernel knows; this is what the share lets
 * anyone do. */
int fuse_op_access(struct fuse_call *call)
{
	const struct fuse_access_in *in = call->args;
	int fd = fuse_node_fd(call->node);

	if (fd < 0)
		return fd;
	if (in->mask & ~(uint32_t)(R_OK | W_OK | X_OK))
		return -EINVAL;
	if ((in->mask & W_OK) && call->server->options.readonly)
		return -EROFS;
	if (faccessat(fd, "", (int)in->mask, AT_EMPTY_PATH | AT_EACCESS) < 0)
		return -errno;
	return 0;
}
