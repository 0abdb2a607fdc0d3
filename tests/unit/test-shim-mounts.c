/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of CreateTaskRequest.rootfs, really made: in a mount namespace of the
 * test's own, below a tmpfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/mounts.h"
#include "tests/unit/test.h"

#define PLACE "/tmp"
#define TARGET PLACE "/bundle/rootfs"
#define OPTIONS_MAX 8

struct wanted {
	const char *type, *source, *target;
	const char *options[OPTIONS_MAX];
};

static void put_file(const char *path, const char *text)
{
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct error *error = NULL;

	CHECK_OK(make_directories(directory, 0755, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0644, &error), &error);
}

/* What the case mounts goes with its process. */
static void place_init(void)
{
	if (geteuid() != 0)
		test_skip("only root may mount");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", PLACE, "tmpfs", 0, NULL) < 0)
		test_skip("no mount namespace of one's own here");
	CHECK(mkdir(PLACE "/bundle", 0755) == 0);
}

static int make(const struct wanted *wanted, size_t n, struct error **ret_error)
{
	Task__Mount mounts[4];
	Task__Mount *pointers[4];

	for (size_t i = 0; i < n; i++) {
		task__mount__init(&mounts[i]);
		mounts[i].type = (char *)wanted[i].type;
		mounts[i].source = (char *)wanted[i].source;
		if (wanted[i].target)
			mounts[i].target = (char *)wanted[i].target;
		mounts[i].options = (char **)wanted[i].options;
		while (wanted[i].options[mounts[i].n_options])
			mounts[i].n_options++;
		pointers[i] = &mounts[i];
	}
	return mounts_make(pointers, n, TARGET, ret_error);
}

static void check_file(const char *name, const char *wanted)
{
	_cleanup_free_ char *path = xasprintf(TARGET "/%s", name);
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;

	CHECK_OK(read_file(path, 4096, &text, NULL, &error), &error);
	CHECK_STRING(text, wanted);
}

static unsigned long flags_of(const char *path)
{
	struct statvfs st;

	CHECK(statvfs(path, &st) == 0);
	return st.f_flag;
}

/* Nothing is mounted there (any more). */
static void check_removed(void)
{
	struct error *error = NULL;
	struct stat target, parent;

	CHECK_OK(mounts_remove(TARGET, &error), &error);
	CHECK(stat(TARGET, &target) == 0 && stat(PLACE "/bundle", &parent) == 0);
	CHECK_INT(target.st_dev, parent.st_dev);
	CHECK_OK(mounts_remove(TARGET, &error), &error);
}

