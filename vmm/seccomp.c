/*
 * System call filters: see seccomp.h.
 *
 * vCPU threads inherit the loop's filter and add their own, so the loop's list
 * holds everything; a vCPU thread (and a disk worker, started from one) may not
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
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

#define LOOP (1U << SECCOMP_LOOP)
#define VCPU (1U << SECCOMP_VCPU)
#define SHARE (1U << SECCOMP_SHARE)
#define BOTH (LOOP | VCPU)
#define ALL (LOOP | VCPU | SHARE)

/* A call, for whom, and under which condition on one argument. */
struct rule {
	int number;
	unsigned kinds;
	bool conditional;
	struct scmp_arg_cmp condition;
};

#define ALLOW(name, kinds)                                                                         \
	{                                                                                          \
		SCMP_SYS(name), (kinds), false,                                                    \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define ALLOW_IF(name, kinds, ...)                                                                 \
	{                                                                                          \
		SCMP_SYS(name), (kinds), true, __VA_ARGS__                                         \
	}
#define ARGUMENT_IS(index, value)                                                                  \
	{                                                                                          \
		(index), SCMP_CMP_EQ, (value), 0                                                   \
	}
#define ARGUMENT_MASKED(index, mask, value)                                                        \
	{                                                                                          \
		(index), SCMP_CMP_MASKED_EQ, (mask), (value)                                       \
	}

/* The most frequent first: filters are tried in this order. */
static const struct rule rules[] = {
	/* running the guest; where it was, for an error message */
	ALLOW_IF(ioctl, BOTH, ARGUMENT_IS(1, KVM_RUN)),
	ALLOW_IF(ioctl, BOTH, ARGUMENT_IS(1, KVM_GET_REGS)),
	/* eventfds (kicks, interrupts), the console, sockets, log lines */
	ALLOW(read, ALL),
	ALLOW(readv, BOTH),
	ALLOW(write, ALL),
	ALLOW(writev, BOTH),
	/* locks, conditions, joining threads */
	ALLOW(futex, ALL),
	/* the loop: waiting, watching; signalfd is read */
	ALLOW(epoll_wait, LOOP | SHARE),
	ALLOW(epoll_pwait, LOOP),
	ALLOW(epoll_ctl, BOTH), /* a queue is handed over at activation, by a vCPU */
	/* a disk worker waits for its kick or its end */
	ALLOW(poll, BOTH),
	ALLOW(ppoll, BOTH),
	/* disks: data, flush, discard, zeroes */
	ALLOW(preadv, ALL),
	ALLOW(preadv2, BOTH),
	ALLOW(pwritev, ALL),
	ALLOW(pwritev2, BOTH),
	ALLOW(pread64, BOTH),
	ALLOW(pwrite64, BOTH),
	ALLOW(fdatasync, ALL),
	ALLOW(fallocate, ALL),
	ALLOW_IF(ioctl, BOTH, ARGUMENT_IS(1, BLKDISCARD)),
	ALLOW_IF(ioctl, BOTH, ARGUMENT_IS(1, BLKZEROOUT)),
	/* rng; the allocator's and the C library's own seeds */
	ALLOW(getrandom, ALL),
	/* vsock and control sockets; new ones are unix sockets only */
	ALLOW_IF(socket, LOOP, ARGUMENT_IS(0, AF_UNIX)),
	ALLOW(connect, LOOP),
	ALLOW(accept4, LOOP),
	ALLOW(shutdown, LOOP),
	ALLOW(sendto, LOOP),
	ALLOW(recvfrom, LOOP),
	ALLOW(sendmsg, LOOP),
	ALLOW(recvmsg, LOOP),
	ALLOW(getsockopt, LOOP),
	/* ... a socket path too long for its address goes through its directory */
	ALLOW_IF(openat, LOOP, ARGUMENT_MASKED(2, O_PATH, O_PATH)),
	/* ... and the path we bound ourselves is removed at the end */
	ALLOW(unlink, LOOP),
	/* vhost-user: kinds and sizes of the files that come with a message (newfstatat
	 * is the C library's fstat), and putting a ring's descriptor into its place */
	ALLOW(fstat, LOOP | SHARE), /* a share: stdio on fdinfo */
	ALLOW_IF(newfstatat, LOOP | SHARE, ARGUMENT_IS(3, AT_EMPTY_PATH)),
	ALLOW(dup3, LOOP),
	/* non-blocking, close-on-exec, seals */
	ALLOW(fcntl, ALL),
	ALLOW(close, ALL),
	/* a worker's stop signal */
	ALLOW(eventfd2, BOTH),
	/* memory: heaps and thread stacks, never executable */
	ALLOW(brk, ALL),
	ALLOW_IF(mmap, ALL, ARGUMENT_MASKED(2, PROT_EXEC, 0)),
	ALLOW_IF(mprotect, ALL, ARGUMENT_MASKED(2, PROT_EXEC, 0)),
	ALLOW(mremap, ALL),
	ALLOW(munmap, ALL),
	ALLOW(madvise, ALL),
	/* threads (not processes): vCPUs by the loop, workers by vCPUs */
	ALLOW_IF(clone, ALL, ARGUMENT_MASKED(0, CLONE_THREAD, CLONE_THREAD)),
	ALLOW(set_robust_list, ALL),
	ALLOW(rseq, ALL),
	ALLOW(rt_sigprocmask, ALL),
	ALLOW(rt_sigreturn, ALL),
	ALLOW_IF(prctl, ALL, ARGUMENT_IS(0, PR_SET_NAME)),
	ALLOW(gettid, ALL),
	ALLOW(getpid, ALL),
	ALLOW(exit, ALL),
	ALLOW(exit_group, ALL),
	ALLOW(restart_syscall, ALL),
	/* kicking vCPUs: one vCPU ends the guest, all leave */
	ALLOW(tgkill, BOTH),
	/* times, where the vDSO cannot tell them */
	ALLOW(clock_gettime, ALL),
	/* a vCPU thread restricts itself further */
	ALLOW_IF(seccomp, LOOP, ARGUMENT_IS(0, SECCOMP_SET_MODE_FILTER)),
	/* a share: files by descriptor and one name, or by handle */
	ALLOW(statx, SHARE),
	ALLOW(openat, SHARE),
	ALLOW(open_by_handle_at, SHARE),
	ALLOW(name_to_handle_at, SHARE),
	ALLOW(sched_yield, SHARE), /* while an inode number changes hands */
	ALLOW(getdents64, SHARE),
	ALLOW(lseek, SHARE),
	ALLOW(readlinkat, SHARE),
	ALLOW(fstatfs, SHARE),
	ALLOW(faccessat2, SHARE),
	ALLOW(fchownat, SHARE),
	ALLOW(chmod, SHARE),
	ALLOW(utimensat, SHARE),
	ALLOW(ftruncate, SHARE),
	ALLOW(mkdirat, SHARE),
	ALLOW(mknodat, SHARE),
	ALLOW(symlinkat, SHARE),
	ALLOW(linkat, SHARE),
	ALLOW(unlinkat, SHARE),
	ALLOW(renameat, SHARE), /* libc, where there are no flags */
	ALLOW(renameat2, SHARE),
	ALLOW(setxattr, SHARE),
	ALLOW(getxattr, SHARE),
	ALLOW(listxattr, SHARE),
	ALLOW(removexattr, SHARE),
	ALLOW(copy_file_range, SHARE),
	ALLOW(fsync, SHARE),
	ALLOW(syncfs, SHARE),
	ALLOW(flock, SHARE),
	/* ... as the guest's user, or without CAP_FSETID */
	ALLOW(setfsuid, SHARE),
	ALLOW(setfsgid, SHARE),
	ALLOW(umask, SHARE),
	ALLOW(geteuid, SHARE),
	ALLOW(getegid, SHARE),
	ALLOW(capget, SHARE),
	ALLOW(capset, SHARE),
	/* ... a new thread gets a working directory of its own */
	ALLOW_IF(unshare, SHARE, ARGUMENT_IS(0, CLONE_FS)),
	ALLOW(chdir, SHARE),
	ALLOW_IF(prctl, SHARE, ARGUMENT_IS(0, PR_SET_SECUREBITS)),
	/* ... waiting for a lock; a reset ends that */
	ALLOW(timerfd_settime, ALL),
	/* dying by a signal, without a core file */
	ALLOW(rt_sigaction, LOOP),
	ALLOW_IF(prctl, LOOP, ARGUMENT_IS(0, PR_SET_DUMPABLE)),
	ALLOW(kill, LOOP),
	/* QEMU is ended and reaped; there is a pidfd of no other process */
	ALLOW(pidfd_send_signal, LOOP),
	ALLOW(wait4, LOOP),
};

static struct sock_fprog filters[SECCOMP_SHARE + 1];

static int add_rules(scmp_filter_ctx context, enum seccomp_kind kind)
{
	int r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 1);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];

		if (!(rule->kinds & 1U << kind))
			continue;
		r = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, rule->number,
					   rule->conditional ? 1 : 0, &rule->condition);
	}
	/* Its flags are in memory, out of a filter's sight: libc falls back to clone(). */
	if (r == 0)
		r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

/* Compiles the filter into an anonymous file and reads it back: libseccomp
 * writes to descriptors only, and its own state is large. */
static int compile(enum seccomp_kind kind, struct sock_fprog *ret_filter, struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
	_cleanup_free_ struct sock_filter *code = NULL;
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
	struct stat st;
	int r = context ? add_rules(context, kind) : -ENOMEM;

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

int seccomp_prepare(struct error **ret_error)
{
	for (int kind = 0; kind <= SECCOMP_SHARE; kind++)
		if (compile((enum seccomp_kind)kind, &filters[kind], ret_error) < 0)
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

void seccomp_done(void)
{
	for (int kind = 0; kind <= SECCOMP_SHARE; kind++) {
		free(filters[kind].filter);
		filters[kind] = (struct sock_fprog){ 0 };
	}
}

#else

int seccomp_prepare(struct error **ret_error)
{
	(void)ret_error;
	return 0;
}

int seccomp_enter(enum seccomp_kind kind, struct error **ret_error)
{
	(void)kind, (void)ret_error;
	return 0;
}

void seccomp_done(void)
{
}

#endif
