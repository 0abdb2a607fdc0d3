/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `process` object of an `exec`: the container's, member by member, with what
 * the command line says otherwise. Members that we do not know go through.
 */
#include "client/exec-process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "runtime-spec/spec.h"

struct user {
	uint64_t uid, gid;
	bool has_gid;
};

static int parse_id(const char *text, char end, uint64_t *ret_id, const char **ret_end,
		    struct error **ret_error)
{
	char *stop;

	errno = 0;
	*ret_id = strtoull(text, &stop, 10);
	if (errno != 0 || text[0] < '0' || text[0] > '9' || (*stop != '\0' && *stop != end) ||
	    *ret_id > UINT32_MAX)
		return error_set(ret_error, EINVAL, "\"%s\" is not a numeric id", text);
	*ret_end = stop;
	return 0;
}

/* "UID" or "UID:GID": names are the guest's to know. */
static int parse_user(const char *text, struct user *ret_user, struct error **ret_error)
{
	const char *end;

	if (parse_id(text, ':', &ret_user->uid, &end, ret_error) < 0)
		return error_wrap(ret_error, "--user %s", text);
	ret_user->has_gid = *end == ':';
	if (ret_user->has_gid && parse_id(end + 1, '\0', &ret_user->gid, &end, ret_error) < 0)
		return error_wrap(ret_error, "--user %s", text);
	return 0;
}

static void put_elements(struct json_writer *writer, const struct json_at *array)
{
	for (size_t i = 0; i < json_length(array); i++)
		json_put_value(writer, NULL, json_element(array, i).value);
}

static int put_user(struct json_writer *writer, const struct json_at *process,
		    const struct exec_overrides *overrides, struct error **ret_error)
{
	static const char *const kept[] = { "uid", "gid", "umask" };
	const char *const *gids = overrides->additional_gids;
	const char *numbers = overrides->user_by_name ? NULL : overrides->user;
	struct user user = { 0 };
	struct json_at at, groups = { 0 };

	if (numbers && parse_user(numbers, &user, ret_error) < 0)
		return -1;
	if (json_object(process, "user", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	json_put_key(writer, "user");
	json_begin_object(writer);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		struct json_at member = { 0 };
		const bool gid = i == 1;

		if (json_present(&at) &&
		    json_member(&at, kept[i], JSON_OPTIONAL, &member, ret_error) < 0)
			return -1;
		if (i == 0 && numbers)
			json_put_uint64(writer, kept[i], user.uid);
		else if (gid && user.has_gid)
			json_put_uint64(writer, kept[i], user.gid);
		else if (json_present(&member))
			json_put_value(writer, kept[i], member.value);
		else if (i < 2)
			json_put_uint64(writer, kept[i], 0);
	}
	if (json_present(&at) &&
	    json_array(&at, "additionalGids", JSON_OPTIONAL, &groups, ret_error) < 0)
		return -1;
	json_put_key(writer, "additionalGids");
	json_begin_array(writer);
	put_elements(writer, &groups);
	for (size_t i = 0; gids && gids[i]; i++) {
		const char *end;
		uint64_t gid;

		if (parse_id(gids[i], '\0', &gid, &end, ret_error) < 0)
			return error_wrap(ret_error, "--additional-gids");
		json_put_uint64(writer, NULL, gid);
	}
	json_end_array(writer);
	json_end_object(writer);
	return 0;
}

static int put_environment(struct json_writer *writer, const struct json_at *process,
			   const struct exec_overrides *overrides, struct error **ret_error)
{
	struct json_at env;

	if (json_array(process, "env", JSON_OPTIONAL, &env, ret_error) < 0)
		return -1;
	json_put_key(writer, "env");
	json_begin_array(writer);
	put_elements(writer, &env);
	for (size_t i = 0; overrides->env && overrides->env[i]; i++)
		json_put_string(writer, NULL, overrides->env[i]);
	json_end_array(writer);
	return 0;
}

/* As runc's --cap: into the bounding, effective and permitted sets. */
static int put_capabilities(struct json_writer *writer, const struct json_at *process,
			    const struct exec_overrides *overrides, struct error **ret_error)
{
	static const char *const sets[] = { "bounding", "effective", "permitted", "inheritable",
					    "ambient" };
	const char *const *added = overrides->capabilities;
	struct json_at at, set = { 0 };

	if (json_object(process, "capabilities", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at) && !added)
		return 0;
	json_put_key(writer, "capabilities");
	json_begin_object(writer);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		if (json_present(&at) &&
		    json_array(&at, sets[i], JSON_OPTIONAL, &set, ret_error) < 0)
			return -1;
		json_put_key(writer, sets[i]);
		json_begin_array(writer);
		put_elements(writer, &set);
		for (size_t n = 0; i < 3 && added && added[n]; n++)
			json_put_string(writer, NULL, added[n]);
		json_end_array(writer);
	}
	json_end_object(writer);
	return 0;
}

