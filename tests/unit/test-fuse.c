/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: what a guest does to files is done to the host's, as POSIX and
 * Linux have it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

static const struct client_options plain = { .cache = FUSE_CACHE_AUTO };

/* The host's view of a file of the share. */
static char *host(const struct client *c, const char *path)
{
	return xasprintf("%s/%s", c->dir, path);
}

static struct stat host_stat(const struct client *c, const char *path)
{
	_cleanup_free_ char *full = host(c, path);
	struct stat st;

	CHECK(lstat(full, &st) == 0);
	return st;
}

static bool host_has(const struct client *c, const char *path)
{
	_cleanup_free_ char *full = host(c, path);
	struct stat st;

	return lstat(full, &st) == 0;
}

static void host_write(const struct client *c, const char *path, const char *text)
{
	_cleanup_free_ char *full = host(c, path);
	_cleanup_close_ int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
}

static void check_text(struct client *c, uint64_t node, const char *text)
{
	struct fuse_open_out file;
	char bytes[256] = "";

	CHECK_INT(client_open(c, node, O_RDONLY, &file), 0);
	CHECK_INT(client_read(c, node, file.fh, 0, bytes, sizeof(bytes) - 1), strlen(text));
	CHECK_STRING(bytes, text);
	CHECK_INT(client_release(c, FUSE_RELEASE, node, file.fh), 0);
}

static void test_read_and_write(void)
{
	uint64_t node, fh;
	struct client c;
	char bytes[32];
	char *large = xmalloc(200000), *again = xcalloc(1, 200000);

	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0640, &node, &fh), 0);
	CHECK_INT(host_stat(&c, "f").st_mode, S_IFREG | 0640);
	CHECK_INT(client_write(&c, node, fh, 3, "abc", 3, 0), 3);
	CHECK_INT(client_read(&c, node, fh, 0, bytes, sizeof(bytes)), 6);
	CHECK(memcmp(bytes, "\0\0\0abc", 6) == 0);
	CHECK_INT(client_read(&c, node, fh, 4, bytes, 1), 1);
	CHECK_INT(bytes[0], 'b');
	CHECK_INT(client_read(&c, node, fh, 6, bytes, 1), 0);
	CHECK_INT(client_read(&c, node, fh, UINT64_MAX, bytes, 1), -EINVAL);
	CHECK_INT(client_write(&c, node, fh, UINT64_MAX, "a", 1, 0), -EINVAL);
	for (int i = 0; i < 200000; i++)
		large[i] = (char)(i * 31 + i / 255);
	CHECK_INT(client_write(&c, node, fh, 0, large, 200000, 0), 200000);
	CHECK_INT(client_read(&c, node, fh, 0, again, 200000), 200000);
	CHECK(memcmp(large, again, 200000) == 0);
	CHECK_INT(host_stat(&c, "f").st_size, 200000);
	CHECK_INT(client_release(&c, FUSE_RELEASE, node, fh), 0);
	CHECK_INT(client_read(&c, node, fh, 0, bytes, 1), -EBADF);
	free(large);
	free(again);
	client_done(&c);
}

static void test_open_flags(void)
{
	struct fuse_open_out file;
	uint64_t node, fh;
	struct client c;

	client_init(&c, &plain);
	host_write(&c, "f", "text");
	node = client_walk(&c, "f");
	CHECK_INT(client_open(&c, node, O_WRONLY | O_APPEND, &file), 0);
	CHECK_INT(client_write(&c, node, file.fh, 0, "+", 1, 0), 1);
	check_text(&c, node, "text+");
	CHECK_INT(client_read(&c, node, file.fh, 0, (char[1]){ 0 }, 1), -EBADF);
	CHECK_INT(client_open(&c, node, O_WRONLY | O_TRUNC, &file), 0);
	CHECK_INT(host_stat(&c, "f").st_size, 0);
	CHECK_INT(client_open(&c, node, O_RDONLY, &file), 0);
	CHECK_INT(client_write(&c, node, file.fh, 0, "+", 1, 0), -EBADF);
	CHECK_INT(client_open(&c, node, O_ACCMODE, &file), -EINVAL);
	CHECK_INT(client_open(&c, FUSE_ROOT_ID, O_RDONLY, &file), -EISDIR);
	CHECK_INT(client_opendir(&c, node, &fh), -ENOTDIR);
	/* Creating what is there: O_EXCL decides. */
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR | O_EXCL, 0600, &node, &fh), -EEXIST);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(host_stat(&c, "f").st_mode & 0777, 0644);
	client_done(&c);
}

