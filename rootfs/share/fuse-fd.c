/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that stand for files of a guest, and who may keep how many: see fuse-parts.h.
 *
 * The containers of a sandbox have an account each, which is that of their directory in the
 * staging area. An account may keep one more descriptor while it has less than FREE_TIMES as many
 * as are free. So a container alone gets four fifths of them; and however many others take what
 * they can get, they leave some to one that comes later, which gets four fifths of these. (It is
 * the dynamic threshold by which network switches divide a shared buffer: nothing has to be known
 * of how many accounts there will be.) The mounts of one container are not told apart: it could
 * open as many files in one as in the other.
 *
 * The server's own account has the staging area's directories, or everything where there is no
 * staging area, and may keep what there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "rootfs/share/fuse-parts.h"

#define FREE_TIMES 4

int fuse_stat(int fd, struct statx *ret_st)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_MNT_ID, ret_st) < 0)
		return -errno;
	return 0;
}

/* ---- accounts: lock held ---- */

static bool is_of(const struct fuse_account *account, const struct fuse_key *directory)
{
	return account->directory.ino == directory->ino &&
	       account->directory.dev == directory->dev &&
	       account->directory.mount == directory->mount;
}

struct fuse_account *fuse_account_take(struct fuse_server *server, const struct fuse_key *directory)
{
	struct fuse_account *account = server->accounts;

	if (!directory)
		return &server->account;
	while (account && !is_of(account, directory))
		account = account->next;
	if (!account) {
		account = xcalloc(1, sizeof(*account));
		account->directory = *directory;
		account->next = server->accounts;
		server->accounts = account;
	}
	account->n_nodes++;
	return account;
}

void fuse_account_give(struct fuse_server *server, struct fuse_account *account)
{
	struct fuse_account **at = &server->accounts;

	if (account == &server->account || --account->n_nodes > 0)
		return;
	while (*at != account)
		at = &(*at)->next;
	*at = account->next;
	free(account);
}

bool fuse_account_may_keep(const struct fuse_server *server, const struct fuse_account *account)
{
	const unsigned free = server->options.fds_max - MIN(server->n_fds, server->options.fds_max);

	if (account == &server->account)
		return free > 0;
	return account->n_fds < (uint64_t)FREE_TIMES * free;
}

bool fuse_account_has_room(const struct fuse_server *server, const struct fuse_account *account)
{
	const unsigned max = server->options.fds_max;
	const unsigned free = max - MIN(server->n_fds, max);

	if (account == &server->account)
		return account->n_fds < max / 2;
	/* Half of what it may have at most: x / 2 where x = FREE_TIMES * (free + own - x). */
	return (uint64_t)account->n_fds * (FREE_TIMES + 1) * 2 <
	       ((uint64_t)free + account->n_fds) * FREE_TIMES;
}

void fuse_account_keep(struct fuse_server *server, struct fuse_account *account)
{
	server->n_fds++;
	account->n_fds++;
}

void fuse_account_let_go(struct fuse_server *server, struct fuse_account *account)
{
	server->n_fds--;
	account->n_fds--;
}

/* ---- without it ---- */

bool fuse_fd_reserve(struct fuse_server *server, const struct fuse_node *node)
{
	bool may;

	(void)pthread_mutex_lock(&server->lock);
	may = fuse_account_may_keep(server, node->account);
	if (may)
		fuse_account_keep(server, node->account);
	(void)pthread_mutex_unlock(&server->lock);
	return may;
}

void fuse_fd_release(struct fuse_server *server, const struct fuse_node *node)
{
	(void)pthread_mutex_lock(&server->lock);
	fuse_account_let_go(server, node->account);
	(void)pthread_mutex_unlock(&server->lock);
}
