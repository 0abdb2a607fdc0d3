/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp, as a container's programs and hooks find it. */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/agent-rig.h"

#define ROOT "{\"uid\":0,\"gid\":0}"
#define USER "{\"uid\":1000,\"gid\":1000}"
#define EXEC(args, user, nnp)                                                                      \
	"{\"args\":[" args "],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],\"user\":" user                \
	",\"noNewPrivileges\":" nnp "}"
#define HOOK(args)                                                                                 \
	"\"hooks\":{\"startContainer\":[{\"path\":\"/bin/raw-calls\",\"args\":[\"raw-calls\"" args \
	"]}]}"
/* Everything but these calls has the default action. */
#define ALLOWED(action, names)                                                                     \
	"\"seccomp\":{\"defaultAction\":\"" action "\",\"architectures\":["                        \
	"\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[" names                                   \
	"],\"action\":\"SCMP_ACT_ALLOW\"}]}"

/* Processes of every kind: the filter is there sooner or later, with or without
 * no_new_privs and root's capabilities. */
static const struct {
	const char *user, *process, *exec;
} kinds[] = {
	{ ROOT, "\"noNewPrivileges\":true", EXEC("\"raw-calls\"", ROOT, "true") },
	{ ROOT, "\"noNewPrivileges\":false", EXEC("\"raw-calls\"", ROOT, "false") },
	{ USER, "\"noNewPrivileges\":true", EXEC("\"raw-calls\"", USER, "true") },
	{ USER, "\"noNewPrivileges\":false", EXEC("\"raw-calls\"", USER, "false") },
};

static void run_all_kinds(struct rig *rig, const char *filter)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rig_config config = {
			.args = "[\"raw-calls\"]",
			.user = kinds[i].user,
			.process = kinds[i].process,
			.linux_ = filter,
			.top = HOOK(""),
		};
		struct rig_result result = { 0 };
		struct error *error = NULL;

		CHECK_OK(rig_create(rig, "c", &config, NULL, &error), &error);
		CHECK_OK(rig_exec(rig, "c", "x", kinds[i].exec, NULL, &error), &error);
		rig_wait(rig, "c", "x", &result);
		CHECK_INT(result.code, 0);
		CHECK_OK(rig_start_container(rig, "c", &error), &error);
		rig_wait(rig, "c", "", &result);
		CHECK_INT(result.code, 0);
		CHECK_OK(rig_delete(rig, "c", &error), &error);
	}
}

/* Of a container's setup the filter meets execve(2) and nothing else; the other two
 * calls are raw-calls' own. */
static void test_setup_needs_execve_only(void)
{
	struct rig rig;

	rig_start(&rig);
	run_all_kinds(&rig,
		      ALLOWED("SCMP_ACT_KILL_PROCESS", "\"execve\",\"write\",\"exit_group\""));
	run_all_kinds(&rig, ALLOWED("SCMP_ACT_ERRNO", "\"execve\",\"exit_group\""));
	rig_stop(&rig);
}

/* Profiles from which runc 1.1.5 needs every name, with no_new_privs and without. */
static void test_setup_needs_no_more_than_runc(void)
{
	struct rig rig;

	rig_start(&rig);
	run_all_kinds(&rig,
		      ALLOWED("SCMP_ACT_ERRNO",
			      "\"close\",\"execve\",\"exit_group\",\"fstatfs\",\"getdents64\","
			      "\"openat\",\"write\""));
	run_all_kinds(
	    &rig, ALLOWED("SCMP_ACT_ERRNO",
			  "\"capget\",\"capset\",\"chdir\",\"close\",\"execve\",\"exit_group\","
			  "\"fstat\",\"fstatfs\",\"futex\",\"getcwd\",\"getdents64\",\"getppid\","
			  "\"newfstatat\",\"openat\",\"prctl\",\"read\",\"setgid\",\"setgroups\","
			  "\"setuid\",\"write\""));
	rig_stop(&rig);
}

/* The program, and so a hook of the image's, is filtered from its first call on. */
static void test_programs_are_filtered(void)
{
	static const char filter[] =
	    ALLOWED("SCMP_ACT_ERRNO", "\"execve\",\"write\",\"exit_group\"");
	static const char killing[] =
	    ALLOWED("SCMP_ACT_KILL_PROCESS", "\"execve\",\"write\",\"exit_group\"");
	struct rig_config config = { .args = "[\"raw-calls\",\"x86_64:39\",\"x86_64:158\"]",
				     .linux_ = filter };
	struct rig_config hook = { .args = "[\"raw-calls\"]",
				   .linux_ = killing,
				   .top = HOOK(",\"x86_64:39\"") };
	struct rig rig;

	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rig_result result = { 0 };
		struct error *error = NULL;

		config.user = hook.user = kinds[i].user;
		config.process = hook.process = kinds[i].process;
		rig_run(&rig, &config, &result);
		CHECK_STRING(result.out, "x86_64:39 1\nx86_64:158 1\n");
		rig_result_done(&result);
		CHECK_OK(rig_create(&rig, "c", &hook, NULL, &error), &error);
		CHECK_ERROR(rig_start_container(&rig, "c", &error), &error,
			    "error running hook /bin/raw-calls: signal: bad system call");
		CHECK_OK(rig_delete(&rig, "c", &error), &error);
	}
	rig_stop(&rig);
}