static void test_names(void)
{
	struct fuse_entry_out entry;
	uint64_t dir, node, fh;
	char longest[NAME_MAX + 2];
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "d", 0777, 027, &dir), 0);
	CHECK_INT(host_stat(&c, "d").st_mode, S_IFDIR | 0750);
	CHECK_INT(client_create(&c, dir, "f", O_RDWR, 0644, &node, &fh), 0);
	CHECK_INT(client_lookup(&c, dir, "nothing", &entry), -ENOENT);
	CHECK_INT(client_link(&c, node, FUSE_ROOT_ID, "hard"), 0);
	CHECK_INT(host_stat(&c, "hard").st_nlink, 2);
	CHECK_INT(client_link(&c, dir, FUSE_ROOT_ID, "hard-dir"), -EPERM);
	CHECK_INT(client_rename(&c, dir, "f", FUSE_ROOT_ID, "moved", 0), 0);
	CHECK(!host_has(&c, "d/f") && host_has(&c, "moved"));
	CHECK_INT(client_rename(&c, FUSE_ROOT_ID, "hard", FUSE_ROOT_ID, "moved", RENAME_NOREPLACE),
		  -EEXIST);
	CHECK_INT(client_rename(&c, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "moved", RENAME_EXCHANGE), 0);
	CHECK(S_ISDIR(host_stat(&c, "moved").st_mode));
	CHECK_INT(client_rename(&c, FUSE_ROOT_ID, "d", FUSE_ROOT_ID, "x", 1U << 20), -EINVAL);
	CHECK_INT(client_remove(&c, FUSE_UNLINK, FUSE_ROOT_ID, "moved"), -EISDIR);
	CHECK_INT(client_remove(&c, FUSE_RMDIR, FUSE_ROOT_ID, "d"), -ENOTDIR);
	CHECK_INT(client_create(&c, dir, "in", O_RDWR, 0644, &node, &fh), 0);
	CHECK_INT(client_remove(&c, FUSE_RMDIR, FUSE_ROOT_ID, "moved"), -ENOTEMPTY);
	CHECK_INT(client_remove(&c, FUSE_UNLINK, dir, "in"), 0);
	CHECK_INT(client_remove(&c, FUSE_RMDIR, FUSE_ROOT_ID, "moved"), 0);
	/* What is open stays. */
	CHECK_INT(client_write(&c, node, fh, 0, "x", 1, 0), 1);
	memset(longest, 'n', sizeof(longest) - 1);
	longest[NAME_MAX + 1] = '\0';
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, longest, &entry), -ENAMETOOLONG);
	longest[NAME_MAX] = '\0';
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, longest, 0755, 0, NULL), 0);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, longest, &entry), 0);
	client_done(&c);
}

static int readlink_node(struct client *c, uint64_t node, char *ret_target, size_t room)
{
	size_t size = 0;
	int r = client_send(c, FUSE_READLINK, node, NULL, 0, ret_target, room, &size);

	if (r == 0)
		ret_target[size] = '\0';
	return r;
}

