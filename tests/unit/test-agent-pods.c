/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that share namespaces of another one, here and in a guest. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/agent-rig.h"

#define PATH_IPC "{\"type\":\"ipc\",\"path\":\"/proc/7/ns/ipc\"}"
#define PATH_UTS "{\"type\":\"uts\",\"path\":\"/proc/7/ns/uts\"}"
#define PATH_NET "{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"}"
#define PATH_PID "{\"type\":\"pid\",\"path\":\"/proc/7/ns/pid\"}"
#define NEW(type) "{\"type\":\"" type "\"}"

/* The container that is there first, and sleeps. */
static void start_main(struct rig *rig)
{
	static const struct rig_config config = {
		.args = "[\"sleep\",\"1000\"]",
		.namespaces = "[" NEW("mount") "," NEW("pid") "," NEW("ipc") "," NEW("uts") "," NEW(
		    "network") "]",
		.hostname = "pod",
	};
	struct error *error = NULL;

	rig_start(rig);
	CHECK_OK(rig_create(rig, "main", &config, NULL, &error), &error);
	CHECK_OK(rig_start_container(rig, "main", &error), &error);
}

static void stop_main(struct rig *rig)
{
	struct rig_result result = { 0 };
	struct error *error = NULL;

	CHECK_OK(rig_signal(rig, "main", SIGKILL, false, &error), &error);
	rig_wait(rig, "main", "", &result);
	CHECK_OK(rig_delete(rig, "main", &error), &error);
	rig_stop(rig);
}

/* What a shell prints as an exec of the container "main". */
static char *in_main(struct rig *rig, const char *script)
{
	static unsigned count;
	_cleanup_free_ char *id = xasprintf("e%u", count++);
	_cleanup_free_ char *process = xasprintf("{\"args\":[\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\","
						 "\"env\":[\"PATH=/bin\"]}",
						 script);
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	char *text;

	CHECK_OK(rig_exec(rig, "main", id, process, &io, &error), &error);
	text = rig_read(io.out, NULL);
	rig_wait(rig, "main", id, &result);
	CHECK_INT(result.code, 0);
	(void)close(io.in);
	(void)close(io.out);
	(void)close(io.err);
	return text;
}

#define SHOW "for n in ipc uts net pid; do readlink /proc/self/ns/$n; done; hostname"

/* Those that are named are the same, the others are not. */
static void test_shared(void)
{
	static const struct {
		struct rig_config config;
		bool same[4]; /* ipc, uts, net, pid */
	} cases[] = {
		{ { .namespaces =
			"[" NEW("mount") "," NEW("pid") "," PATH_IPC "," PATH_UTS "," PATH_NET "]",
		    .hostname = "",
		    .joins = { "ipc", "uts", "network" } },
		  { true, true, true, false } },
		{ { .namespaces = "[" NEW("mount") "," PATH_PID "," NEW("ipc") "," NEW(
			"uts") "," NEW("network") "]",
		    .joins = { "pid" } },
		  { false, false, false, true } },
		{ { .namespaces =
			"[" NEW("mount") "," PATH_PID "," PATH_IPC "," PATH_UTS "," PATH_NET "]",
		    .hostname = "",
		    .joins = { "pid", "ipc", "uts", "network" } },
		  { true, true, true, true } },
	};
	_cleanup_free_ char *wanted = NULL;
	struct rig rig;

	start_main(&rig);
	wanted = in_main(&rig, SHOW);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *main_text = xstrdup(wanted);
		_cleanup_free_ char *got = rig_shell(&rig, &cases[i].config, SHOW);
		char *main_rest = NULL, *rest = NULL;
		char *main_line = strtok_r(main_text, "\n", &main_rest);
		char *line = strtok_r(got, "\n", &rest);

		for (size_t n = 0; n < 4; n++) {
			CHECK(line && main_line);
			CHECK_INT(strcmp(line, main_line) == 0, cases[i].same[n]);
			line = strtok_r(NULL, "\n", &rest);
			main_line = strtok_r(NULL, "\n", &main_rest);
		}
		CHECK_INT(strcmp(line, "pod") == 0, cases[i].same[1]);
	}
	stop_main(&rig);
}

