/* SPDX-License-Identifier: Apache-2.0 */
/* Running health checks: see health-watch.h. */
#include "cli/health-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/process.h"
#include "cli/exec-calls.h"
#include "cli/health.h"
#include "cli/run-output.h"
#include "cli/task-calls.h"
#include "client/create.h"
#include "client/exec-process.h"

#define NS_PER_MS 1000000u
#define EXEC_ID_SIZE 40

struct watch {
	struct loop *loop;
	struct handle *handle;
	struct health_check check;
	struct health health;
	uint64_t started_ns; /* monotonic */
	struct source *timer;
	/* The check under way. */
	char exec_id[EXEC_ID_SIZE];
	unsigned n_execs;
	struct task_calls calls;
	struct source *output_source;
	int output; /* the pipe that it writes to; -1: none */
	char bytes[HEALTH_OUTPUT_MAX];
	size_t n_bytes;
	bool is_late;
	uint64_t begun_running_ms, begun_realtime_ns;
};

static uint64_t running_ms(const struct watch *watch)
{
	return (clock_monotonic_ns() - watch->started_ns) / NS_PER_MS;
}

static int save(const char *root, const char *id, const struct health *health,
		struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(root, id, HEALTH_FILE), *text = NULL;
	size_t size;

	text = health_json(health, &size);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

static void begin(void *data);

static void wait_for_next(struct watch *watch)
{
	watch->timer = loop_add_timer(
	    watch->loop, health_delay_ms(&watch->health, &watch->check, running_ms(watch)),
	    "health", begin, watch);
}

/* ---- the end of one ---- */

/* What is more than is kept is read as well: the check is to end by itself.  False: there is no
 * more, for now or at all. */
static bool take_some(struct watch *watch)
{
	char bytes[4096];
	const ssize_t n = read(watch->output, bytes, sizeof(bytes));

	if (n > 0) {
		const size_t kept = MIN((size_t)n, sizeof(watch->bytes) - watch->n_bytes);

		memcpy(watch->bytes + watch->n_bytes, bytes, kept);
		watch->n_bytes += kept;
	}
	/* (Its end is not the check's end.) */
	if (n == 0)
		source_clear(&watch->output_source);
	return n > 0;
}

/* (One that never stops writing is to be late, too.) */
static void on_output(void *data, uint32_t events)
{
	(void)events;
	(void)take_some(data);
}

/* What may be kept of what the check has left in the pipe. */
static void take_rest(struct watch *watch)
{
	while (watch->output_source && watch->n_bytes < sizeof(watch->bytes) && take_some(watch))
		;
}

static void note(struct watch *watch, int exit_code, char *output)
{
	_cleanup_error_ struct error *error = NULL;
	const struct health_result result = { .start_ns = watch->begun_realtime_ns,
					      .end_ns = clock_realtime_ns(),
					      .exit_code = exit_code,
					      .output = output };

	health_note(&watch->health, &watch->check, watch->begun_running_ms, &result);
	/* (The container may be being deleted.) */
	if (save(watch->handle->root, watch->handle->id, &watch->health, &error) < 0)
		log_debug("%s", error->message);
	wait_for_next(watch);
}

static void fail(struct watch *watch, const struct error *error);

static void on_end(void *data, const ProtobufCMessage *message, const struct error *error)
{
	const Task__WaitResponse *response = (const Task__WaitResponse *)message;
	struct watch *watch = data;
	char *output;

	source_clear(&watch->timer);
	if (error) {
		fail(watch, error);
		return;
	}
	take_rest(watch);
	source_clear(&watch->output_source);
	close_fdp(&watch->output);
	watch->output = -1;
	(void)exec_call_delete(watch->handle, watch->exec_id, NULL);
	output = watch->is_late ? xasprintf("Health check exceeded timeout (%llu ms)",
					    (unsigned long long)watch->check.timeout_ms)
				: health_output(watch->bytes, watch->n_bytes);
	note(watch, watch->is_late ? -1 : (int)response->exit_status, output);
}

static void on_late(void *data)
{
	struct watch *watch = data;

	watch->timer = NULL;
	watch->is_late = true;
	task_calls_kill(&watch->calls, SIGKILL);
}

/* ---- the beginning of one ---- */

static int call_exec(const struct watch *watch, int output, struct error **ret_error)
{
	const struct exec_overrides overrides = { .args = (const char *const *)watch->check.args };
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int fds[] = { null, output, output };
	struct exec_call call = { .id = watch->exec_id,
				  .in = "fd:0",
				  .out = "fd:1",
				  .error = "fd:2",
				  .fds = fds,
				  .n_fds = ARRAY_SIZE(fds) };
	const char *config = watch->handle->state->config;
	_cleanup_free_ char *process = NULL;

	if (null < 0)
		return error_set_errno(ret_error, errno, "cannot open /dev/null");
	if (exec_process_json(config ? config : "{}", &overrides, &process, ret_error) < 0)
		return -1;
	call.process = process;
	return exec_call_new(watch->handle, &call, ret_error);
}

/* Exec and Start; the output comes by watch->output. */
static int start(struct watch *watch, struct error **ret_error)
{
	_cleanup_close_ int output = -1;

	(void)snprintf(watch->exec_id, sizeof(watch->exec_id), "health-%d-%u", (int)getpid(),
		       watch->n_execs++);
	watch->n_bytes = 0;
	watch->is_late = false;
	watch->begun_running_ms = running_ms(watch);
	watch->begun_realtime_ns = clock_realtime_ns();
	if (pipe_open(&watch->output, &output, ret_error) < 0)
		return -1;
	if (set_nonblocking(watch->output, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set up a pipe");
	if (call_exec(watch, output, ret_error) < 0 ||
	    exec_call_start(watch->handle, watch->exec_id, CALL_TIMEOUT_MS, ret_error) < 0)
		return -1;
	if (loop_add_io(watch->loop, watch->output, EPOLLIN, "health output", on_output, watch,
			&watch->output_source, ret_error) < 0 ||
	    task_calls_open(watch->handle, watch->exec_id, watch->loop, &watch->calls, ret_error) <
		0)
		return -1;
	return 0;
}

/* Docker counts one that cannot be run as one that fails. */
static void fail(struct watch *watch, const struct error *error)
{
	source_clear(&watch->output_source);
	close_fdp(&watch->output);
	watch->output = -1;
	handle_reconnect(watch->handle);
	(void)exec_call_delete(watch->handle, watch->exec_id, NULL);
	note(watch, -1, health_output(error->message, strlen(error->message)));
}

static void begin(void *data)
{
	_cleanup_error_ struct error *error = NULL;
	enum container_status status;
	struct watch *watch = data;

	watch->timer = NULL;
	/* What went wrong before is not this one's matter. (Nor is a client closed within its own
	 * callback.) */
	task_calls_close(&watch->calls);
	handle_reconnect(watch->handle);
	if (handle_status(watch->handle, &status, NULL) < 0 || status != STATUS_RUNNING) {
		wait_for_next(watch);
		return;
	}
	if (start(watch, &error) < 0) {
		fail(watch, error);
		return;
	}
	watch->timer =
	    loop_add_timer(watch->loop, watch->check.timeout_ms, "health timeout", on_late, watch);
	task_calls_wait(&watch->calls, on_end, watch);
}

/* ---- the process ---- */

static void on_container_end(void *data, uint32_t events)
{
	struct watch *watch = data;

	(void)events;
	loop_quit(watch->loop);
}

static int run(struct watch *watch, const char *root, const char *id)
{
	_cleanup_close_ int container = -1;
	struct source *source;

	if (handle_open(root, id, &watch->handle, NULL) < 0)
		return -1;
	container = pidfd_open(watch->handle->state->pid, 0);
	if (container < 0 ||
	    process_start_time(watch->handle->state->pid) != watch->handle->state->pid_start ||
	    loop_new(&watch->loop, NULL) < 0 ||
	    loop_add_io(watch->loop, container, EPOLLIN, "container", on_container_end, watch,
			&source, NULL) < 0)
		return -1;
	wait_for_next(watch);
	loop_run(watch->loop);
	return 0;
}

static void __attribute__((noreturn))
run_alone(struct watch *watch, const char *root, const char *id)
{
	run_output_leave();
	/* What the caller has open is not ours to keep so. */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	_exit(run(watch, root, id) < 0 ? 1 : 0);
}

int health_watch(const struct handle *handle, struct error **ret_error)
{
	struct watch watch = { .output = -1, .started_ns = clock_monotonic_ns() };
	_cleanup_free_ char *bundle = state_path(handle->root, handle->id, CREATE_IMAGE_BUNDLE);
	_cleanup_error_ struct error *error = NULL;
	pid_t pid = -1;
	int result;

	if (health_check_load(bundle, &watch.check, &error) < 0)
		return error->code == ENOENT
			   ? 0
			   : error_set(ret_error, error->code, "%s", error->message);
	result = save(handle->root, handle->id, &watch.health, ret_error);
	if (result == 0) {
		(void)fflush(stdout);
		pid = fork();
		if (pid == 0)
			run_alone(&watch, handle->root, handle->id);
		if (pid < 0)
			result = error_set_errno(ret_error, errno, "cannot fork for health checks");
	}
	health_check_done(&watch.check);
	return result;
}
