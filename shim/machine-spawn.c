/*
 * Starting the VMM as an orphan.
 *
 *   server ──fork──► intermediate: enters the network namespace, makes the staging
 *                        │         area in a mount namespace, opens the volumes
 *                        └──fork──► VMM: session of its own, descriptors, exec
 *
 * The intermediate reports the VMM's pid and descriptors over a socketpair and exits;
 * as long as it lives, the pid cannot be reused.  The VMM's end of the same
 * socketpair is close-on-exec: end of file there means that the exec worked, a
 * message means that it did not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shim/machine.h"

#define SPAWN_TEXT_MAX 4096

enum spawn_step {
	SPAWN_OK,
	SPAWN_NETNS_OPEN,
	SPAWN_NETNS_ENTER,
	SPAWN_NETNS_NEW,
	SPAWN_FILES,
	SPAWN_FORK,
	SPAWN_EXEC
};

struct spawn_report {
	enum spawn_step step;
	int code; /* errno, unless SPAWN_OK */
	pid_t pid;
	char text[SPAWN_TEXT_MAX]; /* SPAWN_FILES: what went wrong */
};

/* What the intermediate opens for the VMM: MACHINE_FILES_FD and up. */
struct spawn_files {
	int fds[MACHINE_FILES_MAX];
	size_t n;
};

static void report(int socket, enum spawn_step step, int code)
{
	struct spawn_report message = { .step = step, .code = code };

	(void)send_with_fds(socket, &message, sizeof(message), NULL, 0);
}

static void report_process(int socket, const struct machine_process *process)
{
	struct spawn_report message = { .step = SPAWN_OK, .pid = process->pid };
	const int fds[] = { process->pidfd, process->stage_fd };

	(void)send_with_fds(socket, &message, sizeof(message), fds, process->stage_fd < 0 ? 1 : 2);
}

static void report_error(int socket, const struct error *error)
{
	struct spawn_report message = { .step = SPAWN_FILES, .code = error->code };

	(void)snprintf(message.text, sizeof(message.text), "%s", error->message);
	(void)send_with_fds(socket, &message, sizeof(message), NULL, 0);
}

/* Moves the descriptors to their places; from a copy above them all, because a
 * source may sit where another belongs. */
