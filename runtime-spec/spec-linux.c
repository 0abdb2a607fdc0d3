/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's `linux`: runtime-spec config-linux.md. Resources and seccomp have
 * files of their own. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/spec-internal.h"

static const char *const namespace_names[] = {
	[SPEC_NS_PID] = "pid",	     [SPEC_NS_NETWORK] = "network", [SPEC_NS_MOUNT] = "mount",
	[SPEC_NS_IPC] = "ipc",	     [SPEC_NS_UTS] = "uts",	    [SPEC_NS_USER] = "user",
	[SPEC_NS_CGROUP] = "cgroup", [SPEC_NS_TIME] = "time",	    [SPEC_NS_COUNT] = NULL,
};

const char *spec_namespace_name(enum spec_namespace_type type)
{
	return namespace_names[type];
}

static int read_namespace(const struct json_at *at, struct spec_namespace *namespaces,
			  struct error **ret_error)
{
	_cleanup_free_ char *type = NULL;
	const struct json_at type_at = { .parent = at, .key = "type" };
	int n = 0;

	if (json_as_object(at, ret_error) < 0 ||
	    spec_get_word(at, "type", JSON_REQUIRED, namespace_names, "namespace", &type,
			  ret_error) < 0)
		return -1;
	while (strcmp(namespace_names[n], type) != 0)
		n++;
	/* config-linux.md: "If a namespaces field contains duplicated namespaces with
	 * same type, the runtime MUST generate an error." */
	if (namespaces[n].present)
		return json_error(&type_at, ret_error, "the %s namespace is given twice", type);
	namespaces[n].present = true;
	return spec_get_path(at, "path", JSON_OPTIONAL, &namespaces[n].path, ret_error);
}

static int read_namespaces(const struct json_at *at, struct spec_namespace *namespaces,
			   struct error **ret_error)
{
	struct json_at array;

