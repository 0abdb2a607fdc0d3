/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform's ports: how the guest powers off, resets, tells of a panic, asks
 * a clock that is not there, learns how many vCPUs it has, and (when asked for) prints before it
 * has drivers.
 *
 * Everything here runs on vCPU threads, but for what the loop tells; the only state that
 * changes is the serial port's and the number of vCPUs, which are atomic.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "vmm/arch.h"
#include "vmm/x86_64/layout.h"

/* ACPI 6.5 §4.8.3.7: the sleep control register */
#define SLEEP_ENABLE (1 << 5)
#define SLEEP_TYPE(value) ((value) >> 2 & 7)

/* Of QEMU's docs/specs/pvpanic */
#define PVPANIC_PANICKED (1 << 0)

/* 8250, of which only the transmitter is there */
#define UART_DATA 0
#define UART_LINE_CONTROL 3
#define UART_LINE_STATUS 5
#define UART_SIZE 8
#define LINE_CONTROL_DLAB 0x80
#define LINE_STATUS_EMPTY 0x60 /* transmitter and its holding register */

struct platform {
	guest_end_fn ended;
	void *data;
	int serial_fd;
	_Atomic uint8_t line_control;
	_Atomic uint8_t vcpus;
};

static void sleep_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	(void)data, (void)offset;
	(void)memset(ret_bytes, 0, size); /* never woken */
}

static void sleep_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	const struct platform *platform = data;
	uint8_t value = *(const uint8_t *)bytes;

	(void)size;
	if (offset == 0 && value & SLEEP_ENABLE && SLEEP_TYPE(value) == SLEEP_TYPE_S5)
		platform->ended(platform->data, GUEST_POWEROFF, NULL);
}

static const struct bus_ops sleep_ops = { sleep_read, sleep_write };

static void reset_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	(void)data, (void)offset;
	(void)memset(ret_bytes, 0, size);
}

static void reset_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	const struct platform *platform = data;

	(void)offset, (void)size;
	if (*(const uint8_t *)bytes == RESET_VALUE)
		platform->ended(platform->data, GUEST_REBOOT, NULL);
}

static const struct bus_ops reset_ops = { reset_read, reset_write };

static void vcpus_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	struct platform *platform = data;

	(void)offset;
	(void)memset(ret_bytes, 0, size);
	*(uint8_t *)ret_bytes = atomic_load(&platform->vcpus);
}

static void vcpus_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	(void)data, (void)offset, (void)bytes, (void)size;
}

static const struct bus_ops vcpus_ops = { vcpus_read, vcpus_write };

static void pvpanic_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	(void)data, (void)offset;
	(void)memset(ret_bytes, 0, size);
	*(uint8_t *)ret_bytes = PVPANIC_PANICKED;
}

static void pvpanic_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	const struct platform *platform = data;

	(void)offset, (void)size;
	if (*(const uint8_t *)bytes & PVPANIC_PANICKED)
		platform->ended(platform->data, GUEST_PANIC, "the guest's kernel panicked");
}

static const struct bus_ops pvpanic_ops = { pvpanic_read, pvpanic_write };

/* The FADT says there is no clock; kernels that ask all the same must not wait
 * for register A's "update in progress" to go. */
static void cmos_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	(void)data, (void)offset;
	(void)memset(ret_bytes, 0, size);
}

static void cmos_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	(void)data, (void)offset, (void)bytes, (void)size;
}

static const struct bus_ops cmos_ops = { cmos_read, cmos_write };

static void serial_read(void *data, uint64_t offset, void *ret_bytes, uint32_t size)
{
	struct platform *platform = data;
	uint8_t *bytes = ret_bytes;

	(void)memset(bytes, 0, size);
	if (offset == UART_LINE_STATUS)
		bytes[0] = LINE_STATUS_EMPTY;
	else if (offset == UART_LINE_CONTROL)
		bytes[0] = atomic_load(&platform->line_control);
}

static void serial_write(void *data, uint64_t offset, const void *bytes, uint32_t size)
{
	struct platform *platform = data;
	uint8_t value = *(const uint8_t *)bytes;

	(void)size;
	if (offset == UART_LINE_CONTROL)
		atomic_store(&platform->line_control, value);
	else if (offset == UART_DATA && !(atomic_load(&platform->line_control) & LINE_CONTROL_DLAB))
		/* Output that cannot be written is lost, as on a wire. */
		(void)!write(platform->serial_fd, &value, 1);
}

static const struct bus_ops serial_ops = { serial_read, serial_write };

static int add_ports(struct platform *platform, struct bus *ports, struct error **ret_error)
{
	const struct bus_range ranges[] = {
		{ PORT_SLEEP_CONTROL, 2, "sleep registers", &sleep_ops, platform },
		{ PORT_RESET, 1, "reset register", &reset_ops, platform },
		{ PORT_VCPUS, 1, "number of vCPUs", &vcpus_ops, platform },
		{ PORT_PVPANIC, 1, "pvpanic", &pvpanic_ops, platform },
		{ PORT_CMOS, 2, "cmos", &cmos_ops, platform },
		{ PORT_SERIAL, UART_SIZE, "serial port", &serial_ops, platform },
	};
	size_t n = ARRAY_SIZE(ranges) - (platform->serial_fd < 0);

	for (size_t i = 0; i < n; i++)
		if (bus_add(ports, &ranges[i], ret_error) < 0)
			return -1;
	return 0;
}

int platform_new(struct bus *ports, int serial_fd, guest_end_fn ended, void *data,
		 struct platform **ret_platform, struct error **ret_error)
{
	_cleanup_(platform_freep) struct platform *platform = xcalloc(1, sizeof(*platform));

	platform->ended = ended;
	platform->data = data;
	platform->serial_fd = serial_fd;
	if (add_ports(platform, ports, ret_error) < 0)
		return -1;
	*ret_platform = TAKE_PTR(platform);
	return 0;
}

void platform_set_vcpus(struct platform *platform, uint32_t vcpus)
{
	atomic_store(&platform->vcpus, (uint8_t)vcpus);
}

void platform_free(struct platform *platform)
{
	free(platform);
}
