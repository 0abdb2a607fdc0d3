/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a thread of another process make one system call, as an attacker who has taken it
 * over would, under its own filter; then it goes on as if nothing had happened. For lab tests.
 *
 * usage: inject TID CALL [ARGUMENT…]
 *   CALL      one of names[]
 *   ARGUMENT  a number (0x…, decimal, negative), or "s:TEXT": the address of that text, "a:PATH":
 * of a unix socket's address, "h:HEX": of those bytes
 *
 * Prints "filter: killed" or "filter: ERRNO" where the filter does not let the call pass, which it
 * is asked before (nothing is made then); else what the call returned: a number that is not
 * negative, or "-ENAME".
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"

#define ARGUMENTS_MAX 6
#define TEXTS_MAX 2048
/* Below what a function may use without moving the stack pointer. */
#define RED_ZONE 512

static const struct {
	const char *name;
	long number;
} names[] = {
	{ "openat", SYS_openat },
	{ "open_by_handle_at", SYS_open_by_handle_at },
	{ "socket", SYS_socket },
	{ "connect", SYS_connect },
	{ "close", SYS_close },
	{ "kill", SYS_kill },
	{ "tgkill", SYS_tgkill },
	{ "fcntl", SYS_fcntl },
	{ "ptrace", SYS_ptrace },
	{ "execve", SYS_execve },
	{ "mount", SYS_mount },
	{ "setns", SYS_setns },
	{ "unshare", SYS_unshare },
	{ "prlimit64", SYS_prlimit64 },
	{ "process_vm_writev", SYS_process_vm_writev },
	{ "getpid", SYS_getpid },
	{ "mknodat", SYS_mknodat },
	{ "chdir", SYS_chdir },
	{ "chmod", SYS_chmod },
	{ "landlock_create_ruleset", SYS_landlock_create_ruleset },
	{ "fallocate", SYS_fallocate },
	{ "flock", SYS_flock },
	{ "prctl", SYS_prctl },
	{ "bpf", SYS_bpf },
	{ "io_uring_setup", SYS_io_uring_setup },
};

struct call {
	uint64_t number;
	uint64_t arguments[ARGUMENTS_MAX];
	uint8_t texts[TEXTS_MAX];
	size_t n_texts;
	uint64_t is_text; /* of which arguments: an offset in texts */
};

static void die(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- the call ---- */

static void add_text(struct call *call, size_t index, const void *bytes, size_t size)
{
	if (size > TEXTS_MAX - call->n_texts) {
		errno = E2BIG;
		die("arguments");
	}
	memcpy(call->texts + call->n_texts, bytes, size);
	call->arguments[index] = call->n_texts;
	call->is_text |= 1U << index;
	call->n_texts += (size + 7) & ~(size_t)7;
}

static void add_hex(struct call *call, size_t index, const char *hex)
{
	uint8_t bytes[256];
	size_t n = 0;

	for (; hex[0] && hex[1] && n < sizeof(bytes); hex += 2) {
		const char digits[] = { hex[0], hex[1], '\0' };

		bytes[n++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	add_text(call, index, bytes, n);
}

static void parse_argument(struct call *call, size_t index, const char *text)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strncmp(text, "s:", 2) == 0) {
		add_text(call, index, text + 2, strlen(text + 2) + 1);
	} else if (strncmp(text, "a:", 2) == 0) {
		(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", text + 2);
		add_text(call, index, &address, sizeof(address));
	} else if (strncmp(text, "h:", 2) == 0) {
		add_hex(call, index, text + 2);
	} else {
		call->arguments[index] = strtoull(text, NULL, 0);
	}
}

static void parse(int argc, char **argv, struct call *call)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i].name, argv[2]) != 0)
		i++;
	errno = EINVAL;
	if (i == ARRAY_SIZE(names))
		die(argv[2]);
	call->number = (uint64_t)names[i].number;
	for (int k = 3; k < argc; k++)
		parse_argument(call, (size_t)k - 3, argv[k]);
}

/* ---- the filters ---- */

static uint32_t word_at(const struct seccomp_data *data, uint32_t offset)
{
	uint32_t word = 0;

	if (offset <= sizeof(*data) - sizeof(word))
		memcpy(&word, (const uint8_t *)data + offset, sizeof(word));
	return word;
}

static bool jumps(const struct sock_filter *step, uint32_t a, uint32_t x)
{
	const uint32_t with = BPF_SRC(step->code) == BPF_X ? x : step->k;

	switch (BPF_OP(step->code)) {
	case BPF_JEQ:
		return a == with;
	case BPF_JGT:
		return a > with;
	case BPF_JGE:
		return a >= with;
	default:
		return a & with;
	}
}

