/* SPDX-License-Identifier: Apache-2.0 */
/* Where the output of a detached container goes: see run-log.h. */
#include "cli/run-log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "runtime-spec/state.h"

#define USUAL_SIZE (2u << 20)
#define USUAL_FILES 2
#define DRIVER_NONE "none"
#define MEMBER "log"

void run_log_done(struct run_log *log)
{
	free(log->path);
	log->path = NULL;
}

static void set_usual(const char *root, const char *id, struct run_log *log)
{
	log->path = state_path(root, id, RUN_LOG_FILE);
	log->rule = (struct output_rule){ .format = OUTPUT_K8S_FILE,
					  .max_size = USUAL_SIZE,
					  .max_files = USUAL_FILES };
}

/* ---- options ---- */

static int read_driver(const char *driver, struct run_log *log, struct error **ret_error)
{
	if (!driver)
		return 0;
	if (strcmp(driver, DRIVER_NONE) == 0) {
		run_log_done(log);
		return 0;
	}
	if (driver[0] != '\0' && output_format_find(driver, &log->rule.format, NULL) == 0)
		return 0;
	return error_set(ret_error, ENOTSUP,
			 "--log-driver %s is not supported: known are k8s-file (default), "
			 "json-file and none",
			 driver);
}

static int read_max_files(const char *value, struct run_log *log, struct error **ret_error)
{
	uint64_t files;

	if (parse_number(value, &files) < 0 || files == 0 || files > OUTPUT_FILES_MAX)
		return error_set(ret_error, EINVAL, "max-file=%s: must be a number from 1 to %d",
				 value, OUTPUT_FILES_MAX);
	log->rule.max_files = (uint32_t)files;
	return 0;
}

static int read_max_size(const char *value, struct run_log *log, struct error **ret_error)
{
	if (strcmp(value, "-1") == 0) {
		log->rule.max_size = 0;
		return 0;
	}
	if (parse_size(value, &log->rule.max_size, ret_error) < 0)
		return error_wrap(ret_error, "max-size");
	if (log->rule.max_size < OUTPUT_SIZE_MIN)
		return error_set(ret_error, EINVAL, "max-size=%s: must be at least %d bytes", value,
				 OUTPUT_SIZE_MIN);
	return 0;
}

static int read_path(const char *value, struct run_log *log, struct error **ret_error)
{
	if (value[0] != '/')
		return error_set(ret_error, EINVAL, "path=%s: must be an absolute path", value);
	free(log->path);
	log->path = xstrdup(value);
	return 0;
}

static int read_option(const char *word, struct run_log *log, struct error **ret_error)
{
	static const struct {
		const char *name;
		int (*read)(const char *value, struct run_log *log, struct error **ret_error);
	} known[] = { { "max-size", read_max_size },
		      { "max-file", read_max_files },
		      { "path", read_path } };
	const size_t size = strcspn(word, "=");

	if (word[size] != '=')
		return error_set(ret_error, EINVAL, "must be NAME=VALUE");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == size && memcmp(word, known[i].name, size) == 0)
			return known[i].read(word + size + 1, log, ret_error);
	return error_set(ret_error, ENOTSUP,
			 "unknown log opt '%.*s': known are max-size, max-file and path", (int)size,
			 word);
}

int run_log_read(const struct run_options *options, const char *root, const char *id,
		 struct run_log *ret_log, struct error **ret_error)
{
	const char *driver = options->log_driver;
	struct run_log log = { 0 };

	if (!options->create.detach) {
		if (options->log_opts || (driver && strcmp(driver, DRIVER_NONE) != 0))
			return error_set(ret_error, EINVAL,
					 "--log-driver and --log-opt are for containers with -d: "
					 "without it, the output is ours alone");
		*ret_log = log;
		return 0;
	}
	set_usual(root, id, &log);
	for (const char *const *word = options->log_opts; word && *word; word++)
		if (read_option(*word, &log, ret_error) < 0) {
			run_log_done(&log);
			return error_wrap(ret_error, "--log-opt %s", *word);
		}
	if (read_driver(driver, &log, ret_error) < 0) {
		run_log_done(&log);
		return -1;
	}
	*ret_log = log;
	return 0;
}

/* ---- kept ---- */

void run_log_put(struct json_writer *writer, const struct run_log *log)
{
	json_put_key(writer, MEMBER);
	json_begin_object(writer);
	json_put_string(writer, "path", log->path);
	json_put_string(writer, "format", output_format_name(log->rule.format));
	json_put_uint64(writer, "max_size", log->rule.max_size);
	json_put_uint64(writer, "max_files", log->rule.max_files);
	json_end_object(writer);
}

int run_log_get(const struct json_at *object, const char *root, const char *id,
		struct run_log *ret_log, struct error **ret_error)
{
	_cleanup_free_ char *format = NULL;
	_cleanup_(run_log_done) struct run_log log = { 0 };
	struct json_at at = { 0 };

	if (json_object(object, MEMBER, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at)) {
		set_usual(root, id, ret_log);
		return 0;
	}
	if (json_get_string(&at, "path", JSON_OPTIONAL, &log.path, ret_error) < 0 ||
	    json_get_string(&at, "format", JSON_REQUIRED, &format, ret_error) < 0 ||
	    output_format_find(format, &log.rule.format, ret_error) < 0 ||
	    json_get_uint64(&at, "max_size", JSON_REQUIRED, INT64_MAX, &log.rule.max_size,
			    ret_error) < 0 ||
	    json_get_uint32(&at, "max_files", JSON_REQUIRED, &log.rule.max_files, ret_error) < 0)
		return -1;
	*ret_log = log;
	log.path = NULL;
	return 0;
}

void run_log_like(const struct run_log *log, const char *root, const char *id,
		  struct run_log *ret_log)
{
	ret_log->rule = log->rule;
	ret_log->path = log->path ? state_path(root, id, RUN_LOG_FILE) : NULL;
}
