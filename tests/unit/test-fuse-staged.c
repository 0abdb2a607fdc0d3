/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: a staging area, whose shares have cache modes of their own. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define EVER 1000000
#define FDS_MAX 1000U

static bool cache_of(const char *name, enum fuse_cache *ret_cache)
{
	if (strncmp(name, "kept", 4) == 0)
		*ret_cache = FUSE_CACHE_ALWAYS;
	else if (strcmp(name, "asked") == 0)
		*ret_cache = FUSE_CACHE_NONE;
	else if (strncmp(name, "watched", 7) == 0)
		*ret_cache = FUSE_CACHE_AUTO;
	else
		return false;
	return true;
}

/* C/kept and the others are binds of one directory, C/watched-file of a file; C/bare is
 * none at all.  D and E are other containers. */
static void init_by(struct client *c, enum fuse_cache cache,
		    bool (*by_name)(const char *name, enum fuse_cache *ret_cache))
{
	char directory[] = "/tmp/fuse-staged.XXXXXX";
	const struct client_options options = {
		.staging = true,
		.cache = cache,
		.cache_of = by_name,
		.fds_max = FDS_MAX,
		.dir = directory,
	};
	_cleanup_free_ char *script = NULL;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		test_skip("cannot make a mount namespace");
	CHECK(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
	CHECK(mkdtemp(directory));
	script =
	    xasprintf("set -e; mount -t tmpfs staged %s; cd %s; mkdir -p C/bare/kept tree/dir; "
		      "touch tree/file tree/dir/file C/watched-file; ln -s file tree/link; "
		      "mount --bind tree/file C/watched-file; for name in kept asked watched "
		      "plain; do mkdir C/$name; mount --bind tree C/$name; done; "
		      "for c in D E; do mkdir -p $c/plain; mount --bind tree $c/plain; done",
		      directory, directory);
	CHECK(system(script) == 0);
	client_init(c, &options);
}

static void init(struct client *c, enum fuse_cache cache)
{
	init_by(c, cache, cache_of);
}

static void done(struct client *c)
{
	CHECK(umount2(c->dir, MNT_DETACH) == 0);
	client_done(c);
}

static uint32_t open_flags(struct client *c, uint64_t node)
{
	struct fuse_open_out file;

	CHECK_INT(client_open(c, node, O_RDONLY, &file), 0);
	CHECK_INT(client_release(c, FUSE_RELEASE, node, file.fh), 0);
	return file.open_flags & ~(uint32_t)FOPEN_NOFLUSH;
}

static uint32_t created_flags(struct client *c, uint64_t parent, const char *name)
{
	const struct fuse_create_in in = { .flags = O_RDONLY, .mode = S_IFREG | 0600 };
	const struct client_body parts[] = { { &in, sizeof(in) }, { name, strlen(name) + 1 } };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	CHECK_INT(client_send(c, FUSE_CREATE, parent, parts, 2, &out, sizeof(out), NULL), 0);
	return out.open.open_flags & (FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE);
}

static uint64_t attr_valid(struct client *c, uint64_t node)
{
	const struct fuse_getattr_in in = { 0 };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	struct fuse_attr_out out;
	size_t size;

	CHECK_INT(client_send(c, FUSE_GETATTR, node, parts, 1, &out, sizeof(out), &size), 0);
	CHECK_INT(size, sizeof(out));
	return out.attr_valid;
}

static void check_kept(struct client *c, uint64_t directory)
{
	struct fuse_entry_out entry;
	uint64_t node, fh;

	CHECK_INT(client_lookup(c, directory, "file", &entry), 0);
	CHECK(entry.entry_valid > EVER && entry.attr_valid > EVER);
	CHECK(attr_valid(c, entry.nodeid) > EVER);
	CHECK_INT(open_flags(c, entry.nodeid), FOPEN_KEEP_CACHE);
	CHECK_INT(client_lookup(c, directory, "none", &entry), 0);
	CHECK_INT(entry.nodeid, 0);
	CHECK(entry.entry_valid > EVER);
	CHECK_INT(client_create(c, directory, "new", O_RDWR, 0600, &node, &fh), 0);
	CHECK(attr_valid(c, node) > EVER);
	CHECK_INT(client_release(c, FUSE_RELEASE, node, fh), 0);
	CHECK_INT(client_remove(c, FUSE_UNLINK, directory, "new"), 0);
}

static void check_asked(struct client *c, uint64_t directory)
{
	struct fuse_entry_out entry;

	CHECK_INT(client_lookup(c, directory, "file", &entry), 0);
	CHECK_INT(entry.entry_valid + entry.entry_valid_nsec + entry.attr_valid, 0);
	CHECK_INT(attr_valid(c, entry.nodeid), 0);
	CHECK_INT(open_flags(c, entry.nodeid), FOPEN_DIRECT_IO);
	CHECK_INT(client_lookup(c, directory, "none", &entry), -ENOENT);
}

static void check_watched(struct client *c, uint64_t directory)
{
	struct fuse_entry_out entry;

	CHECK_INT(client_lookup(c, directory, "file", &entry), 0);
	CHECK_INT(entry.entry_valid, 0);
	CHECK_INT(entry.entry_valid_nsec, 1);
	CHECK_INT(entry.attr_valid, 1);
	CHECK_INT(attr_valid(c, entry.nodeid), 1);
	CHECK(!(open_flags(c, entry.nodeid) & FOPEN_DIRECT_IO));
	CHECK_INT(client_lookup(c, directory, "none", &entry), -ENOENT);
}

typedef void (*check_fn)(struct client *c, uint64_t directory);

/* The share, and what is below it. */
static void check_share(struct client *c, const char *name, check_fn check)
{
	_cleanup_free_ char *share = xasprintf("C/%s", name);
	_cleanup_free_ char *below = xasprintf("C/%s/dir", name);

	check(c, client_walk(c, share));
	check(c, client_walk(c, below));
}

static void test_modes(void)
{
	static const struct {
		enum fuse_cache cache;
		check_fn check;
	} plain[] = {
		{ FUSE_CACHE_AUTO, check_watched },
		{ FUSE_CACHE_ALWAYS, check_kept },
		{ FUSE_CACHE_NONE, check_asked },
	};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		struct client c;

		init(&c, plain[i].cache);
		check_share(&c, "kept", check_kept);
		check_share(&c, "asked", check_asked);
		check_share(&c, "watched", check_watched);
		check_share(&c, "plain", plain[i].check);
		done(&c);
	}
}

