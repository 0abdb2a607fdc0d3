/* SPDX-License-Identifier: Apache-2.0 */
/* The rig of the task server's tests: see shim-rig.h. */
#include "tests/unit/shim-rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "shim/server.h"

#define CALL_TIMEOUT_MS 60000

static void write_text(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
}

void rig_init(struct rig *rig)
{
	char template[] = "/tmp/shim-rig.XXXXXX";
	struct error *error = NULL;

	CHECK(mkdtemp(template));
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	*rig = (struct rig){ .directory = xstrdup(template),
			     .bundle = xasprintf("%s/bundle", template),
			     .socket = xasprintf("%s/" RIG_ID "/task.sock", template),
			     .connection = -1,
			     .boot_timeout_ms = 20000,
			     .drain_timeout_ms = 10000 };
	CHECK(setenv("SUPERMACHINE_RUNTIME", template, 1) == 0);
	CHECK_OK(make_directories(rig->bundle, 0700, &error), &error);
	write_text(rig->directory, "layer", "layer");
	write_text(rig->directory, "kernel", "kernel");
	write_text(rig->directory, "initramfs", "initramfs");
}

static char *fake_vmm(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	CHECK(n > 0);
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	return xasprintf("%s/fake-vmm", path);
}

static void terminated(void *data, const struct signalfd_siginfo *info)
{
	(void)info;
	server_terminate(data);
}

