/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong around a container: machines and agents that die, are silent or
 * lie, at every stage; hooks; kills at bad moments. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/agent-client.h"
#include "tests/unit/shim-rig.h"

/* Create fails with this, and a second one works: nothing is left of the first. */
static void create_fails(const char *fake, const char *message)
{
	int fds[3] = { -1, open("/dev/null", O_RDWR | O_CLOEXEC), -1 };
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig.boot_timeout_ms = 700;
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .fake = fake });
	CHECK_ERROR(rig_create(&rig, fds, false, &error) ? 0 : -1, &error, message);
	CHECK_ERROR(rig_wait(&rig, "", &error), &error, "does not exist");
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]" }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	rig_done(&rig);
}

static void test_create_fails(void)
{
	create_fails("fake.die=boot", "the VMM");
	create_fails("fake.die=boot", "fake vmm: dying at boot");
	create_fails("fake.die=hello", "while the container was being created");
	create_fails("fake.die=stream", "");
	create_fails("fake.die=create", "");
	create_fails("fake.stopped=boot fake.mute=boot",
		     "the guest ended (panic: VFS ) while the container was being created");
	create_fails("fake.hangup=hello", "");
	create_fails("fake.hangup=create", "");
	create_fails("fake.mute=stream", "cannot open a stream to the guest");
	create_fails("fake.version=7", "the agent speaks protocol version 7");
}

/* The task server reads the words itself, whatever its client has made of them. */
static void test_bad_network(void)
{
	int fds[3] = { -1, open("/dev/null", O_RDWR | O_CLOEXEC), -1 };
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .args = "[\"true\"]" });
	rig.network = "ns:/dev/null";
	CHECK_ERROR(rig_create(&rig, fds, false, &error) ? 0 : -1, &error,
		    "--network: /dev/null is not a network namespace");
	rig.network = "ns:/proc/self/ns/net";
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]" }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	rig_done(&rig);
}

static void test_boot_timeout(void)
{
	create_fails("fake.mute=boot", "did not come up within");
	create_fails("fake.mute=boot fake.babble",
		     "fake vmm: booting|fake vmm: no root [2J device");
	create_fails("fake.mute=hello", "did not come up within");
}

/* A VMM that has been taken over fills no log. */
static void test_nonsense_from_the_vmm(void)
{
	char path[] = "/tmp/test-shim-failures.XXXXXX";
	int fd = mkstemp(path);
	struct error *error = NULL;
	char *text, *line;
	int n = 0;

	CHECK(fd >= 0);
	log_set_fd(fd);
	create_fails("fake.mute=boot fake.nonsense", "did not come up within");
	log_set_fd(STDERR_FILENO);
	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	for (line = text; (line = strstr(line, "the VMM's message: not valid JSON")); line++)
		n++;
	CHECK(n >= 1 && n <= 5);
	free(text);
	(void)close(fd);
	(void)unlink(path);
}

/* The administrator's word goes before the default. */
static void test_boot_timeout_set(void)
{
	static const char text[] = "{\"boot_timeout_s\": 1}";
	char path[] = "/tmp/test-shim-failures.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) >= 0 && close(fd) == 0);
	CHECK(setenv("SUPERMACHINE_CONFIG", path, 1) == 0);
	create_fails("fake.mute=boot", "did not come up within 1 s");
	CHECK(unsetenv("SUPERMACHINE_CONFIG") == 0 && unlink(path) == 0);
}

static void test_command_not_found(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .args = "[\"missing\"]" });
	CHECK(!rig_create(&rig, NULL, false, &error));
	/* Docker takes the exit code 127 from these words. */
	CHECK_STRING(error->message, "exec: \"missing\": executable file not found in $PATH");
	error_free(error);
	rig_done(&rig);
}

struct creator {
	struct rig *rig;
	pthread_t thread;
	struct error *error;
	uint32_t pid;
};

static void *create(void *data)
{
	struct creator *creator = data;

	creator->pid = rig_create(creator->rig, NULL, false, &creator->error);
	return NULL;
}

static void begin_create(struct creator *creator, struct rig *rig)
{
	struct error *error = NULL;
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;

	*creator = (struct creator){ .rig = rig };
	request.id = (char *)RIG_ID;
	CHECK(pthread_create(&creator->thread, NULL, create, creator) == 0);
	for (int i = 0; i < 500; i++) {
		ProtobufCMessage *state =
		    rig_call(rig, "State", &request.base, &task__state_response__descriptor, NULL,
			     0, &error);

		error_free(error);
		error = NULL;
		rig_free(state);
		if (state)
			break;
		(void)usleep(10000);
	}
	(void)usleep(100000);
}

