/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86_64/acpi: tables that link up, with right lengths and checksums; AML
 * whose blocks end where they say (`iasl -d` reads it, by hand: see the last
 * case); the e820 map. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"
#include "vmm/arch.h"
#include "vmm/x86_64/acpi.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/layout.h"

static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	(void)memcpy(&value, at, size);
	return value;
}

static uint8_t sum(const uint8_t *at, size_t size)
{
	uint8_t total = 0;

	while (size-- > 0)
		total = (uint8_t)(total + *at++);
	return total;
}

struct tables {
	struct buffer all;
	const uint8_t *xsdt, *fadt, *madt, *dsdt;
};

/* The table at address, whole and with a right sum. */
static const uint8_t *table(const struct buffer *all, uint64_t address, const char *signature)
{
	const uint8_t *at;

	CHECK(address >= ACPI_START && address % 16 == 0);
	CHECK(address - ACPI_START + 36 <= buffer_length(all));
	at = buffer_data(all) + (address - ACPI_START);
	CHECK(memcmp(at, signature, 4) == 0);
	CHECK(get(at + 4, 4) >= 36);
	CHECK(address - ACPI_START + get(at + 4, 4) <= buffer_length(all));
	CHECK_INT(sum(at, get(at + 4, 4)), 0);
	return at;
}

static void build(uint32_t vcpus, uint32_t max_vcpus, uint32_t n_devices, struct tables *t)
{
	const struct acpi_machine machine = { vcpus, max_vcpus, n_devices };
	const uint8_t *rsdp;

	*t = (struct tables){ 0 };
	acpi_build(&machine, ACPI_START, &t->all);
	CHECK(buffer_length(&t->all) <= VM_GENERATION - ACPI_START);
	rsdp = buffer_data(&t->all);
	CHECK(memcmp(rsdp, "RSD PTR ", 8) == 0);
	CHECK_INT(sum(rsdp, 20), 0);
	CHECK_INT(sum(rsdp, 36), 0);
	CHECK_INT(rsdp[15], 2);
	CHECK_INT(get(rsdp + 20, 4), 36);
	t->xsdt = table(&t->all, get(rsdp + 24, 8), "XSDT");
	CHECK_INT(get(t->xsdt + 4, 4), 36 + 2 * 8);
	t->fadt = table(&t->all, get(t->xsdt + 36, 8), "FACP");
	t->madt = table(&t->all, get(t->xsdt + 44, 8), "APIC");
	t->dsdt = table(&t->all, get(t->fadt + 140, 8), "DSDT");
}

static void test_fadt(void)
{
	struct tables t;

	build(1, 1, 0, &t);
	CHECK_INT(get(t.fadt + 4, 4), 276);
	CHECK(get(t.fadt + 112, 4) & 1 << 20); /* hardware-reduced */
	CHECK(get(t.fadt + 112, 4) & 1 << 10); /* there is a reset register */
	CHECK_INT(get(t.fadt + 109, 2), 0x24); /* no VGA, no CMOS clock, no i8042, no legacy */
	CHECK_INT(t.fadt[116], 1);	       /* reset register: a port of 8 bits */
	CHECK_INT(t.fadt[117], 8);
	CHECK_INT(get(t.fadt + 120, 8), PORT_RESET);
	CHECK_INT(t.fadt[128], RESET_VALUE);
	CHECK_INT(get(t.fadt + 248, 8), PORT_SLEEP_CONTROL);
	CHECK_INT(get(t.fadt + 260, 8), PORT_SLEEP_STATUS);
	buffer_done(&t.all);
}

/* Those that may come are named, too: "online capable", not "enabled". */
static void check_madt(uint32_t vcpus, uint32_t max_vcpus)
{
	uint32_t processors = 0, io_apics = 0;
	const uint8_t *at, *end;
	struct tables t;

	build(vcpus, max_vcpus, 16, &t);
	end = t.madt + get(t.madt + 4, 4);
	CHECK_INT(get(t.madt + 36, 4), LOCAL_APIC_BASE);
	CHECK_INT(get(t.madt + 40, 4), 0); /* no 8259s */
	for (at = t.madt + 44; at < end; at += at[1]) {
		CHECK(at[1] > 0 && at + at[1] <= end);
		if (at[0] == 0) {
			CHECK_INT(at[3], processors);
			CHECK_INT(get(at + 4, 4), processors < vcpus ? 1 : 2);
			processors++;
		}
		if (at[0] == 1) {
			CHECK_INT(get(at + 4, 4), IOAPIC_BASE);
			io_apics++;
		}
	}
	CHECK(at == end);
	CHECK_INT(processors, max_vcpus);
	CHECK_INT(io_apics, 1);
	buffer_done(&t.all);
}

