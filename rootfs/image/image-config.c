/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of images: see image-config.h. */
#include "rootfs/image/image-config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

#define NS_PER_MS 1000000ULL

void image_config_free(struct image_config *config)
{
	if (!config)
		return;
	strv_free(config->env);
	strv_free(config->entrypoint);
	strv_free(config->cmd);
	strv_free(config->volumes);
	strv_free(config->exposed_ports);
	strv_free(config->shell);
	strv_free(config->health.test);
	free(config->user);
	free(config->working_dir);
	free(config->stop_signal);
	free(config);
}

/* A set: an object whose members' names are its elements. */
static int get_set(const struct json_at *object, const char *key, char ***ret_strv,
		   struct error **ret_error)
{
	struct json_at set;

	if (json_object(object, key, JSON_OPTIONAL, &set, ret_error) < 0)
		return -1;
	if (json_length(&set) > 0)
		*ret_strv = xcalloc(json_length(&set) + 1, sizeof(**ret_strv));
	for (size_t i = 0; i < json_length(&set); i++)
		(*ret_strv)[i] = xstrdup(json_member_at(&set, i).key);
	return 0;
}

/* Nanoseconds; what is less than a millisecond is one, as docker has no less. */
static int get_time(const struct json_at *at, const char *key, uint64_t *ret_ms,
		    struct error **ret_error)
{
	uint64_t ns = 0;

	if (json_get_uint64(at, key, JSON_OPTIONAL, IMAGE_HEALTH_MS_MAX * NS_PER_MS, &ns,
			    ret_error) < 0)
		return -1;
	*ret_ms = (ns + NS_PER_MS - 1) / NS_PER_MS;
	return 0;
}

static int get_health(const struct json_at *config, struct image_health *health,
		      struct error **ret_error)
{
	struct json_at at;

	if (json_object(config, "Healthcheck", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_strv(&at, "Test", JSON_OPTIONAL, &health->test, ret_error) < 0 ||
	    get_time(&at, "Interval", &health->interval_ms, ret_error) < 0 ||
	    get_time(&at, "Timeout", &health->timeout_ms, ret_error) < 0 ||
	    get_time(&at, "StartPeriod", &health->start_period_ms, ret_error) < 0 ||
	    get_time(&at, "StartInterval", &health->start_interval_ms, ret_error) < 0)
		return -1;
	return json_get_uint64(&at, "Retries", JSON_OPTIONAL, INT32_MAX, &health->retries,
			       ret_error);
}

static int get_members(const struct json_at *at, struct image_config *config,
		       struct error **ret_error)
{
	if (json_get_strv(at, "Env", JSON_OPTIONAL, &config->env, ret_error) < 0 ||
	    json_get_strv(at, "Entrypoint", JSON_OPTIONAL, &config->entrypoint, ret_error) < 0 ||
	    json_get_strv(at, "Cmd", JSON_OPTIONAL, &config->cmd, ret_error) < 0 ||
	    json_get_string(at, "User", JSON_OPTIONAL, &config->user, ret_error) < 0 ||
	    json_get_string(at, "WorkingDir", JSON_OPTIONAL, &config->working_dir, ret_error) < 0 ||
	    json_get_strv(at, "Shell", JSON_OPTIONAL, &config->shell, ret_error) < 0 ||
	    get_health(at, &config->health, ret_error) < 0 ||
	    json_get_string(at, "StopSignal", JSON_OPTIONAL, &config->stop_signal, ret_error) < 0 ||
	    get_set(at, "Volumes", &config->volumes, ret_error) < 0 ||
	    get_set(at, "ExposedPorts", &config->exposed_ports, ret_error) < 0)
		return -1;
	return 0;
}

static int check(const struct image_config *config, struct error **ret_error)
{
	for (char **env = config->env; env && *env; env++)
		if (!strchr(*env, '=') || (*env)[0] == '=')
			return error_set(ret_error, EINVAL,
					 "image configuration: config.Env: \"%s\" is not "
					 "NAME=VALUE",
					 *env);
	for (char **path = config->volumes; path && *path; path++)
		if ((*path)[0] != '/')
			return error_set(ret_error, EINVAL,
					 "image configuration: config.Volumes: \"%s\" is not an "
					 "absolute path",
					 *path);
	if (config->working_dir && config->working_dir[0] && config->working_dir[0] != '/')
		return error_set(ret_error, EINVAL,
				 "image configuration: config.WorkingDir: \"%s\" is not an "
				 "absolute path",
				 config->working_dir);
	return 0;
}

int image_config_parse(const char *text, size_t size, struct image_config **ret_config,
		       struct error **ret_error)
{
	_cleanup_(image_config_freep) struct image_config *config = xcalloc(1, sizeof(*config));
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, at;

	if (json_parse(text, size, "image configuration", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_object(&root, "config", JSON_OPTIONAL, &at, ret_error) < 0)
		return error_wrap(ret_error, "image configuration");
	if (json_present(&at) && get_members(&at, config, ret_error) < 0)
		return error_wrap(ret_error, "image configuration");
	if (check(config, ret_error) < 0)
		return -1;
	*ret_config = TAKE_PTR(config);
	return 0;
}
