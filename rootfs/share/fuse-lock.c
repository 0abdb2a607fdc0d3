/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX and flock(2) locks, as locks on the host: see fuse-parts.h.
 *
 * POSIX locks belong to an owner (a process of the guest) and a file: each pair
 * gets an open file of its own, whose OFD locks they are; so the host's kernel
 * keeps apart what the guest keeps apart.  flock(2) locks belong to the open
 * file they were made with.
 *
 * A thread never waits for a lock: who has to wait is kept, and is tried again
 * when this guest gives a lock back (at once), and by a timer (what others on
 * the host give back nobody tells).
 *
 * OFD locks know no deadlock, and a process of the guest that waits cannot be
 * killed: so who would wait for itself, over others of this guest, gets EDEADLK,
 * as with fcntl(2) on the host.  For that each waiter's first blocker is
 * followed; where it has several, another may come to be first later, so the
 * timer looks now and then too.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

#define RETRY_NS 20000000L
/* fuse_file_lock.end of a lock that has none: OFFSET_MAX. */
#define LOCK_END ((uint64_t)INT64_MAX)

#define DEADLOCK_TICKS 16 /* of the timer */

/* What is asked for: on a node for an owner, or (flock) on an open file. */
struct lock_request {
	struct fuse_node *node;	    /* used */
	struct fuse_handle *handle; /* used */
	struct fuse_lk_in in;
};

struct fuse_waiter {
	struct fuse_waiter *next;
	struct lock_request request;
	uint64_t unique;
	void *kept;
};

/* ---- locks_lock held ---- */

/* The owner's open file, made when there is none; a negative errno value. */
static int owner_fd(struct fuse_server *server, struct fuse_node *node, uint64_t id)
{
	struct fuse_owner *owner = *fuse_owner_find(node, id);
	int path_fd, fd;

	if (owner)
		return owner->fd;
	if (!S_ISREG(node->type) && !S_ISDIR(node->type))
		return -EBADF;
	path_fd = fuse_node_fd(node);
	if (path_fd < 0)
		return path_fd;
	/* A lock for writing needs a file open for that. */
	fd = server->options.readonly || S_ISDIR(node->type) ? -1 : fuse_reopen(path_fd, O_RDWR);
	if (fd < 0)
		fd = fuse_reopen(path_fd, O_RDONLY);
	if (fd < 0)
		return -errno;
	if (!fuse_fd_reserve(server, node)) {
		(void)close(fd);
		return -ENOLCK;
	}
	owner = xcalloc(1, sizeof(*owner));
	owner->owner = id;
	owner->fd = fd;
	owner->next = node->owners;
	node->owners = owner;
	return fd;
}

/* The guest's lock as the host's; false: it is none. */
static bool host_lock(const struct fuse_file_lock *lk, struct flock *ret_lock)
{
	if (lk->start > LOCK_END || lk->end > LOCK_END || lk->end < lk->start)
		return false;
	if (lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK)
		return false;
	*ret_lock = (struct flock){
		.l_type = (short)lk->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lk->start,
		/* 0: without an end */
		.l_len = lk->end == LOCK_END ? 0 : (off_t)(lk->end - lk->start + 1),
	};
	return true;
}

static int try_posix(struct fuse_server *server, const struct lock_request *request)
{
	struct flock lock;
	int fd;

	if (!host_lock(&request->in.lk, &lock))
		return -EINVAL;
	if (lock.l_type == F_UNLCK && !*fuse_owner_find(request->node, request->in.owner))
		return 0;
	fd = owner_fd(server, request->node, request->in.owner);
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	(*fuse_owner_find(request->node, request->in.owner))->pid = request->in.lk.pid;
	return 0;
}

