/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE server behind the file system device: see share.h. */
#include "vmm/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "rootfs/share/fuse.h"
#include "virtio/devices.h"
#include "virtio/pool.h"
#include "virtio/queue.h"
#include "vmm/jail-files.h"
#include "vmm/jail.h"

/* As many requests as may wait for disks at once, in all shares; of one mount half as many. */
#define REQUEST_THREADS_MAX 32

_Static_assert(FUSE_IOV_MAX >= VIRTQ_SIZE_MAX, "a message has room for every chain");

struct shares {
	struct pool *requests, *urgent;
	struct thread_kind {
		bool jailed; /* written by a pool's first thread, before there is another */
		int root_fd; /* what it shall have as its root; -1: what it has */
		int rules;   /* jail_files_new() */
	} request_threads, urgent_threads;
	int fdinfo; /* keeps the kernel's idea of the directory that a rule is for */
	/* Of each share: rootfs/share/fuse.h, virtio/devices.h */
	unsigned fds_max, nodes_max, threads_max;
};

/* ---- privileges ---- */

/*
 * A share's threads make and change files as the guest's users, whose
 * permissions the guest's kernel has checked, in the shared directory alone.
 */
static const unsigned share_capabilities[] = {
	CAP_CHOWN,	  /* chown(2) */
	CAP_DAC_OVERRIDE, /* the guest's root reaches everything in its tree */
	CAP_FOWNER,	  /* chmod(2), utimes, user.* attributes, sticky directories */
	CAP_FSETID,	  /* chmod(2) with set-id bits; kept over a write by root */
	CAP_SETUID,	  /* new files are their maker's: setfsuid(2) */
	CAP_SETGID,	  /* and the group's */
	CAP_MKNOD,	  /* device nodes, overlayfs whiteouts; none is ever opened */
	CAP_SETFCAP,	  /* security.capability: packages with ping and the like */
};

/* Arguments are what the server passes (rootfs/share/), whatever a guest asks for: a file that is
 * there is opened without its device or pipe being waited for, a new one by a name that was free.
 */
#define OPENS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define MAKES (OPENS | O_CREAT | O_EXCL | O_NOFOLLOW)
#define OPEN_AS_ASKED (O_ACCMODE | O_APPEND | O_TRUNC | O_DSYNC | O_SYNC)
#define THIS_ONE (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
#define MODE_BITS 07777
#define SHARE SECCOMP_BY_SHARE

