/* SPDX-License-Identifier: Apache-2.0 */
/* Other vCPUs are started by INIT and SIPI, run at once, and end with the
 * machine; the ACPI tables list them.  Some come while the machine runs. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "vmm/x86_64/layout.h"

static uint32_t started[64];
static uint32_t released;

static void on_processor(uint32_t apic_id)
{
	uint32_t eax = 1, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	GUEST_CHECK_INT(ebx >> 24, apic_id);
	__atomic_store_n(&started[apic_id], 1, __ATOMIC_SEQ_CST);
	/* All of them are here at the same time. */
	while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
		relax();
	__atomic_store_n(&started[apic_id], 2, __ATOMIC_SEQ_CST);
	/* This one powers off, another one printed. */
	if (apic_id == 1)
		while (__atomic_load_n(&released, __ATOMIC_SEQ_CST) != 2)
			relax();
	if (apic_id == 1)
		guest_done();
	for (;;)
		relax();
}

/* Each is told of by an interrupt; one may stand for several. */
static void await_others(uint32_t n)
{
	GUEST_CHECK_INT(inb(PORT_VCPUS), 1);
	guest_enable_interrupt(VCPUS_GSI);
	guest_print("alone\n");
	while (guest_interrupts == 0 || inb(PORT_VCPUS) < n)
		relax();
	GUEST_CHECK_INT(inb(PORT_VCPUS), n);
	GUEST_CHECK(guest_interrupts < n);
}

/* How many there will be, and, if they are still to come, a plus. */
void guest_main(const char *cmdline)
{
	const uint32_t n = (uint32_t)(cmdline[0] - '0');

	GUEST_CHECK_INT(guest_apic_id(), 0);
	if (cmdline[1] == '+')
		await_others(n);
	guest_ap_main = on_processor;
	for (uint32_t i = 1; i < n; i++)
		guest_start_processor(i);
	for (uint32_t i = 1; i < n; i++)
		while (__atomic_load_n(&started[i], __ATOMIC_SEQ_CST) < 1)
			relax();
	__atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 1; i < n; i++)
		while (__atomic_load_n(&started[i], __ATOMIC_SEQ_CST) < 2)
			relax();
	guest_print("all here\n");
	__atomic_store_n(&released, 2, __ATOMIC_SEQ_CST);
	for (;;)
		relax();
}

#else

#include "tests/machine/harness.h"

static void run(const char *count, uint32_t vcpus)
{
	struct vm_config *config = vm_prepare(count);
	struct vm vm;

	config->vcpus = vcpus;
	vm_start(config, true, &vm);
	vm_expect_output(&vm, "all here\n");
	vm_expect_done(&vm);
}

static void test_two(void)
{
	run("2", 2);
}

static void test_four(void)
{
	run("4", 4);
}

/* vCPUs that nobody started wait inside KVM: pause and stop reach them too. */
static void test_waiting_vcpus(void)
{
	struct vm_config *config = vm_prepare("1");
	struct vm vm;

	config->vcpus = 4;
	vm_start(config, true, &vm);
	vm_expect_output(&vm, "all here\n");
	for (int i = 0; i < 10; i++) {
		vm_send(&vm, "{\"op\":\"pause\"}");
		vm_expect(&vm, "{\"ok\":true}");
		vm_send(&vm, "{\"op\":\"resume\"}");
		vm_expect(&vm, "{\"ok\":true}");
	}
	vm_send(&vm, "{\"op\":\"exit\",\"code\":9}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_exit(&vm, 9);
}

/* They come to a machine that is jailed. */
static void test_coming_vcpus(void)
{
	struct vm_config *config = vm_prepare("3+");
	struct vm vm;

	config->max_vcpus = 3;
	vm_start(config, true, &vm);
	vm_expect_output(&vm, "alone\n");
	vm_send(&vm, "{\"op\":\"vcpus\",\"count\":4}");
	vm_expect(&vm, "{\"error\":\"vcpus: 4 are more than the machine's 3\"}");
	vm_send(&vm, "{\"op\":\"vcpus\",\"count\":1}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_send(&vm, "{\"op\":\"pause\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_send(&vm, "{\"op\":\"vcpus\",\"count\":3}");
	vm_expect(&vm, "{\"error\":\"vcpus: the machine is paused\"}");
	vm_send(&vm, "{\"op\":\"resume\"}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_send(&vm, "{\"op\":\"vcpus\",\"count\":3}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_done(&vm);
}

/* One that has come, and that nobody has started, is paused and ended like the others. */
static void test_pause_of_new_vcpu(void)
{
	struct vm_config *config = vm_prepare("1");
	struct vm vm;

	config->max_vcpus = 2;
	vm_start(config, true, &vm);
	vm_expect_output(&vm, "all here\n");
	vm_send(&vm, "{\"op\":\"vcpus\",\"count\":2}");
	vm_expect(&vm, "{\"ok\":true}");
	for (int i = 0; i < 10; i++) {
		vm_send(&vm, "{\"op\":\"pause\"}");
		vm_expect(&vm, "{\"ok\":true}");
		vm_send(&vm, "{\"op\":\"resume\"}");
		vm_expect(&vm, "{\"ok\":true}");
	}
	vm_send(&vm, "{\"op\":\"exit\",\"code\":9}");
	vm_expect(&vm, "{\"ok\":true}");
	vm_expect_exit(&vm, 9);
}

static const struct test_case cases[] = {
	{ "two vCPUs", test_two },
	{ "four vCPUs", test_four },
	{ "vCPUs that wait", test_waiting_vcpus },
	{ "vCPUs that come", test_coming_vcpus },
	{ "pause of a new vCPU", test_pause_of_new_vcpu },
};

TEST_MAIN(cases)

#endif
