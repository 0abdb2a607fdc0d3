/* SPDX-License-Identifier: Apache-2.0 */
/* `ps`: the guest's processes of one container, from the agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/plain.h"
#include "base/user.h"
#include "cli/containers.h"
#include "cli/verb.h"
#include "client/handle.h"
#include "protocol/sandbox.pb-c.h"

struct ps_options {
	const char *format;
	bool all, quiet; /* without an id */
};

static const struct option_def options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct ps_options, format),
	  "'table' (default) or 'json'" },
	{ "all", 'a', OPTION_FLAG, offsetof(struct ps_options, all),
	  "without an id: also containers that do not run" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct ps_options, quiet),
	  "without an id: only ids" },
	OPTION_END
};

/* For callers who look at them on this machine (docker top): there the guest's pids are those of
 * other programs, and one process stands for all of the container's. */
static void print_json(const struct handle *handle, bool is_alive)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_array(writer);
	if (is_alive)
		json_put_int64(writer, NULL, handle->state->pid);
	json_end_array(writer);
	text = json_writer_finish(writer, NULL);
	printf("%s\n", text);
}

/* As ps(1): the time today, else the day. */
static void format_start(uint64_t seconds, char *text, size_t size)
{
	const time_t now = time(NULL), start = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&start, &tm) ||
	    strftime(text, size, now - start < 24 * 3600 ? "%H:%M" : "%b%d", &tm) == 0)
		(void)snprintf(text, size, "?");
}

/* As ps(1)'s C: how much of a processor's time it has used since its start, in percent. */
static unsigned utilization(const Sandbox__Process *process)
{
	const uint64_t now = (uint64_t)time(NULL);
	const uint64_t age = now > process->start_seconds ? now - process->start_seconds : 1;

	return (unsigned)MIN(process->cpu_ms / 10 / age, UINT64_C(99));
}

/* As `ps -ef`, which runc runs: names are this machine's. */
static void print_table(const Sandbox__ProcessesResponse *response)
{
	printf("%-8s %7s %7s %2s %-5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY",
	       "TIME", "CMD");
	for (size_t i = 0; i < response->n_processes; i++) {
		const Sandbox__Process *process = response->processes[i];
		const uint64_t cpu = process->cpu_ms / 1000;
		_cleanup_free_ char *name = user_name(process->uid);
		/* ps(1) has the number alone for a user without a name. */
		const char *user = name[0] == '#' ? name + 1 : name;
		char start[16];

		/* The guest's words. */
		plain_text(process->tty);
		plain_text(process->command);
		format_start(process->start_seconds, start, sizeof(start));
		printf("%-8s %7u %7u %2u %-5s %-8.16s %02u:%02u:%02u %s\n", user, process->pid,
		       process->ppid, utilization(process), start,
		       process->tty[0] ? process->tty : "?", (unsigned)(cpu / 3600),
		       (unsigned)(cpu / 60 % 60), (unsigned)(cpu % 60), process->command);
	}
}

/* runc hands them to the host's ps(1), which knows nothing of the guest. */
static int check_ps_options(const char *const *options_of_ps, struct error **ret_error)
{
	static const char *const same[] = { "-ef", "-fe", "-e", "-f", "ef", "-A", "-Af" };
	bool known = true;

	for (size_t i = 0; known && options_of_ps[i]; i++) {
		known = false;
		for (size_t j = 0; j < ARRAY_SIZE(same); j++)
			known = known || strcmp(options_of_ps[i], same[j]) == 0;
		if (!known)
			return error_set(ret_error, ENOTSUP,
					 "ps option %s is not supported: the table is that of "
					 "ps -ef",
					 options_of_ps[i]);
	}
	return 0;
}

static int print_containers(const struct command *command, struct error **ret_error)
{
	const struct ps_options *values = command->options;

	if (values->format && strcmp(values->format, "table") != 0)
		return error_set(ret_error, ENOTSUP,
				 "ps without an id has a table only: use list --format json");
	return containers_print(command->globals->client.root, values->all, values->quiet,
				ret_error);
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct ps_options *values = command->options;
	bool json;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	Sandbox__ProcessesRequest request = SANDBOX__PROCESSES_REQUEST__INIT;
	Sandbox__ProcessesResponse none = SANDBOX__PROCESSES_RESPONSE__INIT;
	ProtobufCMessage *response = NULL;
	enum container_status status;
	const struct ttrpc_request call = { .service = "supermachine.v1.Sandbox",
					    .method = "Processes",
					    .message = &request.base,
					    .response = &sandbox__processes_response__descriptor,
					    .timeout_ms = CALL_TIMEOUT_MS };

	if (command->n_args == 0)
		return print_containers(command, ret_error);
	if (values->all || values->quiet)
		return error_set(ret_error, EINVAL,
				 "ps: --all and --quiet are for ps without an id");
	if (check_ps_options(command->args + 1, ret_error) < 0)
		return -1;
	if (options_format(values->format, &json, ret_error) < 0 ||
	    handle_open(command->globals->client.root, command->args[0], &handle, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "container not running");
	request.id = handle->id;
	if (status != STATUS_STOPPED &&
	    ttrpc_call_sync(handle->server_fd, -1, &call, &response, ret_error) < 0)
		return -1;
	if (json)
		print_json(handle, response != NULL);
	else
		print_table(response ? (Sandbox__ProcessesResponse *)response : &none);
	if (response)
		protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

const struct verb verb_ps = {
	.name = "ps",
	.arguments = "[<container-id> [ps options]]",
	.summary = "show the processes inside a container, or containers",
	.description =
	    "Without an id: the containers that run. With one: its processes.\n"
	    "   The pids are those of the guest; in JSON it is that of the process that stands "
	    "for\n"
	    "   the container on this machine. The table is that of `ps -ef`; other options of\n"
	    "   ps(1) are refused.",
	.options = options,
	.options_size = sizeof(struct ps_options),
	.min_args = 0,
	.max_args = VERB_ARGS_ANY,
	.stop_at_argument = true,
	.run = run,
};

/* ---- top ---- */

static const struct option_def top_options[] = { OPTION_END };

static int run_top(const struct command *command, struct error **ret_error)
{
	const struct ps_options values = { 0 };
	const struct command ps = { .globals = command->globals,
				    .options = &values,
				    .args = command->args,
				    .n_args = command->n_args };

	return run(&ps, ret_error);
}

const struct verb verb_top = {
	.name = "top",
	.arguments = "<container-id> [ps options]",
	.summary = "show the processes inside a container",
	.options = top_options,
	.options_size = 1,
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.stop_at_argument = true,
	.run = run_top,
};