static int place_fds(const struct machine_fds *fds, const struct spawn_files *files, int socket)
{
	const size_t end = MACHINE_FILES_FD + files->n;
	int wanted[MACHINE_FILES_FD + MACHINE_FILES_MAX] = { [STDIN_FILENO] = open(
								 "/dev/null", O_RDWR | O_CLOEXEC),
							     [STDOUT_FILENO] = fds->log,
							     [STDERR_FILENO] = fds->log,
							     [MACHINE_CONTROL_FD] = fds->control,
							     [MACHINE_CONFIG_FD] = fds->config,
							     [MACHINE_VSOCK_FD] = fds->vsock };
	int high[ARRAY_SIZE(wanted)];
	int report_fd = fcntl(socket, F_DUPFD_CLOEXEC, (int)end);

	for (size_t i = 0; i < files->n; i++)
		wanted[MACHINE_FILES_FD + i] = files->fds[i];
	for (size_t i = 0; i < end; i++) {
		high[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, (int)end);
		if (high[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < end; i++)
		if (dup2(high[i], (int)i) < 0)
			return -1;
	(void)close_range((unsigned)end, ~0u, CLOSE_RANGE_CLOEXEC);
	return report_fd;
}

static void __attribute__((noreturn)) run_vmm(const char *program, const struct machine_fds *fds,
					      const struct spawn_files *files, int socket)
{
	/* MACHINE_CONFIG_FD */
	char *argv[] = { (char *)"supermachine-vmm", (char *)"--config-fd", (char *)"4", NULL };
	sigset_t none;
	int report_fd;

	/* Not the server's session: a hang-up of the container's terminal must
	 * not reach the machine. */
	(void)setsid();
	(void)sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	report_fd = place_fds(fds, files, socket);
	if (report_fd >= 0)
		execv(program, argv);
	report(report_fd >= 0 ? report_fd : socket, SPAWN_EXEC, errno);
	_exit(127);
}

static enum spawn_step enter_network(const struct plan *plan)
{
	_cleanup_close_ int fd = -1;

	switch (plan->network) {
	case PLAN_NETWORK_HOST:
		return SPAWN_OK;
	case PLAN_NETWORK_NEW:
		return unshare(CLONE_NEWNET) < 0 ? SPAWN_NETNS_NEW : SPAWN_OK;
	case PLAN_NETWORK_JOIN:
		fd = open(plan->network_path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return SPAWN_NETNS_OPEN;
		return setns(fd, CLONE_NEWNET) < 0 ? SPAWN_NETNS_ENTER : SPAWN_OK;
	}
	return SPAWN_OK;
}

bool machine_has_namespace(const struct plan *plan)
{
	return plan->share || geteuid() == 0;
}

static int open_files(const struct plan *plan, const char *directory, const char *stage,
		      struct spawn_files *files, struct error **ret_error)
{
	_cleanup_close_ int root_fd = -1, view_fd = -1;

	if (machine_has_namespace(plan) &&
	    stage_enter(stage, &plan->files.stage, &root_fd, &view_fd, ret_error) < 0)
		return -1;
	if (plan->share)
		files->fds[files->n++] = TAKE_FD(root_fd);
	for (size_t i = 0; i < plan->files.n_volumes; i++)
		if (volume_open(&plan->files.volumes[i].volume, &files->fds[files->n++],
				ret_error) < 0)
			return -1;
	if (view_fd >= 0)
		files->fds[files->n++] = TAKE_FD(view_fd);
	/* Where the VMM finds sockets, whatever its root is. */
	if (chdir(directory) < 0)
		return error_set_errno(ret_error, errno, "cannot enter %s", directory);
	return 0;
}

static void __attribute__((noreturn))
run_intermediate(const char *program, const struct plan *plan, const char *directory,
		 const char *stage, const struct machine_fds *fds, int socket)
{
	enum spawn_step step = enter_network(plan);
	struct spawn_files files = { .n = 0 };
	struct error *error = NULL;
	struct machine_process process = { .stage_fd = -1 };

	if (step != SPAWN_OK) {
		report(socket, step, errno);
		_exit(1);
	}
	if (open_files(plan, directory, stage, &files, &error) < 0) {
		report_error(socket, error);
		_exit(1);
	}
	process.pid = fork();
	if (process.pid == 0)
		run_vmm(program, fds, &files, socket);
	process.pidfd = process.pid < 0 ? -1 : pidfd_open(process.pid, 0);
	if (process.pidfd < 0) {
		report(socket, SPAWN_FORK, errno);
		_exit(1);
	}
	if (plan->share)
		process.stage_fd = files.fds[0];
	report_process(socket, &process);
	_exit(0);
}

static int fail(const struct spawn_report *message, const char *program, const struct plan *plan,
		struct error **ret_error)
{
	switch (message->step) {
	case SPAWN_NETNS_OPEN:
	case SPAWN_NETNS_ENTER:
		return error_set_errno(ret_error, message->code,
				       "cannot join the network namespace %s", plan->network_path);
	case SPAWN_NETNS_NEW:
		return error_set_errno(ret_error, message->code, "cannot make a network namespace");
	case SPAWN_FILES:
		return error_set(ret_error, message->code, "%.*s", SPAWN_TEXT_MAX, message->text);
	case SPAWN_EXEC:
		return error_set_errno(ret_error, message->code, "cannot run %s", program);
	case SPAWN_FORK:
	case SPAWN_OK:
		break;
	}
	return error_set_errno(ret_error, message->code, "cannot start a process for the VMM");
}

/* Two messages can come, in either order: the process, and a failure to exec. */
static int read_reports(int socket, const char *program, const struct plan *plan,
			struct machine_process *ret_process, struct error **ret_error)
{
	_cleanup_close_ int pidfd = -1, stage_fd = -1;
	struct spawn_report message, failure = { .step = SPAWN_OK };
	pid_t pid = 0;
	int fds[FD_PASS_MAX];
	size_t n_fds;

	while (recv_with_fds(socket, &message, sizeof(message), fds, &n_fds) == sizeof(message)) {
		if (message.step != SPAWN_OK) {
			failure = message;
		} else if (n_fds > 0) {
			pidfd = fds[0];
			stage_fd = n_fds > 1 ? fds[1] : -1;
			pid = message.pid;
		}
	}
	if (failure.step != SPAWN_OK)
		return fail(&failure, program, plan, ret_error);
	if (pidfd < 0)
		return error_set(ret_error, EIO, "the VMM's process was lost while it started");
	*ret_process = (struct machine_process){ .pid = pid,
						 .pidfd = TAKE_FD(pidfd),
						 .stage_fd = TAKE_FD(stage_fd) };
	return 0;
}

int machine_spawn(const char *program, const struct plan *plan, const char *directory,
		  const char *stage, const struct machine_fds *fds,
		  struct machine_process *ret_process, struct error **ret_error)
{
	_cleanup_close_ int ours = -1;
	int sockets[2];
	int result, status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_set_errno(ret_error, errno, "cannot make a socket");
	ours = sockets[0];
	pid = fork();
	if (pid == 0)
		run_intermediate(program, plan, directory, stage, fds, sockets[1]);
	(void)close(sockets[1]);
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process for the VMM");
	result = read_reports(ours, program, plan, ret_process, ret_error);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return result;
}
