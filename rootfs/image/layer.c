/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of images: see layer.h.
 *
 * In CACHE/layers, KEY.squashfs is a whole image, put there by rename, and
 * KEY.tmp is one being made.  The maker holds an flock on KEY.tmp itself, from
 * before its first byte until it has been renamed or unlinked.  So
 *  - a process that wants KEY and finds KEY.tmp waits for that lock; then KEY.tmp is
 *    either gone from its name (look again) or its maker is dead (go on with
 *    this file, from the start);
 *  - a KEY.tmp whose lock can be had at once is a dead maker's, and is removed
 *    by the process that makes the next image (cache.c).
 * An image's mtime is when it was last asked for; it is set under a shared lock
 * on the image, against a remover's exclusive one.
 */
#include "base/user.h"
#include "rootfs/image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/image/cache.h"
#include "rootfs/image/image.h"
#include "rootfs/image/tree.h"

#define ATTEMPTS 5
/* A file system stamps times with the kernel's tick, 10 ms at the slowest; one
 * without parts of a second, with seconds. */
#define TICK_NS 20000000ULL

struct layer_cache {
	char *path; /* CACHE/layers */
	int fd;
	struct tree_id id; /* not to be put into an image of a tree around it */
};

int layer_cache_open(const char *cache_dir, struct layer_cache **ret_cache,
		     struct error **ret_error)
{
	_cleanup_(layer_cache_closep) struct layer_cache *cache = xcalloc(1, sizeof(*cache));
	struct stat st;

	cache->fd = -1;
	cache->path = xasprintf("%s/layers", cache_dir);
	/* Images hold what only root may read in the tree. */
	if (make_directories(cache_dir, 0755, ret_error) < 0 ||
	    make_directories(cache->path, 0700, ret_error) < 0)
		return error_wrap(ret_error, "the image cache cannot be used");
	cache->fd = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cache->fd < 0 || fstat(cache->fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open the image cache %s",
				       cache->path);
	if (user_check_private(cache->fd, "the image cache", cache->path, ret_error) < 0)
		return -1;
	cache->id = (struct tree_id){ st.st_dev, st.st_ino };
	*ret_cache = TAKE_PTR(cache);
	return 0;
}

void layer_cache_close(struct layer_cache *cache)
{
	if (!cache)
		return;
	close_fdp(&cache->fd);
	free(cache->path);
	free(cache);
}

/* True if the image is there; then it is marked as used now. */
static bool use_image(const struct layer_cache *cache, const char *name)
{
	_cleanup_close_ int fd = openat(cache->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || lock_file(fd, LOCK_SH) < 0)
		return false;
	/* A cache that has become read-only still serves what it has. */
	(void)futimens(fd, NULL);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;
}

/*
 * Waits until a change to the newest entry would get another time than the tree
 * has: else a file changed right after it was read, within the same tick, would
 * have the identity of what was read.
 */
static void let_times_settle(const struct tree *tree)
{
	uint64_t newest = (uint64_t)tree->newest.seconds * NS_PER_SECOND + tree->newest.nanoseconds;
	uint64_t tick = tree->newest.nanoseconds == 0 ? NS_PER_SECOND : TICK_NS;
	uint64_t now = clock_realtime_ns(), age = now - newest;
	struct timespec wait;

	/* Times ahead of the clock tell nothing. */
	if (tree->newest.seconds < 0 || newest > now || age >= tick)
		return;
	wait = (struct timespec){ 0, (long)((tick - age) % NS_PER_SECOND) };
	(void)nanosleep(&wait, NULL);
}

/*
 * KEY.tmp, locked and empty; -1 with errno.  0 bytes are left of a dead maker's
 * work: it may have been written by a program of another version.
 */
static int lock_temporary(const struct layer_cache *cache, const char *name)
{
	for (;;) {
		_cleanup_close_ int fd =
		    openat(cache->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		bool is_same;

		if (fd < 0 || lock_file(fd, LOCK_EX) < 0)
			return -1;
		is_same = cache_is_at(cache->fd, name, fd);
		if (!is_same)
			continue; /* its maker renamed or unlinked it meanwhile */
		if (ftruncate(fd, 0) < 0)
			return -1;
		return TAKE_FD(fd);
	}
}

static int fill_temporary(const struct layer_cache *cache, struct tree *tree, int fd,
			  struct error **ret_error)
{
	let_times_settle(tree);
	if (image_write(tree, fd, ret_error) < 0)
		return -1;
	/* After a crash of the host the name must not stand for half an image. */
	if (fdatasync(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot write an image to %s",
				       cache->path);
	return 0;
}

static void report(const struct tree *tree, uint64_t started_ns, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		log_debug("made the image of %s: %zu entries, %lld KiB, %llu ms", tree->path,
			  tree->n_nodes, (long long)st.st_size / 1024,
			  (unsigned long long)(clock_monotonic_ns() - started_ns) / 1000000);
	if (tree->n_acls > 0)
		log_warning("%s: POSIX ACLs of %llu entries are not in its image", tree->path,
			    (unsigned long long)tree->n_acls);
}

static int make_image(struct layer_cache *cache, struct tree *tree, const char *key,
		      const char *name, struct error **ret_error)
{
	_cleanup_free_ char *temporary = xasprintf("%s" CACHE_TEMPORARY, key);
	_cleanup_close_ int fd = lock_temporary(cache, temporary);
	uint64_t started = clock_monotonic_ns();

	if (fd < 0)
		return error_set_errno(ret_error, errno,
				       "cannot make an image in the image cache %s", cache->path);
	/* Another may have been faster. */
	if (use_image(cache, name)) {
		(void)unlinkat(cache->fd, temporary, 0);
		return 0;
	}
	if (fill_temporary(cache, tree, fd, ret_error) < 0) {
		(void)unlinkat(cache->fd, temporary, 0);
		return -1;
	}
	if (renameat(cache->fd, temporary, cache->fd, name) < 0) {
		int code = errno;

		(void)unlinkat(cache->fd, temporary, 0);
		return error_set_errno(ret_error, code, "cannot name an image in %s", cache->path);
	}
	report(tree, started, fd);
	cache_prune(cache->fd);
	return 0;
}

static int get_once(struct layer_cache *cache, const char *path, char **ret_path,
		    struct error **ret_error)
{
	_cleanup_(tree_freep) struct tree *tree = NULL;
	_cleanup_free_ char *name = NULL;
	char key[TREE_KEY_SIZE];

	if (tree_scan(path, &cache->id, &tree, ret_error) < 0 ||
	    tree_key(tree, IMAGE_FORMAT, key, ret_error) < 0)
		return -1;
	name = xasprintf("%s" CACHE_IMAGE, key);
	if (!use_image(cache, name) && make_image(cache, tree, key, name, ret_error) < 0)
		return -1;
	*ret_path = xasprintf("%s/%s", cache->path, name);
	return 0;
}

int layer_cache_get(struct layer_cache *cache, const char *path, char **ret_path,
		    struct error **ret_error)
{
	for (unsigned attempt = 1;; attempt++) {
		_cleanup_error_ struct error *error = NULL;
		const struct timespec pause = { 0, 50000000L * attempt };

		if (get_once(cache, path, ret_path, &error) == 0)
			return 0;
		if (error->code != ESTALE || attempt == ATTEMPTS) {
			if (error->code == ESTALE)
				(void)error_wrap(&error, "no image could be made in %d attempts",
						 ATTEMPTS);
			if (ret_error)
				*ret_error = TAKE_PTR(error);
			return -1;
		}
		log_debug("%s: reading it again", error->message);
		(void)nanosleep(&pause, NULL);
	}
}
