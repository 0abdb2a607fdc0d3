/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command in which one system call of one of our programs fails, as it may on a host
 * that is short of something. For lab tests.
 *
 * usage: fail-call PROGRAM ERROR N [SECONDS] -- COMMAND [ARG…]
 *
 * The N-th call of processes that run PROGRAM (the base name of /proc/PID/exe) that can fail
 * with ERROR (ENOSPC, EMFILE, ENOMEM, EIO) does so, in whatever process below COMMAND it comes;
 * all others are let through. With N 0 none fails. It waits for COMMAND and for whatever it
 * leaves behind, SECONDS (30) after COMMAND's end at most, and prints:
 *   failed PROGRAM CALL(PATH)   which one it was
 *   calls COUNT                 how many there were
 *   status STATUS               COMMAND's, as a shell has it
 *   died PROGRAM SIGNAL         some process of any program by a signal that means a crash
 *   left PROGRAM                a process that had to be killed
 *
 * Done by seccomp's user notification, which a filter of the program's own does not disturb and
 * which needs no library in it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

/* What a call's first or second argument must be for it to count. */
enum about {
	ANYTHING,
	FILE_0, /* a descriptor of a file */
	PATH_0, /* a path, to be printed */
	PATH_1,
	DUPLICATE, /* fcntl(2) that makes a descriptor */
	ADDITION,  /* epoll_ctl(2) that adds one */
};

#define SPACE 1
#define FILES 2
#define MEMORY 4
#define IO 8

static const struct call {
	int number, errors;
	const char *name;
	enum about about;
} calls[] = {
#define CALL(name, errors, about)                                                                  \
	{                                                                                          \
		__NR_##name, errors, #name, about                                                  \
	}
	CALL(openat, SPACE | FILES | MEMORY | IO, PATH_1),
	CALL(open, SPACE | FILES | MEMORY | IO, PATH_0),
	CALL(open_tree, FILES | MEMORY, PATH_1),
	CALL(openat2, FILES | MEMORY | IO, PATH_1),
	CALL(socket, FILES | MEMORY, ANYTHING),
	CALL(socketpair, FILES | MEMORY, ANYTHING),
	CALL(pipe, FILES, ANYTHING),
	CALL(pipe2, FILES, ANYTHING),
	CALL(dup, FILES, ANYTHING),
	CALL(fcntl, FILES, DUPLICATE),
	CALL(accept, FILES | MEMORY, ANYTHING),
	CALL(accept4, FILES | MEMORY, ANYTHING),
	CALL(eventfd2, FILES | MEMORY, ANYTHING),
	CALL(epoll_create1, FILES | MEMORY, ANYTHING),
	CALL(epoll_ctl, SPACE | MEMORY, ADDITION),
	CALL(timerfd_create, FILES | MEMORY, ANYTHING),
	CALL(signalfd4, FILES | MEMORY, ANYTHING),
	CALL(memfd_create, FILES | MEMORY, ANYTHING),
	CALL(pidfd_open, FILES | MEMORY, ANYTHING),
	CALL(bind, SPACE | MEMORY, ANYTHING),
	CALL(connect, MEMORY, ANYTHING),
	CALL(sendto, MEMORY, ANYTHING),
	CALL(mmap, MEMORY, ANYTHING),
	CALL(mprotect, MEMORY, ANYTHING),
	CALL(mremap, MEMORY, ANYTHING),
	CALL(clone, MEMORY, ANYTHING),
	CALL(fork, MEMORY, ANYTHING),
	CALL(vfork, MEMORY, ANYTHING),
	CALL(execve, MEMORY | IO, PATH_0),
	CALL(unshare, SPACE | MEMORY, ANYTHING),
	CALL(setns, MEMORY, ANYTHING),
	CALL(mount, SPACE | MEMORY | IO, PATH_1),
	CALL(move_mount, MEMORY, ANYTHING),
	CALL(mount_setattr, MEMORY, ANYTHING),
	CALL(pivot_root, MEMORY, ANYTHING),
	CALL(seccomp, MEMORY, ANYTHING),
	CALL(mkdir, SPACE | MEMORY | IO, PATH_0),
	CALL(mkdirat, SPACE | MEMORY | IO, PATH_1),
	CALL(mknodat, SPACE | MEMORY | IO, PATH_1),
	CALL(symlinkat, SPACE | IO, ANYTHING),
	CALL(linkat, SPACE | IO, PATH_1),
	CALL(rename, SPACE | IO, PATH_0),
	CALL(renameat, SPACE | IO, PATH_1),
	CALL(renameat2, SPACE | IO, PATH_1),
	CALL(unlink, IO, PATH_0),
	CALL(unlinkat, IO, PATH_1),
	CALL(rmdir, IO, PATH_0),
	CALL(readlink, IO, PATH_0),
	CALL(readlinkat, IO, PATH_1),
	CALL(newfstatat, MEMORY | IO, PATH_1),
	CALL(statx, MEMORY | IO, PATH_1),
	CALL(getdents64, IO, ANYTHING),
	CALL(flock, MEMORY, FILE_0),
	CALL(read, IO, FILE_0),
	CALL(pread64, IO, FILE_0),
	CALL(write, SPACE | IO, FILE_0),
	CALL(writev, SPACE | IO, FILE_0),
	CALL(pwrite64, SPACE | IO, FILE_0),
	CALL(ftruncate, SPACE | IO, FILE_0),
	CALL(fallocate, SPACE | IO, FILE_0),
	CALL(fsync, SPACE | IO, FILE_0),
	CALL(sendfile, SPACE | IO, ANYTHING),
	CALL(copy_file_range, SPACE | IO, ANYTHING),
};

