/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: reading directories, caching modes, locks, and the rarer calls. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define PAGE 4096
#define FILES 300

static const struct client_options plain = { .cache = FUSE_CACHE_AUTO };
static const struct client_options locking = { .cache = FUSE_CACHE_AUTO, .host_locks = true };

static void host_write(const struct client *c, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", c->dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
}

static int host_open(const struct client *c, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", c->dir, name);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* ---- directories ---- */

struct listing {
	bool seen[FILES];
	unsigned n, dots;
	uint64_t offsets[FILES + 2];
	uint64_t nodes[FILES];
};

static void note(struct listing *listing, const struct fuse_dirent *dirent, uint64_t node)
{
	char name[NAME_MAX + 1] = "";

	CHECK(dirent->namelen <= NAME_MAX);
	memcpy(name, dirent->name, dirent->namelen);
	CHECK_INT(strlen(name), dirent->namelen);
	listing->offsets[listing->n++] = dirent->off;
	if (name[0] == '.') {
		CHECK_INT(dirent->type, S_IFDIR >> 12);
		CHECK_INT(node, 0);
		listing->dots++;
		return;
	}
	CHECK_INT(dirent->type, S_IFREG >> 12);
	CHECK(!listing->seen[atoi(name)]);
	listing->seen[atoi(name)] = true;
	listing->nodes[atoi(name)] = node;
}

/* One reply; the offset to go on from, or the same at the end. */
static uint64_t read_some(struct client *c, uint32_t opcode, uint64_t fh, uint64_t offset,
			  uint32_t size, struct listing *listing)
{
	const struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	bool plus = opcode == FUSE_READDIRPLUS;
	char bytes[65536];
	size_t got = 0;

	CHECK_INT(client_send(c, opcode, FUSE_ROOT_ID, parts, 1, bytes, size, &got), 0);
	CHECK(got <= size);
	for (size_t at = 0; at < got;) {
		const struct fuse_direntplus *entry = (struct fuse_direntplus *)(bytes + at);
		const struct fuse_dirent *dirent =
		    plus ? &entry->dirent : (struct fuse_dirent *)(bytes + at);

		CHECK(at + (plus ? FUSE_DIRENTPLUS_SIZE(entry) : FUSE_DIRENT_SIZE(dirent)) <= got);
		note(listing, dirent, plus ? entry->entry_out.nodeid : 0);
		if (plus && entry->entry_out.nodeid)
			CHECK_INT(entry->entry_out.attr.ino, dirent->ino);
		offset = dirent->off;
		at += plus ? FUSE_DIRENTPLUS_SIZE(entry) : FUSE_DIRENT_SIZE(dirent);
	}
	return offset;
}

static void list(struct client *c, uint32_t opcode, uint64_t fh, uint32_t size,
		 struct listing *ret_listing)
{
	uint64_t offset = 0, next;

	memset(ret_listing, 0, sizeof(*ret_listing));
	while ((next = read_some(c, opcode, fh, offset, size, ret_listing)) != offset)
		offset = next;
	CHECK_INT(ret_listing->n, FILES + 2);
	CHECK_INT(ret_listing->dots, 2);
}

static void test_directories(void)
{
	static const uint32_t sizes[] = { 500, PAGE, 65000 };
	struct listing listing, again;
	struct client c;
	uint64_t fh;

	client_init(&c, &plain);
	for (int i = 0; i < FILES; i++) {
		_cleanup_free_ char *name = xasprintf("%d", i);

		host_write(&c, name, "");
	}
	CHECK_INT(client_opendir(&c, FUSE_ROOT_ID, &fh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		list(&c, FUSE_READDIR, fh, sizes[i], &listing);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* A whole entry with a name of one byte needs 160. */
		list(&c, FUSE_READDIRPLUS, fh, sizes[i] * 3 > 65000 ? 65000 : sizes[i] * 3, &again);
		for (int k = 0; k < FILES; k++)
			client_forget(&c, again.nodes[k], 1);
	}
	/* From the middle, as telldir() and seekdir() do. */
	memset(&again, 0, sizeof(again));
	(void)read_some(&c, FUSE_READDIR, fh, listing.offsets[100], 65000, &again);
	CHECK_INT(again.n, FILES + 2 - 101);
	CHECK_INT(again.offsets[0], listing.offsets[101]);
	CHECK_INT(client_release(&c, FUSE_RELEASEDIR, FUSE_ROOT_ID, fh), 0);
	client_done(&c);
}

/* Each entry of READDIRPLUS was a lookup: forgotten once, it is gone. */
static void test_directory_lookups(void)
{
	struct listing listing = { 0 };
	struct fuse_attr attr;
	struct client c;
	uint64_t fh;

	client_init(&c, &plain);
	host_write(&c, "7", "");
	CHECK_INT(client_opendir(&c, FUSE_ROOT_ID, &fh), 0);
	(void)read_some(&c, FUSE_READDIRPLUS, fh, 0, 65000, &listing);
	CHECK_INT(client_getattr(&c, listing.nodes[7], &attr), 0);
	client_forget(&c, listing.nodes[7], 1);
	CHECK_INT(client_getattr(&c, listing.nodes[7], &attr), -ESTALE);
	client_done(&c);
}

/* ---- cache modes ---- */

static uint32_t open_flags(struct client *c, uint64_t node)
{
	struct fuse_open_out file;

	CHECK_INT(client_open(c, node, O_RDONLY, &file), 0);
	CHECK_INT(client_release(c, FUSE_RELEASE, node, file.fh), 0);
	return file.open_flags & ~(uint32_t)FOPEN_NOFLUSH;
}

static void test_cache_auto(void)
{
	struct fuse_entry_out entry;
	uint64_t node, written;
	struct client c;
	uint32_t flags;

	client_init(&c, &plain);
	CHECK(c.init_flags & FUSE_AUTO_INVAL_DATA);
	CHECK(!(c.init_flags & (FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS)));
	CHECK(!(c.init_flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)));
	host_write(&c, "f", "1");
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "d", 0700, 0, NULL), 0);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "d", &entry), 0);
	CHECK_INT(entry.entry_valid, 1);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &entry), 0);
	/* One tick: see test-fuse-fresh.c. */
	CHECK_INT(entry.entry_valid, 0);
	CHECK_INT(entry.entry_valid_nsec, 1);
	CHECK_INT(entry.attr_valid, 1);
	node = entry.nodeid;
	CHECK_INT(open_flags(&c, node), 0);
	(void)usleep(250000);
	(void)open_flags(&c, node);
	CHECK_INT(open_flags(&c, node), FOPEN_KEEP_CACHE);
	CHECK_INT(open_flags(&c, node), FOPEN_KEEP_CACHE);
	written = clock_monotonic_ns();
	host_write(&c, "f", "2");
	CHECK_INT(open_flags(&c, node), 0);
	/* Just written: nobody can tell whether it will be again in the same tick. */
	flags = open_flags(&c, node);
	CHECK(flags == 0 || clock_monotonic_ns() - written >= 90000000);
	client_done(&c);
}

