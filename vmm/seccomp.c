/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call filters: see seccomp.h.
 *
 * vCPU threads inherit the loop's filter and add their own, so the loop's list
 * holds everything; a vCPU thread (and a device's worker, started from one) may not
 * make or accept connections, open or remove files, or send signals to others.
 * The threads that serve shares are started before the loop's filter is in force
 * and have just their own.
 */
#include "vmm/seccomp.h"

/* A sanitizer's run-time library makes calls of its own. */
#if defined(HAVE_SECCOMP) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"

#define LOOP SECCOMP_BY_LOOP
#define BOTH SECCOMP_BY_BOTH
#define SHARE SECCOMP_BY_SHARE
#define ALL SECCOMP_BY_ALL

/* What every machine needs.  The most frequent first: filters are tried in this order. */
static const struct seccomp_call calls[] = {
	/* running the guest; where it was, for an error message */
	{ SECCOMP_CALL(ioctl, BOTH), SECCOMP_IF_IS(1, KVM_RUN) },
	{ SECCOMP_CALL(ioctl, BOTH), SECCOMP_IF_IS(1, KVM_GET_REGS) },
	/* eventfds (kicks, interrupts), the console, sockets, log lines */
	{ SECCOMP_CALL(read, ALL) },
	{ SECCOMP_CALL(readv, BOTH) },
	{ SECCOMP_CALL(write, ALL) },
	{ SECCOMP_CALL(writev, BOTH) },
	/* locks, conditions, joining threads */
	{ SECCOMP_CALL(futex, ALL) },
	/* the loop, and a share's pool: waiting, watching; signalfd is read */
	{ SECCOMP_CALL(epoll_wait, LOOP | SHARE) },
	{ SECCOMP_CALL(epoll_pwait, LOOP) },
	{ SECCOMP_CALL(epoll_ctl, BOTH) }, /* a queue is handed over at activation, by a vCPU */
	/* a device's worker waits for its kick or its end */
	{ SECCOMP_CALL(poll, BOTH) },
	{ SECCOMP_CALL(ppoll, BOTH) },
	/* where the log begins anew with its end */
	{ SECCOMP_CALL(pread64, ALL) },
	{ SECCOMP_CALL(pwrite64, ALL) },
	{ SECCOMP_CALL(ftruncate, ALL) },
	/* rng; the allocator's and the C library's own seeds */
	{ SECCOMP_CALL(getrandom, ALL) },
	/* control sockets: ours, QEMU's monitor, its devices' */
	{ SECCOMP_CALL(sendto, LOOP) },
	{ SECCOMP_CALL(recvfrom, LOOP) },
	{ SECCOMP_CALL(sendmsg, LOOP) },
	{ SECCOMP_CALL(recvmsg, LOOP) },
	{ SECCOMP_CALL(getsockopt, LOOP) },
	/* vhost-user: kinds and sizes of the files that come with a message (newfstatat
	 * is the C library's fstat), and putting a ring's descriptor into its place */
	{ SECCOMP_CALL(fstat, LOOP) },
	{ SECCOMP_CALL(newfstatat, LOOP), SECCOMP_IF_IS(3, AT_EMPTY_PATH) },
	{ SECCOMP_CALL(dup3, LOOP) },
	/* non-blocking, close-on-exec, copies, seals, locks; nobody is told of input by a signal */
	{ SECCOMP_CALL(fcntl, BOTH), SECCOMP_IF_IS(1, F_GETFD) },
	{ SECCOMP_CALL(fcntl, BOTH), SECCOMP_IF_IS(1, F_SETFD) },
	{ SECCOMP_CALL(fcntl, ALL), SECCOMP_IF_IS(1, F_GETFL) },
	{ SECCOMP_CALL(fcntl, BOTH), SECCOMP_IF_IS(1, F_SETFL) },
	{ SECCOMP_CALL(fcntl, ALL), SECCOMP_IF_IS(1, F_DUPFD_CLOEXEC) },
	{ SECCOMP_CALL(fcntl, BOTH), SECCOMP_IF_IS(1, F_GET_SEALS) },
	{ SECCOMP_CALL(fcntl, BOTH), SECCOMP_IF_IS(1, F_ADD_SEALS) },
	{ SECCOMP_CALL(fcntl, SHARE), SECCOMP_IF_IS(1, F_OFD_SETLK) },
	{ SECCOMP_CALL(fcntl, SHARE), SECCOMP_IF_IS(1, F_OFD_GETLK) },
	{ SECCOMP_CALL(close, ALL) },
	/* a worker's stop signal */
	{ SECCOMP_CALL(eventfd2, BOTH) },
	/* memory: heaps and thread stacks, never executable */
	{ SECCOMP_CALL(brk, ALL) },
	{ SECCOMP_CALL(mmap, ALL), SECCOMP_IF_MASKED(2, PROT_EXEC, 0) },
	{ SECCOMP_CALL(mprotect, ALL), SECCOMP_IF_MASKED(2, PROT_EXEC, 0) },
	{ SECCOMP_CALL(mremap, ALL) },
	{ SECCOMP_CALL(munmap, ALL) },
	{ SECCOMP_CALL(madvise, ALL) },
	/* threads (not processes): vCPUs by the loop, workers by vCPUs */
	{ SECCOMP_CALL(clone, ALL), SECCOMP_IF_MASKED(0, CLONE_THREAD, CLONE_THREAD) },
	{ SECCOMP_CALL(set_robust_list, ALL) },
	{ SECCOMP_CALL(rseq, ALL) },
	{ SECCOMP_CALL(rt_sigprocmask, ALL) },
	{ SECCOMP_CALL(rt_sigreturn, ALL) },
	{ SECCOMP_CALL(prctl, ALL), SECCOMP_IF_IS(0, PR_SET_NAME) },
	{ SECCOMP_CALL(gettid, ALL) },
	{ SECCOMP_CALL(getpid, ALL) },
	{ SECCOMP_CALL(exit, ALL) },
	{ SECCOMP_CALL(exit_group, ALL) },
	{ SECCOMP_CALL(restart_syscall, ALL) },
	/* times, where the vDSO cannot tell them */
	{ SECCOMP_CALL(clock_gettime, ALL) },
	/* a vCPU thread restricts itself further */
	{ SECCOMP_CALL(seccomp, LOOP), SECCOMP_IF_IS(0, SECCOMP_SET_MODE_FILTER) },
	/* timers: the loop's, and a share's while a request waits for a lock */
	{ SECCOMP_CALL(timerfd_settime, ALL) },
	/* dying by a signal, without a core file */
	{ SECCOMP_CALL(rt_sigaction, LOOP) },
	{ SECCOMP_CALL(prctl, LOOP), SECCOMP_IF_IS(0, PR_SET_DUMPABLE) },
	/* QEMU is ended and reaped; there is a pidfd of no other process */
	{ SECCOMP_CALL(pidfd_send_signal, LOOP) },
	{ SECCOMP_CALL(wait4, LOOP) },
	{ 0 },
};

static struct sock_fprog filters[SECCOMP_SHARE + 1];

/* Returns how many. */
static unsigned list_conditions(const struct seccomp_call *call,
				struct scmp_arg_cmp ret_list[ARRAY_SIZE(call->conditions)])
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(call->conditions); i++) {
		const uint64_t mask = call->conditions[i].mask, value = call->conditions[i].value;
		const bool exact = mask == UINT64_MAX;

		if (mask == 0)
			continue;
		ret_list[n++] = (struct scmp_arg_cmp){
			.arg = call->conditions[i].argument,
			.op = exact ? SCMP_CMP_EQ : SCMP_CMP_MASKED_EQ,
			.datum_a = exact ? value : mask,
			.datum_b = exact ? 0 : value,
		};
	}
	return n;
}

