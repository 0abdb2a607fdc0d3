/* SPDX-License-Identifier: Apache-2.0 */
/* The task server's requests, against a fake VMM and agent: lives and deaths. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "tests/unit/shim-rig.h"
#include "ttrpc/any.h"

static void test_life(void)
{
	siginfo_t ended = { 0 };
	struct error *error = NULL;
	struct rig rig;
	int out[2], fds[3];
	uint32_t pid;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = -1;
	fds[1] = fds[2] = out[1];
	rig_write_config(&rig,
			 &(struct rig_config){ .args = "[\"sh\",\"-c\",\"echo out; echo err >&2; "
						       "exit 3\"]" });
	pid = rig_create(&rig, fds, false, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	CHECK(kill((pid_t)pid, 0) == 0);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__CREATED);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	(void)close(out[1]);
	text = rig_read(out[0]);
	CHECK(strcmp(text, "out\nerr\n") == 0 || strcmp(text, "err\nout\n") == 0);
	CHECK_INT(rig_wait(&rig, "", &error), 3);
	/* Who is told of the end finds no process any more. */
	CHECK(waitid(P_PID, pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0);
	CHECK_INT(ended.si_pid, (pid_t)pid);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__STOPPED);
	CHECK_INT(rig_reap((pid_t)pid), 3 << 8);
	CHECK_INT(rig_wait(&rig, "", &error), 3);
	CHECK_INT(rig_delete(&rig, "", &error), 3);
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "container does not exist: box");
	free(text);
	rig_done(&rig);
}

/* The process that stands for the container dies by SIGKILL if that ended it; of another signal
 * its status tells where it is process 1 of a pid namespace (not in a test without privileges). */
static void die_by_signal(int signal)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid;
	int status;

	rig_init(&rig);
	rig_start(&rig);
	pid = rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	CHECK_OK(rig_kill(&rig, "", (uint32_t)signal, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 128 + signal);
	status = rig_reap((pid_t)pid);
	if (status != (128 + signal) << 8 || signal == SIGKILL)
		CHECK_INT(status, signal);
	CHECK_INT(rig_delete(&rig, "", &error), 128 + signal);
	rig_done(&rig);
}

static void test_death_by_signal(void)
{
	die_by_signal(SIGKILL);
	die_by_signal(SIGTERM);
}

/* containerd 2.x may call the same methods by another service's name. */
static void test_version_3(void)
{
	Task__ConnectRequest request = TASK__CONNECT_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct error *error = NULL;
	struct rig rig;
	int fd;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	request.id = (char *)RIG_ID;
	fd = unix_connect(rig.socket, &error);
	CHECK_OK(fd, &error);
	CHECK_OK(ttrpc_call_sync(
		     fd, -1,
		     &(struct ttrpc_request){ .service = "containerd.task.v3.Task",
					      .method = "Connect",
					      .message = &request.base,
					      .response = &task__connect_response__descriptor,
					      .timeout_ms = 10000 },
		     &response, &error),
		 &error);
	CHECK_INT(((Task__ConnectResponse *)response)->shim_pid, rig.server);
	rig_free(response);
	CHECK_ERROR(ttrpc_call_sync(
			fd, -1,
			&(struct ttrpc_request){ .service = "containerd.task.v4.Task",
						 .method = "Connect",
						 .message = &request.base,
						 .response = &task__connect_response__descriptor,
						 .timeout_ms = 10000 },
			&response, &error),
		    &error, "containerd.task.v4.Task");
	(void)close(fd);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_wrong_state(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid;

	rig_init(&rig);
	rig_start(&rig);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "does not exist");
	CHECK_ERROR(rig_simple(&rig, "Stats", &error), &error, "does not exist");
	rig_write_config(&rig, &(struct rig_config){ 0 });
	pid = rig_create(&rig, NULL, false, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error, "already exists");
	CHECK_ERROR(rig_simple(&rig, "Resume", &error), &error, "container not paused");
	CHECK_ERROR(rig_simple(&rig, "Checkpoint", &error), &error,
		    "cannot checkpoint a container in the created state");
	CHECK_ERROR(rig_start_task(&rig, "nobody", &error), &error,
		    "process does not exist: nobody");
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "already running container");
	CHECK_ERROR(rig_delete(&rig, "", &error), &error,
		    "cannot delete container box that is not stopped: running");
	CHECK_ERROR(rig_kill(&rig, "", 99, &error), &error, "unknown signal");
	/* Ignored while there is a container. */
	CHECK_OK(rig_simple(&rig, "Shutdown", &error), &error);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_ERROR(rig_kill(&rig, "", SIGTERM, &error), &error, "container not running");
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "container that has stopped");
	CHECK_ERROR(rig_exec(&rig, "e", "[\"true\"]", NULL, false, &error), &error,
		    "cannot exec in a stopped container");
	CHECK_ERROR(rig_simple(&rig, "Pause", &error), &error, "container not running");
	CHECK_ERROR(rig_simple(&rig, "Stats", &error), &error, "container not running");
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	CHECK_INT(rig_reap((pid_t)pid), SIGKILL);
	rig_done(&rig);
}

