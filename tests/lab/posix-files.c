/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What POSIX and Linux say about files, one line each: what was done, and what
 * came of it.  Run on a directory of the host and on a share of it in a guest;
 * the two outputs must be the same (tests/lab/share.test).  Static: the guest may
 * have nothing but a busybox.
 *
 * usage: posix-files DIRECTORY (empty; as root)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, result);
}
/* The expression itself, and its value or error. */
#define SAY(expression) (errno = 0, say(#expression, (long)(expression)))

/* 0 where open(2) gives a descriptor, whichever that is. */
static int opens(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags, mode);

	return fd < 0 ? -1 : close(fd);
}

static void touch(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, "0123456789", 10) != 10 || fchmod(fd, mode) < 0) {
		perror(path);
		exit(1);
	}
	(void)close(fd);
}

static void show(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		printf("%s: %s\n", path, strerrorname_np(errno));
	else
		printf("%s: mode %o, %u:%u, %lu links, %ld bytes, rdev %x\n", path, st.st_mode,
		       st.st_uid, st.st_gid, S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink,
		       S_ISDIR(st.st_mode) ? 0L : (long)st.st_size, (unsigned)st.st_rdev);
}

/* Runs part as another user, without privileges. */
static void as_user(uid_t uid, gid_t gid, void (*part)(void))
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setgid(gid) < 0 || setuid(uid) < 0)
			_exit(1);
		part();
		(void)fflush(stdout);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static void names(void)
{
	char longest[NAME_MAX + 2], path[PATH_MAX + 1];

	memset(longest, 'n', sizeof(longest));
	longest[NAME_MAX + 1] = '\0';
	SAY(mkdir(longest, 0755));
	longest[NAME_MAX] = '\0';
	SAY(mkdir(longest, 0755));
	SAY(rmdir(longest));
	memset(path, 'p', sizeof(path));
	path[PATH_MAX] = '\0';
	SAY(mkdir(path, 0755));
	SAY(mkdir("", 0755));
	SAY(mkdir("d", 0755));
	SAY(mkdir("d", 0755));
	SAY(mkdir("d/.", 0755));
	SAY(mkdir("none/d", 0755));
	touch("f", 0644);
	SAY(mkdir("f/d", 0755));
	SAY(rmdir("f"));
	SAY(rmdir("d/."));
	SAY(rmdir("d/.."));
	SAY(rmdir("none"));
	SAY(unlink("d"));
	SAY(unlink("none"));
	SAY(unlink("f/x"));
	SAY(unlink("f/"));
	touch("d/in", 0644);
	SAY(rmdir("d"));
	SAY(unlink("d/in"));
	SAY(rmdir("d"));
	SAY(opens("f", O_RDONLY | O_DIRECTORY, 0));
	SAY(opens("f", O_WRONLY | O_CREAT | O_EXCL, 0600));
	SAY(opens("none", O_RDONLY, 0));
	SAY(mkdir("d2", 0755));
	SAY(opens("d2", O_WRONLY, 0));
	SAY(opens("d2", O_RDWR | O_CREAT, 0600));
	SAY(truncate("d2", 0));
	SAY(rmdir("d2"));
	SAY(unlink("f"));
}

static void renames(void)
{
	touch("a", 0644);
	touch("b", 0600);
	SAY(mkdir("d", 0755));
	SAY(mkdir("e", 0755));
	SAY(rename("a", "b"));
	show("a");
	show("b");
	SAY(rename("none", "x"));
	SAY(rename("b", "d"));
	SAY(rename("d", "b"));
	SAY(rename("d", "e"));
	SAY(mkdir("d", 0755));
	touch("e/in", 0644);
	SAY(rename("d", "e"));
	SAY(rename("e", "e/sub"));
	SAY(rename("e", "e"));
	SAY(rename("b", "b/"));
	SAY(renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE));
	show("b");
	show("d");
	SAY(renameat2(AT_FDCWD, "b", AT_FDCWD, "none", RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "d", AT_FDCWD, "w", RENAME_WHITEOUT));
	show("d");
	show("w");
	SAY(link("w", "hard"));
	SAY(rename("w", "hard")); /* the same file: nothing happens */
	show("w");
	SAY(link("b", "hard-dir"));
	SAY(link("none", "x"));
	SAY(link("w", "hard"));
	SAY(unlink("w") | unlink("hard") | unlink("d"));
	SAY(rmdir("b") | unlink("e/in") | rmdir("e"));
}