static void test_cache_always(void)
{
	const struct client_options options = { .cache = FUSE_CACHE_ALWAYS };
	struct fuse_entry_out entry;
	struct fuse_open_out file;
	struct client c;

	client_init(&c, &options);
	CHECK(c.init_flags & FUSE_WRITEBACK_CACHE && c.init_flags & FUSE_CACHE_SYMLINKS);
	CHECK(!(c.init_flags & FUSE_AUTO_INVAL_DATA));
	host_write(&c, "f", "1");
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &entry), 0);
	CHECK(entry.entry_valid > 1000000 && entry.attr_valid > 1000000);
	CHECK_INT(open_flags(&c, entry.nodeid), FOPEN_KEEP_CACHE);
	/* The guest reads what it changes in part, and knows where the end is. */
	CHECK_INT(client_open(&c, entry.nodeid, O_WRONLY | O_APPEND, &file), 0);
	CHECK_INT(client_write(&c, entry.nodeid, file.fh, 0, "2", 1, FUSE_WRITE_CACHE), 1);
	{
		char byte;

		CHECK_INT(client_read(&c, entry.nodeid, file.fh, 0, &byte, 1), 1);
		CHECK_INT(byte, '2');
	}
	/* A hole of the host's may be none of the guest's. */
	{
		const struct fuse_lseek_in seek = { .fh = file.fh, .whence = SEEK_DATA };
		const struct client_body parts[] = { { &seek, sizeof(seek) } };

		CHECK_INT(client_send(&c, FUSE_LSEEK, entry.nodeid, parts, 1, NULL, 8, NULL),
			  -ENOSYS);
	}
	/* That there is none may be kept too. */
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "none", &entry), 0);
	CHECK_INT(entry.nodeid, 0);
	client_done(&c);
}

