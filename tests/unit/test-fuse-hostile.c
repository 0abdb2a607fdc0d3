/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: a guest that breaks the rules gets an error, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define OPCODES_MAX 70
#define BODY_MAX 400

static const struct client_options plain = { .cache = FUSE_CACHE_AUTO };

/* A request of so many bytes, all of whose fields are value; the error. */
static int poke(struct client *c, uint32_t opcode, uint64_t node, size_t size, int value,
		size_t room)
{
	struct {
		struct fuse_in_header header;
		char body[BODY_MAX];
	} request = { .header = { .len = (uint32_t)size, .opcode = opcode, .nodeid = node } };
	char reply[sizeof(struct fuse_out_header) + 4096];
	struct fuse_out_header out;
	uint32_t written;

	memset(request.body, value, sizeof(request.body));
	written = client_raw(c, &request, size, reply, room);
	if (written == 0)
		return 0;
	CHECK(written >= sizeof(out) && written <= room);
	memcpy(&out, reply, sizeof(out));
	CHECK_INT(out.len, written);
	CHECK(out.error <= 0 && out.error > -512);
	return out.error;
}

/* Every operation, with every length and little room: nothing breaks. */
static void test_every_form(void)
{
	static const int values[] = { 0, 1, 'a', 0xff };
	static const size_t rooms[] = { 0, 15, 16, 17, 100, 300, 4096 };
	struct client c;
	struct stat st;

	client_init(&c, &plain);
	for (uint32_t opcode = 0; opcode < OPCODES_MAX; opcode++)
		for (size_t size = 0; size <= sizeof(struct fuse_in_header) + BODY_MAX; size += 3)
			for (size_t v = 0; v < ARRAY_SIZE(values); v++)
				(void)poke(&c, opcode, FUSE_ROOT_ID, size, values[v],
					   rooms[(size + v) % ARRAY_SIZE(rooms)]);
	/* The directory itself is where and what it was. */
	CHECK(stat(c.dir, &st) == 0 && S_ISDIR(st.st_mode));
	client_done(&c);
}

static void test_lengths(void)
{
	struct fuse_in_header header = { .len = sizeof(header),
					 .opcode = FUSE_STATFS,
					 .nodeid = 1 };
	struct fuse_write_in write_in = { .size = 100 };
	const struct client_body short_write[] = { { &write_in, sizeof(write_in) }, { "a", 1 } };
	struct fuse_batch_forget_in forget_in = { .count = UINT32_MAX };
	char reply[200], body[70000] = { 0 };
	const struct client_body large[] = { { body, sizeof(body) } };
	struct fuse_out_header out;
	uint64_t node, fh;
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(client_raw(&c, &header, sizeof(header), reply, sizeof(reply)),
		  sizeof(out) + sizeof(struct fuse_statfs_out));
	/* A length that is not the request's; no room for a reply; no whole header. */
	header.len++;
	CHECK_INT(client_raw(&c, &header, sizeof(header), reply, sizeof(reply)), sizeof(out));
	memcpy(&out, reply, sizeof(out));
	CHECK_INT(out.error, -EINVAL);
	header.len--;
	CHECK_INT(client_raw(&c, &header, sizeof(header), reply, sizeof(out) - 1), 0);
	CHECK_INT(client_raw(&c, &header, sizeof(header) - 1, reply, sizeof(reply)), 0);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	write_in.fh = fh;
	CHECK_INT(client_send(&c, FUSE_WRITE, node, short_write, 2, NULL, 8, NULL), -EINVAL);
	write_in.size = UINT32_MAX;
	CHECK_INT(client_send(&c, FUSE_WRITE, node, short_write, 2, NULL, 8, NULL), -EINVAL);
	CHECK_INT(client_send(&c, FUSE_GETATTR, node, large, 1, NULL, 4096, NULL), -E2BIG);
	/* More to forget than there is. */
	memcpy(body, &(struct fuse_in_header){ .len = 56, .opcode = FUSE_BATCH_FORGET }, 40);
	memcpy(body + 40, &forget_in, sizeof(forget_in));
	CHECK_INT(client_raw(&c, body, 56, NULL, 0), 0);
	client_done(&c);
}

/* As many descriptors as a queue has: the request is taken whole, and nothing of what was
 * in the buffer before comes with it. */