/* One for all, of which the staging area's names are not. */
static void test_one_mode(void)
{
	struct fuse_entry_out entry;
	struct client c;

	init_by(&c, FUSE_CACHE_ALWAYS, NULL);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "C", &entry), 0);
	CHECK_INT(entry.attr_valid, 1);
	check_share(&c, "plain", check_kept);
	check_share(&c, "asked", check_kept);
	done(&c);
}

/* Shares come and go: nobody believes in the staging area's own names for long. */
static void test_area(void)
{
	struct fuse_entry_out entry;
	struct client c;
	uint64_t area;

	init(&c, FUSE_CACHE_ALWAYS);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "C", &entry), 0);
	CHECK_INT(entry.entry_valid, 1);
	CHECK_INT(entry.attr_valid, 1);
	area = entry.nodeid;
	CHECK_INT(client_lookup(&c, area, "kept", &entry), 0);
	CHECK_INT(entry.entry_valid, 1);
	CHECK(entry.attr_valid > EVER);
	CHECK_INT(client_lookup(&c, area, "later", &entry), -ENOENT);
	/* Not by its name alone: it is not a mount. */
	CHECK_INT(client_lookup(&c, client_walk(&c, "C/bare"), "kept", &entry), 0);
	CHECK_INT(entry.attr_valid, 1);
	CHECK_INT(client_lookup(&c, area, "watched-file", &entry), 0);
	CHECK_INT(entry.attr_valid, 1);
	CHECK(!(open_flags(&c, entry.nodeid) & FOPEN_DIRECT_IO));
	done(&c);
}

/* How many names a directory has, the dots aside. */
static unsigned count_names(struct client *c, uint64_t directory)
{
	char bytes[4096];
	size_t got = 0;
	uint64_t fh;
	unsigned n = 0;

	CHECK_INT(client_opendir(c, directory, &fh), 0);
	{
		const struct fuse_read_in in = { .fh = fh, .size = sizeof(bytes) };
		const struct client_body parts[] = { { &in, sizeof(in) } };

		CHECK_INT(
		    client_send(c, FUSE_READDIR, directory, parts, 1, bytes, sizeof(bytes), &got),
		    0);
	}
	for (size_t at = 0; at < got;) {
		const struct fuse_dirent *dirent = (struct fuse_dirent *)(bytes + at);

		n += dirent->name[0] != '.';
		at += FUSE_DIRENT_SIZE(dirent);
	}
	CHECK_INT(client_release(c, FUSE_RELEASEDIR, directory, fh), 0);
	return n;
}

