/* SPDX-License-Identifier: Apache-2.0 */
/* base: tar streams, and what leads out of a destination. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar.h"
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

static const struct test_case cases[] = {
	{ "round_trip", test_round_trip },
	{ "contained", test_contained },
	{ "broken", test_broken },
};

TEST_MAIN(cases)