static void test_many_descriptors(void)
{
	char before[900] = { 0 }, target[900] = { 0 }, got[1000] = { 0 };
	uint64_t node, fh;
	struct client c;

	memset(before, 's', sizeof(before) - 1);
	for (size_t i = 0; i < sizeof(target) - 1; i++)
		target[i] = (char)('a' + i % 26);
	client_init(&c, &plain);
	CHECK_INT(client_symlink(&c, FUSE_ROOT_ID, "b", before), 0);
	node = client_walk(&c, "b");
	c.piece = 1;
	CHECK_INT(client_symlink(&c, FUSE_ROOT_ID, "link", target), 0);
	{
		_cleanup_free_ char *path = xasprintf("%s/link", c.dir);

		CHECK_INT(readlink(path, got, sizeof(got)), sizeof(target) - 1);
		CHECK(memcmp(got, target, sizeof(target)) == 0);
	}
	/* The reply too. */
	memset(got, 0, sizeof(got));
	CHECK_INT(client_send(&c, FUSE_READLINK, node, NULL, 0, got, sizeof(before), NULL), 0);
	CHECK_STRING(got, before);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(client_write(&c, node, fh, 0, target, sizeof(target), 0), sizeof(target));
	memset(got, 0, sizeof(got));
	CHECK_INT(client_read(&c, node, fh, 0, got, sizeof(target)), sizeof(target));
	CHECK(memcmp(got, target, sizeof(target)) == 0);
	client_done(&c);
}

/* A message that holds less than it says. */
static void test_short_messages(void)
{
	struct {
		struct fuse_in_header header;
		char names[sizeof("link") + sizeof("target")];
	} request = { .header = { .len = sizeof(request),
				  .opcode = FUSE_SYMLINK,
				  .nodeid = FUSE_ROOT_ID },
		      .names = "link\0target" };
	char bytes[1000];
	struct iovec out = { .iov_base = &request, .iov_len = sizeof(request) - 3 };
	struct iovec in = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct fuse_message message = {
		.request = &out,
		.n_request = 1,
		.request_size = sizeof(request),
		.reply = &in,
		.n_reply = 1,
		.reply_size = sizeof(bytes),
	};
	struct fuse_entry_out entry;
	struct fuse_out_header header;
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(fuse_serve(c.server, c.thread, &message), sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	CHECK_INT(header.error, -EIO);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "link", &entry), -ENOENT);
	out.iov_len = sizeof(request.header) - 1;
	CHECK_INT(fuse_serve(c.server, c.thread, &message), 0);
	/* No room for what is to be said: nothing is said to be there. */
	out.iov_len = sizeof(request);
	in.iov_len = sizeof(header);
	CHECK_INT(fuse_serve(c.server, c.thread, &message), 0);
	client_done(&c);
}

static void test_bad_names(void)
{
	static const struct {
		const char *name;
		size_t size;
		int error;
	} names[] = {
		{ ".", 2, -EINVAL },   { "..", 3, -EINVAL },	  { "/", 2, -EINVAL },
		{ "a/b", 4, -EINVAL }, { "../x", 5, -EINVAL },	  { "/etc/passwd", 12, -EINVAL },
		{ "", 1, -ENOENT },    { "unended", 7, -EINVAL }, { "", 0, -EINVAL },
	};
	static const struct {
		uint32_t opcode;
		size_t args;
		unsigned before; /* good names before it */
	} operations[] = {
		{ FUSE_LOOKUP, 0, 0 },
		{ FUSE_UNLINK, 0, 0 },
		{ FUSE_RMDIR, 0, 0 },
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 0 },
		{ FUSE_MKNOD, sizeof(struct fuse_mknod_in), 0 },
		{ FUSE_CREATE, sizeof(struct fuse_create_in), 0 },
		{ FUSE_LINK, sizeof(struct fuse_link_in), 0 },
		{ FUSE_RENAME, sizeof(struct fuse_rename_in), 0 },
		{ FUSE_RENAME, sizeof(struct fuse_rename_in), 1 },
		{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), 1 },
	};
	char zeros[100] = { 0 };
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "good", 0700, 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < ARRAY_SIZE(operations); k++) {
			const struct client_body parts[] = {
				{ zeros, operations[k].args },
				{ "good", operations[k].before ? 5 : 0 },
				{ names[i].name, names[i].size },
			};

			CHECK_INT(client_send(&c, operations[k].opcode, FUSE_ROOT_ID, parts, 3,
					      NULL, 1000, NULL),
				  names[i].error);
		}
	client_done(&c);
}

