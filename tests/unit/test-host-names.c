/* SPDX-License-Identifier: Apache-2.0 */
/* Which containers ask Docker's resolver. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "sandbox/sockets/host-names.h"
#include "tests/unit/test.h"

static bool wanted(const char *destination, const char *source)
{
	struct spec_mount mounts[] = {
		{ .destination = (char *)"/proc", .source = NULL },
		{ .destination = (char *)destination, .source = (char *)source },
	};
	const struct spec spec = { .mounts = mounts, .n_mounts = 2 };

	return host_names_are_wanted(&spec);
}

static void test_files(void)
{
	static const struct {
		const char *text;
		bool wanted;
	} files[] = {
		{ "nameserver 127.0.0.11\n", true },
		{ "# docker\nsearch a b\nnameserver 10.0.0.1\nnameserver\t127.0.0.11 \noptions "
		  "ndots:0",
		  true },
		{ "nameserver 127.0.0.1\n", false },
		{ "nameserver 127.0.0.111\n", false },
		{ "#nameserver 127.0.0.11\n", false },
		{ "nameserver\n\n", false },
		{ "", false },
	};
	char directory[] = "/tmp/host-names.XXXXXX";
	_cleanup_free_ char *path = NULL;

	CHECK(mkdtemp(directory));
	path = xasprintf("%s/resolv.conf", directory);
	CHECK(!wanted("/etc/resolv.conf", path));
	CHECK(!wanted("/etc/resolv.conf", NULL));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct error *error = NULL;

		CHECK_OK(
		    write_file_atomic(path, files[i].text, strlen(files[i].text), 0644, &error),
		    &error);
		CHECK_INT(wanted("/etc/resolv.conf", path), files[i].wanted);
		CHECK(!wanted("/etc/hosts", path));
	}
	CHECK(unlink(path) == 0);
	/* Nobody waits for who may write. */
	CHECK(mkfifo(path, 0600) == 0);
	CHECK(!wanted("/etc/resolv.conf", path));
	CHECK(unlink(path) == 0 && rmdir(directory) == 0);
}

static const struct test_case cases[] = {
	{ "files", test_files },
};
TEST_MAIN(cases)