	if (json_array(at, "namespaces", JSON_OPTIONAL, &array, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&array); i++) {
		const struct json_at element = json_element(&array, i);

		if (read_namespace(&element, namespaces, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int read_id_mapping(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_id_mapping *mapping = element;

	if (json_get_uint32(at, "containerID", JSON_REQUIRED, &mapping->container_id, ret_error) <
		0 ||
	    json_get_uint32(at, "hostID", JSON_REQUIRED, &mapping->host_id, ret_error) < 0)
		return -1;
	return json_get_uint32(at, "size", JSON_REQUIRED, &mapping->size, ret_error);
}

int spec_read_id_mappings(const struct json_at *at, const char *key,
			  struct spec_id_mapping **ret_mappings, size_t *ret_n,
			  struct error **ret_error)
{
	return spec_get_list(at, key, JSON_OPTIONAL, sizeof(struct spec_id_mapping),
			     read_id_mapping, ret_mappings, ret_n, ret_error);
}

static int read_device(const struct json_at *at, void *element, struct error **ret_error)
{
	static const char *const types[] = { "c", "b", "u", "p", NULL };
	struct spec_device *device = element;
	_cleanup_free_ char *type = NULL;
	enum json_need need;

	if (spec_get_word(at, "type", JSON_REQUIRED, types, "device type", &type, ret_error) < 0)
		return -1;
	device->type = type[0];
	need = device->type == 'p' ? JSON_OPTIONAL : JSON_REQUIRED;
	if (spec_get_path(at, "path", JSON_REQUIRED, &device->path, ret_error) < 0 ||
	    json_get_int64(at, "major", need, 0, UINT32_MAX, &device->major, ret_error) < 0 ||
	    json_get_int64(at, "minor", need, 0, UINT32_MAX, &device->minor, ret_error) < 0 ||
	    spec_get_uint32_flag(at, "fileMode", &device->has_file_mode, &device->file_mode,
				 ret_error) < 0 ||
	    spec_get_uint32_flag(at, "uid", &device->has_uid, &device->uid, ret_error) < 0)
		return -1;
	return spec_get_uint32_flag(at, "gid", &device->has_gid, &device->gid, ret_error);
}

static int read_personality(const struct json_at *at, struct spec_linux *ret_linux,
			    struct error **ret_error)
{
	static const char *const domains[] = { "LINUX", "LINUX32", NULL };
	_cleanup_strv_ char **flags = NULL;
	struct json_at personality;

	if (json_object(at, "personality", JSON_OPTIONAL, &personality, ret_error) < 0)
		return -1;
	if (!json_present(&personality))
		return 0;
	/* "flags … currently no flag values are supported": a type to check, no more. */
	if (json_get_strv(&personality, "flags", JSON_OPTIONAL, &flags, ret_error) < 0)
		return -1;
	return spec_get_word(&personality, "domain", JSON_REQUIRED, domains, "execution domain",
			     &ret_linux->personality_domain, ret_error);
}

static int read_intel_rdt(const struct json_at *at, struct spec_linux *ret_linux,
			  struct error **ret_error)
{
	_cleanup_free_ char *clos = NULL, *l3 = NULL, *memory = NULL;
	struct json_at rdt;

	if (json_object(at, "intelRdt", JSON_OPTIONAL, &rdt, ret_error) < 0)
		return -1;
	if (!json_present(&rdt))
		return 0;
	ret_linux->has_intel_rdt = true;
	if (spec_get_text(&rdt, "closID", JSON_OPTIONAL, &clos, ret_error) < 0 ||
	    spec_get_text(&rdt, "l3CacheSchema", JSON_OPTIONAL, &l3, ret_error) < 0)
		return -1;
	return spec_get_text(&rdt, "memBwSchema", JSON_OPTIONAL, &memory, ret_error);
}

static int read_time_offset(const struct json_at *offsets, const char *key,
			    struct spec_time_offset *ret_offset, struct error **ret_error)
{
	struct json_at at;

	if (json_object(offsets, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	ret_offset->present = true;
	if (json_get_int64(&at, "secs", JSON_OPTIONAL, INT64_MIN, INT64_MAX, &ret_offset->secs,
			   ret_error) < 0)
		return -1;
	return json_get_uint32(&at, "nanosecs", JSON_OPTIONAL, &ret_offset->nanosecs, ret_error);
}

/* "timeOffsets … MUST NOT be specified without a new time namespace", as runc reads it. */
static int read_time_offsets(const struct json_at *at, struct spec_linux *ret_linux,
			     struct error **ret_error)
{
	const struct spec_namespace *time = &ret_linux->namespaces[SPEC_NS_TIME];
	struct json_at offsets;

	if (json_object(at, "timeOffsets", JSON_OPTIONAL, &offsets, ret_error) < 0)
		return -1;
	if (!json_present(&offsets))
		return 0;
	for (size_t i = 0; i < json_length(&offsets); i++) {
		const struct json_at offset = json_member_at(&offsets, i);

		if (strcmp(offset.key, "monotonic") != 0 && strcmp(offset.key, "boottime") != 0)
			return json_error(&offset, ret_error, "is not a clock of a time namespace");
	}
	if (json_length(&offsets) > 0 && (!time->present || time->path))
		return json_error(&offsets, ret_error,
				  "time namespace offsets need a new time namespace");
	if (read_time_offset(&offsets, "monotonic", &ret_linux->monotonic, ret_error) < 0)
		return -1;
	return read_time_offset(&offsets, "boottime", &ret_linux->boottime, ret_error);
}

/* What we refuse by its name is not read further. */
static int read_refused(const struct json_at *at, struct spec_linux *ret_linux,
			struct error **ret_error)
{
	struct json_at devices, policy;

	if (json_object(at, "netDevices", JSON_OPTIONAL, &devices, ret_error) < 0 ||
	    json_object(at, "memoryPolicy", JSON_OPTIONAL, &policy, ret_error) < 0)
		return -1;
	ret_linux->has_net_devices = json_present(&devices) && json_length(&devices) > 0;
	ret_linux->has_memory_policy = json_present(&policy);
	return 0;
}

static int read_nested(const struct json_at *at, struct spec_linux *ret_linux,
		       struct error **ret_error)
{
	struct json_at resources, seccomp;

	if (json_object(at, "resources", JSON_OPTIONAL, &resources, ret_error) < 0 ||
	    json_object(at, "seccomp", JSON_OPTIONAL, &seccomp, ret_error) < 0)
		return -1;
	ret_linux->has_resources = json_present(&resources);
	if (ret_linux->has_resources &&
	    spec_read_resources(&resources, &ret_linux->resources, ret_error) < 0)
		return -1;
	ret_linux->has_seccomp = json_present(&seccomp);
	if (ret_linux->has_seccomp &&
	    spec_read_seccomp(&seccomp, &ret_linux->seccomp, ret_error) < 0)
		return -1;
	if (read_personality(at, ret_linux, ret_error) < 0 ||
	    read_time_offsets(at, ret_linux, ret_error) < 0 ||
	    read_refused(at, ret_linux, ret_error) < 0)
		return -1;
	return read_intel_rdt(at, ret_linux, ret_error);
}

static int read_propagation(const struct json_at *at, char **ret_word, struct error **ret_error)
{
	const struct json_at word_at = { .parent = at, .key = "rootfsPropagation" };
	_cleanup_free_ char *word = NULL;

	if (spec_get_text(at, word_at.key, JSON_OPTIONAL, &word, ret_error) < 0)
		return -1;
	if (word && mount_propagation(word) == 0)
		return json_error(&word_at, ret_error, "\"%s\" is not a known mount propagation",
				  word);
	*ret_word = TAKE_PTR(word);
	return 0;
}

int spec_read_linux(const struct json_at *at, struct spec_linux *ret_linux,
		    struct error **ret_error)
{
	if (read_namespaces(at, ret_linux->namespaces, ret_error) < 0 ||
	    spec_read_id_mappings(at, "uidMappings", &ret_linux->uid_mappings,
				  &ret_linux->n_uid_mappings, ret_error) < 0 ||
	    spec_read_id_mappings(at, "gidMappings", &ret_linux->gid_mappings,
				  &ret_linux->n_gid_mappings, ret_error) < 0 ||
	    spec_get_list(at, "devices", JSON_OPTIONAL, sizeof(struct spec_device), read_device,
			  &ret_linux->devices, &ret_linux->n_devices, ret_error) < 0 ||
	    spec_get_text(at, "cgroupsPath", JSON_OPTIONAL, &ret_linux->cgroups_path, ret_error) <
		0 ||
	    spec_get_map(at, "sysctl", &ret_linux->sysctl, &ret_linux->n_sysctl, ret_error) < 0 ||
	    read_propagation(at, &ret_linux->rootfs_propagation, ret_error) < 0 ||
	    json_get_strv(at, "maskedPaths", JSON_OPTIONAL, &ret_linux->masked_paths, ret_error) <
		0 ||
	    json_get_strv(at, "readonlyPaths", JSON_OPTIONAL, &ret_linux->readonly_paths,
			  ret_error) < 0 ||
	    spec_get_text(at, "mountLabel", JSON_OPTIONAL, &ret_linux->mount_label, ret_error) < 0)
		return -1;
	return read_nested(at, ret_linux, ret_error);
}

void spec_linux_done(struct spec_linux *linux_)
{
	for (size_t i = 0; i < SPEC_NS_COUNT; i++)
		free(linux_->namespaces[i].path);
	free(linux_->uid_mappings);
	free(linux_->gid_mappings);
	for (size_t i = 0; i < linux_->n_devices; i++)
		free(linux_->devices[i].path);
	free(linux_->devices);
	free(linux_->cgroups_path);
	spec_resources_done(&linux_->resources);
	spec_map_done(linux_->sysctl, linux_->n_sysctl);
	spec_seccomp_done(&linux_->seccomp);
	free(linux_->rootfs_propagation);
	strv_free(linux_->masked_paths);
	strv_free(linux_->readonly_paths);
	free(linux_->mount_label);
	free(linux_->personality_domain);
}
