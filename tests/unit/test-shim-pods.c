/* SPDX-License-Identifier: Apache-2.0 */
/* Several containers in one sandbox, against a fake VMM and agent. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/event-sink.h"
#include "tests/unit/shim-rig.h"
#include "ttrpc/any.h"

struct pod {
	struct rig rig;
	char *path; /* of the events' socket */
	struct loop *loop;
	struct event_sink sink;
	uint32_t pid; /* the machine's */
};

/* BUNDLE of a container: rootfs and a config.json that runs args. */
static char *make_bundle(const struct pod *pod, const char *id, const char *args,
			 const char *linux_, const char *annotations)
{
	const struct rig *rig = &pod->rig;
	char *bundle = xasprintf("%s/%s-bundle", rig->directory, id);
	_cleanup_free_ char *rootfs = xasprintf("%s/rootfs", bundle);
	_cleanup_free_ char *path = xasprintf("%s/config.json", bundle);
	_cleanup_free_ char *text =
	    xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
		      "\"process\":{\"args\":%s,\"cwd\":\"/\"},"
		      "\"vm\":{\"kernel\":{\"path\":\"%s/kernel\"}},"
		      "\"linux\":{\"namespaces\":[%s]},\"annotations\":{%s}}",
		      args, rig->directory, linux_, annotations);
	struct error *error = NULL;

	CHECK_OK(make_directories(rootfs, 0755, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
	return bundle;
}

static uint32_t create_from(struct pod *pod, const char *id, char *bundle, Task__Mount *mount,
			    struct error **ret_error)
{
	Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
	Sandbox__CreateOptions options = SANDBOX__CREATE_OPTIONS__INIT;
	Task__Any any = TASK__ANY__INIT;
	Task__CreateTaskResponse *response;
	uint32_t pid;

	options.network = (char *)(pod->rig.network ? pod->rig.network : "");
	any_pack(&any, "supermachine.v1.CreateOptions", &options.base);
	request.options = &any;
	request.id = (char *)id;
	request.bundle = bundle;
	request.rootfs = &mount;
	request.n_rootfs = mount ? 1 : 0;
	response = (Task__CreateTaskResponse *)rig_call(&pod->rig, "Create", &request.base,
							&task__create_task_response__descriptor,
							NULL, 0, ret_error);
	pid = response ? response->pid : 0;
	rig_free(response);
	any_done(&any);
	return pid;
}

/* A container that joins the sandbox, as the CRI plugin makes it; more: annotations. */
static uint32_t create_annotated(struct pod *pod, const char *id, const char *args,
				 const char *more, struct error **ret_error)
{
	_cleanup_free_ char *namespaces =
	    xasprintf("{\"type\":\"mount\"},{\"type\":\"pid\"},"
		      "{\"type\":\"ipc\",\"path\":\"/proc/%u/ns/ipc\"},"
		      "{\"type\":\"uts\",\"path\":\"/proc/%u/ns/uts\"},"
		      "{\"type\":\"network\",\"path\":\"/proc/%u/ns/net\"}",
		      pod->pid, pod->pid, pod->pid);
	_cleanup_free_ char *annotations =
	    xasprintf("\"io.kubernetes.cri.container-type\":\"container\","
		      "\"io.kubernetes.cri.sandbox-id\":\"" RIG_ID "\"%s",
		      more);
	_cleanup_free_ char *bundle = make_bundle(pod, id, args, namespaces, annotations);

	return create_from(pod, id, bundle, NULL, ret_error);
}

static uint32_t create(struct pod *pod, const char *id, const char *args, struct error **ret_error)
{
	return create_annotated(pod, id, args, "", ret_error);
}

static int start(struct pod *pod, const char *id, struct error **ret_error)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	void *response;

	request.id = (char *)id;
	response = rig_call(&pod->rig, "Start", &request.base, &task__start_response__descriptor,
			    NULL, 0, ret_error);
	rig_free(response);
	return response ? 0 : -1;
}

static int end(struct pod *pod, const char *id, struct error **ret_error)
{
	Task__KillRequest request = TASK__KILL_REQUEST__INIT;
	void *response;

	request.id = (char *)id;
	request.signal = SIGKILL;
	response = rig_call(&pod->rig, "Kill", &request.base, &task__empty__descriptor, NULL, 0,
			    ret_error);
	rig_free(response);
	return response ? 0 : -1;
}

static int wait_for(struct pod *pod, const char *id, struct error **ret_error)
{
	Task__WaitRequest request = TASK__WAIT_REQUEST__INIT;
	Task__WaitResponse *response;
	int status;

	request.id = (char *)id;
	response = (Task__WaitResponse *)rig_call(
	    &pod->rig, "Wait", &request.base, &task__wait_response__descriptor, NULL, 0, ret_error);
	status = response ? (int)response->exit_status : -1;
	rig_free(response);
	return status;
}