static void test_madt(void)
{
	check_madt(1, 1);
	check_madt(2, 2);
	check_madt(1, 64);
	check_madt(64, 64);
}

/* PkgLength (ACPI 6.5 §20.2.4); returns where the block ends. */
static const uint8_t *block(const uint8_t **at)
{
	const uint8_t *start = *at;
	unsigned more = *start >> 6;
	size_t length = more ? *start & 0x0f : *start & 0x3f;

	for (unsigned i = 0; i < more; i++)
		length |= (size_t)start[1 + i] << (4 + 8 * i);
	*at = start + 1 + more;
	return start + length;
}

static const uint8_t *find(const uint8_t *at, const uint8_t *end, const char *bytes, size_t size)
{
	const uint8_t *found = memmem(at, (size_t)(end - at), bytes, size);

	CHECK(found != NULL);
	return found;
}

static void check_device(const uint8_t *at, const uint8_t *end, uint32_t index)
{
	const uint8_t *resources = find(at, end, "_CRS\x11", 5) + 5;
	const uint8_t *resources_end = block(&resources);
	uint32_t size;

	(void)find(at, end, "\x08_HID\x0dLNRO0005", 15);
	CHECK(resources_end <= end);
	CHECK_INT(*resources, 0x0c); /* DWordConst: the buffer's size */
	size = (uint32_t)get(resources + 1, 4);
	resources += 5;
	CHECK(resources + size == resources_end);
	CHECK_INT(get(resources, 4), 0x01000986); /* Memory32Fixed, writable */
	CHECK_INT(get(resources + 4, 4), 0xd0000000 + 0x1000 * index);
	CHECK_INT(get(resources + 8, 4), 0x1000);
	CHECK_INT(get(resources + 12, 5),
		  0x010b000689); /* Interrupt: consumer, edge, high, shared */
	CHECK_INT(get(resources + 17, 4), 5 + index);
	CHECK_INT(get(resources + 21, 2), 0x0079);
	CHECK(resources + 23 == resources_end);
}

/* Where 16 bytes of memory are that no other table is in. */
static void check_generation(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *address = find(at, end,
				      "\x08"
				      "ADDR\x12",
				      6) +
				 6;
	const uint8_t *address_end = block(&address);

	(void)find(at, end, "\x08_CID\x0dVM_Gen_Counter", 21);
	CHECK_INT(address[0], 2); /* elements */
	CHECK_INT(address[1], 0x0c);
	CHECK_INT(get(address + 2, 4), VM_GENERATION);
	CHECK_INT(get(address + 6, 2), 0x000a); /* 0 */
	CHECK(address + 8 == address_end);
	_Static_assert(VM_GENERATION % 16 == 0 && VM_GENERATION + 16 <= RESET_VECTOR, "a place");
}

/* If (…) {…}; *at is behind it then. */
static void check_if(const uint8_t **at, const char *condition, size_t condition_size,
		     const char *then, size_t then_size)
{
	const uint8_t *end;

	CHECK_INT(*(*at)++, 0xa0);
	end = block(at);
	CHECK(*at + condition_size + then_size == end);
	CHECK(memcmp(*at, condition, condition_size) == 0);
	CHECK(memcmp(*at + condition_size, then, then_size) == 0);
	*at = end;
}

/* Each interrupt has its own. */
static void check_events(const uint8_t *at, const uint8_t *end, bool has_vcpus)
{
	const uint8_t *method = find(at, end, "_EVT", 4) - 3;
	const uint8_t *method_end = block(&method);

	(void)find(at, end,
		   "\x08_HID\x0d"
		   "ACPI0013",
		   14);
	CHECK_INT(method[4], 0x09); /* one argument, serialized */
	method += 5;
	check_if(&method, "\x93\x68\x0a\x04", 4, "\x86VGEN\x0a\x80", 7);
	if (has_vcpus)
		check_if(&method, "\x93\x68\x0a\x03", 4, "CPUS", 4);
	CHECK(method == method_end);
}