static void test_delete_created(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ 0 });
	CHECK(rig_create(&rig, NULL, false, &error) > 0);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_kill_created(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ 0 });
	CHECK(rig_create(&rig, NULL, false, &error) > 0);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "container that has stopped");
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_pause(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__PAUSED);
	CHECK_ERROR(rig_exec(&rig, "e", "[\"true\"]", NULL, false, &error), &error,
		    "cannot exec in a paused container");
	CHECK_OK(rig_simple(&rig, "Stats", &error), &error);
	CHECK_OK(rig_simple(&rig, "Processes", &error), &error);
	CHECK_OK(rig_simple(&rig, "Resume", &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	/* As runc 1.1: a signal for a paused container waits, SIGKILL does not. */
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	CHECK_OK(rig_kill(&rig, "", SIGTERM, &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__PAUSED);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

/* As runc: paused, not to be started, and created again once it is resumed. */
static void test_pause_created(void)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ 0 });
	CHECK(rig_create(&rig, NULL, false, &error) > 0);
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__PAUSED);
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error,
		    "cannot start a container in the paused state");
	CHECK_ERROR(rig_exec(&rig, "e", "[\"true\"]", NULL, false, &error), &error,
		    "cannot exec in a paused container");
	CHECK_ERROR(rig_simple(&rig, "Checkpoint", &error), &error,
		    "cannot checkpoint a container in the paused state");
	CHECK_ERROR(rig_delete(&rig, "", &error), &error,
		    "cannot delete container box that is not stopped: paused");
	CHECK_OK(rig_simple(&rig, "Resume", &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__CREATED);
	CHECK_ERROR(rig_simple(&rig, "Resume", &error), &error, "container not paused");
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static void test_inspect(void)
{
	Task__UpdateTaskRequest update = TASK__UPDATE_TASK_REQUEST__INIT;
	Task__StatsRequest stats_request = TASK__STATS_REQUEST__INIT;
	Sandbox__ProcessesRequest ps_request = SANDBOX__PROCESSES_REQUEST__INIT;
	Task__Any resources = TASK__ANY__INIT;
	Sandbox__ProcessesResponse *ps;
	Task__StatsResponse *stats;
	struct error *error = NULL;
	Task__Metrics *metrics;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	stats_request.id = ps_request.id = update.id = (char *)RIG_ID;
	stats = (Task__StatsResponse *)rig_call(&rig, "Stats", &stats_request.base,
						&task__stats_response__descriptor, NULL, 0, &error);
	CHECK_OK(stats ? 0 : -1, &error);
	CHECK_STRING(stats->stats->type_url, "io.containerd.cgroups.v2.Metrics");
	metrics = task__metrics__unpack(NULL, stats->stats->value.len, stats->stats->value.data);
	CHECK_INT(metrics->pids->current, 5);
	rig_free(metrics);
	rig_free(stats);
	ps = (Sandbox__ProcessesResponse *)rig_call(&rig, "Processes", &ps_request.base,
						    &sandbox__processes_response__descriptor, NULL,
						    0, &error);
	CHECK_OK(ps ? 0 : -1, &error);
	CHECK_INT(ps->n_processes, 1);
	CHECK_STRING(ps->processes[0]->command, "init");
	rig_free(ps);
	CHECK_ERROR(rig_simple(&rig, "Update", &error), &error, "resources are missing");
	update.resources = &resources;
	resources.value.data = (uint8_t *)(char[]){ "{\"pids\":{\"limit\":\"x\"}}" };
	resources.value.len = strlen((char *)resources.value.data);
	CHECK(!rig_call(&rig, "Update", &update.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_ERROR(-1, &error, "pids.limit");
	resources.value.data = (uint8_t *)(char[]){ "{\"pids\":{\"limit\":9}}" };
	resources.value.len = strlen((char *)resources.value.data);
	rig_free(rig_call(&rig, "Update", &update.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK_OK(rig_simple(&rig, "Connect", &error), &error);
	CHECK_OK(rig_simple(&rig, "Pids", &error), &error);
	rig_done(&rig);
}

static int update(struct rig *rig, const char *json, struct error **ret_error)
{
	Task__UpdateTaskRequest request = TASK__UPDATE_TASK_REQUEST__INIT;
	Task__Any resources = TASK__ANY__INIT;
	void *answer;

	request.id = (char *)RIG_ID;
	request.resources = &resources;
	resources.value.data = (uint8_t *)json;
	resources.value.len = strlen(json);
	answer =
	    rig_call(rig, "Update", &request.base, &task__empty__descriptor, NULL, 0, ret_error);
	rig_free(answer);
	return answer ? 0 : -1;
}

/* The log has these lines of the fake machine's, one behind the other, and no more of their kind.
 */
static void check_told(const struct rig *rig, const char *lines)
{
	_cleanup_free_ char *command =
	    xasprintf("[ \"$(grep '^processors' '%s/" RIG_ID "/vmm.log' | xargs)\" = '%s' ]",
		      rig->directory, lines);
	int result = -1;

	for (int i = 0; i < 200 && (result = system(command)) != 0; i++)
		usleep(10000);
	CHECK_INT(result, 0);
}

static void run_with_cpus(struct rig *rig, const char *fake)
{
	static const char text[] = "{\"max_vcpus\": 3}";
	char path[] = "/tmp/test-shim-tasks.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) >= 0 && close(fd) == 0);
	CHECK(setenv("SUPERMACHINE_CONFIG", path, 1) == 0);
	rig_init(rig);
	rig_start(rig);
	(void)rig_run(rig, &(struct rig_config){ .fake = fake }, NULL);
	CHECK(unsetenv("SUPERMACHINE_CONFIG") == 0 && unlink(path) == 0);
}

/* CPUs come before the quota that needs them, and go after it. */
static void test_more_cpus(void)
{
	struct error *error = NULL;
	struct rig rig;

	run_with_cpus(&rig, "");
	CHECK_OK(update(&rig, "{\"cpu\":{\"quota\":100000}}", &error), &error);
	check_told(&rig, "");
	CHECK_OK(update(&rig, "{\"cpu\":{\"quota\":150000}}", &error), &error);
	check_told(&rig, "processors 2");
	CHECK_OK(update(&rig, "{\"pids\":{\"limit\":9}}", &error), &error);
	CHECK_OK(update(&rig, "{\"cpu\":{\"quota\":100000}}", &error), &error);
	check_told(&rig, "processors 2 processors 1");
	CHECK_OK(update(&rig, "{\"cpu\":{\"period\":50000}}", &error), &error);
	check_told(&rig, "processors 2 processors 1 processors 2");
	rig_done(&rig);
}

static void test_no_more_cpus(void)
{
	struct error *error = NULL;
	struct rig rig;

	run_with_cpus(&rig, "fake.refuse=processors");
	CHECK_ERROR(update(&rig, "{\"cpu\":{\"quota\":300000}}", &error), &error,
		    "CPU 1 does not start");
	/* What came is not wanted any more. */
	check_told(&rig, "processors 3 processors 1");
	rig_done(&rig);
}

/* Init first, and after it this exec, told by its id. */
static void check_pids(struct rig *rig, size_t n, const char *exec_id)
{
	Task__PidsRequest request = TASK__PIDS_REQUEST__INIT;
	Task__PidsResponse *response;
	struct error *error = NULL;
	Task__ProcessDetails *details;

	request.id = (char *)RIG_ID;
	response = (Task__PidsResponse *)rig_call(
	    rig, "Pids", &request.base, &task__pids_response__descriptor, NULL, 0, &error);
	CHECK_OK(response ? 0 : -1, &error);
	CHECK_INT(response->n_processes, n);
	for (size_t i = 0; i < n; i++)
		CHECK(response->processes[i]->pid > 1);
	CHECK(n == 0 || !response->processes[0]->info);
	if (exec_id) {
		details = (Task__ProcessDetails *)any_unpack(response->processes[1]->info,
							     "containerd.runc.v1.ProcessDetails",
							     &task__process_details__descriptor);
		CHECK(details);
		CHECK_STRING(details->exec_id, exec_id);
		rig_free(details);
	}
	rig_free(response);
}

static void test_exec(void)
{
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	CHECK_OK(rig_exec(&rig, "one", "[\"sh\",\"-c\",\"echo hi; exit 7\"]", fds, false, &error),
		 &error);
	(void)close(out[1]);
	CHECK_ERROR(rig_exec(&rig, "one", "[\"true\"]", NULL, false, &error), &error,
		    "already exists");
	CHECK_ERROR(rig_exec(&rig, "../x", "[\"true\"]", NULL, false, &error), &error, "invalid");
	CHECK_ERROR(rig_exec(&rig, "two", "[]", NULL, false, &error), &error, "args");
	CHECK_INT(rig_status(&rig, "one"), TASK__STATUS__CREATED);
	check_pids(&rig, 1, NULL);
	CHECK_ERROR(rig_kill(&rig, "one", SIGKILL, &error), &error, "process not created");
	CHECK_OK(rig_start_task(&rig, "one", &error), &error);
	CHECK_INT(rig_wait(&rig, "one", &error), 7);
	text = rig_read(out[0]);
	CHECK_STRING(text, "hi\n");
	free(text);
	CHECK_INT(rig_status(&rig, "one"), TASK__STATUS__STOPPED);
	CHECK_ERROR(rig_kill(&rig, "one", SIGKILL, &error), &error, "process already finished");
	CHECK_ERROR(rig_start_task(&rig, "one", &error), &error, "process that has stopped");
	CHECK_INT(rig_delete(&rig, "one", &error), 7);
	CHECK_ERROR(rig_wait(&rig, "one", &error), &error, "process does not exist");
	/* One that cannot start, and one that never was. */
	CHECK_OK(rig_exec(&rig, "bad", "[\"missing\"]", NULL, false, &error), &error);
	CHECK_ERROR(rig_start_task(&rig, "bad", &error), &error,
		    "exec: \"missing\": executable file not found in $PATH");
	CHECK_INT(rig_delete(&rig, "bad", &error), 255);
	CHECK_OK(rig_exec(&rig, "idle", "[\"true\"]", NULL, false, &error), &error);
	CHECK_INT(rig_delete(&rig, "idle", &error), 0);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	CHECK_OK(rig_exec(&rig, "long", "[\"sleep\",\"1000\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(&rig, "long", &error), &error);
	check_pids(&rig, 2, "long");
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	check_pids(&rig, 0, NULL);
	rig_done(&rig);
}

struct waiter {
	struct rig *rig;
	const char *exec_id;
	pthread_t thread;
	int status;
	uint64_t when_ns;
};

static void *wait_for_it(void *data)
{
	struct waiter *waiter = data;
	struct error *error = NULL;

	waiter->status = rig_wait(waiter->rig, waiter->exec_id, &error);
	waiter->when_ns = clock_monotonic_ns();
	error_free(error);
	return NULL;
}

static void test_many_waits(void)
{
	struct waiter waiters[60];
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK_OK(rig_exec(&rig, "e", "[\"sleep\",\"1000\"]", NULL, false, &error), &error);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
		waiters[i] = (struct waiter){ .rig = &rig, .exec_id = i % 2 ? "e" : "" };
		CHECK(pthread_create(&waiters[i].thread, NULL, wait_for_it, &waiters[i]) == 0);
	}
	/* They hold up nothing. */
	CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__RUNNING);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
		CHECK(pthread_join(waiters[i].thread, NULL) == 0);
		CHECK_INT(waiters[i].status, 137);
	}
	CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__STOPPED);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

/* Init's exit is told after that of an exec whose output still drains. */
static void test_init_after_execs(void)
{
	struct waiter init, exec;
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	CHECK_OK(rig_exec(&rig, "e",
			  "[\"sh\",\"-c\",\"head -c 400000 /dev/zero; exec sleep 1000\"]", fds,
			  false, &error),
		 &error);
	(void)close(out[1]);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	init = (struct waiter){ .rig = &rig, .exec_id = "" };
	exec = (struct waiter){ .rig = &rig, .exec_id = "e" };
	CHECK(pthread_create(&init.thread, NULL, wait_for_it, &init) == 0);
	CHECK(pthread_create(&exec.thread, NULL, wait_for_it, &exec) == 0);
	(void)usleep(200000);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	(void)usleep(300000);
	/* Both are dead; nobody has read the exec's output: their ends are not told yet. */
	CHECK(pthread_tryjoin_np(exec.thread, NULL) == EBUSY);
	CHECK(pthread_tryjoin_np(init.thread, NULL) == EBUSY);
	CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__STOPPED);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__STOPPED);
	text = rig_read(out[0]);
	free(text);
	CHECK(pthread_join(init.thread, NULL) == 0 && pthread_join(exec.thread, NULL) == 0);
	CHECK_INT(init.status, 137);
	CHECK_INT(exec.status, 137);
	CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__STOPPED);
	rig_done(&rig);
}

/* One that has been killed is stopped for every request, though its machine lives on for
 * a while; Delete waits for that. */
static void test_stopped_at_once(void)
{
	Task__KillRequest all = TASK__KILL_REQUEST__INIT;
	struct error *error = NULL;
	uint64_t begun_ns;
	struct rig rig;
	uint32_t pid;

	rig_init(&rig);
	rig_start(&rig);
	pid = rig_run(&rig, &(struct rig_config){ .fake = "fake.deaf" }, NULL);
	begun_ns = clock_monotonic_ns();
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__STOPPED);
	CHECK_ERROR(rig_kill(&rig, "", SIGTERM, &error), &error, "container not running");
	CHECK_ERROR(rig_kill(&rig, "", SIGKILL, &error), &error, "container not running");
	all.id = (char *)RIG_ID;
	all.signal = SIGKILL;
	all.all = true;
	rig_free(rig_call(&rig, "Kill", &all.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK_ERROR(rig_exec(&rig, "e", "[\"true\"]", NULL, false, &error), &error,
		    "cannot exec in a stopped container");
	CHECK_ERROR(rig_start_task(&rig, "", &error), &error, "container that has stopped");
	CHECK_ERROR(rig_simple(&rig, "Pause", &error), &error, "container not running");
	CHECK_ERROR(rig_simple(&rig, "Stats", &error), &error, "container not running");
	CHECK(kill((pid_t)pid, 0) == 0);
	CHECK(clock_monotonic_ns() - begun_ns < UINT64_C(3000000000));
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	CHECK_INT(rig_reap((pid_t)pid), SIGKILL);
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "does not exist");
	rig_done(&rig);
}

/* A SIGKILL is answered when it has worked, but not waited for without end. */
static void test_kill_that_does_not_work(void)
{
	struct error *error = NULL;
	uint64_t begun_ns, taken_ns;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ .fake = "fake.mute=wait" }, NULL);
	CHECK_OK(rig_kill(&rig, "", SIGTERM, &error), &error);
	begun_ns = clock_monotonic_ns();
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	taken_ns = clock_monotonic_ns() - begun_ns;
	CHECK(taken_ns > UINT64_C(1000000000) && taken_ns < UINT64_C(9000000000));
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "not stopped: running");
	rig_done(&rig);
}

