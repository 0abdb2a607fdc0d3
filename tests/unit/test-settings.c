/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file (host/settings.h). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "host/settings.h"
#include "tests/unit/test.h"

static char path[] = "/tmp/test-settings.XXXXXX";

static void put(const char *text)
{
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
}

static void bad(const char *text, const char *message)
{
	struct settings *settings = NULL;
	struct error *error = NULL;

	put(text);
	CHECK_ERROR(settings_load_file(path, true, &settings, &error), &error, message);
	CHECK(!settings);
}

static void test_read(void)
{
	struct settings *settings;
	struct error *error = NULL;

	put("{\"kernel\":\"/k\",\"vcpus\":3,\"max_vcpus\":5,\"memory_mib\":512,\"cmdline\":\"x y\","
	    "\"vhost_net\":false,\"pool\":3}");
	CHECK_OK(settings_load_file(path, true, &settings, &error), &error);
	CHECK_STRING(settings->kernel, "/k");
	CHECK_INT(settings->vcpus, 3);
	CHECK_INT(settings->max_vcpus, 5);
	CHECK_INT(settings->memory_mib, 512);
	CHECK_STRING(settings->cmdline, "x y");
	CHECK(settings->no_vhost_net);
	CHECK_INT(settings->pool, 3);
	settings_free(settings);
}

static void test_bad(void)
{
	bad("{\"vcpu\":3}", "vcpu: unknown key");
	bad("{\"vcpus\":65}", "vcpus");
	bad("{\"vcpus\":\"2\"}", "vcpus");
	bad("{\"max_vcpus\":65}", "max_vcpus");
	bad("{\"vhost_net\":1}", "vhost_net");
	bad("{\"pool\":-1}", "pool");
	bad("{\"pool\":257}", "pool");
	bad("{\"pool\":true}", "pool");
	bad("{\"memory_mib\":8}", "memory_mib: must be at least 32");
	bad("{\"kernel\":\"relative\"}", "kernel: must be an absolute path");
	bad("[]", "object");
	bad("{", path);
}

static void test_absent(void)
{
	struct settings *settings;
	struct error *error = NULL;

	CHECK_ERROR(settings_load_file("/nonexistent/c", true, &settings, &error), &error,
		    "/nonexistent/c");
	CHECK_OK(settings_load_file("/nonexistent/c", false, &settings, &error), &error);
	CHECK_INT(settings->vcpus, 0);
	settings_free(settings);
	CHECK(setenv("SUPERMACHINE_CONFIG", "/nonexistent/c", 1) == 0);
	CHECK_ERROR(settings_load(&settings, &error), &error, "/nonexistent/c");
}

static const struct test_case cases[] = {
	{ "read", test_read },
	{ "bad", test_bad },
	{ "absent", test_absent },
};

int main(int argc, char **argv)
{
	int fd = mkstemp(path), status;

	CHECK(fd >= 0 && close(fd) == 0);
	status = test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	CHECK(unlink(path) == 0);
	return status;
}
