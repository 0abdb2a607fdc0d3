/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: an image is the tree it was made of, as the kernel sees both. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/rootfs-tree.h"
#include "tests/unit/test.h"

#define BLOCK (128U << 10)

static void check_image_of(const char *tree)
{
	_cleanup_free_ char *image = get_image(tree);

	mount_image(image, "image");
	check_same_tree(tree, "image", NULL);
	RUN("umount", "image");
}

static void set_mtime(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { 1, 0 }, { seconds, 123456789 } };

	CHECK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

static void kinds_body(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "tree/socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char target[4096] = { 0 };

	make_directory("tree", 01755);
	make_directory("tree/empty", 0);
	make_text("tree/setuid", "x");
	CHECK(chown("tree/setuid", 4294967294U, 65537) == 0);
	CHECK(chmod("tree/setuid", 07711) == 0);
	make_file("tree/nothing", "", 0, 0);
	CHECK(mkfifo("tree/fifo", 0640) == 0);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(mknod("tree/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	CHECK(mknod("tree/disk", S_IFBLK | 0660, makedev(0xfff, 0xfffff)) == 0);
	CHECK(mknod("tree/minor", S_IFCHR | 0600, makedev(10, 0x12345)) == 0);
	CHECK(symlink("/etc/passwd", "tree/absolute") == 0);
	CHECK(symlink("nowhere", "tree/dangling") == 0);
	CHECK(lchown("tree/dangling", 7, 8) == 0);
	memset(target, 't', sizeof(target) - 1);
	CHECK(symlink(target, "tree/longest") == 0);
	set_mtime("tree/nothing", -5);
	set_mtime("tree/setuid", 0);
	set_mtime("tree/dangling", 1234567890);
	set_mtime("tree/fifo", 4294967295); /* 2106, the last second */
	set_mtime("tree/empty", 2147483648);
	check_image_of("tree");
	(void)close(fd);
}

static void test_kinds(void)
{
	in_workspace(kinds_body);
}

static void names_body(void)
{
	char name[300] = "tree/";

	make_directory("tree", 0755);
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		(void)snprintf(name + 5, sizeof(name) - 5, "%c%c%c", c, c, c);
		make_text(name, "name");
	}
	memset(name + 5, 0xfe, 255);
	name[260] = '\0';
	make_text(name, "longest");
	name[259] = '\0';
	make_directory(name, 0700);
	check_image_of("tree");
}

static void test_names(void)
{
	in_workspace(names_body);
}

static void links_body(void)
{
	make_directory("tree", 0755);
	make_directory("tree/a", 0755);
	make_directory("tree/z", 0755);
	make_text("tree/z/first", "shared contents");
	CHECK(link("tree/z/first", "tree/a/second") == 0);
	CHECK(link("tree/z/first", "tree/third") == 0);
	CHECK(mkfifo("tree/z/fifo", 0600) == 0);
	CHECK(link("tree/z/fifo", "tree/a/fifo") == 0);
	CHECK(symlink("somewhere", "tree/a/symlink") == 0);
	CHECK(linkat(AT_FDCWD, "tree/a/symlink", AT_FDCWD, "tree/z/symlink", 0) == 0);
	CHECK(mknod("tree/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	CHECK(link("tree/null", "tree/a/null") == 0);
	make_text("tree/z/same", "shared contents"); /* equal, not linked */
	CHECK(setxattr("tree/third", "user.linked", "yes", 3, 0) == 0);
	make_file("tree/a/empty", "", 0, 0600);
	CHECK(link("tree/a/empty", "tree/z/empty") == 0);
	check_image_of("tree");
}

static void test_links(void)
{
	in_workspace(links_body);
}

/* A name outside the tree is not a link of the image. */
static void outer_link_body(void)
{
	_cleanup_free_ char *image = NULL;
	struct stat st;

	make_directory("tree", 0755);
	make_text("tree/file", "x");
	CHECK(link("tree/file", "outside") == 0);
	image = get_image("tree");
	mount_image(image, "image");
	CHECK(stat("image/file", &st) == 0);
	CHECK_INT(st.st_nlink, 1);
}

static void test_outer_link(void)
{
	in_workspace(outer_link_body);
}

static void xattrs_body(void)
{
	struct vfs_cap_data capability = { .magic_etc =
					       VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
					   .data[0].permitted = 1 << CAP_NET_RAW };
	char value[3000];

	fill_random(value, sizeof(value), 1);
	make_directory("tree", 0755);
	make_text("tree/ping", "x");
	CHECK(setxattr("tree/ping", "security.capability", &capability, XATTR_CAPS_SZ_2, 0) == 0);
	make_text("tree/file", "x");
	CHECK(setxattr("tree/file", "user.empty", "", 0, 0) == 0);
	CHECK(setxattr("tree/file", "user.zeros", "\0\0a\0", 4, 0) == 0);
	CHECK(setxattr("tree/file", "trusted.x", "t", 1, 0) == 0);
	CHECK(setxattr("tree", "user.root", "of the tree", 11, 0) == 0);
	CHECK(setxattr("tree/file", "user.long", value, sizeof(value), 0) == 0);
	make_text("tree/again", "x"); /* the same value: stored out of line */
	CHECK(setxattr("tree/again", "trusted.long", value, sizeof(value), 0) == 0);
	CHECK(symlink("x", "tree/symlink") == 0);
	CHECK(lsetxattr("tree/symlink", "trusted.link", "l", 1, 0) == 0);
	CHECK(mkfifo("tree/fifo", 0600) == 0);
	CHECK(lsetxattr("tree/fifo", "trusted.fifo", "f", 1, 0) == 0);
	CHECK(mknod("tree/device", S_IFCHR | 0600, makedev(1, 5)) == 0);
	CHECK(lsetxattr("tree/device", "trusted.device", "d", 1, 0) == 0);
	check_image_of("tree");
}

static void test_xattrs(void)
{
	in_workspace(xattrs_body);
}

/* Full metadata blocks of attribute sets, where libsquashfs needs care. */
static void xattr_sets_body(void)
{
	static const int counts[] = { 512, 1536 };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_free_ char *tree = xasprintf("tree%zu", i);

		make_directory(tree, 0755);
		for (int n = 0; n < counts[i]; n++) {
			_cleanup_free_ char *path = xasprintf("%s/%d", tree, n);

			make_text(path, "x");
			CHECK(setxattr(path, "user.padding", &n, sizeof(n), 0) == 0);
		}
		check_image_of(tree);
	}
}

static void test_xattr_sets(void)
{
	in_workspace(xattr_sets_body);
}

/* What the ACL's group entry grants, not its mask, is what the group keeps. */
static void acl_body(void)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[5];
	} acl = { .header = { POSIX_ACL_XATTR_VERSION },
		  .entries = { { ACL_USER_OBJ, 6, ACL_UNDEFINED_ID },
			       { ACL_USER, 7, 1000 },
			       { ACL_GROUP_OBJ, 4, ACL_UNDEFINED_ID },
			       { ACL_MASK, 7, ACL_UNDEFINED_ID },
			       { ACL_OTHER, 0, ACL_UNDEFINED_ID } } };
	_cleanup_free_ char *image = NULL;
	struct stat st;

	make_directory("tree", 0755);
	make_text("tree/file", "x");
	if (setxattr("tree/file", "system.posix_acl_access", &acl, sizeof(acl), 0) < 0)
		test_skip("no POSIX ACLs on the temporary directory's file system");
	CHECK(stat("tree/file", &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0670);
	image = get_image("tree");
	mount_image(image, "image");
	CHECK(stat("image/file", &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0640);
}

static void test_acl(void)
{
	in_workspace(acl_body);
}

static void sizes_body(void)
{
	static const size_t sizes[] = { 1,	   4095,	   4096,      BLOCK - 1,
					BLOCK,	   BLOCK + 1,	   2 * BLOCK, 3 * BLOCK + 77,
					16U << 20, (33U << 20) + 5 };
	size_t largest = sizes[ARRAY_SIZE(sizes) - 1];
	_cleanup_free_ char *bytes = xmalloc(largest);

	make_directory("tree", 0755);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *noise = xasprintf("tree/noise%zu", i);
		_cleanup_free_ char *text = xasprintf("tree/text%zu", i);
		_cleanup_free_ char *zeros = xasprintf("tree/zeros%zu", i);
		_cleanup_free_ char *half = xasprintf("tree/half%zu", i);

		fill_random(bytes, sizes[i], (unsigned)i);
		make_file(noise, bytes, sizes[i], 0644);
		memset(bytes + sizes[i] / 2, 0, sizes[i] - sizes[i] / 2);
		make_file(half, bytes, sizes[i], 0644);
		memset(bytes, 'a' + (int)i, sizes[i]);
		make_file(text, bytes, sizes[i], 0644);
		memset(bytes, 0, sizes[i]);
		make_file(zeros, bytes, sizes[i], 0644); /* data, not a hole */
	}
	check_image_of("tree");
}

static void test_sizes(void)
{
	in_workspace(sizes_body);
}

static void make_sparse(const char *path, off_t size, const off_t *data, size_t n)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	char bytes[5000];

	CHECK(fd >= 0 && ftruncate(fd, size) == 0);
	for (size_t i = 0; i < n; i++) {
		fill_random(bytes, sizeof(bytes), (unsigned)data[i]);
		CHECK_INT(pwrite(fd, bytes, sizeof(bytes), data[i]), sizeof(bytes));
	}
	CHECK(ftruncate(fd, size) == 0);
}