/* What no guest's kernel passes on, and the filter of the threads has no room for (vmm/share.c). */
static void test_unknown_bits(void)
{
	static const mode_t types[] = { 0, S_IFLNK, S_IFDIR, S_IFSOCK | 010000000 };
	const struct fuse_mkdir_in directory = { .mode = 0xffff01ed };
	const struct client_body mkdir_parts[] = { { &directory, sizeof(directory) }, { "d", 2 } };
	struct fuse_fallocate_in room = { .length = 1, .mode = FALLOC_FL_COLLAPSE_RANGE };
	const struct client_body room_parts[] = { { &room, sizeof(room) } };
	struct fuse_copy_file_range_in copy = { .len = 1, .flags = 1 };
	const struct client_body copy_parts[] = { { &copy, sizeof(copy) } };
	struct fuse_entry_out entry;
	uint64_t node;
	struct client c;

	client_init(&c, &plain);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		CHECK_INT(client_mknod(&c, FUSE_ROOT_ID, "s", types[i] | 0600, 0, NULL), -EINVAL);
	CHECK_INT(
	    client_send(&c, FUSE_MKDIR, FUSE_ROOT_ID, mkdir_parts, 2, &entry, sizeof(entry), NULL),
	    0);
	CHECK((entry.attr.mode & 07777) == 0755);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &room.fh), 0);
	CHECK_INT(client_send(&c, FUSE_FALLOCATE, node, room_parts, 1, NULL, 0, NULL), -EOPNOTSUPP);
	copy.fh_in = copy.fh_out = room.fh;
	copy.nodeid_out = node;
	CHECK_INT(client_send(&c, FUSE_COPY_FILE_RANGE, node, copy_parts, 1, NULL, 64, NULL),
		  -EINVAL);
	client_done(&c);
}

