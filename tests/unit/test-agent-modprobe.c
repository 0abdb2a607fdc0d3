/* SPDX-License-Identifier: Apache-2.0 */
/* Modules that the guest's kernel asks for: what is found in depmod's tables, and what is not. */
#include <stdlib.h>
#include <string.h>

#include "agent/modprobe.h"
#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/supermachine-modprobe.XXXXXX";

static void put(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
}

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static void make_directory(void)
{
	CHECK(mkdtemp(directory));
	(void)atexit(remove_directory);
	put("modules.dep", "kernel/net/llc.ko:\n"
			   "kernel/net/stp.ko: kernel/net/llc.ko\n"
			   "kernel/net/bridge.ko: kernel/net/stp.ko kernel/net/llc.ko\n"
			   "kernel/net/act_mirred.ko:\n"
			   "kernel/misc/pvpanic-mmio.ko:\n"
			   "kernel/a/one.ko:\n"
			   "kernel/a/two.ko:\n");
	put("modules.alias", "# Aliases extracted from modules themselves.\n"
			     "alias rtnl-link-bridge bridge\n"
			     "alias dev:c[0-9]:* one\n"
			     "alias both one\n"
			     "alias both two\n"
			     "alias broken\n"
			     "alias gone nowhere\n"
			     "symbol:x one\n");
}

static void find(const char *name, const char *wanted)
{
	_cleanup_strv_ char **files = NULL;
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;

	CHECK_OK(modprobe_find(directory, name, &files, &error), &error);
	text = strv_join(files, " ");
	CHECK_STRING(text, wanted);
}

static void test_found(void)
{
	make_directory();
	find("act_mirred", "kernel/net/act_mirred.ko");
	find("act-mirred", "kernel/net/act_mirred.ko");
	find("pvpanic_mmio", "kernel/misc/pvpanic-mmio.ko");
	/* Those that it needs come first. */
	find("bridge", "kernel/net/llc.ko kernel/net/stp.ko kernel/net/bridge.ko");
	find("rtnl-link-bridge", "kernel/net/llc.ko kernel/net/stp.ko kernel/net/bridge.ko");
	find("dev:c7:x/y", "kernel/a/one.ko");
	find("both", "kernel/a/one.ko kernel/a/two.ko");
}

/* Whatever text a container has the kernel ask for. */
static void test_not_found(void)
{
	static const char *const names[] = {
		"",
		"none",
		"*",
		"b?idge",
		"[b]ridge",
		"kernel/net/llc.ko",
		"kernel/net/llc",
		"../../../../evil",
		"/evil",
		"llc.ko",
		"bridge ",
		"bridge\n",
		"gone",
		"broken",
		"dev:cx:",
		"symbol:x",
		"#",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxx",
	};
	struct error *error = NULL;
	char **files = NULL;

	make_directory();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		CHECK_ERROR(modprobe_find(directory, names[i], &files, &error), &error,
			    "no module");
	CHECK_ERROR(modprobe_find("/nonexistent", "bridge", &files, &error), &error, "modules.dep");
	CHECK(!files);
}

/* As the kernel calls it, and no other way. */
static void test_words(void)
{
	char *const asked[] = { (char *)"/init", (char *)"-q", (char *)"--", (char *)"llc", NULL };
	char *const others[] = { (char *)"/init", (char *)"-r", (char *)"--", (char *)"llc", NULL };

	CHECK(modprobe_is_asked_for(4, asked));
	CHECK(!modprobe_is_asked_for(3, asked));
	CHECK(!modprobe_is_asked_for(1, asked));
	CHECK(!modprobe_is_asked_for(4, others));
}

static const struct test_case cases[] = {
	{ "found", test_found },
	{ "not_found", test_not_found },
	{ "words", test_words },
};

TEST_MAIN(cases)
