/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: every request, its errors, and what ends the VMM. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "vmm/x86_64/layout.h"

/* Prints for ever, some hundred times a second. */
void guest_main(const char *cmdline)
{
	(void)cmdline;
	for (;;) {
		outb(PORT_SERIAL, '.');
		for (int i = 0; i < 1000; i++)
			relax();
	}
}

#else

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/machine/harness.h"

static void test_ping(void)
{
	_cleanup_free_ char *answer = NULL;
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	answer = xasprintf("{\"ok\":true,\"pid\":%d}", vm.pid);
	vm_send(&vm, "{\"op\":\"ping\"}");
	vm_expect(&vm, answer);
	vm_send(&vm, "{\"op\":\"stop\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_exit(&vm, VMM_EXIT_OK);
}

static void test_pause(void)
{
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	vm_expect_output(&vm, "...");
	for (int round = 0; round < 20; round++) {
		vm_send(&vm, "{\"op\":\"pause\"}");
		vm_expect(&vm, "{\"ok\":true}");
		while (vm_count_output(&vm, 0) > 0)
			continue;
		CHECK_INT(vm_count_output(&vm, 10), 0);
		vm_send(&vm, "{\"op\":\"status\"}");
		vm_expect(&vm, "{\"ok\":true,\"state\":\"paused\"}");
		vm_send(&vm, "{\"op\":\"pause\"}");
		vm_expect(&vm, "{\"error\":\"cannot pause: the machine is paused\"}");
		vm_send(&vm, "{\"op\":\"resume\"}");
		vm_expect(&vm, "{\"ok\":true}");
		vm_expect_more_output(&vm);
		vm_send(&vm, "{\"op\":\"status\"}");
		vm_expect(&vm, "{\"ok\":true,\"state\":\"running\"}");
		vm_send(&vm, "{\"op\":\"resume\"}");
		vm_expect(&vm, "{\"error\":\"cannot resume: the machine is running\"}");
	}
	vm_send(&vm, "{\"op\":\"pause\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_send(&vm, "{\"op\":\"exit\",\"code\":3}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_exit(&vm, 3);
}

static void exit_with(const char *request, struct vm *vm)
{
	vm_start(vm_prepare(""), true, vm);
	vm_expect_output(vm, ".");
	vm_send(vm, request);
	vm_expect(vm, "{\"ok\":true}");
}

static void test_exit_codes(void)
{
	struct vm vm;

	exit_with("{\"op\":\"exit\",\"code\":0}", &vm);
	vm_expect_exit(&vm, 0);
	exit_with("{\"op\":\"exit\",\"code\":255}", &vm);
	vm_expect_exit(&vm, 255);
}

static void test_exit_signals(void)
{
	static const int signals[] = { SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGINT,
				       SIGHUP,	SIGPIPE, SIGUSR1, SIGSYS,  34 };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		_cleanup_free_ char *request =
		    xasprintf("{\"op\":\"exit\",\"signal\":%d}", signals[i]);
		struct vm vm;

		exit_with(request, &vm);
		vm_expect_signal(&vm, signals[i]);
	}
}

/* What does not end a process by default: the shell's notation. */
static void test_exit_other_signals(void)
{
	struct vm vm;

	exit_with("{\"op\":\"exit\",\"signal\":17}", &vm);
	vm_expect_exit(&vm, 128 + 17);
	exit_with("{\"op\":\"exit\",\"signal\":19}", &vm);
	vm_expect_exit(&vm, 128 + 19);
}

static void test_end_of_file(void)
{
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	vm_expect_output(&vm, ".");
	CHECK(close(vm.control) == 0);
	vm_expect_exit(&vm, VMM_EXIT_ORPHANED);
}

static void test_end_of_file_while_paused(void)
{
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	vm_send(&vm, "{\"op\":\"pause\"}");
	vm_expect(&vm, "{\"ok\":true}");
	CHECK(close(vm.control) == 0);
	vm_expect_exit(&vm, VMM_EXIT_ORPHANED);
}

static void test_termination(void)
{
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	vm_expect_output(&vm, ".");
	CHECK(kill(vm.pid, SIGTERM) == 0);
	vm_expect_signal(&vm, SIGTERM);
}

static void test_bad_requests(void)
{
	static const struct {
		const char *request, *answer;
	} bad[] = {
		{ "nonsense", "not valid JSON" },
		{ "[]", "must be an object" },
		{ "{}", "op: missing" },
		{ "{\"op\":5}", "op: must be a string" },
		{ "{\"op\":\"dance\"}", "unknown op" },
		{ "{\"op\":\"exit\"}", "either" },
		{ "{\"op\":\"exit\",\"code\":256}", "code: 256 is out of range" },
		{ "{\"op\":\"exit\",\"code\":1,\"signal\":9}", "either" },
		{ "{\"op\":\"exit\",\"signal\":65}", "signal: 65 is out of range" },
		{ "", "JSON" },
	};
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		vm_send(&vm, bad[i].request);
		vm_expect_part(&vm, bad[i].answer);
	}
	/* Several in one write, answered in order. */
	vm_send(
	    &vm,
	    "{\"op\":\"pause\"}\n{\"op\":\"status\"}\n{\"op\":\"resume\"}\n{\"op\":\"status\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect(&vm, "{\"ok\":true,\"state\":\"paused\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect(&vm, "{\"ok\":true,\"state\":\"running\"}");
	vm_send(&vm, "{\"op\":\"stop\"}");
	vm_expect_exit(&vm, 0);
}

static void test_endless_line(void)
{
	char line[2 * CONTROL_LINE_MAX];
	struct vm vm;

	vm_start(vm_prepare(""), true, &vm);
	(void)memset(line, 'x', sizeof(line));
	CHECK(write_all(vm.control, line, sizeof(line)) == 0);
	vm_expect_exit(&vm, VMM_EXIT_ORPHANED);
}

static const struct test_case cases[] = {
	{ "ping", test_ping },
	{ "pause and resume", test_pause },
	{ "exit codes", test_exit_codes },
	{ "exit signals", test_exit_signals },
	{ "exit by other signals", test_exit_other_signals },
	{ "end of file", test_end_of_file },
	{ "end of file while paused", test_end_of_file_while_paused },
	{ "SIGTERM", test_termination },
	{ "bad requests", test_bad_requests },
	{ "a line without end", test_endless_line },
};

TEST_MAIN(cases)

#endif