/* What a signal does takes its time: a Delete right after one is not too early, but does
 * not wait for what does not come. */
static void test_delete_after_signal(void)
{
	struct error *error = NULL;
	uint64_t begun_ns;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(
	    &rig,
	    &(struct rig_config){ .args = "[\"sh\",\"-c\",\"trap 'sleep 0.4; exit 4' TERM; trap '' "
					  "USR1; while :; do sleep 0.05; done\"]" },
	    NULL);
	(void)usleep(300000); /* the traps */
	begun_ns = clock_monotonic_ns();
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "not stopped: running");
	CHECK(clock_monotonic_ns() - begun_ns < UINT64_C(500000000));
	CHECK_OK(rig_kill(&rig, "", SIGUSR1, &error), &error);
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "not stopped: running");
	CHECK(clock_monotonic_ns() - begun_ns < UINT64_C(9000000000));
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	begun_ns = clock_monotonic_ns();
	CHECK_ERROR(rig_delete(&rig, "", &error), &error, "not stopped: running");
	CHECK(clock_monotonic_ns() - begun_ns < UINT64_C(500000000));
	CHECK_OK(rig_kill(&rig, "", SIGTERM, &error), &error);
	CHECK_INT(rig_delete(&rig, "", &error), 4);
	rig_done(&rig);
}