/* The server's process: what shim/main.c does, with the rig's options. */
static void __attribute__((noreturn)) serve(struct rig *rig, int listen_fd)
{
	_cleanup_free_ char *directory = xasprintf("%s/" RIG_ID, rig->directory);
	_cleanup_free_ char *vmm = fake_vmm();
	_cleanup_free_ char *initramfs = xasprintf("%s/initramfs", rig->directory);
	struct sandbox_options options = { .id = RIG_ID,
					   .directory = directory,
					   .vmm = vmm,
					   .initramfs = initramfs,
					   .boot_timeout_ms = rig->boot_timeout_ms,
					   .drain_timeout_ms = rig->drain_timeout_ms,
					   .idle_timeout_ms = rig->idle_timeout_ms };
	struct error *error = NULL;
	struct events *events = NULL;
	struct server *server;
	struct source *source;
	struct loop *loop;

	/* A failed case leaves nothing running. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	if (getenv("SHIM_RIG_DEBUG"))
		log_set_level(LOG_LEVEL_DEBUG);
	CHECK_OK(loop_new(&loop, &error), &error);
	options.namespace = rig->namespace;
	if (rig->events)
		events = events_new(loop, rig->events, rig->namespace ? rig->namespace : "unit");
	CHECK_OK(server_new(loop, listen_fd, &options, events, &server, &error), &error);
	CHECK_OK(loop_add_signal(loop, SIGTERM, "terminate", terminated, server, &source, &error),
		 &error);
	loop_run(loop);
	(void)unlink(rig->socket);
	server_free(server);
	events_free(events);
	loop_free(loop);
	free(rig->directory);
	free(rig->bundle);
	free(rig->socket);
	free(directory);
	free(vmm);
	free(initramfs);
	exit(0);
}

void rig_start(struct rig *rig)
{
	_cleanup_free_ char *directory = xasprintf("%s/" RIG_ID, rig->directory);
	struct error *error = NULL;
	int listen_fd;

	CHECK_OK(make_directories(directory, 0700, &error), &error);
	listen_fd = unix_listen(rig->socket, 0600, &error);
	CHECK_OK(listen_fd, &error);
	(void)fflush(NULL);
	rig->server = fork();
	if (rig->server == 0)
		serve(rig, listen_fd);
	CHECK(rig->server > 0);
	(void)close(listen_fd);
}

void rig_write_config(struct rig *rig, const struct rig_config *config)
{
	_cleanup_free_ char *text =
	    xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
		      "\"process\":{\"args\":%s,\"cwd\":\"/\",\"terminal\":%s},"
		      "\"vm\":{\"kernel\":{\"path\":\"%s/kernel\",\"parameters\":[\"%s\"]}}%s}",
		      config->args ? config->args : "[\"sleep\",\"1000\"]",
		      config->terminal ? "true" : "false", rig->directory,
		      config->fake ? config->fake : "", config->more ? config->more : "");

	write_text(rig->bundle, "config.json", text);
}

static void check_empty(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "vmm.log") != 0)
			test_fail(__FILE__, __LINE__, "%s was left behind", entry->d_name);
	(void)closedir(dir);
}

void rig_remove(struct rig *rig)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(rig->directory, &error), &error);
	free(rig->directory);
	free(rig->bundle);
	free(rig->socket);
}

/* Orphans of the server come to us: all must have ended, or be about to. */
static void check_orphans(void)
{
	int status;
	pid_t pid;

	for (int i = 0; i < 500; i++) {
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			return;
		(void)usleep(10000);
	}
	test_fail(__FILE__, __LINE__, "a process was left behind");
}

void rig_done(struct rig *rig)
{
	_cleanup_free_ char *directory = xasprintf("%s/" RIG_ID, rig->directory);
	Task__ShutdownRequest request = TASK__SHUTDOWN_REQUEST__INIT;
	struct error *error = NULL;
	int status;

	request.id = (char *)RIG_ID;
	request.now = true;
	rig_free(
	    rig_call(rig, "Shutdown", &request.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK(waitpid(rig->server, &status, 0) == rig->server);
	CHECK_INT(status, 0);
	check_empty(directory);
	check_orphans();
	rig_remove(rig);
}

static ProtobufCMessage *make_call(const struct rig *rig, const struct ttrpc_request *call,
				   struct error **ret_error)
{
	_cleanup_close_ int fd = unix_connect(rig->socket, ret_error);
	ProtobufCMessage *answer = NULL;

	if (fd < 0 || ttrpc_call_sync(fd, -1, call, &answer, ret_error) < 0)
		return NULL;
	return answer;
}

ProtobufCMessage *rig_call(struct rig *rig, const char *method, const ProtobufCMessage *request,
			   const ProtobufCMessageDescriptor *response, const int *fds, size_t n_fds,
			   struct error **ret_error)
{
	bool ours = strcmp(method, "Processes") == 0 || strcmp(method, "WaitOom") == 0;
	const struct ttrpc_request call = { .service = ours ? "supermachine.v1.Sandbox"
							    : "containerd.task.v2.Task",
					    .method = method,
					    .message = request,
					    .response = response,
					    .timeout_ms = CALL_TIMEOUT_MS,
					    .fds = fds,
					    .n_fds = n_fds };

	return make_call(rig, &call, ret_error);
}

ProtobufCMessage *rig_call_service(struct rig *rig, const char *service, const char *method,
				   const ProtobufCMessage *request,
				   const ProtobufCMessageDescriptor *response,
				   struct error **ret_error)
{
	const struct ttrpc_request call = { .service = service,
					    .method = method,
					    .message = request,
					    .response = response,
					    .timeout_ms = CALL_TIMEOUT_MS };

	return make_call(rig, &call, ret_error);
}

void rig_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

/* Calls a method whose answer is not looked at; 0 or -1. */
static int call(struct rig *rig, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, const int *fds, size_t n_fds,
		struct error **ret_error)
{
	ProtobufCMessage *answer = rig_call(rig, method, request, response, fds, n_fds, ret_error);

	rig_free(answer);
	return answer ? 0 : -1;
}

/* Names "fd:N" those of fds that are set, and packs them. */
static size_t name_fds(const int fds[3], int *ret_fds, char **ret_names, char (*names)[8])
{
	size_t n = 0;

	for (size_t i = 0; i < 3; i++) {
		ret_names[i] = (char *)"";
		if (!fds || fds[i] < 0)
			continue;
		(void)snprintf(names[i], sizeof(names[i]), "fd:%zu", n);
		ret_names[i] = names[i];
		ret_fds[n++] = fds[i];
	}
	return n;
}

uint32_t rig_create(struct rig *rig, const int fds[3], bool terminal, struct error **ret_error)
{
	Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
	Sandbox__CreateOptions options = SANDBOX__CREATE_OPTIONS__INIT;
	Task__Any any = TASK__ANY__INIT;
	Task__Mount layer = TASK__MOUNT__INIT;
	Task__Mount *layers[] = { &layer };
	_cleanup_free_ char *source = xasprintf("%s/layer", rig->directory);
	Task__CreateTaskResponse *response;
	uint8_t packed[256];
	char *names[3];
	char texts[3][8];
	int passed[3];
	size_t n = name_fds(fds, passed, names, texts);
	uint32_t pid;

	options.terminal_owner = terminal;
	if (rig->network)
		options.network = (char *)rig->network;
	if (rig->oom_file)
		options.oom_file = (char *)rig->oom_file;
	CHECK(sandbox__create_options__get_packed_size(&options) <= sizeof(packed));
	any.type_url = (char *)"supermachine.v1.CreateOptions";
	any.value.len = sandbox__create_options__pack(&options, packed);
	any.value.data = packed;
	layer.type = (char *)"squashfs";
	layer.source = source;
	request.id = (char *)RIG_ID;
	request.bundle = rig->bundle;
	request.rootfs = layers;
	request.n_rootfs = rig->own_root ? 0 : 1;
	request.terminal = terminal;
	request.stdin = names[0];
	request.stdout = names[1];
	request.stderr = names[2];
	request.options = &any;
	response = (Task__CreateTaskResponse *)rig_call(rig, "Create", &request.base,
							&task__create_task_response__descriptor,
							passed, n, ret_error);
	pid = response ? response->pid : 0;
	rig_free(response);
	return pid;
}

int rig_start_task(struct rig *rig, const char *exec_id, struct error **ret_error)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;

	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	return call(rig, "Start", &request.base, &task__start_response__descriptor, NULL, 0,
		    ret_error);
}

int rig_kill(struct rig *rig, const char *exec_id, uint32_t signal, struct error **ret_error)
{
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;

	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	request.signal = signal;
	return call(rig, "Kill", &request.base, &task__empty__descriptor, NULL, 0, ret_error);
}

int rig_wait(struct rig *rig, const char *exec_id, struct error **ret_error)
{
	Task__WaitRequest request = TASK__WAIT_REQUEST__INIT;
	Task__WaitResponse *response;
	int status;

	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	response = (Task__WaitResponse *)rig_call(
	    rig, "Wait", &request.base, &task__wait_response__descriptor, NULL, 0, ret_error);
	if (!response)
		return -1;
	CHECK(response->exited_at && response->exited_at->seconds > 1600000000);
	status = (int)response->exit_status;
	rig_free(response);
	return status;
}

int rig_delete(struct rig *rig, const char *exec_id, struct error **ret_error)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;
	Task__DeleteResponse *response;
	int status;

	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	response = (Task__DeleteResponse *)rig_call(
	    rig, "Delete", &request.base, &task__delete_response__descriptor, NULL, 0, ret_error);
	if (!response)
		return -1;
	status = (int)response->exit_status;
	rig_free(response);
	return status;
}

int rig_exec(struct rig *rig, const char *exec_id, const char *args, const int fds[3],
	     bool terminal, struct error **ret_error)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	_cleanup_free_ char *process = xasprintf("{\"args\":%s,\"cwd\":\"/\"}", args);
	Task__Any any = TASK__ANY__INIT;
	char *names[3];
	char texts[3][8];
	int passed[3];
	size_t n = name_fds(fds, passed, names, texts);

	any.type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/Process";
	any.value.data = (uint8_t *)process;
	any.value.len = strlen(process);
	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	request.terminal = terminal;
	request.stdin = names[0];
	request.stdout = names[1];
	request.stderr = names[2];
	request.spec = &any;
	return call(rig, "Exec", &request.base, &task__empty__descriptor, passed, n, ret_error);
}