static void links(void)
{
	char target[PATH_MAX];

	SAY(symlink("target", "l"));
	SAY(symlink("target", "l"));
	SAY(symlink("", "empty"));
	SAY(readlink("l", target, sizeof(target)));
	SAY(readlink("l", target, 3));
	SAY(opens("l", O_RDONLY, 0));
	SAY(opens("l", O_RDONLY | O_NOFOLLOW, 0));
	SAY(opens("l", O_WRONLY | O_CREAT | O_EXCL, 0600));
	SAY(opens("l", O_WRONLY | O_CREAT, 0600));
	show("target");
	SAY(symlink("loop", "loop"));
	SAY(opens("loop", O_RDONLY, 0));
	SAY(lchown("l", 5, 6));
	show("l");
	show("target");
	SAY(linkat(AT_FDCWD, "l", AT_FDCWD, "l2", 0));
	show("l2");
	SAY(chmod("l", 0640));
	show("target");
	SAY(unlink("l") | unlink("l2") | unlink("loop") | unlink("target"));
}

static void data(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600), other;
	char bytes[32] = "";

	SAY(pwrite(fd, "abc", 3, 5000000000));
	SAY(lseek(fd, 0, SEEK_END));
	SAY(lseek(fd, 0, SEEK_DATA) > 0);
	SAY(lseek(fd, 0, SEEK_HOLE));
	SAY(lseek(fd, 6000000000, SEEK_DATA));
	SAY(pread(fd, bytes, 10, 4999999999));
	SAY(pread(fd, bytes, 10, -1));
	SAY(ftruncate(fd, 2));
	SAY(lseek(fd, 0, SEEK_END));
	SAY(ftruncate(fd, -1));
	SAY(fallocate(fd, 0, 0, 10000));
	SAY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
	SAY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	SAY(fallocate(fd, 0, 0, 0));
	SAY(lseek(fd, 0, SEEK_END));
	other = open("f", O_WRONLY | O_APPEND);
	SAY(pwrite(other, "end", 3, 0));
	SAY(lseek(fd, 0, SEEK_END));
	SAY(read(other, bytes, 1));
	SAY(pread(fd, bytes, 3, 10000));
	printf("appended: %.3s\n", bytes);
	(void)close(other);
	other = open("copy", O_RDWR | O_CREAT, 0600);
	SAY(copy_file_range(fd, &(off_t){ 10000 }, other, &(off_t){ 0 }, 100, 0));
	SAY(pread(other, bytes, 10, 0));
	SAY(fsync(fd));
	SAY(fdatasync(fd));
	SAY(unlink("f"));
	SAY(pwrite(fd, "after", 5, 0));
	SAY(pread(fd, bytes, 5, 0));
	printf("unlinked: %.5s\n", bytes);
	SAY(fchmod(fd, 0640));
	SAY(ftruncate(fd, 3));
	(void)close(fd);
	(void)close(other);
	fd = open(".", O_RDWR | O_TMPFILE, 0600);
	SAY(fd >= 0);
	SAY(write(fd, "tmp", 3));
	(void)snprintf(bytes, sizeof(bytes), "/proc/self/fd/%d", fd);
	SAY(linkat(AT_FDCWD, bytes, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	show("named");
	(void)close(fd);
	SAY(unlink("named") | unlink("copy"));
}

static void mapped(void)
{
	int fd = open("m", O_RDWR | O_CREAT, 0600);
	char bytes[8] = "", *at;

	SAY(ftruncate(fd, 8192));
	at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SAY(at != MAP_FAILED);
	if (at == MAP_FAILED) {
		(void)close(fd);
		SAY(unlink("m"));
		return;
	}
	memcpy(at + 4094, "map", 3);
	SAY(pread(fd, bytes, 3, 4094));
	printf("read what was mapped: %s\n", bytes);
	SAY(pwrite(fd, "file", 4, 100));
	printf("mapped what was written: %.4s\n", at + 100);
	SAY(msync(at, 8192, MS_SYNC));
	(void)munmap(at, 8192);
	at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	memcpy(at, "private", 7);
	SAY(pread(fd, bytes, 7, 0));
	printf("not: %d\n", bytes[0]);
	(void)munmap(at, 8192);
	(void)close(fd);
	SAY(unlink("m"));
}

static void allocate(const char *path, int mode)
{
	int fd = open(path, O_WRONLY);

	SAY(fallocate(fd, mode, 0, 4096));
	(void)close(fd);
	show(path);
}

static void own_files(void)
{
	SAY(opens("theirs/secret", O_RDONLY, 0));
	SAY(opens("theirs/new", O_WRONLY | O_CREAT, 0600));
	SAY(unlink("theirs/secret"));
	SAY(unlink("sticky/roots"));
	SAY(rename("sticky/roots", "sticky/mine"));
	touch("sticky/mine", 0644);
	SAY(unlink("sticky/mine"));
	SAY(chmod("theirs", 0777));
	SAY(chown("theirs", 1000, 1000));
	SAY(opens("setgid/made", O_WRONLY | O_CREAT, 02755));
	show("setgid/made");
	SAY(mkdir("setgid/sub", 0755));
	show("setgid/sub");
	SAY(utimensat(AT_FDCWD, "theirs/secret", NULL, 0));
	SAY(link("readable", "sticky/hard"));
	SAY(opens("suid", O_WRONLY, 0));
	SAY(write(open("suid", O_WRONLY), "x", 1));
	show("suid");
	SAY(truncate("suid2", 3));
	show("suid2");
	allocate("suid3", 0);
	allocate("suid4", FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE);
	SAY(write(open("sgid", O_WRONLY), "x", 1)); /* no S_IXGRP: not a set-id bit for exec */
	show("sgid");
	allocate("sgid2", 0);
	SAY(copy_file_range(open("readable", O_RDONLY), NULL, open("suid5", O_WRONLY), NULL, 4, 0));
	show("suid5");
	SAY(mknod("sticky/null", S_IFCHR | 0600, makedev(1, 3)));
	SAY(mkfifo("sticky/fifo", 0600));
	show("sticky/fifo");
	SAY(access("theirs/secret", R_OK));
	SAY(access("readable", R_OK));
	SAY(access("readable", W_OK));
	SAY(setxattr("readable", "user.x", "1", 1, 0));
	SAY(chmod("mine", 02755));
	show("mine");
	SAY(chown("mine", -1, 1));
	SAY(chown("mine", 1000, 1000));
	show("mine");
}

static void permissions(void)
{
	mode_t before = umask(0);

	SAY(mkdir("theirs", 0700) | mkdir("sticky", 01777) | mkdir("setgid", 02777));
	SAY(chown("setgid", 0, 77));
	SAY(chmod("setgid", 02777));
	touch("theirs/secret", 0600);
	touch("sticky/roots", 0666);
	touch("readable", 0644);
	touch("suid", 06777);
	touch("suid2", 06777);
	touch("suid3", 06777);
	touch("suid4", 06777);
	touch("suid5", 06777);
	touch("sgid", 02767);
	touch("sgid2", 02767);
	touch("mine", 0644);
	SAY(chown("mine", 1000, 0));
	as_user(1000, 1000, own_files);
	(void)umask(027);
	SAY(opens("masked", O_WRONLY | O_CREAT, 0666));
	show("masked");
	SAY(mkdir("masked-dir", 0777));
	show("masked-dir");
	SAY(chmod("readable", 06755));
	SAY(chown("readable", 1, 2)); /* takes the bits */
	show("readable");
	(void)umask(before);
	SAY(system("rm -r theirs sticky setgid readable suid* sgid* mine masked masked-dir"));
}

static void times(void)
{
	const struct timespec set[2] = { { 1000000000, 123456789 }, { -1, 5 } };
	struct stat before, after;

	touch("t", 0644);
	SAY(utimensat(AT_FDCWD, "t", set, 0));
	SAY(stat("t", &before));
	printf("times %ld.%ld %ld.%ld\n", before.st_atim.tv_sec, before.st_atim.tv_nsec,
	       before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
	SAY(chmod("t", 0600));
	SAY(stat("t", &after));
	SAY(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
	SAY(after.st_ctim.tv_sec >= before.st_ctim.tv_sec);
	touch("t", 0644);
	SAY(stat("t", &after));
	SAY(after.st_mtim.tv_sec > 1000000000);
	SAY(mkdir("td", 0755));
	SAY(utimensat(AT_FDCWD, "td", set, 0));
	touch("td/in", 0644);
	SAY(stat("td", &after));
	SAY(after.st_mtim.tv_sec > 1000000000);
	SAY(unlink("td/in") | rmdir("td") | unlink("t"));
}

static void special(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	char bytes[8] = "";
	int fd;

	SAY(mkfifo("fifo", 0640));
	SAY(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	SAY(mknod("block", S_IFBLK | 0600, makedev(259, 70000)));
	show("fifo");
	show("null");
	show("block");
	/* Between processes of one kernel they work as ever. */
	fd = open("fifo", O_RDWR | O_NONBLOCK);
	SAY(write(fd, "fifo", 4));
	SAY(read(fd, bytes, 4));
	(void)close(fd);
	fd = open("null", O_RDWR);
	SAY(write(fd, "null", 4));
	SAY(read(fd, bytes, 4));
	(void)close(fd);
	SAY(bind(server, (struct sockaddr *)&address, sizeof(address)));
	SAY(listen(server, 1));
	SAY(connect(client, (struct sockaddr *)&address, sizeof(address)));
	show("socket");
	SAY(opens("socket", O_RDONLY, 0));
	(void)close(server);
	SAY(unlink("fifo") | unlink("null") | unlink("block") | unlink("socket"));
}

/* linux/posix_acl_xattr.h: user::owner, user:1000:named, group::group, mask::mask, other::other */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, permissions;
		uint32_t id;
	} entries[5];
};
#define ANYONE 0xffffffff
#define ACL(owner, named, group, mask, other)                                                      \
	{                                                                                          \
		2,                                                                                 \
		    {                                                                              \
			    { 0x01, owner, ANYONE }, { 0x02, named, 1000 },                        \
			    { 0x04, group, ANYONE }, { 0x10, mask, ANYONE },                       \
			    { 0x20, other, ANYONE },                                               \
		    },                                                                             \
	}

static void use_files_with_acls(void)
{
	char value[64];
	int fd;

	SAY(opens("acl/allowed", O_RDWR, 0));
	SAY(opens("acl/denied", O_RDONLY, 0));
	SAY(opens("acl/masked", O_RDONLY, 0));
	SAY(opens("acl/masked", O_WRONLY, 0));
	SAY(access("acl/allowed", W_OK));
	SAY(access("acl/denied", R_OK));
	SAY(opens("acl/entered/in", O_RDONLY, 0));
	SAY(opens("acl/shut/in", O_RDONLY, 0));
	SAY(mkdir("acl/entered/made", 0777));
	show("acl/entered/made");
	SAY(getxattr("acl/entered/made", "system.posix_acl_access", value, sizeof(value)));
	SAY(getxattr("acl/entered/made", "system.posix_acl_default", value, sizeof(value)));
	fd = open("acl/entered/new", O_WRONLY | O_CREAT, 0666);
	SAY(fd >= 0);
	(void)close(fd);
	show("acl/entered/new");
	SAY(unlink("acl/entered/new") | rmdir("acl/entered/made"));
	SAY(removexattr("acl/allowed", "system.posix_acl_access"));
}

static void set_acl(const char *path, const char *which, struct acl acl)
{
	if (setxattr(path, which, &acl, sizeof(acl), 0) < 0)
		printf("%s %s: %s\n", path, which, strerrorname_np(errno));
}

/* user 1000 is named, user 1001 is not. */
static void acls(void)
{
	const char *const access_acl = "system.posix_acl_access";

	SAY(mkdir("acl", 0755) | mkdir("acl/entered", 0700) | mkdir("acl/shut", 0755));
	touch("acl/allowed", 0600);
	touch("acl/denied", 0644);
	touch("acl/masked", 0600);
	touch("acl/entered/in", 0644);
	touch("acl/shut/in", 0644);
	set_acl("acl/allowed", access_acl, (struct acl)ACL(6, 6, 0, 6, 0));
	set_acl("acl/denied", access_acl, (struct acl)ACL(6, 0, 4, 4, 4));
	set_acl("acl/masked", access_acl, (struct acl)ACL(6, 6, 0, 4, 0));
	set_acl("acl/entered", access_acl, (struct acl)ACL(7, 7, 0, 7, 0));
	set_acl("acl/entered", "system.posix_acl_default", (struct acl)ACL(7, 5, 0, 7, 1));
	set_acl("acl/shut", access_acl, (struct acl)ACL(7, 0, 5, 5, 5));
	show("acl/allowed");
	as_user(1000, 1000, use_files_with_acls);
	set_acl("acl/allowed", access_acl, (struct acl)ACL(6, 6, 0, 6, 0));
	as_user(1001, 1001, use_files_with_acls);
	SAY(system("rm -r acl"));
}

static void attributes(void)
{
	static const struct acl acl = ACL(6, 7, 4, 7, 0);
	char value[64];

	touch("x", 0600);
	SAY(setxattr("x", "user.a", "value", 5, 0));
	SAY(setxattr("x", "user.a", "value", 5, XATTR_CREATE));
	SAY(setxattr("x", "user.b", "", 0, XATTR_REPLACE));
	SAY(getxattr("x", "user.a", NULL, 0));
	SAY(getxattr("x", "user.a", value, 2));
	SAY(getxattr("x", "user.a", value, sizeof(value)));
	SAY(getxattr("x", "user.none", value, sizeof(value)));
	SAY(listxattr("x", NULL, 0));
	SAY(setxattr("x", "nothing", "1", 1, 0));
	SAY(removexattr("x", "user.a"));
	SAY(removexattr("x", "user.a"));
	SAY(setxattr("x", "system.posix_acl_access", &acl, sizeof(acl), 0));
	show("x");
	SAY(getxattr("x", "system.posix_acl_access", value, sizeof(value)));
	SAY(chmod("x", 0640));
	SAY(getxattr("x", "system.posix_acl_access", value, sizeof(value)));
	SAY(mkdir("xd", 0700));
	SAY(setxattr("xd", "system.posix_acl_default", &acl, sizeof(acl), 0));
	SAY(opens("xd/inherits", O_WRONLY | O_CREAT, 0666));
	show("xd/inherits");
	SAY(getxattr("xd/inherits", "system.posix_acl_access", value, sizeof(value)));
	SAY(setxattr("x", "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20,
		     0));
	SAY(getxattr("x", "security.capability", value, sizeof(value)));
	SAY(chown("x", 3, 3)); /* takes it */
	SAY(getxattr("x", "security.capability", value, sizeof(value)));
	SAY(unlink("xd/inherits") | rmdir("xd") | unlink("x"));
}

static void locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10 };
	int fd = open("k", O_RDWR | O_CREAT, 0600), other = open("k", O_RDWR);
	int unlocked;
	pid_t pid;

	SAY(fcntl(fd, F_SETLK, &lock));
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		SAY(fcntl(other, F_SETLK, &lock));
		SAY(fcntl(other, F_GETLK, &lock));
		printf("%d %ld %ld\n", lock.l_type, (long)lock.l_start, (long)lock.l_len);
		lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20 };
		SAY(fcntl(other, F_SETLK, &lock));
		(void)fflush(stdout);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0 };
	SAY(fcntl(fd, F_SETLK, &lock)); /* the child's lock went with it */
	/* One that waits, until this process gives it back. */
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		SAY(fcntl(other, F_SETLKW, &lock));
		(void)fflush(stdout);
		_exit(0);
	}
	(void)usleep(100000);
	lock.l_type = F_UNLCK;
	unlocked = fcntl(fd, F_SETLK, &lock);
	(void)waitpid(pid, NULL, 0);
	SAY(unlocked);
	SAY(flock(fd, LOCK_EX | LOCK_NB));
	SAY(flock(other, LOCK_SH | LOCK_NB));
	SAY(flock(fd, LOCK_UN));
	SAY(flock(other, LOCK_SH | LOCK_NB));
	(void)close(fd);
	(void)close(other);
	SAY(unlink("k"));
}