static void *delete_it(void *data)
{
	struct waiter *waiter = data;
	struct error *error = NULL;

	waiter->status = rig_delete(waiter->rig, waiter->exec_id, &error);
	error_free(error);
	return NULL;
}

/* The same for execs: Delete waits until the output has been taken. */
static void test_delete_of_ending_exec(void)
{
	struct waiter deleter = { .exec_id = "e" };
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	CHECK_OK(rig_exec(&rig, "e", "[\"sh\",\"-c\",\"head -c 100000 /dev/zero; exit 6\"]", fds,
			  false, &error),
		 &error);
	(void)close(out[1]);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	for (int i = 0; i < 500 && rig_status(&rig, "e") != TASK__STATUS__STOPPED; i++)
		(void)usleep(10000);
	CHECK_ERROR(rig_kill(&rig, "e", SIGKILL, &error), &error, "process already finished");
	deleter.rig = &rig;
	CHECK(pthread_create(&deleter.thread, NULL, delete_it, &deleter) == 0);
	(void)usleep(300000);
	CHECK(pthread_tryjoin_np(deleter.thread, NULL) == EBUSY);
	CHECK_ERROR(rig_delete(&rig, "e", &error), &error, "process e is being deleted");
	text = rig_read(out[0]);
	free(text);
	CHECK(pthread_join(deleter.thread, NULL) == 0);
	CHECK_INT(deleter.status, 6);
	CHECK_ERROR(rig_wait(&rig, "e", &error), &error, "process does not exist");
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	rig_done(&rig);
}