static void end_create(struct creator *creator, const char *message)
{
	CHECK(pthread_join(creator->thread, NULL) == 0);
	CHECK_ERROR(creator->pid ? 0 : -1, &creator->error, message);
}

static void kill_during(const char *fake, const char *more, int signal, const char *message)
{
	struct creator creator;
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .fake = fake, .more = more });
	begin_create(&creator, &rig);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__UNKNOWN);
	if (signal) {
		CHECK_ERROR(rig_kill(&rig, "", SIGUSR1, &error), &error,
			    "only SIGKILL and SIGTERM");
		CHECK_OK(rig_kill(&rig, "", (uint32_t)signal, &error), &error);
	} else {
		CHECK_INT(rig_delete(&rig, "", &error), 137);
	}
	end_create(&creator, message);
	rig_done(&rig);
}

static void test_kill_during_create(void)
{
	kill_during("fake.mute=boot", NULL, SIGKILL, "killed while it was being created");
	kill_during("fake.mute=hello", NULL, SIGTERM, "killed while it was being created");
	kill_during("fake.mute=create", NULL, SIGKILL, "killed while it was being created");
	kill_during(NULL,
		    ",\"hooks\":{\"prestart\":[{\"path\":\"/bin/sleep\",\"args\":[\"sleep\","
		    "\"1000\"]}]}",
		    SIGKILL, "killed while it was being created");
}

static void test_delete_during_create(void)
{
	kill_during("fake.mute=boot", NULL, 0, "deleted while it was being created");
	kill_during("fake.mute=create", NULL, 0, "deleted while it was being created");
}

static void test_shutdown_during_create(void)
{
	struct creator creator;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .fake = "fake.mute=boot" });
	begin_create(&creator, &rig);
	rig_done(&rig);
	CHECK(pthread_join(creator.thread, NULL) == 0);
	CHECK(creator.error);
	error_free(creator.error);
}

/* The machine or the agent dies under a running container with an exec. */
static void dies_while_running(const char *fake, bool kill_vmm)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid;
	int status;

	rig_init(&rig);
	rig_start(&rig);
	pid = rig_run(&rig, &(struct rig_config){ .fake = fake }, NULL);
	CHECK_OK(rig_exec(&rig, "e", "[\"sleep\",\"1000\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	if (kill_vmm) {
		CHECK(kill((pid_t)pid, SIGKILL) == 0);
	} else {
		(void)rig_kill(&rig, "", SIGUSR1, &error);
		error_free(error);
		error = NULL;
	}
	CHECK_INT(rig_wait(&rig, "e", &error), 137);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__STOPPED);
	CHECK_ERROR(rig_kill(&rig, "", SIGKILL, &error), &error, "container not running");
	status = rig_reap((pid_t)pid);
	CHECK(status == SIGKILL || (WIFEXITED(status) && WEXITSTATUS(status) == 1));
	CHECK_INT(rig_delete(&rig, "e", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_death_while_running(void)
{
	dies_while_running(NULL, true);
	dies_while_running("fake.die=signal", false);
	dies_while_running("fake.hangup=signal", false);
}

static void test_death_at_start(void)
{
	static const char *const stages[] = { "fake.die=start", "fake.hangup=start" };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		struct error *error = NULL;
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig);
		rig_write_config(&rig, &(struct rig_config){ .fake = stages[i] });
		CHECK(rig_create(&rig, NULL, false, &error) > 0);
		CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "");
		CHECK_INT(rig_wait(&rig, "", &error), 137);
		CHECK_INT(rig_delete(&rig, "", &error), 137);
		rig_done(&rig);
	}
}

static void test_death_at_exec(void)
{
	static const char *const stages[] = { "fake.die=exec", "fake.hangup=exec" };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		struct error *error = NULL;
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig);
		(void)rig_run(&rig, &(struct rig_config){ .fake = stages[i] }, NULL);
		CHECK_OK(rig_exec(&rig, "e", "[\"true\"]", NULL, false, &error), &error);
		CHECK_ERROR(rig_start_task(&rig, "e", &error), &error, "");
		CHECK_INT(rig_wait(&rig, "", &error), 137);
		CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__STOPPED);
		CHECK_INT(rig_delete(&rig, "", &error), 137);
		rig_done(&rig);
	}
}

/* A VMM that takes no requests is killed; one whose agent's Delete never comes
 * back ends all the same. */
static void test_deaf_machine(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid;

	rig_init(&rig);
	rig_start(&rig);
	pid =
	    rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]", .fake = "fake.deaf" }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	CHECK_INT(rig_reap((pid_t)pid), SIGKILL);
	rig_done(&rig);
}