const struct seccomp_call share_calls[] = {
	/* files by descriptor and one name */
	{ SECCOMP_CALL(statx, SHARE), SECCOMP_IF_IS(2, THIS_ONE | AT_NO_AUTOMOUNT) },
	{ SECCOMP_CALL(openat, SHARE), SECCOMP_IF_BUT(2, O_NOFOLLOW, O_PATH | O_CLOEXEC) },
	{ SECCOMP_CALL(openat, SHARE), SECCOMP_IF_BUT(2, OPEN_AS_ASKED | O_DIRECTORY, OPENS) },
	{ SECCOMP_CALL(openat, SHARE), SECCOMP_IF_BUT(2, OPEN_AS_ASKED, MAKES),
	  SECCOMP_AND_BUT(3, MODE_BITS, 0) },
	{ SECCOMP_CALL(openat, SHARE), SECCOMP_IF_BUT(2, OPEN_AS_ASKED, OPENS | O_TMPFILE),
	  SECCOMP_AND_BUT(3, MODE_BITS, 0) },
	/* libc's allocator, which does without what it asks for (overcommit_memory) */
	{ SECCOMP_CALL(openat, SHARE), SECCOMP_IF_IS(2, O_RDONLY | O_CLOEXEC) },
	{ SECCOMP_CALL(getdents64, SHARE) },
	{ SECCOMP_CALL(lseek, SHARE) },
	{ SECCOMP_CALL(readlinkat, SHARE) },
	{ SECCOMP_CALL(fstatfs, SHARE) },
	{ SECCOMP_CALL(faccessat2, SHARE), SECCOMP_IF_BUT(3, AT_EMPTY_PATH, AT_EACCESS) },
	{ SECCOMP_CALL(fchownat, SHARE), SECCOMP_IF_IS(4, THIS_ONE) },
	{ SECCOMP_CALL(chmod, SHARE), SECCOMP_IF_BUT(1, MODE_BITS, 0) },
	{ SECCOMP_CALL(utimensat, SHARE), SECCOMP_IF_IS(3, THIS_ONE) },
	{ SECCOMP_CALL(mkdirat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, 0) },
	/* devices, too: they are the guest's, the host's are not opened by them (host/stage.h) */
	{ SECCOMP_CALL(mknodat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, S_IFREG) },
	{ SECCOMP_CALL(mknodat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, S_IFIFO) },
	{ SECCOMP_CALL(mknodat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, S_IFSOCK) },
	{ SECCOMP_CALL(mknodat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, S_IFCHR) },
	{ SECCOMP_CALL(mknodat, SHARE), SECCOMP_IF_BUT(2, MODE_BITS, S_IFBLK) },
	{ SECCOMP_CALL(symlinkat, SHARE) },
	{ SECCOMP_CALL(linkat, SHARE), SECCOMP_IF_IS(4, AT_SYMLINK_FOLLOW) },
	{ SECCOMP_CALL(unlinkat, SHARE), SECCOMP_IF_BUT(2, AT_REMOVEDIR, 0) },
	{ SECCOMP_CALL(renameat, SHARE) }, /* libc, where there are no flags */
	{ SECCOMP_CALL(renameat2, SHARE),
	  SECCOMP_IF_BUT(4, RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT, 0) },
	{ SECCOMP_CALL(setxattr, SHARE), SECCOMP_IF_BUT(4, XATTR_CREATE | XATTR_REPLACE, 0) },
	{ SECCOMP_CALL(getxattr, SHARE) },
	{ SECCOMP_CALL(listxattr, SHARE) },
	{ SECCOMP_CALL(removexattr, SHARE) },
	{ SECCOMP_CALL(copy_file_range, SHARE), SECCOMP_IF_IS(5, 0) },
	{ SECCOMP_CALL(fsync, SHARE) },
	{ SECCOMP_CALL(syncfs, SHARE) },
	{ SECCOMP_CALL(flock, SHARE), SECCOMP_IF_IS(1, LOCK_SH | LOCK_NB) },
	{ SECCOMP_CALL(flock, SHARE), SECCOMP_IF_IS(1, LOCK_EX | LOCK_NB) },
	{ SECCOMP_CALL(flock, SHARE), SECCOMP_IF_IS(1, LOCK_UN | LOCK_NB) },
	/* as the guest's user, or without CAP_FSETID */
	{ SECCOMP_CALL(setfsuid, SHARE) },
	{ SECCOMP_CALL(setfsgid, SHARE) },
	{ SECCOMP_CALL(umask, SHARE), SECCOMP_IF_BUT(0, 0777, 0) },
	{ SECCOMP_CALL(geteuid, SHARE) },
	{ SECCOMP_CALL(getegid, SHARE) },
	{ SECCOMP_CALL(capget, SHARE) },
	{ SECCOMP_CALL(capset, SHARE) },
	/* a new thread's umask is its own */
	{ SECCOMP_CALL(unshare, SHARE), SECCOMP_IF_IS(0, CLONE_FS) },
	{ SECCOMP_CALL(prctl, SHARE), SECCOMP_IF_IS(0, PR_SET_SECUREBITS),
	  SECCOMP_AND_IS(1, SECBIT_NO_SETUID_FIXUP) },
	/* stdio on fdinfo (newfstatat is the C library's fstat) */
	{ SECCOMP_CALL(fstat, SHARE) },
	{ SECCOMP_CALL(newfstatat, SHARE), SECCOMP_IF_IS(3, AT_EMPTY_PATH) },
	/* data */
	{ SECCOMP_CALL(preadv, SHARE) },
	{ SECCOMP_CALL(pwritev, SHARE) },
	{ SECCOMP_CALL(fdatasync, SHARE) },
	{ SECCOMP_CALL(fallocate, SHARE), SECCOMP_IF_BUT(1, FUSE_FALLOCATE_MODES, 0) },
	{ 0 },
};

/* ---- a thread ---- */

/* Files have no names for it: its working directory is that of descriptors. */
static int change_root(int root_fd, struct error **ret_error)
{
	_cleanup_close_ int directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root_fd < 0)
		return 0;
	if (directory < 0 || fchdir(root_fd) < 0 || chroot(".") < 0 || fchdir(directory) < 0)
		return error_set_errno(ret_error, errno, "cannot change a share's root directory");
	return 0;
}

