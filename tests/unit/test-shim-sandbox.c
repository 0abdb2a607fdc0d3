/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's Sandbox API: a machine without a container, against a fake VMM and agent. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/cri.pb-c.h"
#include "protocol/sandbox-api.pb-c.h"
#include "tests/unit/shim-rig.h"
#include "ttrpc/any.h"
#include "ttrpc/frame.h"
#include "ttrpc/message.h"

struct kept {
	struct rig rig;
	uint32_t pid; /* the machine's */
};

/* BUNDLE of a container that runs args, in the namespaces of the sandbox's process. */
static char *make_bundle(const struct kept *kept, const char *id, const char *args)
{
	const char *directory = kept->rig.directory;
	char *bundle = xasprintf("%s/%s-bundle", directory, id);
	_cleanup_free_ char *rootfs = xasprintf("%s/rootfs", bundle);
	_cleanup_free_ char *path = xasprintf("%s/config.json", bundle);
	_cleanup_free_ char *text =
	    xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
		      "\"process\":{\"args\":%s,\"cwd\":\"/\"},\"linux\":{\"namespaces\":["
		      "{\"type\":\"mount\"},{\"type\":\"pid\"},"
		      "{\"type\":\"ipc\",\"path\":\"/proc/%u/ns/ipc\"},"
		      "{\"type\":\"uts\",\"path\":\"/proc/%u/ns/uts\"}]}}",
		      args, kept->pid, kept->pid);
	struct error *error = NULL;

	CHECK_OK(make_directories(rootfs, 0755, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
	return bundle;
}

/* Messages that have the id alone; *ret_response is freed by rig_free(), or NULL. */
static int ask(struct kept *kept, const char *method, const char *id,
	       const ProtobufCMessageDescriptor *descriptor, void *ret_response,
	       struct error **ret_error)
{
	SandboxApi__SandboxRequest request = SANDBOX_API__SANDBOX_REQUEST__INIT;
	ProtobufCMessage *response;

	request.sandbox_id = (char *)id;
	response = rig_call_service(&kept->rig, RIG_SANDBOX_API, method, &request.base, descriptor,
				    ret_error);
	if (ret_response)
		*(ProtobufCMessage **)ret_response = response;
	else
		rig_free(response);
	return response ? 0 : -1;
}

static int ask_empty(struct kept *kept, const char *method, struct error **ret_error)
{
	return ask(kept, method, RIG_ID, &task__empty__descriptor, NULL, ret_error);
}

static int create_sandbox(struct kept *kept, struct error **ret_error)
{
	SandboxApi__CreateSandboxRequest request = SANDBOX_API__CREATE_SANDBOX_REQUEST__INIT;
	ProtobufCMessage *response;

	request.sandbox_id = (char *)RIG_ID;
	request.bundle_path = kept->rig.bundle;
	response = rig_call_service(&kept->rig, RIG_SANDBOX_API, "CreateSandbox", &request.base,
				    &task__empty__descriptor, ret_error);
	rig_free(response);
	return response ? 0 : -1;
}

/* As the CRI plugin asks for it: with all that the pod's author wrote. */
static int create_annotated(struct kept *kept, const char *key, struct error **ret_error)
{
	SandboxApi__CreateSandboxRequest request = SANDBOX_API__CREATE_SANDBOX_REQUEST__INIT;
	Cri__PodSandboxConfig pod = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__PodSandboxConfig__AnnotationsEntry annotation =
	    CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT;
	Cri__PodSandboxConfig__AnnotationsEntry *annotations[] = { &annotation };
	Task__Any any = TASK__ANY__INIT;
	ProtobufCMessage *response;

	annotation.key = (char *)key;
	annotation.value = (char *)"128M";
	pod.annotations = annotations;
	pod.n_annotations = 1;
	any_pack(&any, "runtime.v1.PodSandboxConfig", &pod.base);
	request.options = &any;
	request.sandbox_id = (char *)RIG_ID;
	request.bundle_path = kept->rig.bundle;
	response = rig_call_service(&kept->rig, RIG_SANDBOX_API, "CreateSandbox", &request.base,
				    &task__empty__descriptor, ret_error);
	rig_free(response);
	any_done(&any);
	return response ? 0 : -1;
}

static int start_sandbox(struct kept *kept, struct error **ret_error)
{
	SandboxApi__StartSandboxResponse *response;

	if (ask(kept, "StartSandbox", RIG_ID, &sandbox_api__start_sandbox_response__descriptor,
		&response, ret_error) < 0)
		return -1;
	CHECK(response->created_at && response->created_at->seconds > 0);
	kept->pid = response->pid;
	rig_free(response);
	return 0;
}

static void check_status(struct kept *kept, const char *state, const char *machine)
{
	SandboxApi__SandboxStatusRequest request = SANDBOX_API__SANDBOX_STATUS_REQUEST__INIT;
	SandboxApi__SandboxStatusResponse *response;
	struct error *error = NULL;

	request.sandbox_id = (char *)RIG_ID;
	request.verbose = true;
	response = (SandboxApi__SandboxStatusResponse *)rig_call_service(
	    &kept->rig, RIG_SANDBOX_API, "SandboxStatus", &request.base,
	    &sandbox_api__sandbox_status_response__descriptor, &error);
	CHECK_OK(response ? 0 : -1, &error);
	CHECK_STRING(response->sandbox_id, RIG_ID);
	CHECK_STRING(response->state, state);
	CHECK_INT(response->pid, kept->pid);
	CHECK_STRING(response->info[0]->value, machine);
	rig_free(response);
}

static int wait_sandbox(struct kept *kept)
{
	SandboxApi__WaitSandboxResponse *response;
	struct error *error = NULL;
	int status;

	CHECK_OK(ask(kept, "WaitSandbox", RIG_ID, &sandbox_api__wait_sandbox_response__descriptor,
		     &response, &error),
		 &error);
	CHECK(response->exited_at && response->exited_at->seconds > 0);
	status = (int)response->exit_status;
	rig_free(response);
	return status;
}

/* Task/METHOD of a container; 0 or -1. */
static int task_call(struct kept *kept, const char *id, const char *method,
		     const ProtobufCMessageDescriptor *descriptor, void *ret_response,
		     struct error **ret_error)
{
	/* The id is field 1 of all that are asked for here. */
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;
	ProtobufCMessage *response;

	request.id = (char *)id;
	response = rig_call(&kept->rig, method, &request.base, descriptor, NULL, 0, ret_error);
	if (ret_response)
		*(ProtobufCMessage **)ret_response = response;
	else
		rig_free(response);
	return response ? 0 : -1;
}

static int create(struct kept *kept, const char *id, const char *args, struct error **ret_error)
{
	_cleanup_free_ char *bundle = make_bundle(kept, id, args);
	Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
	Task__CreateTaskResponse *response;
	uint32_t pid;

	request.id = (char *)id;
	request.bundle = bundle;
	response = (Task__CreateTaskResponse *)rig_call(&kept->rig, "Create", &request.base,
							&task__create_task_response__descriptor,
							NULL, 0, ret_error);
	pid = response ? response->pid : 0;
	rig_free(response);
	if (pid)
		CHECK_INT(pid, kept->pid);
	return pid ? 0 : -1;
}

static int wait_task(struct kept *kept, const char *id)
{
	Task__WaitResponse *response;
	struct error *error = NULL;
	int status;

	CHECK_OK(task_call(kept, id, "Wait", &task__wait_response__descriptor, &response, &error),
		 &error);
	status = (int)response->exit_status;
	rig_free(response);
	return status;
}

static void run(struct kept *kept, const char *id, const char *args)
{
	struct error *error = NULL;

	CHECK_OK(create(kept, id, args, &error), &error);
	CHECK_OK(task_call(kept, id, "Start", &task__start_response__descriptor, NULL, &error),
		 &error);
}

static void delete_task(struct kept *kept, const char *id)
{
	struct error *error = NULL;

	CHECK_OK(task_call(kept, id, "Delete", &task__delete_response__descriptor, NULL, &error),
		 &error);
}

static void kept_init(struct kept *kept, const char *fake)
{
	rig_init(&kept->rig);
	kept->rig.namespace = "unit";
	kept->pid = 0;
	rig_write_config(&kept->rig, &(struct rig_config){ .fake = fake });
	rig_start(&kept->rig);
}

static void kept_start(struct kept *kept)
{
	struct error *error = NULL;

	kept_init(kept, NULL);
	CHECK_OK(create_sandbox(kept, &error), &error);
	check_status(kept, "SANDBOX_NOTREADY", "empty");
	CHECK_OK(start_sandbox(kept, &error), &error);
	check_status(kept, "SANDBOX_READY", "ready");
}

static void kept_done(struct kept *kept)
{
	struct error *error = NULL;
	int status;

	CHECK_OK(ask_empty(kept, "ShutdownSandbox", &error), &error);
	CHECK(waitpid(kept->rig.server, &status, 0) == kept->rig.server);
	CHECK_INT(status, 0);
	rig_remove(&kept->rig);
}

/* Containers come and go, the machine stays until it is stopped. */
static void test_life(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_start(&kept);
	CHECK_OK(ask_empty(&kept, "PingSandbox", &error), &error);
	for (int i = 0; i < 2; i++) {
		run(&kept, "one", "[\"sh\",\"-c\",\"exit 3\"]");
		CHECK_INT(wait_task(&kept, "one"), 3);
		delete_task(&kept, "one");
		check_status(&kept, "SANDBOX_READY", "ready");
	}
	/* Task/Shutdown is for a sandbox that is its containers'. */
	CHECK_OK(rig_simple(&kept.rig, "Shutdown", &error), &error);
	check_status(&kept, "SANDBOX_READY", "ready");
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	check_status(&kept, "SANDBOX_NOTREADY", "gone");
	CHECK_INT(wait_sandbox(&kept), 0);
	CHECK_ERROR(create(&kept, "late", "[\"true\"]", &error), &error, "has ended");
	kept_done(&kept);
}

/* What runs when it is stopped ends with 137, and can still be deleted. */
static void test_stopped_under_containers(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_start(&kept);
	run(&kept, "one", "[\"sleep\",\"100\"]");
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	CHECK_INT(wait_task(&kept, "one"), 137);
	delete_task(&kept, "one");
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	kept_done(&kept);
}

static void test_machine_dies(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_start(&kept);
	run(&kept, "one", "[\"sleep\",\"100\"]");
	CHECK(kill((pid_t)kept.pid, SIGKILL) == 0);
	CHECK_INT(wait_sandbox(&kept), 137);
	CHECK_INT(wait_task(&kept, "one"), 137);
	delete_task(&kept, "one");
	check_status(&kept, "SANDBOX_NOTREADY", "gone");
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	kept_done(&kept);
}

/* A Create that fails is its container's affair. */
static void test_failed_create(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_start(&kept);
	CHECK_ERROR(create(&kept, "bad", "[\"missing\"]", &error), &error,
		    "executable file not found");
	check_status(&kept, "SANDBOX_READY", "ready");
	run(&kept, "good", "[\"true\"]");
	CHECK_INT(wait_task(&kept, "good"), 0);
	kept_done(&kept);
}

static void test_order(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_init(&kept, NULL);
	CHECK_ERROR(start_sandbox(&kept, &error), &error, "has not been created");
	CHECK_ERROR(ask_empty(&kept, "StopSandbox", &error), &error, "has not been created");
	CHECK_ERROR(ask(&kept, "PingSandbox", "other", &task__empty__descriptor, NULL, &error),
		    &error, "this task server is for the sandbox " RIG_ID ", not other");
	CHECK_OK(create_sandbox(&kept, &error), &error);
	CHECK_ERROR(create_sandbox(&kept, &error), &error, "exists already");
	CHECK_ERROR(create(&kept, "early", "[\"true\"]", &error), &error, "has not been started");
	CHECK_OK(start_sandbox(&kept, &error), &error);
	CHECK_ERROR(start_sandbox(&kept, &error), &error, "has been started already");
	kept_done(&kept);
}

/* Stopped before it was started: there is nothing to wait for. */
static void test_never_started(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_init(&kept, NULL);
	CHECK_OK(create_sandbox(&kept, &error), &error);
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	CHECK_INT(wait_sandbox(&kept), 0);
	CHECK_ERROR(start_sandbox(&kept, &error), &error, "has been stopped");
	kept_done(&kept);
}

/* The guest never calls, or is of another build. */
static void test_start_fails(void)
{
	struct error *error = NULL;
	struct kept kept;

	rig_init(&kept.rig);
	kept.rig.namespace = "unit";
	kept.rig.boot_timeout_ms = 300;
	kept.pid = 0;
	rig_write_config(&kept.rig, &(struct rig_config){ .fake = "fake.mute=boot" });
	rig_start(&kept.rig);
	CHECK_OK(create_sandbox(&kept, &error), &error);
	CHECK_ERROR(start_sandbox(&kept, &error), &error, "did not come up within 0 s");
	CHECK_INT(wait_sandbox(&kept), 137);
	kept_done(&kept);
}

/* A request on a connection of its own, whose answer is not read. */
static int send_request(const struct rig *rig, const char *method)
{
	SandboxApi__SandboxRequest message = SANDBOX_API__SANDBOX_REQUEST__INIT;
	const struct ttrpc_request request = { .service = RIG_SANDBOX_API,
					       .method = method,
					       .message = &message.base };
	struct frame_header header = { .stream = 1, .type = FRAME_REQUEST };
	uint8_t head[FRAME_HEADER_SIZE];
	int fd = unix_connect(rig->socket, NULL);
	uint8_t *bytes;
	size_t size;

	message.sandbox_id = (char *)RIG_ID;
	CHECK(fd >= 0 && message_pack_request(&request, NULL, &bytes, &size, NULL) == 0);
	header.length = (uint32_t)size;
	frame_header_encode(&header, head);
	CHECK(write_all(fd, head, sizeof(head)) == 0 && write_all(fd, bytes, size) == 0);
	free(bytes);
	return fd;
}

static void check_server_ends(struct kept *kept)
{
	int status;

	CHECK(waitpid(kept->rig.server, &status, 0) == kept->rig.server);
	CHECK_INT(status, 0);
	rig_remove(&kept->rig);
}

/* Both arrive before the server looks: no machine is left behind. */
static void test_shutdown_before_start(void)
{
	struct error *error = NULL;
	struct kept kept;
	int shutdown_fd, start_fd;

	kept_init(&kept, NULL);
	CHECK_OK(create_sandbox(&kept, &error), &error);
	CHECK(kill(kept.rig.server, SIGSTOP) == 0);
	shutdown_fd = send_request(&kept.rig, "ShutdownSandbox");
	start_fd = send_request(&kept.rig, "StartSandbox");
	CHECK(kill(kept.rig.server, SIGCONT) == 0);
	check_server_ends(&kept);
	(void)close(shutdown_fd);
	(void)close(start_fd);
}

/* Who waits for the end of one that cannot be started is told. */
static void test_wait_before_failing_start(void)
{
	SandboxApi__CreateSandboxRequest request = SANDBOX_API__CREATE_SANDBOX_REQUEST__INIT;
	struct error *error = NULL;
	ProtobufCMessage *response;
	struct kept kept;
	char byte;
	int fd;

	kept_init(&kept, NULL);
	request.sandbox_id = (char *)RIG_ID;
	request.bundle_path = kept.rig.bundle;
	request.netns_path = (char *)"/nonexistent";
	response = rig_call_service(&kept.rig, RIG_SANDBOX_API, "CreateSandbox", &request.base,
				    &task__empty__descriptor, &error);
	CHECK_OK(response ? 0 : -1, &error);
	rig_free(response);
	fd = send_request(&kept.rig, "WaitSandbox");
	CHECK_ERROR(start_sandbox(&kept, &error), &error,
		    "cannot join the network namespace /nonexistent");
	CHECK(read(fd, &byte, 1) == 1);
	(void)close(fd);
	kept_done(&kept);
}

/* The machine lives, but its agent has hung up while a container ran: it still ends. */
static void test_agent_hangs_up(void)
{
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;
	struct error *error = NULL;
	struct kept kept;

	kept_init(&kept, "fake.hangup=signal");
	CHECK_OK(create_sandbox(&kept, &error), &error);
	CHECK_OK(start_sandbox(&kept, &error), &error);
	run(&kept, "one", "[\"sleep\",\"100\"]");
	request.id = (char *)"one";
	request.signal = SIGTERM;
	rig_free(
	    rig_call(&kept.rig, "Kill", &request.base, &task__empty__descriptor, NULL, 0, &error));
	error_free(error);
	error = NULL;
	CHECK_INT(wait_task(&kept, "one"), 137);
	CHECK_OK(ask_empty(&kept, "StopSandbox", &error), &error);
	CHECK_INT(wait_sandbox(&kept), 137);
	kept_done(&kept);
}

static void test_platform(void)
{
	SandboxApi__PlatformResponse *response;
	struct error *error = NULL;
	struct kept kept;

	kept_init(&kept, NULL);
	CHECK_OK(ask(&kept, "Platform", RIG_ID, &sandbox_api__platform_response__descriptor,
		     &response, &error),
		 &error);
	CHECK_STRING(response->platform->os, "linux");
	CHECK(response->platform->architecture[0]);
	rig_free(response);
	kept_done(&kept);
}

static void test_annotations(void)
{
	struct error *error = NULL;
	struct kept kept;

	kept_init(&kept, NULL);
	CHECK_ERROR(create_annotated(&kept, "io.supermachine.kernel", &error), &error,
		    "annotations[\"io.supermachine.kernel\"]: not allowed");
	CHECK_ERROR(create_annotated(&kept, "io.supermachine.cpu", &error), &error,
		    "annotations[\"io.supermachine.cpu\"]: unknown annotation");
	/* What others' annotations say is theirs. */
	CHECK_OK(create_annotated(&kept, "com.example.kernel", &error), &error);
	kept_done(&kept);
}

static const struct test_case cases[] = {
	{ "annotations", test_annotations },
	{ "life", test_life },
	{ "stopped under containers", test_stopped_under_containers },
	{ "machine dies", test_machine_dies },
	{ "failed create", test_failed_create },
	{ "order", test_order },
	{ "never started", test_never_started },
	{ "start fails", test_start_fails },
	{ "shutdown before start", test_shutdown_before_start },
	{ "wait before failing start", test_wait_before_failing_start },
	{ "agent hangs up", test_agent_hangs_up },
	{ "platform", test_platform },
};

TEST_MAIN(cases)