static int delete (struct pod *pod, const char *id, struct error **ret_error)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;
	Task__DeleteResponse *response;
	int status;

	request.id = (char *)id;
	response = (Task__DeleteResponse *)rig_call(&pod->rig, "Delete", &request.base,
						    &task__delete_response__descriptor, NULL, 0,
						    ret_error);
	status = response ? (int)response->exit_status : -1;
	rig_free(response);
	return status;
}

static Task__Status status_of(struct pod *pod, const char *id)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	Task__StateResponse *response;
	struct error *error = NULL;
	Task__Status status;

	request.id = (char *)id;
	response = (Task__StateResponse *)rig_call(
	    &pod->rig, "State", &request.base, &task__state_response__descriptor, NULL, 0, &error);
	CHECK_OK(response ? 0 : -1, &error);
	CHECK_STRING(response->id, id);
	CHECK_INT(response->pid, pod->pid);
	status = response->status;
	rig_free(response);
	return status;
}

static void run(struct pod *pod, const char *id)
{
	struct error *error = NULL;

	CHECK_OK(create(pod, id, "[\"sleep\",\"1000\"]", &error) ? 0 : -1, &error);
	CHECK_OK(start(pod, id, &error), &error);
	CHECK_INT(status_of(pod, id), TASK__STATUS__RUNNING);
}

static bool alive(const struct pod *pod)
{
	return kill((pid_t)pod->pid, 0) == 0;
}

/* The sandbox's first container runs. */
static void pod_init(struct pod *pod, bool with_events)
{
	_cleanup_free_ char *bundle = NULL;
	struct error *error = NULL;

	memset(pod, 0, sizeof(*pod));
	if (geteuid() != 0)
		test_skip("a staging area needs root");
	rig_init(&pod->rig);
	pod->rig.namespace = "unit";
	pod->path = xasprintf("%s/ttrpc", pod->rig.directory);
	CHECK_OK(loop_new(&pod->loop, &error), &error);
	if (with_events) {
		sink_open(&pod->sink, pod->loop, pod->path);
		pod->rig.events = pod->path;
	}
	rig_start(&pod->rig);
	bundle = make_bundle(pod, RIG_ID, "[\"sleep\",\"1000\"]",
			     "{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},"
			     "{\"type\":\"uts\"},{\"type\":\"network\"}",
			     "\"io.kubernetes.cri.container-type\":\"sandbox\","
			     "\"io.kubernetes.cri.sandbox-id\":\"" RIG_ID "\"");
	pod->pid = create_from(pod, RIG_ID, bundle, NULL, &error);
	CHECK_OK(pod->pid ? 0 : -1, &error);
	CHECK_OK(start(pod, RIG_ID, &error), &error);
}

static void pod_done(struct pod *pod)
{
	sink_done(&pod->sink);
	rig_done(&pod->rig);
	loop_free(pod->loop);
	free(pod->path);
}

/* The server has reaped it: as with containerd, nobody else would. */
static void check_machine_ended(const struct pod *pod)
{
	for (int i = 0; i < 1000 && alive(pod); i++)
		(void)usleep(10000);
	CHECK(!alive(pod));
}

/* Everything is over: the machine has ended with the last container. */
static void check_over(struct pod *pod)
{
	check_machine_ended(pod);
	pod_done(pod);
}

static void expect_events(struct pod *pod, const char *const *wanted)
{
	size_t n = 0;

	while (wanted[n])
		n++;
	sink_expect(&pod->sink, n);
	for (size_t i = 0; i < n; i++)
		CHECK_STRING(pod->sink.lines[i], wanted[i]);
	CHECK_INT(pod->sink.n_lines, n);
}

static char *machine_log(const struct pod *pod)
{
	_cleanup_free_ char *path = xasprintf("%s/" RIG_ID "/vmm.log", pod->rig.directory);
	struct error *error = NULL;
	char *text;

	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	return text;
}

/* Kills it, waits and deletes it. */
static void finish(struct pod *pod, const char *id)
{
	struct error *error = NULL;

	CHECK_OK(end(pod, id, &error), &error);
	CHECK_INT(wait_for(pod, id, &error), 137);
	CHECK_INT(status_of(pod, id), TASK__STATUS__STOPPED);
	CHECK_INT(delete (pod, id, &error), 137);
	CHECK_ERROR(delete (pod, id, &error), &error, "container does not exist");
}

