/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest half of a machine test: C without a library, started by
 * supermachine-vmm as a kernel, in long mode, ring 0, the first 4 GiB mapped one
 * to one.  It writes its findings to the serial port and powers off.
 *
 * A KVM that emulates ring 0 runs these too: general registers only, no popcnt.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The test: what to do is in the command line. */
void guest_main(const char *cmdline);

/* Also called by the compiler, for loops that do the same. */
void *memset(void *bytes, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);

/* Prints "done" and powers off. */
void guest_done(void) __attribute__((noreturn));
void guest_fail(const char *file, int line, const char *what, uint64_t got)
    __attribute__((noreturn));
#define GUEST_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			guest_fail(__FILE__, __LINE__, #condition, 0);                             \
	} while (0)
#define GUEST_CHECK_INT(got, wanted)                                                               \
	do {                                                                                       \
		uint64_t got_ = (got);                                                             \
		if (got_ != (uint64_t)(wanted))                                                    \
			guest_fail(__FILE__, __LINE__, #got " == " #wanted, got_);                 \
	} while (0)

void guest_print(const char *text);
void guest_print_number(uint64_t value);
bool guest_same(const char *a, const char *b);

extern const uint8_t *guest_boot_params; /* the zero page, as it was handed over */

/* ---- the processor ---- */

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static inline uint32_t read32(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}
static inline void write32(uint64_t address, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" ::"r"(value), "r"(address) : "memory");
}
static inline void relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* ---- interrupts ---- */

#define GUEST_VECTOR 0x40

extern volatile uint32_t guest_interrupts; /* how many came on GUEST_VECTOR */
/* Local APIC on, pin of the IOAPIC to GUEST_VECTOR here, interrupts on. */
void guest_enable_interrupt(uint32_t pin);

/* ---- other processors ---- */

/* Starts the processor with this APIC id; it calls guest_ap_main() and halts. */
void guest_start_processor(uint32_t apic_id);
extern void (*guest_ap_main)(uint32_t apic_id);
uint32_t guest_apic_id(void);