static int add_calls(scmp_filter_ctx context, enum seccomp_kind kind,
		     const struct seccomp_call *call)
{
	int r = 0;

	for (; r == 0 && call->kinds; call++) {
		struct scmp_arg_cmp conditions[ARRAY_SIZE(call->conditions)];
		const unsigned n = list_conditions(call, conditions);

		if (call->kinds & 1U << kind)
			r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, call->number, n,
						   conditions);
		/* Two devices may need the same. */
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

/* Of this process alone, whose number the tables cannot know.  Kicking vCPUs: one vCPU ends
 * the guest, all leave; dying by a signal. */
static int add_signals(scmp_filter_ctx context, enum seccomp_kind kind)
{
	const struct scmp_arg_cmp own = { .arg = 0,
					  .op = SCMP_CMP_EQ,
					  .datum_a = (uint64_t)getpid() };
	int r = 0;

	if (kind != SECCOMP_SHARE)
		r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, own);
	if (r == 0 && kind == SECCOMP_LOOP)
		r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, own);
	return r;
}

static int add_lists(scmp_filter_ctx context, enum seccomp_kind kind,
		     const struct seccomp_call *const *lists, size_t n_lists)
{
	int r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 1);

	if (r == 0)
		r = add_calls(context, kind, calls);
	if (r == 0)
		r = add_signals(context, kind);
	for (size_t i = 0; r == 0 && i < n_lists; i++)
		r = add_calls(context, kind, lists[i]);
	/* Its flags are in memory, out of a filter's sight: libc falls back to clone(). */
	if (r == 0)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