static void holes_body(void)
{
	const off_t G = 1LL << 30;
	const off_t edges[] = { 0, BLOCK - 2500, 5 * BLOCK, 3 * G, 3 * G + 7 * BLOCK - 5000 };
	const off_t high[] = { 700 * G + 12345, 1024 * G - 4999 };
	_cleanup_free_ char *image = NULL;
	struct stat st;

	make_directory("tree", 0755);
	make_sparse("tree/hole", 1000000, NULL, 0);
	make_sparse("tree/tail", 10000000, edges, 2);
	make_sparse("tree/over4G", 5 * G + 1, edges, ARRAY_SIZE(edges));
	make_sparse("tree/over2G", 2 * G + 100, edges, 3);
	make_sparse("tree/huge", 1024 * G, high, ARRAY_SIZE(high));
	make_sparse("tree/lastlog", 1200 * G + 1, NULL, 0);
	CHECK(link("tree/huge", "tree/huge-link") == 0);
	check_image_of("tree");
	image = get_image("tree");
	CHECK(stat(image, &st) == 0);
	CHECK(st.st_size < 16 << 20);
	mount_image(image, "image");
	CHECK(stat("image/huge", &st) == 0);
	CHECK(st.st_blocks < 8 * BLOCK / 512); /* still sparse to the guest */
}

