/* SPDX-License-Identifier: Apache-2.0 */
/* Devices through the real thing: registers by MMIO exits, kicks by ioeventfd,
 * interrupts by irqfd and IOAPIC; one device's fault does not touch another. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "tests/machine/guest-virtio.h"
#include "vmm/x86_64/layout.h"

#define DEVICE(n) (VIRTIO_MMIO_START + 0x1000ULL * (n))
#define BLK DEVICE(0)
#define RNG DEVICE(1)
#define CONSOLE DEVICE(2)
#define BLK_OTHER DEVICE(3)
#define FIRST DEVICE(0) /* the console, where it is alone */

/* A queue and the memory its requests use: none is shared between devices, so
 * that a thread sanitizer's view of the VMM finds nothing. */
struct place {
	struct guest_queue queue;
	struct { /* virtio 1.2 §5.2.6 */
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	uint8_t status;
	uint8_t data[8192];
};

static struct place blk_place, blk_other, rng_place, console_in, console_out;

static void start_blk(uint64_t base, struct place *place)
{
	virtio_begin(base, 2);
	virtio_add_queue(base, 0, &place->queue);
	virtio_finish(base);
}

static void submit_blk(struct place *place, uint32_t type, uint64_t sector, uint32_t size)
{
	const struct guest_buffer buffers[] = {
		{ &place->header, sizeof(place->header), false },
		{ place->data, size, type == 0 },
		{ &place->status, 1, true },
	};

	place->header.type = type;
	place->header.sector = sector;
	place->status = 0xff;
	virtio_submit(&place->queue, buffers, 3);
}

static uint32_t blk(struct place *place, uint32_t type, uint64_t sector, uint32_t size)
{
	submit_blk(place, type, sector, size);
	return virtio_wait(&place->queue);
}

static void test_blk(void)
{
	start_blk(BLK, &blk_place);
	GUEST_CHECK_INT(virtio_get(BLK, 0x100), 128); /* capacity: 64 KiB */
	for (uint64_t sector = 0; sector < 128; sector += 16) {
		GUEST_CHECK_INT(blk(&blk_place, 0, sector, 8192), 8193);
		GUEST_CHECK_INT(blk_place.status, 0);
		for (uint32_t i = 0; i < 8192; i += 512)
			GUEST_CHECK_INT(blk_place.data[i], (sector + i / 512) & 0xff);
	}
	(void)blk(&blk_place, 0, 128, 512); /* past the end */
	GUEST_CHECK_INT(blk_place.status, 1);
	(void)blk(&blk_place, 1, 0, 512); /* read-only */
	GUEST_CHECK_INT(blk_place.status, 1);
	GUEST_CHECK(virtio_acknowledge(BLK) & 1);
}

/* As test_blk, but asleep until the interrupt comes. */
static void test_interrupt(void)
{
	guest_enable_interrupt(VIRTIO_GSI_FIRST + 3);
	start_blk(BLK_OTHER, &blk_other);
	for (uint32_t i = 1; i <= 50; i++) {
		submit_blk(&blk_other, 0, 5, 512);
		for (;;) {
			__asm__ volatile("cli" ::: "memory");
			if (guest_interrupts >= i)
				break;
			__asm__ volatile("sti; hlt" ::: "memory");
		}
		__asm__ volatile("sti" ::: "memory");
		GUEST_CHECK_INT(blk_other.queue.used.index, i);
		GUEST_CHECK_INT(virtio_acknowledge(BLK_OTHER), 1);
		GUEST_CHECK_INT(blk_other.data[0], 5);
	}
	GUEST_CHECK_INT(guest_interrupts, 50);
}

static void test_rng(void)
{
	const struct guest_buffer buffer = { rng_place.data, 256, true };
	uint32_t zeros = 0;

	memset(&rng_place, 0, sizeof(rng_place));
	virtio_begin(RNG, 4);
	virtio_add_queue(RNG, 0, &rng_place.queue);
	virtio_finish(RNG);
	virtio_submit(&rng_place.queue, &buffer, 1);
	GUEST_CHECK_INT(virtio_wait(&rng_place.queue), 256);
	for (uint32_t i = 0; i < 256; i++)
		zeros += rng_place.data[i] == 0;
	GUEST_CHECK(zeros < 20);
}

static void start_console(uint64_t base)
{
	virtio_begin(base, 3);
	virtio_add_queue(base, 0, &console_in.queue);
	virtio_add_queue(base, 1, &console_out.queue);
	virtio_finish(base);
}

static void write_console(const struct guest_buffer *buffers, uint16_t count)
{
	virtio_submit(&console_out.queue, buffers, count);
	GUEST_CHECK_INT(virtio_wait(&console_out.queue), 0);
}

static void test_console(void)
{
	static char text[] = "hello console\n";
	const struct guest_buffer buffer = { text, sizeof(text) - 1, false };

	start_console(CONSOLE);
	write_console(&buffer, 1);
}

/* Most of the memory in one chain, again and again; then the last words. */
static void test_flood(void)
{
	static char text[] = "the last words\n";
	const struct guest_buffer last = { text, sizeof(text) - 1, false };
	struct guest_buffer buffers[CHAIN_MAX];

	for (uint32_t i = 0; i < CHAIN_MAX; i++)
		buffers[i] = (struct guest_buffer){ (void *)0x1000000, 0x2000000, false };
	start_console(FIRST);
	for (uint32_t i = 0; i < 50; i++) {
		write_console(buffers, CHAIN_MAX);
		for (uint32_t k = 0; k < 100; k++)
			write_console(&last, 1);
	}
}

/* A buffer outside of memory breaks the first device only. */
static void test_fault(void)
{
	const struct guest_buffer outside = { (void *)(uintptr_t)HOLE_START, 512, true };

	virtio_submit(&blk_place.queue, &outside, 1);
	while (!(virtio_get(BLK, 0x070) & VIRTIO_STATUS_NEEDS_RESET))
		relax();
	/* §2.1.2: the status first, then the configuration change that tells of it. */
	while (!(virtio_acknowledge(BLK) & 2))
		relax();
	GUEST_CHECK_INT(blk(&blk_other, 0, 1, 512), 513);
	GUEST_CHECK_INT(blk_other.data[0], 1);
	virtio_set(RNG, 0x070, 0);
	test_rng();
	/* And a reset mends it. */
	virtio_set(BLK, 0x070, 0);
	memset(&blk_place, 0, sizeof(blk_place));
	start_blk(BLK, &blk_place);
	GUEST_CHECK_INT(blk(&blk_place, 0, 7, 512), 513);
	GUEST_CHECK_INT(blk_place.data[0], 7);
}

void guest_main(const char *cmdline)
{
	if (guest_same(cmdline, "flood")) {
		test_flood();
		return;
	}
	test_blk();
	guest_print("blk\n");
	test_interrupt();
	guest_print("interrupt\n");
	test_rng();
	guest_print("rng\n");
	test_console();
	guest_print("console\n");
	test_fault();
	guest_print("fault\n");
}

#else

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/machine/harness.h"

/* 64 KiB whose every sector begins with its number. */
static int make_disk(void)
{
	int fd = memfd_create("disk", 0);
	uint8_t sector[512] = { 0 };

	CHECK(fd >= 0);
	for (int i = 0; i < 128; i++) {
		sector[0] = (uint8_t)i;
		CHECK(write_all(fd, sector, sizeof(sector)) == 0);
	}
	return fd;
}

static void add_disk(struct vm_config *config)
{
	struct vm_device *device = vm_config_add(config, VM_DEVICE_BLK);

	device->blk.file.fd = make_disk();
	device->blk.readonly = true;
}

static void test_devices(void)
{
	struct vm_config *config = vm_prepare("");
	char text[64] = "";
	int console[2];
	struct vm vm;

	CHECK(pipe(console) == 0);
	add_disk(config);
	(void)vm_config_add(config, VM_DEVICE_RNG);
	vm_config_add(config, VM_DEVICE_CONSOLE)->console.output.fd = console[1];
	add_disk(config);
	vm_start(config, true, &vm);
	vm_expect_done(&vm);
	CHECK_STRING(vm.output, "blk\ninterrupt\nrng\nconsole\nfault\ndone\n");
	CHECK(read(console[0], text, sizeof(text) - 1) > 0);
	CHECK_STRING(text, "hello console\n");
}

#define LOG_KIB 64

/* The console is the log's: whatever a guest writes, its end is kept. */
static void test_flood(void)
{
	struct vm_config *config = vm_prepare("flood");
	int log = memfd_create("log", 0);
	static char text[LOG_KIB << 10];
	struct vm vm;
	ssize_t n;

	CHECK(log >= 0 && fcntl(log, F_SETFL, O_APPEND) == 0);
	config->log_fd = log;
	config->log_keep_kib = LOG_KIB;
	(void)vm_config_add(config, VM_DEVICE_CONSOLE);
	vm_start(config, true, &vm);
	vm_expect_done(&vm);
	n = lseek(log, 0, SEEK_END);
	CHECK(n >= LOG_KIB << 9 && n <= LOG_KIB << 10);
	CHECK(pread(log, text, sizeof(text), 0) == n);
	CHECK(memcmp(text + n - 15, "the last words\n", 15) == 0);
	(void)close(log);
}

static const struct test_case cases[] = {
	{ "console floods the log", test_flood },
	{ "blk, rng, console, interrupts, faults", test_devices },
};

TEST_MAIN(cases)

#endif
