/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the VMM as an orphan.
 *
 *   server ──fork──► intermediate: enters cgroup and network namespace, makes the staging
 *                        │         area in a mount namespace, opens the volumes, all of it
 *                        │         for the table that the document's numbers come from
 *                        └──fork──► VMM: process 1 of a pid namespace, session of its own,
 *                                   descriptors, exec
 *
 * The intermediate reports the VMM's pid and descriptors over a socketpair and exits;
 * as long as it lives, the pid cannot be reused.  The VMM's end of the same
 * socketpair is close-on-exec: end of file there means that the exec worked, a
 * message means that it did not.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "host/beneath.h"
#include "host/own-namespaces.h"
#include "runtime-spec/cpu-list.h"
#include "sandbox/vmm-parts.h"

#define SPAWN_TEXT_MAX 4096
/* Its cgroup may be frozen at any time. */
#define START_PATIENCE_S 60
#define REAP_PATIENCE_MS 1000
#define REAP_PAUSE_MS 10

enum spawn_step { SPAWN_OK, SPAWN_NETNS, SPAWN_FILES, SPAWN_PIDNS, SPAWN_FORK, SPAWN_EXEC };

struct spawn_report {
	enum spawn_step step;
	int code; /* errno, unless SPAWN_OK */
	pid_t pid;
	struct vmm_file volumes[PLAN_VOLUMES_MAX];
	char text[SPAWN_TEXT_MAX]; /* SPAWN_FILES: what went wrong */
};

static void report(int socket, enum spawn_step step, int code)
{
	struct spawn_report message = { .step = step, .code = code };

	(void)send_with_fds(socket, &message, sizeof(message), NULL, 0);
}

static void report_process(int socket, const struct vmm_process *process)
{
	struct spawn_report message = { .step = SPAWN_OK, .pid = process->pid };
	const int fds[] = { process->pidfd, process->stage_fd };

	memcpy(message.volumes, process->volumes, sizeof(message.volumes));
	(void)send_with_fds(socket, &message, sizeof(message), fds, process->stage_fd < 0 ? 1 : 2);
}

static void report_error(int socket, const struct error *error)
{
	struct spawn_report message = { .step = SPAWN_FILES, .code = error->code };

	(void)snprintf(message.text, sizeof(message.text), "%s", error->message);
	(void)send_with_fds(socket, &message, sizeof(message), NULL, 0);
}

static int set_affinity(const bool named[CPU_NUMBERS_MAX])
{
	_cleanup_free_ cpu_set_t *set = xcalloc(1, CPU_ALLOC_SIZE(CPU_NUMBERS_MAX));

	for (size_t i = 0; i < CPU_NUMBERS_MAX; i++)
		if (named[i])
			CPU_SET_S(i, CPU_ALLOC_SIZE(CPU_NUMBERS_MAX), set);
	return sched_setaffinity(0, CPU_ALLOC_SIZE(CPU_NUMBERS_MAX), set);
}

/* What Linux asks of all threads to come.  The host has these CPUs, but they may be out of bounds
 * for us.  A cpuset holds them there by itself, and can be another one later. */
static int keep_to_cpus(const struct vmm_spawn *spawn, struct error **ret_error)
{
	const char *list = spawn->plan->cpus;
	bool named[CPU_NUMBERS_MAX];

	if (!list)
		return 0;
	(void)cpu_list_parse(list, named);
	if (set_affinity(named) < 0)
		return error_set_errno(ret_error, errno, "cannot run on the CPUs %s of the host",
				       list);
	memset(named, true, sizeof(named));
	if (cgroup_place_has_cpuset(spawn->cgroup))
		(void)set_affinity(named);
	return 0;
}

static void __attribute__((noreturn)) run_vmm(const struct vmm_spawn *spawn, int socket)
{
	const int standard[] = { open("/dev/null", O_RDWR | O_CLOEXEC), spawn->log_fd,
				 spawn->log_fd };
	char config_fd[12];
	char *argv[] = { (char *)"supermachine-vmm", (char *)"--config-fd", config_fd, NULL };
	struct error *error = NULL;

	(void)snprintf(config_fd, sizeof(config_fd), "%d", spawn->config_fd);
	/* Not the server's session: a hang-up of the container's terminal must
	 * not reach the machine. */
	(void)setsid();
	child_reset_signals();
	if (keep_to_cpus(spawn, &error) < 0 ||
	    vm_fds_place(&spawn->fds, standard, &socket, &error) < 0) {
		report_error(socket, error);
		_exit(127);
	}
	own_namespaces_pass_on();
	execv(spawn->program, argv);
	report(socket, SPAWN_EXEC, errno);
	_exit(127);
}

bool vmm_has_namespace(const struct machine_plan *plan)
{
	return plan->share || !own_namespaces_are_needed();
}

