/* SPDX-License-Identifier: Apache-2.0 */
/* The config.json of an image's container: see run-request.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include "base/alloc.h"
#include "cli/run-image.h"
#include "cli/run-request.h"
#include "cli/spec-parts.h"
#include "runtime-spec/spec.h"

/* The user's own group is among the others, too: a user who may change his group keeps what it
 * denies.
 */
static void put_user(struct json_writer *writer, const struct named_user *user)
{
	json_put_key(writer, "user");
	json_begin_object(writer);
	json_put_uint64(writer, "uid", user->uid);
	json_put_uint64(writer, "gid", user->gid);
	json_put_key(writer, "additionalGids");
	json_begin_array(writer);
	json_put_uint64(writer, NULL, user->gid);
	for (size_t i = 0; i < user->n_groups; i++)
		json_put_uint64(writer, NULL, user->groups[i]);
	json_end_array(writer);
	json_end_object(writer);
}

static void put_capability_set(struct json_writer *writer, const char *key, uint64_t set)
{
	json_put_key(writer, key);
	json_begin_array(writer);
	for (int i = 0; i < 64; i++) {
		char *name = set >> i & 1 ? cap_to_name(i) : NULL;
		_cleanup_free_ char *upper = xstrdup(name);

		for (char *at = upper; at && *at; at++)
			if (*at >= 'a' && *at <= 'z')
				*at = (char)(*at - 'a' + 'A');
		if (upper)
			json_put_string(writer, NULL, upper);
		(void)cap_free(name);
	}
	json_end_array(writer);
}

/* As execve(2) leaves it: a user other than root has none, and can get those of a file. */
static void put_capabilities(struct json_writer *writer, const struct run_request *request)
{
	const uint64_t own = request->user.uid == 0 ? request->capabilities : 0;

	json_put_key(writer, "capabilities");
	json_begin_object(writer);
	put_capability_set(writer, "bounding", request->capabilities);
	put_capability_set(writer, "effective", own);
	put_capability_set(writer, "permitted", own);
	json_end_object(writer);
}

static void put_process(struct json_writer *writer, const struct run_request *request)
{
	json_put_key(writer, "process");
	json_begin_object(writer);
	json_put_bool(writer, "terminal", request->terminal);
	put_user(writer, &request->user);
	json_put_strv(writer, "args", request->args);
	json_put_strv(writer, "env", request->env);
	json_put_string(writer, "cwd", request->cwd);
	if (request->init)
		json_put_bool(writer, SPEC_PROCESS_INIT, true);
	put_capabilities(writer, request);
	json_put_key(writer, "rlimits");
	json_begin_array(writer);
	for (size_t i = 0; i < request->n_ulimits; i++) {
		json_begin_object(writer);
		json_put_string(writer, "type", request->ulimits[i].type);
		json_put_uint64(writer, "hard", request->ulimits[i].hard);
		json_put_uint64(writer, "soft", request->ulimits[i].soft);
		json_end_object(writer);
	}
	json_end_array(writer);
	json_put_bool(writer, "noNewPrivileges", request->no_new_privileges);
	if (request->oom_score_adj)
		json_put_int64(writer, "oomScoreAdj", request->oom_score_adj);
	json_end_object(writer);
}

static void put_mounts(struct json_writer *writer, const struct run_request *request)
{
	_cleanup_free_ char *shm =
	    request->shm_size ? xasprintf("size=%llu", (unsigned long long)request->shm_size)
			      : xstrdup(SPEC_SHM_SIZE);

	json_put_key(writer, "mounts");
	json_begin_array(writer);
	spec_put_usual_mounts(writer, shm, request->privileged, false);
	for (size_t i = 0; i < request->n_mounts; i++) {
		const struct run_mount *mount = &request->mounts[i];

		spec_put_mount(writer, mount->destination, mount->type, mount->source,
			       (const char *const *)mount->options);
	}
	json_end_array(writer);
}

static void put_pairs(struct json_writer *writer, const char *prefix, char *const *pairs)
{
	for (; pairs && *pairs; pairs++) {
		const size_t length = strcspn(*pairs, "=");
		_cleanup_free_ char *key = xasprintf("%s%.*s", prefix, (int)length, *pairs);

		json_put_string(writer, key, *pairs + length + 1);
	}
}

