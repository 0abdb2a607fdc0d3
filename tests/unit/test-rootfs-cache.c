/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: what the cache's key follows, who makes an image, and what the
 * cache's directory holds afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/image/layer.h"
#include "tests/unit/rootfs-tree.h"
#include "tests/unit/test.h"

static void make_tree(void)
{
	make_directory("tree", 0755);
	make_directory("tree/dir", 0755);
	make_text("tree/file", "contents");
	make_text("tree/dir/other", "contents");
	CHECK(symlink("target", "tree/link") == 0);
	CHECK(mknod("tree/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
}

static void overwrite(void)
{
	_cleanup_close_ int fd = open("tree/file", O_WRONLY | O_CLOEXEC);
	struct stat st;
	struct timespec times[2];

	CHECK(fstat(fd, &st) == 0);
	CHECK_INT(pwrite(fd, "X", 1, 0), 1);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	CHECK(futimens(fd, times) == 0); /* same size and mtime */
}

static void change_mode(void)
{
	CHECK(chmod("tree/file", 0600) == 0);
}

static void change_owner(void)
{
	CHECK(chown("tree/dir", 5, -1U) == 0);
}

static void change_group(void)
{
	CHECK(lchown("tree/link", -1U, 5) == 0);
}

static void change_time(void)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, { 1000, 0 } };

	CHECK(utimensat(AT_FDCWD, "tree/dir/other", times, 0) == 0);
}

static void change_name(void)
{
	CHECK(rename("tree/dir/other", "tree/dir/renamed") == 0);
}

static void add_file(void)
{
	make_text("tree/dir/new", "");
}

static void remove_file(void)
{
	CHECK(unlink("tree/dir/new") == 0);
}

static void change_target(void)
{
	CHECK(unlink("tree/link") == 0);
	CHECK(symlink("tarGet", "tree/link") == 0);
}

static void add_link(void)
{
	CHECK(link("tree/file", "tree/dir/hard") == 0);
}

static void set_attribute(void)
{
	CHECK(setxattr("tree/file", "user.x", "1", 1, 0) == 0);
}

static void change_attribute(void)
{
	CHECK(setxattr("tree/file", "user.x", "2", 1, 0) == 0);
}

static void change_device(void)
{
	CHECK(unlink("tree/null") == 0);
	CHECK(mknod("tree/null", S_IFCHR | 0666, makedev(1, 5)) == 0);
}

static void change_root(void)
{
	CHECK(chmod("tree", 0700) == 0);
}

static void nothing(void)
{
}

static void read_it(void)
{
	RUN("sh", "-c", "cat tree/file tree/dir/other >/dev/null; ls -lR tree >/dev/null");
	RUN("touch", "-a", "-d", "2001-01-01", "cache");
	make_text("beside-the-tree", "x");
}

static void keys_body(void)
{
	static void (*const changes[])(void) = {
		overwrite,     change_mode,	 change_owner,	change_group,  change_time,
		change_name,   add_file,	 remove_file,	change_target, add_link,
		set_attribute, change_attribute, change_device, change_root,
	};
	static void (*const no_changes[])(void) = { nothing, read_it };
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *first = NULL;

	make_tree();
	first = get_image("tree");
	strv_append(&seen, first);
	for (size_t i = 0; i < ARRAY_SIZE(no_changes); i++) {
		_cleanup_free_ char *path = NULL;

		no_changes[i]();
		path = get_image("tree");
		CHECK_STRING(path, first);
	}
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_free_ char *path = NULL, *again = NULL;

		changes[i]();
		path = get_image("tree");
		for (size_t k = 0; seen[k]; k++)
			if (strcmp(seen[k], path) == 0)
				test_fail(__FILE__, __LINE__, "change %zu has the key of %zu", i,
					  k);
		strv_append(&seen, path);
		again = get_image("tree");
		CHECK_STRING(again, path);
	}
	CHECK_INT(count_entries("cache/layers", ""), ARRAY_SIZE(changes) + 1);
}