static void directories(void)
{
	struct dirent *entry;
	long sum = 0, n = 0, middle = 0;
	char name[16];
	DIR *dir;

	SAY(mkdir("many", 0755));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "many/%d", i);
		(void)close(open(name, O_WRONLY | O_CREAT, 0644));
	}
	dir = opendir("many");
	while ((entry = readdir(dir))) {
		if (n == 500)
			middle = telldir(dir);
		n++;
		sum += strtol(entry->d_name, NULL, 10);
	}
	printf("%ld entries, sum %ld\n", n, sum);
	seekdir(dir, middle);
	for (n = 0; readdir(dir); n++)
		continue;
	printf("%ld after the middle\n", n);
	rewinddir(dir);
	/* Removed while it is read: none is seen twice, all are gone. */
	for (n = 0; (entry = readdir(dir)); n++)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	printf("%ld removed\n", n - 2);
	(void)closedir(dir);
	SAY(rmdir("many"));
}

int main(int argc, char **argv)
{
	struct statvfs st;

	if (argc != 2 || chdir(argv[1]) < 0) {
		(void)fprintf(stderr, "usage: posix-files DIRECTORY\n");
		return 2;
	}
	(void)umask(022);
	(void)signal(SIGXFSZ, SIG_IGN);
	names();
	renames();
	links();
	data();
	mapped();
	permissions();
	times();
	special();
	attributes();
	acls();
	locks();
	directories();
	SAY(statvfs(".", &st));
	printf("names of %lu bytes\n", st.f_namemax);
	return 0;
}
