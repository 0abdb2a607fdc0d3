/* One machine: see machine.h. */
#include "shim/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "vmm/control.h"

#define AGENT_SOCKET PLAN_VSOCK_PATH "_1024"
/* An empty directory, but for the VMM, which has the staging area there. */
#define STAGE_DIRECTORY "share"
#define VMM_LOG "vmm.log"
#define VMM_PID "vmm.pid"

/* How long a VMM that was told to end may take. */
#define EXIT_GRACE_MS 5000
#define LOG_TAIL_SIZE 1024
#define LOG_TAIL_LINES 5

struct machine {
	struct loop *loop;
	struct machine_events events;
	char *directory;
	int dir_fd;
	struct machine_process process;
	int control;
	int agent_listener;
	struct buffer line; /* what came on the control socket, up to a newline */
	bool told_lost, told_exit;
	char *reason; /* machine_reason() */
	struct source *pid_source, *control_source, *agent_source, *exit_timer;
};

char *machine_port_path(const char *directory, uint32_t port)
{
	return xasprintf("%s/" PLAN_VSOCK_PATH "_%u", directory, port);
}

static void remove_files(const struct machine *machine)
{
	(void)unlinkat(machine->dir_fd, STAGE_DIRECTORY, AT_REMOVEDIR);
	(void)unlinkat(machine->dir_fd, PLAN_VSOCK_PATH, 0);
	(void)unlinkat(machine->dir_fd, AGENT_SOCKET, 0);
	(void)unlinkat(machine->dir_fd, VMM_PID, 0);
}

/* So that whoever cleans up after a server that was killed finds the VMM. */
static int note_pid(const struct machine *machine, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" VMM_PID, machine->directory);

	return process_note(path, machine->process.pid, ret_error);
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	if (machine->process.pidfd >= 0)
		(void)pidfd_send_signal(machine->process.pidfd, SIGKILL, NULL, 0);
	source_remove(machine->pid_source);
	source_remove(machine->control_source);
	source_remove(machine->agent_source);
	source_remove(machine->exit_timer);
	if (machine->dir_fd >= 0)
		remove_files(machine);
	close_fdp(&machine->dir_fd);
	close_fdp(&machine->process.pidfd);
	close_fdp(&machine->process.stage_fd);
	close_fdp(&machine->control);
	close_fdp(&machine->agent_listener);
	buffer_done(&machine->line);
	free(machine->reason);
	free(machine->directory);
	free(machine);
}

pid_t machine_pid(const struct machine *machine)
{
	return machine->process.pid;
}

const char *machine_reason(const struct machine *machine)
{
	return machine->reason;
}

void machine_kill(struct machine *machine)
{
	(void)pidfd_send_signal(machine->process.pidfd, SIGKILL, NULL, 0);
}

static void exit_overdue(void *data)
{
	struct machine *machine = data;

	machine->exit_timer = NULL;
	log_warning("the VMM (process %d) does not end: killing it", machine->process.pid);
	machine_kill(machine);
}

void machine_exit(struct machine *machine, unsigned code, unsigned signal)
{
	_cleanup_free_ char *line = NULL;

	if (machine->told_exit)
		return;
	machine->told_exit = true;
	line = signal ? xasprintf("{\"op\":\"exit\",\"signal\":%u}\n", signal)
		      : xasprintf("{\"op\":\"exit\",\"code\":%u}\n", code);
	/* One short line on an otherwise unused socket always fits, unless the
	 * VMM is beyond talking to. */
	if (machine->control < 0 || send(machine->control, line, strlen(line),
					 MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)strlen(line)) {
		machine_kill(machine);
		return;
	}
	source_clear(&machine->exit_timer);
	machine->exit_timer =
	    loop_add_timer(machine->loop, EXIT_GRACE_MS, "vmm exit", exit_overdue, machine);
}

static void tell_lost(struct machine *machine, const char *reason)
{
	if (machine->told_lost)
		return;
	machine->told_lost = true;
	log_debug("machine lost: %s", reason);
	machine->events.lost(machine->events.data, reason);
}

static void process_ended(void *data, uint32_t events)
{
	struct machine *machine = data;
	siginfo_t ignored;

	(void)events;
	/* If it is ours to reap (server_new()), nobody who is told of the end finds a zombie. */
	(void)waitid(P_PIDFD, (id_t)machine->process.pidfd, &ignored, WEXITED | WNOHANG);
	source_clear(&machine->pid_source);
	source_clear(&machine->exit_timer);
	source_clear(&machine->agent_source);
	log_debug("the VMM (process %d) has ended", machine->process.pid);
	tell_lost(machine, "the VMM died");
	machine->events.ended(machine->events.data);
}

/* The VMM is ours, but it is the process next to the guest: nothing it says is
 * taken further than a message. */
