/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks: see health.h. */
#include "cli/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/plain.h"
#include "base/utf8.h"
#include "runtime-spec/state.h"

#define INTERVAL_MS 30000
#define TIMEOUT_MS 30000
#define START_INTERVAL_MS 5000
#define RETRIES 3

void health_check_done(struct health_check *check)
{
	strv_free(check->args);
	*check = (struct health_check){ 0 };
}

/* ---- what is run ---- */

/* Docker's forms: CMD ARG…, CMD-SHELL COMMAND, NONE. */
static int find_args(const char *const *test, char *const *shell, char ***ret_args,
		     struct error **ret_error)
{
	static const char *const usual[] = { "/bin/sh", "-c", NULL };
	const char *const *word = shell && shell[0] ? (const char *const *)shell : usual;

	if (!test || !test[0] || strcmp(test[0], "NONE") == 0)
		return 0;
	if (strcmp(test[0], "CMD") == 0 && test[1]) {
		for (word = test + 1; *word; word++)
			strv_append(ret_args, *word);
		return 0;
	}
	if (strcmp(test[0], "CMD-SHELL") != 0 || !test[1])
		return error_set(ret_error, EINVAL,
				 "health check: must be CMD with arguments, CMD-SHELL with a "
				 "command, or NONE, not \"%.64s\"",
				 test[0]);
	for (; *word; word++)
		strv_append(ret_args, *word);
	strv_append(ret_args, test[1]);
	return 0;
}

/* option: its words, or NULL; else the image's, or `usual` where that says nothing. */
static int find_time(const char *name, const char *option, uint64_t image_ms, uint64_t usual_ms,
		     uint64_t *ret_ms, struct error **ret_error)
{
	*ret_ms = image_ms ? image_ms : usual_ms;
	/* "0s" is what nobody has said. */
	if (!option || strcmp(option, "0") == 0 || strcmp(option, "0s") == 0)
		return 0;
	if (parse_duration(option, ret_ms, ret_error) < 0)
		return error_wrap(ret_error, "--%s", name);
	return *ret_ms > IMAGE_HEALTH_MS_MAX
		   ? error_set(ret_error, EINVAL, "--%s %s: too long", name, option)
		   : 0;
}

static int find_times(const struct run_options *options, const struct image_health *image,
		      struct health_check *check, struct error **ret_error)
{
	const struct {
		const char *name, *option;
		uint64_t image_ms, usual_ms, *ret_ms;
	} times[] = {
		{ "health-interval", options->health_interval, image->interval_ms, INTERVAL_MS,
		  &check->interval_ms },
		{ "health-timeout", options->health_timeout, image->timeout_ms, TIMEOUT_MS,
		  &check->timeout_ms },
		{ "health-start-period", options->health_start_period, image->start_period_ms, 0,
		  &check->start_period_ms },
		{ "health-start-interval", options->health_start_interval, image->start_interval_ms,
		  START_INTERVAL_MS, &check->start_interval_ms },
	};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (find_time(times[i].name, times[i].option, times[i].image_ms, times[i].usual_ms,
			      times[i].ret_ms, ret_error) < 0)
			return -1;
	return 0;
}

int health_check_find(const struct run_options *options, const struct image_config *config,
		      struct health_check *ret_check, struct error **ret_error)
{
	const char *const own[] = { "CMD-SHELL", options->health_cmd, NULL };
	const struct image_health *image = &config->health;
	const bool has_own = options->health_cmd && options->health_cmd[0];
	_cleanup_(health_check_done) struct health_check check = { 0 };

	if (options->no_healthcheck) {
		if (options->health_cmd || options->health_interval || options->health_timeout ||
		    options->health_start_period || options->health_start_interval ||
		    options->health_retries)
			return error_set(ret_error, EINVAL,
					 "--no-healthcheck conflicts with --health-* options");
		return 0;
	}
	if (find_args(has_own ? own : (const char *const *)image->test, config->shell, &check.args,
		      ret_error) < 0 ||
	    find_times(options, image, &check, ret_error) < 0)
		return -1;
	check.retries = options->health_retries ? options->health_retries
			: image->retries	? image->retries
						: RETRIES;
	*ret_check = check;
	check.args = NULL;
	return 0;
}

/* ---- the bundle's file ---- */

