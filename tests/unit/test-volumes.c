/* SPDX-License-Identifier: Apache-2.0 */
/* Named volumes: names, users that go, and who fills one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/volumes.h"
#include "tests/unit/test.h"

static char place[] = "/tmp/test-volumes.XXXXXX";
static char *volumes, *marks;

static void begin(void)
{
	(void)strcpy(place + strlen(place) - 6, "XXXXXX");
	CHECK(mkdtemp(place));
	volumes = xasprintf("%s/store/volumes", place);
	marks = xasprintf("%s/run/web/bundle/volumes", place);
}

static void end(void)
{
	CHECK(remove_tree(place, NULL) == 0);
	free(volumes);
	free(marks);
}

static void make(const char *name)
{
	struct error *error = NULL;

	CHECK_OK(volumes_make(volumes, name, false, NULL, &error), &error);
}

/* The descriptor for filling, or -1. */
static int use(const char *name)
{
	struct error *error = NULL;
	int fd;

	CHECK_OK(volumes_use(volumes, name, marks, -1, &fd, &error), &error);
	return fd;
}

static void touch(const char *name, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/_data/%s", volumes, name, file);
	const int fd = open(path, O_WRONLY | O_CREAT, 0600);

	CHECK(fd >= 0 && close(fd) == 0);
}

static bool has(const char *name, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/_data/%s", volumes, name, file);

	return access(path, F_OK) == 0;
}

static void test_names(void)
{
	static const char *const bad[] = { "", "a", ".a", "-a", "a/b", "a b", "_x", "a\n" };
	static const char *const good[] = { "aa", "0a", "A_.-z" };
	struct error *error = NULL;
	char *name;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(volumes_check_name(bad[i], NULL) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_OK(volumes_check_name(good[i], &error), &error);
	CHECK_OK(volumes_random_name(&name, &error), &error);
	CHECK_INT(strlen(name), 64);
	CHECK_OK(volumes_check_name(name, &error), &error);
	free(name);
}

static void test_entries(void)
{
	char *const labels[] = { (char *)"tier=front", NULL };
	struct volumes_entry *entry;
	struct error *error = NULL;
	char **names;

	begin();
	CHECK_OK(volumes_names(volumes, &names, &error), &error);
	CHECK(!names);
	CHECK_OK(volumes_make(volumes, "db", true, labels, &error), &error);
	make("app");
	make("db"); /* stays as it is */
	CHECK_OK(volumes_find(volumes, "db", &entry, &error), &error);
	CHECK(entry->anonymous && entry->created > 0);
	CHECK_STRING(entry->labels[0], "tier=front");
	volumes_entry_free(entry);
	CHECK_OK(volumes_names(volumes, &names, &error), &error);
	CHECK_STRING(names[0], "app");
	CHECK_STRING(names[1], "db");
	CHECK(!names[2]);
	strv_free(names);
	CHECK_ERROR(volumes_find(volumes, "none", &entry, &error), &error, "no such volume: none");
	CHECK_ERROR(volumes_find(volumes, "../db", &entry, &error), &error, "no such volume");
	CHECK_ERROR(volumes_remove(volumes, "../app", &error), &error, "no such volume");
	CHECK_OK(volumes_remove(volumes, "app", &error), &error);
	CHECK_ERROR(volumes_remove(volumes, "app", &error), &error, "no such volume: app");
	end();
}

/* A container whose directory went is a user no more, even if another one has its id. */
static void count(void *data, const char *name)
{
	CHECK_STRING(name, "data");
	++*(size_t *)data;
}

static void test_users(void)
{
	_cleanup_free_ char *run = NULL;
	size_t removed = 0;
	uint64_t bytes = 0;
	struct error *error = NULL;
	char **names;

	begin();
	run = xasprintf("%s/run", place);
	make("data");
	volumes_filled(use("data"));
	volumes_filled(use("data"));
	CHECK_OK(volumes_used(marks, &names, &error), &error);
	CHECK_STRING(names[0], "data");
	CHECK(!names[1]);
	strv_free(names);
	CHECK_ERROR(volumes_remove(volumes, "data", &error), &error, "data: volume is in use");
	CHECK(remove_tree(run, NULL) == 0);
	CHECK_OK(make_directories(marks, 0700, &error), &error);
	/* Nobody uses it any more; it has a name, so that it goes only with all. */
	CHECK_OK(volumes_prune(volumes, false, count, &removed, &bytes, &error), &error);
	CHECK_INT(removed, 0);
	CHECK_OK(volumes_prune(volumes, true, count, &removed, &bytes, &error), &error);
	CHECK_INT(removed, 1);
	CHECK_ERROR(volumes_use(volumes, "data", marks, -1, &(int){ -1 }, &error), &error,
		    "no such volume: data");
	end();
}

/* Who waits for another's filling can be interrupted. */
static void test_canceled(void)
{
	struct error *error = NULL;
	int cancel[2], fill, other;

	begin();
	CHECK(pipe2(cancel, O_CLOEXEC) == 0);
	make("data");
	fill = use("data");
	CHECK(fill >= 0 && write(cancel[1], "x", 1) == 1);
	CHECK_ERROR(volumes_use(volumes, "data", marks, cancel[0], &other, &error), &error,
		    "interrupted while another container fills volume data");
	(void)close(cancel[0]);
	(void)close(cancel[1]);
	volumes_filled(fill);
	end();
}

static void test_filling(void)
{
	int fd, status;
	pid_t pid;

	begin();
	make("data");
	/* Given up: what was filled goes, and the next one fills it. */
	fd = use("data");
	CHECK(fd >= 0);
	touch("data", "half");
	(void)close(fd);
	(void)remove_tree(marks, NULL);
	fd = use("data");
	CHECK(fd >= 0 && !has("data", "half"));
	/* Another waits until it is filled, and then has nothing to fill. */
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)close(fd);
		_exit(use("data") == -1 && has("data", "whole") ? 0 : 1);
	}
	(void)usleep(100000);
	CHECK_INT(waitpid(pid, NULL, WNOHANG), 0);
	touch("data", "whole");
	volumes_filled(fd);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(use("data"), -1);
	end();
}

