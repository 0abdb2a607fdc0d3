/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's `process`: runtime-spec config.md "Process". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/log.h"
#include "runtime-spec/spec-internal.h"

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static int read_rlimit(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_rlimit *rlimit = element;
	const struct json_at type = { .parent = at, .key = "type" };

	if (spec_get_text(at, "type", JSON_REQUIRED, &rlimit->type, ret_error) < 0 ||
	    json_get_uint64(at, "soft", JSON_REQUIRED, UINT64_MAX, &rlimit->soft, ret_error) < 0 ||
	    json_get_uint64(at, "hard", JSON_REQUIRED, UINT64_MAX, &rlimit->hard, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(rlimit_names); i++)
		if (strcmp(rlimit_names[i].name, rlimit->type) == 0) {
			rlimit->resource = rlimit_names[i].resource;
			return 0;
		}
	return json_error(&type, ret_error, "\"%s\" is not a known resource limit", rlimit->type);
}

/* config.md: "If rlimits contains duplicated entries with same type, the
 * runtime MUST generate an error." */
static int check_rlimits(const struct json_at *at, const struct spec_process *process,
			 struct error **ret_error)
{
	const struct json_at rlimits = { .parent = at, .key = "rlimits" };
	uint32_t seen = 0;

	for (size_t i = 0; i < process->n_rlimits; i++) {
		const uint32_t bit = 1u << process->rlimits[i].resource;

		if (seen & bit)
			return json_error(&rlimits, ret_error, "%s is given twice",
					  process->rlimits[i].type);
		seen |= bit;
	}
	return 0;
}

static bool capability_of(const char *name, cap_value_t *ret_value)
{
	/* cap_from_name() also takes numbers, lower case, and text after the name. */
	if (strncmp(name, "CAP_", 4) != 0 ||
	    name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] != '\0')
		return false;
	return cap_from_name(name, ret_value) == 0 && *ret_value < 64;
}

/* Once, though it is in several sets. */
static void warn_of_capability(const char *name, char ***warnings)
{
	_cleanup_free_ char *warning =
	    xasprintf("ignoring unknown or unavailable capability \"%s\"", name);

	for (size_t i = 0; *warnings && (*warnings)[i]; i++)
		if (strcmp((*warnings)[i], warning) == 0)
			return;
	strv_append(warnings, warning);
}

static int read_capability_set(const struct json_at *at, const char *key, uint64_t *ret_set,
			       char ***warnings, struct error **ret_error)
{
	_cleanup_strv_ char **names = NULL;
	cap_value_t value;

	if (json_get_strv(at, key, JSON_OPTIONAL, &names, ret_error) < 0)
		return -1;
	for (size_t i = 0; names && names[i]; i++) {
		if (capability_of(names[i], &value))
			*ret_set |= UINT64_C(1) << value;
		else
			warn_of_capability(names[i], warnings);
	}
	return 0;
}

static int read_capabilities(const struct json_at *process, struct spec_process *ret_process,
			     struct error **ret_error)
{
	struct spec_capabilities *sets = &ret_process->capabilities;
	char ***warnings = &ret_process->warnings;
	struct json_at at;