/* The first thread of a pool enters the jail; the others come from it. */
static int enter_thread(void *data, void **ret_context, struct error **ret_error)
{
	_cleanup_(fuse_thread_freep) struct fuse_thread *thread = NULL;
	struct thread_kind *kind = data;

	if (fuse_thread_new(kind->jailed, &thread, ret_error) < 0)
		return -1;
	if (!kind->jailed) {
		if (fuse_leave_groups(ret_error) < 0 || change_root(kind->root_fd, ret_error) < 0 ||
		    jail_files_enter(kind->rules, ret_error) < 0 ||
		    jail_enter_thread(SECCOMP_SHARE, share_capabilities,
				      ARRAY_SIZE(share_capabilities), ret_error) < 0)
			return -1;
		kind->jailed = true;
	}
	*ret_context = TAKE_PTR(thread);
	return 0;
}

static void leave_thread(void *context)
{
	fuse_thread_free(context);
}

/* ---- the server as the device sees it ---- */

struct served {
	const struct fs_request *request;
	struct fs_later *(*keep)(const struct fs_request *request);
};

static void *keep(void *data)
{
	const struct served *served = data;

	return served->keep(served->request);
}

static struct fuse_message message_of(const struct fs_request *request)
{
	return (struct fuse_message){
		.request = request->out,
		.n_request = request->n_out,
		.request_size = request->out_size,
		.reply = request->in,
		.n_reply = request->n_in,
		.reply_size = request->in_size,
	};
}

static uint32_t serve(void *server, void *context, const struct fs_request *request,
		      struct fs_later *(*keep_fn)(const struct fs_request *request))
{
	struct served served = { .request = request, .keep = keep_fn };
	struct fuse_message message = message_of(request);

	message.keep = keep;
	message.data = &served;
	return fuse_serve(server, context, &message);
}

/* A container's mounts can hang one by one. */
static struct lane lane_of(void *server, const struct fs_request *request)
{
	const struct fuse_message message = message_of(request);
	struct lane lane;

	fuse_place_of(server, &message, &lane.group, &lane.number);
	return lane;
}

static void complete(void *kept, const void *bytes, uint32_t size)
{
	fs_complete(kept, bytes, size);
}

static void cancel(void *server)
{
	fuse_cancel(server);
}

static void reset(void *server)
{
	fuse_reset(server);
}

static int timer_fd(const void *server)
{
	return fuse_timer_fd(server);
}

static void expired(void *server, void *context)
{
	(void)context;
	fuse_expired(server);
}

static int save_state(void *server, void *context, struct buffer *state, struct error **ret_error)
{
	(void)context;
	return fuse_save(server, state, ret_error);
}

static int load_state(void *server, void *context, struct packed *state, struct error **ret_error)
{
	(void)context;
	return fuse_load(server, state, ret_error);
}

static void free_server(void *server)
{
	fuse_server_free(server);
}

static const struct fs_server_ops server_ops = {
	.serve = serve,
	.lane_of = lane_of,
	.cancel = cancel,
	.reset = reset,
	.timer_fd = timer_fd,
	.expired = expired,
	.save = save_state,
	.load = load_state,
	.free = free_server,
};

/* ---- making them ---- */

static int new_pool(const char *name, unsigned threads_max, struct thread_kind *kind,
		    struct pool **ret_pool, struct error **ret_error)
{
	const struct pool_options options = {
		.name = name,
		.threads_max = threads_max,
		.enter = enter_thread,
		.leave = leave_thread,
		.data = kind,
	};

	return pool_new(&options, ret_pool, ret_error);
}

static int allow_share(int rules, const struct vm_file *root, struct error **ret_error)
{
	_cleanup_close_ int opened = -1;

	if (!root->path)
		return jail_files_allow(rules, root->fd, false, ret_error);
	opened = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0)
		return error_set_errno(ret_error, errno, "cannot share %s", root->path);
	return jail_files_allow(rules, opened, false, ret_error);
}

static bool has_host_locks(const struct vm_config *config)
{
	for (size_t i = 0; i < config->n_devices; i++)
		if (config->devices[i].type == VM_DEVICE_FS && config->devices[i].fs.host_locks)
			return true;
	return false;
}

