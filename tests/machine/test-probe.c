/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe, on this machine's KVM: its two parts agree with each other and with
 * what the module behind /dev/kvm is known to be, again and again, idle and beside
 * a process that wants the same processors.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "vmm/probe.h"

#define ROUNDS 5

/* NULL: a module that is not known here. */
static const bool *expected(void)
{
	static const bool yes = true, no = false;

	if (access("/sys/module/kvm_pvm", F_OK) == 0)
		return &no;
	if (access("/sys/module/kvm_intel", F_OK) == 0 || access("/sys/module/kvm_amd", F_OK) == 0)
		return &yes;
	return NULL;
}

static void require_kvm(void)
{
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		test_skip("no usable /dev/kvm");
	if (!expected())
		test_skip("not known what this KVM is");
}

static void check_once(enum probe_part parts, const char *unusable)
{
	_cleanup_error_ struct error *error = NULL;
	const char *verdict = probe_kvm(parts, &error);

	CHECK_STRING(verdict, *expected() ? PROBE_USABLE : unusable);
	CHECK((error != NULL) == !*expected());
}

static void test_instructions(void)
{
	require_kvm();
	for (int i = 0; i < ROUNDS; i++)
		check_once(PROBE_INSTRUCTIONS, PROBE_EMULATED);
}

static void test_speed(void)
{
	require_kvm();
	for (int i = 0; i < ROUNDS; i++)
		check_once(PROBE_SPEED, PROBE_SLOW);
}

/* Wants the one processor that the probe has, too. */
static pid_t start_rival(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		;
}

static void test_under_load(void)
{
	cpu_set_t all, one;
	pid_t rival;
	int cpu = 0;

	require_kvm();
	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	rival = start_rival();
	check_once(PROBE_SPEED, PROBE_SLOW);
	check_once(PROBE_ALL, PROBE_EMULATED);
	CHECK(kill(rival, SIGKILL) == 0 && waitpid(rival, NULL, 0) == rival);
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
}

/* No descriptor and no mapping stays. */
static void test_leaves_nothing(void)
{
	_cleanup_error_ struct error *error = NULL;
	int before, after;

	require_kvm();
	before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(before);
	(void)probe_kvm(PROBE_INSTRUCTIONS, &error);
	after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(after);
	CHECK_INT(after, before);
}

static const struct test_case cases[] = {
	{ "instructions", test_instructions },
	{ "speed", test_speed },
	{ "under load", test_under_load },
	{ "leaves nothing", test_leaves_nothing },
};

TEST_MAIN(cases)
