/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware-reduced ACPI: see acpi.h.  Sections are of ACPI 6.5. */
#include "vmm/x86_64/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>

#include "vmm/arch.h"
#include "vmm/x86_64/aml.h"
#include "vmm/x86_64/layout.h"

#define TABLE_ALIGNMENT 16
#define NOTIFY_CHECK 1 /* §5.6.6: a device that may have come */
#define NOTIFY_CHANGED 0x80
#define STATUS_WORKS 0x0f /* §6.3.7: present, enabled, shown, functioning */

struct rsdp { /* §5.2.5.3 */
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct table_header { /* §5.2.6 */
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct xsdt { /* §5.2.8 */
	struct table_header header;
	uint64_t tables[2];
} __attribute__((packed));

struct generic_address { /* §5.2.3.2 */
	uint8_t space;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size;
	uint64_t address;
} __attribute__((packed));

struct fadt { /* §5.2.9; what hardware-reduced machines leave 0 is not named */
	struct table_header header;
	uint8_t unused1[60 + 13];
	uint16_t boot_flags;
	uint8_t unused2;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_version;
	uint64_t x_firmware_control;
	uint64_t x_dsdt;
	struct generic_address unused3[8];
	struct generic_address sleep_control;
	struct generic_address sleep_status;
	uint64_t hypervisor_id;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.5 §5.2.9");
_Static_assert(offsetof(struct fadt, boot_flags) == 109, "ACPI 6.5 §5.2.9");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "ACPI 6.5 §5.2.9");

#define FADT_REVISION 6
#define FADT_MINOR 5
#define FADT_WBINVD (1U << 0)
#define FADT_NO_POWER_BUTTON (1U << 4)
#define FADT_NO_SLEEP_BUTTON (1U << 5)
#define FADT_RESET_REGISTER (1U << 10)
#define FADT_HARDWARE_REDUCED (1U << 20)
#define BOOT_FLAG_NO_VGA (1U << 2)
#define BOOT_FLAG_NO_CMOS_RTC (1U << 5)
/* Bits 0 and 1 stay clear: no legacy devices, no i8042. */

struct madt { /* §5.2.12 */
	struct table_header header;
	uint32_t local_apic;
	uint32_t flags;
} __attribute__((packed));

struct madt_local_apic { /* §5.2.12.2 */
	uint8_t type;
	uint8_t length;
	uint8_t processor;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

#define LOCAL_APIC_ENABLED (1U << 0)
#define LOCAL_APIC_ONLINE_CAPABLE (1U << 1)

struct madt_io_apic { /* §5.2.12.3 */
	uint8_t type;
	uint8_t length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

struct madt_local_nmi { /* §5.2.12.7 */
	uint8_t type;
	uint8_t length;
	uint8_t processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

static void align(struct buffer *tables)
{
	static const uint8_t zeros[TABLE_ALIGNMENT];

	buffer_append(tables, zeros, -buffer_length(tables) % TABLE_ALIGNMENT);
}

static void fill_header(struct table_header *header, const char *signature, uint8_t revision)
{
	*header = (struct table_header){ .revision = revision, .oem_revision = 1 };
	(void)memcpy(header->signature, signature, sizeof(header->signature));
	(void)memcpy(header->oem_id, "SUPERM", sizeof(header->oem_id));
	(void)memcpy(header->oem_table_id, "SMACHINE", sizeof(header->oem_table_id));
	(void)memcpy(header->creator_id, "SUPM", sizeof(header->creator_id));
	header->creator_revision = 1;
}

/* Length and checksum of the table that began at start. */
static void finish_table(struct buffer *tables, size_t start)
{
	uint8_t *at = buffer_data(tables) + start;
	uint32_t length = (uint32_t)(buffer_length(tables) - start);

	(void)memcpy(at + offsetof(struct table_header, length), &length, sizeof(length));
	at[offsetof(struct table_header, checksum)] = checksum(at, length);
}

static struct generic_address port(uint16_t number)
{
	return (struct generic_address){
		.space = 1 /* system I/O */, .bit_width = 8, .access_size = 1, .address = number
	};
}

static void add_virtio_device(struct buffer *aml, const char *prefix, const struct acpi_slot *slot,
			      void (*interrupt)(struct buffer *aml, uint32_t gsi))
{
	char segment[5];
	size_t device, resources;

	(void)snprintf(segment, sizeof(segment), "%s%02X", prefix, (unsigned)(slot->index & 0xff));
	device = aml_device_begin(aml, segment);
	aml_name_string(aml, "_HID", "LNRO0005"); /* as Linux' virtio_mmio knows it */
	aml_name_integer(aml, "_UID", slot->index);
	resources = aml_resources_begin(aml, "_CRS");
	aml_memory32_fixed(aml, slot->base, slot->size);
	interrupt(aml, slot->gsi);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

/* (QEMU's own tables have devices named VR.) */
void acpi_build_slots(const struct acpi_slot *slots, size_t n_slots, struct buffer *table)
{
	size_t start = buffer_length(table), scope;
	struct table_header header;

	fill_header(&header, "SSDT", 2);
	buffer_append(table, &header, sizeof(header));
	scope = aml_scope_begin(table, "_SB_");
	for (size_t i = 0; i < n_slots; i++)
		add_virtio_device(table, "VS", &slots[i], aml_interrupt_level);
	aml_end(table, scope);
	finish_table(table, start);
}

/* As QEMU's isa-pvpanic: a port that is told of panics. */
static void add_pvpanic(struct buffer *aml)
{
	size_t device = aml_device_begin(aml, "PEVT");
	size_t resources;

	aml_name_string(aml, "_HID", "QEMU0001");
	resources = aml_resources_begin(aml, "_CRS");
	aml_io16(aml, PORT_PVPANIC, 1);
	aml_resources_end(aml, resources);
	aml_end(aml, device);
}

static struct madt_local_apic local_apic(uint32_t index, uint32_t flags)
{
	return (struct madt_local_apic){
		.length = sizeof(struct madt_local_apic),
		.processor = (uint8_t)index,
		.apic_id = (uint8_t)index,
		.flags = flags,
	};
}

/* The device of a vCPU that may come. */
static void name_vcpu(uint32_t index, char ret_segment[5])
{
	(void)snprintf(ret_segment, 5, "CP%02X", (unsigned)(index & 0xff));
}

/* A vCPU is there once the port says so. */
static void add_vcpu(struct buffer *aml, uint32_t index)
{
	const struct madt_local_apic apic = local_apic(index, LOCAL_APIC_ENABLED);
	size_t device, method, condition;
	char segment[5];

	name_vcpu(index, segment);
	device = aml_device_begin(aml, segment);
	aml_name_string(aml, "_HID", "ACPI0007"); /* §8.4: a processor */
	aml_name_integer(aml, "_UID", index);
	aml_name_bytes(aml, "_MAT", &apic, sizeof(apic));
	method = aml_method_begin(aml, "_STA", 0);
	condition = aml_if_above(aml, "CPUN", index);
	aml_return(aml, STATUS_WORKS);
	aml_end(aml, condition);
	aml_return(aml, 0);
	aml_end(aml, method);
	aml_end(aml, device);
}

/* vCPUs that may come: how many there are (CPUN, read from a port), of how many the guest has been
 * told (CPUT, in its memory), and a method that tells it of those between. */
static void add_vcpus(struct buffer *aml, const struct acpi_machine *machine)
{
	char segment[5];
	size_t method;

	aml_port(aml, "CPUR", "CPUN", PORT_VCPUS);
	aml_name_integer(aml, "CPUT", machine->vcpus);
	for (uint32_t i = machine->vcpus; i < machine->max_vcpus; i++)
		add_vcpu(aml, i);
	method = aml_method_begin(aml, "CPUS", 0);
	for (uint32_t i = machine->vcpus; i < machine->max_vcpus; i++) {
		const size_t is_here = aml_if_above(aml, "CPUN", i);
		const size_t is_new = aml_if_not_above(aml, "CPUT", i);

		name_vcpu(i, segment);
		aml_notify(aml, segment, NOTIFY_CHECK);
		aml_end(aml, is_new);
		aml_end(aml, is_here);
	}
	aml_store(aml, "CPUN", "CPUT");
	aml_end(aml, method);
}

/* What tells a guest that it has become another (Microsoft, "Virtual Machine Generation ID"):
 * where 16 random bytes are. */
static void add_generation(struct buffer *aml)
{
	size_t device = aml_device_begin(aml, "VGEN");
	size_t part;

	aml_name_string(aml, "_HID", "SUPM0001");
	aml_name_string(aml, "_CID", "VM_Gen_Counter");
	aml_name_string(aml, "_DDN", "VM_Gen_Counter");
	part = aml_package_begin(aml, "ADDR", 2); /* its lower and upper half */
	aml_integer(aml, (uint32_t)VM_GENERATION);
	aml_integer(aml, 0);
	aml_end(aml, part);
	aml_end(aml, device);
}

/* The interrupts by which the guest learns that those bytes have changed, or that vCPUs have come
 * (a Generic Event Device, §5.6.9, as a hardware-reduced machine has no other). */
static void add_events(struct buffer *aml, bool has_vcpus)
{
	const size_t device = aml_device_begin(aml, "GED_");
	size_t part, condition;

	aml_name_string(aml, "_HID", "ACPI0013");
	part = aml_resources_begin(aml, "_CRS");
	aml_interrupt_edge(aml, GENERATION_GSI);
	if (has_vcpus)
		aml_interrupt_edge(aml, VCPUS_GSI);
	aml_resources_end(aml, part);
	part = aml_method_begin(aml, "_EVT", 1);
	condition = aml_if_argument_is(aml, GENERATION_GSI);
	aml_notify(aml, "VGEN", NOTIFY_CHANGED);
	aml_end(aml, condition);
	if (has_vcpus) {
		condition = aml_if_argument_is(aml, VCPUS_GSI);
		aml_call(aml, "CPUS");
		aml_end(aml, condition);
	}
	aml_end(aml, part);
	aml_end(aml, device);
}

static void add_dsdt(struct buffer *tables, const struct acpi_machine *machine)
{
	const bool has_vcpus = machine->max_vcpus > machine->vcpus;
	size_t start = buffer_length(tables);
	struct table_header header;
	size_t scope, package;

	fill_header(&header, "DSDT", 2);
	buffer_append(tables, &header, sizeof(header));
	scope = aml_scope_begin(tables, "_SB_");
	add_pvpanic(tables);
	add_generation(tables);
	if (has_vcpus)
		add_vcpus(tables, machine);
	add_events(tables, has_vcpus);
	for (uint32_t i = 0; i < machine->n_devices; i++) {
		const struct acpi_slot slot = {
			.index = i,
			.base = (uint32_t)arch_device_base(i),
			.size = 0x1000,
			.gsi = arch_device_gsi(i),
		};

		add_virtio_device(tables, "VR", &slot, aml_interrupt_edge);
	}
	aml_end(tables, scope);
	package = aml_package_begin(tables, "_S5_", 2); /* §7.4.2: SLP_TYP values */
	aml_integer(tables, SLEEP_TYPE_S5);
	aml_integer(tables, 0);
	aml_end(tables, package);
	finish_table(tables, start);
}

static void add_fadt(struct buffer *tables, gpa_t dsdt)
{
	size_t start = buffer_length(tables);
	struct fadt fadt = {
		.boot_flags = BOOT_FLAG_NO_VGA | BOOT_FLAG_NO_CMOS_RTC,
		.flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
			 FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED,
		.reset_register = port(PORT_RESET),
		.reset_value = RESET_VALUE,
		.minor_version = FADT_MINOR,
		.x_dsdt = dsdt,
		.sleep_control = port(PORT_SLEEP_CONTROL),
		.sleep_status = port(PORT_SLEEP_STATUS),
	};

	fill_header(&fadt.header, "FACP", FADT_REVISION);
	buffer_append(tables, &fadt, sizeof(fadt));
	finish_table(tables, start);
}

static void add_madt(struct buffer *tables, const struct acpi_machine *machine)
{
	size_t start = buffer_length(tables);
	struct madt madt = { .local_apic = LOCAL_APIC_BASE };
	struct madt_io_apic io_apic = { .type = 1, .length = 12, .address = IOAPIC_BASE };
	struct madt_local_nmi nmi = { .type = 4, .length = 6, .processor = 0xff, .lint = 1 };

	fill_header(&madt.header, "APIC", 5);
	buffer_append(tables, &madt, sizeof(madt));
	for (uint32_t i = 0; i < machine->max_vcpus; i++) {
		const struct madt_local_apic apic = local_apic(
		    i, i < machine->vcpus ? LOCAL_APIC_ENABLED : LOCAL_APIC_ONLINE_CAPABLE);

		buffer_append(tables, &apic, sizeof(apic));
	}
	buffer_append(tables, &io_apic, sizeof(io_apic));
	buffer_append(tables, &nmi, sizeof(nmi));
	finish_table(tables, start);
}

static void add_xsdt(struct buffer *tables, gpa_t fadt, gpa_t madt)
{
	size_t start = buffer_length(tables);
	struct xsdt xsdt = { .tables = { fadt, madt } };

	fill_header(&xsdt.header, "XSDT", 1);
	buffer_append(tables, &xsdt, sizeof(xsdt));
	finish_table(tables, start);
}

void acpi_build(const struct acpi_machine *machine, gpa_t base, struct buffer *tables)
{
	struct rsdp rsdp = {
		.signature = "RSD PTR ", .oem_id = "SUPERM", .revision = 2, .length = sizeof(rsdp)
	};
	gpa_t dsdt, fadt, madt;

	buffer_append(tables, &rsdp, sizeof(rsdp)); /* its place; filled in last */
	align(tables);
	dsdt = base + buffer_length(tables);
	add_dsdt(tables, machine);
	align(tables);
	fadt = base + buffer_length(tables);
	add_fadt(tables, dsdt);
	align(tables);
	madt = base + buffer_length(tables);
	add_madt(tables, machine);
	align(tables);
	rsdp.xsdt = base + buffer_length(tables);
	add_xsdt(tables, fadt, madt);
	rsdp.checksum = checksum((uint8_t *)&rsdp, offsetof(struct rsdp, length));
	rsdp.extended_checksum = checksum((uint8_t *)&rsdp, sizeof(rsdp));
	(void)memcpy(buffer_data(tables), &rsdp, sizeof(rsdp));
}

int acpi_load(const struct acpi_machine *machine, const struct guest_memory *memory,
	      gpa_t *ret_rsdp, struct error **ret_error)
{
	_cleanup_(buffer_done) struct buffer tables = { 0 };
	void *at;

	acpi_build(machine, ACPI_START, &tables);
	at = mem_at(memory, ACPI_START, buffer_length(&tables));
	if (!at || buffer_length(&tables) > VM_GENERATION - ACPI_START)
		return error_set(ret_error, ENOMEM, "no guest memory for %zu bytes of ACPI tables",
				 buffer_length(&tables));
	(void)memcpy(at, buffer_data(&tables), buffer_length(&tables));
	*ret_rsdp = ACPI_START;
	return 0;
}
