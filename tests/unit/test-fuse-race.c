/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs/share: two guests with two threads each, and a host, rename, link and replace by symbolic
 * links what the others are just walking through.  Whatever the server opens lies in the shared
 * directory, and nobody touches what the links lead to.
 *
 * A second or so; RACE_SECONDS=600 tests/unit/test-fuse-race goes on for so long.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define GUESTS 2
#define THREADS 2 /* of a guest */
#define HOSTS 2
#define DIRECTORIES 4
#define LEAST 2000 /* operations of each thread */
#define DEADLINE_S 100

static const char *const directories[DIRECTORIES] = { "a", "b", "c", "d" };
static const char *const names[] = { "a", "b", "c", "d", "sub", "f" };

static struct client guests[GUESTS];
static char outside[] = "/tmp/fuse-outside-XXXXXX";
static int share_fd;
static _Atomic bool stop;
/* What was done, so that a race in which nothing meets is seen. */
static _Atomic unsigned n_opened, n_links, n_renamed, n_swapped, n_slow;

/* ---- what the server opens ---- */

int __real_open(const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);

/* A thread that serves is in a request. */
static _Thread_local bool serving;

static int check_inside(int fd)
{
	char name[64], path[4096];
	size_t length;
	ssize_t n;

	if (!serving || fd < 0)
		return fd;
	length = strlen(guests[0].dir);
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, path, sizeof(path) - 1);
	CHECK(n > 0);
	path[n] = '\0';
	if (strncmp(path, guests[0].dir, length) != 0 || (path[length] && path[length] != '/'))
		test_fail(__FILE__, __LINE__, "opened %s", path);
	atomic_fetch_add(&n_opened, 1);
	return fd;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return check_inside(__real_open(path, flags, mode));
}

int __wrap_openat(int dir_fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return check_inside(__real_openat(dir_fd, path, flags, mode));
}

/* ---- the host ---- */