/* What libseccomp writes of the classic BPF (Linux, Documentation/networking/filter.rst). */
static uint32_t evaluate(const struct sock_filter *filter, size_t n,
			 const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *step = &filter[i];

		switch (BPF_CLASS(step->code)) {
		case BPF_LD:
			a = BPF_MODE(step->code) == BPF_MEM   ? memory[step->k % BPF_MEMWORDS]
			    : BPF_MODE(step->code) == BPF_IMM ? step->k
							      : word_at(data, step->k);
			break;
		case BPF_ST:
			memory[step->k % BPF_MEMWORDS] = a;
			break;
		case BPF_ALU:
			if (BPF_OP(step->code) != BPF_AND)
				die("unknown instruction in a filter");
			a &= BPF_SRC(step->code) == BPF_X ? x : step->k;
			break;
		case BPF_MISC:
			if (BPF_MISCOP(step->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		case BPF_JMP:
			if (BPF_OP(step->code) == BPF_JA)
				i += step->k;
			else
				i += jumps(step, a, x) ? step->jt : step->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(step->code) == BPF_A ? a : step->k;
		default:
			die("unknown instruction in a filter");
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* The strictest verdict of all filters of the thread, which is stopped. */
static uint32_t ask_filters(pid_t tid, const struct call *call)
{
	struct seccomp_data data = { .nr = (int)call->number, .arch = AUDIT_ARCH_X86_64 };
	static struct sock_filter filter[BPF_MAXINSNS];
	uint32_t verdict = SECCOMP_RET_ALLOW;

	memcpy(data.args, call->arguments, sizeof(data.args));
	for (long i = 0;; i++) {
		long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i, filter);
		uint32_t one;

		if (n < 0 && (errno == ENOENT || errno == EINVAL))
			return verdict;
		if (n < 0)
			die("cannot read a filter");
		one = evaluate(filter, (size_t)n, &data);
		if ((int32_t)(one & SECCOMP_RET_ACTION_FULL) <
		    (int32_t)(verdict & SECCOMP_RET_ACTION_FULL))
			verdict = one;
	}
}

static bool tell_verdict(uint32_t verdict)
{
	const uint32_t action = verdict & SECCOMP_RET_ACTION_FULL;

	if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG)
		return false;
	if (action == SECCOMP_RET_ERRNO)
		printf("filter: %s\n", strerrorname_np((int)(verdict & SECCOMP_RET_DATA)));
	else
		puts("filter: killed");
	return true;
}

/* ---- the thread ---- */

static void wait_stop(pid_t tid)
{
	int status = 0;

	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) {
		puts("died");
		exit(0);
	}
}

static void copy(pid_t tid, void *ours, uint64_t theirs, size_t size, bool write_it)
{
	const struct iovec local = { ours, size }, remote = { (void *)(uintptr_t)theirs, size };
	ssize_t n = write_it ? process_vm_writev(tid, &local, 1, &remote, 1, 0)
			     : process_vm_readv(tid, &local, 1, &remote, 1, 0);

	if (n != (ssize_t)size)
		die("cannot reach the thread's memory");
}

/* The thread is stopped in a system call, whose instruction is used once more. */
static long make(pid_t tid, struct call *call)
{
	struct user_regs_struct saved, regs;
	static const uint8_t syscall_instruction[] = { 0x0f, 0x05 };
	uint8_t code[sizeof(syscall_instruction)];
	uint64_t texts;
	long result;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &saved) < 0)
		die("PTRACE_GETREGS");
	texts = (saved.rsp - RED_ZONE - TEXTS_MAX) & ~15ULL;
	copy(tid, call->texts, texts, call->n_texts, true);
	for (size_t i = 0; i < ARGUMENTS_MAX; i++)
		if (call->is_text & 1U << i)
			call->arguments[i] += texts;
	copy(tid, code, saved.rip - sizeof(code), sizeof(code), false);
	errno = EAGAIN;
	if (memcmp(code, syscall_instruction, sizeof(code)) != 0)
		die("the thread is not in a system call");
	regs = saved;
	regs.rip -= sizeof(code);
	regs.orig_rax = UINT64_MAX; /* not a call to be begun anew */
	regs.rax = call->number;
	regs.rdi = call->arguments[0];
	regs.rsi = call->arguments[1];
	regs.rdx = call->arguments[2];
	regs.r10 = call->arguments[3];
	regs.r8 = call->arguments[4];
	regs.r9 = call->arguments[5];
	if (ptrace(PTRACE_SETREGS, tid, NULL, &regs) < 0 ||
	    ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) < 0)
		die("PTRACE_SINGLESTEP");
	wait_stop(tid);
	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
		die("PTRACE_GETREGS");
	result = (long)regs.rax;
	if (ptrace(PTRACE_SETREGS, tid, NULL, &saved) < 0)
		die("PTRACE_SETREGS");
	return result;
}

int main(int argc, char **argv)
{
	struct call call = { 0 };
	pid_t tid;
	long result;

	if (argc < 3 || argc > 3 + ARGUMENTS_MAX) {
		fputs("usage: inject TID CALL [ARGUMENT…]\n", stderr);
		return 2;
	}
	tid = (pid_t)strtol(argv[1], NULL, 10);
	parse(argc, argv, &call);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ||
	    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		die("PTRACE_SEIZE");
	wait_stop(tid);
	if (!tell_verdict(ask_filters(tid, &call))) {
		result = make(tid, &call);
		if (result < 0 && result > -4096)
			printf("-%s\n", strerrorname_np((int)-result));
		else
			printf("%ld\n", result);
	}
	if (ptrace(PTRACE_DETACH, tid, NULL, NULL) < 0)
		die("PTRACE_DETACH");
	return 0;
}
