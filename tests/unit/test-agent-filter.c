/* SPDX-License-Identifier: Apache-2.0 */
/* The programs that linux.seccomp is compiled to, run by an interpreter. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>

#include "agent/seccomp.h"
#include "base/alloc.h"
#include "tests/unit/test.h"

#define X32 0x40000000u
#define ALLOW SECCOMP_RET_ALLOW
#define ERRNO(code) (SECCOMP_RET_ERRNO | (code))
#define BAD_ARCHITECTURE SECCOMP_RET_KILL_THREAD
#define ALL "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\""

/* seccomp(2) "Filters": what the kernel takes of classic BPF, as far as it occurs. */
static uint32_t interpret(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < filter->n; pc++) {
		const struct sock_filter *i = &filter->program[pc];
		bool holds = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			CHECK(i->k % 4 == 0 && i->k < sizeof(*data));
			a = ((const uint32_t *)(const void *)data)[i->k / 4];
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			holds = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			holds = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			holds = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			holds = a & i->k;
			break;
		default:
			test_fail(__FILE__, __LINE__, "instruction %#x at %zu", i->code, pc);
		}
		pc += holds ? i->jt : i->jf;
	}
	test_fail(__FILE__, __LINE__, "the program has no end");
}

static int compile(const char *seccomp, struct seccomp_filter **ret_filter,
		   struct error **ret_error)
{
	_cleanup_free_ char *json = xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
					      "\"linux\":{\"seccomp\":{%s}}}",
					      seccomp);
	_cleanup_(spec_freep) struct spec *spec = NULL;

	CHECK_OK(spec_parse(json, strlen(json), &spec, ret_error), ret_error);
	return seccomp_compile(&spec->linux_.seccomp, ret_filter, ret_error);
}

struct wanted {
	uint32_t architecture, number, result;
};

static void check_results(const char *seccomp, const struct wanted *wanted, size_t n)
{
	_cleanup_(seccomp_filter_freep) struct seccomp_filter *filter = NULL;
	struct error *error = NULL;

	CHECK_OK(compile(seccomp, &filter, &error), &error);
	for (size_t i = 0; i < n; i++) {
		const struct seccomp_data data = { .arch = wanted[i].architecture,
						   .nr = (int)wanted[i].number };
		uint32_t result = interpret(filter, &data);

		if (result != wanted[i].result)
			test_fail(__FILE__, __LINE__, "%s: call %#x of %#x is %#x, not %#x",
				  seccomp, wanted[i].number, wanted[i].architecture, result,
				  wanted[i].result);
	}
}

#define CHECK_RESULTS(seccomp, ...)                                                                \
	do {                                                                                       \
		static const struct wanted wanted[] = { __VA_ARGS__ };                             \
		check_results((seccomp), wanted, ARRAY_SIZE(wanted));                              \
	} while (0)

/* As runc: ENOSYS for what is newer than all that the profile names, so that a program
 * falls back to an older call; the default action for the others that it does not name. */
static void test_newer_calls(void)
{
	CHECK_RESULTS(
	    "\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[" ALL "],"
	    "\"syscalls\":[{\"names\":[\"read\",\"openat2\",\"no_such_call\"],"
	    "\"action\":\"SCMP_ACT_ALLOW\"}]",
	    { AUDIT_ARCH_X86_64, 0, ALLOW }, { AUDIT_ARCH_X86_64, 1, ERRNO(EPERM) },
	    { AUDIT_ARCH_X86_64, 436, ERRNO(EPERM) }, { AUDIT_ARCH_X86_64, 437, ALLOW },
	    { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) },
	    { AUDIT_ARCH_X86_64, X32 - 1, ERRNO(ENOSYS) },
	    { AUDIT_ARCH_X86_64, X32 | 436, ERRNO(EPERM) }, { AUDIT_ARCH_X86_64, X32 | 437, ALLOW },
	    { AUDIT_ARCH_X86_64, X32 | 438, ERRNO(ENOSYS) },
	    { AUDIT_ARCH_X86_64, UINT32_MAX, ERRNO(ENOSYS) }, { AUDIT_ARCH_I386, 0, ERRNO(EPERM) },
	    { AUDIT_ARCH_I386, 3, ALLOW }, { AUDIT_ARCH_I386, 436, ERRNO(EPERM) },
	    { AUDIT_ARCH_I386, 437, ALLOW }, { AUDIT_ARCH_I386, 438, ERRNO(ENOSYS) },
	    { AUDIT_ARCH_I386, UINT32_MAX, ERRNO(ENOSYS) }, { AUDIT_ARCH_ARM, 3, BAD_ARCHITECTURE },
	    { AUDIT_ARCH_ARM, 438, BAD_ARCHITECTURE });
	/* the other actions that restrict */
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_KILL\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 436, SECCOMP_RET_KILL_THREAD },
		      { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_TRAP\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 436, SECCOMP_RET_TRAP },
		      { AUDIT_ARCH_I386, 438, ERRNO(ENOSYS) });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
		      "\"architectures\":[" ALL "],\"syscalls\":[{\"names\":[\"openat2\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 436, ERRNO(ENOSYS) },
		      { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) });
}

