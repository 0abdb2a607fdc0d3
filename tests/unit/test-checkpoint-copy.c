/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of trees that others write to meanwhile: sandbox/checkpoint-copy.h. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "sandbox/checkpoint-copy.h"
#include "tests/unit/test.h"

struct copying {
	struct loop *loop;
	char *message; /* NULL: it did not fail */
};

static char directory[] = "/tmp/checkpoint-copy-XXXXXX";

/* Where it is read. */
static void enter_directory(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		test_skip("it needs CAP_SYS_ADMIN, to clone mounts");
	CHECK(mkdtemp(directory) && chdir(directory) == 0);
}

static void leave_directory(void)
{
	struct error *error = NULL;

	CHECK(chdir("/") == 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void write_text(const char *path, const char *text)
{
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0640, &error), &error);
}

static void check_text(const char *path, const char *wanted)
{
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;

	CHECK_OK(read_file(path, 4096, &text, NULL, &error), &error);
	CHECK_STRING(text, wanted);
}

static void ended(void *data, const struct error *error)
{
	struct copying *copying = data;

	copying->message = error ? xstrdup(error->message) : NULL;
	loop_quit(copying->loop);
}

/* Why it failed; NULL: it did not.  Caller frees. */
static char *copy(const char *from, const char *to)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_free_ char *source = xasprintf("%s/%s", directory, from);
	_cleanup_free_ char *target = xasprintf("%s/%s", directory, to);
	struct checkpoint_copy *copy = NULL;
	struct copying copying = { 0 };
	struct error *error = NULL;

	CHECK_OK(loop_new(&loop, &error), &error);
	copying.loop = loop;
	CHECK_OK(checkpoint_copy_tree(loop, source, target, ended, &copying, &copy, &error),
		 &error);
	loop_run(loop);
	return copying.message;
}

static void test_tree(void)
{
	struct stat one, other;
	char target[16] = "";

	enter_directory();
	CHECK(mkdir("tree", 0751) == 0 && mkdir("tree/below", 0700) == 0);
	write_text("tree/below/file", "text");
	CHECK(link("tree/below/file", "tree/second") == 0);
	CHECK(symlink("/etc/passwd", "tree/link") == 0 && mkfifo("tree/pipe", 0600) == 0);
	CHECK(!copy("tree", "copy"));
	check_text("copy/below/file", "text");
	CHECK(stat("copy/below/file", &one) == 0 && stat("copy/second", &other) == 0);
	CHECK(one.st_ino == other.st_ino && (one.st_mode & 07777) == 0640);
	CHECK(readlink("copy/link", target, sizeof(target) - 1) > 0);
	CHECK_STRING(target, "/etc/passwd");
	CHECK(stat("copy/pipe", &one) == 0 && S_ISFIFO(one.st_mode));
	CHECK(stat("tree", &one) == 0 && stat("copy", &other) == 0);
	CHECK(one.st_mode == other.st_mode && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec);
	leave_directory();
}

/* Of a bind. */
static void test_file(void)
{
	enter_directory();
	write_text("file", "text");
	CHECK(!copy("file", "copy"));
	check_text("copy", "text");
	leave_directory();
}

/* What cp sees if a link takes a directory's place behind its back: a program in cp's place goes
 * by such a path. */
static void test_link_in_place_of_directory(void)
{
	_cleanup_free_ char *message = NULL, *path = NULL;

	enter_directory();
	CHECK(mkdir("tree", 0755) == 0 && mkdir("outside", 0755) == 0 && mkdir("bin", 0755) == 0);
	write_text("outside/secret", "secret");
	CHECK(symlink("../outside", "tree/directory") == 0);
	write_text("bin/cp", "#!/bin/sh\n"
			     "while test $# -gt 2; do shift; done\n"
			     "exec cat \"$1/directory/secret\" >\"$2\"\n");
	CHECK(chmod("bin/cp", 0755) == 0);
	path = xasprintf("%s/bin:%s", directory, getenv("PATH"));
	CHECK(setenv("PATH", path, 1) == 0);
	message = copy("tree", "copy");
	check_text("copy", "");
	CHECK(message && strstr(message, "symbolic links"));
	leave_directory();
}

static const struct test_case cases[] = {
	{ "tree", test_tree },
	{ "file", test_file },
	{ "link_in_place_of_directory", test_link_in_place_of_directory },
};

TEST_MAIN(cases)
