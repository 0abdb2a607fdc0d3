/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FUSE server that passes a host directory through: <linux/fuse.h>, protocol
 * 7.31 (the first with virtio-fs) and later, as far as 7.38.
 *
 * Knows no virtio and no VM: it takes requests and gives replies as iovecs,
 * which may lie in the memory of a hostile guest.  What keeps the guest inside
 * the directory:
 *
 * - Every file is reached from its parent's descriptor, by one path component
 *   that is not "." or ".." and has no "/", and never through a symbolic
 *   link (O_PATH | O_NOFOLLOW); from then on by that descriptor.
 * - Only regular files and directories are ever opened; of symbolic links,
 *   devices, FIFOs and sockets there are descriptors with O_PATH only.
 * - Ids of nodes and of open files are numbers that are looked up; nodes' are random, and those of
 *   open files are never used twice.
 * - Of a proc file system it finds every process but this one.
 * - A request is copied before it is checked, but for the data of WRITE, which
 *   goes from guest memory to the file as the data of READ goes the other way.
 *
 * The guest's kernel has checked its user's permissions (virtio-fs always works
 * so); new files get that user's ids.  What the host would forbid the server's
 * own threads (thread capabilities, read-only mounts) the guest cannot do.
 *
 * Cache modes: what the guest may keep, and so what it sees of changes that
 * others make on the host.
 *
 * AUTO	   Opening a file finds the file that the host has under that name at that
 *	   moment, with its contents of that moment; the same holds for symbolic
 *	   links.  All other changes of the host are seen within a second: in open
 *	   files (in mapped ones when they are also read or looked at), in
 *	   directories and by stat(2).  Pages are kept while the file does not
 *	   change.  Writes are on the host when write(2) returns (mapped ones: when
 *	   the guest writes them back, at the latest with msync() or munmap()).
 * ALWAYS  Only this guest changes the tree while it is shared: everything is kept,
 *	   and writes are gathered in the guest (on the host after fsync() or
 *	   close()).
 * NONE	   Nothing is kept: each read(2) and stat(2) asks the host.  Shared
 *	   mappings of files do not work (ENODEV).
 *
 * Files of proc, sysfs and the like, which are made as they are read, are NONE's in every
 * mode: their sizes say nothing, and no page of them is kept.
 *
 * A staging area (stage.h) can have a mode for each of its shares: cache_of tells it
 * by the name of the share's mount, and all below it has that mode.  The staging
 * area's own directories are AUTO.  Writes are then never gathered: Linux gathers them
 * for a whole device or not at all, and a kernel that gathers ignores the host's
 * changes of a file's size and times.
 *
 * Locks (fcntl() and flock()) are the guest's own, unless host_locks is set: then
 * they are locks on the host, which other guests see.  One that waits is tried
 * again when this guest gives a lock back, and every few milliseconds.  Linux's
 * virtio-fs driver does not interrupt requests: a process of the guest that waits for
 * such a lock cannot be killed before it gets the lock.  A process that kills it and
 * waits for its end while holding that lock hangs.
 */
#pragma once

#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/packed.h"

enum fuse_cache { FUSE_CACHE_AUTO, FUSE_CACHE_ALWAYS, FUSE_CACHE_NONE };

struct fuse_server;
struct fuse_thread;

struct fuse_options {
	int root_fd;   /* a directory (O_PATH is enough); stays the caller's */
	bool readonly; /* EROFS for whatever would change something */
	bool staging;  /* the root is a staging area (stage.h), in which a container has a directory
			*/
	enum fuse_cache cache;
	/* NULL: `cache` is for all.  Else, in a staging area, the mode of the share of that name;
	 * false, and untouched: `cache`.  Any thread. */
	bool (*cache_of)(const char *name, enum fuse_cache *ret_cache);
	bool host_locks;
	unsigned fds_max;   /* descriptors it may keep, all in all */
	unsigned nodes_max; /* files the guest may know at a time; ENFILE beyond */
	/* Answers a request that was kept (below). */
	void (*complete)(void *kept, const void *bytes, uint32_t size);
};

/* The most iovecs that a message has, request and reply together: as many as the longest
 * chain of descriptors (vmm/share.c holds it to that). */
#define FUSE_IOV_MAX 1024

/* Of fallocate(2), what is passed on. */
#define FUSE_FALLOCATE_MODES (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

/* One request, and room for its reply; both may change at any time. */
struct fuse_message {
	const struct iovec *request;
	unsigned n_request;
	uint32_t request_size;
	const struct iovec *reply;
	unsigned n_reply;
	uint32_t reply_size;
	/* The request is answered later: what options.complete() then gets, with
	 * at most 16 bytes. */
	void *(*keep)(void *data);
	void *data;
};

int fuse_server_new(const struct fuse_options *options, struct fuse_server **ret_server,
		    struct error **ret_error);
/* Nothing is being served, and nothing kept. */
void fuse_server_free(struct fuse_server *server);
DEFINE_CLEANUP(struct fuse_server, fuse_server_free)

/*
 * What a thread needs to serve: buffers, and a working directory and umask of
 * its own (it leaves the process's for good, CLONE_FS), and SIGXFSZ blocked.  To keep ids it needs
 * CAP_SETUID and CAP_SETGID; without them new files are the process's own.  Call
 * on the thread itself; serves any server.  inherits: it was started by such a thread, whose
 * directory it has; else, with CAP_SYS_ADMIN, that is one from which no ".." leads on.
 */
int fuse_thread_new(bool inherits, struct fuse_thread **ret_thread, struct error **ret_error);
/* Of the calling thread, and those that it starts, if it has CAP_SETGID: without supplementary
 * groups it is not a member of a file's group unless its requests' users are. */
int fuse_leave_groups(struct error **ret_error);
void fuse_thread_free(struct fuse_thread *thread);
DEFINE_CLEANUP(struct fuse_thread, fuse_thread_free)

/* Serves one request, several threads at once.  Returns how many bytes of the
 * reply were written; 0: there is none, or keep() was called. */
uint32_t fuse_serve(struct fuse_server *server, struct fuse_thread *thread,
		    const struct fuse_message *message);

/* Which of the staging area's directories (a container's) and which mount of the host's the request
 * concerns, before it is served: numbers without a meaning, 0 where it is none.  A request that
 * syncs them all has the mount 0. */
void fuse_place_of(struct fuse_server *server, const struct fuse_message *message,
		   uint64_t *ret_container, uint64_t *ret_mount);

/* Answers every kept request, with EAGAIN. Any thread. */
void fuse_cancel(struct fuse_server *server);
/* Forgets all nodes, handles and locks, as before the first INIT. Any thread. */
void fuse_reset(struct fuse_server *server);
/*
 * State, for a server of the same options that goes on where this one was (of another process, of a
 * copy of the tree).  While nothing is being served; on a thread that serves.
 *
 * A file is found again by the path that it had, from the root.  One that is open must be there:
 * the same file, or a copy of it.  Of others the guest is told that they are gone (ESTALE), and
 * looks them up again.
 */
/* Appends it.  EBUSY: an open file has no name any more, or there are locks on the host. */
int fuse_save(struct fuse_server *server, struct buffer *state, struct error **ret_error);
/* Into a new server.  The state is hostile.  ESTALE or the file's error: an open file is not what
 * it was, or not there; EINVAL: what does not fit.  The server is to be reset then. */
int fuse_load(struct fuse_server *server, struct packed *state, struct error **ret_error);

/* A timerfd that fires once, and what to do then, which sets it anew: any thread. */
int fuse_timer_fd(const struct fuse_server *server);
void fuse_expired(struct fuse_server *server);
