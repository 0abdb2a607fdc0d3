/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For containers with a seccomp filter: makes each system call that an argument names,
 * "x86_64:436", "x32:436" or "i386:436", with zeroes for its own arguments, and prints
 * it with the errno ("x86_64:436 38"). It has no C library, and so makes no calls but
 * these, write(2) and exit_group(2).
 */
#include <asm/unistd.h>
#include <stddef.h>

#define X32_BIT 0x40000000

static long call(long number, long a, long b, long c)
{
	register long d __asm__("r10") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d)
			 : "rcx", "r11", "memory");
	return result;
}

static long call_i386(long number)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
			 : "r8", "r9", "r10", "r11", "memory");
	return result;
}

static void print(const char *text, size_t length)
{
	(void)call(__NR_write, 1, (long)text, (long)length);
}

/* A protector's canary would be in the thread's storage, which nobody has set up. */
__attribute__((no_stack_protector)) static void print_number(long number)
{
	char digits[24];
	size_t n = sizeof(digits);

	digits[--n] = '\n';
	do {
		digits[--n] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	print(digits + n, sizeof(digits) - n);
}

/* The length of the argument, and the result of its call; 0: it names none. */
static size_t make(const char *argument, long *ret_result)
{
	const char *digits = argument;
	long number = 0;

	while (*digits && *digits != ':')
		digits++;
	if (!*digits)
		return 0;
	while (*++digits)
		number = number * 10 + (*digits - '0');
	/* x86_64, x32 or i386 */
	if (argument[0] == 'i')
		*ret_result = call_i386(number);
	else
		*ret_result = call(argument[1] == '3' ? number | X32_BIT : number, 0, 0, 0);
	return (size_t)(digits - argument);
}

__attribute__((noreturn, used)) static void run(const long *stack)
{
	char *const *arguments = (char *const *)(stack + 1);
	int code = 0;

	for (long i = 1; i < stack[0]; i++) {
		long result = 0;
		size_t length = make(arguments[i], &result);

		if (length == 0) {
			code = 2;
			break;
		}
		print(arguments[i], length);
		print(" ", 1);
		print_number(result < 0 ? -result : 0);
	}
	for (;;)
		(void)call(__NR_exit_group, code, 0, 0);
}

/* argc and what follows it are on the stack. */
__attribute__((naked, noreturn)) void _start(void);
__attribute__((naked, noreturn)) void _start(void)
{
	__asm__("mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run");
}