static void test_cache_none(void)
{
	const struct client_options options = { .cache = FUSE_CACHE_NONE };
	struct fuse_entry_out entry;
	struct client c;

	client_init(&c, &options);
	host_write(&c, "f", "1");
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &entry), 0);
	CHECK_INT(entry.entry_valid + entry.attr_valid, 0);
	CHECK_INT(open_flags(&c, entry.nodeid), FOPEN_DIRECT_IO);
	client_done(&c);
}

/* ---- locks ---- */

static struct fuse_lk_in lock_of(uint64_t fh, uint64_t owner, uint32_t type, uint64_t start,
				 uint64_t end)
{
	return (struct fuse_lk_in){ .fh = fh,
				    .owner = owner,
				    .lk = { .type = type, .start = start, .end = end } };
}

static int set_lock(struct client *c, uint64_t node, uint64_t fh, uint64_t owner, uint32_t type,
		    uint64_t start, uint64_t end)
{
	const struct fuse_lk_in in = lock_of(fh, owner, type, start, end);

	return client_lock(c, FUSE_SETLK, node, &in, NULL);
}

static int host_lock(int fd, short type, off_t start, off_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static void test_posix_locks(void)
{
	struct fuse_lk_in in;
	struct fuse_lk_out out;
	uint64_t node, fh;
	struct client c;
	int fd;

	client_init(&c, &locking);
	CHECK(c.init_flags & FUSE_POSIX_LOCKS && c.init_flags & FUSE_FLOCK_LOCKS);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	fd = host_open(&c, "f");
	/* Two owners of the guest, and the host. */
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 0, 9), 0);
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 5, 14), 0);
	CHECK_INT(set_lock(&c, node, fh, 2, F_RDLCK, 9, 9), -EAGAIN);
	CHECK_INT(set_lock(&c, node, fh, 2, F_RDLCK, 15, INT64_MAX), 0);
	CHECK_INT(host_lock(fd, F_RDLCK, 0, 1), -EAGAIN);
	CHECK_INT(host_lock(fd, F_RDLCK, 20, 1), 0);
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 20, 20), -EAGAIN);
	in = lock_of(fh, 3, F_WRLCK, 3, 100);
	CHECK_INT(client_lock(&c, FUSE_GETLK, node, &in, &out), 0);
	CHECK_INT(out.lk.type, F_WRLCK);
	CHECK_INT(out.lk.start, 0);
	CHECK_INT(out.lk.end, 14);
	in = lock_of(fh, 2, F_RDLCK, 15, 100);
	CHECK_INT(client_lock(&c, FUSE_GETLK, node, &in, &out), 0);
	CHECK_INT(out.lk.type, F_UNLCK);
	CHECK_INT(set_lock(&c, node, fh, 1, F_UNLCK, 0, INT64_MAX), 0);
	CHECK_INT(set_lock(&c, node, fh, 2, F_WRLCK, 0, 0), 0);
	/* close() lets go of all that the owner had. */
	{
		const struct fuse_flush_in flush = { .fh = fh, .lock_owner = 2 };
		const struct client_body parts[] = { { &flush, sizeof(flush) } };

		CHECK_INT(client_send(&c, FUSE_FLUSH, node, parts, 1, NULL, 0, NULL), 0);
	}
	CHECK_INT(host_lock(fd, F_WRLCK, 0, 0), 0);
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 5, 4), -EINVAL);
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 0, UINT64_MAX), -EINVAL);
	CHECK_INT(set_lock(&c, node, fh, 1, 99, 0, 1), -EINVAL);
	CHECK_INT(set_lock(&c, node, 12345, 1, F_WRLCK, 0, 1), -EBADF);
	(void)close(fd);
	client_done(&c);
}

