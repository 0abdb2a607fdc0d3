/* SPDX-License-Identifier: Apache-2.0 */
/* One machine: see vmm.h. */
#include "sandbox/vmm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "base/child.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/json.h"
#include "base/plain.h"
#include "base/process.h"
#include "protocol/agent.h"
#include "protocol/control.h"
#include "sandbox/vmm-parts.h"

#define AGENT_SOCKET PLAN_VSOCK_PATH "_" AGENT_HOST_PORT_TEXT
/* An empty directory, but for the VMM, which has the staging area there. */
#define STAGE_DIRECTORY "share"
/* The guest writes to it too. */
#define VMM_LOG_KIB 1024
#define VMM_PID "vmm.pid"

/* How long a VMM that was told to end may take. */
#define EXIT_GRACE_MS 5000
#define BROKEN_GRACE_MS 1000
#define LOG_TAIL_SIZE 1024
#define LOG_TAIL_LINES 5

char *vmm_port_path(const char *directory, uint32_t port)
{
	return xasprintf("%s/" PLAN_VSOCK_PATH "_%u", directory, port);
}

static void remove_files(const struct vmm *vmm)
{
	(void)unlinkat(vmm->dir_fd, STAGE_DIRECTORY, AT_REMOVEDIR);
	(void)unlinkat(vmm->dir_fd, PLAN_VSOCK_PATH, 0);
	(void)unlinkat(vmm->dir_fd, AGENT_SOCKET, 0);
	(void)unlinkat(vmm->dir_fd, VMM_PID, 0);
}

/* So that a clean-up after a server that was killed finds the VMM. */
static int note_pid(const struct vmm *vmm, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" VMM_PID, vmm->directory);

	return process_note(path, vmm->process.pid, ret_error);
}

void vmm_free(struct vmm *vmm)
{
	if (!vmm)
		return;
	if (vmm->process.pidfd >= 0)
		(void)pidfd_send_signal(vmm->process.pidfd, SIGKILL, NULL, 0);
	source_remove(vmm->pid_source);
	source_remove(vmm->control_source);
	source_remove(vmm->exit_timer);
	source_remove(vmm->answer_timer);
	source_remove(vmm->agent_timer);
	source_remove(vmm->stand_in_source);
	stand_in_done(&vmm->stand_in);
	close_fdp(&vmm->agent_fd);
	if (vmm->dir_fd >= 0)
		remove_files(vmm);
	close_fdp(&vmm->dir_fd);
	close_fdp(&vmm->process.pidfd);
	close_fdp(&vmm->process.stage_fd);
	network_place_done(&vmm->place);
	vmm_cgroup_done(&vmm->cgroup);
	close_fdp(&vmm->control);
	listener_free(vmm->agent_listener);
	buffer_done(&vmm->line);
	free(vmm->reason);
	free(vmm->directory);
	free(vmm);
}

pid_t vmm_pid(const struct vmm *vmm)
{
	return vmm->stand_in.pid ? vmm->stand_in.pid : vmm->process.pid;
}

bool vmm_is_adopted(const struct vmm *vmm)
{
	return vmm->stand_in.pid != 0;
}

const struct vmm_file *vmm_volume(const struct vmm *vmm, size_t i)
{
	return &vmm->process.volumes[i];
}

const char *vmm_reason(const struct vmm *vmm)
{
	return vmm->reason;
}

void vmm_kill(struct vmm *vmm)
{
	(void)pidfd_send_signal(vmm->process.pidfd, SIGKILL, NULL, 0);
	vmm_thaw(vmm);
}

void vmm_thaw(const struct vmm *vmm)
{
	if (vmm->cgroup.place)
		cgroup_place_thaw(vmm->cgroup.place);
}

static void answer(struct vmm *vmm, const struct error *error)
{
	vmm_answer_fn function = vmm->answered;

	source_clear(&vmm->answer_timer);
	vmm->answered = NULL;
	if (function)
		function(vmm->answered_data, error);
}