static size_t count_fds(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/fd", pid);
	_cleanup_dir_ DIR *dir = opendir(path);
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n;
}

static void test_no_leak(void)
{
	struct error *error = NULL;
	size_t before = 0;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	for (int i = 0; i < 50; i++) {
		int out[2], fds[3];
		char *text;

		CHECK(pipe2(out, O_CLOEXEC) == 0);
		fds[0] = fds[2] = -1;
		fds[1] = out[1];
		(void)rig_run(&rig, &(struct rig_config){ .args = "[\"echo\",\"x\"]" }, fds);
		(void)close(out[1]);
		text = rig_read(out[0]);
		CHECK_STRING(text, "x\n");
		free(text);
		(void)close(out[0]);
		CHECK_INT(rig_wait(&rig, "", &error), 0);
		CHECK_INT(rig_delete(&rig, "", &error), 0);
		if (i > 0)
			continue;
		(void)usleep(200000); /* the last connection's end */
		before = count_fds(rig.server);
	}
	for (int i = 0; i < 100 && count_fds(rig.server) > before; i++)
		(void)usleep(20000);
	CHECK_INT(count_fds(rig.server), before);
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "life", test_life },
	{ "death by signal", test_death_by_signal },
	{ "version 3", test_version_3 },
	{ "wrong state", test_wrong_state },
	{ "delete created", test_delete_created },
	{ "kill created", test_kill_created },
	{ "pause", test_pause },
	{ "pause created", test_pause_created },
	{ "inspect", test_inspect },
	{ "more CPUs", test_more_cpus },
	{ "no more CPUs", test_no_more_cpus },
	{ "exec", test_exec },
	{ "many waits", test_many_waits },
	{ "init after execs", test_init_after_execs },
	{ "stopped at once", test_stopped_at_once },
	{ "kill that does not work", test_kill_that_does_not_work },
	{ "delete after a signal", test_delete_after_signal },
	{ "delete of an ending exec", test_delete_of_ending_exec },
	{ "no leak", test_no_leak },
};

TEST_MAIN(cases)