/* Only /proc tells which locks a descriptor has: proc(5), fdinfo. */
static FILE *open_fdinfo(const struct fuse_server *server, int fd)
{
	char name[FUSE_FD_NAME_MAX];
	_cleanup_close_ int info = openat(server->fdinfo, fuse_fd_name(fd, name),
					  O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	FILE *file = info < 0 ? NULL : fdopen(info, "r");

	if (file)
		(void)TAKE_FD(info);
	return file;
}

/* Does the owner have this very lock? */
static bool has_lock(const struct fuse_server *server, const struct fuse_owner *owner,
		     const struct flock *held)
{
	const char *type = held->l_type == F_WRLCK ? "WRITE" : "READ";
	char line[256], line_type[8], end[24];
	_cleanup_file_ FILE *file = open_fdinfo(server, owner->fd);
	long long start;
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		/* lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:1234 0 EOF */
		if (sscanf(line, "lock: %*d: OFDLCK %*s %7s %*d %*s %lld %23s", line_type, &start,
			   end) != 3)
			continue;
		found =
		    strcmp(line_type, type) == 0 && start == held->l_start &&
		    (held->l_len == 0 ? strcmp(end, "EOF") == 0
				      : strtoll(end, NULL, 10) == held->l_start + held->l_len - 1);
	}
	return found;
}

bool fuse_fd_has_lock(const struct fuse_server *server, int fd)
{
	_cleanup_file_ FILE *file = open_fdinfo(server, fd);
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strncmp(line, "lock:", strlen("lock:")) == 0;
	return found;
}

/* Which of the guest's owners, but for one, has this lock of the node; NULL: the
 * host. */
static const struct fuse_owner *holder_of(const struct fuse_server *server,
					  const struct fuse_node *node, const struct flock *held,
					  uint64_t but)
{
	const struct fuse_owner *owner = node->owners;

	while (owner && (owner->owner == but || !has_lock(server, owner, held)))
		owner = owner->next;
	return owner;
}

/* Whom a request for a POSIX lock waits for; NULL: nobody of this guest. */
static const struct fuse_owner *blocker_of(const struct fuse_server *server,
					   const struct lock_request *request)
{
	const struct fuse_owner *owner = *fuse_owner_find(request->node, request->in.owner);
	struct flock lock;

	if (!owner || (request->in.lk_flags & FUSE_LK_FLOCK) ||
	    !host_lock(&request->in.lk, &lock) || fcntl(owner->fd, F_OFD_GETLK, &lock) < 0 ||
	    lock.l_type == F_UNLCK)
		return NULL;
	return holder_of(server, request->node, &lock, request->in.owner);
}

static const struct lock_request *waiting_for_posix(const struct fuse_server *server,
						    uint64_t owner)
{
	for (const struct fuse_waiter *waiter = server->waiters; waiter; waiter = waiter->next)
		if (waiter->request.in.owner == owner &&
		    !(waiter->request.in.lk_flags & FUSE_LK_FLOCK))
			return &waiter->request;
	return NULL;
}

static bool would_deadlock(const struct fuse_server *server, const struct lock_request *request)
{
	const struct fuse_waiter *left = server->waiters;
	const struct lock_request *at = request;

	/* A step for the request, and one for each waiter: more are a circle that the
	 * request is not in. */
	for (;;) {
		const struct fuse_owner *blocker = blocker_of(server, at);

		if (!blocker)
			return false;
		if (blocker->owner == request->in.owner)
			return true;
		at = waiting_for_posix(server, blocker->owner);
		if (!at || !left)
			return false;
		left = left->next;
	}
}

static int try_flock(const struct lock_request *request)
{
	int operation;

	switch (request->in.lk.type) {
	case F_RDLCK:
		operation = LOCK_SH;
		break;
	case F_WRLCK:
		operation = LOCK_EX;
		break;
	case F_UNLCK:
		operation = LOCK_UN;
		break;
	default:
		return -EINVAL;
	}
	return flock(request->handle->fd, operation | LOCK_NB) < 0 ? -errno : 0;
}

