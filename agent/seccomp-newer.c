/* SPDX-License-Identifier: Apache-2.0 */
/* ENOSYS for newer system calls: see seccomp-newer.h. */
#include "agent/seccomp-newer.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#include "base/cleanup.h"

#define X32_BIT 0x40000000u /* set in the numbers of x32, whose architecture is x86-64's */

#define LOAD(member)                                                                               \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, member))
#define IF(test, k, then_skip, else_skip)                                                          \
	BPF_JUMP(BPF_JMP | BPF_K | (test), (k), (then_skip), (else_skip))

/* A default that lets calls through lets newer ones through, and a tracer decides on
 * both. */
static bool is_permissive(const char *action)
{
	return strcmp(action, "SCMP_ACT_ALLOW") == 0 || strcmp(action, "SCMP_ACT_LOG") == 0 ||
	       strcmp(action, "SCMP_ACT_TRACE") == 0;
}

/* The newest call of one architecture that any rule names, whatever it says of it.
 * UINT32_MAX, above which nothing is: none, or it is not one of the profile's. */
static uint32_t find_newest(const struct spec_seccomp *seccomp, const char *name, uint32_t arch)
{
	char *const *names = seccomp->architectures;
	int newest = 0;

	while (names && *names && strcmp(*names, name) != 0)
		names++;
	if (!names || !*names)
		return UINT32_MAX;
	for (size_t i = 0; i < seccomp->n_rules; i++) {
		for (names = seccomp->rules[i].names; names && *names; names++) {
			/* negative: the architecture has none of this name */
			int number = seccomp_syscall_resolve_name_arch(arch, *names);

			newest = number > newest ? number : newest;
		}
	}
	return newest > 0 ? (uint32_t)newest : UINT32_MAX;
}

size_t seccomp_newer_program(const struct spec_seccomp *seccomp,
			     struct sock_filter program[static SECCOMP_NEWER_MAX])
{
	const uint32_t x86_64 = find_newest(seccomp, "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64);
	const uint32_t x32 = find_newest(seccomp, "SCMP_ARCH_X32", SCMP_ARCH_X32);
	const uint32_t i386 = find_newest(seccomp, "SCMP_ARCH_X86", SCMP_ARCH_X86);
	const struct sock_filter instructions[] = {
		/* 0 */ LOAD(arch),
		/* 1 */ IF(BPF_JEQ, AUDIT_ARCH_I386, 0, 2),
		/* 2 */ LOAD(nr),
		/* 3 */ IF(BPF_JGT, i386, 5, 6),
		/* 4 */ IF(BPF_JEQ, AUDIT_ARCH_X86_64, 0, 5),
		/* 5 */ LOAD(nr),
		/* 6 */ IF(BPF_JSET, X32_BIT, 1, 0),
		/* 7 */ IF(BPF_JGT, x86_64, 1, 2),
		/* 8 */ IF(BPF_JGT, x32, 0, 1),
		/* 9 */ BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		/* 10: the filter */
	};

	_Static_assert(ARRAY_SIZE(instructions) == SECCOMP_NEWER_MAX, "the program's size");
	if (is_permissive(seccomp->default_action) ||
	    (x86_64 == UINT32_MAX && x32 == UINT32_MAX && i386 == UINT32_MAX))
		return 0;
	memcpy(program, instructions, sizeof(instructions));
	return ARRAY_SIZE(instructions);
}
