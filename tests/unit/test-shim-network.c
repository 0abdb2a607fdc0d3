/* SPDX-License-Identifier: Apache-2.0 */
/* What the task server tells the agent of the machine's network, and when.  Needs root,
 * /dev/net/tun and ip(8). */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "sandbox/network.h"
#include "tests/unit/shim-rig.h"

#define NEW_NETWORK ", \"linux\": {\"namespaces\": [{\"type\": \"network\"}]}"
#define ETH0 "eth0@02:00:73:6d:00:00"

static void setup(struct rig *rig)
{
	if (geteuid() != 0 || access("/dev/net/tun", W_OK) < 0)
		test_skip("needs root and /dev/net/tun");
	if (unshare(CLONE_NEWNET) < 0)
		test_skip("cannot make a network namespace");
	rig_init(rig);
	rig_start(rig);
}

/* In the machine's namespace. */
static void shell(pid_t machine, const char *script)
{
	_cleanup_free_ char *command =
	    xasprintf("set -e; there() { nsenter --net=/proc/%d/ns/net \"$@\"; }; pid=%d\n%s",
		      machine, machine, script);

	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "failed: %s", script);
}

static char *log_text(const struct rig *rig)
{
	_cleanup_free_ char *path = xasprintf("%s/" RIG_ID "/vmm.log", rig->directory);
	struct error *error = NULL;
	char *text;

	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	return text;
}

static int count(const struct rig *rig, const char *line)
{
	_cleanup_free_ char *text = log_text(rig);
	int n = 0;

	for (const char *at = text; (at = strstr(at, line)); at++)
		n++;
	return n;
}

static void expect(const struct rig *rig, const char *line, int n)
{
	for (int i = 0; i < 500 && count(rig, line) != n; i++)
		usleep(10000);
	CHECK_INT(count(rig, line), n);
}

/* Once at least: what the kernel changes afterwards may have it told again as it is. */
static void expect_told(const struct rig *rig, const char *line)
{
	for (int i = 0; i < 500 && count(rig, line) == 0; i++)
		usleep(10000);
	CHECK(count(rig, line) > 0);
}

/* More than n by now, for the same reason. */
static void expect_more(const struct rig *rig, int n)
{
	for (int i = 0; i < 500 && count(rig, "network of") <= n; i++)
		usleep(10000);
	CHECK(count(rig, "network of") > n);
}

static uint32_t create(struct rig *rig, const char *fake, const char *more)
{
	struct error *error = NULL;
	const int fds[3] = { -1, -1, -1 };
	uint32_t pid;

	rig_write_config(rig, &(struct rig_config){ .fake = fake, .more = more });
	pid = rig_create(rig, fds, false, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	return pid;
}

static void end(struct rig *rig)
{
	struct error *error = NULL;

	CHECK_OK(rig_kill(rig, "", SIGKILL, &error), &error);
	CHECK(rig_wait(rig, "", &error) >= 0);
	CHECK(rig_delete(rig, "", &error) >= 0);
	rig_done(rig);
}

/* At Start, not before; and again for a change, not for each of its events. */
static void told_at_start_and_later(void)
{
	struct error *error = NULL;
	int n;
	struct rig rig;
	pid_t pid;

	setup(&rig);
	pid = (pid_t)create(&rig, NULL, NEW_NETWORK);
	shell(pid, "ip link add far0 type veth peer name eth0 netns $pid; ip link set far0 up\n"
		   "there ip link set eth0 up");
	CHECK_INT(count(&rig, "network of"), 0);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	n = count(&rig, "network of");
	CHECK(n > 0);
	CHECK_INT(count(&rig, "network of " RIG_ID ": lo " ETH0 "\n"), n);
	shell(pid, "there ip addr add 10.1.0.2/24 dev eth0");
	expect_more(&rig, n);
	n = count(&rig, "network of");
	shell(pid, "seq 100 | sed 's|.*|addr add 10.1.1.&/24 dev eth0|' | there ip -batch -");
	expect_more(&rig, n);
	shell(pid, "ip link del far0");
	expect_told(&rig, "network of " RIG_ID ": lo\n");
	CHECK(count(&rig, "network of") - n < 100);
	end(&rig);
}

static void *start_task(void *data)
{
	struct error *error = NULL;

	CHECK_ERROR(rig_start_task(data, "", &error), &error, "");
	return NULL;
}

/* From the first word on, whatever else the start is waiting for. */
static void told_while_it_starts(void)
{
	struct error *error = NULL;
	pthread_t starter;
	struct rig rig;
	pid_t pid;

	setup(&rig);
	pid = (pid_t)create(&rig, "fake.mute=start", NEW_NETWORK);
	CHECK(pthread_create(&starter, NULL, start_task, &rig) == 0);
	expect(&rig, "network of", 1);
	shell(pid, "ip link add far0 type veth peer name eth0 netns $pid; ip link set far0 up\n"
		   "there ip link set eth0 up");
	expect_told(&rig, "network of " RIG_ID ": lo " ETH0 "\n");
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(pthread_join(starter, NULL) == 0);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK(rig_delete(&rig, "", &error) >= 0);
	rig_done(&rig);
}

/* Its processes are frozen, not the agent. */
static void told_while_it_is_paused(void)
{
	struct error *error = NULL;
	struct rig rig;
	pid_t pid;

	setup(&rig);
	pid = (pid_t)create(&rig, NULL, NEW_NETWORK);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	shell(pid, "ip link add far0 type veth peer name eth0 netns $pid; ip link set far0 up\n"
		   "there ip link set eth0 up");
	expect_told(&rig, "network of " RIG_ID ": lo " ETH0 "\n");
	CHECK_OK(rig_simple(&rig, "Resume", &error), &error);
	end(&rig);
}

/* A container without a namespace has none of the host's. */
static void host_network(void)
{
	struct error *error = NULL;
	struct rig rig;

	setup(&rig);
	(void)create(&rig, NULL, NULL);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	CHECK_INT(count(&rig, "network of"), 0);
	end(&rig);
}

/* The start fails, and may be tried again. */
static void refused(void)
{
	struct error *error = NULL;
	struct rig rig;
	pid_t pid;

	setup(&rig);
	pid = (pid_t)create(&rig, "fake.refuse=network", NEW_NETWORK);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "the route is not for this guest");
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__CREATED);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "the route is not for this guest");
	CHECK_INT(count(&rig, "network of"), 2);
	shell(pid, "there ip tuntap add dev p2p mode tun; there ip link set p2p up");
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error,
		    "the interface p2p cannot be given to a machine");
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__CREATED);
	end(&rig);
}

