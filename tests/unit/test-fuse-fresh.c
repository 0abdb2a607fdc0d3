/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may believe of files with FUSE_CACHE_AUTO (rootfs/share/fuse-fresh.c): names
 * that it need not look up for a tick, and that it never opens what is not there any
 * more all the same.
 *
 * For the server time goes on only where a test says so (the clocks are wrapped, see
 * fuse.mk): a machine may be as busy as it likes.  The files' times are the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "rootfs/share/fuse-parts.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

static const struct client_options plain = { .cache = FUSE_CACHE_AUTO };

static uint64_t monotonic = 1000000000, realtime;

uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_realtime_ns(void);

uint64_t __wrap_clock_monotonic_ns(void)
{
	return monotonic;
}

uint64_t __wrap_clock_realtime_ns(void)
{
	return realtime;
}

static void wait_ms(unsigned ms)
{
	monotonic += ms * 1000000ULL;
	realtime += ms * 1000000ULL;
}

/* It is the moment in which this file was changed. */
static void changed_now(const struct client *c, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", c->dir, name);
	struct stat st;

	CHECK(stat(path, &st) == 0);
	realtime = (uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec;
}

static void host_write(const struct client *c, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", c->dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
	changed_now(c, name);
}

static void host_rename(const struct client *c, const char *from, const char *to)
{
	_cleanup_free_ char *old = xasprintf("%s/%s", c->dir, from);
	_cleanup_free_ char *new = xasprintf("%s/%s", c->dir, to);

	CHECK(rename(old, new) == 0);
	changed_now(c, to);
}

/* Until the clock that gives files their times has gone on, too. */
static void wait_tick(void)
{
	struct timespec tick;

	CHECK(clock_getres(CLOCK_REALTIME_COARSE, &tick) == 0);
	(void)usleep((unsigned)tick.tv_nsec / 1000 * 3);
	wait_ms((unsigned)tick.tv_nsec / 1000000 * 3);
}

static uint64_t look_up(struct client *c, const char *name)
{
	struct fuse_entry_out entry;

	CHECK_INT(client_lookup(c, FUSE_ROOT_ID, name, &entry), 0);
	return entry.nodeid;
}

/* A file whose name has been looked up, and which has not just been changed. */
static uint64_t settled_file(struct client *c, const char *name)
{
	host_write(c, name, "1");
	wait_tick();
	return look_up(c, name);
}

static int try_open(struct client *c, uint64_t node, uint32_t flags)
{
	struct fuse_open_out file;
	int r = client_open_once(c, node, flags, &file);

	if (r == 0)
		CHECK_INT(client_release(c, FUSE_RELEASE, node, file.fh), 0);
	return r;
}

static void test_names(void)
{
	struct fuse_entry_out entry;
	struct client c;

	client_init(&c, &plain);
	host_write(&c, "file", "");
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "file", &entry), 0);
	CHECK(entry.entry_valid == 0 && entry.entry_valid_nsec == 1);
	/* Of these the host hears nothing when they are used. */
	CHECK_INT(client_symlink(&c, FUSE_ROOT_ID, "link", "file"), 0);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "link", &entry), 0);
	CHECK(entry.entry_valid == 0 && entry.entry_valid_nsec == 0);
	CHECK_INT(client_mknod(&c, FUSE_ROOT_ID, "fifo", S_IFIFO | 0600, 0, NULL), 0);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "fifo", &entry), 0);
	CHECK(entry.entry_valid == 0 && entry.entry_valid_nsec == 0);
	client_done(&c);
}

static void test_replaced(void)
{
	struct client c;
	uint64_t node, other;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	host_write(&c, "new", "2");
	wait_tick();
	host_rename(&c, "new", "f");
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	other = look_up(&c, "f");
	CHECK(other != node);
	CHECK_INT(try_open(&c, other, O_RDONLY), 0);
	client_done(&c);
}

/* What is not the name's file any more is not truncated for it. */
static void test_moved_away(void)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	host_rename(&c, "f", "kept");
	CHECK_INT(try_open(&c, node, O_WRONLY | O_TRUNC), -ESTALE);
	path = xasprintf("%s/kept", c.dir);
	CHECK(stat(path, &st) == 0 && st.st_size == 1);
	client_done(&c);
}

/* The guest may still believe in the name that the file had a moment ago, whatever it has
 * been told by its new one. */