/* The one share (id NULL), or the disk of that id. */
static const struct vm_device *find_device(const struct vm_config *config, enum vm_device_type type,
					   const char *id)
{
	size_t i = 0;

	while (i < config->n_devices && (config->devices[i].type != type ||
					 (id && strcmp(config->devices[i].blk.id, id) != 0)))
		i++;
	assert(i < config->n_devices);
	return &config->devices[i];
}

static int open_below(const struct machine_plan *plan, const char *path, const int *field,
		      struct vm_fds *fds, struct error **ret_error)
{
	int fd = beneath_open((const char *const *)plan->within, path, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0 && errno == EXDEV)
		return allow_refuse_path(path, ret_error);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	vm_fds_set(fds, field, fd);
	return 0;
}

/* One that the VMM does not open by itself (struct machine_plan). */
static int open_kernel(const struct machine_plan *plan, struct vm_fds *fds,
		       struct error **ret_error)
{
	const struct vm_config *config = plan->config;

	if (!plan->kernel)
		return 0;
	if (open_below(plan, plan->kernel->image, &config->kernel.fd, fds, ret_error) < 0)
		return -1;
	return plan->kernel->modules
		   ? open_below(plan, plan->kernel->modules,
				&config->initramfs[config->n_initramfs - 1].fd, fds, ret_error)
		   : 0;
}

int vmm_open_directory(const char *directory, struct error **ret_error)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE,
	};
	_cleanup_close_ int fd =
	    open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "cannot enter %s", directory);
	return TAKE_FD(fd);
}

/* Where the VMM finds sockets, whatever its root is; beside a staging area a mount of its own. */
static int enter_directory(const struct vmm_spawn *spawn, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	int result;

	if (vmm_has_namespace(spawn->plan)) {
		fd = vmm_open_directory(spawn->directory, ret_error);
		if (fd < 0)
			return -1;
		result = fchdir(fd);
	} else {
		result = chdir(spawn->directory);
	}
	if (result < 0)
		return error_set_errno(ret_error, errno, "cannot enter %s", spawn->directory);
	return 0;
}

static int open_volume(const struct machine_plan *plan, size_t i, struct vm_fds *fds,
		       struct vmm_file *ret_file, struct error **ret_error)
{
	const struct plan_volume *volume = &plan->volumes[i];
	struct stat st;
	int fd;

	if (volume_open(&volume->volume, machine_plan_within(plan, volume), &fd, ret_error) < 0)
		return -1;
	vm_fds_set(fds, &find_device(plan->config, VM_DEVICE_BLK, volume->serial)->blk.file.fd, fd);
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "%s", volume->volume.source);
	*ret_file = (struct vmm_file){ st.st_dev, st.st_ino };
	return 0;
}

/* Into the process: the staging area's root, or -1, and the volumes. */
static int open_files(const struct vmm_spawn *spawn, struct vm_fds *fds,
		      struct vmm_process *process, struct error **ret_error)
{
	const struct machine_plan *plan = spawn->plan;
	int root_fd = -1, view_fd = -1;