static void put_strings(struct json_writer *writer, const struct exec_overrides *overrides)
{
	json_put_strv(writer, "args", (char *const *)overrides->args);
	json_put_bool(writer, "terminal", overrides->terminal);
	if (overrides->cwd)
		json_put_string(writer, "cwd", overrides->cwd);
	if (overrides->apparmor)
		json_put_string(writer, "apparmorProfile", overrides->apparmor);
	if (overrides->process_label)
		json_put_string(writer, "selinuxLabel", overrides->process_label);
	if (overrides->no_new_privileges)
		json_put_bool(writer, "noNewPrivileges", true);
	if (overrides->user_by_name && overrides->user)
		json_put_string(writer, SPEC_EXEC_USER, overrides->user);
}

/* Members that put_strings() and the others write. */
static bool overridden(const struct exec_overrides *overrides, const char *key)
{
	static const char *const always[] = { "args",	      "terminal",    "user",	   "env",
					      "capabilities", "consoleSize", "commandLine" };

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (strcmp(always[i], key) == 0)
			return true;
	return (overrides->cwd && strcmp(key, "cwd") == 0) ||
	       (overrides->apparmor && strcmp(key, "apparmorProfile") == 0) ||
	       (overrides->process_label && strcmp(key, "selinuxLabel") == 0) ||
	       (overrides->no_new_privileges && strcmp(key, "noNewPrivileges") == 0);
}

int exec_process_json(const char *config, const struct exec_overrides *overrides, char **ret_json,
		      struct error **ret_error)
{
	struct json_writer *writer;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, process;
	_cleanup_free_ char *json = NULL;
	int result;

	if (json_parse(config, strlen(config), "config.json", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_object(&root, "process", JSON_REQUIRED, &process, ret_error) < 0)
		return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	put_strings(writer, overrides);
	for (size_t i = 0; i < json_length(&process); i++) {
		const struct json_at member = json_member_at(&process, i);

		if (!overridden(overrides, member.key))
			json_put_value(writer, member.key, member.value);
	}
	result = put_user(writer, &process, overrides, ret_error);
	if (result == 0)
		result = put_environment(writer, &process, overrides, ret_error);
	if (result == 0)
		result = put_capabilities(writer, &process, overrides, ret_error);
	json_end_object(writer);
	json = json_writer_finish(writer, NULL);
	if (result < 0)
		return -1;
	*ret_json = TAKE_PTR(json);
	return 0;
}

int exec_process_cgroup(const char *const *options, const char **ret_path, struct error **ret_error)
{
	const char *colon;

	*ret_path = NULL;
	if (!options)
		return 0;
	colon = strchr(options[0], ':');
	if (!colon && options[1])
		return error_set(ret_error, EINVAL,
				 "invalid --cgroup argument: %s (missing <controller>: prefix)",
				 options[0]);
	if (colon)
		return error_set(ret_error, EINVAL,
				 "unknown controller %.*s in SubCgroupPaths: the guest has cgroup "
				 "v2",
				 (int)(colon - options[0]), options[0]);
	*ret_path = options[0];
	return 0;
}

int exec_process_put(char **json, const char *name, const char *text, struct error **ret_error)
{
	struct json_writer *writer;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(*json, strlen(*json), "process", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0)
		return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	json_put_string(writer, name, text);
	for (size_t i = 0; i < json_length(&root); i++) {
		const struct json_at member = json_member_at(&root, i);

		if (strcmp(member.key, name) != 0)
			json_put_value(writer, member.key, member.value);
	}
	json_end_object(writer);
	free(*json);
	*json = json_writer_finish(writer, NULL);
	return 0;
}