static void test_keys(void)
{
	in_workspace(keys_body);
}

/* A write within the clock tick of the one before it is not lost. */
static void quick_changes_body(void)
{
	make_directory("tree", 0755);
	for (int i = 0; i < 40; i++) {
		_cleanup_free_ char *image = NULL, *text = xasprintf("%03d", i);
		_cleanup_free_ char *got = NULL;
		_cleanup_error_ struct error *error = NULL;

		make_text("tree/file", "...");
		make_text("tree/file", text);
		image = get_image("tree");
		mount_image(image, "image");
		CHECK_OK(read_file("image/file", 100, &got, NULL, &error), &error);
		CHECK_STRING(got, text);
		RUN("umount", "image");
	}
}

static void test_quick_changes(void)
{
	in_workspace(quick_changes_body);
}

static void make_large_file(const char *path, size_t size)
{
	_cleanup_free_ char *bytes = xmalloc(size);

	fill_random(bytes, size, 3);
	make_file(path, bytes, size, 0644);
}

static int count_lines(const char *path, const char *part)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	int n = 0;

	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	for (const char *at = text; (at = strstr(at, part)); at++)
		n++;
	return n;
}

static void get_when_told(int go)
{
	_cleanup_free_ char *path = NULL;
	char byte;

	CHECK_INT(read(go, &byte, 1), 0);
	path = get_image("tree");
	CHECK(access(path, R_OK) == 0);
}

/* Eight processes want one image at once: one makes it. */
static void concurrent_body(void)
{
	enum { N = 8 };
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *path = NULL;
	int go[2];

	make_tree();
	make_large_file("tree/large", 8 << 20);
	CHECK(pipe(go) == 0);
	log_set_level(LOG_LEVEL_DEBUG);
	CHECK_OK(log_open("log", &error), &error);
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)close(go[1]);
			get_when_told(go[0]);
			exit(0);
		}
		CHECK(pid > 0);
	}
	(void)close(go[1]);
	for (int i = 0; i < N; i++) {
		int status;

		CHECK(wait(&status) > 0);
		CHECK_INT(status, 0);
	}
	CHECK_INT(count_lines("log", "made the image"), 1);
	CHECK_INT(count_entries("cache/layers", ""), 1);
	path = get_image("tree");
	mount_image(path, "image");
	check_same_tree("tree", "image", NULL);
	RUN("umount", "image");
}

static void test_concurrent(void)
{
	in_workspace(concurrent_body);
}

/* Starts a maker, and returns once it has begun to write. */
static pid_t start_maker(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		free(get_image("tree"));
		_exit(0);
	}
	for (int i = 0; i < 5000; i++) {
		struct timespec pause = { 0, 1000000 };

		if (access("cache/layers", F_OK) == 0 && count_entries("cache/layers", ".tmp") > 0)
			return pid;
		(void)nanosleep(&pause, NULL);
	}
	test_fail(__FILE__, __LINE__, "the maker does not begin");
}

