/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec/state: ids, saving and loading, the state object, start times. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "runtime-spec/state.h"
#include "tests/unit/test.h"

static void test_ids(void)
{
	static const char *const good[] = { "a", "A-z_0.9+", "...", ".a", "-x", "a.." };
	static const char *const bad[] = { ".",	  "..",	      "a/b", "../x", "a b",
					   "a\n", "\xc3\xa4", "a:b", "a*" };
	_cleanup_error_ struct error *error = NULL;
	char longest[STATE_ID_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_OK(state_check_id(good[i], &error), &error);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(state_check_id(bad[i], &error), &error, "invalid container ID format");
	CHECK_ERROR(state_check_id("", &error), &error, "cannot be empty");
	memset(longest, 'x', sizeof(longest));
	longest[STATE_ID_MAX] = '\0';
	CHECK_OK(state_check_id(longest, &error), &error);
	longest[STATE_ID_MAX] = 'x';
	longest[STATE_ID_MAX + 1] = '\0';
	CHECK_ERROR(state_check_id(longest, &error), &error, "invalid container ID format");
}

static void test_save_load(void)
{
	char root[] = "/tmp/test-state.XXXXXX";
	struct state state = { .id = (char *)"c1",
			       .bundle = (char *)"/b \"quoted\"",
			       .rootfs = (char *)"/b/rootfs",
			       .pid = 4321,
			       .pid_start = UINT64_MAX,
			       .server_pid = 1234,
			       .server_start = 5,
			       .created_ns = 1600000000123456789,
			       .owner = 4294967294,
			       .config = (char *)"{\"annotations\":{\"k\":\"v\"}}" };
	_cleanup_(state_freep) struct state *again = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = NULL, *path = NULL;
	struct stat st;

	CHECK(mkdtemp(root));
	CHECK_ERROR(state_load(root, "c1", &again, &error), &error, "does not exist");
	CHECK_ERROR(state_load(root, "../c1", &again, &error), &error, "invalid container ID");
	directory = state_path(root, "c1", NULL);
	path = state_path(root, "c1", "state.json");
	CHECK_INT(mkdir(directory, 0700), 0);
	CHECK_INT(state_load(root, "c1", &again, &error), -1);
	CHECK_INT(error->code, ENOENT);
	error_free(TAKE_PTR(error));
	CHECK_OK(state_save(root, &state, &error), &error);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_OK(state_load(root, "c1", &again, &error), &error);
	CHECK_STRING(again->bundle, state.bundle);
	CHECK_STRING(again->rootfs, state.rootfs);
	CHECK_INT(again->pid, state.pid);
	CHECK(again->pid_start == UINT64_MAX);
	CHECK_INT(again->server_pid, state.server_pid);
	CHECK_INT(again->created_ns, state.created_ns);
	CHECK_INT(again->owner, state.owner);
	CHECK_STRING(again->config, state.config);
	state_free(TAKE_PTR(again));
	CHECK_OK(write_file_atomic(path, "{\"id\":\"c1\"}", 11, 0600, &error), &error);
	CHECK_ERROR(state_load(root, "c1", &again, &error), &error, "bundle: missing");
	state.id = (char *)"c2";
	free(directory);
	directory = state_path(root, "c2", NULL);
	CHECK_INT(mkdir(directory, 0700), 0);
	CHECK_OK(state_save(root, &state, &error), &error);
	free(path);
	path = state_path(root, "c2", "state.json");
	{
		_cleanup_free_ char *other = state_path(root, "c1", "state.json");

		CHECK_INT(rename(path, other), 0);
	}
	CHECK_ERROR(state_load(root, "c1", &again, &error), &error, "of another container");
	CHECK_OK(remove_tree(root, &error), &error);
}

static void test_json(void)
{
	struct state state = { .id = (char *)"c1",
			       .bundle = (char *)"/b",
			       .rootfs = (char *)"/b/rootfs",
			       .pid = 4321,
			       .created_ns = 1600000000123456789,
			       .owner = 0,
			       .config = (char *)"{\"annotations\":{\"k\":\"v\"}}" };
	_cleanup_free_ char *running = state_json(&state, STATUS_RUNNING, false);
	_cleanup_free_ char *stopped = NULL;

	CHECK_STRING(running,
		     "{\"ociVersion\":\"1.3.0\",\"id\":\"c1\",\"pid\":4321,\"status\":\"running\","
		     "\"bundle\":\"/b\",\"rootfs\":\"/b/rootfs\","
		     "\"created\":\"2020-09-13T12:26:40.123456789Z\",\"annotations\":{\"k\":\"v\"},"
		     "\"owner\":\"root\"}");
	state.config = (char *)"{}";
	state.owner = 4294967000;
	stopped = state_json(&state, STATUS_STOPPED, false);
	CHECK(strstr(stopped, "\"pid\":0,\"status\":\"stopped\""));
	CHECK(strstr(stopped, "\"owner\":\"#4294967000\""));
	CHECK(!strstr(stopped, "annotations"));
	CHECK_STRING(container_status_name(STATUS_CREATING), "creating");
	CHECK_STRING(container_status_name(STATUS_CREATED), "created");
	CHECK_STRING(container_status_name(STATUS_PAUSED), "paused");
}

static void test_start_time(void)
{
	uint64_t own = process_start_time(getpid());
	pid_t child;

	CHECK(own > 0);
	/* A name made to mislead. */
	CHECK_INT(prctl(PR_SET_NAME, "x) R 1 (y"), 0);
	CHECK(process_start_time(getpid()) == own);
	child = fork();
	if (child == 0)
		_exit(0);
	CHECK_INT(waitpid(child, NULL, 0), child);
	CHECK(process_start_time(child) == 0);
}

static const struct test_case cases[] = {
	{ "ids", test_ids },
	{ "save and load", test_save_load },
	{ "json", test_json },
	{ "start time", test_start_time },
};
TEST_MAIN(cases)