static void test_renamed(void)
{
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "old");
	host_rename(&c, "old", "new");
	wait_tick();
	CHECK_INT(look_up(&c, "new"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	/* The second try of one does not serve another. */
	CHECK_INT(look_up(&c, "new"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	c.pid++;
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	wait_ms(1100);
	CHECK_INT(look_up(&c, "new"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	client_done(&c);
}

/* Two names of a file that nobody changes are no reason to ask again. */
static void test_two_names(void)
{
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	host_write(&c, "one", "1");
	CHECK_INT(client_link(&c, look_up(&c, "one"), FUSE_ROOT_ID, "two"), 0);
	changed_now(&c, "two");
	wait_ms(2100);
	node = look_up(&c, "one");
	CHECK_INT(look_up(&c, "two"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	CHECK_INT(look_up(&c, "one"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	client_done(&c);
}

static void test_rewritten(void)
{
	struct fuse_open_out file;
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	host_write(&c, "f", "longer");
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	CHECK_INT(look_up(&c, "f"), node);
	CHECK_INT(client_open_once(&c, node, O_RDONLY, &file), 0);
	CHECK(!(file.open_flags & FOPEN_KEEP_CACHE));
	/* Told while it was changing: nobody knows what came after. */
	host_write(&c, "f", "x");
	CHECK_INT(look_up(&c, "f"), node);
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	client_done(&c);
}

/* A file that changes all the time is opened at the second try. */
static void test_changing(void)
{
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	for (int i = 0; i < 20; i++) {
		host_write(&c, "f", i % 2 ? "a" : "bb");
		CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
		(void)look_up(&c, "f");
		host_write(&c, "f", "ccc");
		CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	}
	/* Replaced meanwhile, and just so. */
	for (int i = 0; i < 20; i++) {
		host_write(&c, "new", "2");
		host_rename(&c, "new", "f");
		CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
		node = look_up(&c, "f");
		CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	}
	client_done(&c);
}

/* Each thread of the guest has its own second try; more of them than can be
 * remembered are let through. */
static void test_threads(void)
{
	unsigned n_stale = 0;
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	host_write(&c, "f", "2");
	for (c.pid = 1; c.pid <= 200; c.pid++)
		n_stale += try_open(&c, node, O_RDONLY) == -ESTALE;
	CHECK_INT(n_stale, FUSE_RETRIES);
	for (c.pid = 1; c.pid <= FUSE_RETRIES; c.pid++)
		CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	client_done(&c);
}

/* The root of a mount in the guest is opened without a lookup. */
static void test_without_lookup(void)
{
	struct client c;
	uint64_t node;

	client_init(&c, &plain);
	node = settled_file(&c, "f");
	host_write(&c, "f", "2");
	wait_ms(150);
	CHECK_INT(try_open(&c, node, O_RDONLY), -ESTALE);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	CHECK_INT(try_open(&c, node, O_RDONLY), 0);
	client_done(&c);
}

/* The guest remembers no more than half of what there is room for, so that there is
 * always room for what it uses. */
static void look_at_many(enum fuse_cache cache, bool directories)
{
	/* In memory: for each new file, an ext4 without a journal looks at all that was just
	 * removed. */
	char directory[] = "/dev/shm/fuse-XXXXXX";
	const struct client_options few = { .cache = cache, .fds_max = 2000, .dir = directory };
	struct fuse_entry_out entry;
	unsigned n_kept = 0;
	struct client c;
	char name[16];

	CHECK(mkdtemp(directory));
	client_init(&c, &few);
	for (int i = 0; i < CLIENT_NODES_MAX - 2; i++) {
		_cleanup_free_ char *path = NULL;

		(void)snprintf(name, sizeof(name), "f%d", i);
		path = xasprintf("%s/%s", c.dir, name);
		CHECK((directories ? mkdir(path, 0700) : mknod(path, S_IFREG | 0600, 0)) == 0);
		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &entry), 0);
		if (entry.entry_valid + entry.entry_valid_nsec > 0)
			n_kept++;
		else
			client_forget(&c, entry.nodeid, 1);
	}
	CHECK(n_kept > 990 && n_kept <= 1000);
	client_done(&c);
}

static void test_many(void)
{
	look_at_many(FUSE_CACHE_AUTO, false);
	look_at_many(FUSE_CACHE_AUTO, true);
	look_at_many(FUSE_CACHE_ALWAYS, false);
}

static void test_flush(void)
{
	const struct client_options options[] = {
		plain, { .cache = FUSE_CACHE_AUTO, .host_locks = true }
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct fuse_open_out file;
		struct client c;
		uint64_t node;

		client_init(&c, &options[i]);
		node = settled_file(&c, "f");
		CHECK_INT(client_open(&c, node, O_RDONLY, &file), 0);
		CHECK_INT(!(file.open_flags & FOPEN_NOFLUSH), options[i].host_locks);
		CHECK_INT(client_open(&c, node, O_RDWR, &file), 0);
		if (options[i].host_locks)
			CHECK(!(file.open_flags & FOPEN_NOFLUSH));
		client_done(&c);
	}
}

static const struct test_case cases[] = {
	{ "names", test_names },
	{ "replaced", test_replaced },
	{ "moved away", test_moved_away },
	{ "renamed", test_renamed },
	{ "two names", test_two_names },
	{ "rewritten", test_rewritten },
	{ "changing", test_changing },
	{ "threads", test_threads },
	{ "without lookup", test_without_lookup },
	{ "many", test_many },
	{ "flush", test_flush },
};

TEST_MAIN(cases)