/* The process that created the container was killed before it could say that the volume is filled.
 */
static void test_kept(void)
{
	_cleanup_free_ char *others = NULL;
	struct error *error = NULL;
	int fd;

	begin();
	make("data");
	fd = use("data");
	CHECK(fd >= 0);
	(void)close(fd);
	CHECK_OK(volumes_keep(marks, &error), &error);
	touch("data", "written");
	CHECK_INT(use("data"), -1);
	CHECK(has("data", "written"));
	/* Another user takes it as it is, and it stays so. */
	make("more");
	fd = use("more");
	CHECK(fd >= 0);
	(void)close(fd);
	others = xasprintf("%s/others", place);
	CHECK_OK(volumes_use(volumes, "more", others, -1, &fd, &error), &error);
	CHECK(fd >= 0);
	volumes_filled(fd);
	touch("more", "written");
	CHECK(remove_tree(marks, NULL) == 0 && remove_tree(others, NULL) == 0);
	CHECK_INT(use("more"), -1);
	CHECK(has("more", "written"));
	end();
}

/* What died in the middle of making or removing one. */
static void test_tidy(void)
{
	_cleanup_free_ char *left = NULL;
	struct error *error = NULL;
	char **names;

	begin();
	left = xasprintf("%s/.going-abcdef/_data", volumes);
	CHECK_OK(make_directories(left, 0700, &error), &error);
	make("data");
	CHECK_OK(volumes_names(volumes, &names, &error), &error);
	CHECK_INT(strv_length(names), 1);
	strv_free(names);
	volumes_tidy(volumes);
	CHECK(access(left, F_OK) < 0);
	CHECK_INT(volumes_size(volumes, "none"), 0);
	CHECK(volumes_size(volumes, "data") < 65536);
	end();
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{ "names", test_names },     { "entries", test_entries },   { "users", test_users },
		{ "filling", test_filling }, { "canceled", test_canceled }, { "kept", test_kept },
		{ "tidy", test_tidy },
	};

	return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
