/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's map: guest physical addresses, ports and interrupts, in one
 * place.
 *
 *   0          1 MiB      RAM: boot data, trampolines of the guest's other vCPUs;
 *                         ACPI tables in its upper part
 *   1 MiB      3 GiB      RAM: kernel, initramfs at the end
 *   3 GiB      4 GiB      the hole: virtio-mmio, IOAPIC, local APIC, KVM's own pages
 *   4 GiB      …          RAM above 3 GiB; then, aligned, room for more that comes later
 */
#pragma once

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

/* Below 1 MiB.  What is here is used once, by the kernel's first instructions. */
#define GDT_START 0x500ULL
#define SETUP_DATA_START 0x6000ULL
#define BOOT_PARAMS_START 0x7000ULL
#define PAGE_TABLES_START 0x9000ULL /* PML4, PDPT, then one page per GiB mapped */
#define PAGE_TABLES_GIB 4
#define CMDLINE_START 0x20000ULL
#define CMDLINE_ROOM 0x10000ULL
#define LOW_RAM_END 0xa0000ULL
#define ACPI_START 0xe0000ULL
#define ACPI_END 0x100000ULL
#define VM_GENERATION 0xff000ULL /* 16 bytes, other ones in each clone (acpi.c) */
#define RESET_VECTOR 0xffff0ULL	 /* where a PC's BIOS begins; the last 16 bytes of that */

#define KERNEL_START 0x100000ULL
#define HOLE_START (3 * GIB)
#define HOLE_END (4 * GIB)
#define ROOM_ALIGN (2 * GIB) /* the largest block that Linux adds to its memory at once */

#define VIRTIO_MMIO_START 0xd0000000ULL /* one page per device */
#define IOAPIC_BASE 0xfec00000ULL
#define LOCAL_APIC_BASE 0xfee00000ULL
#define KVM_IDENTITY_MAP 0xfffbc000ULL /* one page, */
#define KVM_TSS 0xfffbd000ULL	       /* and three */

/* IOAPIC pins: those below 5 have a meaning of old (timer, cascade) that KVM's
 * default routing still honours. */
#define VIRTIO_GSI_FIRST 5
#define VCPUS_GSI 3	 /* of a second one */
#define GENERATION_GSI 4 /* of a serial port that could be, without an interrupt */
#define IOAPIC_PINS 24

#define PORT_CMOS 0x70
#define PORT_SERIAL 0x3f8
#define PORT_PVPANIC 0x505
#define PORT_SLEEP_CONTROL 0x600
#define PORT_SLEEP_STATUS 0x601
#define PORT_RESET 0x602
#define PORT_VCPUS 0x603 /* how many there are; read-only */

#define SLEEP_TYPE_S5 5
#define RESET_VALUE 1

/* Segment selectors of the boot protocol (Documentation/x86/boot.rst). */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
