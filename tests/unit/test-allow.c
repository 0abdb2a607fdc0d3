/* SPDX-License-Identifier: Apache-2.0 */
/* Which annotations a container may have, and below which directories its files lie. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "host/allow.h"
#include "host/beneath.h"
#include "host/volume.h"
#include "tests/unit/test.h"

static char directory[32];

static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
	_cleanup_free_ char *command = NULL, *line = NULL;
	va_list arguments;

	va_start(arguments, format);
	CHECK(vasprintf(&command, format, arguments) >= 0);
	va_end(arguments);
	line = xasprintf("cd '%s' && { %s; }", directory, command);
	CHECK(system(line) == 0);
}

static void enter(void)
{
	(void)strcpy(directory, "/tmp/test-allow.XXXXXX");
	CHECK(mkdtemp(directory));
}

static int read_allow(const char *text, struct allow *allow, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	CHECK_OK(json_parse(text, strlen(text), "test", &value, ret_error), ret_error);
	root = json_root(value);
	*allow = (struct allow){ 0 };
	return allow_read(&root, allow, ret_error);
}

/* NULL: allowed. */
static void check(const char *settings, const char *annotation, const char *namespace, bool pod,
		  const char *refused)
{
	_cleanup_free_ char *text = xasprintf(
	    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"annotations\":{\"com.example\":"
	    "\"x\",%s\"%s\":\"x\"}}",
	    pod ? "\"io.kubernetes.cri-o.ContainerType\":\"container\"," : "", annotation);
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_(allow_done) struct allow allow;
	struct error *error = NULL;
	int result;

	CHECK_OK(read_allow(settings, &allow, &error), &error);
	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	result = allow_check(allow_for(&allow, spec, namespace), spec, &error);
	if (refused)
		CHECK_ERROR(result, &error, refused);
	else
		CHECK_OK(result, &error);
}

static void test_default(void)
{
	static const char *const sizes[] = { "vcpus", "memory", "cache", "accel" };
	static const char *const others[] = { "rootfs", "kernel", "volume.a", "socket.a" };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *key = xasprintf("io.supermachine.%s", sizes[i]);

		check("{}", key, NULL, false, NULL);
		check("{}", key, "k8s.io", false, NULL);
		check("{}", key, NULL, true, NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *key = xasprintf("io.supermachine.%s", others[i]);
		_cleanup_free_ char *error =
		    xasprintf("annotations[\"%s\"]: not allowed for containers of containerd and "
			      "of pods: to allow it, add \"%.6s\" to allow.annotations",
			      key, others[i]);

		check("{}", key, NULL, false, NULL);
		check("{}", key, "k8s.io", false, error);
		check("{\"allow\":{\"paths\":[\"/\"]}}", key, NULL, true, error);
	}
}

static void test_set(void)
{
	static const char set[] = "{\"allow\":{\"annotations\":[\"volume\",\"cache\"]}}";

	check(set, "io.supermachine.volume.data", "k8s.io", true, NULL);
	check(set, "io.supermachine.cache", "k8s.io", true, NULL);
	/* In place of the default. */
	check(set, "io.supermachine.memory", "k8s.io", true, "not allowed");
	check("{\"allow\":{\"annotations\":[]}}", "io.supermachine.vcpus", "k8s.io", false,
	      "not allowed");
	/* Who runs it by hand wrote the bundle. */
	check(set, "io.supermachine.memory", NULL, false, NULL);
}

/* A misspelt one would go unnoticed. */
static void test_unknown(void)
{
	static const char *const unknown[] = { "vcpu", "volume", "volumes.a", "vcpus.a", "" };

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		_cleanup_free_ char *key = xasprintf("io.supermachine.%s", unknown[i]);
		_cleanup_free_ char *error =
		    xasprintf("annotations[\"%s\"]: unknown annotation", key);

		check("{}", key, NULL, false, error);
		check("{}", key, "k8s.io", false, error);
	}
	check("{}", "io.supermachines.a", "k8s.io", false, NULL);
}