static void test_flock(void)
{
	struct fuse_open_out first, second;
	struct fuse_lk_in in;
	struct client c;
	uint64_t node;
	int fd;

	client_init(&c, &locking);
	host_write(&c, "f", "");
	node = client_walk(&c, "f");
	fd = host_open(&c, "f");
	CHECK_INT(client_open(&c, node, O_RDONLY, &first), 0);
	CHECK_INT(client_open(&c, node, O_RDONLY, &second), 0);
	in = lock_of(first.fh, 1, F_WRLCK, 0, INT64_MAX);
	in.lk_flags = FUSE_LK_FLOCK;
	CHECK_INT(client_lock(&c, FUSE_SETLK, node, &in, NULL), 0);
	CHECK(flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	in.fh = second.fh;
	CHECK_INT(client_lock(&c, FUSE_SETLK, node, &in, NULL), -EAGAIN);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	/* Its release lets the one that waits have it. */
	CHECK_INT(client_release(&c, FUSE_RELEASE, node, first.fh), 0);
	CHECK_INT(client_completed().count, 1);
	CHECK_INT(client_completed().header.error, 0);
	CHECK_INT(client_completed().header.unique, c.unique - 1);
	CHECK(flock(fd, LOCK_SH | LOCK_NB) < 0);
	(void)close(fd);
	client_done(&c);
}

static void expect_timer(struct client *c)
{
	struct pollfd timer = { .fd = fuse_timer_fd(c->server), .events = POLLIN };

	CHECK_INT(poll(&timer, 1, 5000), 1);
	fuse_expired(c->server);
}

static void test_waiting_for_locks(void)
{
	struct fuse_interrupt_in interrupt;
	struct fuse_lk_in in;
	uint64_t node, fh;
	struct client c;
	int fd;

	client_init(&c, &locking);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	fd = host_open(&c, "f");
	/* This guest's own lock is given back: at once. */
	CHECK_INT(set_lock(&c, node, fh, 1, F_WRLCK, 0, 9), 0);
	in = lock_of(fh, 2, F_WRLCK, 0, 9);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	CHECK_INT(client_completed().count, 0);
	CHECK_INT(set_lock(&c, node, fh, 1, F_UNLCK, 0, 9), 0);
	CHECK_INT(client_completed().count, 1);
	CHECK_INT(client_completed().header.error, 0);
	CHECK_INT(set_lock(&c, node, fh, 2, F_UNLCK, 0, 9), 0);
	/* The host's: by the timer. */
	CHECK_INT(host_lock(fd, F_WRLCK, 0, 0), 0);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	expect_timer(&c);
	CHECK_INT(client_completed().count, 1);
	CHECK_INT(host_lock(fd, F_UNLCK, 0, 0), 0);
	expect_timer(&c);
	CHECK_INT(client_completed().count, 2);
	CHECK_INT(client_completed().header.error, 0);
	CHECK_INT(host_lock(fd, F_WRLCK, 0, 0), -EAGAIN);
	/* Interrupted. */
	in.owner = 3;
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	interrupt.unique = c.unique;
	{
		struct {
			struct fuse_in_header header;
			struct fuse_interrupt_in in;
		} request = { .header = { .len = sizeof(request), .opcode = FUSE_INTERRUPT },
			      .in = interrupt };

		CHECK_INT(client_raw(&c, &request, sizeof(request), NULL, 0), 0);
	}
	CHECK_INT(client_completed().count, 3);
	CHECK_INT(client_completed().header.error, -EINTR);
	CHECK_INT(client_completed().header.unique, interrupt.unique);
	/* A reset ends all waiting. */
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	fuse_reset(c.server);
	CHECK_INT(client_completed().count, 4);
	CHECK_INT(host_lock(fd, F_WRLCK, 0, 0), 0);
	(void)close(fd);
	client_done(&c);
}

#define CIRCLE 300

/* A circle of more than a queue of 256 could hold. */
static void test_long_deadlock(void)
{
	struct fuse_lk_in in;
	uint64_t node, fh;
	struct client c;

	client_init(&c, &locking);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	for (uint64_t i = 0; i < CIRCLE; i++)
		CHECK_INT(set_lock(&c, node, fh, i + 1, F_WRLCK, i, i), 0);
	/* Each waits for the next, which does not wait yet. */
	for (uint64_t i = 0; i < CIRCLE; i++) {
		in = lock_of(fh, i + 1, F_WRLCK, (i + 1) % CIRCLE, (i + 1) % CIRCLE);
		CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL),
			  i + 1 < CIRCLE ? CLIENT_KEPT : -EDEADLK);
	}
	client_done(&c);
}

