/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: trees that change while their image is made. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/image/layer.h"
#include "tests/unit/rootfs-tree.h"
#include "tests/unit/test.h"

#define LARGE (64U << 20)

static void nap(long milliseconds)
{
	const struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static void make_trees(void)
{
	_cleanup_free_ char *bytes = xmalloc(LARGE);

	make_directory("tree", 0755);
	fill_random(bytes, LARGE, 1);
	/* Names sort: "early" is read first, "late" last. */
	make_text("tree/early", "before");
	make_file("tree/large", bytes, LARGE, 0644);
	make_text("tree/late", "before");
}

/* Runs change in another process once the image is being written. */
static pid_t change_later(void (*change)(void))
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (int i = 0; i < 10000; i++) {
		if (access("cache/layers", F_OK) == 0 && count_entries("cache/layers", ".tmp") > 0)
			break;
		nap(1);
	}
	nap(10);
	change();
	exit(0);
}

static void check_after(void (*change)(void))
{
	_cleanup_free_ char *image = NULL;
	int status;
	pid_t pid;

	make_trees();
	pid = change_later(change);
	free(get_image("tree"));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	image = get_image("tree");
	mount_image(image, "image");
	check_same_tree("tree", "image", NULL);
	RUN("umount", "image");
	CHECK_INT(count_entries("cache/layers", ".tmp"), 0);
	RUN("rm", "-rf", "tree", "cache");
}

static void write_late(void)
{
	make_text("tree/late", "after!");
}

static void grow_late(void)
{
	make_text("tree/late", "after that there is more");
}

static void shrink_large(void)
{
	CHECK(truncate("tree/large", LARGE / 2) == 0);
}

static void write_early(void)
{
	make_text("tree/early", "after!");
}

static void remove_late(void)
{
	CHECK(unlink("tree/late") == 0);
}

static void replace_with_fifo(void)
{
	CHECK(unlink("tree/late") == 0);
	CHECK(mkfifo("tree/late", 0600) == 0);
}

static void replace_with_link(void)
{
	CHECK(unlink("tree/late") == 0);
	CHECK(symlink("/etc/passwd", "tree/late") == 0);
}

static void once_body(void)
{
	static void (*const changes[])(void) = {
		write_late,  grow_late,		shrink_large,	   write_early,
		remove_late, replace_with_fifo, replace_with_link,
	};

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		check_after(changes[i]);
}

static void test_once(void)
{
	in_workspace(once_body);
}

/*
 * Runs step again and again, a millisecond apart, in a process that ends with
 * this one. It comes before all others when it is due, so that on a busy
 * machine too no attempt passes without one.
 */
static pid_t disturb(void (*step)(void))
{
	const struct sched_param first = { .sched_priority = 1 };
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	for (;;) {
		step();
		nap(1);
	}
}

static void write_late_again(void)
{
	make_text("tree/late", "always new");
}

static void check_fails_as_changing(void)
{
	_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
	_cleanup_error_ struct error *error = NULL;
	char *path = NULL;

	CHECK_OK(layer_cache_open("cache", &cache, &error), &error);
	CHECK_ERROR(layer_cache_get(cache, "tree", &path, &error), &error,
		    "no image could be made in 5 attempts: tree/late changed while it was read");
}

/* A file that never stops changing: an error, and nothing left in the cache.  (In memory: on a
 * disk, the process that changes it may have to wait for others, for longer than an attempt takes.)
 */
static void always_body(void)
{
	pid_t pid;

	make_directory("memory", 0755);
	CHECK(mount("tmpfs", "memory", "tmpfs", 0, NULL) == 0 && chdir("memory") == 0);
	make_trees();
	pid = disturb(write_late_again);
	check_fails_as_changing();
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK_INT(count_entries("cache/layers", ""), 0);
	free(get_image("tree"));
}

static void test_always(void)
{
	in_workspace(always_body);
}

static void exchange(void)
{
	(void)renameat2(AT_FDCWD, "tree/swap", AT_FDCWD, "tree/link", RENAME_EXCHANGE);
}

/*
 * A directory swapped with a link that leads out of the tree, again and again:
 * now and then an image comes out, but never with what is outside.
 */
static void escape_body(void)
{
	int made = 0;
	pid_t pid;

	make_directory("mounts", 0755); /* "../outside" is nothing from there */
	make_directory("outside", 0755);
	make_text("outside/file", "secret");
	make_directory("tree", 0755);
	make_directory("tree/swap", 0755);
	make_text("tree/swap/file", "public");
	CHECK(symlink("../outside", "tree/link") == 0);
	pid = disturb(exchange);
	for (int i = 0; i < 30; i++) {
		_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
		_cleanup_error_ struct error *error = NULL;
		_cleanup_free_ char *path = NULL, *a = NULL, *b = NULL;

		CHECK_OK(layer_cache_open("cache", &cache, &error), &error);
		if (layer_cache_get(cache, "tree", &path, &error) < 0) {
			CHECK_INT(error->code, ESTALE);
			continue;
		}
		made++;
		mount_image(path, "mounts/image");
		CHECK_INT(count_entries("mounts/image", ""), 2);
		if (read_file("mounts/image/swap/file", 100, &a, NULL, NULL) == 0)
			CHECK_STRING(a, "public");
		if (read_file("mounts/image/link/file", 100, &b, NULL, NULL) == 0)
			CHECK_STRING(b, "public");
		RUN("umount", "mounts/image");
	}
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK(made > 0);
}

static void test_escape(void)
{
	in_workspace(escape_body);
}

/* A directory moved out of the tree while the walk is in it. */
static void moved_body(void)
{
	make_directory("outside", 0755);
	make_text("outside/file", "secret");
	make_directory("tree", 0755);
	for (int i = 0; i < 300; i++) {
		_cleanup_free_ char *path = xasprintf("tree/%03d", i);
		_cleanup_free_ char *file = xasprintf("tree/%03d/file", i);

		make_directory(path, 0755);
		make_text(file, "public");
	}
	for (int round = 0; round < 5; round++) {
		pid_t pid = fork();
		_cleanup_free_ char *image = NULL;

		if (pid == 0) {
			for (int i = 0; i < 2000; i++) {
				_cleanup_free_ char *path = xasprintf("tree/%03d", i % 300);

				(void)rename(path, "outside/moved");
				(void)rename("outside/moved", path);
			}
			exit(0);
		}
		_cleanup_(layer_cache_closep) struct layer_cache *cache = NULL;
		_cleanup_error_ struct error *error = NULL;

		CHECK_OK(layer_cache_open("cache", &cache, &error), &error);
		if (layer_cache_get(cache, "tree", &image, &error) < 0)
			CHECK_INT(error->code, ESTALE);
		CHECK_INT(waitpid(pid, NULL, 0), pid);
	}
	{
		_cleanup_free_ char *image = get_image("tree");

		mount_image(image, "image");
		check_same_tree("tree", "image", NULL);
		RUN("umount", "image");
	}
}

static void test_moved(void)
{
	in_workspace(moved_body);
}

static const struct test_case cases[] = {
	{ "once", test_once },
	{ "always", test_always },
	{ "escape", test_escape },
	{ "moved", test_moved },
};
TEST_MAIN(cases)