/* 0, -EAGAIN where another holds it, or another negative errno value. */
static int try_lock(struct fuse_server *server, const struct lock_request *request)
{
	return request->in.lk_flags & FUSE_LK_FLOCK ? try_flock(request)
						    : try_posix(server, request);
}

/* Once; 0: not any more. */
static void set_timer(struct fuse_server *server, long nanoseconds)
{
	const struct itimerspec timer = { .it_value.tv_nsec = nanoseconds };

	(void)timerfd_settime(server->timer_fd, 0, &timer, NULL);
}

/* Answers and takes it from the list; what it used is for request_done(). */
static void answer(struct fuse_server *server, struct fuse_waiter *waiter, int error)
{
	const struct fuse_out_header header = { .len = sizeof(header),
						.error = error,
						.unique = waiter->unique };

	server->options.complete(waiter->kept, &header, sizeof(header));
	waiter->kept = NULL;
}

/* ---- without it ---- */

static void request_done(struct fuse_server *server, const struct lock_request *request)
{
	fuse_handle_put(server, request->handle);
	fuse_node_put(server, request->node);
}

static void free_waiters(struct fuse_server *server, struct fuse_waiter *waiters)
{
	while (waiters) {
		struct fuse_waiter *next = waiters->next;

		request_done(server, &waiters->request);
		free(waiters);
		waiters = next;
	}
}

/* Answers those for whom decide() is not -EAGAIN; with it where it is CANCELLED. */
#define CANCELLED 1
typedef int (*decide_fn)(struct fuse_server *server, const struct fuse_waiter *waiter,
			 uint64_t unique);
static bool settle(struct fuse_server *server, decide_fn decide, uint64_t unique)
{
	struct fuse_waiter **at = &server->waiters;
	struct fuse_waiter *settled = NULL;

	(void)pthread_mutex_lock(&server->locks_lock);
	while (*at) {
		struct fuse_waiter *waiter = *at;
		int error = decide(server, waiter, unique);

		if (error == -EAGAIN) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		answer(server, waiter, error == CANCELLED ? -EAGAIN : error);
		waiter->next = settled;
		settled = waiter;
	}
	if (settled && !server->waiters)
		set_timer(server, 0);
	(void)pthread_mutex_unlock(&server->locks_lock);
	free_waiters(server, settled);
	return settled != NULL;
}

static int decide_retry(struct fuse_server *server, const struct fuse_waiter *waiter,
			uint64_t unique)
{
	(void)unique;
	return try_lock(server, &waiter->request);
}

static int decide_deadlock(struct fuse_server *server, const struct fuse_waiter *waiter,
			   uint64_t unique)
{
	int r = decide_retry(server, waiter, unique);

	return r == -EAGAIN && would_deadlock(server, &waiter->request) ? -EDEADLK : r;
}

static int decide_interrupt(struct fuse_server *server, const struct fuse_waiter *waiter,
			    uint64_t unique)
{
	(void)server;
	return waiter->unique == unique ? -EINTR : -EAGAIN;
}

/* Not EINTR: without a signal, Linux's fcntl() would fail with an errno that is
 * none of the user's. */
static int decide_cancel(struct fuse_server *server, const struct fuse_waiter *waiter,
			 uint64_t unique)
{
	(void)server, (void)waiter, (void)unique;
	return CANCELLED;
}

void fuse_locks_retry(struct fuse_server *server)
{
	(void)settle(server, decide_retry, 0);
}

void fuse_expired(struct fuse_server *server)
{
	bool look = atomic_fetch_add(&server->n_ticks, 1) % DEADLOCK_TICKS == 0;

	(void)settle(server, look ? decide_deadlock : decide_retry, 0);
	(void)pthread_mutex_lock(&server->locks_lock);
	if (server->waiters)
		set_timer(server, RETRY_NS);
	(void)pthread_mutex_unlock(&server->locks_lock);
}

void fuse_cancel(struct fuse_server *server)
{
	(void)settle(server, decide_cancel, 0);
}