/* In every process: ENOSYS for calls newer than those that the profile names, the last of
 * which is openat2, 437, but execve, 520, for x32 (test-agent-filter.c has the rules). */
static void test_newer_calls(void)
{
	struct rig_config config = {
		.args =
		    "[\"raw-calls\",\"x86_64:436\",\"x86_64:437\",\"x86_64:438\",\"x86_64:9999\","
		    "\"x32:519\",\"x32:521\"]",
		.linux_ =
		    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":["
		    "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X32\"],\"syscalls\":[{\"names\":["
		    "\"execve\",\"write\",\"exit_group\"],\"action\":\"SCMP_ACT_ALLOW\"},"
		    "{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95}]}",
	};
	struct rig rig;

	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rig_result result = { 0 };

		config.user = kinds[i].user;
		config.process = kinds[i].process;
		rig_run(&rig, &config, &result);
		CHECK_STRING(result.out, "x86_64:436 1\nx86_64:437 95\nx86_64:438 38\n"
					 "x86_64:9999 38\nx32:519 1\nx32:521 38\n");
		rig_result_done(&result);
	}
	rig_stop(&rig);
}

/* Loading a filter without no_new_privs takes CAP_SYS_ADMIN, of which no program has
 * anything left. */
static void test_capabilities_beside_filter(void)
{
#define CAPS "[\"CAP_KILL\",\"CAP_CHOWN\"]"
	struct rig_config config = {
		.process = "\"noNewPrivileges\":false,\"capabilities\":{\"bounding\":" CAPS
			   ",\"permitted\":" CAPS ",\"effective\":" CAPS ",\"inheritable\":" CAPS
			   ",\"ambient\":" CAPS "}",
		.linux_ = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
			  "\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
		.top = "\"hooks\":{\"startContainer\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\","
		       "\"-c\",\"grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status >/tmp/hook\"],"
		       "\"env\":[\"PATH=/bin\"]}]}",
	};
	struct rig rig;

	rig_start(&rig);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *out = NULL;

		config.user = i == 0 ? ROOT : USER;
		out = rig_shell(&rig, &config,
				"cat /tmp/hook; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status");
#define STATUS                                                                                     \
	"CapInh:\t0000000000000021\nCapPrm:\t0000000000000021\nCapEff:\t0000000000000021\n"        \
	"CapBnd:\t0000000000000021\nCapAmb:\t0000000000000021\nNoNewPrivs:\t0\nSeccomp:\t2\n"
		CHECK_STRING(out, STATUS STATUS);
	}
	rig_stop(&rig);
}

/* What keeps a program from running is told as it is, whatever the filter forbids. */
static void test_errors_beside_filter(void)
{
	static const struct {
		const char *args, *error;
	} cases[] = {
		{ "[\"none\"]", "exec: \"none\": executable file not found in $PATH" },
		{ "[\"/none\"]", "exec: \"/none\": stat /none: no such file or directory" },
		{ "[\"/etc/plain\"]", "exec: \"/etc/plain\": permission denied" },
		{ "[\"badscript\"]", "exec /bin/badscript: no such file or directory" },
		{ "[\"junk\"]", "exec /bin/junk: exec format error" },
	};
	static const char filter[] =
	    ALLOWED("SCMP_ACT_ERRNO", "\"execve\",\"write\",\"exit_group\"");
	struct rig rig;

	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(kinds); i++) {
		struct rig_config config = {
			.args = cases[i / ARRAY_SIZE(kinds)].args,
			.process = kinds[i % ARRAY_SIZE(kinds)].process,
			.user = kinds[i % ARRAY_SIZE(kinds)].user,
			.linux_ = filter,
		};
		struct error *error = NULL;
		int result = rig_create(&rig, "c", &config, NULL, &error);
		bool created = result == 0;

		if (created)
			result = rig_start_container(&rig, "c", &error);
		CHECK_ERROR(result, &error, cases[i / ARRAY_SIZE(kinds)].error);
		if (created)
			CHECK_OK(rig_delete(&rig, "c", &error), &error);
	}
	rig_stop(&rig);
}

static const struct test_case cases[] = {
	{ "setup needs execve only", test_setup_needs_execve_only },
	{ "setup needs no more than runc", test_setup_needs_no_more_than_runc },
	{ "programs are filtered", test_programs_are_filtered },
	{ "newer calls", test_newer_calls },
	{ "capabilities beside a filter", test_capabilities_beside_filter },
	{ "errors beside a filter", test_errors_beside_filter },
};

int main(int argc, char **argv)
{
#ifndef HAVE_SECCOMP
	test_skip("built with --disable-seccomp");
#endif
	return rig_main(argc, argv, cases, ARRAY_SIZE(cases));
}