/* Links lead nowhere on the host, special files are never opened. */
static void test_links_and_special_files(void)
{
	static const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	struct fuse_setattr_in chmod_in = { .valid = FATTR_MODE, .mode = 0600 };
	struct fuse_setattr_in size_in = { .valid = FATTR_SIZE };
	struct fuse_open_out file;
	char target[PATH_MAX];
	uint64_t node, fh;
	struct client c;

	client_init(&c, &plain);
	CHECK_INT(client_symlink(&c, FUSE_ROOT_ID, "link", "/etc/passwd"), 0);
	node = client_walk(&c, "link");
	CHECK_INT(readlink_node(&c, node, target, sizeof(target)), 0);
	CHECK_STRING(target, "/etc/passwd");
	CHECK_INT(readlink_node(&c, FUSE_ROOT_ID, target, sizeof(target)), -EINVAL);
	CHECK_INT(client_open(&c, node, O_RDONLY, &file), -ENXIO);
	CHECK_INT(client_opendir(&c, node, &fh), -ENOTDIR);
	CHECK_INT(client_setattr(&c, node, &chmod_in), -EOPNOTSUPP);
	CHECK_INT(client_setattr(&c, node, &size_in), -EINVAL);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "link", O_RDWR, 0600, &node, &fh), -ENXIO);
	CHECK_INT(client_lookup(&c, node, "x", &(struct fuse_entry_out){ 0 }), -ENOTDIR);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		bool device = S_ISCHR(types[i]) || S_ISBLK(types[i]);

		if (device && geteuid() != 0)
			continue;
		/* 259:70000, as the kernel encodes it */
		CHECK_INT(
		    client_mknod(&c, FUSE_ROOT_ID, "s", types[i] | 0644,
				 device ? (70000 & 0xff) | 259 << 8 | (70000 & ~0xff) << 12 : 0,
				 &node),
		    0);
		CHECK_INT(host_stat(&c, "s").st_mode, types[i] | 0644);
		if (device)
			CHECK_INT(host_stat(&c, "s").st_rdev, makedev(259, 70000));
		CHECK_INT(client_open(&c, node, O_RDONLY, &file), -ENXIO);
		CHECK_INT(client_create(&c, FUSE_ROOT_ID, "s", O_WRONLY, 0600, &node, &fh), -ENXIO);
		CHECK_INT(client_setattr(&c, node, &chmod_in), 0);
		CHECK_INT(host_stat(&c, "s").st_mode, types[i] | 0600);
		CHECK_INT(client_remove(&c, FUSE_UNLINK, FUSE_ROOT_ID, "s"), 0);
	}
	client_done(&c);
}

static void test_attributes(void)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE, .mode = 04711 };
	struct fuse_attr attr;
	uint64_t node, fh;
	struct client c;
	struct stat st;

	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(client_setattr(&c, node, &in), 0);
	CHECK_INT(host_stat(&c, "f").st_mode, S_IFREG | 04711);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 5000 };
	CHECK_INT(client_setattr(&c, node, &in), 0);
	CHECK_INT(host_stat(&c, "f").st_size, 5000);
	CHECK_INT(host_stat(&c, "f").st_mode, S_IFREG | 04711);
	in.size = UINT64_MAX;
	CHECK_INT(client_setattr(&c, node, &in), -EFBIG);
	in = (struct fuse_setattr_in){ .valid = FATTR_ATIME | FATTR_MTIME,
				       .atime = 1000,
				       .atimensec = 1,
				       .mtime = (uint64_t)-5,
				       .mtimensec = UTIME_NOW };
	CHECK_INT(client_setattr(&c, node, &in), 0);
	st = host_stat(&c, "f");
	CHECK_INT(st.st_atim.tv_sec, 1000);
	CHECK_INT(st.st_atim.tv_nsec, 1);
	CHECK_INT(st.st_mtim.tv_sec, -5);
	CHECK_INT(client_getattr(&c, node, &attr), 0);
	CHECK_INT(attr.size, 5000);
	CHECK_INT(attr.ino, st.st_ino);
	CHECK_INT(attr.mode, S_IFREG | 04711);
	CHECK_INT(attr.nlink, 1);
	CHECK_INT((int64_t)attr.mtime, -5);
	in = (struct fuse_setattr_in){ .valid = FATTR_MTIME_NOW | FATTR_MTIME };
	CHECK_INT(client_setattr(&c, node, &in), 0);
	CHECK(host_stat(&c, "f").st_mtim.tv_sec > 1000000000);
	CHECK_INT(host_stat(&c, "f").st_atim.tv_sec, 1000);
	client_done(&c);
}

static void need_root(void)
{
	if (geteuid() != 0)
		test_skip("needs root: ids of others");
}