static void control_message(struct machine *machine, const char *text, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *event = NULL;
	_cleanup_free_ char *reason = NULL;
	_cleanup_free_ char *message = NULL;
	_cleanup_free_ char *failure = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "the VMM's message", &value, &error) < 0) {
		log_warning("%s", error->message);
		return;
	}
	root = json_root(value);
	if (json_get_string(&root, "event", JSON_OPTIONAL, &event, &error) < 0 ||
	    json_get_string(&root, "reason", JSON_OPTIONAL, &reason, &error) < 0 ||
	    json_get_string(&root, "message", JSON_OPTIONAL, &message, &error) < 0 ||
	    json_get_string(&root, "error", JSON_OPTIONAL, &failure, &error) < 0) {
		log_warning("the VMM's message: %s", error->message);
		return;
	}
	if (failure)
		log_warning("the VMM refused a request: %s", failure);
	if (event && strcmp(event, "stopped") == 0) {
		_cleanup_free_ char *why =
		    xasprintf("the guest ended (%s%s%s)", reason ? reason : "no reason given",
			      message && message[0] ? ": " : "", message ? message : "");

		free(machine->reason);
		machine->reason = TAKE_PTR(reason);
		tell_lost(machine, why);
	}
}

static void control_ready(void *data, uint32_t events)
{
	struct machine *machine = data;
	ssize_t n;

	(void)events;
	n = recv(machine->control, buffer_reserve(&machine->line, CONTROL_LINE_MAX),
		 CONTROL_LINE_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buffer_commit(&machine->line, (size_t)n);
	for (;;) {
		size_t length = buffer_length(&machine->line);
		uint8_t *line = buffer_data(&machine->line);
		uint8_t *end = length > 0 ? memchr(line, '\n', length) : NULL;

		if (!end) {
			if (n > 0 && length <= CONTROL_LINE_MAX)
				return;
			break;
		}
		control_message(machine, (char *)line, (size_t)(end - line));
		buffer_consume(&machine->line, (size_t)(end - line) + 1);
	}
	/* End of file, or babble.  The VMM is most likely on its way out, with a
	 * status of its own that a signal might spoil; one that keeps running
	 * without its control socket is out of hand. */
	if (n > 0)
		log_warning("the VMM sent a line of more than %d bytes", CONTROL_LINE_MAX);
	source_clear(&machine->control_source);
	(void)close(machine->control);
	machine->control = -1;
	if (!machine->exit_timer)
		machine->exit_timer =
		    loop_add_timer(machine->loop, EXIT_GRACE_MS, "vmm exit", exit_overdue, machine);
	tell_lost(machine, "the VMM closed its control socket");
}

static void agent_dialled(void *data, uint32_t events)
{
	struct machine *machine = data;
	int fd = accept4(machine->agent_listener, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	/* Only the agent is alive in the guest when this port opens; once it has
	 * called, nobody else (a container, say) can pose as it. */
	source_clear(&machine->agent_source);
	(void)close(machine->agent_listener);
	machine->agent_listener = -1;
	(void)unlinkat(machine->dir_fd, AGENT_SOCKET, 0);
	machine->events.agent(machine->events.data, fd);
}

int machine_connect(struct machine *machine, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" PLAN_VSOCK_PATH, machine->directory);

	return unix_connect_nonblocking(path, ret_error);
}

/* In a process of its own, which changes its mount namespace; tells by its exit status
 * and through the pipe. */
static void __attribute__((noreturn))
change_stage(const struct machine *machine, enum machine_stage operation, const struct stage *stage,
	     int pipe_fd)
{
	const struct machine_process *process = &machine->process;
	struct error *error = NULL;
	int result = -1;

	switch (operation) {
	case MACHINE_STAGE_SHOW:
		result = stage_show(process->pid, process->stage_fd, stage, &error);
		break;
	case MACHINE_STAGE_EXTEND:
		result = stage_extend(process->pid, process->stage_fd, stage, &error);
		break;
	case MACHINE_STAGE_SHRINK:
		result = stage_shrink(process->pid, process->stage_fd, stage, &error);
		break;
	}
	if (result == 0)
		_exit(0);
	(void)write_all(pipe_fd, error->message, strlen(error->message));
	_exit(error->code > 0 && error->code < 256 ? error->code : EIO);
}

int machine_stage(const struct machine *machine, enum machine_stage operation,
		  const struct stage *stage, struct error **ret_error)
{
	char text[LOG_TAIL_SIZE + 1] = "";
	int pipe_fds[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (machine->process.stage_fd < 0 && operation == MACHINE_STAGE_EXTEND)
		return error_set(ret_error, ENOTSUP,
				 "the sandbox's machine was made without shares: its first "
				 "container was not annotated as a pod's");
	if (machine->process.stage_fd < 0)
		return 0;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		change_stage(machine, operation, stage, pipe_fds[1]);
	(void)close(pipe_fds[1]);
	n = read_all(pipe_fds[0], text, LOG_TAIL_SIZE);
	text[MAX(n, 0)] = '\0';
	(void)close(pipe_fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start a process");
	if (status != 0)
		return error_set(ret_error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "%s",
				 text[0] ? text : "cannot change the machine's staging area");
	return 0;
}

char *machine_log_tail(const struct machine *machine)
{
	_cleanup_close_ int fd =
	    openat(machine->dir_fd, VMM_LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char bytes[LOG_TAIL_SIZE + 1];
	struct stat st;
	ssize_t n;
	int lines = 0;
	char *start;

	if (fd < 0 || fstat(fd, &st) < 0)
		return xstrdup("");
	n = pread(fd, bytes, LOG_TAIL_SIZE, MAX(st.st_size - LOG_TAIL_SIZE, 0));
	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return xstrdup("");
	bytes[n] = '\0';
	for (start = bytes + n; start > bytes; start--)
		if (start[-1] == '\n' && ++lines == LOG_TAIL_LINES)
			break;
	/* The guest wrote some of it: keep to what a terminal shows. */
	for (char *p = start; p < bytes + n; p++)
		if (*p == '\n')
			*p = '|';
		else if (*p < ' ' || *p == 0x7f)
			*p = ' ';
	return xstrdup(start);
}

static int open_sockets(struct machine *machine, bool again, struct machine_fds *fds,
			struct error **ret_error)
{
	_cleanup_free_ char *vsock = xasprintf("%s/" PLAN_VSOCK_PATH, machine->directory);
	_cleanup_free_ char *agent = xasprintf("%s/" AGENT_SOCKET, machine->directory);

	machine->dir_fd = open(machine->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (machine->dir_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", machine->directory);
	fds->log = openat(
	    machine->dir_fd, VMM_LOG,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (again ? 0 : O_TRUNC), 0600);
	if (fds->log < 0)
		return error_set_errno(ret_error, errno, "cannot open %s/" VMM_LOG,
				       machine->directory);
	/* A server that was killed may have left its sockets behind. */
	remove_files(machine);
	fds->vsock = unix_listen(vsock, 0600, ret_error);
	if (fds->vsock < 0)
		return -1;
	machine->agent_listener = unix_listen(agent, 0600, ret_error);
	if (machine->agent_listener < 0)
		return -1;
	return unix_pair(&machine->control, &fds->control, ret_error);
}

/* The document the VMM reads: the plan, with the descriptors' numbers as they
 * will be in the VMM. */
static int write_config(const struct plan *plan, struct error **ret_error)
{
	struct vm_config *config = plan->config;
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	int next_file = MACHINE_FILES_FD;

	config->control_fd = MACHINE_CONTROL_FD;
	config->log_fd = STDERR_FILENO;
	for (size_t i = 0; i < config->n_devices; i++) {
		struct vm_device *device = &config->devices[i];

		if (device->type == VM_DEVICE_VSOCK)
			device->vsock.fd = MACHINE_VSOCK_FD;
		else if (device->type == VM_DEVICE_FS)
			device->fs.root.fd = next_file++;
		else if (device->type == VM_DEVICE_BLK && !device->blk.file.path)
			device->blk.file.fd = next_file++;
	}
	if (machine_has_namespace(plan))
		config->root_fd = next_file++;
	text = vm_config_write(config);
	log_debug("machine: %s", text);
	fd = memfd_create("vm-config", MFD_CLOEXEC);
	if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot hand the VMM its configuration");
	return TAKE_FD(fd);
}

static int watch(struct machine *machine, struct error **ret_error)
{
	if (loop_add_io(machine->loop, machine->process.pidfd, EPOLLIN, "vmm process",
			process_ended, machine, &machine->pid_source, ret_error) < 0 ||
	    loop_add_io(machine->loop, machine->control, EPOLLIN, "vmm control", control_ready,
			machine, &machine->control_source, ret_error) < 0)
		return -1;
	return loop_add_io(machine->loop, machine->agent_listener, EPOLLIN, "agent listener",
			   agent_dialled, machine, &machine->agent_source, ret_error);
}

static void close_fds(struct machine_fds *fds)
{
	close_fdp(&fds->control);
	close_fdp(&fds->config);
	close_fdp(&fds->log);
	close_fdp(&fds->vsock);
}

int machine_start(struct loop *loop, const struct machine_setup *setup,
		  const struct machine_events *events, struct machine **ret_machine,
		  struct error **ret_error)
{
	_cleanup_(machine_freep) struct machine *machine = xcalloc(1, sizeof(*machine));
	_cleanup_(close_fds) struct machine_fds fds = { -1, -1, -1, -1 };
	_cleanup_free_ char *stage = xasprintf("%s/" STAGE_DIRECTORY, setup->directory);

	machine->loop = loop;
	machine->events = *events;
	machine->directory = xstrdup(setup->directory);
	machine->dir_fd = machine->control = machine->agent_listener = -1;
	machine->process = (struct machine_process){ .pidfd = -1, .stage_fd = -1 };
	if (open_sockets(machine, setup->again, &fds, ret_error) < 0)
		return -1;
	if (mkdir(stage, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", stage);
	fds.config = write_config(setup->plan, ret_error);
	if (fds.config < 0 || machine_spawn(setup->program, setup->plan, setup->directory, stage,
					    &fds, &machine->process, ret_error) < 0)
		return -1;
	if (note_pid(machine, ret_error) < 0 || watch(machine, ret_error) < 0)
		return -1;
	log_debug("the VMM is process %d", machine->process.pid);
	*ret_machine = TAKE_PTR(machine);
	return 0;
}