/* A processor that is there once CPUN, of its port, is above its number. */
static void check_vcpu(const uint8_t *at, const uint8_t *end, uint32_t index)
{
	const uint8_t number[] = { 0x0a, (uint8_t)index };
	const uint8_t uid[] = { 0x08, '_', 'U', 'I', 'D', 0x0a, (uint8_t)index };
	const uint8_t apic[] = { 0x0a, 8, 0, 8, (uint8_t)index, (uint8_t)index, 1, 0, 0, 0 };
	const uint8_t *method = find(at, end, "_STA\x08", 5) - 3;
	const uint8_t *method_end = block(&method);
	char above[7] = "\x94"
			"CPUN";

	(void)find(at, end,
		   "\x08_HID\x0d"
		   "ACPI0007",
		   14);
	(void)find(at, end, (const char *)uid, sizeof(uid));
	(void)find(find(at, end, "_MAT\x11", 5), end, (const char *)apic, sizeof(apic));
	(void)memcpy(above + 5, number, sizeof(number));
	method += 5;
	check_if(&method, above, 7, "\xa4\x0a\x0f", 3);
	CHECK(memcmp(method, "\xa4\x0a\x00", 3) == 0);
	CHECK(method + 3 == method_end);
	CHECK(method_end == end);
}

/* The port; of how many the guest knows from the start. */
static const uint8_t *check_port(const uint8_t *at, uint32_t vcpus)
{
	static const char region[] = "\x5b\x80"
				     "CPUR\x01\x0c\x03\x06\x00\x00\x0a\x01";
	static const char field[] = "CPUR\x01"
				    "CPUN\x08";
	const uint8_t *field_end;

	_Static_assert(PORT_VCPUS == 0x603, "as above");
	CHECK(memcmp(at, region, sizeof(region) - 1) == 0);
	at += sizeof(region) - 1;
	CHECK_INT(get(at, 2), 0x815b);
	at += 2;
	field_end = block(&at);
	CHECK(memcmp(at, field, sizeof(field) - 1) == 0);
	at += sizeof(field) - 1;
	CHECK(at == field_end);
	CHECK(memcmp(at,
		     "\x08"
		     "CPUT\x0a",
		     6) == 0);
	CHECK_INT(at[6], vcpus);
	return at + 7;
}

/* Those above what it knows, and not above what there is, are new; then it knows. */
static const uint8_t *check_scan(const uint8_t *at, uint32_t vcpus, uint32_t max_vcpus)
{
	const uint8_t *end;

	CHECK_INT(*at++, 0x14);
	end = block(&at);
	CHECK(memcmp(at, "CPUS\x08", 5) == 0);
	at += 5;
	for (uint32_t i = vcpus; i < max_vcpus; i++) {
		const char here[] = { (char)0x94, 'C', 'P', 'U', 'N', 0x0a, (char)i };
		const char not_told[] = {
			(char)0x92, (char)0x94, 'C', 'P', 'U', 'T', 0x0a, (char)i
		};
		char notify[16];
		const uint8_t *if_end;

		(void)snprintf(notify, sizeof(notify),
			       "\x86"
			       "CP%02X\x0a",
			       (unsigned)i);
		notify[6] = 1;
		CHECK_INT(*at++, 0xa0);
		if_end = block(&at);
		CHECK(memcmp(at, here, sizeof(here)) == 0);
		at += sizeof(here);
		check_if(&at, not_told, sizeof(not_told), notify, 7);
		CHECK(at == if_end);
	}
	CHECK(memcmp(at,
		     "\x70"
		     "CPUNCPUT",
		     9) == 0);
	CHECK(at + 9 == end);
	return end;
}

static void check_dsdt(uint32_t vcpus, uint32_t max_vcpus, uint32_t n_devices)
{
	uint32_t n_vcpus = vcpus;
	const uint8_t *at, *end, *scope_end;
	uint32_t found = 0, n_scans = 0;
	struct tables t;

	build(vcpus, max_vcpus, n_devices, &t);
	at = t.dsdt + 36;
	end = t.dsdt + get(t.dsdt + 4, 4);
	CHECK_INT(*at++, 0x10); /* Scope (\_SB) */
	scope_end = block(&at);
	CHECK(memcmp(at, "_SB_", 4) == 0);
	at += 4;
	while (at < scope_end) { /* devices, one behind the other, and what vCPUs need beside */
		const uint8_t *device_end;

		if (max_vcpus > vcpus && get(at, 2) == 0x805b) {
			at = check_port(at, vcpus);
			continue;
		}
		if (max_vcpus > vcpus && *at == 0x14) {
			CHECK_INT(n_vcpus, max_vcpus);
			at = check_scan(at, vcpus, max_vcpus);
			n_scans++;
			continue;
		}
		CHECK_INT(get(at, 2), 0x825b);
		at += 2;
		device_end = block(&at);
		CHECK(device_end <= scope_end);
		if (memcmp(at, "VR", 2) == 0)
			check_device(at, device_end, found++);
		else if (memcmp(at, "VGEN", 4) == 0)
			check_generation(at, device_end);
		else if (memcmp(at, "GED_", 4) == 0)
			check_events(at, device_end, max_vcpus > vcpus);
		else if (memcmp(at, "CP", 2) == 0)
			check_vcpu(at, device_end, n_vcpus++);
		else
			(void)find(at, device_end, "QEMU0001", 9);
		at = device_end;
	}
	CHECK(at == scope_end);
	CHECK_INT(found, n_devices);
	CHECK_INT(n_scans, max_vcpus > vcpus);
	CHECK(memcmp(at, "\x08_S5_\x12", 6) == 0);
	at += 6;
	CHECK(block(&at) == end);
	CHECK_INT(at[0], 2);
	CHECK_INT(at[2], SLEEP_TYPE_S5);
	buffer_done(&t.all);
}