Task__Status rig_status(struct rig *rig, const char *exec_id)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	Task__StateResponse *response;
	struct error *error = NULL;
	Task__Status status;

	request.id = (char *)RIG_ID;
	request.exec_id = (char *)exec_id;
	response = (Task__StateResponse *)rig_call(
	    rig, "State", &request.base, &task__state_response__descriptor, NULL, 0, &error);
	CHECK_OK(response ? 0 : -1, &error);
	status = response->status;
	rig_free(response);
	return status;
}

int rig_simple(struct rig *rig, const char *method, struct error **ret_error)
{
	/* Their requests have the same shape: id = 1. */
	static const struct {
		const char *name;
		const ProtobufCMessageDescriptor *response;
	} methods[] = {
		{ "Pause", &task__empty__descriptor },
		{ "Resume", &task__empty__descriptor },
		{ "Pids", &task__pids_response__descriptor },
		{ "Stats", &task__stats_response__descriptor },
		{ "Connect", &task__connect_response__descriptor },
		{ "Checkpoint", &task__empty__descriptor },
		{ "Update", &task__empty__descriptor },
		{ "Processes", &sandbox__processes_response__descriptor },
		{ "Shutdown", &task__empty__descriptor },
	};
	Task__PidsRequest request = TASK__PIDS_REQUEST__INIT;

	request.id = (char *)RIG_ID;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(methods[i].name, method) == 0)
			return call(rig, method, &request.base, methods[i].response, NULL, 0,
				    ret_error);
	abort();
}

uint32_t rig_run(struct rig *rig, const struct rig_config *config, const int fds[3])
{
	struct error *error = NULL;
	uint32_t pid;

	rig_write_config(rig, config);
	pid = rig_create(rig, fds, config->terminal, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	CHECK_OK(rig_start_task(rig, "", &error), &error);
	return pid;
}

int rig_reap(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

char *rig_read(int fd)
{
	struct error *error = NULL;
	char *text;

	CHECK_OK(read_file_fd(fd, "pipe", 64 << 20, &text, NULL, &error), &error);
	return text;
}