/* Who would wait for itself is told so; who waits for one that waits is not. */
static void test_deadlocks(void)
{
	struct fuse_lk_out out;
	struct fuse_lk_in in;
	uint64_t node, fh;
	struct client c;

	client_init(&c, &locking);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	for (uint64_t owner = 1; owner <= 4; owner++) {
		in = lock_of(fh, owner, F_WRLCK, owner * 10, owner * 10 + 9);
		in.lk.pid = 100 + (uint32_t)owner;
		CHECK_INT(client_lock(&c, FUSE_SETLK, node, &in, NULL), 0);
	}
	in = lock_of(fh, 1, F_RDLCK, 20, 20);
	CHECK_INT(client_lock(&c, FUSE_GETLK, node, &in, &out), 0);
	CHECK_INT(out.lk.pid, 102);
	/* 1 → 2 → 3, and 4 → 2; then 3 → 1 closes a circle. */
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	in = lock_of(fh, 2, F_WRLCK, 30, 30);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	in = lock_of(fh, 4, F_WRLCK, 25, 26);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	in = lock_of(fh, 3, F_RDLCK, 10, 11);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), -EDEADLK);
	/* 3 → 4 does too: 4 waits for 2, which waits for 3. */
	in = lock_of(fh, 3, F_RDLCK, 40, 40);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), -EDEADLK);
	CHECK_INT(client_completed().count, 0);
	CHECK_INT(set_lock(&c, node, fh, 3, F_UNLCK, 0, INT64_MAX), 0);
	CHECK_INT(client_completed().count, 1); /* 2 has it */
	CHECK_INT(set_lock(&c, node, fh, 2, F_UNLCK, 0, INT64_MAX), 0);
	CHECK_INT(client_completed().count, 3);
	fuse_reset(c.server);
	CHECK_INT(client_init_session(&c, 38, UINT32_MAX, &(struct fuse_init_out){ 0 }), 0);
	/* Two readers who both want to write. */
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "g", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(set_lock(&c, node, fh, 1, F_RDLCK, 0, INT64_MAX), 0);
	CHECK_INT(set_lock(&c, node, fh, 2, F_RDLCK, 0, INT64_MAX), 0);
	in = lock_of(fh, 1, F_WRLCK, 0, INT64_MAX);
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), CLIENT_KEPT);
	in.owner = 2;
	CHECK_INT(client_lock(&c, FUSE_SETLKW, node, &in, NULL), -EDEADLK);
	CHECK_INT(set_lock(&c, node, fh, 2, F_UNLCK, 0, INT64_MAX), 0);
	CHECK_INT(client_completed().count, 4);
	CHECK_INT(client_completed().header.error, 0);
	client_done(&c);
}

/* ---- the rest ---- */