/* Compiles the filter into an anonymous file and reads it back: libseccomp
 * writes to descriptors only, and its own state is large. */
static int compile(enum seccomp_kind kind, const struct seccomp_call *const *lists, size_t n_lists,
		   struct sock_fprog *ret_filter, struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	_cleanup_free_ struct sock_filter *code = NULL;
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
	struct stat st;
	int r = context ? add_lists(context, kind, lists, n_lists) : -ENOMEM;

	if (r == 0)
		r = seccomp_export_bpf(context, fd);
	seccomp_release(context);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot make a system call filter");
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot make a system call filter");
	code = xmalloc((size_t)st.st_size);
	if (read_all(fd, code, (size_t)st.st_size) != st.st_size)
		return error_set(ret_error, EIO, "cannot read a system call filter back");
	ret_filter->len = (unsigned short)((size_t)st.st_size / sizeof(*code));
	ret_filter->filter = TAKE_PTR(code);
	return 0;
}

int seccomp_prepare(const struct seccomp_call *const *lists, size_t n_lists,
		    struct error **ret_error)
{
	for (int kind = 0; kind <= SECCOMP_SHARE; kind++)
		if (compile((enum seccomp_kind)kind, lists, n_lists, &filters[kind], ret_error) < 0)
			return -1;
	(void)malloc_trim(0);
	return 0;
}

int seccomp_enter(enum seccomp_kind kind, struct error **ret_error)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filters[kind]) < 0)
		return error_set_errno(ret_error, errno, "cannot set a system call filter");
	return 0;
}

/* ---- a program of others ---- */

static const int outside_calls[] = {
	/* other processes */
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise),
	/* files without a name below the root */
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(chroot),
	SCMP_SYS(pivot_root),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fspick),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsconfig),
	SCMP_SYS(mount_setattr),
	/* namespaces, keys, and what kernels are attacked by */
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
};

static int add_outside(scmp_filter_ctx context)
{
	const struct scmp_arg_cmp not_unix = { .arg = 0, .op = SCMP_CMP_NE, .datum_a = AF_UNIX };
	const struct scmp_arg_cmp new_user =
	    SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER);
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(outside_calls); i++)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), outside_calls[i], 0);
	if (r == 0)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     not_unix);
	if (r == 0)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, new_user);
	/* Its flags are out of sight. */
	if (r == 0)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

int seccomp_deny_outside(struct error **ret_error)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
	int r = context ? add_outside(context) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(context);
	seccomp_release(context);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot set QEMU's system call filter");
	return 0;
}

/* ---- who waits for it ---- */

static const int keeper_calls[] = {
	/* words of the VMM's, and of QEMU's end */
	SCMP_SYS(poll),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	/* there is a pidfd of no other process */
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(wait4),
	SCMP_SYS(exit_group),
	/* a line for the log */
	SCMP_SYS(write),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),
};

int seccomp_enter_keeper(struct error **ret_error)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = context ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keeper_calls); i++)
		r = seccomp_rule_add(context, SCMP_ACT_ALLOW, keeper_calls[i], 0);
	if (r == 0)
		r = seccomp_load(context);
	seccomp_release(context);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot set the keeper's system call filter");
	return 0;
}

#else

int seccomp_deny_outside(struct error **ret_error)
{
	(void)ret_error;
	return 0;
}

int seccomp_enter_keeper(struct error **ret_error)
{
	(void)ret_error;
	return 0;
}

int seccomp_prepare(const struct seccomp_call *const *lists, size_t n_lists,
		    struct error **ret_error)
{
	(void)lists, (void)n_lists, (void)ret_error;
	return 0;
}

int seccomp_enter(enum seccomp_kind kind, struct error **ret_error)
{
	(void)kind, (void)ret_error;
	return 0;
}

#endif