static void greeted(void *data, const struct error *error)
{
	(void)data, (void)error;
}

static void agent_lost(void *data)
{
	(void)data;
}

/* Without a descriptor of its own an agent's connection could not be broken. */
static void test_agent_without_descriptors(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	const struct agent_client_events events = { .greeted = greeted, .closed = agent_lost };
	struct agent_client *agent = NULL;
	struct error *error = NULL;
	int fds[2];
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK_OK(loop_new(&loop, &error), &error);
	test_leave_fds(0);
	CHECK_ERROR(agent_client_new(loop, fds[1], NULL, &events, &agent, &error), &error,
		    "cannot duplicate the agent's connection");
	CHECK(!agent);
	CHECK(read(fds[0], &byte, 1) == 0);
}

static void test_garbage_from_agent(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ .fake = "fake.garbage=stats" }, NULL);
	CHECK_ERROR(rig_simple(&rig, "Stats", &error), &error, "metrics cannot be read");
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	rig_done(&rig);
}

/* A message within a message that would take a hundred times its size. */
static void test_bomb_from_agent(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ .fake = "fake.bomb=processes" }, NULL);
	CHECK_ERROR(rig_simple(&rig, "Processes", &error), &error, "process list cannot be read");
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	rig_done(&rig);
}

/* The server dies: the machine does not outlive it. */
static void test_server_killed(void)
{
	struct rig rig;
	uint32_t pid;
	int status;

	rig_init(&rig);
	rig_start(&rig);
	pid = rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(kill(rig.server, SIGKILL) == 0);
	CHECK(waitpid(rig.server, &status, 0) == rig.server);
	CHECK_INT(rig_reap((pid_t)pid), 137 << 8);
	rig_remove(&rig);
}

static void check_ends(struct rig *rig)
{
	int status;

	CHECK(waitpid(rig->server, &status, 0) == rig->server);
	CHECK_INT(status, 0);
	CHECK(access(rig->socket, F_OK) < 0);
}

/* Its starter has died before its Create, or after the last Delete. */
static void test_idle(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig.idle_timeout_ms = 300;
	rig_start(&rig);
	check_ends(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	(void)usleep(600000);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	(void)usleep(600000);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	check_ends(&rig);
	/* A Create that fails is none. */
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .args = "[\"missing\"]" });
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error, "not found");
	check_ends(&rig);
	rig_remove(&rig);
}

static void test_server_terminated(void)
{
	struct rig rig;
	uint32_t pid;
	int status;

	rig_init(&rig);
	rig_start(&rig);
	pid = rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(kill(rig.server, SIGTERM) == 0);
	CHECK(waitpid(rig.server, &status, 0) == rig.server);
	CHECK_INT(status, 0);
	CHECK_INT(rig_reap((pid_t)pid), SIGKILL);
	CHECK(access(rig.socket, F_OK) < 0);
	rig_remove(&rig);
}

/* ---- hooks ---- */

/* A hook that appends its name and the state's pid and status to the log. */
static char *hook(const struct rig *rig, const char *kind, const char *then)
{
	return xasprintf("\"%s\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo %s $(grep "
			 "-o 'status.:.[a-z]*' | cut -d: -f2 | tr -d '\\\"') $X >>%s/hooks%s\"],"
			 "\"env\":[\"X=y\",\"PATH=/usr/bin:/bin\"]}]",
			 kind, kind, rig->directory, then ? then : "");
}

static char *all_hooks(const struct rig *rig, const char *failing)
{
	static const char *const kinds[] = { "prestart", "createRuntime", "createContainer",
					     "poststart", "poststop" };
	char *text = xstrdup(",\"hooks\":{");
	char *closed;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool fails = failing && strcmp(failing, kinds[i]) == 0;
		_cleanup_free_ char *one =
		    hook(rig, kinds[i], fails ? "; echo why >&2; exit 9" : "");
		char *longer = xasprintf("%s%s%s", text, i ? "," : "", one);

		free(text);
		text = longer;
	}
	closed = xasprintf("%s}", text);
	free(text);
	return closed;
}

static void check_hooks(const struct rig *rig, const char *wanted)
{
	_cleanup_free_ char *path = xasprintf("%s/hooks", rig->directory);
	struct error *error = NULL;
	char *text;

	CHECK_OK(read_file(path, 10000, &text, NULL, &error), &error);
	CHECK_STRING(text, wanted);
	free(text);
	CHECK(unlink(path) == 0);
}