static void put_cpu(struct json_writer *writer, const struct run_request *request)
{
	if (!request->cpu_quota && !request->cpu_shares)
		return;
	json_put_key(writer, "cpu");
	json_begin_object(writer);
	if (request->cpu_quota) {
		json_put_uint64(writer, "quota", request->cpu_quota);
		json_put_uint64(writer, "period", RUN_CPU_PERIOD);
	}
	if (request->cpu_shares)
		json_put_uint64(writer, "shares", request->cpu_shares);
	json_end_object(writer);
}

static void put_numbers(struct json_writer *writer, const struct run_device *device)
{
	json_put_string(writer, "type", "c");
	json_put_uint64(writer, "major", device->major);
	json_put_uint64(writer, "minor", device->minor);
}

static void put_device_nodes(struct json_writer *writer, const struct run_request *request)
{
	json_put_key(writer, "devices");
	json_begin_array(writer);
	for (size_t i = 0; i < request->n_devices; i++) {
		json_begin_object(writer);
		json_put_string(writer, "path", request->devices[i].path);
		put_numbers(writer, &request->devices[i]);
		json_put_uint64(writer, "fileMode", 0666);
		json_end_object(writer);
	}
	json_end_array(writer);
}

/* All, or nothing but the usual ones and those of --device. */
static void put_device_rules(struct json_writer *writer, const struct run_request *request)
{
	json_put_key(writer, "devices");
	json_begin_array(writer);
	json_begin_object(writer);
	json_put_bool(writer, "allow", request->privileged);
	json_put_string(writer, "access", "rwm");
	json_end_object(writer);
	for (size_t i = 0; i < request->n_devices; i++) {
		json_begin_object(writer);
		json_put_bool(writer, "allow", true);
		put_numbers(writer, &request->devices[i]);
		json_put_string(writer, "access", request->devices[i].access);
		json_end_object(writer);
	}
	json_end_array(writer);
}

static void put_resources(struct json_writer *writer, const struct run_request *request)
{
	json_put_key(writer, "resources");
	json_begin_object(writer);
	put_device_rules(writer, request);
	if (request->memory) {
		json_put_key(writer, "memory");
		json_begin_object(writer);
		json_put_uint64(writer, "limit", request->memory);
		json_end_object(writer);
	}
	put_cpu(writer, request);
	if (request->pids_limit) {
		json_put_key(writer, "pids");
		json_begin_object(writer);
		json_put_uint64(writer, "limit", request->pids_limit);
		json_end_object(writer);
	}
	json_end_object(writer);
}

static void put_seccomp(struct json_writer *writer, const struct run_request *request)
{
	const char *text = request->seccomp;
	_cleanup_json_ yajl_val value = NULL;

	if (text && json_parse(text, strlen(text), "seccomp", &value, NULL) == 0)
		json_put_value(writer, "seccomp", value);
}

static void put_linux(struct json_writer *writer, const struct run_request *request)
{
	json_put_key(writer, "linux");
	json_begin_object(writer);
	put_resources(writer, request);
	put_device_nodes(writer, request);
	spec_put_namespaces(writer, false);
	json_put_key(writer, "sysctl");
	json_begin_object(writer);
	put_pairs(writer, "", request->sysctls);
	json_end_object(writer);
	put_seccomp(writer, request);
	if (!request->privileged && !request->shows_paths)
		spec_put_hidden_paths(writer);
	json_end_object(writer);
}

char *run_spec_json(const struct run_request *request)
{
	struct json_writer *writer = json_writer_new(true);

	json_begin_object(writer);
	json_put_string(writer, "ociVersion", SPEC_VERSION);
	put_process(writer, request);
	json_put_key(writer, "root");
	json_begin_object(writer);
	json_put_string(writer, "path", "rootfs");
	json_put_bool(writer, "readonly", request->read_only);
	json_end_object(writer);
	json_put_string(writer, "hostname", request->hostname);
	if (request->domainname)
		json_put_string(writer, "domainname", request->domainname);
	put_mounts(writer, request);
	json_put_key(writer, "annotations");
	json_begin_object(writer);
	json_put_string(writer, ANNOTATION_IMAGE, request->image);
	if (request->stop_signal)
		json_put_string(writer, ANNOTATION_STOP_SIGNAL, request->stop_signal);
	if (request->stop_timeout)
		json_put_string(writer, ANNOTATION_STOP_TIMEOUT, request->stop_timeout);
	put_pairs(writer, RUN_LABEL_PREFIX, request->labels);
	put_pairs(writer, "", request->annotations);
	json_end_object(writer);
	put_linux(writer, request);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}
