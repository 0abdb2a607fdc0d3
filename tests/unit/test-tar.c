/* SPDX-License-Identifier: Apache-2.0 */
/* base: tar streams, and what leads out of a destination. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar-packer.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/test-tar.XXXXXX"; /* each case has its own */

static bool is_set_up;

static void set_up(void)
{
	_cleanup_free_ char *to = NULL;

	CHECK(mkdtemp(directory));
	to = xasprintf("%s/to", directory);
	CHECK(mkdir(to, 0755) == 0);
	is_set_up = true;
}

static char *in(const char *name)
{
	if (!is_set_up)
		set_up();
	return xasprintf("%s/%s", directory, name);
}

static void put(const char *name, const char *text)
{
	_cleanup_free_ char *path = in(name);

	CHECK(write_file_atomic(path, text, strlen(text), 0640, NULL) == 0);
}

static int stream_of(const struct buffer *bytes)
{
	const int fd = memfd_create("tar", 0);

	CHECK(write_all(fd, buffer_data(bytes), buffer_length(bytes)) == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Unpacks these entries, contained, into DIRECTORY/to. */
static int unpack(const struct tar_entry *entries, size_t n, struct error **ret_error)
{
	_cleanup_free_ char *to = in("to");
	const struct tar_unpack unpack = { .destination = to,
					   .is_raw = true,
					   .is_contained = true };
	_cleanup_(buffer_done) struct buffer bytes = { 0 };
	_cleanup_close_ int fd = -1;
	uint64_t left_out;

	for (size_t i = 0; i < n; i++)
		tar_put_entry(&bytes, &entries[i]);
	tar_put_end(&bytes);
	fd = stream_of(&bytes);
	return tar_unpack(fd, &unpack, &left_out, ret_error);
}

static void test_round_trip(void)
{
	static const char beyond_a_field[] =
	    "from/0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789012345678901234567890123456789";
	_cleanup_free_ char *from = in("from"), *to = in("to/tree"), *path = NULL, *text = NULL;
	_cleanup_free_ char *long_name = in(beyond_a_field);
	_cleanup_close_ int fd = memfd_create("tar", 0);
	const struct tar_pack pack = { .source = from, .name = "tree" };
	const struct tar_unpack unpack = { .destination = to, .is_contained = true };
	_cleanup_error_ struct error *error = NULL;
	struct stat st, other;
	uint64_t left_out = 1;

	CHECK(mkdir(from, 0755) == 0 && mkdir(long_name, 0711) == 0);
	put("from/file", "content\n");
	path = xasprintf("%s/link", long_name);
	CHECK(symlink("file", path) == 0);
	CHECK_OK(tar_pack(fd, &pack, &error), &error);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK_OK(tar_unpack(fd, &unpack, &left_out, &error), &error);
	CHECK_INT(left_out, 0);
	free(path);
	path = in("to/tree/file");
	CHECK_OK(read_file(path, 100, &text, NULL, &error), &error);
	CHECK_STRING(text, "content\n");
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
	free(path);
	path = in("from/file");
	CHECK(stat(path, &other) == 0);
	CHECK(st.st_mtim.tv_nsec == other.st_mtim.tv_nsec);
	(void)remove_tree(directory, NULL);
}

/* Nothing of a guest's leads out of the destination. */
static void test_contained(void)
{
	const struct tar_entry up = { .path = (char *)"../out", .mode = S_IFREG | 0644 };
	const struct tar_entry inner = { .path = (char *)"a/../../out", .mode = S_IFREG | 0644 };
	const struct tar_entry link[] = {
		{ .path = (char *)"a", .link = (char *)directory, .mode = S_IFLNK | 0777 },
		{ .path = (char *)"a/out", .mode = S_IFREG | 0644 },
	};
	const struct tar_entry hard[] = {
		{ .path = (char *)"b",
		  .link = (char *)"../from/file",
		  .mode = S_IFREG,
		  .is_hard_link = true },
	};
	const struct tar_entry through[] = {
		{ .path = (char *)"c", .link = (char *)"../from/file", .mode = S_IFLNK | 0777 },
		{ .path = (char *)"c", .mode = S_IFREG | 06755 },
		{ .path = (char *)"/etc/absolute", .mode = S_IFREG | 0600 },
	};
	_cleanup_free_ char *out = in("out"), *c = in("to/c"), *absolute = in("to/etc/absolute");
	_cleanup_error_ struct error *error = NULL;
	struct error *one = NULL;
	struct stat st;

	CHECK_ERROR(unpack(&up, 1, &one), &one, "outside of its tree");
	CHECK_ERROR(unpack(&inner, 1, &one), &one, "outside of its tree");
	CHECK_ERROR(unpack(link, 2, &one), &one, "cannot enter the directory of a/out");
	CHECK_ERROR(unpack(hard, 1, &one), &one, "outside of its tree");
	CHECK_OK(unpack(through, 3, &error), &error);
	CHECK(lstat(c, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0755);
	CHECK(access(absolute, F_OK) == 0);
	CHECK(access(out, F_OK) < 0);
	(void)remove_tree(directory, NULL);
}

static void test_broken(void)
{
	_cleanup_(buffer_done) struct buffer bytes = { 0 };
	_cleanup_free_ char *to = in("to");
	const struct tar_unpack raw = { .destination = to, .is_raw = true };
	const struct tar_entry entry = { .path = (char *)"x", .mode = S_IFREG, .size = 5000 };
	struct error *error = NULL;
	uint64_t left_out;
	int fd;

	tar_put_entry(&bytes, &entry);
	fd = stream_of(&bytes);
	CHECK_ERROR(tar_unpack(fd, &raw, &left_out, &error), &error, "ends too early");
	(void)close(fd);
	buffer_data(&bytes)[0] ^= 1;
	fd = stream_of(&bytes);
	CHECK_ERROR(tar_unpack(fd, &raw, &left_out, &error), &error, "not a tar archive");
	(void)close(fd);
	(void)remove_tree(directory, NULL);
}

/* The names in the stream, with the sizes of files: "a/ a/b=3 .wh.c=0". */
static char *list(int fd)
{
	struct tar_reader reader = { .fd = fd };
	char *text = xstrdup("");
	struct tar_entry entry;
	int result;

	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	while ((result = tar_next(&reader, &entry, NULL)) == 1) {
		char *longer = S_ISDIR(entry.mode)
				   ? xasprintf("%s%s/ ", text, entry.path)
				   : xasprintf("%s%s=%d%s ", text, entry.path, (int)entry.size,
					       entry.link ? entry.link : "");

		free(text);
		text = longer;
		tar_entry_done(&entry);
	}
	CHECK_INT(result, 0);
	(void)close(fd);
	return text;
}

static void check_changes(bool names_only, const char *want)
{
	static const char *const mount_points[] = { "/etc/hosts", "/dev/", "/old/sub/point", NULL };
	_cleanup_free_ char *upper = in("upper"), *merged = in("merged"), *got = NULL;
	_cleanup_close_ int upper_fd = open(upper, O_PATH | O_DIRECTORY);
	_cleanup_close_ int merged_fd = open(merged, O_PATH | O_DIRECTORY);
	const struct tar_changes changes = { .upper = upper_fd,
					     .merged = merged_fd,
					     .mount_points = mount_points,
					     .names_only = names_only };
	struct error *error = NULL;
	const int fd = memfd_create("changes", 0);

	CHECK_OK(tar_pack_changes(fd, &changes, &error), &error);
	got = list(fd);
	CHECK_STRING(got, want);
}

static void make_directory(const char *name)
{
	_cleanup_free_ char *path = in(name);

	CHECK(mkdir(path, 0755) == 0);
}

/* One at a time, as a directory's order is its own.  *what*, from the upper directory, *as* the
 * merged one has it. */
static void test_changes(void)
{
	_cleanup_free_ char *whiteout = in("upper/gone"), *renamed = in("upper/renamed");

	make_directory("upper");
	make_directory("merged");
	check_changes(false, "");
	/* Made for the mounts, and by the user. */
	make_directory("upper/dev");
	make_directory("upper/old");
	make_directory("upper/old/sub");
	make_directory("upper/old/sub/point");
	make_directory("merged/dev");
	make_directory("merged/old");
	make_directory("merged/old/sub");
	check_changes(false, "");
	put("upper/old/sub/.wh.odd", "left out");
	put("upper/old/sub/file", "x");
	put("merged/old/sub/file", "contents");
	check_changes(true, "old/ old/sub/ old/sub/file=0 ");
	check_changes(false, "old/ old/sub/ old/sub/file=8 ");
	(void)remove_tree(directory, NULL);
	/* What only the kernel and root may write. */
	is_set_up = false;
	memcpy(strrchr(directory, '.') + 1, "XXXXXX", 6);
	free(whiteout);
	free(renamed);
	whiteout = in("upper/gone");
	renamed = in("upper/renamed");
	make_directory("upper");
	make_directory("merged");
	if (mknod(whiteout, S_IFCHR, 0) < 0) {
		CHECK(errno == EPERM);
	} else {
		check_changes(true, ".wh.gone=0 ");
		CHECK(unlink(whiteout) == 0);
	}
	make_directory("upper/renamed");
	make_directory("merged/renamed");
	put("merged/renamed/below", "contents");
	check_changes(false, "renamed/ ");
	if (setxattr(renamed, "trusted.overlay.opaque", "y", 1, 0) == 0) {
		check_changes(false, "renamed/ renamed/.wh..wh..opq=0 ");
		CHECK(setxattr(renamed, "trusted.overlay.redirect", "x", 1, 0) == 0);
		check_changes(false, "renamed/ renamed/.wh..wh..opq=0 renamed/below=8 ");
	}
	(void)remove_tree(directory, NULL);
}

/* The link to the program of a process that has ended is there, and leads nowhere: as one that goes
 * between looking and reading. */
static void test_gone_meanwhile(void)
{
	const struct tar_pack pack = { .has_xattrs = true };
	struct packer packer = { .is = &pack, .fd = memfd_create("tar", 0) };
	_cleanup_free_ char *path = NULL, *got = NULL;
	_cleanup_close_ int dir = -1;
	struct error *error = NULL;
	const pid_t pid = fork();
	siginfo_t info;

	if (pid == 0)
		_exit(0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	path = xasprintf("/proc/%d", (int)pid);
	dir = open(path, O_PATH | O_DIRECTORY);
	CHECK_ERROR(packer_put(&packer, dir, "exe", "exe", 0, &error), &error, "exe: No such file");
	CHECK_OK(packer_put(&packer, dir, "exe", "exe", 1, &error), &error);
	CHECK_OK(packer_put(&packer, AT_FDCWD, "/proc/self/exe", "own", 1, &error), &error);
	CHECK_OK(packer_end(&packer, &error), &error);
	got = list(packer.fd);
	CHECK(strncmp(got, "own=0/", strlen("own=0/")) == 0);
	packer_done(&packer);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static const struct test_case cases[] = {
	{ "round_trip", test_round_trip },
	{ "contained", test_contained },
	{ "broken", test_broken },
	{ "changes", test_changes },
	{ "gone_meanwhile", test_gone_meanwhile },
};

TEST_MAIN(cases)