/* New files are the caller's, or of a set-group-id directory's group. */
static void test_ownership(void)
{
	struct fuse_setattr_in in = { .valid = FATTR_UID | FATTR_GID, .uid = 7, .gid = 8 };
	uint64_t dir, node, fh;
	struct client c;

	need_root();
	client_init(&c, &plain);
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "d", 0755, 0, &dir), 0);
	c.uid = 1001;
	c.gid = 1002;
	/* The guest's kernel has allowed it; the host's must not judge again. */
	CHECK_INT(client_create(&c, dir, "f", O_RDWR, 0644, &node, &fh), 0);
	CHECK_INT(host_stat(&c, "d/f").st_uid, 1001);
	CHECK_INT(host_stat(&c, "d/f").st_gid, 1002);
	CHECK_INT(client_symlink(&c, dir, "l", "x"), 0);
	CHECK_INT(host_stat(&c, "d/l").st_uid, 1001);
	CHECK_INT(client_mkdir(&c, dir, "sub", 0755, 0, NULL), 0);
	CHECK_INT(host_stat(&c, "d/sub").st_gid, 1002);
	CHECK_INT(client_mknod(&c, dir, "p", S_IFIFO | 0600, 0, NULL), 0);
	CHECK_INT(host_stat(&c, "d/p").st_uid, 1001);
	CHECK_INT(client_setattr(&c, dir, &in), 0);
	in = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 02777 };
	CHECK_INT(client_setattr(&c, dir, &in), 0);
	CHECK_INT(client_mkdir(&c, dir, "inherits", 0755, 0, NULL), 0);
	CHECK_INT(host_stat(&c, "d/inherits").st_uid, 1001);
	CHECK_INT(host_stat(&c, "d/inherits").st_gid, 8);
	CHECK_INT(host_stat(&c, "d/inherits").st_mode & 07777, 02755);
	/* And the thread is itself again. */
	c.uid = c.gid = 0;
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "roots", 0755, 0, NULL), 0);
	CHECK_INT(host_stat(&c, "roots").st_uid, 0);
	CHECK_INT(host_stat(&c, "roots").st_gid, 0);
	c.uid = UINT32_MAX;
	CHECK_INT(client_mkdir(&c, FUSE_ROOT_ID, "nobodys", 0755, 0, NULL), -EINVAL);
	client_done(&c);
}

/* Who may not keep the set-id bits loses them with the first byte. */
static void test_set_id_bits(void)
{
	struct fuse_setattr_in mode = { .valid = FATTR_MODE, .mode = 06755 };
	struct fuse_setattr_in size = { .valid = FATTR_SIZE, .size = 1 };
	uint64_t node, fh;
	struct client c;

	need_root();
	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	CHECK_INT(client_setattr(&c, node, &mode), 0);
	CHECK_INT(client_write(&c, node, fh, 0, "a", 1, 0), 1);
	CHECK_INT(host_stat(&c, "f").st_mode & 07777, 06755);
	CHECK_INT(client_write(&c, node, fh, 0, "a", 1, FUSE_WRITE_KILL_SUIDGID), 1);
	CHECK_INT(host_stat(&c, "f").st_mode & 07777, 0755);
	CHECK_INT(client_setattr(&c, node, &mode), 0);
	CHECK_INT(client_setattr(&c, node, &size), 0);
	CHECK_INT(host_stat(&c, "f").st_mode & 07777, 06755);
	size.valid |= FATTR_KILL_SUIDGID;
	CHECK_INT(client_setattr(&c, node, &size), 0);
	CHECK_INT(host_stat(&c, "f").st_mode & 07777, 0755);
	/* The capability is back for the next one. */
	CHECK_INT(client_setattr(&c, node, &mode), 0);
	CHECK_INT(client_write(&c, node, fh, 0, "a", 1, 0), 1);
	CHECK_INT(host_stat(&c, "f").st_mode & 07777, 06755);
	client_done(&c);
}