static const struct {
	const char *name;
	int bit, code;
} errors[] = {
	{ "ENOSPC", SPACE, ENOSPC },
	{ "EMFILE", FILES, EMFILE },
	{ "ENOMEM", MEMORY, ENOMEM },
	{ "EIO", IO, EIO },
};

struct run {
	const char *program;
	int bit, code;
	unsigned long nth, count;
	uint64_t wait_ms, deadline; /* deadline 0: COMMAND runs */
	pid_t command;
	int status, listener;
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "fail-call: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int install(int bit)
{
	struct sock_filter code[ARRAY_SIZE(calls) + 4];
	struct sock_fprog program = { .filter = code };
	unsigned short n = 0, n_calls = 0;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		n_calls = (unsigned short)(n_calls + ((calls[i].errors & bit) != 0));
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].errors & bit)
			code[n++] = (struct sock_filter)BPF_JUMP(
			    BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, n_calls--, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	program.len = n;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

static void start(struct run *run, char **argv)
{
	int sockets[2], fds[FD_PASS_MAX], listener;
	size_t n_fds = 0;
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		die("socketpair");
	run->command = fork();
	if (run->command == 0) {
		listener = install(run->bit);
		if (listener < 0 || send_with_fds(sockets[1], &byte, 1, &listener, 1) < 0)
			die("seccomp");
		(void)close(listener);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	(void)close(sockets[1]);
	if (run->command < 0 || recv_with_fds(sockets[0], &byte, 1, fds, &n_fds) != 1 || n_fds != 1)
		die("cannot start");
	(void)close(sockets[0]);
	run->listener = fds[0];
}

/* The base name of what a process or thread runs; "?" if it has ended. */
static const char *program_of(pid_t pid, char path[4096])
{
	char link[64];
	ssize_t n;
	char *slash;

	(void)snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, path, 4095);
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	return slash ? slash + 1 : "?";
}

/* Also of one that has ended and was not waited for. */
static void name_of(pid_t pid, char name[32])
{
	char path[64];
	_cleanup_file_ FILE *file = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%31s", name) != 1)
		(void)strcpy(name, "?");
}

static bool is_file(pid_t pid, uint64_t fd)
{
	char link[64], path[8];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, (int)fd);
	n = readlink(link, path, sizeof(path));
	return n > 0 && path[0] == '/' && strncmp(path, "/dev/", 5) != 0;
}

static bool counts(const struct call *call, const struct seccomp_notif *request)
{
	const uint64_t *args = (const uint64_t *)request->data.args;

	if (call->about == FILE_0)
		return is_file((pid_t)request->pid, args[0]);
	if (call->about == DUPLICATE)
		return args[1] == F_DUPFD || args[1] == F_DUPFD_CLOEXEC;
	if (call->about == ADDITION)
		return args[1] == EPOLL_CTL_ADD;
	return true;
}

