/* SPDX-License-Identifier: Apache-2.0 */
/* See rootfs-tree.h. */
#include "tests/unit/rootfs-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/image/layer.h"
#include "tests/unit/test.h"

#define CHUNK (1U << 20)
/* More is compared only where the tree has data, and at the holes' edges. */
#define WHOLE_FILE_MAX (64LL << 20)

/* A container's root may be allowed neither. */
static void enter_workspace(const char *path)
{
	if (unshare(CLONE_NEWNS) < 0)
		test_skip("needs a mount namespace");
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(chdir(path) == 0);
	(void)umask(0);
	if (mknod("probe", S_IFBLK | 0600, makedev(0xfff, 0xfffff)) < 0)
		test_skip("needs device nodes");
	CHECK(unlink("probe") == 0);
}

void in_workspace(void (*body)(void))
{
	const char *base = getenv("TMPDIR");
	_cleanup_free_ char *path = xasprintf("%s/test-rootfs.XXXXXX", base ? base : "/tmp");
	_cleanup_error_ struct error *error = NULL;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("needs root: device nodes, owners, mounts");
	CHECK(mkdtemp(path));
	pid = fork();
	if (pid == 0) {
		enter_workspace(path);
		body();
		exit(0);
	}
	CHECK(pid > 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_OK(remove_tree(path, &error), &error);
	if (WIFSIGNALED(status))
		test_fail(__FILE__, __LINE__, "killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		exit(WEXITSTATUS(status));
}

void make_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write_all(fd, bytes, size) < 0 || fchmod(fd, mode) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
}

void make_text(const char *path, const char *text)
{
	make_file(path, text, strlen(text), 0644);
}

void make_directory(const char *path, mode_t mode)
{
	if (mkdir(path, 0700) < 0 || chmod(path, mode) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
}

void run_command(const char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (status != 0)
		test_fail(__FILE__, __LINE__, "%s failed with status 0x%x", argv[0], status);
}

void fill_random(void *bytes, size_t size, unsigned seed)
{
	uint64_t state = seed * 2654435761ULL + 88172645463325252ULL;

	for (size_t i = 0; i < size; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		((uint8_t *)bytes)[i] = (uint8_t)state;
	}
}

static bool has_loop_devices(void)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int n = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;
	_cleanup_free_ char *path = xasprintf("/dev/loop%d", n);

	return n >= 0 && access(path, R_OK) == 0;
}

void mount_image(const char *path, const char *at)
{
	if (!has_loop_devices())
		test_skip("needs loop devices");
	CHECK(mkdir(at, 0700) == 0 || errno == EEXIST);
	RUN("mount", "-t", "squashfs", "-o", "loop,ro", path, at);
}

static void compare_range(const char *name, int a, int b, off_t from, off_t to)
{
	static char x[CHUNK], y[CHUNK];

	while (from < to) {
		size_t size = to - from < (off_t)CHUNK ? (size_t)(to - from) : CHUNK;
		ssize_t n = pread(a, x, size, from);

		if (n <= 0 || pread(b, y, (size_t)n, from) != n || memcmp(x, y, (size_t)n) != 0)
			test_fail(__FILE__, __LINE__, "%s: contents differ after %lld", name,
				  (long long)from);
		from += n;
	}
}

static void compare_contents(const char *name, int dir_a, int dir_b, off_t size)
{
	_cleanup_close_ int a = openat(dir_a, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int b = openat(dir_b, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	off_t at = 0;

	CHECK(a >= 0 && b >= 0);
	if (size <= WHOLE_FILE_MAX) {
		compare_range(name, a, b, 0, size);
		return;
	}
	while (at < size) {
		off_t data = lseek(a, at, SEEK_DATA), hole;

		if (data < 0)
			data = size;
		hole = data < size ? lseek(a, data, SEEK_HOLE) : size;
		compare_range(name, a, b, at, at + CHUNK < data ? at + CHUNK : data);
		compare_range(name, a, b, data - CHUNK > at ? data - CHUNK : at, hole);
		at = hole;
	}
}

static bool is_in_image(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0;
}

/* Every attribute of a is one of b; returns how many. */
static int compare_xattrs(const char *name, const char *a, const char *b)
{
	static char names[65536], x[65536], y[65536];
	ssize_t size = llistxattr(a, names, sizeof(names));
	int n = 0;

	if (size < 0 && errno == ENOTSUP)
		return 0;
	CHECK(size >= 0);
	for (const char *key = names; key < names + size; key += strlen(key) + 1) {
		ssize_t nx, ny;

		if (!is_in_image(key))
			continue;
		nx = lgetxattr(a, key, x, sizeof(x));
		ny = lgetxattr(b, key, y, sizeof(y));
		if (nx < 0 || nx != ny || memcmp(x, y, (size_t)nx) != 0)
			test_fail(__FILE__, __LINE__, "%s: %s differs (%zd and %zd bytes)", name,
				  key, nx, ny);
		n++;
	}
	return n;
}

static void compare_links(const char *name, int dir_a, int dir_b)
{
	char x[PATH_MAX + 1], y[PATH_MAX + 1];
	ssize_t nx = readlinkat(dir_a, name, x, sizeof(x));
	ssize_t ny = readlinkat(dir_b, name, y, sizeof(y));

	if (nx < 0 || nx != ny || memcmp(x, y, (size_t)nx) != 0)
		test_fail(__FILE__, __LINE__, "%s: link targets differ", name);
}

static int64_t squashfs_time(int64_t seconds)
{
	return seconds < 0 ? 0 : seconds > UINT32_MAX ? UINT32_MAX : seconds;
}

static void compare_facts(const char *name, const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		test_fail(__FILE__, __LINE__, "%s: mode %o owner %u:%u, in the image %o %u:%u",
			  name, a->st_mode, a->st_uid, a->st_gid, b->st_mode, b->st_uid, b->st_gid);
	if (squashfs_time(a->st_mtim.tv_sec) != b->st_mtim.tv_sec)
		test_fail(__FILE__, __LINE__, "%s: mtime %lld, in the image %lld", name,
			  (long long)a->st_mtim.tv_sec, (long long)b->st_mtim.tv_sec);
	if (a->st_nlink != b->st_nlink || a->st_rdev != b->st_rdev)
		test_fail(__FILE__, __LINE__, "%s: links %u device %llx, in the image %u %llx",
			  name, (unsigned)a->st_nlink, (unsigned long long)a->st_rdev,
			  (unsigned)b->st_nlink, (unsigned long long)b->st_rdev);
	if (!S_ISDIR(a->st_mode) && a->st_size != b->st_size)
		test_fail(__FILE__, __LINE__, "%s: size %lld, in the image %lld", name,
			  (long long)a->st_size, (long long)b->st_size);
}

static bool is_listed(const char *name, const char *const *list)
{
	for (; list && *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/*
 * Inode numbers map one to one: the same pair of names share an inode in both.
 * Kept as a list of (tree's, image's); the tests' trees have few links.
 */
static void compare_identity(const char *name, const struct stat *a, const struct stat *b)
{
	static struct {
		ino_t a, b;
	} seen[256];
	static size_t n;

	if (S_ISDIR(a->st_mode) || a->st_nlink < 2)
		return;
	for (size_t i = 0; i < n; i++)
		if ((seen[i].a == a->st_ino) != (seen[i].b == b->st_ino))
			test_fail(__FILE__, __LINE__, "%s: linked to another file", name);
	CHECK(n < ARRAY_SIZE(seen));
	seen[n].a = a->st_ino;
	seen[n++].b = b->st_ino;
}

static void compare_directories(const char *name, int a, int b, const char *const *left_out);

/* a and b are the directories the entry is in. */
static void compare_entry(const char *name, int a, int b, const char *const *left_out)
{
	_cleanup_free_ char *path_a = xasprintf("/proc/self/fd/%d/%s", a, name);
	_cleanup_free_ char *path_b = xasprintf("/proc/self/fd/%d/%s", b, name);
	struct stat x, y;

	CHECK(fstatat(a, name, &x, AT_SYMLINK_NOFOLLOW) == 0);
	if (fstatat(b, name, &y, AT_SYMLINK_NOFOLLOW) < 0)
		test_fail(__FILE__, __LINE__, "%s is not in the image", name);
	if (is_listed(name, left_out))
		return;
	compare_facts(name, &x, &y);
	compare_identity(name, &x, &y);
	if (compare_xattrs(name, path_a, path_b) != compare_xattrs(name, path_b, path_a))
		test_fail(__FILE__, __LINE__, "%s: more attributes in the image", name);
	if (S_ISLNK(x.st_mode))
		compare_links(name, a, b);
	if (S_ISREG(x.st_mode))
		compare_contents(name, a, b, x.st_size);
	if (S_ISDIR(x.st_mode)) {
		_cleanup_close_ int sub_a = openat(a, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_cleanup_close_ int sub_b = openat(b, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		compare_directories(name, sub_a, sub_b, left_out);
	}
}

static int count_in(DIR *dir)
{
	int n = 0;

	while (readdir(dir))
		n++;
	return n;
}

static void compare_directories(const char *name, int a, int b, const char *const *left_out)
{
	_cleanup_dir_ DIR *dir_a = fdopendir(dup(a));
	_cleanup_dir_ DIR *dir_b = fdopendir(dup(b));
	struct dirent *entry;
	int n = 0;

	CHECK(dir_a && dir_b);
	while ((entry = readdir(dir_a))) {
		n++;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			compare_entry(entry->d_name, a, b, left_out);
	}
	if (count_in(dir_b) != n)
		test_fail(__FILE__, __LINE__, "%s: not as many entries in the image", name);
}

void check_same_tree(const char *tree, const char *image, const char *const *left_out)
{
	_cleanup_close_ int a = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int b = open(image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(a >= 0 && b >= 0);
	compare_entry(".", a, b, left_out);
}

char *get_image(const char *tree)
{
	_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
	_cleanup_error_ struct error *error = NULL;
	char *path = NULL;

	CHECK_OK(layer_cache_open("cache", &cache, &error), &error);
	CHECK_OK(layer_cache_get(cache, tree, &path, &error), &error);
	return path;
}

int count_entries(const char *path, const char *suffix)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name), end = strlen(suffix);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			n += length >= end && strcmp(entry->d_name + length - end, suffix) == 0;
	}
	return n;
}

int count_fds(void)
{
	return count_entries("/proc/self/fd", "");
}