static void answer_gone(void *data)
{
	_cleanup_error_ struct error *error = NULL;
	struct vmm *vmm = data;

	(void)error_set(&error, ECONNRESET, "the VMM does not answer any more");
	answer(vmm, error);
}

/* Without waiting: a short line on an otherwise unused socket always fits, unless the VMM is beyond
 * talking to. */
static bool tell(const struct vmm *vmm, const char *line, const int *fds, size_t n_fds)
{
	const ssize_t size = (ssize_t)strlen(line);

	return vmm->control >= 0 &&
	       send_with_fds(vmm->control, line, (size_t)size, fds, n_fds) == size;
}

void vmm_ask(struct vmm *vmm, const char *operation, const int *fds, size_t n_fds,
	     vmm_answer_fn function, void *data)
{
	_cleanup_free_ char *line = xasprintf("{\"op\":\"%s\"}\n", operation);

	assert(!vmm->answered);
	vmm->answered = function;
	vmm->answered_data = data;
	if (vmm->told_exit || !tell(vmm, line, fds, n_fds))
		vmm->answer_timer = loop_add_timer(vmm->loop, 0, "vmm", answer_gone, vmm);
}

static void exit_overdue(void *data)
{
	struct vmm *vmm = data;

	vmm->exit_timer = NULL;
	log_warning("the VMM (process %d) does not end: killing it", vmm->process.pid);
	vmm_kill(vmm);
	stand_in_kill(&vmm->stand_in);
}

/* Of which the answer is not awaited. */
static void tell_only(struct vmm *vmm, const char *line)
{
	if (tell(vmm, line, NULL, 0))
		++*(vmm->answered ? &vmm->told_behind : &vmm->told_before);
}

void vmm_note(struct vmm *vmm)
{
	tell_only(vmm, "{\"op\":\"note\"}\n");
}

void vmm_set_memory(struct vmm *vmm, uint64_t mib)
{
	_cleanup_free_ char *line = xasprintf("{\"op\":\"memory\",\"mib\":%" PRIu64 "}\n", mib);

	tell_only(vmm, line);
}

void vmm_set_link(struct vmm *vmm, size_t slot, bool up)
{
	_cleanup_free_ char *line = xasprintf("{\"op\":\"link\",\"device\":%zu,\"up\":%s}\n",
					      vmm->net_devices[slot], up ? "true" : "false");

	tell_only(vmm, line);
}

void vmm_set_vcpus(struct vmm *vmm, uint32_t count)
{
	_cleanup_free_ char *line = xasprintf("{\"op\":\"vcpus\",\"count\":%u}\n", count);

	tell_only(vmm, line);
}

static void kill_later(struct vmm *vmm, uint64_t ms)
{
	source_clear(&vmm->exit_timer);
	vmm->exit_timer = loop_add_timer(vmm->loop, ms, "vmm exit", exit_overdue, vmm);
}

void vmm_exit(struct vmm *vmm, unsigned code, unsigned signal, bool broken)
{
	_cleanup_free_ char *line = NULL;

	if (vmm->told_exit)
		return;
	vmm->told_exit = true;
	vmm->exit_code = code;
	vmm->exit_signal = signal;
	/* No process of its pid namespace can do that to the first one. */
	if (signal == SIGKILL) {
		if (broken)
			kill_later(vmm, BROKEN_GRACE_MS);
		else
			vmm_kill(vmm);
		return;
	}
	line = signal ? xasprintf("{\"op\":\"exit\",\"signal\":%u}\n", signal)
		      : xasprintf("{\"op\":\"exit\",\"code\":%u}\n", code);
	if (!tell(vmm, line, NULL, 0)) {
		vmm_kill(vmm);
		return;
	}
	kill_later(vmm, EXIT_GRACE_MS);
}