static void test_bind(void)
{
	static const struct wanted writable = { "bind", PLACE "/tree", NULL, { "rbind", "rw" } };
	static const struct wanted readonly = {
		"bind", PLACE "/tree", NULL, { "rbind", "ro", "nosuid", "nodev", "noexec" }
	};
	struct error *error = NULL;

	place_init();
	put_file(PLACE "/tree/file", "text");
	put_file(PLACE "/tree/below/file", "hidden");
	CHECK(mount("tmpfs", PLACE "/tree/below", "tmpfs", 0, NULL) == 0);
	put_file(PLACE "/tree/below/inner", "inner");
	CHECK_OK(make(&writable, 1, &error), &error);
	check_file("file", "text");
	check_file("below/inner", "inner");
	put_file(TARGET "/new", "new");
	CHECK(access(PLACE "/tree/new", F_OK) == 0);
	check_removed();
	CHECK_OK(make(&readonly, 1, &error), &error);
	CHECK_INT(flags_of(TARGET) & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC),
		  ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
	CHECK(open(TARGET "/more", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0 && errno == EROFS);
	CHECK_INT(flags_of(PLACE "/tree") & ST_RDONLY, 0);
	check_removed();
}

static void test_overlay(void)
{
	static const struct wanted overlay = { "overlay",
					       "overlay",
					       NULL,
					       { "index=off", "lowerdir=" PLACE "/2:" PLACE "/1",
						 "upperdir=" PLACE "/up",
						 "workdir=" PLACE "/wk" } };
	struct error *error = NULL;

	place_init();
	put_file(PLACE "/1/a", "one");
	put_file(PLACE "/1/b", "one");
	put_file(PLACE "/2/b", "two");
	CHECK(mkdir(PLACE "/up", 0755) == 0 && mkdir(PLACE "/wk", 0755) == 0);
	CHECK_OK(make(&overlay, 1, &error), &error);
	check_file("a", "one");
	check_file("b", "two");
	put_file(TARGET "/c", "new");
	CHECK(access(PLACE "/up/c", F_OK) == 0);
	check_removed();
}

/* As many layers as make the options longer than the kernel's page. */
static void test_many_layers(void)
{
	enum { N = 100 };
	static const char parent[] =
	    PLACE "/a-rather-long-name-of-a-directory-as-containerd-has-them/snapshots";
	_cleanup_free_ char *lower = xstrdup("lowerdir=");
	struct wanted overlay = { "overlay", "overlay", NULL, { NULL } };
	struct error *error = NULL;
	char *before, *after;

	place_init();
	for (int i = 0; i < N; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%d/fs/file%d", parent, i, i);
		char *longer = xasprintf("%s%s%s/%d/fs", lower, i ? ":" : "", parent, i);

		put_file(path, "layer");
		free(lower);
		lower = longer;
	}
	CHECK(strlen(lower) > 4096);
	overlay.options[0] = lower;
	before = getcwd(NULL, 0);
	CHECK_OK(make(&overlay, 1, &error), &error);
	after = getcwd(NULL, 0);
	CHECK_STRING(after, before);
	free(before);
	free(after);
	check_file("file0", "layer");
	check_file("file99", "layer");
	check_removed();
}

/* One over the other; what fails leaves none. */
static void test_several(void)
{
	static const struct wanted good[] = {
		{ "tmpfs", "tmpfs", NULL, { "size=64k" } },
		{ "bind", PLACE "/tree", NULL, { "bind" } },
	};
	static const struct wanted bad[] = {
		{ "bind", PLACE "/tree", NULL, { "bind" } },
		{ "bind", PLACE "/none", NULL, { "bind" } },
	};
	struct error *error = NULL;

	place_init();
	put_file(PLACE "/tree/file", "text");
	CHECK_OK(make(good, 2, &error), &error);
	check_file("file", "text");
	check_removed();
	CHECK_ERROR(make(bad, 2, &error), &error, "(type bind, source " PLACE "/none)");
	CHECK(access(TARGET "/file", F_OK) < 0);
	check_removed();
}

static void test_refused(void)
{
	static const struct {
		struct wanted wanted;
		const char *error;
	} cases[] = {
		{ { "bind", PLACE "/none", NULL, { "rbind" } }, "source " PLACE "/none" },
		{ { "nosuchfs", "x", NULL, { NULL } }, "type nosuchfs" },
		{ { "overlay", "overlay", NULL, { "lowerdir=" PLACE "/none" } }, "type overlay" },
		{ { "bind", PLACE, "/etc", { "bind" } }, "\"/etc\" below the root" },
		{ { "bind", PLACE, NULL, { "bind", "X-mount.mkdir" } }, "\"X-mount.mkdir\"" },
		{ { "bind", PLACE, NULL, { "bind", "rprivate" } }, "\"rprivate\"" },
		{ { "bind", PLACE, NULL, { "bind", "rro" } }, "\"rro\"" },
		{ { "tmpfs", "x", NULL, { "remount" } }, "\"remount\"" },
		{ { "tmpfs", "x", NULL, { "tmpcopyup" } }, "\"tmpcopyup\"" },
		{ { "bind", PLACE, NULL, { "bind", "copyup" } }, "\"copyup\"" },
		{ { "ext4", PLACE "/image", NULL, { "loop" } }, PLACE "/image" },
	};
	struct error *error = NULL;

	place_init();
	put_file(PLACE "/image", "no file system");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_ERROR(make(&cases[i].wanted, 1, &error), &error, cases[i].error);
		check_removed();
	}
	/* A busy mount goes when its last user does. */
	put_file(PLACE "/tree/file", "text");
	{
		static const struct wanted bind = { "bind", PLACE "/tree", NULL, { "bind" } };
		int fd;

		CHECK_OK(make(&bind, 1, &error), &error);
		fd = open(TARGET "/file", O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0);
		check_removed();
		(void)close(fd);
	}
}

static bool run_program(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The block file snapshotter's: an image with "loop", writable or not. */
static void test_image(void)
{
	static const struct wanted writable = { "ext4", PLACE "/image", NULL, { "loop" } };
	static const struct wanted readonly = { "ext4", PLACE "/image", NULL, { "loop", "ro" } };
	struct error *error = NULL;

	place_init();
	put_file(PLACE "/tree/file", "text");
	if (access("/dev/loop-control", R_OK | W_OK) < 0 || access("/sbin/mkfs.ext4", X_OK) < 0)
		test_skip("no loop devices or no mkfs.ext4 here");
	CHECK(run_program("truncate -s 2M " PLACE
			  "/image && /sbin/mkfs.ext4 -q -O ^has_journal -d " PLACE "/tree " PLACE
			  "/image"));
	CHECK_OK(make(&writable, 1, &error), &error);
	check_file("file", "text");
	put_file(TARGET "/new", "new");
	check_removed();
	CHECK_OK(make(&readonly, 1, &error), &error);
	check_file("new", "new");
	CHECK(flags_of(TARGET) & ST_RDONLY);
	check_removed();
	/* The devices have gone with the mounts. */
	CHECK(
	    !run_program("/sbin/losetup -n -O BACK-FILE 2>/dev/null | grep -q '^" PLACE "/image'"));
}

static void test_is_image(void)
{
	static const struct {
		const char *type, *option;
		bool image;
	} cases[] = {
		{ "squashfs", NULL, true }, { "erofs", "ro", true }, { "erofs", "loop", true },
		{ "ext4", "ro", true },	    { "ext4", "rw", false }, { "ext4", NULL, false },
		{ "overlay", "ro", false }, { "bind", "ro", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Task__Mount mount = TASK__MOUNT__INIT;

		mount.type = (char *)cases[i].type;
		mount.options = (char **)&cases[i].option;
		mount.n_options = cases[i].option ? 1 : 0;
		CHECK_INT(mounts_is_image(&mount), cases[i].image);
	}
}

static const struct test_case cases[] = {
	{ "bind", test_bind },
	{ "overlay", test_overlay },
	{ "many layers", test_many_layers },
	{ "several", test_several },
	{ "refused", test_refused },
	{ "image", test_image },
	{ "is image", test_is_image },
};

TEST_MAIN(cases)