/* Any of the directories, if it is one now: the host itself is not to follow its links. */
static int open_any(unsigned *seed)
{
	const char *name = directories[(unsigned)rand_r(seed) % DIRECTORIES];

	return openat(share_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* For a moment a directory is a link to the outside; or a file becomes one. */
static void swap(unsigned *seed)
{
	const char *name = directories[(unsigned)rand_r(seed) % DIRECTORIES];
	_cleanup_close_ int dir_fd = open_any(seed);
	_cleanup_free_ char *secret = xasprintf("%s/f", outside);
	char link[32];

	(void)snprintf(link, sizeof(link), "link-%p", (void *)seed);
	if (rand_r(seed) % 2) {
		(void)symlinkat(outside, share_fd, link);
		if (renameat2(share_fd, link, share_fd, name, RENAME_EXCHANGE) == 0) {
			atomic_fetch_add(&n_swapped, 1);
			/* Back; unless somebody else was here. */
			(void)renameat2(share_fd, link, share_fd, name, RENAME_EXCHANGE);
		}
	} else {
		(void)symlinkat(secret, share_fd, link);
		if (dir_fd >= 0 && renameat2(share_fd, link, dir_fd, "f", 0) == 0)
			atomic_fetch_add(&n_swapped, 1);
	}
	/* It is a directory where somebody was here. */
	if (unlinkat(share_fd, link, 0) < 0 && errno == EISDIR)
		(void)renameat2(share_fd, link, share_fd, name, RENAME_EXCHANGE);
}

static void move(unsigned *seed)
{
	const char *from = directories[(unsigned)rand_r(seed) % DIRECTORIES];
	const char *to = directories[(unsigned)rand_r(seed) % DIRECTORIES];
	_cleanup_close_ int old_fd = open_any(seed), new_fd = open_any(seed);

	switch (rand_r(seed) % 3) {
	case 0:
		(void)renameat2(share_fd, from, share_fd, to, RENAME_EXCHANGE);
		break;
	case 1:
		(void)renameat2(old_fd, "sub", new_fd, "sub", 0);
		break;
	default:
		/* Into another one, and out again. */
		(void)renameat2(share_fd, from, new_fd, from, RENAME_NOREPLACE);
		(void)renameat2(new_fd, from, share_fd, from, RENAME_NOREPLACE);
	}
}

/* What the others have moved away. */
static void repair(unsigned *seed)
{
	_cleanup_close_ int dir_fd = -1;
	int fd;

	(void)mkdirat(share_fd, directories[(unsigned)rand_r(seed) % DIRECTORIES], 0700);
	dir_fd = open_any(seed);
	if (dir_fd < 0)
		return;
	(void)mkdirat(dir_fd, "sub", 0700);
	fd = openat(dir_fd, "f", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
}

static void host_turn(unsigned *seed)
{
	switch (rand_r(seed) % 3) {
	case 0:
		swap(seed);
		break;
	case 1:
		move(seed);
		break;
	default:
		repair(seed);
	}
}

/* ---- the guests ---- */

static const char *any_name(unsigned *seed)
{
	return names[(unsigned)rand_r(seed) % ARRAY_SIZE(names)];
}

/* Down from a node that is given up, as far as there is something, at most three names. */
static uint64_t walk(struct client *c, unsigned *seed)
{
	uint64_t node = FUSE_ROOT_ID;

	for (int i = rand_r(seed) % 4; i > 0; i--) {
		struct fuse_entry_out entry;

		if (client_lookup(c, node, any_name(seed), &entry) < 0)
			break;
		if (node != FUSE_ROOT_ID)
			client_forget(c, node, 1);
		node = entry.nodeid;
		atomic_fetch_add(&n_links, S_ISLNK(entry.attr.mode));
	}
	return node;
}

static void open_there(struct client *c, uint64_t node, unsigned *seed)
{
	struct fuse_open_out out;
	uint64_t made, fh;

	if (client_open(c, node, O_RDWR | (rand_r(seed) % 2 ? O_TRUNC : 0), &out) == 0) {
		(void)client_write(c, node, out.fh, 0, "guest", 5, 0);
		(void)client_release(c, FUSE_RELEASE, node, out.fh);
	} else if (client_create(c, node, any_name(seed), O_RDWR, 0600, &made, &fh) == 0) {
		(void)client_write(c, made, fh, 0, "guest", 5, 0);
		(void)client_release(c, FUSE_RELEASE, made, fh);
		client_forget(c, made, 1);
	}
}

static void read_there(struct client *c, uint64_t node)
{
	struct fuse_read_in in = { .size = 4096 };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	_Alignas(8) char bytes[4096];
	size_t got = 0;

	if (client_opendir(c, node, &in.fh) < 0)
		return;
	if (client_send(c, FUSE_READDIRPLUS, node, parts, 1, bytes, sizeof(bytes), &got) < 0)
		got = 0;
	for (size_t at = 0; at < got;) {
		const struct fuse_direntplus *entry = (struct fuse_direntplus *)(bytes + at);

		if (entry->entry_out.nodeid)
			client_forget(c, entry->entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(entry);
	}
	(void)client_release(c, FUSE_RELEASEDIR, node, in.fh);
}

static void change_there(struct client *c, uint64_t node, uint64_t other, unsigned *seed)
{
	const char *name = any_name(seed);
	const unsigned flags[] = { 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	uint64_t made;

	switch (rand_r(seed) % 8) {
	case 0:
		if (client_mkdir(c, node, name, 0700, 0, &made) == 0)
			client_forget(c, made, 1);
		break;
	case 1:
		/* (Its node stays until the end.) */
		(void)client_symlink(c, node, name, outside);
		break;
	case 2:
		(void)client_remove(c, FUSE_UNLINK, node, name);
		break;
	case 3:
		(void)client_link(c, other, node, name);
		break;
	default:
		if (client_rename(c, node, name, other, any_name(seed),
				  flags[(unsigned)rand_r(seed) % 3]) == 0)
			atomic_fetch_add(&n_renamed, 1);
	}
}

static void guest_turn(struct client *c, unsigned *seed)
{
	uint64_t node = walk(c, seed), other = walk(c, seed);

	switch (rand_r(seed) % 4) {
	case 0:
		open_there(c, node, seed);
		break;
	case 1:
		read_there(c, node);
		break;
	default:
		change_there(c, node, other, seed);
	}
	client_forget(c, node, node != FUSE_ROOT_ID);
	client_forget(c, other, other != FUSE_ROOT_ID);
}

/* ---- the race ---- */

struct racer {
	struct client *guest; /* NULL: the host */
	unsigned seed;
	pthread_t thread;
};

static void *race(void *data)
{
	struct racer *racer = data;
	struct client c = { 0 };

	if (racer->guest)
		client_clone(&c, racer->guest);
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		serving = racer->guest != NULL;
		if (racer->guest)
			guest_turn(&c, &racer->seed);
		else
			host_turn(&racer->seed);
		serving = false;
		if (i == LEAST)
			atomic_fetch_sub(&n_slow, 1);
	}
	if (racer->guest)
		client_clone_done(&c);
	return NULL;
}

static void run_race(uint64_t seconds)
{
	struct racer racers[GUESTS * THREADS + HOSTS];
	const uint64_t start = clock_monotonic_ns();

	atomic_store(&n_slow, (unsigned)ARRAY_SIZE(racers));
	for (unsigned i = 0; i < ARRAY_SIZE(racers); i++) {
		racers[i] = (struct racer){ .seed = i + 1 };
		if (i < GUESTS * THREADS)
			racers[i].guest = &guests[i % GUESTS];
		CHECK(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0);
	}
	do {
		(void)usleep(10000);
		CHECK(clock_monotonic_ns() - start < (seconds + DEADLINE_S) * NS_PER_SECOND);
	} while (atomic_load(&n_slow) > 0 ||
		 clock_monotonic_ns() - start < seconds * NS_PER_SECOND);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(racers); i++)
		CHECK(pthread_join(racers[i].thread, NULL) == 0);
}

static void start_guests(void)
{
	for (size_t i = 0; i < GUESTS; i++) {
		const struct client_options options = {
			.cache = i == 0 ? FUSE_CACHE_AUTO : FUSE_CACHE_NONE,
			.dir = i == 0 ? NULL : guests[0].dir,
		};

		client_init(&guests[i], &options);
	}
}

static void stop_guests(void)
{
	for (size_t i = GUESTS - 1; i > 0; i--) {
		fuse_server_free(guests[i].server);
		fuse_thread_free(guests[i].thread);
		free(guests[i].dir);
	}
	client_done(&guests[0]);
}

static void test_race(void)
{
	const char *seconds = getenv("RACE_SECONDS");
	_cleanup_close_ int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	_cleanup_free_ char *secret = NULL;
	char event[4096];

	CHECK(mkdtemp(outside) && watch >= 0);
	secret = xasprintf("%s/f", outside);
	CHECK(write_file_atomic(secret, "secret", 6, 0600, NULL) == 0);
	CHECK(inotify_add_watch(watch, outside, IN_ALL_EVENTS) >= 0);
	start_guests();
	share_fd = open(guests[0].dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(share_fd >= 0);
	run_race(seconds ? (uint64_t)atoi(seconds) : 1);
	(void)printf("%u opened, %u links, %u swapped by the host, %u renamed by guests\n",
		     atomic_load(&n_opened), atomic_load(&n_links), atomic_load(&n_swapped),
		     atomic_load(&n_renamed));
	CHECK(atomic_load(&n_opened) > 0 && atomic_load(&n_links) > 0 &&
	      atomic_load(&n_swapped) > 0 && atomic_load(&n_renamed) > 0);
	/* Not read, written, listed or changed in any way. */
	CHECK(read(watch, event, sizeof(event)) < 0 && errno == EAGAIN);
	(void)close(share_fd);
	stop_guests();
	CHECK(remove_tree(outside, NULL) == 0);
}

static const struct test_case cases[] = {
	{ "race", test_race },
};

TEST_MAIN(cases)