static void tell(const struct run *run, const struct call *call,
		 const struct seccomp_notif *request)
{
	char path[128] = "";
	struct iovec local = { path, sizeof(path) - 1 }, remote = { NULL, sizeof(path) - 1 };
	const int i = call->about == PATH_0 ? 0 : call->about == PATH_1 ? 1 : -1;

	if (i >= 0) {
		remote.iov_base = (void *)(uintptr_t)request->data.args[i]; // NOLINT
		/* (Less where the next page is not there.) */
		while (remote.iov_len > 0 &&
		       process_vm_readv((pid_t)request->pid, &local, 1, &remote, 1, 0) < 0)
			remote.iov_len /= 2;
	}
	printf("failed %s %s(%s)\n", run->program, call->name, path);
	(void)fflush(stdout);
}

static void answer(struct run *run)
{
	struct seccomp_notif request = { 0 };
	struct seccomp_notif_resp response = { 0 };
	const struct call *call = NULL;
	char path[4096];

	if (ioctl(run->listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
		return;
	response.id = request.id;
	response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].number == request.data.nr)
			call = &calls[i];
	if (call && strcmp(program_of((pid_t)request.pid, path), run->program) == 0 &&
	    counts(call, &request) && ++run->count == run->nth) {
		tell(run, call, &request);
		response.flags = 0;
		response.error = -run->code;
	}
	(void)ioctl(run->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static bool is_crash(int signal)
{
	return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGILL ||
	       signal == SIGFPE || signal == SIGSYS;
}

/* False: none is left. */
static bool reap(struct run *run)
{
	siginfo_t info = { 0 };
	char name[32];
	int status;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return errno != ECHILD;
		if (info.si_pid == 0)
			return true;
		name_of(info.si_pid, name);
		if (waitpid(info.si_pid, &status, 0) < 0)
			continue;
		if (WIFSIGNALED(status) && is_crash(WTERMSIG(status)))
			printf("died %s %s\n", name, strsignal(WTERMSIG(status)));
		if (info.si_pid == run->command) {
			run->status =
			    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			run->deadline = clock_monotonic_ns() + run->wait_ms * 1000000;
		}
	}
}

/* Children of ours that are left, and theirs when they have become ours. */
static void kill_children(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[4096];

	while (dir && (entry = readdir(dir))) {
		const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		_cleanup_free_ char *stat = pid > 0 ? xasprintf("/proc/%d/stat", pid) : NULL;
		_cleanup_file_ FILE *file = stat ? fopen(stat, "re") : NULL;
		int parent;
		char state;

		if (!file || fscanf(file, "%*d %*s %c %d", &state, &parent) != 2 ||
		    parent != getpid() || state == 'Z')
			continue;
		printf("left %s\n", program_of(pid, path));
		(void)kill(pid, SIGKILL);
	}
}

static void supervise(struct run *run)
{
	struct pollfd poll_fd = { .fd = run->listener, .events = POLLIN };

	while (reap(run)) {
		if (run->deadline != 0 && clock_monotonic_ns() > run->deadline)
			kill_children();
		if (poll(&poll_fd, 1, 20) > 0 && (poll_fd.revents & POLLIN))
			answer(run);
		else if (poll_fd.revents & POLLHUP)
			poll_fd.fd = -1;
	}
}

int main(int argc, char **argv)
{
	struct run run = { .wait_ms = 30000 };
	int at = 4;

	if (argc < 6)
		return 125;
	run.program = argv[1];
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (strcmp(errors[i].name, argv[2]) == 0) {
			run.bit = errors[i].bit;
			run.code = errors[i].code;
		}
	run.nth = strtoul(argv[3], NULL, 10);
	if (strcmp(argv[at], "--") != 0)
		run.wait_ms = strtoul(argv[at++], NULL, 10) * 1000;
	if (run.bit == 0 || at + 1 >= argc || strcmp(argv[at], "--") != 0)
		return 125;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		die("prctl");
	start(&run, argv + at + 1);
	supervise(&run);
	printf("calls %lu\nstatus %d\n", run.count, run.status);
	return 0;
}
