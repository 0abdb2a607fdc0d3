/* SPDX-License-Identifier: Apache-2.0 */
/* LinuxResources from `update`'s single-limit flags: see update-resources.h. */
#include "cli/update-resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"

enum kind { KIND_NUMBER, KIND_BYTES, KIND_TEXT };

struct limit {
	const char *flag, *key;
	enum kind kind;
	const char *value; /* NULL: not given */
};

static int put_limit(struct json_writer *writer, const struct limit *limit,
		     struct error **ret_error)
{
	uint64_t bytes;
	char *end;
	int64_t number;

	if (limit->kind == KIND_TEXT) {
		json_put_string(writer, limit->key, limit->value);
		return 0;
	}
	errno = 0;
	number = strtoll(limit->value, &end, 10);
	if (errno == 0 && end != limit->value && *end == '\0') {
		json_put_int64(writer, limit->key, number);
		return 0;
	}
	/* "-1" means no limit; else a size may have a unit. */
	if (limit->kind == KIND_NUMBER || parse_size(limit->value, &bytes, ret_error) < 0) {
		if (limit->kind == KIND_BYTES)
			return error_wrap(ret_error, "invalid value for %s", limit->flag);
		return error_set(ret_error, EINVAL, "invalid value for %s: \"%s\" is not a number",
				 limit->flag, limit->value);
	}
	json_put_uint64(writer, limit->key, bytes);
	return 0;
}

/* One section ("cpu"), if any of its limits was given. */
static int put_section(struct json_writer *writer, const char *key, const struct limit *limits,
		       size_t n, struct error **ret_error)
{
	bool open = false;

	for (size_t i = 0; i < n; i++) {
		if (!limits[i].value)
			continue;
		if (!open) {
			json_put_key(writer, key);
			json_begin_object(writer);
			open = true;
		}
		if (put_limit(writer, &limits[i], ret_error) < 0)
			return -1;
	}
	if (open)
		json_end_object(writer);
	return 0;
}

int update_resources_json(const struct update_options *options, char **ret_json,
			  struct error **ret_error)
{
	const struct limit memory[] = {
		{ "memory", "limit", KIND_BYTES, options->memory },
		{ "memory-reservation", "reservation", KIND_BYTES, options->memory_reservation },
		{ "memory-swap", "swap", KIND_BYTES, options->memory_swap },
	};
	const struct limit cpu[] = {
		{ "cpu-share", "shares", KIND_NUMBER, options->cpu_share },
		{ "cpu-quota", "quota", KIND_NUMBER, options->cpu_quota },
		{ "cpu-period", "period", KIND_NUMBER, options->cpu_period },
		{ "cpu-burst", "burst", KIND_NUMBER, options->cpu_burst },
		{ "cpu-idle", "idle", KIND_NUMBER, options->cpu_idle },
		{ "cpu-rt-runtime", "realtimeRuntime", KIND_NUMBER, options->cpu_rt_runtime },
		{ "cpu-rt-period", "realtimePeriod", KIND_NUMBER, options->cpu_rt_period },
		{ "cpuset-cpus", "cpus", KIND_TEXT, options->cpuset_cpus },
		{ "cpuset-mems", "mems", KIND_TEXT, options->cpuset_mems },
	};
	const struct limit pids[] = { { "pids-limit", "limit", KIND_NUMBER, options->pids_limit } };
	const struct limit io[] = { { "blkio-weight", "weight", KIND_NUMBER,
				      options->blkio_weight } };
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *json = NULL;
	int result;

	json_begin_object(writer);
	result = put_section(writer, "memory", memory, ARRAY_SIZE(memory), ret_error);
	if (result == 0)
		result = put_section(writer, "cpu", cpu, ARRAY_SIZE(cpu), ret_error);
	if (result == 0)
		result = put_section(writer, "pids", pids, ARRAY_SIZE(pids), ret_error);
	if (result == 0)
		result = put_section(writer, "blockIO", io, ARRAY_SIZE(io), ret_error);
	json_end_object(writer);
	json = json_writer_finish(writer, NULL);
	if (result < 0)
		return -1;
	*ret_json = TAKE_PTR(json);
	return 0;
}