static void test_hooks_in_order(void)
{
	_cleanup_free_ char *hooks = NULL;
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	hooks = all_hooks(&rig, NULL);
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]", .more = hooks }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	check_hooks(&rig, "prestart creating y\ncreateRuntime creating y\n"
			  "createContainer creating y\npoststart running y\n"
			  "poststop stopped y\n");
	rig_done(&rig);
}

static void test_failing_hooks(void)
{
	static const char *const kinds[] = { "prestart", "createRuntime", "createContainer" };
	static const char *const logs[] = {
		"prestart creating y\n",
		"prestart creating y\ncreateRuntime creating y\n",
		"prestart creating y\ncreateRuntime creating y\ncreateContainer creating y\n",
	};
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *hooks = all_hooks(&rig, kinds[i]);
		_cleanup_free_ char *log = xasprintf("%spoststop stopped y\n", logs[i]);

		rig_write_config(&rig, &(struct rig_config){ .more = hooks });
		CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error,
			    "error running hook #0: exit status 9, stdout: , stderr: why");
		check_hooks(&rig, log);
	}
	rig_done(&rig);
}

/* As runc: the container does not survive its poststart hook's failure. */
static void test_failing_poststart(void)
{
	_cleanup_free_ char *hooks = NULL;
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	hooks = all_hooks(&rig, "poststart");
	rig_write_config(&rig, &(struct rig_config){ .more = hooks });
	CHECK(rig_create(&rig, NULL, false, &error) > 0);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error,
		    "poststart hooks: error running hook #0: exit status 9");
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_failing_poststop(void)
{
	_cleanup_free_ char *hooks = NULL;
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	hooks = all_hooks(&rig, "poststop");
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]", .more = hooks }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	rig_done(&rig);
}

static void hook_fails(const char *hooks, const char *message)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .more = hooks });
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error, message);
	rig_done(&rig);
}

static void test_hook_errors(void)
{
	uint64_t before = clock_monotonic_ns();

	hook_fails(",\"hooks\":{\"prestart\":[{\"path\":\"/bin/true\"},{\"path\":\"/bin/false\"}]}",
		   "error running hook #1: exit status 1");
	hook_fails(",\"hooks\":{\"prestart\":[{\"path\":\"/nonexistent\"}]}",
		   "cannot run /nonexistent: No such file or directory");
	/* The hook's child holds its output open: it goes too, and nobody waits. */
	hook_fails(",\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
		   "\"sleep 1000 & sleep 1000\"],\"timeout\":1}]}",
		   "error running hook #0: hook ran past specified timeout of 1.0s");
	hook_fails(",\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\","
		   "\"kill -9 $$\"]}]}",
		   "error running hook #0: signal: killed");
	CHECK(clock_monotonic_ns() - before < UINT64_C(30000000000));
}

/* Others are answered while a hook runs. */
static void test_hook_blocks_nobody(void)
{
	struct creator creator;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){
				   .more = ",\"hooks\":{\"prestart\":[{\"path\":\"/bin/sleep\","
					   "\"args\":[\"sleep\",\"1\"]}]}" });
	begin_create(&creator, &rig);
	for (int i = 0; i < 20; i++)
		CHECK_INT(rig_status(&rig, ""), TASK__STATUS__UNKNOWN);
	CHECK(pthread_join(creator.thread, NULL) == 0);
	CHECK_OK(creator.pid ? 0 : -1, &creator.error);
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "create fails", test_create_fails },
	{ "bad network", test_bad_network },
	{ "boot timeout", test_boot_timeout },
	{ "nonsense from the VMM", test_nonsense_from_the_vmm },
	{ "boot timeout set", test_boot_timeout_set },
	{ "command not found", test_command_not_found },
	{ "kill during create", test_kill_during_create },
	{ "delete during create", test_delete_during_create },
	{ "shutdown during create", test_shutdown_during_create },
	{ "death while running", test_death_while_running },
	{ "death at start", test_death_at_start },
	{ "death at exec", test_death_at_exec },
	{ "deaf machine", test_deaf_machine },
	{ "agent without descriptors", test_agent_without_descriptors },
	{ "garbage from agent", test_garbage_from_agent },
	{ "bomb from agent", test_bomb_from_agent },
	{ "server killed", test_server_killed },
	{ "idle", test_idle },
	{ "server terminated", test_server_terminated },
	{ "hooks in order", test_hooks_in_order },
	{ "failing hooks", test_failing_hooks },
	{ "failing poststart", test_failing_poststart },
	{ "failing poststop", test_failing_poststop },
	{ "hook errors", test_hook_errors },
	{ "hook blocks nobody", test_hook_blocks_nobody },
};

TEST_MAIN(cases)