	if (json_object(process, "capabilities", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	ret_process->has_capabilities = true;
	if (read_capability_set(&at, "bounding", &sets->bounding, warnings, ret_error) < 0 ||
	    read_capability_set(&at, "effective", &sets->effective, warnings, ret_error) < 0 ||
	    read_capability_set(&at, "inheritable", &sets->inheritable, warnings, ret_error) < 0 ||
	    read_capability_set(&at, "permitted", &sets->permitted, warnings, ret_error) < 0)
		return -1;
	return read_capability_set(&at, "ambient", &sets->ambient, warnings, ret_error);
}

static int read_user(const struct json_at *process, struct spec_user *ret_user,
		     struct error **ret_error)
{
	struct json_at at, gids;
	size_t n;

	if (json_object(process, "user", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_uint32(&at, "uid", JSON_REQUIRED, &ret_user->uid, ret_error) < 0 ||
	    json_get_uint32(&at, "gid", JSON_REQUIRED, &ret_user->gid, ret_error) < 0 ||
	    spec_get_uint32_flag(&at, "umask", &ret_user->has_umask, &ret_user->umask, ret_error) <
		0 ||
	    json_array(&at, "additionalGids", JSON_OPTIONAL, &gids, ret_error) < 0)
		return -1;
	n = json_length(&gids);
	if (n > 0)
		ret_user->additional_gids = xcalloc(n, sizeof(*ret_user->additional_gids));
	for (size_t i = 0; i < n; i++) {
		const struct json_at gid = json_element(&gids, i);
		uint64_t value;

		if (json_as_uint64(&gid, UINT32_MAX, &value, ret_error) < 0)
			return -1;
		ret_user->additional_gids[i] = (uint32_t)value;
		ret_user->n_additional_gids = i + 1;
	}
	return 0;
}

static int read_console_size(const struct json_at *process, struct spec_process *ret_process,
			     struct error **ret_error)
{
	struct json_at at;

	if (json_object(process, "consoleSize", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_uint32(&at, "width", JSON_REQUIRED, &ret_process->console_width, ret_error) <
	    0)
		return -1;
	return json_get_uint32(&at, "height", JSON_REQUIRED, &ret_process->console_height,
			       ret_error);
}

static int read_command(const struct json_at *at, struct spec_process *ret_process,
			struct error **ret_error)
{
	const struct json_at args = { .parent = at, .key = "args" };
	const struct json_at env = { .parent = at, .key = "env" };

	if (json_get_strv(at, "args", JSON_REQUIRED, &ret_process->args, ret_error) < 0 ||
	    json_get_string(at, "commandLine", JSON_OPTIONAL, &ret_process->command_line,
			    ret_error) < 0 ||
	    json_get_strv(at, "env", JSON_OPTIONAL, &ret_process->env, ret_error) < 0 ||
	    spec_get_path(at, "cwd", JSON_REQUIRED, &ret_process->cwd, ret_error) < 0)
		return -1;
	if (strv_length(ret_process->args) == 0)
		return json_error(&args, ret_error, "must not be empty");
	for (size_t i = 0; ret_process->env && ret_process->env[i]; i++) {
		const struct json_at entry = { .parent = &env, .index = i };
		const char *equals = strchr(ret_process->env[i], '=');

		if (!equals || equals == ret_process->env[i])
			return json_error(&entry, ret_error,
					  "invalid environment variable \"%s\": must be NAME=value",
					  ret_process->env[i]);
	}
	return 0;
}

int spec_read_process(const struct json_at *at, struct spec_process *ret_process,
		      struct error **ret_error)
{
	const struct json_at adjust = { .parent = at, .key = "oomScoreAdj" };
	int64_t score = INT64_MIN;

	if (json_get_bool(at, "terminal", JSON_OPTIONAL, &ret_process->terminal, ret_error) < 0 ||
	    read_console_size(at, ret_process, ret_error) < 0 ||
	    read_user(at, &ret_process->user, ret_error) < 0 ||
	    read_command(at, ret_process, ret_error) < 0 ||
	    read_capabilities(at, ret_process, ret_error) < 0 ||
	    spec_get_list(at, "rlimits", JSON_OPTIONAL, sizeof(struct spec_rlimit), read_rlimit,
			  &ret_process->rlimits, &ret_process->n_rlimits, ret_error) < 0 ||
	    check_rlimits(at, ret_process, ret_error) < 0 ||
	    json_get_bool(at, "noNewPrivileges", JSON_OPTIONAL, &ret_process->no_new_privileges,
			  ret_error) < 0 ||
	    spec_get_text(at, "apparmorProfile", JSON_OPTIONAL, &ret_process->apparmor_profile,
			  ret_error) < 0 ||
	    spec_get_text(at, "selinuxLabel", JSON_OPTIONAL, &ret_process->selinux_label,
			  ret_error) < 0 ||
	    spec_read_scheduling(at, ret_process, ret_error) < 0 ||
	    spec_get_text(at, SPEC_EXEC_CGROUP, JSON_OPTIONAL, &ret_process->cgroup, ret_error) <
		0 ||
	    spec_get_text(at, SPEC_EXEC_USER, JSON_OPTIONAL, &ret_process->user_words, ret_error) <
		0 ||
	    json_get_bool(at, SPEC_PROCESS_INIT, JSON_OPTIONAL, &ret_process->has_init, ret_error) <
		0 ||
	    spec_get_text(at, SPEC_EXEC_TOOL, JSON_OPTIONAL, &ret_process->tool, ret_error) < 0 ||
	    json_get_int64(at, "oomScoreAdj", JSON_OPTIONAL, INT32_MIN, INT32_MAX, &score,
			   ret_error) < 0)
		return -1;
	if (score == INT64_MIN)
		return 0;
	/* proc(5): the kernel takes these alone. */
	if (score < -1000 || score > 1000)
		return json_error(&adjust, ret_error, "%lld is out of range (-1000 to 1000)",
				  (long long)score);
	ret_process->has_oom_score_adj = true;
	ret_process->oom_score_adj = (int32_t)score;
	return 0;
}

void spec_process_done(struct spec_process *process)
{
	free(process->user.additional_gids);
	strv_free(process->args);
	free(process->command_line);
	strv_free(process->env);
	free(process->cwd);
	for (size_t i = 0; i < process->n_rlimits; i++)
		free(process->rlimits[i].type);
	free(process->rlimits);
	free(process->apparmor_profile);
	free(process->selinux_label);
	free(process->initial_cpus);
	free(process->final_cpus);
	free(process->cgroup);
	free(process->user_words);
	free(process->tool);
	strv_free(process->warnings);
}

void spec_process_log_warnings(const struct spec_process *process)
{
	for (size_t i = 0; process->warnings && process->warnings[i]; i++)
		log_warning("%s", process->warnings[i]);
}

int spec_parse_process(const char *text, size_t size, struct spec_process **ret_process,
		       struct error **ret_error)
{
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (size > SPEC_SIZE_MAX)
		return error_set(ret_error, EFBIG, "the process is larger than %u bytes",
				 SPEC_SIZE_MAX);
	if (json_parse(text, size, "process", &value, ret_error) < 0)
		return -1;
	process = xcalloc(1, sizeof(*process));
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    spec_read_process(&root, process, ret_error) < 0)
		return -1;
	*ret_process = TAKE_PTR(process);
	return 0;
}

void spec_process_free(struct spec_process *process)
{
	if (!process)
		return;
	spec_process_done(process);
	free(process);
}