/* Each architecture has its own newest call, whatever the profile says of it. */
static void test_newest_of_each_architecture(void)
{
	/* 403 on i386, no number elsewhere; that of read on x86-64 is 0, which is none */
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"read\",\"clock_gettime64\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_I386, 402, ERRNO(EPERM) }, { AUDIT_ARCH_I386, 403, ALLOW },
		      { AUDIT_ARCH_I386, 404, ERRNO(ENOSYS) },
		      { AUDIT_ARCH_X86_64, 404, ERRNO(EPERM) }, { AUDIT_ARCH_X86_64, X32, ALLOW },
		      { AUDIT_ARCH_X86_64, X32 | 1, ERRNO(ENOSYS) });
	/* a rule of the default action, or for some arguments, names its call as well */
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ERRNO\"},"
		      "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 437, ERRNO(EPERM) },
		      { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\","
		      "\"args\":[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"}]}]",
		      { AUDIT_ARCH_X86_64, 437, ERRNO(EPERM) },
		      { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) });
}

/* Only architectures that the profile names have any. */
static void test_architectures(void)
{
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":["
		      "\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[\"openat2\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 437, ALLOW }, { AUDIT_ARCH_X86_64, 438, ERRNO(ENOSYS) },
		      { AUDIT_ARCH_X86_64, X32 | 437, BAD_ARCHITECTURE },
		      { AUDIT_ARCH_X86_64, X32 | 438, BAD_ARCHITECTURE },
		      { AUDIT_ARCH_I386, 438, BAD_ARCHITECTURE });
	/* libseccomp adds the machine's own, the profile has not named it */
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86\"],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_I386, 437, ALLOW }, { AUDIT_ARCH_I386, 438, ERRNO(ENOSYS) },
		      { AUDIT_ARCH_X86_64, 438, ERRNO(EPERM) });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X32\"],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 438, ERRNO(EPERM) },
		      { AUDIT_ARCH_X86_64, X32 | 436, ERRNO(EPERM) },
		      { AUDIT_ARCH_X86_64, X32 | 438, ERRNO(ENOSYS) });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"openat2\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 437, ALLOW }, { AUDIT_ARCH_X86_64, 438, ERRNO(EPERM) });
}

/* A default that lets calls through lets newer ones through, too. */
static void test_permissive_defaults(void)
{
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ERRNO\"}]",
		      { AUDIT_ARCH_X86_64, 437, ERRNO(EPERM) }, { AUDIT_ARCH_X86_64, 438, ALLOW });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_LOG\",\"architectures\":[" ALL "],"
		      "\"syscalls\":[{\"names\":[\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 437, ALLOW },
		      { AUDIT_ARCH_X86_64, 438, SECCOMP_RET_LOG });
	CHECK_RESULTS("\"defaultAction\":\"SCMP_ACT_TRACE\",\"defaultErrnoRet\":5,"
		      "\"architectures\":[" ALL "],\"syscalls\":[{\"names\":[\"openat2\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]",
		      { AUDIT_ARCH_X86_64, 438, SECCOMP_RET_TRACE | 5 });
}

static void test_flags(void)
{
	static const struct {
		const char *flags;
		unsigned int wanted;
	} cases[] = {
		{ "", 0 },
		{ "\"SECCOMP_FILTER_FLAG_LOG\"", SECCOMP_FILTER_FLAG_LOG },
		{ "\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\",\"SECCOMP_FILTER_FLAG_LOG\"",
		  SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_LOG },
		{ "\"SECCOMP_FILTER_FLAG_TSYNC\"", 0 },
		{ "\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"", 0 },
	};
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *json = xasprintf(
		    "\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[%s]", cases[i].flags);
		_cleanup_(seccomp_filter_freep) struct seccomp_filter *filter = NULL;

		CHECK_OK(compile(json, &filter, &error), &error);
		CHECK_INT(filter->flags, cases[i].wanted);
	}
}

static const struct test_case cases[] = {
	{ "newer calls", test_newer_calls },
	{ "newest of each architecture", test_newest_of_each_architecture },
	{ "architectures", test_architectures },
	{ "permissive defaults", test_permissive_defaults },
	{ "flags", test_flags },
};

int main(int argc, char **argv)
{
#ifndef HAVE_SECCOMP
	test_skip("built with --disable-seccomp");
#endif
	return test_main(argc, argv, cases, ARRAY_SIZE(cases));
}