/* The places of roots in the staging area, "HEX/rootfs is there": how many different ones. */
static unsigned count_places(const char *log)
{
	static const char end[] = "/rootfs is there";
	char names[8][33];
	unsigned n = 0, i;

	for (const char *at = strstr(log, end); at; at = strstr(at + 1, end)) {
		CHECK(at - log >= 32 && n < ARRAY_SIZE(names));
		(void)snprintf(names[n], sizeof(names[n]), "%.32s", at - 32);
		CHECK_INT(strspn(names[n], "0123456789abcdef"), 32);
		for (i = 0; i < n && strcmp(names[i], names[n]) != 0; i++)
			;
		n += i == n;
	}
	return n;
}

static void test_life(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 0 mounts",
		"/tasks/start box",
		"/tasks/create app 0 mounts",
		"/tasks/start app",
		"/tasks/exit app/app 137",
		"/tasks/delete app/ 137",
		"/tasks/create app 0 mounts",
		"/tasks/start app",
		"/tasks/create two 0 mounts",
		"/tasks/start two",
		"/tasks/paused box",
		"/tasks/resumed box",
		"/tasks/exit app/app 137",
		"/tasks/delete app/ 137",
		"/tasks/exit two/two 137",
		"/tasks/delete two/ 137",
		"/tasks/exit box/box 137",
		"/tasks/delete box/ 137",
		NULL,
	};
	struct error *error = NULL;
	_cleanup_free_ char *log = NULL;
	struct pod pod;

	pod_init(&pod, true);
	run(&pod, "app");
	CHECK_ERROR(create(&pod, "app", "[\"true\"]", &error) ? 0 : -1, &error, "already exists");
	finish(&pod, "app");
	CHECK_INT(status_of(&pod, RIG_ID), TASK__STATUS__RUNNING);
	/* Nothing of it is in the way of another of the same name. */
	run(&pod, "app");
	run(&pod, "two");
	log = machine_log(&pod);
	/* Each has its root, the second of a name another one, at a place that cannot be guessed.
	 */
	CHECK_INT(count_places(log), 4);
	CHECK(!strstr(log, "missing"));
	CHECK(strstr(log, "app joins ipc of box") && strstr(log, "app joins uts of box") &&
	      strstr(log, "app joins network of box"));
	CHECK(!strstr(log, "joins pid") && !strstr(log, "box joins"));
	/* What is done to one is not done to another. */
	CHECK_OK(rig_simple(&pod.rig, "Pause", &error), &error);
	CHECK_INT(status_of(&pod, RIG_ID), TASK__STATUS__PAUSED);
	CHECK_INT(status_of(&pod, "app"), TASK__STATUS__RUNNING);
	CHECK_OK(rig_simple(&pod.rig, "Resume", &error), &error);
	finish(&pod, "app");
	/* Ignored while there are containers. */
	CHECK_OK(rig_simple(&pod.rig, "Shutdown", &error), &error);
	finish(&pod, "two");
	CHECK(alive(&pod));
	finish(&pod, RIG_ID);
	expect_events(&pod, wanted);
	check_over(&pod);
}

/* A later container's cache mode is in its root's name, whatever the machine's mode is. */
static void test_cache_modes(void)
{
	static const char *const modes[] = { "auto", "always", "none" };
	_cleanup_free_ char *log = NULL;
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_free_ char *annotation =
		    xasprintf(",\"io.supermachine.cache\":\"%s\"", modes[i]);

		CHECK_OK(create_annotated(&pod, modes[i], "[\"true\"]", annotation, &error) ? 0
											    : -1,
			 &error);
	}
	log = machine_log(&pod);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_free_ char *line = xasprintf("/rootfs@%s is there", modes[i]);

		CHECK(strstr(log, line));
	}
	pod_done(&pod);
}

/* The first container ends, and is deleted, before the others. */
static void test_main_first(void)
{
	static const char *const wanted[] = {
		"/tasks/create box 0 mounts",
		"/tasks/start box",
		"/tasks/create app 0 mounts",
		"/tasks/start app",
		"/tasks/exit box/box 137",
		"/tasks/delete box/ 137",
		"/tasks/exit app/app 137",
		"/tasks/delete app/ 137",
		NULL,
	};
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, true);
	run(&pod, "app");
	CHECK_OK(end(&pod, RIG_ID, &error), &error);
	CHECK_INT(wait_for(&pod, RIG_ID, &error), 137);
	CHECK_INT(delete (&pod, RIG_ID, &error), 137);
	CHECK_INT(status_of(&pod, "app"), TASK__STATUS__RUNNING);
	CHECK(alive(&pod));
	CHECK_OK(end(&pod, "app", &error), &error);
	CHECK_INT(wait_for(&pod, "app", &error), 137);
	CHECK_INT(delete (&pod, "app", &error), 137);
	expect_events(&pod, wanted);
	check_over(&pod);
}

