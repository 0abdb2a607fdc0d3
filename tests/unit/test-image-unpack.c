/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: a layer's archive as an image, beside what tar(1) makes of it. */
#include "rootfs/image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/rootfs-tree.h"
#include "tests/unit/tar-maker.h"
#include "tests/unit/test.h"

#define MIB (1ULL << 20)

/* The image of the archive, and its result. */
static struct unpack_result unpack_to(int tar_fd, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_error_ struct error *error = NULL;
	struct unpack_result result;
	struct stat st;

	CHECK_OK(unpack_layer(tar_fd, fd, NULL, &result, &error), &error);
	CHECK(fstat(fd, &st) == 0 && (uint64_t)st.st_size == result.image_bytes);
	(void)close(tar_fd);
	return result;
}

static void show(struct tar *tar)
{
	tar_end(tar);
	(void)unpack_to(tar_open(tar), "layer.squashfs");
	mount_image("layer.squashfs", "image");
}

static void refused_with(struct tar *tar, const struct unpack_options *limits, const char *part)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC), tar_fd = tar_open(tar);
	struct error *error = NULL;
	struct unpack_result result;

	CHECK_ERROR(unpack_layer(tar_fd, fd, limits, &result, &error), &error, part);
}

static void refused(struct tar *tar, const char *part)
{
	tar_end(tar);
	refused_with(tar, NULL, part);
}