static void tell_lost(struct vmm *vmm, const char *reason)
{
	if (vmm->answered && !vmm->answer_timer)
		vmm->answer_timer = loop_add_timer(vmm->loop, 0, "vmm", answer_gone, vmm);
	if (vmm->told_lost)
		return;
	vmm->told_lost = true;
	log_debug("machine lost: %s", reason);
	vmm->events.lost(vmm->events.data, reason);
}

/* The process that stands for the container ends with it, or, where nobody has told how, as a VMM
 * that was killed. */
static void end_stand_in(struct vmm *vmm)
{
	if (!vmm->told_exit) {
		stand_in_kill(&vmm->stand_in);
		return;
	}
	stand_in_end(&vmm->stand_in, vmm->exit_code, vmm->exit_signal);
	kill_later(vmm, EXIT_GRACE_MS);
}

static void reap_stand_in(struct vmm *vmm)
{
	siginfo_t ignored;

	(void)waitid(P_PIDFD, (id_t)vmm->stand_in.pidfd, &ignored, WEXITED | WNOHANG);
	source_clear(&vmm->stand_in_source);
}

/* With its VMM, or somebody has killed it. */
static void stand_in_ended(void *data, uint32_t events)
{
	struct vmm *vmm = data;

	(void)events;
	reap_stand_in(vmm);
	if (vmm->pid_source) {
		log_debug("process %d has ended: killing the VMM", vmm->stand_in.pid);
		vmm_kill(vmm);
		return;
	}
	source_clear(&vmm->exit_timer);
	vmm->events.ended(vmm->events.data);
}

static void process_ended(void *data, uint32_t events)
{
	struct vmm *vmm = data;
	siginfo_t ignored;

	(void)events;
	/* If it is ours to reap (server_new()), nobody who is told of the end finds a zombie. */
	(void)waitid(P_PIDFD, (id_t)vmm->process.pidfd, &ignored, WEXITED | WNOHANG);
	source_clear(&vmm->pid_source);
	source_clear(&vmm->exit_timer);
	if (vmm->agent_listener)
		listener_pause(vmm->agent_listener, true);
	log_debug("the VMM (process %d) has ended", vmm->process.pid);
	tell_lost(vmm, "the VMM died");
	/* The callee may ask for more. */
	while (vmm->answered)
		answer_gone(vmm);
	if (vmm->stand_in_source)
		end_stand_in(vmm);
	else
		vmm->events.ended(vmm->events.data);
}

/* One a second, like all that a guest may have a hand in. */
static void complain(struct vmm *vmm, const char *what, const char *message)
{
	uint32_t suppressed;

	if (ratelimit_pass(&vmm->complaints, &suppressed))
		log_warning("%s%s (%u more)", what, message, suppressed);
}

/* In the order of the requests.  failure: NULL, or what the VMM says. */
static void control_answer(struct vmm *vmm, char *failure)
{
	_cleanup_error_ struct error *error = NULL;
	const bool only_told = vmm->told_before > 0;

	if (vmm->n_adopting > 0) {
		vmm->n_adopting--;
		if (failure) {
			complain(vmm, "the machine that waited cannot be used: ", failure);
			vmm_kill(vmm);
		}
		return;
	}
	vmm->told_before -= only_told;
	if (failure && (only_told || !vmm->answered)) {
		complain(vmm, "the VMM refused a request: ", failure);
	} else if (!only_told && vmm->answered) {
		vmm->told_before = vmm->told_behind;
		vmm->told_behind = 0;
		if (failure) {
			plain_text(failure);
			(void)error_set(&error, EIO, "%s", failure);
		}
		answer(vmm, error);
	}
}

/* The VMM is ours, but it is the process next to the guest: nothing it says is
 * taken further than a message. */
