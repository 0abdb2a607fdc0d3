/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest ends, and how that shows on the control socket and in the exit
 * status. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "vmm/x86_64/layout.h"

void guest_main(const char *cmdline)
{
	if (guest_same(cmdline, "reboot"))
		outb(PORT_RESET, RESET_VALUE);
	if (guest_same(cmdline, "panic"))
		outb(PORT_PVPANIC, inb(PORT_PVPANIC) & 1);
	if (guest_same(cmdline, "triple fault"))
		__asm__ volatile("ud2");
	/* Neither a sleep type that is not S5 nor one without SLP_EN powers off. */
	if (guest_same(cmdline, "other sleep")) {
		outb(PORT_SLEEP_CONTROL, 1 << 5 | 3 << 2);
		outb(PORT_SLEEP_CONTROL, SLEEP_TYPE_S5 << 2);
		outb(PORT_RESET, RESET_VALUE + 1);
		GUEST_CHECK_INT(inb(PORT_SLEEP_STATUS), 0);
	}
}

#else

#include "tests/machine/harness.h"

static void run(const char *cmdline, const char *event, int code)
{
	struct vm vm;

	vm_start(vm_prepare(cmdline), true, &vm);
	vm_expect_part(&vm, event);
	vm_send(&vm, "{\"op\":\"status\"}");
	vm_expect(&vm, "{\"ok\":true,\"state\":\"stopped\"}");
	vm_send(&vm, "{\"op\":\"exit\",\"code\":7}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_exit(&vm, 7);

	vm_start(vm_prepare(cmdline), false, &vm);
	vm_expect_exit(&vm, code);
}

static void test_poweroff(void)
{
	run("poweroff", "{\"event\":\"stopped\",\"reason\":\"poweroff\"", VMM_EXIT_OK);
}

static void test_reboot(void)
{
	run("reboot", "{\"event\":\"stopped\",\"reason\":\"reboot\"", VMM_EXIT_REBOOT);
}

static void test_panic(void)
{
	run("panic", "{\"event\":\"stopped\",\"reason\":\"panic\"", VMM_EXIT_PANIC);
}

static void test_triple_fault(void)
{
	run("triple fault",
	    "{\"event\":\"stopped\",\"reason\":\"error\",\"message\":\"the guest crashed with a "
	    "triple fault (vCPU 0, rip 0x",
	    VMM_EXIT_ERROR);
}

static void test_other_sleep(void)
{
	struct vm vm;

	vm_start(vm_prepare("other sleep"), true, &vm);
	vm_expect_done(&vm);
}

static const struct test_case cases[] = {
	{ "poweroff", test_poweroff },
	{ "reboot", test_reboot },
	{ "panic", test_panic },
	{ "triple fault", test_triple_fault },
	{ "other sleep types", test_other_sleep },
};

TEST_MAIN(cases)

#endif