/* The names of shares are secrets; those in a share are not. */
static void test_hidden(void)
{
	struct client c;

	init(&c, FUSE_CACHE_AUTO);
	CHECK_INT(count_names(&c, FUSE_ROOT_ID), 0);
	CHECK_INT(count_names(&c, client_walk(&c, "C")), 0);
	CHECK_INT(count_names(&c, client_walk(&c, "C/bare")), 0);
	CHECK_INT(count_names(&c, client_walk(&c, "C/kept")), 3);
	done(&c);
}

/* The directory as the guest has it, with a file system of its own; *ret_ino: its number here. */
static struct fuse_attr mounted(struct client *c, const char *share, uint64_t *ret_ino)
{
	_cleanup_free_ char *dir = xasprintf("%s/C/%s/dir", c->dir, share);
	_cleanup_free_ char *path = xasprintf("C/%s", share);
	struct fuse_entry_out entry;
	struct stat st;

	CHECK(mount("other", dir, "tmpfs", 0, NULL) == 0);
	CHECK(stat(dir, &st) == 0);
	*ret_ino = st.st_ino;
	CHECK_INT(client_lookup(c, client_walk(c, path), "dir", &entry), 0);
	CHECK_INT(entry.attr.flags, 0);
	return entry.attr;
}

/* All is one file system to the guest: files of two must not look like one with two links. */
static void test_numbers(void)
{
	struct fuse_attr first, second;
	uint64_t first_ino, second_ino;
	struct client c;

	init(&c, FUSE_CACHE_AUTO);
	CHECK(!(c.init_flags & FUSE_SUBMOUNTS));
	first = mounted(&c, "kept", &first_ino);
	second = mounted(&c, "asked", &second_ino);
	CHECK_INT(first_ino, second_ino);
	CHECK_INT(first.ino, first_ino);
	CHECK(second.ino != second_ino);
	CHECK_INT(second.ino & 0xffffffff, second_ino);
	done(&c);
}

/* A name of a share's within another means nothing. */
static void test_names_below(void)
{
	struct fuse_entry_out entry;
	struct client c;
	uint64_t share;

	init(&c, FUSE_CACHE_AUTO);
	share = client_walk(&c, "C/asked");
	CHECK_INT(client_mkdir(&c, share, "kept", 0700, 0, NULL), 0);
	CHECK_INT(client_lookup(&c, share, "kept", &entry), 0);
	CHECK_INT(entry.entry_valid + entry.attr_valid, 0);
	{
		_cleanup_free_ char *path = xasprintf("%s/C/asked/kept", c.dir);

		CHECK(mount("below", path, "tmpfs", 0, NULL) == 0);
	}
	CHECK_INT(client_lookup(&c, share, "kept", &entry), 0);
	CHECK_INT(entry.entry_valid + entry.attr_valid, 0);
	done(&c);
}

/* Linux gathers writes for a whole device or not at all. */
static void test_session(void)
{
	struct client c;

	init(&c, FUSE_CACHE_ALWAYS);
	CHECK(c.init_flags & FUSE_AUTO_INVAL_DATA && c.init_flags & FUSE_CACHE_SYMLINKS);
	CHECK(!(c.init_flags & (FUSE_WRITEBACK_CACHE | FUSE_EXPLICIT_INVAL_DATA)));
	done(&c);
}

/* Files that are made as they are read, whose sizes say nothing. */
static void test_pseudo_file_systems(void)
{
	static const struct {
		const char *path, *same;
	} files[] = {
		{ "C/kept-proc/version", "/proc/version" },
		{ "C/watched-proc/sys/kernel/ostype", "/proc/sys/kernel/ostype" },
		{ "C/kept-version", "/proc/version" },
		{ "C/kept-sys/kernel/mm/transparent_hugepage/enabled",
		  "/sys/kernel/mm/transparent_hugepage/enabled" },
	};
	_cleanup_free_ char *script = NULL;
	struct error *error = NULL;
	char got[4096];
	uint64_t node;
	struct client c;

	init(&c, FUSE_CACHE_AUTO);
	script = xasprintf("set -e; cd %s/C; touch kept-version; mkdir kept-proc watched-proc "
			   "kept-sys; mount --bind /proc/version kept-version; mount --bind /proc "
			   "kept-proc; mount --bind /proc watched-proc; mount --bind /sys kept-sys",
			   c.dir);
	CHECK(system(script) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *wanted = NULL;
		struct fuse_open_out file;
		size_t size;

		if (access(files[i].same, R_OK) < 0)
			continue;
		CHECK_OK(read_file(files[i].same, sizeof(got), &wanted, &size, &error), &error);
		node = client_walk(&c, files[i].path);
		CHECK_INT(client_open(&c, node, O_RDONLY, &file), 0);
		CHECK_INT(file.open_flags & (FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE), FOPEN_DIRECT_IO);
		CHECK_INT(client_read(&c, node, file.fh, 0, got, sizeof(got)), size);
		CHECK(memcmp(got, wanted, size) == 0);
		CHECK_INT(client_read(&c, node, file.fh, size, got, sizeof(got)), 0);
	}
	/* What is beside it is not touched by that. */
	CHECK_INT(open_flags(&c, client_walk(&c, "C/kept/file")), FOPEN_KEEP_CACHE);
	/* By a guest that knows of no such file. */
	CHECK_INT(created_flags(&c, client_walk(&c, "C/kept-proc"), "uptime"), FOPEN_DIRECT_IO);
	done(&c);
}