static void test_dsdt(void)
{
	check_dsdt(1, 1, 0);
	check_dsdt(2, 2, 1);
	check_dsdt(1, 1, 16);
	check_dsdt(1, 2, 16);
	check_dsdt(3, 64, 16);
}

/* For a look by hand: DUMP_DSDT=/tmp/dsdt.aml, then `iasl -d /tmp/dsdt.aml`. */
static void dump(const char *path)
{
	FILE *file = fopen(path, "we");
	struct tables t;

	build(2, 4, 16, &t);
	CHECK(file && fwrite(t.dsdt, get(t.dsdt + 4, 4), 1, file) == 1 && fclose(file) == 0);
	buffer_done(&t.all);
}

static void check_e820(uint64_t low, uint64_t high)
{
	struct guest_memory memory = { .n_regions = 1, .regions = { { .size = low } } };
	struct boot_e820_entry entries[E820_ENTRIES_USED];
	uint64_t last = 0, ram = 0;
	size_t n;

	if (high > 0)
		memory.regions[memory.n_regions++] =
		    (struct mem_region){ .base = HOLE_END, .size = high };
	n = e820_fill(&memory, entries);
	CHECK_INT(n, high > 0 ? 4 : 3);
	for (size_t i = 0; i < n; i++) {
		CHECK(entries[i].addr >= last && entries[i].size > 0);
		last = entries[i].addr + entries[i].size;
		if (entries[i].type == 1)
			ram += entries[i].size;
	}
	CHECK_INT(ram, low + high - (KERNEL_START - LOW_RAM_END));
	CHECK_INT(last, high > 0 ? HOLE_END + high : low);
	CHECK_INT(entries[1].addr, ACPI_START);
	CHECK_INT(entries[1].type, 3);
}

static void test_e820(void)
{
	check_e820(32 * MIB, 0);
	check_e820(HOLE_START, 0);
	check_e820(HOLE_START, MIB);
	check_e820(HOLE_START, 4093 * GIB);
}

/* A table of its own, with a device for each transport. */
static void test_slots(void)
{
	struct buffer table = { 0 };
	const uint8_t *at;

	arch_emulated_slots(22, &table);
	at = buffer_data(&table);
	CHECK(memcmp(at, "SSDT", 4) == 0);
	CHECK_INT(get(at + 4, 4), buffer_length(&table));
	CHECK_INT(sum(at, buffer_length(&table)), 0);
	CHECK(memmem(at, buffer_length(&table), "VS15", 4) &&
	      memmem(at, buffer_length(&table), "VS00", 4));
	/* The first is the last transport: 512 bytes at 0xfeb02a00, interrupt 45, by its level. */
	at = memmem(at, buffer_length(&table), "\x86\x09\x00\x01", 4);
	CHECK(at && get(at + 4, 4) == 0xfeb02a00 && get(at + 8, 4) == 512);
	CHECK(at[12] == 0x89 && at[15] == 1 && get(at + 17, 4) == 45);
	buffer_done(&table);
}

static const struct test_case cases[] = {
	{ "slots", test_slots }, { "FADT", test_fadt }, { "MADT", test_madt },
	{ "DSDT", test_dsdt },	 { "e820", test_e820 },
};

int main(int argc, char **argv)
{
	const char *path = getenv("DUMP_DSDT");

	if (path)
		dump(path);
	return test_main(argc, argv, cases, ARRAY_SIZE(cases));
}