/* In a shared pid namespace init's end does not end the others by itself. */
static void test_left_behind(void)
{
	static const struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"sleep 2000 & exit 3\"]",
		.namespaces = "[" NEW("mount") "," PATH_PID "]",
		.hostname = "",
		.joins = { "pid" },
	};
	struct rig_result result = { 0 };
	struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	struct rig rig;

	start_main(&rig);
	CHECK_OK(rig_create(&rig, "app", &config, NULL, &error), &error);
	CHECK_OK(rig_start_container(&rig, "app", &error), &error);
	rig_wait(&rig, "app", "", &result);
	CHECK_INT(result.code, 3);
	CHECK_OK(rig_delete(&rig, "app", &error), &error);
	text = in_main(&rig, "ps | grep -c '[s]leep 2000' || true");
	CHECK_STRING(text, "0\n");
	stop_main(&rig);
}

static void set_processors(struct rig *rig, uint32_t count, const char *online)
{
	Agent__ProcessorsRequest request = AGENT__PROCESSORS_REQUEST__INIT;
	_cleanup_free_ char *command =
	    xasprintf("[ \"$(cat '%s'/cpu/*/online | xargs)\" = '%s' ]", rig->directory, online);
	struct error *error = NULL;

	request.count = count;
	CHECK_OK(rig_call(rig, "Processors", &request, NULL, NULL, &error), &error);
	rig_command(command);
}

/* Those that are wanted are online, also one that comes while it is waited for; the others go. */
static void test_processors(void)
{
	Agent__ProcessorsRequest none = AGENT__PROCESSORS_REQUEST__INIT;
	_cleanup_free_ char *make = NULL, *make_later = NULL;
	struct error *error = NULL;
	struct rig rig;

	start_main(&rig);
	if (rig.machine) {
		stop_main(&rig);
		test_skip("a real guest's CPUs are looked at by the lab's tests");
	}
	make = xasprintf("cd '%s' && mkdir -p cpu/cpu1 cpu/cpu2 && echo 0 >cpu/cpu1/online && "
			 "echo 1 >cpu/cpu2/online",
			 rig.directory);
	make_later = xasprintf("cd '%s' && mkdir new && echo 0 >new/online && "
			       "(sleep 0.2; mv new cpu/cpu3) &",
			       rig.directory);
	rig_command(make);
	set_processors(&rig, 2, "1 0");
	set_processors(&rig, 1, "0 0");
	rig_command(make_later);
	set_processors(&rig, 4, "1 1 1");
	CHECK_ERROR(rig_call(&rig, "Processors", &none, NULL, NULL, &error), &error,
		    "no CPU at all");
	stop_main(&rig);
}

static void test_refused(void)
{
	static const struct {
		struct rig_config config;
		const char *error;
	} cases[] = {
		{ { .namespaces = "[" NEW("mount") "," PATH_IPC "]" },
		  "joining the ipc namespace" },
		{ { .namespaces = "[" NEW("mount") "," PATH_IPC "]", .joins = { "uts" } },
		  "joining the ipc namespace" },
		{ { .joins = { "mount" } },
		  "mount namespace of another container cannot be joined" },
		{ { .joins = { "user" } }, "cannot be joined" },
		{ { .joins = { "cgroup" } }, "cannot be joined" },
		{ { .joins = { "" } }, "cannot be joined" },
	};
	struct rig_config orphan = { .args = "[\"true\"]",
				     .namespaces = "[" NEW("mount") "," PATH_IPC "]",
				     .hostname = "",
				     .joins = { "ipc" } };
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig rig;

	start_main(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig_config config = cases[i].config;

		config.args = "[\"true\"]";
		config.hostname = "";
		CHECK_ERROR(rig_create(&rig, "app", &config, NULL, &error), &error, cases[i].error);
	}
	/* One that has ended has no namespaces to give. */
	CHECK_OK(rig_signal(&rig, "main", SIGKILL, false, &error), &error);
	rig_wait(&rig, "main", "", &result);
	CHECK_ERROR(rig_create(&rig, "app", &orphan, NULL, &error), &error, "does not run");
	CHECK_OK(rig_delete(&rig, "main", &error), &error);
	CHECK_ERROR(rig_create(&rig, "app", &orphan, NULL, &error), &error, "does not run");
	rig_stop(&rig);
}

static const struct test_case cases[] = {
	{ "shared", test_shared },
	{ "left behind", test_left_behind },
	{ "processors", test_processors },
	{ "refused", test_refused },
};

RIG_MAIN(cases)