/* No answer where it came in time. */
int fuse_op_interrupt(struct fuse_call *call)
{
	const struct fuse_interrupt_in *in = call->args;

	/* Unknown: it may be on its way, on another thread; the guest asks again. */
	return settle(call->server, decide_interrupt, in->unique) ? 0 : -EAGAIN;
}

void fuse_locks_drop(struct fuse_server *server, struct fuse_node *node, uint64_t owner)
{
	struct fuse_owner **at;
	bool had;

	(void)pthread_mutex_lock(&server->locks_lock);
	at = fuse_owner_find(node, owner);
	had = *at != NULL;
	if (had)
		fuse_owner_free(server, node, at);
	(void)pthread_mutex_unlock(&server->locks_lock);
	if (had)
		fuse_locks_retry(server);
}

int fuse_op_getlk(struct fuse_call *call)
{
	const struct fuse_lk_in *in = call->args;
	struct fuse_lk_out *out = call->payload;
	const struct fuse_owner *holder;
	struct flock lock;
	uint32_t pid = 0;
	int fd, r = 0;

	if (in->lk_flags & FUSE_LK_FLOCK || !host_lock(&in->lk, &lock) || lock.l_type == F_UNLCK)
		return -EINVAL;
	(void)pthread_mutex_lock(&call->server->locks_lock);
	fd = owner_fd(call->server, call->node, in->owner);
	if (fd < 0)
		r = fd;
	else if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		r = -errno;
	else if (lock.l_type != F_UNLCK &&
		 (holder = holder_of(call->server, call->node, &lock, in->owner)))
		pid = holder->pid;
	(void)pthread_mutex_unlock(&call->server->locks_lock);
	if (r < 0)
		return r;
	*out = (struct fuse_lk_out){ .lk.type = (uint32_t)lock.l_type };
	if (lock.l_type != F_UNLCK) {
		out->lk.start = (uint64_t)lock.l_start;
		out->lk.end =
		    lock.l_len == 0 ? LOCK_END : (uint64_t)(lock.l_start + lock.l_len - 1);
		/* Of a lock of the host's nobody tells whose it is: 0. */
		out->lk.pid = pid;
	}
	call->payload_size = sizeof(*out);
	return 0;
}

/* Tries, and where another has the lock keeps the request. */
static int lock_or_wait(struct fuse_call *call, const struct lock_request *request, bool wait)
{
	struct fuse_server *server = call->server;
	struct fuse_waiter *waiter;
	int r;

	(void)pthread_mutex_lock(&server->locks_lock);
	r = try_lock(server, request);
	if (r == -EAGAIN && wait && would_deadlock(server, request))
		r = -EDEADLK;
	if (r == -EAGAIN && wait) {
		waiter = xcalloc(1, sizeof(*waiter));
		waiter->request = *request;
		waiter->unique = call->header.unique;
		waiter->kept = call->message->keep(call->message->data);
		if (!server->waiters)
			set_timer(server, RETRY_NS);
		waiter->next = server->waiters;
		server->waiters = waiter;
		call->kept = true;
	}
	(void)pthread_mutex_unlock(&server->locks_lock);
	return r;
}

static int set_lock(struct fuse_call *call, bool wait)
{
	struct fuse_server *server = call->server;
	struct lock_request request = { .in = *(const struct fuse_lk_in *)call->args };
	bool unlock = request.in.lk.type == F_UNLCK;
	int r;

	request.handle = fuse_handle_get(server, request.in.fh, S_ISDIR(call->node->type));
	if (!request.handle)
		return -EBADF;
	request.node = request.handle->node;
	fuse_node_hold(server, request.node);
	r = lock_or_wait(call, &request, wait && !unlock);
	if (!call->kept)
		request_done(server, &request);
	if (unlock)
		fuse_locks_retry(server);
	return r;
}

int fuse_op_setlk(struct fuse_call *call)
{
	return set_lock(call, false);
}

int fuse_op_setlkw(struct fuse_call *call)
{
	return set_lock(call, true);
}
