/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: see qemu-keeper.h.
 *
 *   VMM ──fork──► keeper: namespaces ──fork──► QEMU: user, no capabilities, filter, exec
 *    │               │                           │ reads its libraries and firmware, opens
 *    │               │◄── monitor answers ───────┤ its descriptors, does not run the guest
 *    ├── CONFINE ───►│ pivot_root: QEMU's root, which is also ours, is an empty directory
 *    │◄─ CONFINED ───┤ and drops what it needed for that
 *    ├── "cont" ─────┼──────────────────────────►│
 *    │◄─ ENDED ──────┤◄── exit ──────────────────┘
 *
 * pivot_root(2) changes the root of every process that has the old one, so QEMU needs no privilege
 * to lose the host's files, and nothing has to be known of which files it reads while it starts.
 *
 * Without privileges of the host, a user namespace gives those over QEMU's other namespaces,
 * where the kernel lets everybody make one; else QEMU keeps the caller's root and namespaces.
 */
#include "vmm/qemu/qemu-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "vmm/jail.h"

/* Beside vCPUs: the loop, RCU, those that read and write files. */
#define QEMU_THREADS_MAX 192
#define QEMU_FILES_MAX 1024

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* ---- QEMU ---- */

static bool has_ended(int pidfd)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) != 0;
}

/* The kernel ends us with our parent, however that ends; which may be anybody's. */
static int tie_to(int parent_pidfd, const char *parent, struct error **ret_error)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set PR_SET_PDEATHSIG");
	if (has_ended(parent_pidfd))
		return error_set(ret_error, ESRCH, "%s ended while QEMU was started", parent);
	return 0;
}

static int place_fds(const struct qemu_command *command, struct error **ret_error)
{
	int null_fd = open("/dev/null", O_RDONLY), log_fd = command->log_fd;

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 ||
	    close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot set up QEMU's descriptors");
	for (size_t i = 0; i < command->n_fds; i++)
		if (set_cloexec(command->fds[i], false) < 0)
			return error_set_errno(ret_error, errno, "descriptor %d of QEMU",
					       command->fds[i]);
	return 0;
}

/* Capabilities stay for the moment, so that the bounding set can be dropped too. */
static int become(uid_t user, struct error **ret_error)
{
	const struct rlimit threads = { QEMU_THREADS_MAX, QEMU_THREADS_MAX };
	const struct rlimit files = { QEMU_FILES_MAX, QEMU_FILES_MAX };

	if (setrlimit(RLIMIT_NOFILE, &files) < 0 && errno != EPERM)
		return error_set_errno(ret_error, errno, "cannot set RLIMIT_NOFILE of QEMU");
	if (user == 0)
		return 0;
	if (setrlimit(RLIMIT_NPROC, &threads) < 0)
		return error_set_errno(ret_error, errno, "cannot set RLIMIT_NPROC of QEMU");
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
	    setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
	    setresuid(user, user, user) < 0)
		return error_set_errno(ret_error, errno, "cannot become user %u for QEMU", user);
	return 0;
}

static void __attribute__((noreturn)) run_qemu(const struct qemu_keeper *keeper, int pidfd)
{
	const struct qemu_command *command = keeper->command;
	_cleanup_error_ struct error *error = NULL;

	child_reset_signals();
	if (place_fds(command, &error) == 0 && become(keeper->user, &error) == 0 &&
	    jail_drop_privileges(&error) == 0 && tie_to(pidfd, "its keeper", &error) == 0 &&
	    seccomp_deny_outside(&error) == 0) {
		execv(command->arguments[0], command->arguments);
		(void)error_set_errno(&error, errno, "cannot run %s as user %u",
				      command->arguments[0], geteuid());
	}
	log_error("%s", error->message);
	_exit(127);
}

/* ---- namespaces ---- */

/* In a user namespace: the caller is its root. */
static int map_ids(uid_t user, gid_t group)
{
	char map[32];

	(void)snprintf(map, sizeof(map), "0 %u 1", user);
	if (write_file("/proc/self/uid_map", map, NULL) < 0 ||
	    write_file("/proc/self/setgroups", "deny", NULL) < 0)
		return -1;
	(void)snprintf(map, sizeof(map), "0 %u 1", group);
	return write_file("/proc/self/gid_map", map, NULL);
}

static int pivot(const char *what, struct error **ret_error)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set_errno(ret_error, errno, "cannot make %s QEMU's root", what);
	return 0;
}

static uint64_t mount_of(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) < 0 ? 0 : st.stx_mnt_id;
}

/* Where the VMM has a staging area (host/stage.h), QEMU's copy of it would keep what the
 * sandbox unmounts: the host's root alone stays. */
static int leave_stage(struct error **ret_error)
{
	_cleanup_close_ int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	const uint64_t mount = mount_of("/");

	/* Its root becomes ours. */
	if (host < 0 || own < 0 || setns(own, CLONE_NEWNS) < 0)
		return error_set_errno(ret_error, errno, "cannot find the root of QEMU's mounts");
	if (mount_of("/") == mount)
		return 0;
	/* What covers that root comes off first: pivot_root(2) goes by what is reachable. */
	if (umount2("/", MNT_DETACH) < 0 || setns(own, CLONE_NEWNS) < 0 || fchdir(host) < 0)
		return error_set_errno(ret_error, errno, "cannot leave the staging area");
	return pivot("the host's root", ret_error);
}

