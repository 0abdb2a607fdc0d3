/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints that have a parent (sandbox/checkpoint-memory.h): found again, or not. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "sandbox/checkpoint-memory.h"
#include "sandbox/restore.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/test-shim-parents.XXXXXX";

static char *in(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void write_text(const char *name, const char *file, const char *text, size_t size)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/%s", directory, name, file);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, size, 0600, &error), &error);
}

/* name: of the directory, and in digits; parent: likewise, NULL: none. */
static void make(const char *name, const char *parent, uint64_t memory_mib, bool memory_only)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest =
	    checkpoint_manifest_new();
	_cleanup_free_ char *path = in(name), *text = NULL;
	struct error *error = NULL;
	size_t size;

	CHECK_OK(make_directories(path, 0700, &error), &error);
	manifest->name = xasprintf("%032d", atoi(name));
	if (parent) {
		manifest->parent = xasprintf("../%s", parent);
		manifest->parent_name = xasprintf("%032d", atoi(parent));
	}
	manifest->memory_only = memory_only;
	manifest->memory_mib = memory_mib;
	manifest->room_mib = 1024;
	manifest->id = xstrdup("box");
	manifest->stage = xstrdup("0");
	manifest->config = xstrdup("{}");
	manifest->kernel = xstrdup("");
	manifest->network = xstrdup("");
	manifest->vcpus = manifest->vcpus_now = 1;
	checkpoint_manifest_add_process(manifest)->exec_id = xstrdup("");
	text = checkpoint_manifest_write(manifest, &size);
	write_text(name, MANIFEST_NAME, text, size);
	write_text(name, MANIFEST_RAM, name, strlen(name));
	write_text(name, MANIFEST_STATE, "s", 1);
}

static int open_memory(const char *name, int not_fd, struct checkpoint_memory *memory,
		       struct error **ret_error)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = NULL;
	_cleanup_free_ char *path = in(name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(fd >= 0);
	if (checkpoint_open_manifest(fd, path, &manifest, ret_error) < 0)
		return -1;
	return checkpoint_memory_open(fd, path, manifest, not_fd, memory, ret_error);
}

static void check_not_opened(const char *name, const char *message)
{
	struct checkpoint_memory memory = { .n = 0 };
	struct error *error = NULL;

	CHECK_ERROR(open_memory(name, -1, &memory, &error), &error, message);
	CHECK_INT(memory.n, 0);
}

static void begin(void)
{
	(void)remove_tree(directory, NULL);
	CHECK(mkdir(directory, 0700) == 0);
}

/* The oldest first, and each the one that is meant. */
static void test_chain(void)
{
	struct checkpoint_memory memory = { .n = 0 };
	struct error *error = NULL;

	begin();
	make("1", NULL, 256, false);
	make("2", "1", 256, true);
	make("3", "2", 256, false);
	CHECK_OK(open_memory("3", -1, &memory, &error), &error);
	CHECK_INT(memory.n, 3);
	for (size_t i = 0; i < memory.n; i++) {
		char c = 0;

		CHECK(read(memory.fds[i], &c, 1) == 1);
		CHECK_INT(c, (char)('1' + i));
	}
	checkpoint_memory_close(&memory);
	CHECK_INT(memory.n, 0);
}

static void test_broken(void)
{
	_cleanup_free_ char *one = in("1"), *four = in("4"), *aside = in("aside");
	_cleanup_free_ char *ram = in("1/ram");

	begin();
	make("1", NULL, 256, false);
	make("2", "1", 256, false);
	make("3", "2", 256, false);
	CHECK(rename(one, aside) == 0);
	check_not_opened("3", "/3/../2/../1: No such file or directory");
	/* Another in its place. */
	make("4", NULL, 256, false);
	CHECK(rename(four, one) == 0);
	check_not_opened("3", "/1 is another checkpoint than the one that it was made after");
	CHECK(remove_tree(one, NULL) == 0);
	make("1", NULL, 512, false);
	check_not_opened("2", "/1 has 512 MiB of memory, not 256");
	write_text("1", MANIFEST_NAME, "something", 9);
	check_not_opened("2", "it is not a checkpoint of supermachine's");
	make("1", NULL, 256, false);
	CHECK(unlink(ram) == 0);
	check_not_opened("2", "/1 is not a checkpoint: it has no file \"ram\"");
}

/* Each is the other's parent: files may come from anywhere. */
static void test_circle(void)
{
	begin();
	make("1", "2", 256, false);
	make("2", "1", 256, false);
	check_not_opened("1", "more than 17 checkpoints");
}

/* One that is needed is not replaced. */
static void test_replaced(void)
{
	_cleanup_free_ char *one = NULL;
	_cleanup_close_ int fd = -1;
	struct checkpoint_memory memory = { .n = 0 };
	struct error *error = NULL;

	begin();
	make("1", NULL, 256, false);
	make("2", "1", 256, false);
	one = in("1");
	fd = open(one, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_ERROR(open_memory("2", fd, &memory, &error), &error,
		    "would be replaced, and is needed as a parent");
}

static void test_not_restored(void)
{
	_cleanup_free_ char *two = NULL, *three = NULL;
	struct restore *restore = NULL;
	struct error *error = NULL;

	begin();
	make("1", NULL, 256, false);
	make("2", "1", 256, true);
	make("3", "2", 256, false);
	two = in("2");
	three = in("3");
	CHECK_ERROR(restore_open(two, NULL, &restore, &error), &error,
		    "has memory alone (--pre-dump)");
	CHECK_OK(restore_open(three, NULL, &restore, &error), &error);
	CHECK_INT(restore->memory.n, 3);
	restore_free(restore);
}

static const struct test_case cases[] = {
	{ "chain", test_chain },
	{ "broken", test_broken },
	{ "circle", test_circle },
	{ "replaced", test_replaced },
	{ "not restored", test_not_restored },
};

int main(int argc, char **argv)
{
	int status;

	CHECK(mkdtemp(directory));
	status = test_main(argc, argv, cases, ARRAY_SIZE(cases));
	(void)remove_tree(directory, NULL);
	return status;
}
