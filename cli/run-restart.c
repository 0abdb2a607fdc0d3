/* SPDX-License-Identifier: Apache-2.0 */
/* Starting containers again: see run-restart.h. */
#include "cli/run-restart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/run-output.h"
#include "client/create.h"
#include "client/handle.h"

#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 60000
#define RAN_LONG_MS 10000
#define NS_PER_MS 1000000
/* Of a container that nobody knows any more: as if it was killed. */
#define STATUS_LOST 137

/* ---- what is wanted ---- */

int restart_policy_parse(const char *word, struct restart_policy *ret_policy,
			 struct error **ret_error)
{
	static const struct {
		const char *name;
		enum restart_when when;
	} known[] = { { "no", RESTART_NEVER },
		      { "", RESTART_NEVER },
		      { "always", RESTART_ALWAYS },
		      { "unless-stopped", RESTART_ALWAYS },
		      { "on-failure", RESTART_ON_FAILURE } };
	_cleanup_free_ char *name = xstrndup(word ? word : "", word ? strcspn(word, ":") : 0);
	const char *count = word && word[strlen(name)] ? word + strlen(name) + 1 : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(name, known[i].name) != 0)
			continue;
		*ret_policy = (struct restart_policy){ .when = known[i].when };
		if (!count)
			return 0;
		if (known[i].when != RESTART_ON_FAILURE)
			return error_set(ret_error, EINVAL,
					 "invalid restart policy: maximum retry count can only be "
					 "used with 'on-failure'");
		if (parse_number(count, &ret_policy->retries) < 0)
			return error_set(ret_error, EINVAL,
					 "invalid restart policy: maximum retry count must be an "
					 "integer");
		return 0;
	}
	return error_set(ret_error, EINVAL,
			 "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', "
			 "'on-failure', or 'unless-stopped'",
			 name);
}

bool restart_policy_wants(const struct restart_policy *policy, uint32_t status, uint64_t retries)
{
	switch (policy->when) {
	case RESTART_NEVER:
		return false;
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		return status != 0 && (policy->retries == 0 || retries < policy->retries);
	}
	return false;
}

void restart_delay(uint64_t ran_ms, uint64_t *delay)
{
	*delay = *delay == 0 || ran_ms >= RAN_LONG_MS ? DELAY_FIRST_MS : *delay * 2;
	if (*delay > DELAY_MAX_MS)
		*delay = DELAY_MAX_MS;
}

/* ---- what was asked for ---- */

static char *path_of(const struct client *client, const char *id, const char *name)
{
	_cleanup_free_ char *bundle = state_path(client->root, id, CREATE_IMAGE_BUNDLE);

	return xasprintf("%s/%s", bundle, name);
}

int restart_set_stopped(const struct client *client, const char *id, bool stopped,
			struct error **ret_error)
{
	_cleanup_free_ char *path = path_of(client, id, "stopped");
	int result = 0;

	if (stopped)
		result = write_file_atomic(path, "", 0, 0600, ret_error);
	else if (unlink(path) < 0 && errno != ENOENT)
		result = error_set_errno(ret_error, errno, "cannot remove %s", path);
	return result;
}

bool restart_is_stopped(const struct client *client, const char *id)
{
	_cleanup_free_ char *path = path_of(client, id, "stopped");

	return access(path, F_OK) == 0;
}

bool restart_is_watched(const struct client *client, const char *id)
{
	_cleanup_free_ char *path = path_of(client, id, "restart.lock");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && lock_file(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK &&
	       !restart_is_stopped(client, id);
}

/* ---- the process ---- */

static void pause_ms(uint64_t ms)
{
	const struct timespec time = { .tv_sec = (time_t)(ms / 1000),
				       .tv_nsec = (long)(ms % 1000) * NS_PER_MS };

	(void)nanosleep(&time, NULL);
}

int restart_check(const struct restart_again *again, const struct state *state,
		  struct error **ret_error)
{
	if (state->created_ns != again->created_ns)
		return error_set(ret_error, ECANCELED, "container %s is another one", again->id);
	if (restart_is_stopped(again->client, again->id))
		return error_set(ret_error, ECANCELED, "container %s is to stay stopped",
				 again->id);
	return 0;
}

/* False: it is gone. */
static bool wait_for_end(const struct restart_again *again, uint32_t *ret_status)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;

	if (handle_open(again->client->root, again->id, &handle, NULL) < 0 ||
	    handle->state->created_ns != again->created_ns)
		return false;
	*ret_status = STATUS_LOST;
	(void)handle_wait(handle, ret_status, NULL, NULL);
	return true;
}

/* By a process of its own: making a container holds signals until the process ends. */
static void start_again(const struct restart_again *again, restart_fn function)
{
	const pid_t pid = fork();

	if (pid == 0)
		_exit(function(again, NULL) == 0 ? 0 : 1);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void watch(const struct restart_again *again, const struct restart_policy *policy,
		  restart_fn function)
{
	uint64_t retries = 0, delay = 0;
	uint32_t status;

	for (;;) {
		const uint64_t began = clock_monotonic_ns();
		uint64_t ran_ms;

		if (!wait_for_end(again, &status) || restart_is_stopped(again->client, again->id) ||
		    !restart_policy_wants(policy, status, retries++))
			return;
		ran_ms = (clock_monotonic_ns() - began) / NS_PER_MS;
		if (ran_ms >= RAN_LONG_MS)
			retries = 1;
		restart_delay(ran_ms, &delay);
		pause_ms(delay);
		/* One that cannot be started has failed again.  (Another may have started it.) */
		start_again(again, function);
	}
}

/* Waits for one of an earlier start, which goes on in our place or ends. */
static int take_turn(const struct restart_again *again)
{
	_cleanup_free_ char *path = path_of(again->client, again->id, "restart.lock");
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 || lock_file(fd, LOCK_EX) < 0 ? -1 : 0;
}

static void watch_alone(const struct restart_again *again, const struct restart_policy *policy,
			restart_fn function)
{
	run_output_leave();
	/* What the caller has open is not ours to keep so. */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	if (take_turn(again) == 0)
		watch(again, policy, function);
}

int restart_watch(const struct client *client, const char *image_store, const char *id,
		  const struct restart_policy *policy, restart_fn function,
		  struct error **ret_error)
{
	struct restart_again again = { .client = client, .image_store = image_store, .id = id };
	_cleanup_(handle_freep) struct handle *handle = NULL;
	pid_t pid;

	if (policy->when == RESTART_NEVER)
		return 0;
	if (handle_open(client->root, id, &handle, ret_error) < 0)
		return -1;
	again.created_ns = handle->state->created_ns;
	(void)fflush(stdout);
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot fork for --restart");
	if (pid == 0) {
		watch_alone(&again, policy, function);
		_exit(0);
	}
	return 0;
}