static void control_message(struct vmm *vmm, const char *text, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *event = NULL;
	_cleanup_free_ char *reason = NULL;
	_cleanup_free_ char *message = NULL;
	_cleanup_free_ char *failure = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "the VMM's message", &value, &error) < 0) {
		complain(vmm, "", error->message);
		return;
	}
	root = json_root(value);
	if (json_get_string(&root, "event", JSON_OPTIONAL, &event, &error) < 0 ||
	    json_get_string(&root, "reason", JSON_OPTIONAL, &reason, &error) < 0 ||
	    json_get_string(&root, "message", JSON_OPTIONAL, &message, &error) < 0 ||
	    json_get_string(&root, "error", JSON_OPTIONAL, &failure, &error) < 0) {
		complain(vmm, "the VMM's message: ", error->message);
		return;
	}
	if (!event)
		control_answer(vmm, failure);
	if (event && strcmp(event, "stopped") == 0) {
		_cleanup_free_ char *why =
		    xasprintf("the guest ended (%s%s%s)", reason ? reason : "no reason given",
			      message && message[0] ? ": " : "", message ? message : "");

		plain_text(why);
		free(vmm->reason);
		vmm->reason = TAKE_PTR(reason);
		tell_lost(vmm, why);
	}
}

static void control_ready(void *data, uint32_t events)
{
	struct vmm *vmm = data;
	ssize_t n;

	(void)events;
	n = recv(vmm->control, buffer_reserve(&vmm->line, CONTROL_LINE_MAX), CONTROL_LINE_MAX,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buffer_commit(&vmm->line, (size_t)n);
	for (;;) {
		size_t length = buffer_length(&vmm->line);
		uint8_t *line = buffer_data(&vmm->line);
		uint8_t *end = length > 0 ? memchr(line, '\n', length) : NULL;

		if (!end) {
			if (n > 0 && length <= CONTROL_LINE_MAX)
				return;
			break;
		}
		control_message(vmm, (char *)line, (size_t)(end - line));
		buffer_consume(&vmm->line, (size_t)(end - line) + 1);
	}
	/* End of file, or babble.  The VMM is most likely on its way out, with a
	 * status of its own that a signal might spoil; one that keeps running
	 * without its control socket is out of hand. */
	if (n > 0)
		log_warning("the VMM sent a line of more than %d bytes", CONTROL_LINE_MAX);
	source_clear(&vmm->control_source);
	(void)close(vmm->control);
	vmm->control = -1;
	if (!vmm->exit_timer)
		kill_later(vmm, EXIT_GRACE_MS);
	tell_lost(vmm, "the VMM closed its control socket");
}

static void agent_dialled(void *data, int fd)
{
	struct vmm *vmm = data;

	/* Only the agent is alive in the guest when this port opens; once it has
	 * called, nobody else (a container, say) can pose as it. */
	listener_pause(vmm->agent_listener, true);
	(void)unlinkat(vmm->dir_fd, AGENT_SOCKET, 0);
	vmm->events.agent(vmm->events.data, fd);
}

int vmm_connect(struct vmm *vmm, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" PLAN_VSOCK_PATH, vmm->directory);

	return unix_connect_nonblocking(path, ret_error);
}

/* In a process of its own, which changes its mount namespace; tells by its exit status
 * and through the pipe. */
static void __attribute__((noreturn)) change_stage(const struct vmm *vmm, enum vmm_stage operation,
						   const struct stage *stage, int pipe_fd)
{
	const struct vmm_process *process = &vmm->process;
	struct error *error = NULL;
	int result = -1;

	switch (operation) {
	case VMM_STAGE_SHOW:
		result = stage_show(process->pid, process->stage_fd, stage, &error);
		break;
	case VMM_STAGE_EXTEND:
		result = stage_extend(process->pid, process->stage_fd, stage, &error);
		break;
	case VMM_STAGE_SHRINK:
		result = stage_shrink(process->pid, process->stage_fd, stage, &error);
		break;
	}
	if (result == 0)
		_exit(0);
	(void)write_all(pipe_fd, error->message, strlen(error->message));
	_exit(error->code > 0 && error->code < 256 ? error->code : EIO);
}

int vmm_stage(const struct vmm *vmm, enum vmm_stage operation, const struct stage *stage,
	      struct error **ret_error)
{
	char text[LOG_TAIL_SIZE + 1] = "";
	_cleanup_close_ int pipe = -1;
	int status = 0;
	ssize_t n;
	pid_t pid;

	if (vmm->process.stage_fd < 0 && operation == VMM_STAGE_EXTEND)
		return error_set(ret_error, ENOTSUP,
				 "the sandbox's machine was made without shares: its first "
				 "container was not annotated as a pod's");
	if (vmm->process.stage_fd < 0)
		return 0;
	pid = child_fork(&pipe, ret_error);
	if (pid < 0)
		return -1;
	if (pid == 0)
		change_stage(vmm, operation, stage, pipe);
	n = read_all(pipe, text, LOG_TAIL_SIZE);
	text[MAX(n, 0)] = '\0';
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		return error_set(ret_error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "%s",
				 text[0] ? text : "cannot change the machine's staging area");
	return 0;
}

char *vmm_log_tail(const struct vmm *vmm)
{
	_cleanup_close_ int fd = openat(vmm->dir_fd, VMM_LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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

/* What is ours to close once the VMM has it. */
struct given {
	int control, config, log, vsock, passt;
};

static int open_sockets(struct vmm *vmm, bool again, struct given *given, struct error **ret_error)
{
	_cleanup_free_ char *vsock = xasprintf("%s/" PLAN_VSOCK_PATH, vmm->directory);
	_cleanup_free_ char *agent = xasprintf("%s/" AGENT_SOCKET, vmm->directory);
	int agent_fd;

	given->log = openat(
	    vmm->dir_fd, VMM_LOG,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (again ? 0 : O_TRUNC), 0600);
	if (given->log < 0)
		return error_set_errno(ret_error, errno, "cannot open %s/" VMM_LOG, vmm->directory);
	/* A server that was killed may have left its sockets behind. */
	remove_files(vmm);
	given->vsock = unix_listen(vsock, 0600, ret_error);
	if (given->vsock < 0)
		return -1;
	agent_fd = unix_listen(agent, 0600, ret_error);
	if (agent_fd < 0 || listener_new(vmm->loop, agent_fd, "agent", agent_dialled, vmm,
					 &vmm->agent_listener, ret_error) < 0)
		return -1;
	if (unix_pair(&vmm->control, &given->control, ret_error) < 0)
		return -1;
	if (set_nonblocking(vmm->control, true) < 0)
		return error_set_errno(ret_error, errno, "the VMM's control socket");
	return 0;
}

static void name_queues(int *first, struct vm_fd_list *more, const int *queues, size_t n,
			struct vm_fds *fds)
{
	vm_fds_add(fds, first, queues[0]);
	for (more->n = 0; more->n < n - 1; more->n++)
		vm_fds_add(fds, &more->fds[more->n], queues[more->n + 1]);
}

static void name_tap(struct vm_device *device, const struct network_place *place, size_t slot,
		     struct vm_fds *fds)
{
	if (slot < place->n_taps)
		name_queues(&device->net.fd, &device->net.more, place->tap_fds[slot],
			    place->n_queues, fds);
	if (slot < place->n_vhosts)
		name_queues(&device->net.vhost_fd, &device->net.more_vhosts, place->vhost_fds[slot],
			    place->n_queues, fds);
}

/* Each descriptor that the VMM gets, with its field in the plan's document.  What is to be
 * opened in the VMM's namespaces has none yet (vmm-spawn.c). */
static void name_fds(struct vmm *vmm, const struct machine_plan *plan, const struct given *given,
		     struct vm_fds *fds)
{
	struct vm_config *config = plan->config;
	size_t n_nets = 0;

	vm_fds_add(fds, &config->control_fd, given->control);
	if (plan->kernel)
		vm_fds_add(fds, &config->kernel.fd, -1);
	if (plan->kernel && plan->kernel->modules)
		vm_fds_add(fds, &config->initramfs[config->n_initramfs - 1].fd, -1);
	for (size_t i = 0; i < config->n_devices; i++) {
		struct vm_device *device = &config->devices[i];

		if (device->type == VM_DEVICE_VSOCK)
			vm_fds_add(fds, &device->vsock.fd, given->vsock);
		else if (device->type == VM_DEVICE_FS)
			vm_fds_add(fds, &device->fs.root.fd, -1);
		else if (device->type == VM_DEVICE_BLK && !device->blk.file.path)
			vm_fds_add(fds, &device->blk.file.fd, -1);
		else if (device->type == VM_DEVICE_NET && given->passt >= 0)
			vm_fds_add(fds, &device->net.fd, given->passt);
		else if (device->type == VM_DEVICE_NET)
			name_tap(device, &vmm->place, n_nets, fds);
		if (device->type == VM_DEVICE_NET && n_nets < NETWORK_TAPS_MAX)
			vmm->net_devices[n_nets++] = i;
	}
	if (vmm_has_namespace(plan))
		vm_fds_add(fds, &config->root_fd, -1);
	if (plan->state_fd >= 0) {
		vm_fds_add(fds, &config->state.fd, plan->state_fd);
		vm_fds_add(fds, &config->state_ram.fd, plan->ram_fds[0]);
	}
	for (size_t i = 1; i < plan->n_ram; i++)
		vm_fds_add(fds, &config->state_changes[config->n_state_changes++].fd,
			   plan->ram_fds[i]);
	config->log_fd = STDERR_FILENO;
	config->log_keep_kib = VMM_LOG_KIB;
}

/* The namespace that the VMM is to be in, and the far ends of its network devices. */
static int open_network(struct vmm *vmm, const struct machine_plan *plan, struct given *given,
			struct error **ret_error)
{
	const bool passt = plan->network == PLAN_NETWORK_PASST;
	const struct network_needs needs = {
		.n_taps = passt ? 0 : plan->n_interfaces,
		.n_queues = plan->n_pairs,
		.vhost = plan->vhost_net,
	};
	struct passt_options options = plan->passt;

	options.cgroup = vmm->cgroup.place;
	if (passt && passt_start(&options, &given->passt, ret_error) < 0)
		return -1;
	if (!plan->network_isolated && plan->network != PLAN_NETWORK_JOIN)
		return 0;
	return network_place_open(plan->network_path, &needs, &vmm->place, ret_error);
}

int vmm_limit(const struct vmm *vmm, struct error **ret_error)
{
	return vmm_cgroup_limit(&vmm->cgroup, ret_error);
}

int vmm_update(const struct vmm *vmm, const struct spec_resources *resources,
	       struct error **ret_error)
{
	return vmm_cgroup_update(&vmm->cgroup, resources, ret_error);
}

int vmm_network(const struct vmm *vmm, struct network **ret_network, struct error **ret_error)
{
	return network_new(&vmm->place, ret_network, ret_error);
}

/* The document the VMM reads: the plan, all of whose descriptors have been named. */
static int write_config(const struct machine_plan *plan, struct error **ret_error)
{
	_cleanup_close_ int fd = memfd_create("vm-config", MFD_CLOEXEC);
	_cleanup_free_ char *text = vm_config_write(plan->config);

	log_debug("machine: %s", text);
	if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot write the VMM's configuration");
	return TAKE_FD(fd);
}

static int watch(struct vmm *vmm, struct error **ret_error)
{
	if (vmm->stand_in.pid &&
	    loop_add_io(vmm->loop, vmm->stand_in.pidfd, EPOLLIN, "stand-in", stand_in_ended, vmm,
			&vmm->stand_in_source, ret_error) < 0)
		return -1;
	if (loop_add_io(vmm->loop, vmm->process.pidfd, EPOLLIN, "vmm process", process_ended, vmm,
			&vmm->pid_source, ret_error) < 0)
		return -1;
	return loop_add_io(vmm->loop, vmm->control, EPOLLIN, "vmm control", control_ready, vmm,
			   &vmm->control_source, ret_error);
}

static void close_given(struct given *given)
{
	close_fdp(&given->control);
	close_fdp(&given->config);
	close_fdp(&given->log);
	close_fdp(&given->vsock);
	close_fdp(&given->passt);
}

static int spawn(struct vmm *vmm, const struct vmm_setup *setup, struct given *given,
		 struct error **ret_error)
{
	_cleanup_free_ char *stage = xasprintf("%s/" STAGE_DIRECTORY, setup->directory);
	struct vmm_spawn spawn = { .program = setup->program,
				   .directory = setup->directory,
				   .stage = stage,
				   .plan = setup->plan };

	if (open_sockets(vmm, setup->again, given, ret_error) < 0)
		return -1;
	if (mkdir(stage, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", stage);
	spawn.cgroup = vmm->cgroup.place;
	spawn.netns_fd = vmm->place.ns_fd;
	name_fds(vmm, setup->plan, given, &spawn.fds);
	given->config = write_config(setup->plan, ret_error);
	if (given->config < 0)
		return -1;
	vm_fds_add(&spawn.fds, &spawn.config_fd, given->config);
	spawn.log_fd = given->log;
	return vmm_spawn(&spawn, &vmm->process, ret_error);
}

static void hand_agent_over(void *data)
{
	struct vmm *vmm = data;

	vmm->agent_timer = NULL;
	vmm->events.agent(vmm->events.data, TAKE_FD(vmm->agent_fd));
}

static struct vmm *begin(struct loop *loop, const struct vmm_setup *setup,
			 const struct vmm_events *events)
{
	struct vmm *vmm = xcalloc(1, sizeof(*vmm));

	vmm->loop = loop;
	vmm->events = *events;
	vmm->directory = xstrdup(setup->directory);
	vmm->dir_fd = vmm->control = vmm->agent_fd = -1;
	vmm->process = (struct vmm_process){ .pidfd = -1, .stage_fd = -1 };
	vmm->place = (struct network_place)NETWORK_PLACE_NONE;
	vmm->cgroup = VMM_CGROUP_NONE;
	vmm->stand_in = STAND_IN_NONE;
	return vmm;
}

int vmm_start(struct loop *loop, const struct vmm_setup *setup, const struct vmm_events *events,
	      struct vmm **ret_vmm, struct error **ret_error)
{
	_cleanup_(vmm_freep) struct vmm *vmm = begin(loop, setup, events);
	_cleanup_(close_given) struct given given = { -1, -1, -1, -1, -1 };

	vmm->dir_fd = open(vmm->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (vmm->dir_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", vmm->directory);
	if (vmm_cgroup_make(&setup->plan->cgroup, vmm->directory, &vmm->cgroup, ret_error) < 0 ||
	    open_network(vmm, setup->plan, &given, ret_error) < 0)
		return -1;
	if (!vmm_adopt(vmm, setup, given.passt) && spawn(vmm, setup, &given, ret_error) < 0)
		return -1;
	if (note_pid(vmm, ret_error) < 0 || watch(vmm, ret_error) < 0)
		return -1;
	if (vmm->agent_fd >= 0)
		vmm->agent_timer = loop_add_timer(loop, 0, "agent", hand_agent_over, vmm);
	vmm_cgroup_release(&vmm->cgroup);
	log_debug("the VMM is process %d", vmm->process.pid);
	network_place_close_taps(&vmm->place);
	*ret_vmm = TAKE_PTR(vmm);
	return 0;
}

void vmm_give(struct vmm *vmm, int ret_fds[VMM_GIVEN_FDS])
{
	ret_fds[0] = TAKE_FD(vmm->control);
	ret_fds[1] = TAKE_FD(vmm->process.pidfd);
	ret_fds[2] = TAKE_FD(vmm->process.stage_fd);
	source_clear(&vmm->pid_source);
	close_fdp(&vmm->dir_fd);
	vmm->dir_fd = -1;
	vmm_free(vmm);
}