static void make_rich_tree(void)
{
	_cleanup_free_ uint8_t *bytes = xmalloc(1 << 20);
	char name[300] = "tree/", deep[2000] = "tree";
	_cleanup_close_ int fd = -1;
	const struct timespec times[2] = { { 1, 0 }, { 1234567890, 0 } };

	make_directory("tree", 01755);
	fill_random(bytes, 1 << 20, 1);
	make_file("tree/large", bytes, 1 << 20, 0640);
	make_file("tree/tail", bytes, 300000, 06755);
	make_file("tree/empty", "", 0, 0);
	memset(name + 5, 'n', 255);
	name[260] = '\0';
	make_text(name, "a long name");
	make_text("tree/\x01\xff\xfe\\ \n\xc3\xa9", "an odd name");
	for (int i = 0; i < 12; i++) {
		(void)snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep),
			       "/a-directory-with-quite-a-long-name-%d", i);
		make_directory(deep, 0750);
	}
	make_directory("tree/z", 0700);
	make_text("tree/z/file", "linked");
	CHECK(link("tree/z/file", "tree/a-link") == 0);
	CHECK(link("tree/z/file", "tree/zz-link") == 0);
	CHECK(symlink("/etc/passwd", "tree/absolute") == 0);
	CHECK(symlink("../../nowhere", "tree/z/dangling") == 0);
	CHECK(lchown("tree/z/dangling", 7, 4000000000U) == 0);
	CHECK(mknod("tree/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	CHECK(mknod("tree/disk", S_IFBLK | 0660, makedev(0xfff, 0xfffff)) == 0);
	CHECK(mkfifo("tree/fifo", 0640) == 0);
	CHECK(setxattr("tree/tail", "user.one", "1\0002", 3, 0) == 0);
	CHECK(setxattr("tree/z", "trusted.two", "", 0, 0) == 0);
	RUN("setcap", "cap_net_raw+ep", "tree/large");
	fd = open("tree/sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && pwrite(fd, "data", 4, 5 << 20) == 4 &&
	      pwrite(fd, bytes, 300000, (9 << 20) + 17) == 300000 && ftruncate(fd, 12345678) == 0);
	CHECK(utimensat(AT_FDCWD, "tree/z/dangling", times, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(utimensat(AT_FDCWD, "tree/z", times, 0) == 0);
}

static void compare_with_tar(const char *format, const char *filter)
{
	_cleanup_free_ char *options = xasprintf("--format=%s", format);
	struct unpack_result result;

	if (strcmp(format, "gnu") == 0)
		RUN("tar", "-C", "tree", options, "--sparse", "-cf", "layer.tar", ".");
	else
		RUN("tar", "-C", "tree", options, "--sparse", "--xattrs", "--xattrs-include=*",
		    "-cf", "layer.tar", ".");
	RUN("rm", "-rf", "unpacked");
	make_directory("unpacked", 0755);
	RUN("tar", "-C", "unpacked", "--xattrs", "--xattrs-include=*", "-xpf", "layer.tar");
	if (filter)
		RUN(filter, "-kqf", "layer.tar");
	RUN("sh", "-c", "mv -f layer.tar.* layer.tar 2>/dev/null || :");
	result = unpack_to(open("layer.tar", O_RDONLY | O_CLOEXEC), "layer.squashfs");
	CHECK(result.entries > 20 && result.tar_bytes > MIB);
	mount_image("layer.squashfs", "image");
	check_same_tree("unpacked", "image", NULL);
	RUN("umount", "image");
}

/* Each in a process of its own: check_same_tree() remembers inodes. */
#define LIKE_TAR(name, format, filter)                                                             \
	static void name##_body(void)                                                              \
	{                                                                                          \
		make_rich_tree();                                                                  \
		compare_with_tar(format, filter);                                                  \
	}                                                                                          \
	static void test_##name(void)                                                              \
	{                                                                                          \
		in_workspace(name##_body);                                                         \
	}
LIKE_TAR(posix, "posix", NULL)
LIKE_TAR(gzip, "posix", "gzip")
LIKE_TAR(zstd, "posix", "zstd")
LIKE_TAR(bzip2, "gnu", "bzip2")
LIKE_TAR(xz, "gnu", "xz")

static void digest_body(void)
{
	_cleanup_free_ char *want = NULL;
	struct unpack_result result;

	make_directory("tree", 0755);
	make_text("tree/file", "x");
	RUN("tar", "-C", "tree", "-cf", "layer.tar", ".");
	/* What stands behind the end is part of the layer, too. */
	RUN("sh", "-c",
	    "head -c 70000 /dev/zero >>layer.tar; sha256sum layer.tar >sum; gzip layer.tar");
	result = unpack_to(open("layer.tar.gz", O_RDONLY | O_CLOEXEC), "layer.squashfs");
	CHECK(read_file("sum", 1000, &want, NULL, NULL) == 0);
	want[64] = '\0';
	CHECK_STRING(result.diff_id + 7, want);
	CHECK(strncmp(result.diff_id, "sha256:", 7) == 0);
	CHECK_INT(result.tar_bytes, 80240);
	CHECK_INT(result.entries, 2);
}

static void test_digest(void)
{
	in_workspace(digest_body);
}

static void check_whiteout(const char *path)
{
	struct stat st;

	CHECK(lstat(path, &st) == 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK_INT(st.st_rdev, 0);
}

static bool is_opaque(const char *path)
{
	char value[8];

	return getxattr(path, "trusted.overlay.opaque", value, sizeof(value)) == 1 &&
	       value[0] == 'y';
}

static void whiteouts_body(void)
{
	struct tar tar = { 0 };

	tar_put(&tar, '0', "etc/.wh.gone", "", 0644, "", 0);
	tar_put(&tar, '0', "opaque/.wh..wh..opq", "", 0644, "", 0);
	tar_put(&tar, '5', "opaque/", "", 0711, "", 0);
	tar_put(&tar, '0', "opaque/file", "", 0644, "x", 1);
	/* Hidden below, and new here: before and after. */
	tar_put(&tar, '0', ".wh.new", "", 0644, "", 0);
	tar_put(&tar, '0', "new/file", "", 0644, "x", 1);
	tar_put(&tar, '5', "newer", "", 0755, "", 0);
	tar_put(&tar, '0', ".wh.newer", "", 0644, "", 0);
	tar_put(&tar, '0', "plain", "", 0644, "x", 1);
	tar_put(&tar, '0', ".wh.plain", "", 0644, "", 0);
	tar_put(&tar, '5', ".wh..wh.plnk", "", 0755, "", 0);
	tar_put(&tar, '0', ".wh..wh.plnk/1.2", "", 0644, "x", 1);
	tar_put_pax(&tar, "SCHILY.xattr.trusted.overlay.redirect", "/etc", 4);
	tar_put(&tar, '5', "liar", "", 0755, "", 0);
	show(&tar);
	check_whiteout("image/etc/gone");
	CHECK(is_opaque("image/opaque"));
	CHECK(is_opaque("image/new"));
	CHECK(is_opaque("image/newer"));
	CHECK(!is_opaque("image/etc"));
	CHECK(access("image/plain", R_OK) == 0 && access("image/new/file", R_OK) == 0);
	CHECK(access("image/.wh..wh.plnk", F_OK) < 0 && access("image/.wh.new", F_OK) < 0);
	CHECK(getxattr("image/liar", "trusted.overlay.redirect", NULL, 0) < 0);
}

static void test_whiteouts(void)
{
	in_workspace(whiteouts_body);
}

static void check_text(const char *path, const char *want)
{
	_cleanup_free_ char *text = NULL;

	CHECK(read_file(path, 1000, &text, NULL, NULL) == 0);
	CHECK_STRING(text, want);
}

static void check_one_inode(const char *a, const char *b, unsigned links)
{
	struct stat x, y;

	CHECK(lstat(a, &x) == 0 && lstat(b, &y) == 0);
	CHECK_INT(x.st_ino, y.st_ino);
	CHECK_INT(x.st_nlink, links);
}

static void links_body(void)
{
	struct tar tar = { 0 };

	tar_put(&tar, '1', "b-later", "a/c-later", 0644, "", 0);
	tar_put(&tar, '1', "a/c-later", "/z/file", 0600, "", 0);
	tar_put(&tar, '0', "z/file", "", 0640, "later", 5);
	tar_put(&tar, '0', "first", "", 0604, "replaced", 8);
	tar_put(&tar, '1', "second", "./first", 0604, "", 0);
	tar_put(&tar, '1', "third", "second", 0604, "", 0);
	tar_put(&tar, '0', "first", "", 0644, "new", 3);
	tar_put(&tar, '2', "symlink", "nowhere", 0777, "", 0);
	tar_put(&tar, '1', "a/symlink", "symlink", 0777, "", 0);
	tar_put(&tar, '1', "first", "first", 0644, "", 0);
	show(&tar);
	check_one_inode("image/b-later", "image/z/file", 3);
	check_one_inode("image/a/c-later", "image/z/file", 3);
	check_text("image/b-later", "later");
	check_text("image/first", "new");
	check_text("image/second", "replaced");
	check_one_inode("image/second", "image/third", 2);
	check_one_inode("image/symlink", "image/a/symlink", 2);
}

static void test_links(void)
{
	in_workspace(links_body);
}

static void shadowed_body(void)
{
	struct tar tar = { 0 };
	struct stat st;

	tar_put(&tar, '0', "file", "", 0644, "old", 3);
	tar_put(&tar, '0', "file", "", 0600, "newer", 5);
	tar_put(&tar, '0', "dir/inside", "", 0644, "stays", 5);
	tar_put(&tar, '5', "dir", "", 02711, "", 0);
	tar_put(&tar, '0', "was-dir/inside", "", 0644, "goes", 4);
	tar_put(&tar, '0', "was-dir", "", 0644, "now a file", 10);
	tar_put(&tar, '0', "was-file", "", 0644, "x", 1);
	tar_put(&tar, '5', "was-file", "", 0755, "", 0);
	tar_put(&tar, '0', "was-file/inside", "", 0644, "y", 1);
	tar_put(&tar, '5', "./", "", 0711, "", 0);
	show(&tar);
	check_text("image/file", "newer");
	check_text("image/dir/inside", "stays");
	check_text("image/was-dir", "now a file");
	check_text("image/was-file/inside", "y");
	CHECK(stat("image/dir", &st) == 0);
	CHECK_INT(st.st_mode & 07777, 02711);
	CHECK(stat("image", &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0711);
	CHECK_INT(st.st_nlink, 4);
}

static void test_shadowed(void)
{
	in_workspace(shadowed_body);
}

/* Names lead where they would for a process whose root this is, and never elsewhere. */
static void contained_body(void)
{
	struct tar tar = { 0 };
	struct stat st;

	tar_put(&tar, '0', "/absolute", "", 0644, "a", 1);
	tar_put(&tar, '2', "lib", "usr/lib", 0777, "", 0);
	tar_put(&tar, '0', "lib/x", "", 0644, "x", 1);
	tar_put(&tar, '2', "out", "../../../etc", 0777, "", 0);
	tar_put(&tar, '0', "out/passwd", "", 0644, "mine", 4);
	tar_put(&tar, '2', "abs", "/var/./lib//", 0777, "", 0);
	tar_put(&tar, '0', "abs/y", "", 0644, "y", 1);
	tar_put(&tar, '1', "linked", "out/passwd", 0644, "", 0);
	show(&tar);
	check_text("image/absolute", "a");
	check_text("image/usr/lib/x", "x");
	check_text("image/etc/passwd", "mine");
	check_text("image/linked", "mine");
	check_text("image/var/lib/y", "y");
	CHECK(lstat("image/lib", &st) == 0 && S_ISLNK(st.st_mode));
}

static void test_contained(void)
{
	in_workspace(contained_body);
}

static void xattrs_body(void)
{
	struct tar tar = { 0 };
	char value[16];

	/* "one", in base64; then as it is. */
	tar_put_pax(&tar, "LIBARCHIVE.xattr.user.both", "b25l", 4);
	tar_put_pax(&tar, "SCHILY.xattr.user.both", "two", 3);
	tar_put(&tar, '0', "both", "", 0644, "", 0);
	tar_put_pax(&tar, "LIBARCHIVE.xattr.user.one", "b25l", 4);
	tar_put_pax(&tar, "SCHILY.xattr.system.unknown", "x", 1);
	tar_put(&tar, '5', "one", "", 0755, "", 0);
	show(&tar);
	CHECK_INT(getxattr("image/both", "user.both", value, sizeof(value)), 3);
	CHECK(memcmp(value, "two", 3) == 0);
	CHECK_INT(getxattr("image/one", "user.one", value, sizeof(value)), 3);
	CHECK(memcmp(value, "one", 3) == 0);
}

static void test_xattrs(void)
{
	in_workspace(xattrs_body);
}

static void test_hostile_names(void)
{
	struct tar tar = { 0 };
	static const char *const names[] = { "../x", "a/../../x", "..", "a/.." };
	char longer[5000];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		tar_put(&tar, '0', names[i], "", 0644, "x", 1);
		refused(&tar, "has \"..\" in it");
	}
	tar_put(&tar, '0', "file", "", 0644, "x", 1);
	tar_put(&tar, '0', "file/below", "", 0644, "x", 1);
	refused(&tar, "below something that is not a directory");
	tar_put(&tar, '2', "a", "b", 0777, "", 0);
	tar_put(&tar, '2', "b", "a", 0777, "", 0);
	tar_put(&tar, '0', "a/x", "", 0644, "x", 1);
	refused(&tar, "too many symbolic links");
	tar_put(&tar, '0', ".", "", 0644, "x", 1);
	refused(&tar, "would be the root directory");
	tar_put(&tar, '1', ".", "x", 0644, "", 0);
	refused(&tar, "would be the root directory");
	tar_put(&tar, '0', "a/.wh.", "", 0644, "", 0);
	refused(&tar, "hides nothing");
	tar_put(&tar, '0', "a/.wh...", "", 0644, "", 0);
	refused(&tar, "hides nothing");
	tar_put(&tar, '0', ".wh..wh..opq", "", 0644, "", 0);
	refused(&tar, "other layers");
	memset(longer, 'n', 256);
	tar_put_pax(&tar, "path", longer, 256);
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	refused(&tar, "longer than a file's");
	memset(longer, '/', sizeof(longer));
	for (size_t i = 0; i < sizeof(longer); i += 2)
		longer[i] = 'd';
	tar_put_pax(&tar, "path", longer, sizeof(longer));
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	refused(&tar, "longer than a path");
}

static void test_hostile_links(void)
{
	struct tar tar = { 0 };

	tar_put(&tar, '1', "a", "missing", 0644, "", 0);
	refused(&tar, "which this layer does not have");
	tar_put(&tar, '1', "a", "b", 0644, "", 0);
	tar_put(&tar, '1', "b", "c", 0644, "", 0);
	tar_put(&tar, '1', "c", "a", 0644, "", 0);
	refused(&tar, "only a link to itself");
	tar_put(&tar, '1', "self", "self", 0644, "", 0);
	refused(&tar, "only a link to itself");
	tar_put(&tar, '5', "dir", "", 0755, "", 0);
	tar_put(&tar, '1', "a", "dir", 0644, "", 0);
	refused(&tar, "is a directory");
	tar_put(&tar, '1', "a", "dir", 0644, "", 0);
	tar_put(&tar, '5', "dir", "", 0755, "", 0);
	refused(&tar, "is a directory");
	tar_put(&tar, '1', "a", "../../etc/shadow", 0644, "", 0);
	refused(&tar, "has \"..\" in it");
	tar_put(&tar, '2', "empty", "", 0777, "", 0);
	refused(&tar, "a target that none can have");
}

static void test_hostile_facts(void)
{
	struct tar tar = { 0 };

	tar_put_pax(&tar, "uid", "-1", 2);
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	refused(&tar, "owner or group");
	tar_put_pax(&tar, "gid", "4294967295", 10);
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	refused(&tar, "owner or group");
	tar_put_pax(&tar, "SCHILY.devmajor", "5000", 4);
	tar_put(&tar, '3', "x", "", 0644, "", 0);
	refused(&tar, "device number");
}

static void test_damaged(void)
{
	struct tar tar = { 0 };
	const struct unpack_options small = { .bytes_max = 20000, .entries_max = 10 };
	const struct unpack_options whole = { .needs_end = true };
	char zeros[512] = { 0 };

	tar_put(&tar, '0', "x", "", 0644, "0123456789", 10);
	tar.size -= 512; /* cut off within the contents */
	refused_with(&tar, NULL, "Truncated");
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	tar.bytes[20] ^= 1;
	refused_with(&tar, NULL, "cannot read the layer");
	/* Cut off between two entries, or in the end. */
	refused_with(&tar, &whole, "tar's end is missing");
	tar_put(&tar, '0', "x", "", 0644, zeros, 512);
	refused_with(&tar, &whole, "tar's end is missing");
	tar_put(&tar, '0', "x", "", 0644, zeros, 512);
	tar_end(&tar);
	tar.size -= 512;
	refused_with(&tar, &whole, "tar's end is missing");
	/* A lone block of zeros, and more behind it. */
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	tar_put(&tar, '0', "y", "", 0644, zeros, 512);
	memmove(tar.bytes + 512, tar.bytes + 1024, 512);
	tar.size -= 512;
	tar_put(&tar, '0', "z", "", 0644, "", 0);
	refused_with(&tar, NULL, "a single block of zeros");
	for (int i = 0; i < 30; i++)
		tar_put(&tar, '0', "x", "", 0644, "0123456789", 10);
	refused_with(&tar, &small, "larger than 20000 bytes");
	for (int i = 0; i < 10; i++) {
		char name[] = { (char)('a' + i), '\0' };

		tar_put(&tar, '5', name, "", 0755, "", 0);
	}
	refused_with(&tar, &small, "more than 10 entries");
}

/* A file of a terabyte with a byte in each of many blocks. */
static void test_sparse_bomb(void)
{
	struct tar tar = { 0 };
	_cleanup_free_ char *map = xcalloc(1, 64 << 10);
	const struct unpack_options limits = { .bytes_max = 64 * MIB };
	size_t n = 0, count = 2000;

	n += (size_t)sprintf(map, "%zu\n", count);
	for (size_t i = 0; i < count; i++)
		n += (size_t)sprintf(map + n, "%zu\n1\n", i * 200000);
	n = (n + 511) / 512 * 512;
	tar_put_pax(&tar, "GNU.sparse.major", "1", 1);
	tar_put_pax(&tar, "GNU.sparse.minor", "0", 1);
	tar_put_pax(&tar, "GNU.sparse.name", "bomb", 4);
	tar_put_pax(&tar, "GNU.sparse.realsize", "1000000000000", 13);
	tar_put(&tar, '0', "x", "", 0644, map, n + count);
	tar_end(&tar);
	refused_with(&tar, &limits, "larger than 67108864 bytes");
}

/* Few bytes that lead through many: each entry below a link with a long target. */
static void test_link_bomb(void)
{
	struct tar tar = { 0 };
	const struct unpack_options limits = { .bytes_max = 64 * MIB, .entries_max = 100 };
	char target[2000];

	for (size_t i = 0; i < sizeof(target); i++)
		target[i] = i % 2 ? '/' : '.';
	for (size_t many = 0; many < 2; many++) {
		tar_put_pax(&tar, "linkpath", target, sizeof(target));
		tar_put(&tar, '2', "l", "x", 0777, "", 0);
		for (size_t i = 0; i < (many ? 13 : 12); i++)
			tar_put(&tar, '0', "l/x", "", 0644, "", 0);
		if (many) {
			refused_with(&tar, &limits, "paths of more than 25600 bytes");
		} else {
			_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
			_cleanup_close_ int tar_fd = -1;
			struct unpack_result result;
			struct error *error = NULL;

			tar_end(&tar);
			tar_fd = tar_open(&tar);
			CHECK_OK(unpack_layer(tar_fd, fd, &limits, &result, &error), &error);
		}
	}
}

static void test_nothing(void)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC);
	_cleanup_error_ struct error *error = NULL;
	struct unpack_result result;
	struct tar tar = { 0 };

	CHECK_OK(unpack_layer(empty, fd, NULL, &result, &error), &error);
	CHECK_INT(result.entries, 0);
	CHECK_STRING(result.diff_id,
		     "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	tar_put(&tar, '0', "x", "", 0644, "", 0);
	memset(tar.bytes, 'x', tar.size);
	refused_with(&tar, NULL, "cannot read the layer");
}

/* A large file, and what of memory it took beyond what was there before: in a process of its own.
 */
static void memory_body(void)
{
	struct rusage before, after;

	make_directory("tree", 0755);
	RUN("sh", "-c", "head -c 80M /dev/urandom >tree/noise; head -c 80M /dev/zero >tree/zeros");
	RUN("sh", "-c", "tar -C tree -c . | gzip -1 >layer.tar.gz");
	(void)getrusage(RUSAGE_SELF, &before);
	(void)unpack_to(open("layer.tar.gz", O_RDONLY | O_CLOEXEC), "layer.squashfs");
	(void)getrusage(RUSAGE_SELF, &after);
	printf("# %ld KiB\n", after.ru_maxrss - before.ru_maxrss);
	CHECK(TEST_SANITIZED || after.ru_maxrss - before.ru_maxrss < 32 << 10);
}

static void test_memory(void)
{
	in_workspace(memory_body);
}

static const struct test_case cases[] = {
	{ "posix", test_posix },
	{ "gzip", test_gzip },
	{ "zstd", test_zstd },
	{ "bzip2", test_bzip2 },
	{ "xz", test_xz },
	{ "digest", test_digest },
	{ "whiteouts", test_whiteouts },
	{ "links", test_links },
	{ "shadowed", test_shadowed },
	{ "contained", test_contained },
	{ "xattrs", test_xattrs },
	{ "hostile_names", test_hostile_names },
	{ "hostile_links", test_hostile_links },
	{ "hostile_facts", test_hostile_facts },
	{ "damaged", test_damaged },
	{ "sparse_bomb", test_sparse_bomb },
	{ "link_bomb", test_link_bomb },
	{ "nothing", test_nothing },
	{ "memory", test_memory },
};

TEST_MAIN(cases)
