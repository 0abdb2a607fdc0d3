/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: see settings.h. */
#include "host/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/paths.h"
#include "host/network.h"
#include "host/pool.h"
#include "protocol/vm-config.h"

#define SETTINGS_SIZE_MAX (64u << 10)
#define BOOT_TIMEOUT_S_MAX 86400

void settings_free(struct settings *settings)
{
	if (!settings)
		return;
	free(settings->kernel);
	free(settings->cmdline);
	allow_done(&settings->allow);
	free(settings);
}

static int check_keys(const struct json_at *root, struct error **ret_error)
{
	static const char *const known[] = { "kernel", "vcpus",		 "memory_mib", "cmdline",
					     "accel",  "boot_timeout_s", "interfaces", "vhost_net",
					     "allow",  "pool",		 "max_vcpus" };

	for (size_t i = 0; i < json_length(root); i++) {
		struct json_at member = json_member_at(root, i);
		bool found = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found = found || strcmp(member.key, known[k]) == 0;
		if (!found)
			return json_error(
			    &member, ret_error,
			    "unknown key (known: kernel, vcpus, max_vcpus, memory_mib, "
			    "cmdline, accel, boot_timeout_s, interfaces, vhost_net, "
			    "allow, pool)");
	}
	return 0;
}

static int read_accel(const struct json_at *root, enum accel_wish *ret_accel,
		      struct error **ret_error)
{
	_cleanup_free_ char *word = NULL;

	if (json_get_string(root, "accel", JSON_OPTIONAL, &word, ret_error) < 0)
		return -1;
	if (word && accel_wish_parse(word, ret_accel) < 0)
		return error_set(ret_error, EINVAL, "accel: must be auto, kvm or tcg, not \"%s\"",
				 word);
	return 0;
}

static int read_settings(const struct json_at *root, struct settings *settings,
			 struct error **ret_error)
{
	uint64_t vcpus = 0, max_vcpus = 0, interfaces = UINT64_MAX, pool = 0;
	bool vhost_net = true;

	if (json_as_object(root, ret_error) < 0 || check_keys(root, ret_error) < 0 ||
	    json_get_string(root, "kernel", JSON_OPTIONAL, &settings->kernel, ret_error) < 0 ||
	    json_get_uint64(root, "vcpus", JSON_OPTIONAL, VM_VCPUS_MAX, &vcpus, ret_error) < 0 ||
	    json_get_uint64(root, "max_vcpus", JSON_OPTIONAL, VM_VCPUS_MAX, &max_vcpus, ret_error) <
		0 ||
	    json_get_uint64(root, "memory_mib", JSON_OPTIONAL, VM_MEMORY_MIB_MAX,
			    &settings->memory_mib, ret_error) < 0 ||
	    json_get_string(root, "cmdline", JSON_OPTIONAL, &settings->cmdline, ret_error) < 0 ||
	    json_get_uint64(root, "boot_timeout_s", JSON_OPTIONAL, BOOT_TIMEOUT_S_MAX,
			    &settings->boot_timeout_s, ret_error) < 0 ||
	    json_get_uint64(root, "interfaces", JSON_OPTIONAL, NETWORK_TAPS_MAX, &interfaces,
			    ret_error) < 0 ||
	    json_get_bool(root, "vhost_net", JSON_OPTIONAL, &vhost_net, ret_error) < 0 ||
	    json_get_uint64(root, "pool", JSON_OPTIONAL, POOL_MACHINES_MAX, &pool, ret_error) < 0 ||
	    read_accel(root, &settings->accel, ret_error) < 0 ||
	    allow_read(root, &settings->allow, ret_error) < 0)
		return -1;
	settings->vcpus = (uint32_t)vcpus;
	settings->max_vcpus = (uint32_t)max_vcpus;
	settings->no_vhost_net = !vhost_net;
	settings->pool = (uint32_t)pool;
	settings->has_interfaces = interfaces != UINT64_MAX;
	settings->interfaces = settings->has_interfaces ? (uint32_t)interfaces : 0;
	if (settings->memory_mib && settings->memory_mib < VM_MEMORY_MIB_MIN)
		return error_set(ret_error, EINVAL, "memory_mib: must be at least %d",
				 VM_MEMORY_MIB_MIN);
	if (settings->kernel && settings->kernel[0] != '/')
		return error_set(ret_error, EINVAL, "kernel: must be an absolute path");
	return 0;
}

int settings_load_file(const char *path, bool required, struct settings **ret_settings,
		       struct error **ret_error)
{
	_cleanup_(settings_freep) struct settings *settings = xcalloc(1, sizeof(*settings));
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_at root;
	size_t size;

	if (!required && access(path, F_OK) < 0 && errno == ENOENT) {
		*ret_settings = TAKE_PTR(settings);
		return 0;
	}
	if (read_file(path, SETTINGS_SIZE_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_settings(&root, settings, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	*ret_settings = TAKE_PTR(settings);
	return 0;
}

static int load(struct settings **ret_settings, struct error **ret_error)
{
	const char *named = getenv("SUPERMACHINE_CONFIG");

	if (named && named[0])
		return settings_load_file(named, true, ret_settings, ret_error);
	if (paths_installed())
		return settings_load_file(SYSCONFDIR "/supermachine/config.json", false,
					  ret_settings, ret_error);
	*ret_settings = xcalloc(1, sizeof(**ret_settings));
	return 0;
}

int settings_load(struct settings **ret_settings, struct error **ret_error)
{
	if (load(ret_settings, ret_error) < 0)
		return -1;
	if (!(*ret_settings)->kernel && WITH_KERNEL[0])
		(*ret_settings)->kernel = xstrdup(WITH_KERNEL);
	return 0;
}
