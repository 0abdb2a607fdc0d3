/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs: whom an image's process runs as, and the files that say so in its layers. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "runtime-spec/named-user.h"
#include "rootfs/image/layer-read.h"
#include "rootfs/image/unpack.h"
#include "tests/unit/tar-maker.h"
#include "tests/unit/test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# no line\n"
			     "bad:x:minus:1::/:\n"
			     "app:x:1000:1001:An app:/home/app:/bin/sh\n"
			     "77:x:5:6::/77:";
static const char group[] = "root:x:0:\napp:x:1001:\naudio:x:29:other,app\n"
			    "app2:x:30:app2,xapp\nvideo:x:44:app\nwheel:x:10:root,app";

static void check_user(const char *words, uint32_t uid, uint32_t gid, const char *home,
		       size_t n_groups)
{
	_cleanup_error_ struct error *error = NULL;
	struct named_user user;

	CHECK_OK(named_user_find(words, passwd, group, &user, &error), &error);
	CHECK_INT(user.uid, uid);
	CHECK_INT(user.gid, gid);
	CHECK((!home && !user.home) || strcmp(home, user.home) == 0);
	CHECK_INT(user.n_groups, n_groups);
	named_user_done(&user);
}

static void test_users(void)
{
	struct named_user user;
	struct error *error = NULL;

	check_user("", 0, 0, "/root", 1);
	check_user("app", 1000, 1001, "/home/app", 3);
	check_user("1000", 1000, 1001, "/home/app", 3);
	check_user("1000:", 1000, 1001, "/home/app", 3);
	check_user("app:audio", 1000, 29, "/home/app", 0);
	check_user("app:12345", 1000, 12345, "/home/app", 0);
	check_user("4242", 4242, 0, NULL, 0);
	check_user("77", 5, 6, "/77", 0); /* a name, whatever it looks like */
	check_user("2147483647:0", 2147483647, 0, NULL, 0);
	CHECK_ERROR(named_user_find("nobody", passwd, group, &user, &error), &error,
		    "unable to find user nobody: no matching entries in passwd file");
	CHECK_ERROR(named_user_find("app:none", passwd, group, &user, &error), &error,
		    "unable to find group none");
	CHECK_ERROR(named_user_find("2147483648", passwd, group, &user, &error), &error,
		    "only 0 to 2147483647");
	CHECK_ERROR(named_user_find("bad", passwd, group, &user, &error), &error, "user bad");
	CHECK_ERROR(named_user_find("app", NULL, NULL, &user, &error), &error, "user app");
}

static void make_layer(struct tar *tar, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_close_ int tar_fd = -1;
	_cleanup_error_ struct error *error = NULL;
	struct unpack_result result;

	tar_end(tar);
	tar_fd = tar_open(tar);
	CHECK_OK(unpack_layer(tar_fd, fd, NULL, &result, &error), &error);
}

static void check_read(char *const *layers, size_t n, const char *name, const char *want)
{
	_cleanup_free_ char *path = xasprintf("etc/%s", name);
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;

	CHECK_OK(layers_read_file(layers, n, path, 100, &text, &error), &error);
	CHECK_STRING(text, want);
}

static void check_not(char *const *layers, size_t n, const char *name, int code)
{
	_cleanup_free_ char *path = xasprintf("etc/%s", name);
	_cleanup_error_ struct error *error = NULL;
	char *text;

	CHECK(layers_read_file(layers, n, path, 100, &text, &error) < 0);
	CHECK_INT(error->code, code);
}

static void check_has(char *const *layers, size_t n, const char *path, bool want)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(layer_stack_closep) struct layer_stack *stack = NULL;
	bool has = !want;

	CHECK_OK(layer_stack_open(layers, n, &stack, &error), &error);
	/* Twice: a question leaves nothing. */
	for (int i = 0; i < 2; i++)
		CHECK_OK(layer_stack_has(stack, path, &has, &error), &error);
	if (has != want)
		test_fail(__FILE__, __LINE__, "%s of %zu layers: %d", path, n, has);
}