static void test_holes(void)
{
	in_workspace(holes_body);
}

static void make_many(const char *directory, int n)
{
	make_directory(directory, 0755);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path =
		    xasprintf("%s/file-with-a-longer-name-%d", directory, i);
		char text[40];

		/* Every third one is the same. */
		(void)snprintf(text, sizeof(text), "number %d\n", i % 3 ? i : 0);
		make_text(path, text);
	}
}

static long resident_peak_kib(void)
{
	struct rusage usage;

	CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_maxrss;
}

static void many_body(void)
{
	make_directory("tree", 0755);
	CHECK(mount("tmpfs", "tree", "tmpfs", 0, NULL) == 0); /* for speed */
	make_many("tree/one", 60000);
	for (int i = 0; i < 400; i++) {
		_cleanup_free_ char *path = xasprintf("tree/%d", i);

		make_many(path, 100);
	}
	check_image_of("tree");
	RUN("umount", "tree");
	/* Some 400 bytes for an entry, and the blocks in flight. */
	if (!TEST_SANITIZED && resident_peak_kib() > 128 << 10)
		test_fail(__FILE__, __LINE__, "took %ld KiB", resident_peak_kib());
}

static void test_many(void)
{
	in_workspace(many_body);
}

/* Deeper than the number of descriptors and than any path. */
static void deep_body(void)
{
	enum { DEPTH = 3000 };
	_cleanup_close_ int fd = -1, image_fd = -1;
	_cleanup_free_ char *image = NULL;
	struct stat st;

	make_directory("tree", 0755);
	fd = open("tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		int next;

		CHECK(mkdirat(fd, "down", 0755) == 0);
		next = openat(fd, "down", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK(next >= 0);
		(void)close(fd);
		fd = next;
	}
	CHECK(symlinkat("bottom", fd, "symlink") == 0);
	image = get_image("tree");
	mount_image(image, "image");
	image_fd = open("image", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		int next = openat(image_fd, "down", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		CHECK(next >= 0);
		(void)close(image_fd);
		image_fd = next;
	}
	CHECK(fstatat(image_fd, "symlink", &st, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(S_ISLNK(st.st_mode));
	close_fdp(&image_fd);
	image_fd = -1;
	RUN("umount", "image");
	/* remove_tree() holds a descriptor for each level. */
	RUN("rm", "-rf", "tree");
}

static void test_deep(void)
{
	in_workspace(deep_body);
}

static void other_mounts_body(void)
{
	static const char *const mounts[] = { "proc", "bound", NULL };
	_cleanup_free_ char *image = NULL, *again = NULL;
	struct stat st;

	make_directory("tree", 0755);
	make_directory("tree/proc", 0711);
	make_text("tree/bound", "under");
	make_text("tree/file", "x");
	make_text("secret", "secret");
	CHECK(mount("tmpfs", "tree/proc", "tmpfs", 0, "mode=0751,uid=3") == 0);
	make_text("tree/proc/inside", "x");
	CHECK(mount("secret", "tree/bound", NULL, MS_BIND, NULL) == 0);
	image = get_image("tree");
	mount_image(image, "image");
	check_same_tree("tree", "image", mounts);
	CHECK_INT(count_entries("image/proc", ""), 0);
	CHECK(stat("image/proc", &st) == 0);
	CHECK_INT(st.st_mode, S_IFDIR | 0751);
	CHECK_INT(st.st_uid, 3);
	CHECK(stat("image/bound", &st) == 0);
	CHECK_INT(st.st_size, 0);
	/* Another mount of the same kind is not another tree. */
	RUN("umount", "tree/proc");
	CHECK(mount("tmpfs", "tree/proc", "tmpfs", 0, "mode=0751,uid=3") == 0);
	again = get_image("tree");
	CHECK_STRING(again, image);
	RUN("umount", "tree/proc", "tree/bound", "image");
}

static void test_other_mounts(void)
{
	in_workspace(other_mounts_body);
}

static void two_mounts_of_one_file_system_body(void)
{
	_cleanup_free_ char *image = NULL;

	make_directory("tree", 0755);
	make_directory("tree/bind", 0755);
	make_directory("elsewhere", 0755);
	make_text("elsewhere/secret", "x");
	CHECK(mount("elsewhere", "tree/bind", NULL, MS_BIND, NULL) == 0);
	image = get_image("tree");
	mount_image(image, "image");
	CHECK_INT(count_entries("image/bind", ""), 0);
	RUN("umount", "tree/bind", "image");
}

static void test_two_mounts_of_one_file_system(void)
{
	in_workspace(two_mounts_of_one_file_system_body);
}

static const struct test_case cases[] = {
	{ "kinds", test_kinds },
	{ "names", test_names },
	{ "links", test_links },
	{ "outer link", test_outer_link },
	{ "xattrs", test_xattrs },
	{ "xattr sets", test_xattr_sets },
	{ "acl", test_acl },
	{ "sizes", test_sizes },
	{ "holes", test_holes },
	{ "many", test_many },
	{ "deep", test_deep },
	{ "other mounts", test_other_mounts },
	{ "bind mounts", test_two_mounts_of_one_file_system },
};
TEST_MAIN(cases)