/* Changes without an end, in the machine's namespace; the child is killed with its group. */
static pid_t change_all_the_time(pid_t machine)
{
	_cleanup_free_ char *script = xasprintf(
	    "while :; do echo addr add 10.1.0.2 dev lo; echo addr del 10.1.0.2/32 dev lo; done |\n"
	    "nsenter --net=/proc/%d/ns/net ip -batch - >/dev/null 2>&1",
	    machine);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(127);
	}
	(void)setpgid(pid, pid);
	return pid;
}

/* What was listed may not go together, if it changed meanwhile: told a few times (NETWORK_TELL_MAX)
 * for a start, and as often for each time that changes are followed meanwhile (NETWORK_SETTLE_MS).
 */
static void refused_amid_changes(void)
{
	uint64_t end_ns = clock_monotonic_ns() + 30000000000ull, begun_ns = 0, rounds;
	struct error *error = NULL;
	struct rig rig;
	int starts = 0;
	pid_t pid;

	setup(&rig);
	pid = change_all_the_time((pid_t)create(&rig, "fake.refuse=network", NEW_NETWORK));
	while (count(&rig, "network of") == starts && clock_monotonic_ns() < end_ns) {
		begun_ns = clock_monotonic_ns();
		CHECK_ERROR(rig_start_task(&rig, "", &error), &error,
			    "the route is not for this guest");
		starts++;
	}
	rounds = 2 + (clock_monotonic_ns() - begun_ns) / (NETWORK_SETTLE_MS * 1000000ull);
	(void)kill(-pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(count(&rig, "network of") > starts);
	CHECK((uint64_t)count(&rig, "network of") <= (uint64_t)starts + NETWORK_TELL_MAX * rounds);
	end(&rig);
}

/* The machine dies, or its agent hangs up, while it is told. */
static void lost(const char *fake)
{
	struct error *error = NULL;
	struct rig rig;

	setup(&rig);
	(void)create(&rig, fake, NEW_NETWORK);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "");
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK(rig_delete(&rig, "", &error) >= 0);
	rig_done(&rig);
}
static void machine_lost(void)
{
	lost("fake.die=network");
	lost("fake.hangup=network");
}

static const struct test_case cases[] = {
	{ "told at start and later", told_at_start_and_later },
	{ "told while it starts", told_while_it_starts },
	{ "told while it is paused", told_while_it_is_paused },
	{ "host network", host_network },
	{ "refused", refused },
	{ "refused amid changes", refused_amid_changes },
	{ "machine lost", machine_lost },
};
TEST_MAIN(cases)