	if (vmm_has_namespace(plan)) {
		if (stage_enter(spawn->stage, &plan->stage, &root_fd, &view_fd, ret_error) < 0)
			return -1;
		vm_fds_set(fds, &plan->config->root_fd, view_fd);
	}
	if (plan->share)
		vm_fds_set(fds, &find_device(plan->config, VM_DEVICE_FS, NULL)->fs.root.fd,
			   root_fd);
	if (open_kernel(plan, fds, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < plan->n_volumes; i++)
		if (open_volume(plan, i, fds, &process->volumes[i], ret_error) < 0)
			return -1;
	if (enter_directory(spawn, ret_error) < 0)
		return -1;
	process->stage_fd = plan->share ? root_fd : -1;
	return 0;
}

/* Processes of the host have no number there, and those that the VMM starts end with it.  Without
 * the privilege, or such namespaces in the kernel, it goes without; where there are merely too
 * many, it does not: the jail would depend on others. */
static int unshare_pids(void)
{
	return unshare(CLONE_NEWPID) < 0 && errno != EPERM && errno != EINVAL ? -1 : 0;
}

static void __attribute__((noreturn))
run_intermediate(const struct vmm_spawn *spawn_by_server, bool in_cgroup, int socket)
{
	struct vmm_spawn spawn = *spawn_by_server;
	struct vmm_process process = { .stage_fd = -1 };
	struct error *error = NULL;

	if (!in_cgroup && cgroup_place_enter(spawn.cgroup, &error) < 0) {
		report_error(socket, error);
		_exit(1);
	}
	if (spawn.netns_fd >= 0 && setns(spawn.netns_fd, CLONE_NEWNET) < 0) {
		report(socket, SPAWN_NETNS, errno);
		_exit(1);
	}
	if (open_files(&spawn, &spawn.fds, &process, &error) < 0) {
		report_error(socket, error);
		_exit(1);
	}
	if (unshare_pids() < 0) {
		report(socket, SPAWN_PIDNS, errno);
		_exit(1);
	}
	process.pid = fork();
	if (process.pid == 0)
		run_vmm(&spawn, socket);
	process.pidfd = process.pid < 0 ? -1 : pidfd_open(process.pid, 0);
	if (process.pidfd < 0) {
		report(socket, SPAWN_FORK, errno);
		_exit(1);
	}
	report_process(socket, &process);
	_exit(0);
}

static int fail(const struct spawn_report *message, const struct vmm_spawn *spawn,
		struct error **ret_error)
{
	switch (message->step) {
	case SPAWN_NETNS:
		return error_set_errno(ret_error, message->code,
				       "cannot join the network namespace");
	case SPAWN_FILES:
		return error_set(ret_error, message->code, "%.*s", SPAWN_TEXT_MAX, message->text);
	case SPAWN_PIDNS:
		return error_set_errno(
		    ret_error, message->code, "cannot make a pid namespace for the VMM%s",
		    message->code == ENOSPC ? " (the sysctl user.max_pid_namespaces is the limit)"
					    : "");
	case SPAWN_EXEC:
		return error_set_errno(ret_error, message->code, "cannot run %s", spawn->program);
	case SPAWN_FORK:
	case SPAWN_OK:
		break;
	}
	return error_set_errno(ret_error, message->code, "cannot start a process for the VMM");
}

/* Two messages can come, in either order: the process, and a failure to exec. */
static int read_reports(int socket, const struct vmm_spawn *spawn, struct vmm_process *ret_process,
			struct error **ret_error)
{
	struct spawn_report message, failure = { .step = SPAWN_OK };
	struct vmm_process process = { .pidfd = -1 };
	int fds[FD_PASS_MAX];
	size_t n_fds;
	ssize_t n;
	bool is_late;

	while ((n = recv_with_fds(socket, &message, sizeof(message), fds, &n_fds)) ==
	       sizeof(message)) {
		if (message.step != SPAWN_OK) {
			failure = message;
		} else if (n_fds > 0) {
			process = (struct vmm_process){ .pid = message.pid,
							.pidfd = fds[0],
							.stage_fd = n_fds > 1 ? fds[1] : -1 };
			memcpy(process.volumes, message.volumes, sizeof(process.volumes));
		}
	}
	is_late = n < 0 && errno == EAGAIN;
	if (failure.step == SPAWN_OK && process.pidfd >= 0 && !is_late) {
		*ret_process = process;
		return 0;
	}
	if (process.pidfd >= 0) {
		(void)pidfd_send_signal(process.pidfd, SIGKILL, NULL, 0);
		close_fdp(&process.pidfd);
		close_fdp(&process.stage_fd);
	}
	if (is_late)
		return error_set(ret_error, ETIMEDOUT, "the VMM did not start in %d s",
				 START_PATIENCE_S);
	return failure.step != SPAWN_OK
		   ? fail(&failure, spawn, ret_error)
		   : error_set(ret_error, EIO, "the VMM's process was lost while it started");
}

/* One that is frozen (cgroup v1) dies when it is thawed: it is not waited for. */
static void reap(pid_t pid, bool has_started)
{
	const struct timespec pause = { .tv_nsec = REAP_PAUSE_MS * 1000000 };

	if (!has_started)
		(void)kill(pid, SIGKILL);
	for (unsigned ms = 0; ms < REAP_PATIENCE_MS; ms += REAP_PAUSE_MS) {
		const pid_t ended = waitpid(pid, NULL, has_started ? 0 : WNOHANG);

		if (ended == pid || (ended < 0 && errno != EINTR))
			return;
		(void)nanosleep(&pause, NULL);
	}
}

int vmm_spawn(const struct vmm_spawn *spawn, struct vmm_process *ret_process,
	      struct error **ret_error)
{
	const struct timeval patience = { .tv_sec = START_PATIENCE_S };
	_cleanup_close_ int ours = -1;
	int sockets[2];
	bool in_cgroup = false;
	int result;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_set_errno(ret_error, errno, "cannot make a socket");
	ours = sockets[0];
	(void)setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	pid = cgroup_place_fork(spawn->cgroup, &in_cgroup);
	if (pid == 0)
		run_intermediate(spawn, in_cgroup, sockets[1]);
	(void)close(sockets[1]);
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process for the VMM");
	result = read_reports(ours, spawn, ret_process, ret_error);
	reap(pid, result == 0);
	return result;
}
