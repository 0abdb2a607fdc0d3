/* SPDX-License-Identifier: Apache-2.0 */
/* LinuxResources: runtime-spec config-linux.md "Control groups". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/spec-internal.h"

static int read_device_rule(const struct json_at *at, void *element, struct error **ret_error)
{
	static const char *const types[] = { "a", "b", "c", NULL };
	struct spec_device_cgroup *rule = element;
	_cleanup_free_ char *type = NULL, *access = NULL;

	rule->major = rule->minor = -1;
	if (json_get_bool(at, "allow", JSON_REQUIRED, &rule->allow, ret_error) < 0 ||
	    spec_get_word(at, "type", JSON_OPTIONAL, types, "device type", &type, ret_error) < 0 ||
	    json_get_int64(at, "major", JSON_OPTIONAL, -1, UINT32_MAX, &rule->major, ret_error) <
		0 ||
	    json_get_int64(at, "minor", JSON_OPTIONAL, -1, UINT32_MAX, &rule->minor, ret_error) <
		0 ||
	    spec_get_text(at, "access", JSON_OPTIONAL, &access, ret_error) < 0)
		return -1;
	rule->type = type ? type[0] : 'a';
	/* Other letters mean nothing, as to runc: "rwa" was seen. */
	rule->read = !access || strchr(access, 'r');
	rule->write = !access || strchr(access, 'w');
	rule->mknod = !access || strchr(access, 'm');
	return 0;
}

/* "A value of -1 means no limit": nothing below it has a meaning. */
static int get_bytes(const struct json_at *memory, const char *key, int64_t **ret_value,
		     struct error **ret_error)
{
	return spec_get_int64_pointer(memory, key, -1, INT64_MAX, ret_value, ret_error);
}

static int read_memory(const struct json_at *resources, struct spec_resources *ret_resources,
		       struct error **ret_error)
{
	__typeof__(ret_resources->memory) *memory = &ret_resources->memory;
	struct json_at at;