static void *look_for_itself(void *data)
{
	struct client *c = data;
	_cleanup_free_ char *pid = xasprintf("%d", (int)getpid());
	_cleanup_free_ char *tid = xasprintf("%d", (int)gettid());
	_cleanup_free_ char *parent = xasprintf("%d", (int)getppid());
	uint64_t proc = client_walk(c, "C/watched-proc");
	struct fuse_entry_out entry;
	struct client own;

	client_clone(&own, c);
	CHECK_INT(client_lookup(&own, proc, parent, &entry), 0);
	CHECK_INT(client_lookup(&own, proc, pid, &entry), -ENOENT);
	CHECK_INT(client_lookup(&own, proc, tid, &entry), -ENOENT);
	client_clone_done(&own);
	return NULL;
}

/* A process may write its own memory by /proc/PID/mem: no guest finds the server's. */
static void test_own_processes(void)
{
	_cleanup_free_ char *script = NULL;
	pthread_t thread;
	struct client c;

	init(&c, FUSE_CACHE_AUTO);
	script = xasprintf("set -e; cd %s/C; mkdir watched-proc; mount --bind /proc watched-proc",
			   c.dir);
	CHECK(system(script) == 0);
	CHECK(pthread_create(&thread, NULL, look_for_itself, &c) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	done(&c);
}

/* Opens the file until there is an error, which is returned. */
static int open_many(struct client *c, uint64_t node, uint64_t *ret_handles, unsigned *ret_n)
{
	struct fuse_open_out file;
	int r;

	*ret_n = 0;
	while ((r = client_open(c, node, O_RDONLY, &file)) == 0) {
		CHECK(*ret_n < FDS_MAX);
		ret_handles[(*ret_n)++] = file.fh;
	}
	return r;
}

/* However many descriptors one or two containers take, another finds some; a container alone gets
 * four fifths. */
static void test_budgets(void)
{
	static const char *const files[] = { "C/plain/file", "D/plain/file", "E/plain/file" };
	static uint64_t handles[ARRAY_SIZE(files)][FDS_MAX];
	unsigned n[ARRAY_SIZE(files)], free = FDS_MAX;
	uint64_t nodes[ARRAY_SIZE(files)];
	struct client c;

	init(&c, FUSE_CACHE_AUTO);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		nodes[i] = client_walk(&c, files[i]);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CHECK_INT(open_many(&c, nodes[i], handles[i], &n[i]), -ENFILE);
		/* (Directories on the way are counted, too.) */
		CHECK(n[i] <= free * 4 / 5 && n[i] + 12 >= free * 4 / 5);
		free -= n[i];
	}
	CHECK_INT(
	    client_lookup(&c, client_walk(&c, "C/plain"), "link", &(struct fuse_entry_out){ 0 }),
	    -ENFILE);
	/* What one gives back serves the others. */
	for (unsigned i = 0; i < n[0]; i++)
		CHECK_INT(client_release(&c, FUSE_RELEASE, nodes[0], handles[0][i]), 0);
	CHECK_INT(open_many(&c, nodes[2], handles[0], &n[0]), -ENFILE);
	CHECK(n[0] > n[2] * 4);
	done(&c);
}

static const struct test_case cases[] = {
	{ "modes", test_modes },
	{ "one mode", test_one_mode },
	{ "area", test_area },
	{ "hidden", test_hidden },
	{ "numbers", test_numbers },
	{ "names below", test_names_below },
	{ "session", test_session },
	{ "pseudo file systems", test_pseudo_file_systems },
	{ "own processes", test_own_processes },
	{ "budgets", test_budgets },
};

TEST_MAIN(cases)