static void test_bad_settings(void)
{
	static const char *const cases[][2] = {
		{ "{\"allow\":[]}", "allow" },
		{ "{\"allow\":{\"path\":[]}}", "allow.path: unknown key" },
		{ "{\"allow\":{\"annotations\":\"*\"}}", "allow.annotations" },
		{ "{\"allow\":{\"annotations\":[\"cache\",\"*\"]}}",
		  "allow.annotations[1]: unknown annotation \"*\"" },
		{ "{\"allow\":{\"paths\":[\"srv\"]}}", "allow.paths[0]: must be an absolute path" },
		{ "{\"allow\":{\"paths\":[\"\"]}}", "allow.paths[0]: must be an absolute path" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		struct allow allow;

		CHECK_ERROR(read_allow(cases[i][0], &allow, &error), &error, cases[i][1]);
		allow_done(&allow);
	}
}

/* The inode that path leads to, below `directory`/in; 0: errno says why not. */
static ino_t opened(const char *path)
{
	_cleanup_free_ char *in = xasprintf("%s/in", directory);
	_cleanup_free_ char *whole = xasprintf("%s/%s", directory, path);
	const char *const directories[] = { "/nonexistent", in, NULL };
	_cleanup_close_ int fd = beneath_open(directories, whole, O_PATH, 0);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void test_beneath(void)
{
	static const char *const inside[] = { "in/file", "in//file", "in/d/../file", "in/d/link",
					      "in/./file" };
	static const char *const outside[] = { "out",	    "in/../out",	  "in/d/../../out",
					       "in/escape", "in/absolute",	  "inner/file",
					       "link/file", "../../../etc/shadow" };
	_cleanup_free_ char *file = NULL;
	struct stat st;

	enter();
	shell("mkdir in in/d inner && touch out in/file inner/file && ln -s ../file in/d/link && "
	      "ln -s ../out in/escape && ln -s '%s/in/file' in/absolute && ln -s in link",
	      directory);
	file = xasprintf("%s/in/file", directory);
	CHECK(stat(file, &st) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		CHECK_INT(opened(inside[i]), st.st_ino);
	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		errno = 0;
		CHECK_INT(opened(outside[i]), 0);
		CHECK(errno == EXDEV || errno == ENOENT);
	}
	CHECK(opened("in") != 0 && opened("in/") != 0);
	CHECK(opened("in/none") == 0 && errno == ENOENT);
	shell("rm -r \"$PWD\"");
}

static void volume_refused(const char *name, const char *const *within, const char *message)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	const struct volume volume = { .source = path, .size = 8 << 20 };
	struct error *error = NULL;
	int fd = -1;

	CHECK_ERROR(volume_open(&volume, within, &fd, &error), &error, message);
	CHECK_INT(fd, -1);
}

static void test_volumes(void)
{
	_cleanup_free_ char *in = NULL, *path = NULL;
	const char *within[] = { NULL, NULL };
	struct volume volume = { .size = 8 << 20 };
	struct error *error = NULL;
	int fd;

	enter();
	within[0] = in = xasprintf("%s/in", directory);
	shell("mkdir in out && truncate -s 1M out/disk && ln -s ../out/disk in/disk && "
	      "ln -s ../out/new in/dangling && ln -s ../out in/d");
	volume_refused("out/disk", within, "does not lie below a directory of allow.paths");
	volume_refused("in/disk", within, "does not lie below a directory of allow.paths");
	/* Nothing is made outside, either. */
	volume_refused("in/dangling", within, "does not lie below");
	volume_refused("in/d/new", within, "does not lie below");
	volume_refused("in/../out/new", within, "does not lie below");
	volume_refused("in/disk", within + 1, "does not lie below");
	shell("[ \"$(ls out)\" = disk ]");
	volume.source = path = xasprintf("%s/in/made", directory);
	CHECK_OK(volume_open(&volume, within, &fd, &error), &error);
	CHECK(close(fd) == 0);
	shell("[ \"$(stat -c '%%s %%a' in/made)\" = '8388608 600' ] && rm -r \"$PWD\"");
}

static const struct test_case cases[] = {
	{ "default", test_default }, { "set", test_set },
	{ "unknown", test_unknown }, { "bad settings", test_bad_settings },
	{ "beneath", test_beneath }, { "volumes", test_volumes },
};

TEST_MAIN(cases)
