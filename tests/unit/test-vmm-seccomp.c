/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/seccomp: a device's system calls are allowed where there is such a device, and to the
 * kinds of thread that make them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/unit/test.h"
#include "vmm/device.h"
#include "vmm/seccomp.h"

#define NO_DEVICE VM_DEVICE_TYPES

/* One call, with arguments that do nothing. */
struct attempt {
	long number;
	unsigned long arguments[6];
};

static const struct attempt nothing = { SYS_getpid, { 0 } };
static const struct attempt discards = { SYS_fallocate, { -1UL } };
static const struct attempt writes_blocks = { SYS_pwritev, { -1UL } };
static const struct attempt makes_unix_socket = { SYS_socket, { AF_UNIX, SOCK_STREAM } };
static const struct attempt makes_inet_socket = { SYS_socket, { AF_INET, SOCK_STREAM } };
static const struct attempt removes = { SYS_unlink, { (unsigned long)"/no/such/file" } };
static const struct attempt opens = { SYS_openat, { -1UL, (unsigned long)"x", O_RDONLY } };
static const struct attempt opens_path = { SYS_openat, { -1UL, (unsigned long)"x", O_PATH } };
static const struct attempt makes_directory = { SYS_mkdirat, { -1UL, (unsigned long)"x" } };
/* What the server of shares never asks for. */
static const struct attempt opens_all = {
	SYS_openat, { -1UL, (unsigned long)"x", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK }
};
static const struct attempt creates = {
	SYS_openat,
	{ -1UL, (unsigned long)"x",
	  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644 }
};
static const struct attempt creates_or_opens = {
	SYS_openat,
	{ -1UL, (unsigned long)"x", O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644 }
};
static const struct attempt makes_pipe = { SYS_mknodat,
					   { -1UL, (unsigned long)"x", S_IFIFO | 0644 } };
static const struct attempt makes_link = { SYS_mknodat,
					   { -1UL, (unsigned long)"x", S_IFLNK | 0644 } };
static const struct attempt changes_directory = { SYS_chdir, { (unsigned long)"/" } };
static const struct attempt collapses = { SYS_fallocate, { -1UL, FALLOC_FL_COLLAPSE_RANGE } };
static const struct attempt keeps_ids = { SYS_prctl,
					  { PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP } };
static const struct attempt locks_bits = { SYS_prctl, { PR_SET_SECUREBITS, SECBIT_NOROOT } };
static const struct attempt waits_for_lock = { SYS_flock, { -1UL, LOCK_EX } };
static const struct attempt adds_seal = { SYS_fcntl, { -1UL, F_ADD_SEALS, 0 } };
static const struct attempt runs_program = { SYS_execve, { 0 } };

static void __attribute__((noreturn))
enter_and_try(enum vm_device_type type, enum seccomp_kind kind, const struct attempt *attempt)
{
	const struct seccomp_call *lists[2 * VM_DEVICE_TYPES];
	struct vm_config *config = vm_config_new();
	size_t n;

	/* A second one needs no more. */
	for (int i = 0; i < 2 && type != NO_DEVICE; i++)
		(void)vm_config_add(config, type);
	n = device_calls(config, lists);
	/* Two devices may need the same. */
	n += device_calls(config, &lists[n]);
	if (seccomp_prepare(lists, n, NULL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    (kind == SECCOMP_VCPU && seccomp_enter(SECCOMP_LOOP, NULL) < 0) ||
	    seccomp_enter(kind, NULL) < 0)
		_exit(1);
	(void)syscall(attempt->number, attempt->arguments[0], attempt->arguments[1],
		      attempt->arguments[2], attempt->arguments[3], attempt->arguments[4],
		      attempt->arguments[5]);
	_exit(0);
}

static bool is_allowed(enum vm_device_type type, enum seccomp_kind kind,
		       const struct attempt *attempt)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		enter_and_try(type, kind, attempt);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS));
	return status == 0;
}

static void test_calls(void)
{
	static const struct {
		enum vm_device_type type;
		enum seccomp_kind kind;
		const struct attempt *attempt;
		bool allowed;
	} cases[] = {
		{ NO_DEVICE, SECCOMP_LOOP, &nothing, true },
		{ NO_DEVICE, SECCOMP_LOOP, &discards, false },
		{ NO_DEVICE, SECCOMP_LOOP, &makes_unix_socket, false },
		{ NO_DEVICE, SECCOMP_LOOP, &removes, false },
		{ NO_DEVICE, SECCOMP_LOOP, &opens_path, false },
		{ NO_DEVICE, SECCOMP_SHARE, &makes_directory, false },
		{ VM_DEVICE_BLK, SECCOMP_LOOP, &discards, true },
		{ VM_DEVICE_BLK, SECCOMP_VCPU, &discards, true },
		{ VM_DEVICE_BLK, SECCOMP_VCPU, &writes_blocks, true },
		{ VM_DEVICE_BLK, SECCOMP_LOOP, &makes_unix_socket, false },
		{ VM_DEVICE_BLK, SECCOMP_SHARE, &discards, false },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &makes_unix_socket, true },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &removes, true },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &opens_path, true },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &opens, false },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &makes_inet_socket, false },
		{ VM_DEVICE_VSOCK, SECCOMP_VCPU, &makes_unix_socket, false },
		{ VM_DEVICE_VSOCK, SECCOMP_LOOP, &discards, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &makes_directory, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &opens, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &opens_all, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &creates, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &creates_or_opens, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &makes_pipe, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &makes_link, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &changes_directory, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &collapses, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &keeps_ids, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &locks_bits, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &waits_for_lock, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &adds_seal, false },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &discards, true },
		{ VM_DEVICE_FS, SECCOMP_SHARE, &makes_unix_socket, false },
		{ VM_DEVICE_FS, SECCOMP_LOOP, &makes_directory, false },
		{ VM_DEVICE_FS, SECCOMP_LOOP, &discards, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (is_allowed(cases[i].type, cases[i].kind, cases[i].attempt) != cases[i].allowed)
			test_fail(__FILE__, __LINE__, "case %zu: must %sbe allowed", i,
				  cases[i].allowed ? "" : "not ");
}

/* No device's list opens a door that is nobody's. */
static void test_nobody(void)
{
	for (enum vm_device_type type = 0; type <= NO_DEVICE; type++)
		for (int kind = 0; kind <= SECCOMP_SHARE; kind++)
			CHECK(!is_allowed(type, (enum seccomp_kind)kind, &runs_program));
}

static const struct test_case cases[] = {
	{ "calls", test_calls },
	{ "nobody's", test_nobody },
};

int main(int argc, char **argv)
{
#if !defined(HAVE_SECCOMP) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	test_skip("built without filters");
#endif
	return test_main(argc, argv, cases, ARRAY_SIZE(cases));
}