	if (json_object(resources, "memory", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (get_bytes(&at, "limit", &memory->limit, ret_error) < 0 ||
	    get_bytes(&at, "reservation", &memory->reservation, ret_error) < 0 ||
	    get_bytes(&at, "swap", &memory->swap, ret_error) < 0 ||
	    get_bytes(&at, "kernel", &memory->kernel, ret_error) < 0 ||
	    get_bytes(&at, "kernelTCP", &memory->kernel_tcp, ret_error) < 0 ||
	    spec_get_uint64_pointer(&at, "swappiness", &memory->swappiness, ret_error) < 0 ||
	    json_get_bool(&at, "disableOOMKiller", JSON_OPTIONAL, &memory->disable_oom_killer,
			  ret_error) < 0 ||
	    json_get_bool(&at, "useHierarchy", JSON_OPTIONAL, &memory->use_hierarchy, ret_error) <
		0)
		return -1;
	return json_get_bool(&at, "checkBeforeUpdate", JSON_OPTIONAL, &memory->check_before_update,
			     ret_error);
}

static int read_cpu(const struct json_at *resources, struct spec_resources *ret_resources,
		    struct error **ret_error)
{
	__typeof__(ret_resources->cpu) *cpu = &ret_resources->cpu;
	struct json_at at;

	if (json_object(resources, "cpu", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (spec_get_uint64_pointer(&at, "shares", &cpu->shares, ret_error) < 0 ||
	    spec_get_int64_pointer(&at, "quota", INT64_MIN, INT64_MAX, &cpu->quota, ret_error) <
		0 ||
	    spec_get_uint64_pointer(&at, "period", &cpu->period, ret_error) < 0 ||
	    spec_get_int64_pointer(&at, "realtimeRuntime", INT64_MIN, INT64_MAX,
				   &cpu->realtime_runtime, ret_error) < 0 ||
	    spec_get_uint64_pointer(&at, "realtimePeriod", &cpu->realtime_period, ret_error) < 0 ||
	    spec_get_int64_pointer(&at, "idle", 0, 1, &cpu->idle, ret_error) < 0 ||
	    spec_get_uint64_pointer(&at, "burst", &cpu->burst, ret_error) < 0 ||
	    spec_get_text(&at, "cpus", JSON_OPTIONAL, &cpu->cpus, ret_error) < 0)
		return -1;
	return spec_get_text(&at, "mems", JSON_OPTIONAL, &cpu->mems, ret_error);
}

static int read_pids(const struct json_at *resources, struct spec_resources *ret_resources,
		     struct error **ret_error)
{
	struct json_at at;
	int64_t limit = 0;

	if (json_object(resources, "pids", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_int64(&at, "limit", JSON_REQUIRED, INT64_MIN, INT64_MAX, &limit, ret_error) <
	    0)
		return -1;
	ret_resources->pids_limit = xmemdup(&limit, sizeof(limit));
	return 0;
}

static int read_device_number(const struct json_at *at, int64_t *ret_major, int64_t *ret_minor,
			      struct error **ret_error)
{
	if (json_get_int64(at, "major", JSON_REQUIRED, 0, UINT32_MAX, ret_major, ret_error) < 0)
		return -1;
	return json_get_int64(at, "minor", JSON_REQUIRED, 0, UINT32_MAX, ret_minor, ret_error);
}

static int read_throttle(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_throttle_device *device = element;

	if (read_device_number(at, &device->major, &device->minor, ret_error) < 0)
		return -1;
	return json_get_uint64(at, "rate", JSON_REQUIRED, UINT64_MAX, &device->rate, ret_error);
}

static int read_weight(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_weight_device *device = element;

	if (read_device_number(at, &device->major, &device->minor, ret_error) < 0 ||
	    spec_get_uint16_flag(at, "weight", &device->has_weight, &device->weight, ret_error) < 0)
		return -1;
	return spec_get_uint16_flag(at, "leafWeight", &device->has_leaf_weight,
				    &device->leaf_weight, ret_error);
}

static int read_throttles(const struct json_at *at, const char *key,
			  struct spec_throttle_device **ret_devices, size_t *ret_count,
			  struct error **ret_error)
{
	return spec_get_list(at, key, JSON_OPTIONAL, sizeof(struct spec_throttle_device),
			     read_throttle, ret_devices, ret_count, ret_error);
}

static int read_block_io(const struct json_at *resources, struct spec_resources *ret_resources,
			 struct error **ret_error)
{
	__typeof__(ret_resources->block_io) *io = &ret_resources->block_io;
	struct json_at at;

	if (json_object(resources, "blockIO", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (spec_get_uint16_flag(&at, "weight", &io->has_weight, &io->weight, ret_error) < 0 ||
	    spec_get_uint16_flag(&at, "leafWeight", &io->has_leaf_weight, &io->leaf_weight,
				 ret_error) < 0 ||
	    spec_get_list(&at, "weightDevice", JSON_OPTIONAL, sizeof(struct spec_weight_device),
			  read_weight, &io->weight_devices, &io->n_weight_devices, ret_error) < 0 ||
	    read_throttles(&at, "throttleReadBpsDevice", &io->read_bps, &io->n_read_bps,
			   ret_error) < 0 ||
	    read_throttles(&at, "throttleWriteBpsDevice", &io->write_bps, &io->n_write_bps,
			   ret_error) < 0 ||
	    read_throttles(&at, "throttleReadIOPSDevice", &io->read_iops, &io->n_read_iops,
			   ret_error) < 0)
		return -1;
	return read_throttles(&at, "throttleWriteIOPSDevice", &io->write_iops, &io->n_write_iops,
			      ret_error);
}

static int read_hugepage_limit(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_hugepage_limit *limit = element;

	if (spec_get_text(at, "pageSize", JSON_REQUIRED, &limit->page_size, ret_error) < 0)
		return -1;
	return json_get_uint64(at, "limit", JSON_REQUIRED, UINT64_MAX, &limit->limit, ret_error);
}

/* net_cls, net_prio (cgroup v1) and rdma have no counterpart in our guests: their
 * types are checked, their values dropped. */
static int check_unused(const struct json_at *resources, struct error **ret_error)
{
	struct json_at network, priorities, rdma;
	uint32_t number = 0;

	if (json_object(resources, "network", JSON_OPTIONAL, &network, ret_error) < 0 ||
	    json_object(resources, "rdma", JSON_OPTIONAL, &rdma, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&rdma); i++) {
		const struct json_at limits = json_member_at(&rdma, i);

		if (json_get_uint32(&limits, "hcaHandles", JSON_OPTIONAL, &number, ret_error) < 0 ||
		    json_get_uint32(&limits, "hcaObjects", JSON_OPTIONAL, &number, ret_error) < 0)
			return -1;
	}
	if (!json_present(&network))
		return 0;
	if (json_get_uint32(&network, "classID", JSON_OPTIONAL, &number, ret_error) < 0 ||
	    json_array(&network, "priorities", JSON_OPTIONAL, &priorities, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&priorities); i++) {
		const struct json_at priority = json_element(&priorities, i);
		_cleanup_free_ char *name = NULL;

		if (json_get_string(&priority, "name", JSON_REQUIRED, &name, ret_error) < 0 ||
		    json_get_uint32(&priority, "priority", JSON_REQUIRED, &number, ret_error) < 0)
			return -1;
	}
	return 0;
}

int spec_read_resources(const struct json_at *at, struct spec_resources *ret_resources,
			struct error **ret_error)
{
	if (spec_get_list(at, "devices", JSON_OPTIONAL, sizeof(struct spec_device_cgroup),
			  read_device_rule, &ret_resources->devices, &ret_resources->n_devices,
			  ret_error) < 0 ||
	    read_memory(at, ret_resources, ret_error) < 0 ||
	    read_cpu(at, ret_resources, ret_error) < 0 ||
	    read_pids(at, ret_resources, ret_error) < 0 ||
	    read_block_io(at, ret_resources, ret_error) < 0 ||
	    spec_get_list(at, "hugepageLimits", JSON_OPTIONAL, sizeof(struct spec_hugepage_limit),
			  read_hugepage_limit, &ret_resources->hugepage_limits,
			  &ret_resources->n_hugepage_limits, ret_error) < 0 ||
	    check_unused(at, ret_error) < 0)
		return -1;
	return spec_get_map(at, "unified", &ret_resources->unified, &ret_resources->n_unified,
			    ret_error);
}

void spec_resources_done(struct spec_resources *resources)
{
	free(resources->devices);
	free(resources->memory.limit);
	free(resources->memory.reservation);
	free(resources->memory.swap);
	free(resources->memory.kernel);
	free(resources->memory.kernel_tcp);
	free(resources->memory.swappiness);
	free(resources->cpu.shares);
	free(resources->cpu.period);
	free(resources->cpu.realtime_period);
	free(resources->cpu.quota);
	free(resources->cpu.realtime_runtime);
	free(resources->cpu.idle);
	free(resources->cpu.burst);
	free(resources->cpu.cpus);
	free(resources->cpu.mems);
	free(resources->pids_limit);
	free(resources->block_io.weight_devices);
	free(resources->block_io.read_bps);
	free(resources->block_io.write_bps);
	free(resources->block_io.read_iops);
	free(resources->block_io.write_iops);
	for (size_t i = 0; i < resources->n_hugepage_limits; i++)
		free(resources->hugepage_limits[i].page_size);
	free(resources->hugepage_limits);
	spec_map_done(resources->unified, resources->n_unified);
}

int spec_parse_resources(const char *text, size_t size, struct spec_resources **ret_resources,
			 struct error **ret_error)
{
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (size > SPEC_SIZE_MAX)
		return error_set(ret_error, EFBIG, "the resources are larger than %u bytes",
				 SPEC_SIZE_MAX);
	if (json_parse(text, size, "resources", &value, ret_error) < 0)
		return -1;
	resources = xcalloc(1, sizeof(*resources));
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    spec_read_resources(&root, resources, ret_error) < 0)
		return -1;
	*ret_resources = TAKE_PTR(resources);
	return 0;
}

void spec_resources_free(struct spec_resources *resources)
{
	if (!resources)
		return;
	spec_resources_done(resources);
	free(resources);
}
