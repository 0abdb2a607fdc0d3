/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/fuse: what a guest knows costs what it may, and is given back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define FILES 5000
#define FEW_FDS 80 /* a quarter of them for nodes, where there are handles */

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

/* Are there file handles, where the tests work?  (On overlayfs, no.) */
static bool has_handles(const struct client *c)
{
	struct {
		struct file_handle handle;
		char room[MAX_HANDLE_SZ];
	} at = { .handle = { .handle_bytes = MAX_HANDLE_SZ } };
	_cleanup_close_ int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	int mount;

	if (name_to_handle_at(dir, "", &at.handle, &mount, AT_EMPTY_PATH) == 0)
		fd = open_by_handle_at(dir, &at.handle, O_PATH | O_CLOEXEC);
	return fd >= 0;
}

/* More files than descriptors: all are known, each under one number, and used. */
static void test_more_files_than_descriptors(void)
{
	_cleanup_free_ uint64_t *nodes = xcalloc(FILES, sizeof(*nodes));
	struct client c;
	int before;

	client_init(&c, &few);
	if (!has_handles(&c))
		test_skip("no file handles in /tmp");
	make_files(&c, FILES);
	before = count_fds();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < FILES; i++) {
			_cleanup_free_ char *name = xasprintf("%d", i);
			struct fuse_entry_out entry;
			struct fuse_attr attr;

			CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &entry), 0);
			CHECK(round == 0 || nodes[i] == entry.nodeid);
			nodes[i] = entry.nodeid;
			CHECK_INT(client_getattr(&c, entry.nodeid, &attr), 0);
			CHECK_INT(attr.ino, entry.attr.ino);
		}
	CHECK(count_fds() - before <= FEW_FDS / 4);
	for (int i = 0; i < FILES; i++) {
		struct fuse_open_out file;

		CHECK_INT(client_open(&c, nodes[i], O_RDWR, &file), 0);
		CHECK_INT(client_write(&c, nodes[i], file.fh, 0, "x", 1, 0), 1);
		CHECK_INT(client_release(&c, FUSE_RELEASE, nodes[i], file.fh), 0);
	}
	CHECK(count_fds() - before <= FEW_FDS / 4);
	for (int i = 0; i < FILES; i++)
		client_forget(&c, nodes[i], 2);
	CHECK_INT(count_fds(), before);
	client_done(&c);
}

/* Another process that makes and removes files: a reused inode number is often one that
 * is being given away at this moment. */
static pid_t start_churn(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/churn", dir);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (pid == 0) {
		(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		(void)unlink(path);
	}
	return pid;
}

/* Known by its handle and removed, its inode number another's: two files. */
static void test_reused_inode(void)
{
	struct fuse_entry_out old_file, new_file;
	unsigned reused = 0;
	struct fuse_attr attr;
	struct client c;
	pid_t churn;

	client_init(&c, &few);
	if (!has_handles(&c))
		test_skip("no file handles in /tmp");
	churn = start_churn(c.dir);
	make_files(&c, FEW_FDS); /* these take the descriptors */
	for (int i = 0; i < FEW_FDS; i++) {
		_cleanup_free_ char *name = xasprintf("%d", i);

		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, name, &old_file), 0);
	}
	for (int i = 0; i < 200; i++) {
		_cleanup_free_ char *path = xasprintf("%s/f", c.dir);

		CHECK(write_file_atomic(path, "", 0, 0600, NULL) == 0);
		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &old_file), 0);
		CHECK(unlink(path) == 0);
		CHECK_INT(client_getattr(&c, old_file.nodeid, &attr), -ESTALE);
		CHECK(write_file_atomic(path, "", 0, 0600, NULL) == 0);
		CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "f", &new_file), 0);
		CHECK(new_file.nodeid != old_file.nodeid);
		CHECK_INT(client_getattr(&c, old_file.nodeid, &attr), -ESTALE);
		CHECK_INT(client_getattr(&c, new_file.nodeid, &attr), 0);
		reused += new_file.attr.ino == old_file.attr.ino;
		client_forget(&c, old_file.nodeid, 1);
		CHECK_INT(client_getattr(&c, new_file.nodeid, &attr), 0);
		CHECK(unlink(path) == 0);
	}
	CHECK(kill(churn, SIGKILL) == 0);
	CHECK(waitpid(churn, NULL, 0) == churn);
	printf("an inode number was used again %u times\n", reused);
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
	if (!has_handles(&c))
		test_skip("no file handles in /tmp");
	for (; r == 0; n++) {
		_cleanup_free_ char *name = xasprintf("%d", n);

		CHECK(n <= CLIENT_NODES_MAX);
		make_file(&c, n);
		r = client_lookup(&c, FUSE_ROOT_ID, name, &entry);
		last = r == 0 ? entry.nodeid : last;
	}
	CHECK_INT(r, -ENFILE);
	CHECK_INT(n, CLIENT_NODES_MAX); /* the root is one, and the last was too many */
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
	{ "more files than descriptors", test_more_files_than_descriptors },
	{ "reused inode", test_reused_inode },
	{ "removed while open", test_removed_while_open },
	{ "descriptor limit", test_descriptor_limit },
	{ "node limit", test_node_limit },
	{ "nothing left", test_nothing_left },
};

TEST_MAIN(cases)
