/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses where nothing is, and to registers in ways nobody means: the guest
 * gets all ones or nothing, and the machine goes on. */
#ifdef GUEST

#include "tests/machine/guest.h"
#include "vmm/x86_64/layout.h"

static uint32_t state = 12345;

static uint32_t next_random(void)
{
	state = state * 1664525 + 1013904223;
	return state >> 8;
}

static void wild_ports(void)
{
	for (int i = 0; i < 3000; i++) {
		const uint16_t port = (uint16_t)next_random();

		/* Ours that end the machine, or print; KVM's own (PIC, PIT are absent
		 * from the guest's view but in the kernel). */
		if ((port >= PORT_SERIAL && port < PORT_SERIAL + 8) || port == PORT_PVPANIC ||
		    (port >= PORT_SLEEP_CONTROL && port <= PORT_RESET) || port + 3 >= 0x10000)
			continue;
		if (next_random() & 1)
			outl(port, next_random());
		else
			(void)inl(port);
	}
	GUEST_CHECK_INT(inl(0x1234), 0xffffffff);
	GUEST_CHECK_INT(inb(0x64), 0xff); /* no i8042 */
	outb(0x70, 0x0a);		  /* the clock's "update in progress" */
	GUEST_CHECK_INT(inb(0x71) & 0x80, 0);
	/* String output across a port and a page. */
	{
		static const char text[] = "string output\n";
		const char *from = text;
		uint64_t count = sizeof(text) - 1;

		__asm__ volatile("rep outsb"
				 : "+S"(from), "+c"(count)
				 : "d"(PORT_SERIAL)
				 : "memory");
	}
}

static void wild_memory(void)
{
	for (int i = 0; i < 3000; i++) {
		/* The hole below the virtio devices' pages: nothing there. */
		const uint64_t at =
		    HOLE_START + next_random() % (VIRTIO_MMIO_START - HOLE_START - 8);

		if (next_random() & 1)
			write32(at, next_random());
		else
			GUEST_CHECK_INT(read32(at), 0xffffffff);
	}
}

static uint8_t read8(uint64_t address)
{
	uint8_t value;

	__asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
	return value;
}

/* Every offset, with every size, reading and writing, aligned and not. */
static void wild_registers(uint64_t base)
{
	for (uint64_t offset = 0; offset < 0x200; offset++) {
		const uint64_t at = base + offset;

		(void)read8(at);
		(void)read32(at);
		__asm__ volatile("movw %w0, (%1)" ::"r"(next_random()), "r"(at) : "memory");
		write32(at, next_random());
		__asm__ volatile("movq %q0, (%1)" ::"r"((uint64_t)next_random() << 20), "r"(at)
				 : "memory");
	}
	/* Across the end of the page. */
	write32(base + 0xffe, 0);
	(void)read32(base + 0xffe);
}

void guest_main(const char *cmdline)
{
	(void)cmdline;
	wild_ports();
	wild_memory();
	for (uint32_t i = 0; i < 4; i++)
		wild_registers(VIRTIO_MMIO_START + 0x1000ULL * i);
	/* Still there, once reset. */
	for (uint32_t i = 0; i < 4; i++) {
		write32(VIRTIO_MMIO_START + 0x1000ULL * i + 0x70, 0);
		GUEST_CHECK_INT(read32(VIRTIO_MMIO_START + 0x1000ULL * i), 0x74726976);
		GUEST_CHECK_INT(read32(VIRTIO_MMIO_START + 0x1000ULL * i + 0x70), 0);
	}
	/* A slot without a device, and what is behind the last one. */
	GUEST_CHECK_INT(read32(VIRTIO_MMIO_START + 0x4000), 0x74726976);
	GUEST_CHECK_INT(read32(VIRTIO_MMIO_START + 0x4008), 0);
	GUEST_CHECK_INT(read32(VIRTIO_MMIO_START + 0x1000 * 32), 0xffffffff);
}

#else

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/machine/harness.h"

static void test_wild(void)
{
	struct vm_config *config = vm_prepare("");
	_cleanup_free_ char *directory = xstrdup("/tmp/test-wild.XXXXXX");
	_cleanup_free_ char *path = NULL;
	struct vm_device *device;
	struct vm vm;

	CHECK(mkdtemp(directory) != NULL);
	path = xasprintf("%s/vsock", directory);
	device = vm_config_add(config, VM_DEVICE_BLK);
	device->blk.file.fd = memfd_create("disk", 0);
	device->blk.queues = 4;
	CHECK(ftruncate(device->blk.file.fd, 65536) == 0);
	device = vm_config_add(config, VM_DEVICE_VSOCK);
	device->vsock.cid = 3;
	device->vsock.path = xstrdup(path);
	(void)vm_config_add(config, VM_DEVICE_RNG);
	vm_config_add(config, VM_DEVICE_CONSOLE)->console.output.fd = open("/dev/null", O_WRONLY);
	vm_start(config, true, &vm);
	vm_expect_output(&vm, "string output\n");
	vm_expect_done(&vm);
	/* The VMM bound the socket, so it removed it. */
	CHECK(access(path, F_OK) < 0);
	CHECK(rmdir(directory) == 0);
}

static const struct test_case cases[] = {
	{ "wild accesses", test_wild },
};

TEST_MAIN(cases)

#endif