static void test_unknown_numbers(void)
{
	static const uint64_t ids[] = { 0, 2, 1000, UINT64_MAX, 1ULL << 32 | 1 };
	static const uint32_t by_fh[] = { FUSE_READ,  FUSE_RELEASE,   FUSE_FSYNC,  FUSE_FLUSH,
					  FUSE_LSEEK, FUSE_FALLOCATE, FUSE_READDIR };
	struct fuse_attr attr;
	uint64_t node, fh, dir_fh;
	char bytes[64];
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(client_opendir(&c, FUSE_ROOT_ID, &dir_fh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (ids[i] == node)
			continue;
		CHECK_INT(client_getattr(&c, ids[i], &attr), -ESTALE);
		CHECK_INT(client_rename(&c, FUSE_ROOT_ID, "f", ids[i], "g", 0), -ESTALE);
		CHECK_INT(client_link(&c, ids[i], FUSE_ROOT_ID, "g"), -ESTALE);
		client_forget(&c, ids[i], UINT64_MAX);
		for (size_t k = 0; k < ARRAY_SIZE(by_fh); k++)
			if (by_fh[k] != FUSE_RELEASE)
				CHECK(poke(&c, by_fh[k], node, 80, 0x77, 4096) < 0);
	}
	/* A handle of the other kind; released twice. */
	CHECK_INT(client_read(&c, node, dir_fh, 0, bytes, sizeof(bytes)), -EBADF);
	CHECK_INT(client_write(&c, node, dir_fh, 0, bytes, sizeof(bytes), 0), -EBADF);
	CHECK_INT(client_release(&c, FUSE_RELEASE, node, fh), 0);
	CHECK_INT(client_release(&c, FUSE_RELEASE, node, fh), 0);
	CHECK_INT(client_read(&c, node, fh, 0, bytes, sizeof(bytes)), -EBADF);
	/* Forgotten more often than known; the root is never forgotten. */
	client_forget(&c, node, 1);
	client_forget(&c, node, 1);
	CHECK_INT(client_getattr(&c, node, &attr), -ESTALE);
	client_forget(&c, FUSE_ROOT_ID, UINT64_MAX);
	CHECK_INT(client_getattr(&c, FUSE_ROOT_ID, &attr), 0);
	client_done(&c);
}

static void test_session(void)
{
	const struct client_options options = { .without_init = true };
	struct fuse_init_out out;
	struct fuse_attr attr;
	uint64_t node, fh;
	struct client c;

	client_init(&c, &options);
	CHECK_INT(client_getattr(&c, FUSE_ROOT_ID, &attr), -EIO);
	CHECK_INT(client_init_session(&c, 30, 0, &out), -EPROTO);
	CHECK_INT(client_getattr(&c, FUSE_ROOT_ID, &attr), -EIO);
	CHECK_INT(client_init_session(&c, 31, 0, &out), 0);
	CHECK_INT(out.flags, 0);
	CHECK_INT(out.minor, FUSE_KERNEL_MINOR_VERSION);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	/* A new session knows nothing of the one before. */
	CHECK_INT(client_init_session(&c, 38, UINT32_MAX, &out), 0);
	CHECK(out.flags & FUSE_MAX_PAGES && !(out.flags & FUSE_WRITEBACK_CACHE));
	CHECK_INT(client_getattr(&c, node, &attr), -ESTALE);
	CHECK_INT(client_read(&c, node, fh, 0, NULL, 0), -EBADF);
	CHECK_INT(client_send(&c, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), 0);
	CHECK_INT(client_getattr(&c, FUSE_ROOT_ID, &attr), -EIO);
	client_done(&c);
}

/* Whatever would change something. */
static void test_readonly(void)
{
	const struct client_options options = { .readonly = true, .cache = FUSE_CACHE_ALWAYS };
	static const uint32_t operations[] = {
		FUSE_SETATTR,	FUSE_SYMLINK,	  FUSE_MKNOD,		FUSE_MKDIR,
		FUSE_UNLINK,	FUSE_RMDIR,	  FUSE_RENAME,		FUSE_LINK,
		FUSE_WRITE,	FUSE_SETXATTR,	  FUSE_RENAME2,		FUSE_CREATE,
		FUSE_FALLOCATE, FUSE_REMOVEXATTR, FUSE_COPY_FILE_RANGE, FUSE_TMPFILE,
	};
	const struct fuse_access_in access_in = { .mask = W_OK };
	const struct client_body parts[] = { { &access_in, sizeof(access_in) } };
	struct fuse_open_out file;
	struct client c;
	uint64_t node;
	char bytes[8];

	client_init(&c, &options);
	CHECK(!(c.init_flags & FUSE_WRITEBACK_CACHE));
	{
		_cleanup_free_ char *path = xasprintf("%s/f", c.dir);

		CHECK(write_file_atomic(path, "text", 4, 0666, NULL) == 0);
	}
	node = client_walk(&c, "f");
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		CHECK_INT(poke(&c, operations[i], node, 300, 'a', 300), -EROFS);
	CHECK_INT(client_open(&c, node, O_RDWR, &file), -EROFS);
	CHECK_INT(client_open(&c, node, O_WRONLY, &file), -EROFS);
	CHECK_INT(client_open(&c, node, O_RDONLY | O_TRUNC, &file), -EROFS);
	CHECK_INT(client_send(&c, FUSE_ACCESS, node, parts, 1, NULL, 0, NULL), -EROFS);
	CHECK_INT(client_open(&c, node, O_RDONLY, &file), 0);
	CHECK_INT(client_read(&c, node, file.fh, 0, bytes, sizeof(bytes)), 4);
	client_done(&c);
}

/* ---- a host (or another guest) that changes names meanwhile ---- */

struct swapper {
	char *share, *outside;
	_Atomic bool stop;
};

/* "d" is a directory, a link to the outside, a directory, … */
static void *swap_names(void *data)
{
	struct swapper *swapper = data;
	_cleanup_free_ char *d = xasprintf("%s/d", swapper->share);
	_cleanup_free_ char *away = xasprintf("%s/away", swapper->share);

	while (!atomic_load(&swapper->stop)) {
		CHECK(rename(d, away) == 0);
		CHECK(symlink(swapper->outside, d) == 0);
		CHECK(unlink(d) == 0);
		CHECK(rename(away, d) == 0);
	}
	return NULL;
}

static void test_renaming_host(void)
{
	char outside[] = "/tmp/fuse-outside-XXXXXX";
	struct swapper swapper = { .outside = mkdtemp(outside) };
	_cleanup_free_ char *secret = xasprintf("%s/f", outside);
	_cleanup_free_ char *planted = xasprintf("%s/planted", outside);
	unsigned opened = 0, links = 0;
	pthread_t thread;
	struct client c;

	client_init(&c, &plain);
	swapper.share = c.dir;
	CHECK(write_file_atomic(secret, "secret", 6, 0666, NULL) == 0);
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "d", 0700, 0, NULL), 0);
	CHECK(pthread_create(&thread, NULL, swap_names, &swapper) == 0);
	for (int i = 0; i < 20000; i++) {
		struct fuse_entry_out entry;
		uint64_t node, fh;

		if (client_lookup(&c, FUSE_ROOT_ID, "d", &entry) < 0)
			continue;
		links += S_ISLNK(entry.attr.mode);
		/* Never the file behind the link, never a file behind it. */
		CHECK(client_lookup(&c, entry.nodeid, "f", &entry) < 0);
		if (client_create(&c, entry.nodeid, "planted", O_RDWR, 0600, &node, &fh) < 0)
			continue;
		opened++;
		CHECK_INT(client_release(&c, FUSE_RELEASE, node, fh), 0);
	}
	atomic_store(&swapper.stop, true);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(access(planted, F_OK) < 0 && errno == ENOENT);
	CHECK(opened > 0 && links > 0);
	client_done(&c);
	CHECK(remove_tree(outside, NULL) == 0);
}

static const struct test_case cases[] = {
	{ "every form", test_every_form },
	{ "lengths", test_lengths },
	{ "many descriptors", test_many_descriptors },
	{ "short messages", test_short_messages },
	{ "bad names", test_bad_names },
	{ "unknown bits", test_unknown_bits },
	{ "unknown numbers", test_unknown_numbers },
	{ "session", test_session },
	{ "read-only", test_readonly },
	{ "renaming host", test_renaming_host },
};

TEST_MAIN(cases)
