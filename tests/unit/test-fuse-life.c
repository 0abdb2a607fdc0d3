/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: what a guest knows costs what it may, and is given back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define FEW_FDS 80

static const struct client_options few = { .cache = FUSE_CACHE_AUTO, .fds_max = FEW_FDS };

static int count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	return n;
}

static void make_file(const struct client *c, int i)
{
	_cleanup_free_ char *path = xasprintf("%s/%d", c->dir, i);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
}

static void make_files(const struct client *c, int n)
{
	for (int i = 0; i < n; i++)
		make_file(c, i);
}

/* One descriptor a file, which a file that is used again does not cost again, and which comes
 * back. */
static void test_descriptors_of_files(void)
{
	uint64_t nodes[FEW_FDS / 2];
	struct client c;
	int before;

	client_init(&c, &few);
	make_files(&c, ARRAY_SIZE(nodes));
	before = count_fds();
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
			_cleanup_free_ char *name = xasprintf("%zu", i);
			struct fuse_entry_out entry;

			CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &entry), 0);
			CHECK(round == 0 || nodes[i] == entry.nodeid);
			nodes[i] = entry.nodeid;
		}
	CHECK_INT(count_fds() - before, ARRAY_SIZE(nodes));
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		client_forget(&c, nodes[i], 2);
	CHECK_INT(count_fds(), before);
	client_done(&c);
}

/* Removed, and another file made that may get its number: the guest knows both. */
static void test_reused_inode(void)
{
	struct fuse_entry_out old_file, new_file;
	struct fuse_attr attr;
	struct client c;

	client_init(&c, &few);
	for (int i = 0; i < 20; i++) {
		_cleanup_free_ char *path = xasprintf("%s/f", c.dir);

		CHECK(write_file_atomic(path, "", 0, 0600, NULL) == 0);
		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &old_file), 0);
		CHECK(unlink(path) == 0);
		CHECK(write_file_atomic(path, "", 0, 0600, NULL) == 0);
		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &new_file), 0);
		CHECK(new_file.nodeid != old_file.nodeid && new_file.attr.ino != old_file.attr.ino);
		CHECK_INT(client_getattr(&c, old_file.nodeid, &attr), 0);
		CHECK_INT(attr.nlink, 0);
		client_forget(&c, old_file.nodeid, 1);
		CHECK_INT(client_getattr(&c, new_file.nodeid, &attr), 0);
		CHECK_INT(attr.nlink, 1);
		client_forget(&c, new_file.nodeid, 1);
		CHECK(unlink(path) == 0);
	}
	client_done(&c);
}

/* A file that is open is there after its removal, however it is known. */
static void test_removed_while_open(void)
{
	struct fuse_setattr_in mode = { .valid = FATTR_MODE, .mode = 0400 };
	struct fuse_attr attr;
	struct client c;

	client_init(&c, &few);
	make_files(&c, FEW_FDS / 4);
	for (int i = 0; i < FEW_FDS / 4; i++) {
		_cleanup_free_ char *name = xasprintf("%d", i);
		struct fuse_entry_out entry;
		struct fuse_open_out file;

		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &entry), 0);
		CHECK_INT(client_open(&c, entry.nodeid, O_RDWR, &file), 0);
		CHECK_INT(client_remove(&c, FUSE_UNLINK, FUSE_ROOT_ID, name), 0);
		CHECK_INT(client_write(&c, entry.nodeid, file.fh, 0, "x", 1, 0), 1);
		CHECK_INT(client_getattr(&c, entry.nodeid, &attr), 0);
		CHECK_INT(attr.nlink, 0);
		CHECK_INT(client_setattr(&c, entry.nodeid, &mode), 0);
		CHECK_INT(client_release(&c, FUSE_RELEASE, entry.nodeid, file.fh), 0);
	}
	client_done(&c);
}

/* Open files are counted: beyond the limit ENFILE, and back. */
static void test_descriptor_limit(void)
{
	struct fuse_entry_out entry;
	struct fuse_open_out files[FEW_FDS + 1];
	int before, n = 0, r = 0;
	struct client c;

	client_init(&c, &few);
	make_files(&c, 1);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "0", &entry), 0);
	before = count_fds();
	while (n <= FEW_FDS && r == 0) {
		r = client_open(&c, entry.nodeid, O_RDONLY, &files[n]);
		n += r == 0;
	}
	CHECK_INT(r, -ENFILE);
	CHECK(n > FEW_FDS / 2);
	for (int i = 0; i < n; i++)
		CHECK_INT(client_release(&c, FUSE_RELEASE, entry.nodeid, files[i].fh), 0);
	CHECK_INT(count_fds(), before);
	CHECK_INT(client_open(&c, entry.nodeid, O_RDONLY, &files[0]), 0);
	/* A reset leaves nothing, whatever was open. */
	fuse_reset(c.server);
	CHECK_INT(count_fds(), before - 1);
	client_done(&c);
}

/* Files known: beyond the limit ENFILE, until some are forgotten. */
static void test_node_limit(void)
{
	struct fuse_entry_out entry;
	uint64_t last = 0;
	struct client c;
	int n = 0, r = 0;

	client_init(&c, &few);
	for (; r == 0; n++) {
		_cleanup_free_ char *name = xasprintf("%d", n);

		CHECK(n <= FEW_FDS);
		make_file(&c, n);
		r = client_lookup(&c, FUSE_ROOT_ID, name, &entry);
		last = r == 0 ? entry.nodeid : last;
	}
	CHECK_INT(r, -ENFILE);
	CHECK_INT(n, FEW_FDS); /* the root is one, and the last was too many */
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "0", &entry), 0);
	client_forget(&c, last, 1);
	make_file(&c, n);
	{
		_cleanup_free_ char *name = xasprintf("%d", n);

		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &entry), 0);
	}
	client_done(&c);
}

/* The whole server gives back what it had (memory: as the sanitizers see). */
static void test_nothing_left(void)
{
	int fds = count_fds();

	for (int round = 0; round < 3; round++) {
		struct client c;

		client_init(&c, &few);
		make_files(&c, 300);
		for (int i = 0; i < 300; i++) {
			_cleanup_free_ char *name = xasprintf("%d", i);
			struct fuse_entry_out entry;
			struct fuse_open_out file;

			if (client_lookup(&c, FUSE_ROOT_ID, name, &entry) == 0 && i % 10 == 0)
				(void)client_open(&c, entry.nodeid, O_RDWR, &file);
		}
		client_done(&c);
		CHECK_INT(count_fds(), fds);
	}
}

static const struct test_case cases[] = {
	{ "descriptors of files", test_descriptors_of_files },
	{ "reused inode", test_reused_inode },
	{ "removed while open", test_removed_while_open },
	{ "descriptor limit", test_descriptor_limit },
	{ "node limit", test_node_limit },
	{ "nothing left", test_nothing_left },
};

TEST_MAIN(cases)