static int allow_fdinfo(struct shares *shares, int rules, struct error **ret_error)
{
	shares->fdinfo = open("/proc/self/fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (shares->fdinfo < 0)
		return error_set_errno(ret_error, errno, "cannot open /proc/self/fdinfo");
	return jail_files_allow(rules, shares->fdinfo, true, ret_error);
}

/* What is shared, and whose locks there are; not the disks, kernels and devices that the process
 * has open. */
static int make_rules(struct shares *shares, const struct vm_config *config, int *ret_rules,
		      struct error **ret_error)
{
	_cleanup_close_ int rules = -1;

	if (jail_files_new(&rules, ret_error) < 0 ||
	    (has_host_locks(config) && allow_fdinfo(shares, rules, ret_error) < 0))
		return -1;
	for (size_t i = 0; i < config->n_devices; i++)
		if (config->devices[i].type == VM_DEVICE_FS &&
		    allow_share(rules, &config->devices[i].fs.root, ret_error) < 0)
			return -1;
	*ret_rules = TAKE_FD(rules);
	return 0;
}

static int start_threads(struct shares *shares, const struct vm_config *config,
			 struct error **ret_error)
{
	_cleanup_close_ int rules = -1;

	if (make_rules(shares, config, &rules, ret_error) < 0)
		return -1;
	shares->request_threads.rules = shares->urgent_threads.rules = rules;
	if (new_pool("share", REQUEST_THREADS_MAX, &shares->request_threads, &shares->requests,
		     ret_error) < 0)
		return -1;
	return new_pool("share-urgent", 1, &shares->urgent_threads, &shares->urgent, ret_error);
}

/* Shares keep what the guest uses: together at most half of the descriptors that
 * the process may have; and each a file for each KiB of the guest's memory, of
 * which the guest's kernel needs more than that to know it. */
static int set_limits(struct shares *shares, const struct vm_config *config, unsigned n_shares,
		      struct error **ret_error)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_set_errno(ret_error, errno, "cannot get RLIMIT_NOFILE");
	shares->fds_max = (unsigned)(MIN(limit.rlim_cur, (rlim_t)INT_MAX) / 2 / n_shares);
	/* (One is for timers.) */
	shares->threads_max = MAX((REQUEST_THREADS_MAX - 1) / n_shares, 2U);
	shares->nodes_max = (unsigned)MIN(config->memory_mib << 10, (uint64_t)INT_MAX);
	return 0;
}

int shares_new(const struct vm_config *config, void **ret_shares, struct error **ret_error)
{
	struct shares *shares = xcalloc(1, sizeof(*shares));
	unsigned n_shares = 0;

	shares->fdinfo = -1;
	shares->request_threads.root_fd = shares->urgent_threads.root_fd = config->root_fd;
	for (size_t i = 0; i < config->n_devices; i++)
		n_shares += config->devices[i].type == VM_DEVICE_FS;
	if (set_limits(shares, config, n_shares, ret_error) < 0 ||
	    start_threads(shares, config, ret_error) < 0) {
		shares_free(shares);
		return -1;
	}
	*ret_shares = shares;
	return 0;
}

void shares_free(void *data)
{
	struct shares *shares = data;

	pool_free(shares->requests);
	pool_free(shares->urgent);
	close_fdp(&shares->fdinfo);
	free(shares);
}

static const enum fuse_cache modes[] = {
	[VM_FS_CACHE_AUTO] = FUSE_CACHE_AUTO,
	[VM_FS_CACHE_ALWAYS] = FUSE_CACHE_ALWAYS,
	[VM_FS_CACHE_NONE] = FUSE_CACHE_NONE,
};

static bool cache_of(const char *name, enum fuse_cache *ret_cache)
{
	enum vm_fs_cache cache;

	if (!vm_fs_cache_of(name, &cache))
		return false;
	*ret_cache = modes[cache];
	return true;
}

static int new_server(const struct shares *shares, const struct vm_device *device,
		      struct fuse_server **ret_server, struct error **ret_error)
{
	const struct vm_file *root = &device->fs.root;
	_cleanup_close_ int opened = -1;
	struct fuse_options options = {
		.root_fd = root->fd,
		.readonly = device->fs.readonly,
		.staging = device->fs.staging,
		.cache = modes[device->fs.cache],
		.cache_of = device->fs.cache_by_name ? cache_of : NULL,
		.host_locks = device->fs.host_locks,
		.fds_max = shares->fds_max,
		.nodes_max = shares->nodes_max,
		.complete = complete,
	};

	if (root->path) {
		opened = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (opened < 0)
			return error_set_errno(ret_error, errno, "cannot share %s", root->path);
		options.root_fd = opened;
	}
	return fuse_server_new(&options, ret_server, ret_error);
}

int share_new(const struct vm_device *device, void *data, struct virtio_device **ret_device,
	      struct error **ret_error)
{
	const struct shares *shares = data;
	struct fs_options options = {
		.tag = device->fs.tag,
		.ops = &server_ops,
		.requests = shares->requests,
		.urgent = shares->urgent,
		.threads_max = shares->threads_max,
	};
	struct fuse_server *server;

	if (new_server(shares, device, &server, ret_error) < 0)
		return error_wrap(ret_error, "share \"%s\"", device->fs.tag);
	options.server = server;
	return fs_new(&options, ret_device, ret_error);
}