static void test_xattrs(void)
{
	char value[16], list[256];
	const struct fuse_getxattr_in in = { .size = sizeof(list) };
	const struct client_body list_in[] = { { &in, sizeof(in) } };
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *large = xcalloc(1, 65536);
	uint64_t node, fh;
	struct client c;
	size_t size;

	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &fh), 0);
	if (client_setxattr(&c, node, "user.a", "1234", 4, 0) == -EOPNOTSUPP)
		test_skip("/tmp has no user.* attributes");
	path = host(&c, "f");
	CHECK_INT(getxattr(path, "user.a", value, sizeof(value)), 4);
	CHECK_INT(client_getxattr(&c, node, "user.a", value, 0), 4);
	CHECK_INT(client_getxattr(&c, node, "user.a", value, 3), -ERANGE);
	CHECK_INT(client_getxattr(&c, node, "user.a", value, 4), 4);
	CHECK(memcmp(value, "1234", 4) == 0);
	CHECK_INT(client_getxattr(&c, node, "user.none", value, 4), -ENODATA);
	CHECK_INT(client_setxattr(&c, node, "user.a", "5", 1, XATTR_CREATE), -EEXIST);
	CHECK_INT(client_setxattr(&c, node, "user.b", "5", 1, XATTR_REPLACE), -ENODATA);
	CHECK_INT(client_setxattr(&c, node, "user.b", "", 0, 0), 0);
	CHECK_INT(client_setxattr(&c, node, "user.b", "", 0, 1U << 10), -EINVAL);
	CHECK_INT(client_setxattr(&c, node, "", "", 0, 0), -ERANGE);
	CHECK(client_setxattr(&c, node, "user.large", large, 65536, 0) <= 0);
	CHECK_INT(client_send(&c, FUSE_LISTXATTR, node, list_in, 1, list, sizeof(list), &size), 0);
	CHECK(size >= 14 && memmem(list, size, "user.a", 7) && memmem(list, size, "user.b", 7));
	CHECK_INT(client_remove(&c, FUSE_REMOVEXATTR, node, "user.a"), 0);
	CHECK_INT(getxattr(path, "user.a", value, sizeof(value)), -1);
	CHECK_INT(client_remove(&c, FUSE_REMOVEXATTR, node, "user.a"), -ENODATA);
	client_done(&c);
}

/* Linux lets nobody but root into a file whose ACL it cannot get. */
static void test_file_system_without_acls(void)
{
	static const char name[] = "system.posix_acl_access";
	_cleanup_free_ char *path = NULL;
	char value[16];
	struct fuse_entry_out entry;
	uint64_t node, fh;
	struct client c;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		test_skip("no mount namespace of its own");
	client_init(&c, &plain);
	path = host(&c, "old");
	CHECK_INT(mkdir(path, 0755), 0);
	CHECK_INT(mount("ramfs", path, "ramfs", 0, NULL), 0);
	CHECK_INT(client_lookup(&c, FUSE_ROOT_ID, "old", &entry), 0);
	CHECK_INT(client_create(&c, entry.nodeid, "f", O_RDWR, 0650, &node, &fh), 0);
	CHECK_INT(client_getxattr(&c, node, name, value, sizeof(value)), -ENODATA);
	CHECK_INT(client_setxattr(&c, node, name, "", 0, 0), -EOPNOTSUPP);
	CHECK_INT(client_getxattr(&c, node, "user.a", value, sizeof(value)), -EOPNOTSUPP);
	CHECK_INT(umount2(path, MNT_DETACH), 0);
	client_done(&c);
}

#define FILE_MAX 4096

static void exceed_file_size(void)
{
	const struct rlimit limit = { FILE_MAX, FILE_MAX };
	const struct fuse_setattr_in longer = { .valid = FATTR_SIZE, .size = FILE_MAX + 1 };
	struct fuse_fallocate_in room = { .length = FILE_MAX + 1 };
	const struct client_body parts[] = { { &room, sizeof(room) } };
	char bytes[FILE_MAX] = { 0 };
	uint64_t node;
	struct client c;

	(void)signal(SIGXFSZ, SIG_DFL);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	client_init(&c, &plain);
	CHECK_INT(client_create(&c, FUSE_ROOT_ID, "f", O_RDWR, 0600, &node, &room.fh), 0);
	CHECK_INT(client_write(&c, node, room.fh, 96, bytes, FILE_MAX, 0), FILE_MAX - 96);
	CHECK_INT(client_write(&c, node, room.fh, FILE_MAX, bytes, 1, 0), -EFBIG);
	CHECK_INT(client_setattr(&c, node, &longer), -EFBIG);
	CHECK_INT(client_send(&c, FUSE_FALLOCATE, node, parts, 1, NULL, 0, NULL), -EFBIG);
	client_done(&c);
}

/* The server's own limit is an error for the guest, and not the server's end. */
static void test_file_size_limit(void)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		exceed_file_size();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

static const struct test_case cases[] = {
	{ "read and write", test_read_and_write },
	{ "flags of open", test_open_flags },
	{ "names", test_names },
	{ "links and special files", test_links_and_special_files },
	{ "attributes", test_attributes },
	{ "ownership", test_ownership },
	{ "set-id bits", test_set_id_bits },
	{ "extended attributes", test_xattrs },
	{ "a file system without ACLs", test_file_system_without_acls },
	{ "file size limit", test_file_size_limit },
};

TEST_MAIN(cases)
