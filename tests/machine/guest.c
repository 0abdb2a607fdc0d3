/* SPDX-License-Identifier: Apache-2.0 */
/* The ground a guest half stands on: see guest.h. */
#include "tests/machine/guest.h"

#include "vmm/x86_64/layout.h"

#define LOCAL_APIC_ID 0x020
#define LOCAL_APIC_EOI 0x0b0
#define LOCAL_APIC_SPURIOUS 0x0f0
#define LOCAL_APIC_ICR_LOW 0x300
#define LOCAL_APIC_ICR_HIGH 0x310
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define TRAMPOLINE 0x8000 /* between boot_params and the page tables */

const uint8_t *guest_boot_params;
volatile uint32_t guest_interrupts;
void (*guest_ap_main)(uint32_t apic_id);

uint8_t guest_stack[16384] __attribute__((aligned(16)));
uint8_t guest_ap_stacks[64][4096] __attribute__((aligned(16)));

void *memset(void *bytes, int value, size_t size)
{
	void *start = bytes;

	__asm__ volatile("rep stosb" : "+D"(bytes), "+c"(size) : "a"(value) : "memory");
	return start;
}

/* A compiler copies structures by it. */
void *memcpy(void *to, const void *from, size_t size)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	lea guest_stack + 16384, %rsp\n"
	"	mov %rsi, %rdi\n"
	"	xor %ebp, %ebp\n"
	"	call guest_start\n"
	"1:	hlt\n"
	"	jmp 1b\n");

/* Real mode at TRAMPOLINE to long mode, with the tables the VMM made. */
__asm__(".pushsection .text\n"
	".globl guest_trampoline, guest_trampoline_end\n"
	".code16\n"
	"guest_trampoline:\n"
	"	cli\n"
	"	xor %ax, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl 0x8000 + (guest_gdt_pointer - guest_trampoline)\n"
	"	mov %cr4, %eax\n"
	"	or $0x20, %eax\n"
	"	mov %eax, %cr4\n"
	"	mov $0x9000, %eax\n"
	"	mov %eax, %cr3\n"
	"	mov $0xc0000080, %ecx\n"
	"	rdmsr\n"
	"	or $0x100, %eax\n"
	"	wrmsr\n"
	"	mov %cr0, %eax\n"
	"	or $0x80000001, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $0x10, $(0x8000 + (guest_ap_long - guest_trampoline))\n"
	"guest_gdt_pointer:\n"
	"	.word 0x1f\n"
	"	.long 0x500\n"
	".code64\n"
	"guest_ap_long:\n"
	"	mov $0x18, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	mov $0xfee00020, %eax\n" /* whose stack: by APIC id */
	"	mov (%rax), %edi\n"
	"	shr $24, %edi\n"
	"	mov %edi, %eax\n"
	"	inc %eax\n"
	"	shl $12, %eax\n"
	"	lea guest_ap_stacks(%rax), %rsp\n"
	"	mov $guest_ap_start, %rax\n"
	"	jmp *%rax\n"
	"guest_trampoline_end:\n"
	".popsection\n");
extern const uint8_t guest_trampoline[], guest_trampoline_end[];

__asm__(".globl guest_on_interrupt\n"
	"guest_on_interrupt:\n"
	"	push %rax\n"
	"	lock incl guest_interrupts\n"
	"	mov $0xfee000b0, %eax\n"
	"	movl $0, (%rax)\n"
	"	pop %rax\n"
	"	iretq\n");
extern const uint8_t guest_on_interrupt[];

void guest_start(const uint8_t *boot_params) __attribute__((noreturn));
void guest_ap_start(uint32_t apic_id) __attribute__((noreturn));

void guest_print(const char *text)
{
	for (; *text; text++)
		outb(PORT_SERIAL, (uint8_t)*text);
}

void guest_print_number(uint64_t value)
{
	char text[21];
	char *at = text + sizeof(text) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	guest_print(at);
}

bool guest_same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void power_off(void) __attribute__((noreturn));
static void power_off(void)
{
	outb(PORT_SLEEP_CONTROL, 1 << 5 | SLEEP_TYPE_S5 << 2);
	for (;;)
		__asm__ volatile("hlt");
}

void guest_done(void)
{
	guest_print("done\n");
	power_off();
}

void guest_fail(const char *file, int line, const char *what, uint64_t got)
{
	guest_print(file);
	guest_print(":");
	guest_print_number((uint64_t)line);
	guest_print(": ");
	guest_print(what);
	guest_print(" (got ");
	guest_print_number(got);
	guest_print(")\n");
	power_off();
}

void guest_start(const uint8_t *boot_params)
{
	guest_boot_params = boot_params;
	/* boot_params.hdr.cmd_line_ptr */
	guest_main((const char *)(uintptr_t) * (const uint32_t *)(boot_params + 0x228));
	guest_done();
}

/* ---- interrupts ---- */

static struct {
	uint64_t low, high;
} idt[GUEST_VECTOR + 1] __attribute__((aligned(16)));

void guest_enable_interrupt(uint32_t pin)
{
	const uint64_t handler = (uintptr_t)guest_on_interrupt;
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	idt[GUEST_VECTOR].low = (handler & 0xffff) | (uint64_t)BOOT_CS << 16 | 0x8eULL << 40 |
				(handler >> 16 & 0xffff) << 48;
	idt[GUEST_VECTOR].high = handler >> 32;
	__asm__ volatile("lidt %0" ::"m"(pointer));
	write32(LOCAL_APIC_BASE + LOCAL_APIC_SPURIOUS, 0x1ff);
	/* IOAPIC redirection entry: edge, active high, fixed, to APIC id 0 */
	write32(IOAPIC_BASE, 0x10 + 2 * pin);
	write32(IOAPIC_BASE + 0x10, GUEST_VECTOR);
	write32(IOAPIC_BASE, 0x11 + 2 * pin);
	write32(IOAPIC_BASE + 0x10, 0);
	__asm__ volatile("sti");
}

/* ---- other processors ---- */

uint32_t guest_apic_id(void)
{
	return read32(LOCAL_APIC_BASE + LOCAL_APIC_ID) >> 24;
}

void guest_ap_start(uint32_t apic_id)
{
	guest_ap_main(apic_id);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void guest_start_processor(uint32_t apic_id)
{
	volatile uint8_t *to = (volatile uint8_t *)(uintptr_t)TRAMPOLINE;

	__asm__("" : "+r"(to));
	for (size_t i = 0; i < (size_t)(guest_trampoline_end - guest_trampoline); i++)
		to[i] = guest_trampoline[i];
	write32(LOCAL_APIC_BASE + LOCAL_APIC_SPURIOUS, 0x1ff);
	write32(LOCAL_APIC_BASE + LOCAL_APIC_ICR_HIGH, apic_id << 24);
	write32(LOCAL_APIC_BASE + LOCAL_APIC_ICR_LOW, ICR_INIT);
	write32(LOCAL_APIC_BASE + LOCAL_APIC_ICR_HIGH, apic_id << 24);
	write32(LOCAL_APIC_BASE + LOCAL_APIC_ICR_LOW, ICR_STARTUP | TRAMPOLINE >> 12);
}
