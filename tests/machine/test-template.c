/* SPDX-License-Identifier: Apache-2.0 */
/* A machine goes on where another was stopped: memory, registers, interrupts and all vCPUs; and
 * finds devices where there were none. */
#ifdef GUEST

#include "protocol/agent.h"
#include "tests/machine/guest.h"
#include "tests/machine/guest-virtio.h"
#include "vmm/x86_64/layout.h"

#define DEVICE(n) (VIRTIO_MMIO_START + 0x1000ULL * (n))
#define CONSOLE DEVICE(0)
#define RNG DEVICE(1)
#define DEVICE_ID_RNG 4
#define TRANSMIT 1
#define TURNS 1000

static struct guest_queue console_queue, rng_queue;
static volatile uint32_t turns, stop;
static uint8_t random_bytes[64];
static uint32_t generation[4];

static void say(const char *text)
{
	struct guest_buffer buffer = { (void *)(uintptr_t)text, 0, false };

	while (text[buffer.size])
		buffer.size++;
	virtio_submit(&console_queue, &buffer, 1);
	(void)virtio_wait(&console_queue);
}

static void on_processor(uint32_t apic_id)
{
	(void)apic_id;
	while (!stop)
		turns++;
}

/* The other processor runs. */
static void wait_for_turns(void)
{
	const uint32_t before = turns;

	while (turns - before < TURNS)
		relax();
}

/* Whose the machine is; true: another one's than at the last call. */
static bool generation_changes(void)
{
	bool changed = false;

	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t word = read32(VM_GENERATION + 4 * i);

		changed |= word != generation[i];
		generation[i] = word;
	}
	return changed;
}

/* All that a processor has, but what a compiler needs, with an access under way each time. */
static uint32_t poll_device(uint64_t address)
{
	uint64_t a = 0x1111111111111111, b = 0x2222222222222222, c = 0x3333333333333333;
	uint32_t id;

	__asm__ volatile("1:	movl (%[address]), %[id]\n"
			 "	test %[id], %[id]\n"
			 "	jz 1b\n"
			 : [id] "=&r"(id), "+r"(a), "+r"(b), "+r"(c)
			 : [address] "r"(address)
			 : "memory");
	GUEST_CHECK_INT(a, 0x1111111111111111);
	GUEST_CHECK_INT(b, 0x2222222222222222);
	GUEST_CHECK_INT(c, 0x3333333333333333);
	return id;
}

static void use_rng(void)
{
	const struct guest_buffer buffer = { random_bytes, sizeof(random_bytes), true };
	const uint32_t before = guest_interrupts;

	guest_enable_interrupt(VIRTIO_GSI_FIRST + 1);
	virtio_begin(RNG, DEVICE_ID_RNG);
	virtio_add_queue(RNG, 0, &rng_queue);
	virtio_finish(RNG);
	virtio_submit(&rng_queue, &buffer, 1);
	GUEST_CHECK_INT(virtio_wait(&rng_queue), sizeof(random_bytes));
	while (guest_interrupts == before)
		relax();
}

static bool is_template(const char *cmdline)
{
	while (*cmdline && *cmdline != ' ')
		cmdline++;
	return guest_same(cmdline, " " TEMPLATE_PARAMETER);
}

void guest_main(const char *cmdline)
{
	guest_print("booted\n");
	virtio_begin(CONSOLE, 3);
	virtio_add_queue(CONSOLE, TRANSMIT, &console_queue);
	virtio_finish(CONSOLE);
	/* A place without a device is a transport all the same: there may come one. */
	GUEST_CHECK_INT(read32(DEVICE(31)), 0x74726976);
	GUEST_CHECK_INT(read32(DEVICE(32)), 0xffffffff);
	guest_ap_main = on_processor;
	guest_start_processor(1);
	wait_for_turns();
	GUEST_CHECK(generation_changes());
	guest_enable_interrupt(GENERATION_GSI);
	say(TEMPLATE_IDLE "\n");
	GUEST_CHECK_INT(poll_device(RNG + 0x008), DEVICE_ID_RNG);
	guest_print("woken\n");
	if (is_template(cmdline)) {
		while (guest_interrupts == 0)
			relax();
		GUEST_CHECK(generation_changes());
	}
	GUEST_CHECK_INT(generation_changes(), false);
	wait_for_turns();
	stop = 1;
	use_rng();
	say("again\n");
	guest_done();
}

#else

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/agent.h"
#include "tests/machine/harness.h"