/* The machine goes when all have stopped, whether they are deleted or not. */
static void test_stopped_together(void)
{
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	run(&pod, "app");
	CHECK_OK(end(&pod, "app", &error), &error);
	CHECK_OK(end(&pod, RIG_ID, &error), &error);
	CHECK_INT(wait_for(&pod, RIG_ID, &error), 137);
	CHECK_INT(wait_for(&pod, "app", &error), 137);
	check_machine_ended(&pod);
	CHECK_ERROR(create(&pod, "late", "[\"true\"]", &error) ? 0 : -1, &error, "has ended");
	CHECK_INT(delete (&pod, "app", &error), 137);
	CHECK_INT(delete (&pod, RIG_ID, &error), 137);
	pod_done(&pod);
}

static void test_failed_create(void)
{
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	for (int i = 0; i < 3; i++) {
		CHECK_ERROR(create(&pod, "app", "[\"missing\"]", &error) ? 0 : -1, &error,
			    "executable file not found");
		CHECK_INT(status_of(&pod, RIG_ID), TASK__STATUS__RUNNING);
	}
	run(&pod, "app");
	/* One that was never started. */
	CHECK_OK(create(&pod, "idle", "[\"true\"]", &error) ? 0 : -1, &error);
	CHECK_INT(delete (&pod, "idle", &error), 137);
	CHECK_INT(status_of(&pod, "app"), TASK__STATUS__RUNNING);
	pod_done(&pod);
}

struct creator {
	struct pod *pod;
	pthread_t thread;
	struct error *error;
};

static void *create_slowly(void *data)
{
	struct creator *creator = data;

	(void)create(creator->pod, "app", "[\"slow\"]", &creator->error);
	return NULL;
}

static bool is_known(struct pod *pod, const char *id)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	struct error *error = NULL;
	void *response;

	request.id = (char *)id;
	response = rig_call(&pod->rig, "State", &request.base, &task__state_response__descriptor,
			    NULL, 0, &error);
	if (!response)
		error_free(error);
	else
		rig_free(response);
	return response != NULL;
}

/* Begins a create, on which the agent soon is. */
static void begin_create(struct creator *creator, struct pod *pod)
{
	creator->pod = pod;
	CHECK(pthread_create(&creator->thread, NULL, create_slowly, creator) == 0);
	while (!is_known(pod, "app"))
		(void)usleep(10000);
	(void)usleep(200000);
}

/* Given up while the agent makes it: what comes of that is removed. */
static void test_aborted_create(void)
{
	struct creator creator = { 0 };
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	for (int i = 0; i < 2; i++) {
		begin_create(&creator, &pod);
		if (i == 0)
			CHECK_OK(end(&pod, "app", &error), &error);
		else
			CHECK_INT(delete (&pod, "app", &error), 137);
		CHECK(pthread_join(creator.thread, NULL) == 0);
		CHECK_ERROR(-1, &creator.error, "while it was being created");
	}
	CHECK_INT(status_of(&pod, RIG_ID), TASK__STATUS__RUNNING);
	run(&pod, "app");
	pod_done(&pod);
}

/* The others have stopped when it is given up: nobody needs the machine any more. */
static void test_aborted_last(void)
{
	struct creator creator = { 0 };
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	begin_create(&creator, &pod);
	CHECK_OK(end(&pod, RIG_ID, &error), &error);
	CHECK_INT(wait_for(&pod, RIG_ID, &error), 137);
	CHECK_OK(end(&pod, "app", &error), &error);
	CHECK(pthread_join(creator.thread, NULL) == 0);
	CHECK_ERROR(-1, &creator.error, "while it was being created");
	CHECK_INT(delete (&pod, RIG_ID, &error), 137);
	check_over(&pod);
}

/* The machine dies under all of them, one of which is being created. */
static void test_lost(void)
{
	struct creator creator = { 0 };
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	run(&pod, "two");
	begin_create(&creator, &pod);
	CHECK(kill((pid_t)pod.pid, SIGKILL) == 0);
	CHECK(pthread_join(creator.thread, NULL) == 0);
	CHECK_ERROR(-1, &creator.error, "while the container was being created");
	CHECK_INT(wait_for(&pod, "two", &error), 137);
	CHECK_INT(wait_for(&pod, RIG_ID, &error), 137);
	CHECK_INT(delete (&pod, RIG_ID, &error), 137);
	CHECK_INT(delete (&pod, "two", &error), 137);
	check_over(&pod);
}