int health_check_save(const struct health_check *check, const char *bundle,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" HEALTH_CHECK_FILE, bundle), *text = NULL;
	struct json_writer *writer;
	size_t size;

	if (!check->args)
		return 0;
	writer = json_writer_new(true);
	json_begin_object(writer);
	json_put_strv(writer, "args", check->args);
	json_put_uint64(writer, "interval_ms", check->interval_ms);
	json_put_uint64(writer, "timeout_ms", check->timeout_ms);
	json_put_uint64(writer, "start_period_ms", check->start_period_ms);
	json_put_uint64(writer, "start_interval_ms", check->start_interval_ms);
	json_put_uint64(writer, "retries", check->retries);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

static int read_check(const struct json_at *root, struct health_check *check,
		      struct error **ret_error)
{
	struct {
		const char *name;
		uint64_t *ret_value;
	} const members[] = {
		{ "interval_ms", &check->interval_ms },
		{ "timeout_ms", &check->timeout_ms },
		{ "start_period_ms", &check->start_period_ms },
		{ "start_interval_ms", &check->start_interval_ms },
		{ "retries", &check->retries },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (json_get_uint64(root, members[i].name, JSON_REQUIRED, IMAGE_HEALTH_MS_MAX,
				    members[i].ret_value, ret_error) < 0)
			return -1;
	return json_get_strv(root, "args", JSON_REQUIRED, &check->args, ret_error);
}

int health_check_load(const char *bundle, struct health_check *ret_check, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" HEALTH_CHECK_FILE, bundle), *text = NULL;
	_cleanup_(health_check_done) struct health_check check = { 0 };
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;
	size_t size;

	if (read_regular_file(path, HEALTH_TEXT_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_check(&root, &check, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	*ret_check = check;
	check.args = NULL;
	return 0;
}

/* ---- how it is ---- */

static const char *const status_names[] = { [HEALTH_STARTING] = "starting",
					    [HEALTH_HEALTHY] = "healthy",
					    [HEALTH_UNHEALTHY] = "unhealthy" };

const char *health_status_name(enum health_status status)
{
	return status_names[status];
}

void health_done(struct health *health)
{
	for (size_t i = 0; i < health->n_log; i++)
		free(health->log[i].output);
	health->n_log = 0;
}

static bool is_in_start_period(const struct health *health, const struct health_check *check,
			       uint64_t running_ms)
{
	return health->status == HEALTH_STARTING && running_ms < check->start_period_ms;
}

void health_note(struct health *health, const struct health_check *check, uint64_t running_ms,
		 const struct health_result *result)
{
	if (health->n_log == HEALTH_LOG_MAX) {
		free(health->log[0].output);
		memmove(health->log, health->log + 1,
			(HEALTH_LOG_MAX - 1) * sizeof(health->log[0]));
		health->n_log--;
	}
	health->log[health->n_log++] = *result;
	if (result->exit_code == 0) {
		health->status = HEALTH_HEALTHY;
		health->streak = 0;
	} else if (!is_in_start_period(health, check, running_ms)) {
		health->streak++;
		if (health->streak >= check->retries)
			health->status = HEALTH_UNHEALTHY;
	}
}

uint64_t health_delay_ms(const struct health *health, const struct health_check *check,
			 uint64_t running_ms)
{
	return is_in_start_period(health, check, running_ms) ? check->start_interval_ms
							     : check->interval_ms;
}

char *health_output(const char *bytes, size_t size)
{
	char *text = xmalloc(size + 1), *to = text;

	for (size_t i = 0, step; i < size; i += step) {
		step = utf8_size(bytes + i, size - i);
		if (step == 1 && (bytes[i] == '\n' || bytes[i] == '\t')) {
			*to++ = bytes[i];
		} else if (step == 0 || bytes[i] == '\0' || plain_control_size(bytes + i) > 0) {
			*to++ = '?';
			step = step ? step : 1;
		} else {
			memcpy(to, bytes + i, step);
			to += step;
		}
	}
	*to = '\0';
	return text;
}

char *health_json(const struct health *health, size_t *ret_size)
{
	struct json_writer *writer = json_writer_new(true);
	char time[CLOCK_RFC3339_SIZE];

	json_begin_object(writer);
	json_put_string(writer, "Status", health_status_name(health->status));
	json_put_uint64(writer, "FailingStreak", health->streak);
	json_put_key(writer, "Log");
	json_begin_array(writer);
	for (size_t i = 0; i < health->n_log; i++) {
		const struct health_result *result = &health->log[i];

		json_begin_object(writer);
		clock_rfc3339(result->start_ns, time);
		json_put_string(writer, "Start", time);
		clock_rfc3339(result->end_ns, time);
		json_put_string(writer, "End", time);
		json_put_int64(writer, "ExitCode", result->exit_code);
		json_put_string(writer, "Output", result->output);
		json_end_object(writer);
	}
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, ret_size);
}

const char *health_look(const char *root, const char *id)
{
	_cleanup_free_ char *path = state_path(root, id, HEALTH_FILE), *text = NULL;
	_cleanup_free_ char *status = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at at;
	size_t size;

	if (read_regular_file(path, HEALTH_TEXT_MAX, &text, &size, NULL) < 0 ||
	    json_parse(text, size, path, &value, NULL) < 0)
		return NULL;
	at = json_root(value);
	if (json_as_object(&at, NULL) < 0 ||
	    json_get_string(&at, "Status", JSON_REQUIRED, &status, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		if (strcmp(status, status_names[i]) == 0)
			return status_names[i];
	return NULL;
}
