/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest believes of files, with FUSE_CACHE_AUTO: see fuse-parts.h.
 *
 * A file's name is valid for an instant only, which the guest's kernel rounds up
 * to one or two ticks of its clock; with no time at all it would forget the file,
 * and its pages, whenever nobody has it open.  So that a file which the host has
 * changed or replaced in that time is not opened as it was, open() compares: the
 * file's time of change, which a rename and an unlink change too, with what it was
 * when its name was looked up last.  Where they differ, or might, the answer is
 * ESTALE, upon which Linux looks every name up anew and opens once more (path
 * lookup with LOOKUP_REVAL), in the same thread: which is then let through, for a
 * file that is changed all the time would never be opened.
 *
 * What a lookup brings is news of one name.  Of a file that was changed lately and is
 * told by two names at nearly the same time, nobody knows whether the guest still
 * believes in one that it has no longer: then there is nothing that open() could
 * compare with, for as long as that may be.
 */
#include <errno.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"
#include "rootfs/share/fuse-parts.h"

/* A file that was changed less than this ago may be changed again within the
 * same tick of its file system's clock, so that its time does not tell. */
#define SETTLED_NS (100 * 1000000LL)
/* Longer than the ticks that a name is valid (HZ=100), and than a lookup takes. */
#define RETRY_NS (1000 * 1000000LL)
/* Descriptors that may be kept for AUTO's files which are not in use. */
#define KEPT_FDS_MAX 32768U

static int64_t change_time(const struct statx *st)
{
	return st->stx_ctime.tv_sec * (int64_t)NS_PER_SECOND + st->stx_ctime.tv_nsec;
}

/* The tick of the clock that gives files their times. */
static int64_t file_clock_tick(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_REALTIME_COARSE, &tick) < 0)
		return SETTLED_NS;
	return tick.tv_sec * (int64_t)NS_PER_SECOND + tick.tv_nsec;
}

/* FNV-1a */
static uint64_t hash_name(uint64_t parent, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ parent;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
	return hash;
}

/* Lock held.  What open() may compare with. */
static int64_t known_change(const struct fuse_node *node, const struct statx *st, bool settled)
{
	bool two_names =
	    node->two_names_ns > 0 && clock_monotonic_ns() - node->two_names_ns < RETRY_NS;
	bool lately = (int64_t)clock_realtime_ns() - change_time(st) < 2 * RETRY_NS;

	return settled && !(two_names && lately) ? change_time(st) : FUSE_CHANGE_UNKNOWN;
}

/* Lock held.  As fuse_may_remember(), while there are fewer files than that. */
static bool may_remember(const struct fuse_server *server, const struct fuse_node *node,
			 size_t nodes_max)
{
	return server->nodes_by_id.count < MIN((size_t)server->options.nodes_max / 2, nodes_max) &&
	       fuse_account_has_room(server, node->account);
}

bool fuse_may_remember(struct fuse_server *server, const struct fuse_node *node)
{
	bool may;

	(void)pthread_mutex_lock(&server->lock);
	may = may_remember(server, node, SIZE_MAX);
	(void)pthread_mutex_unlock(&server->lock);
	return may;
}

bool fuse_fresh_tell(struct fuse_server *server, struct fuse_node *node,
		     const struct fuse_node *parent, const char *name, const struct statx *st,
		     uint64_t asked_ns)
{
	bool settled = (int64_t)asked_ns - change_time(st) > file_clock_tick();
	uint64_t hash = hash_name(parent->id, name), now = clock_monotonic_ns();
	bool remember;

	(void)pthread_mutex_lock(&server->lock);
	if (node->told_ns > 0 && node->told_name != hash && now - node->told_ns < RETRY_NS)
		node->two_names_ns = now;
	node->told_name = hash;
	node->told_ns = now;
	node->told_change = known_change(node, st, settled);
	remember = may_remember(server, node, KEPT_FDS_MAX);
	(void)pthread_mutex_unlock(&server->lock);
	return remember;
}

/* Lock held.  Is this the second try of the guest's thread, after looking up? */
static bool take_retry(struct fuse_server *server, const struct fuse_node *node, uint32_t pid)
{
	struct fuse_retry *retry = &server->retries[pid % FUSE_RETRIES];
	bool mine = retry->pid == pid && retry->since_ns > 0 &&
		    (retry->node == node->id || node->told_ns >= retry->since_ns);

	if (mine)
		retry->since_ns = 0;
	return mine;
}

/* Lock held; false: there is no place to remember it. */
static bool add_retry(struct fuse_server *server, const struct fuse_node *node, uint32_t pid)
{
	struct fuse_retry *retry = &server->retries[pid % FUSE_RETRIES];
	uint64_t now = clock_monotonic_ns();

	if (retry->pid != pid && retry->since_ns > 0 && now - retry->since_ns < RETRY_NS)
		return false;
	*retry = (struct fuse_retry){ .pid = pid, .node = node->id, .since_ns = now };
	return true;
}

int fuse_fresh_open(struct fuse_server *server, struct fuse_node *node, uint32_t pid,
		    const struct statx *st, bool *ret_keep_pages)
{
	int64_t change = change_time(st);
	bool settled = (int64_t)clock_realtime_ns() - change > SETTLED_NS;
	int r = 0;

	(void)pthread_mutex_lock(&server->lock);
	/* Not every file that is opened has been looked up: the root of a mount in the
	 * guest (a bind of a file) has no name to it. */
	if (take_retry(server, node, pid))
		node->told_change = known_change(node, st, settled);
	else if (node->told_change != change && add_retry(server, node, pid))
		r = -ESTALE;
	if (r == 0) {
		*ret_keep_pages = settled && node->opened_change == change;
		node->opened_change = settled ? change : FUSE_CHANGE_UNKNOWN;
	}
	(void)pthread_mutex_unlock(&server->lock);
	return r;
}