/* What the task server refuses costs the sandbox nothing. */
static void test_refused(void)
{
	static const struct {
		const char *namespaces, *annotations, *error;
	} cases[] = {
		{ "{\"type\":\"mount\"},{\"type\":\"network\",\"path\":\"/proc/@/ns/net\"}",
		  "\"io.kubernetes.cri.sandbox-id\":\"other\"", "name the sandbox other" },
		{ "{\"type\":\"mount\"},{\"type\":\"ipc\",\"path\":\"/proc/1/ns/ipc\"}", "",
		  "cannot join the ipc namespace /proc/1/ns/ipc" },
		{ "{\"type\":\"mount\"},{\"type\":\"cgroup\",\"path\":\"/proc/self/ns/cgroup\"}",
		  "", "cannot join the cgroup namespace" },
		{ "{\"type\":\"mount\",\"path\":\"/proc/@/ns/mnt\"}", "",
		  "cannot join the mount namespace" },
		{ "{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}", "",
		  "is not that of the container's sandbox" },
		/* The host's network, while the sandbox has one of its own. */
		{ "{\"type\":\"mount\"}", "", "is not that of the container's sandbox" },
	};
	Task__Mount image = TASK__MOUNT__INIT;
	_cleanup_free_ char *source = NULL;
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strchr(cases[i].namespaces, '@');
		_cleanup_free_ char *namespaces =
		    at ? xasprintf("%.*s%u%s", (int)(at - cases[i].namespaces), cases[i].namespaces,
				   pod.pid, at + 1)
		       : xstrdup(cases[i].namespaces);
		_cleanup_free_ char *bundle =
		    make_bundle(&pod, "app", "[\"true\"]", namespaces, cases[i].annotations);

		CHECK_ERROR(create_from(&pod, "app", bundle, NULL, &error) ? 0 : -1, &error,
			    cases[i].error);
	}
	source = xasprintf("%s/layer", pod.rig.directory);
	image.type = (char *)"erofs";
	image.source = source;
	{
		_cleanup_free_ char *bundle = make_bundle(
		    &pod, "app", "[\"true\"]", "{\"type\":\"mount\"},{\"type\":\"network\"}", "");

		CHECK_ERROR(create_from(&pod, "app", bundle, &image, &error) ? 0 : -1, &error,
			    "cannot be an image");
	}
	CHECK_ERROR(create(&pod, "../x", "[\"true\"]", &error) ? 0 : -1, &error, "invalid");
	pod.rig.network = "none";
	CHECK_ERROR(create(&pod, "app", "[\"true\"]", &error) ? 0 : -1, &error,
		    "the sandbox " RIG_ID " has its network already");
	pod.rig.network = NULL;
	run(&pod, "app");
	pod_done(&pod);
}

/* Its author wrote them: they are privileges (host/allow.h). */
static void test_annotations(void)
{
	static const char *const refused[][2] = {
		{ ",\"io.supermachine.socket.api\":\"/s\"",
		  "annotations[\"io.supermachine.socket.api\"]: not allowed" },
		{ ",\"io.supermachine.kernel\":\"/k\"",
		  "annotations[\"io.supermachine.kernel\"]: not allowed" },
		{ ",\"io.supermachine.volume.v\":\"/etc/shadow:/v:ro\"",
		  "add \"volume\" to allow.annotations in the configuration file" },
		{ ",\"io.supermachine.vcpu\":\"2\"",
		  "annotations[\"io.supermachine.vcpu\"]: unknown" },
	};
	struct error *error = NULL;
	struct pod pod;

	pod_init(&pod, false);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		CHECK_ERROR(create_annotated(&pod, "app", "[\"true\"]", refused[i][0], &error) ? 0
											       : -1,
			    &error, refused[i][1]);
	CHECK_OK(create_annotated(&pod, "app", "[\"true\"]",
				  ",\"io.supermachine.memory\":\"64M\","
				  "\"com.example.volume\":\"/etc\"",
				  &error)
		     ? 0
		     : -1,
		 &error);
	pod_done(&pod);
}

static const struct test_case cases[] = {
	{ "life", test_life },
	{ "annotations", test_annotations },
	{ "cache modes", test_cache_modes },
	{ "main first", test_main_first },
	{ "stopped together", test_stopped_together },
	{ "failed create", test_failed_create },
	{ "aborted create", test_aborted_create },
	{ "aborted last", test_aborted_last },
	{ "lost", test_lost },
	{ "refused", test_refused },
};

TEST_MAIN(cases)