/* *ret_whole: QEMU's root can be taken away. */
static int make_namespaces(bool *ret_whole, struct error **ret_error)
{
	const uid_t user = geteuid();
	const gid_t group = getegid();

	*ret_whole = unshare(NAMESPACES) == 0;
	if (!*ret_whole && errno == EPERM)
		*ret_whole = unshare(CLONE_NEWUSER | NAMESPACES) == 0 && map_ids(user, group) == 0;
	if (!*ret_whole) {
		log_debug("QEMU has no namespaces of its own: %s", strerror(errno));
		return 0;
	}
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot make QEMU's mounts its own");
	return leave_stage(ret_error);
}

/* An empty directory that nobody can write to. */
static int empty_root(void)
{
	_cleanup_close_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC,
		       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			   MOUNT_ATTR_NOEXEC);
}

/* QEMU's root is ours: both change. */
static int take_files(struct error **ret_error)
{
	_cleanup_close_ int root = empty_root();

	if (root < 0 || move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    fchdir(root) < 0)
		return error_set_errno(ret_error, errno, "cannot mount an empty root for QEMU");
	return pivot("an empty directory", ret_error);
}

/* ---- the keeper ---- */

static void tell(const struct qemu_keeper *keeper, enum qemu_keeper_word word, int code)
{
	const struct qemu_keeper_message message = { .word = word, .code = code };

	(void)send(keeper->control, &message, sizeof(message), MSG_NOSIGNAL);
}

static void confine(const struct qemu_keeper *keeper, bool whole)
{
	static const unsigned kill_it[] = { CAP_KILL };
	_cleanup_error_ struct error *error = NULL;

	if ((!whole || take_files(&error) == 0) &&
	    jail_keep(kill_it, ARRAY_SIZE(kill_it), &error) == 0 &&
	    seccomp_enter_keeper(&error) == 0) {
		tell(keeper, QEMU_KEEPER_CONFINED, 0);
		return;
	}
	log_error("%s", error->message);
	tell(keeper, QEMU_KEEPER_CONFINED, error->code > 0 ? error->code : EIO);
}

/* Until QEMU has ended, or the VMM: then the kernel ends QEMU with us. */
static void watch(const struct qemu_keeper *keeper, int qemu, bool whole)
{
	struct pollfd fds[] = { { .fd = keeper->control, .events = POLLIN },
				{ .fd = qemu, .events = POLLIN } };

	while (!fds[1].revents) {
		struct qemu_keeper_message message;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			_exit(127);
		if (!fds[0].revents)
			continue;
		if (recv(keeper->control, &message, sizeof(message), MSG_DONTWAIT) !=
		    sizeof(message))
			_exit(127);
		if (message.word == QEMU_KEEPER_CONFINE)
			confine(keeper, whole);
		else
			(void)pidfd_send_signal(qemu, SIGKILL, NULL, 0);
	}
}

/* All that is needed is the log, the socket and QEMU itself. */
static void close_others(const struct qemu_keeper *keeper, int *qemu)
{
	const int log_fd = keeper->command->log_fd;

	if (dup2(log_fd, STDERR_FILENO) < 0 || dup2(keeper->control, STDIN_FILENO) < 0 ||
	    dup2(*qemu, STDOUT_FILENO) < 0)
		_exit(127);
	log_set_fd(STDERR_FILENO);
	*qemu = STDOUT_FILENO;
	(void)close_range(STDERR_FILENO + 1, UINT_MAX, 0);
}

void qemu_keeper_run(const struct qemu_keeper *given)
{
	struct qemu_keeper keeper = *given;
	_cleanup_error_ struct error *error = NULL;
	int own = pidfd_open(getpid(), 0), parent = pidfd_open(keeper.parent, 0), qemu, status = 0;
	bool whole;
	pid_t pid;

	/* The file is the parent's, which knows how much is in it. */
	log_set_fd(keeper.command->log_fd);
	/* A terminal's signals are for the VMM. */
	(void)setsid();
	if (tie_to(parent, "the VMM", &error) < 0 || make_namespaces(&whole, &error) < 0) {
		log_error("%s", error->message);
		_exit(127);
	}
	/* Not before: a process that is not dumpable cannot map its ids. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* From where QEMU starts, so that this is what its root takes along. */
	pid = chdir("/") < 0 ? -1 : fork();
	if (pid == 0)
		run_qemu(&keeper, own);
	qemu = pid < 0 ? -1 : pidfd_open(pid, 0);
	if (qemu < 0) {
		log_error("cannot start a process for QEMU: %s", strerror(errno));
		_exit(127);
	}
	close_others(&keeper, &qemu);
	keeper.control = STDIN_FILENO;
	watch(&keeper, qemu, whole);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	tell(&keeper, QEMU_KEEPER_ENDED, status);
	_exit(0);
}