static void test_data_calls(void)
{
	struct fuse_fallocate_in allocate = { .offset = 0, .length = 100000 };
	struct fuse_lseek_in seek = { .offset = 0, .whence = SEEK_HOLE };
	struct fuse_copy_file_range_in copy = { .len = UINT64_MAX >> 1 };
	const struct client_body allocate_parts[] = { { &allocate, sizeof(allocate) } };
	const struct client_body seek_parts[] = { { &seek, sizeof(seek) } };
	const struct client_body copy_parts[] = { { &copy, sizeof(copy) } };
	struct fuse_fsync_in sync = { .fsync_flags = 1 };
	const struct client_body sync_parts[] = { { &sync, sizeof(sync) } };
	const struct client_body syncfs_parts[] = { { &(uint64_t){ 0 }, 8 } };
	uint64_t node, fh, other, other_fh, tmp, tmp_fh;
	struct fuse_lseek_out where;
	struct fuse_write_out written;
	struct fuse_attr attr;
	struct client c;
	char bytes[5];

	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "g", O_RDWR, 0600, &other, &other_fh), 0);
	allocate.fh = seek.fh = copy.fh_in = sync.fh = fh;
	copy.fh_out = other_fh;
	CHECK_INT(client_write(&c, node, fh, 0, "hello", 5, 0), 5);
	CHECK_INT(client_send(&c, FUSE_LSEEK, node, seek_parts, 1, &where, 8, NULL), 0);
	CHECK_INT(where.offset, 5);
	seek.whence = SEEK_SET;
	CHECK_INT(client_send(&c, FUSE_LSEEK, node, seek_parts, 1, &where, 8, NULL), -EINVAL);
	CHECK_INT(client_send(&c, FUSE_COPY_FILE_RANGE, node, copy_parts, 1, &written, 8, NULL), 0);
	CHECK_INT(written.size, 5);
	CHECK_INT(client_read(&c, other, other_fh, 0, bytes, 5), 5);
	CHECK(memcmp(bytes, "hello", 5) == 0);
	CHECK_INT(client_send(&c, FUSE_FALLOCATE, node, allocate_parts, 1, NULL, 0, NULL), 0);
	CHECK_INT(client_getattr(&c, node, &attr), 0);
	CHECK_INT(attr.size, 100000);
	allocate.mode = 1U << 30;
	CHECK_INT(client_send(&c, FUSE_FALLOCATE, node, allocate_parts, 1, NULL, 0, NULL),
		  -EOPNOTSUPP);
	CHECK_INT(client_send(&c, FUSE_FSYNC, node, sync_parts, 1, NULL, 0, NULL), 0);
	CHECK_INT(client_send(&c, FUSE_SYNCFS, FUSE_ROOT_ID, syncfs_parts, 1, NULL, 0, NULL), 0);
	/* A file without a name, which gets one. */
	{
		const struct fuse_create_in in = { .flags = O_RDWR, .mode = S_IFREG | 0644 };
		const struct client_body parts[] = { { &in, sizeof(in) }, { "/", 2 } };
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		} out;
		int r =
		    client_send(&c, FUSE_TMPFILE, FUSE_ROOT_ID, parts, 2, &out, sizeof(out), NULL);

		if (r == -EOPNOTSUPP)
			test_skip("no O_TMPFILE in /tmp");
		CHECK_INT(r, 0);
		tmp = out.entry.nodeid;
		tmp_fh = out.open.fh;
	}
	CHECK_INT(client_write(&c, tmp, tmp_fh, 0, "x", 1, 0), 1);
	CHECK_INT(client_link(&c, tmp, FUSE_ROOT_ID, "named"), 0);
	CHECK_INT(client_walk(&c, "named"), tmp);
	client_done(&c);
}

static const struct test_case cases[] = {
	{ "directories", test_directories },
	{ "directory lookups", test_directory_lookups },
	{ "cache auto", test_cache_auto },
	{ "cache always", test_cache_always },
	{ "cache none", test_cache_none },
	{ "POSIX locks", test_posix_locks },
	{ "flock", test_flock },
	{ "waiting for locks", test_waiting_for_locks },
	{ "deadlocks", test_deadlocks },
	{ "long deadlock", test_long_deadlock },
	{ "data calls", test_data_calls },
};

TEST_MAIN(cases)