static void kill_maker(pid_t pid)
{
	int status;

	CHECK(kill(pid, SIGKILL) == 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_INT(count_entries("cache/layers", ".tmp"), 1);
	CHECK_INT(count_entries("cache/layers", ".squashfs"), 0);
}

static void killed_maker_body(void)
{
	_cleanup_free_ char *image = NULL, *other = NULL;

	make_directory("tree", 0755);
	make_large_file("tree/large", 192 << 20);
	kill_maker(start_maker());
	image = get_image("tree"); /* takes the temporary over */
	CHECK_INT(count_entries("cache/layers", ""), 1);
	mount_image(image, "image");
	check_same_tree("tree", "image", NULL);
	RUN("umount", "image");
	CHECK(unlink(image) == 0);
	kill_maker(start_maker());
	make_directory("small", 0755);
	other = get_image("small"); /* another key: removes it */
	CHECK_INT(count_entries("cache/layers", ""), 1);
}

static void test_killed_maker(void)
{
	in_workspace(killed_maker_body);
}

/* One that waits for a maker who dies makes the image itself. */
static void waiter_body(void)
{
	pid_t maker, waiter;
	int status;

	make_directory("tree", 0755);
	make_large_file("tree/large", 192 << 20);
	maker = start_maker();
	waiter = fork();
	if (waiter == 0) {
		free(get_image("tree"));
		exit(0);
	}
	CHECK(kill(maker, SIGKILL) == 0);
	CHECK_INT(waitpid(maker, &status, 0), maker);
	CHECK_INT(waitpid(waiter, &status, 0), waiter);
	CHECK_INT(status, 0);
	CHECK_INT(count_entries("cache/layers", ".squashfs"), 1);
	CHECK_INT(count_entries("cache/layers", ""), 1);
}

static void test_waiter(void)
{
	in_workspace(waiter_body);
}

static void check_fails(const char *cache_dir, const char *tree, const char *part)
{
	_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
	_cleanup_error_ struct error *error = NULL;
	char *path = NULL;
	int result = layer_cache_open(cache_dir, &cache, &error);

	if (result == 0)
		result = layer_cache_get(cache, tree, &path, &error);
	CHECK_ERROR(result, &error, part);
	CHECK(!path);
}

static void disk_full_body(void)
{
	int fds;

	make_tree();
	make_large_file("tree/large", 8 << 20);
	make_directory("cache", 0700);
	CHECK(mount("tmpfs", "cache", "tmpfs", 0, "size=1m,mode=700") == 0);
	check_fails("cache", "tree", "tree: No space left on device");
	fds = count_fds();
	for (int i = 0; i < 20; i++)
		check_fails("cache", "tree", "cannot write the image of tree: No space left");
	CHECK_INT(count_fds(), fds);
	CHECK_INT(count_entries("cache/layers", ""), 0);
	CHECK_INT(count_entries("/proc/self/task", ""), 1);
	/* Full in the middle of the metadata. */
	CHECK(unlink("tree/large") == 0);
	for (int i = 0; i < 20000; i++) {
		_cleanup_free_ char *path = xasprintf("tree/%d-%0200d", i, i);

		make_file(path, "", 0, 0600);
	}
	CHECK(mount("tmpfs", "cache", "tmpfs", MS_REMOUNT, "size=64k") == 0);
	check_fails("cache", "tree", "cannot write the image of tree: No space left");
	CHECK_INT(count_entries("cache/layers", ""), 0);
	RUN("umount", "cache");
}

static void test_disk_full(void)
{
	in_workspace(disk_full_body);
}

static void unwritable_body(void)
{
	_cleanup_free_ char *first = NULL, *again = NULL;

	make_tree();
	make_text("plain", "x");
	check_fails("plain", "tree",
		    "the image cache cannot be used: cannot make the directory plain");
	make_directory("cache", 0700);
	CHECK(mount("tmpfs", "cache", "tmpfs", MS_RDONLY, NULL) == 0);
	check_fails("cache", "tree", "cannot make the directory cache/layers: Read-only");
	CHECK(mount(NULL, "cache", NULL, MS_REMOUNT, NULL) == 0);
	first = get_image("tree");
	CHECK(mount(NULL, "cache", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	again = get_image("tree"); /* what it has can still be used */
	CHECK_STRING(again, first);
	make_text("tree/new", "x");
	check_fails("cache", "tree", "the image cache cache/layers: Read-only file system");
	CHECK(mount(NULL, "cache", NULL, MS_REMOUNT, NULL) == 0);
	CHECK(chmod("cache/layers", 0770) == 0);
	check_fails("cache", "tree", "can be written by others (owner 0, mode 0770)");
	CHECK(chmod("cache/layers", 0700) == 0);
	CHECK(chown("cache/layers", 1, 1) == 0);
	check_fails("cache", "tree", "can be written by others (owner 1, mode 0700)");
	RUN("umount", "cache");
}

static void test_unwritable(void)
{
	in_workspace(unwritable_body);
}

static void unreadable_body(void)
{
	make_directory("tree", 0755);
	make_text("tree/secret", "x");
	make_directory("user-cache", 0777);
	check_fails("user-cache", "missing", "cannot read the directory missing: No such file");
	check_fails("user-cache", "tree/secret",
		    "cannot read the directory tree/secret: Not a dir");
	RUN("rm", "-rf", "user-cache/layers");
	CHECK(chmod("tree/secret", 0) == 0 && chmod(".", 0755) == 0);
	CHECK(setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0);
	check_fails("user-cache", "tree", "cannot read the file tree/secret: Permission denied");
	CHECK_INT(count_entries("user-cache/layers", ""), 0);
}

static void unreadable_directory_body(void)
{
	make_directory("tree", 0755);
	make_directory("tree/closed", 0700);
	make_directory("user-cache", 0777);
	CHECK(chmod(".", 0755) == 0);
	CHECK(setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0);
	check_fails("user-cache", "tree",
		    "cannot read the directory tree/closed: Permission denied");
}

static void test_unreadable(void)
{
	in_workspace(unreadable_body);
	in_workspace(unreadable_directory_body);
}

static void set_age(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, { time(NULL) - seconds, 0 } };

	CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void eviction_body(void)
{
	const time_t day = 24 * 60 * 60;
	_cleanup_free_ char *old = NULL, *young = NULL, *revived = NULL, *big = NULL;
	struct stat st;
	char path[64];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(path, sizeof(path), "tree%d", i);
		make_directory(path, 0755);
	}
	old = get_image("tree0");
	young = get_image("tree1");
	revived = get_image("tree2");
	set_age(old, 31 * day);
	set_age(young, 29 * day);
	set_age(revived, 31 * day);
	free(get_image("tree2")); /* used: young again */
	CHECK(stat(revived, &st) == 0);
	CHECK(st.st_mtim.tv_sec > time(NULL) - 60);
	free(get_image("tree3")); /* made: prunes */
	CHECK(access(old, F_OK) < 0);
	CHECK(access(young, F_OK) == 0 && access(revived, F_OK) == 0);
	/* Too much in all: the least recently used go, none of the last hour. */
	big = xstrdup("cache/layers/0123.squashfs");
	make_text(big, "x");
	CHECK(truncate(big, 16LL << 30) == 0);
	set_age(young, 3 * day);
	set_age(revived, 2 * day);
	set_age(big, 2 * day + 60);
	make_text("tree4/new", "x");
	free(get_image("tree4"));
	CHECK(access(young, F_OK) < 0 && access(big, F_OK) < 0);
	CHECK(access(revived, F_OK) == 0);
}

static void test_eviction(void)
{
	in_workspace(eviction_body);
}

/* The cache lies in the tree: it is not part of it. */
static void cache_inside_body(void)
{
	_cleanup_free_ char *path = NULL, *again = NULL;

	make_text("file", "x");
	make_directory("image", 0700);
	make_directory("cache", 0700);
	make_directory("cache/layers", 0700);
	path = get_image(".");
	again = get_image(".");
	CHECK_STRING(again, path);
	mount_image(path, "image");
	CHECK_INT(count_entries("image/cache/layers", ""), 0);
	RUN("umount", "image");
}

static void test_cache_inside(void)
{
	in_workspace(cache_inside_body);
}

static const struct test_case cases[] = {
	{ "keys", test_keys },
	{ "quick changes", test_quick_changes },
	{ "concurrent", test_concurrent },
	{ "killed maker", test_killed_maker },
	{ "waiter", test_waiter },
	{ "disk full", test_disk_full },
	{ "unwritable", test_unwritable },
	{ "unreadable", test_unreadable },
	{ "eviction", test_eviction },
	{ "cache inside", test_cache_inside },
};
TEST_MAIN(cases)