static void check_stack(char *const *layers)
{
	static const struct {
		size_t n;
		const char *path;
		bool has;
	} all[] = { { 2, "etc", true },	       { 2, "etc/link", true },
		    { 2, "etc/no", false },    { 2, "etc/passwd/x", false },
		    { 2, "usr/x", true },      { 1, "usr/x", false },
		    { 3, "etc/group", false }, { 3, "etc/large", true },
		    { 4, "etc/group", true },  { 4, "etc/large", false },
		    { 5, "etc", false },       { 5, "etc/group", false },
		    { 5, "usr/x", true },      { 0, "etc", false } };
	_cleanup_error_ struct error *error = NULL;
	struct layer_stack *stack;
	char *const broken[] = { layers[0], (char *)"/dev/null" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		check_has(layers, all[i].n, all[i].path, all[i].has);
	CHECK_ERROR(layer_stack_open(broken, 2, &stack, &error), &error,
		    "cannot read the layer /dev/null");
}

static void test_layers(void)
{
	char directory[] = "/tmp/test-image-user.XXXXXX", large[200] = { 0 };
	char *layers[5];
	struct tar tar = { 0 };

	CHECK(mkdtemp(directory));
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		layers[i] = xasprintf("%s/%zu", directory, i);
	tar_put(&tar, '0', "etc/passwd", "", 0644, "first", 5);
	tar_put(&tar, '0', "etc/group", "", 0644, "groups", 6);
	tar_put(&tar, '0', "etc/large", "", 0644, large, sizeof(large));
	tar_put(&tar, '2', "etc/link", "passwd", 0777, "", 0);
	make_layer(&tar, layers[0]);
	tar_put(&tar, '0', "usr/x", "", 0644, "", 0);
	make_layer(&tar, layers[1]);
	tar_put(&tar, '0', "etc/passwd", "", 0644, "second", 6);
	tar_put(&tar, '0', "etc/.wh.group", "", 0644, "", 0);
	make_layer(&tar, layers[2]);
	tar_put(&tar, '0', "etc/.wh..wh..opq", "", 0644, "", 0);
	tar_put(&tar, '0', "etc/group", "", 0644, "", 0);
	make_layer(&tar, layers[3]);
	tar_put(&tar, '0', ".wh.etc", "", 0644, "", 0);
	make_layer(&tar, layers[4]);

	check_read(layers, 2, "passwd", "first");
	check_read(layers, 2, "group", "groups");
	check_not(layers, 2, "large", EFBIG);
	check_read(layers, 2, "link", "first");
	check_read(layers, 3, "link", "second");
	check_not(layers, 2, "passwd/x", ENOENT);
	check_not(layers, 2, "shadow", ENOENT);
	check_read(layers, 3, "passwd", "second");
	check_not(layers, 3, "group", ENOENT);
	check_read(layers, 4, "group", "");
	check_not(layers, 4, "passwd", ENOENT);
	check_not(layers, 5, "group", ENOENT);
	check_stack(layers);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		CHECK(unlink(layers[i]) == 0);
		free(layers[i]);
	}
	CHECK(rmdir(directory) == 0);
}

/* Links, followed as a process in the container would. */
static void test_links(void)
{
	char directory[] = "/tmp/test-image-user.XXXXXX";
	char *layers[3];
	struct tar tar = { 0 };

	CHECK(mkdtemp(directory));
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		layers[i] = xasprintf("%s/%zu", directory, i);
	tar_put(&tar, '0', "usr/lib/passwd", "", 0644, "lower", 5);
	tar_put(&tar, '0', "usr/share/factory/etc/group", "", 0644, "factory", 7);
	tar_put(&tar, '0', "etc/hidden", "", 0644, "hidden", 6);
	tar_put(&tar, '2', "etc/passwd", "/usr/lib/passwd", 0777, "", 0);
	tar_put(&tar, '2', "etc/up", "../../../usr/./lib/passwd", 0777, "", 0);
	tar_put(&tar, '2', "etc/out", "../../../../../../../../etc/nothing", 0777, "", 0);
	tar_put(&tar, '2', "etc/self", "self", 0777, "", 0);
	tar_put(&tar, '2', "etc/dangling", "none/passwd", 0777, "", 0);
	tar_put(&tar, '2', "etc/directory", "../usr", 0777, "", 0);
	/* ".." is where the link leads, not where its name stands. */
	tar_put(&tar, '2', "far", "usr/share/factory/etc", 0777, "", 0);
	tar_put(&tar, '2', "etc/behind", "/far/../etc/group", 0777, "", 0);
	make_layer(&tar, layers[0]);
	tar_put(&tar, '0', "usr/lib/passwd", "", 0644, "upper", 5);
	make_layer(&tar, layers[1]);
	/* A directory that is a link in the layer above, and the other way round. */
	tar_put(&tar, '2', "etc", "usr/lib", 0777, "", 0);
	tar_put(&tar, '0', "far/x", "", 0644, "", 0);
	make_layer(&tar, layers[2]);

	check_read(layers, 1, "passwd", "lower");
	check_read(layers, 2, "passwd", "upper");
	check_read(layers, 2, "up", "upper");
	check_read(layers, 2, "behind", "factory");
	check_not(layers, 2, "out", ENOENT);
	check_not(layers, 2, "self", ELOOP);
	check_not(layers, 2, "dangling", ENOENT);
	check_not(layers, 2, "directory", ENOENT);
	check_read(layers, 3, "passwd", "upper");
	check_not(layers, 3, "hidden", ENOENT);
	check_not(layers, 3, "../far/group", ENOENT);
	check_read(layers, 2, "../far/group", "factory");
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		CHECK(unlink(layers[i]) == 0);
		free(layers[i]);
	}
	CHECK(rmdir(directory) == 0);
}

static const struct test_case cases[] = {
	{ "links", test_links },
	{ "users", test_users },
	{ "layers", test_layers },
};

TEST_MAIN(cases)