static char directory[] = "/tmp/test-template.XXXXXX";

/* What the guest says on the serial port, the machine on its console, and the VMM in its log. */
static void run(uint32_t vcpus, const char *said, const char *on_console, char *log, size_t size)
{
	struct vm_config *config = vm_prepare("quiet");
	int log_fd = memfd_create("log", 0);
	char text[64] = "";
	int console[2];
	struct vm vm;
	ssize_t n;

	CHECK(log_fd >= 0 && pipe(console) == 0);
	config->vcpus = vcpus;
	config->templates = xstrdup(directory);
	config->log_fd = log_fd;
	vm_config_add(config, VM_DEVICE_CONSOLE)->console.output.fd = console[1];
	(void)vm_config_add(config, VM_DEVICE_RNG);
	vm_start(config, true, &vm);
	(void)close(console[1]);
	vm_expect_done(&vm);
	CHECK_STRING(vm.output, said);
	CHECK(read(console[0], text, sizeof(text) - 1) >= 0);
	CHECK_STRING(text, on_console);
	n = pread(log_fd, log, size - 1, 0);
	CHECK(n >= 0);
	log[n] = '\0';
	(void)close(console[0]);
	(void)close(log_fd);
}

/* The path of the one template's file; caller frees. */
static char *template_file(const char *name)
{
	_cleanup_free_ char *pattern = xasprintf("%s/*/%s", directory, name);
	glob_t found;
	char *path;

	CHECK(glob(pattern, 0, NULL, &found) == 0);
	CHECK_INT(found.gl_pathc, 1);
	path = xstrdup(found.gl_pathv[0]);
	globfree(&found);
	return path;
}

static void setup(void)
{
	(void)strcpy(directory, "/tmp/test-template.XXXXXX");
	CHECK(mkdtemp(directory));
}

static void test_clones(void)
{
	char log[4096];

	setup();
	run(2, "booted\nwoken\ndone\n", "again\n", log, sizeof(log));
	for (int i = 0; i < 3; i++) {
		run(2, "woken\ndone\n", "again\n", log, sizeof(log));
		CHECK_STRING(log, "");
	}
	CHECK(remove_tree(directory, NULL) == 0);
}

/* Files that are of no use do not stand in the guest's way: it boots, and has its devices from
 * the start; the next makes others. */
static void test_bad_state(void)
{
	_cleanup_free_ char *path = NULL;
	char log[4096];
	uint8_t byte;
	int fd;

	setup();
	run(2, "booted\nwoken\ndone\n", "again\n", log, sizeof(log));
	path = template_file("state");
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && pread(fd, &byte, 1, 100) == 1);
	byte ^= 1;
	CHECK(pwrite(fd, &byte, 1, 100) == 1 && close(fd) == 0);
	run(2, "booted\nwoken\ndone\n", TEMPLATE_IDLE "\nagain\n", log, sizeof(log));
	CHECK(strstr(log, "no template (the machine's state was altered: its checksum is wrong): "
			  "booting the guest"));
	run(2, "booted\nwoken\ndone\n", "again\n", log, sizeof(log));
	CHECK_STRING(log, "");
	CHECK(truncate(path, 1000) == 0);
	run(2, "booted\nwoken\ndone\n", TEMPLATE_IDLE "\nagain\n", log, sizeof(log));
	CHECK(strstr(log, "cut short"));
	run(2, "booted\nwoken\ndone\n", "again\n", log, sizeof(log));
	run(2, "woken\ndone\n", "again\n", log, sizeof(log));
	CHECK(remove_tree(directory, NULL) == 0);
}

/* Memory that is not all there would end the clone where it touches it. */
static void test_short_memory(void)
{
	_cleanup_free_ char *path = NULL;
	char log[4096];

	setup();
	run(2, "booted\nwoken\ndone\n", "again\n", log, sizeof(log));
	path = template_file("ram");
	CHECK(truncate(path, 1 << 20) == 0);
	run(2, "booted\nwoken\ndone\n", TEMPLATE_IDLE "\nagain\n", log, sizeof(log));
	CHECK(strstr(log, "is not 64 MiB of guest memory): booting the guest"));
	CHECK(remove_tree(directory, NULL) == 0);
}

static const struct test_case cases[] = {
	{ "clones", test_clones },
	{ "bad state", test_bad_state },
	{ "short memory", test_short_memory },
};

TEST_MAIN(cases)

#endif
