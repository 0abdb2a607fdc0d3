/* SPDX-License-Identifier: Apache-2.0 */
/* `update`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/update-resources.h"
#include "cli/verb.h"
#include "client/handle.h"
#include "runtime-spec/spec.h"

/* The guest's CPUs come first, if they are more: the agent waits for them, then for the limits. */
#define UPDATE_TIMEOUT_MS 120000

#define FIELD(name) offsetof(struct update_options, name)

static const struct option_def options[] = {
	{ "resources", 'r', OPTION_STRING, FIELD(resources),
	  "file with the resources as JSON, or '-' for stdin; other limits are ignored then" },
	{ "blkio-weight", 0, OPTION_STRING, FIELD(blkio_weight), "I/O weight, 10 to 1000" },
	{ "cpu-period", 0, OPTION_STRING, FIELD(cpu_period), "CPU period in microseconds" },
	{ "cpu-quota", 0, OPTION_STRING, FIELD(cpu_quota), "CPU time in a period, microseconds" },
	{ "cpu-burst", 0, OPTION_STRING, FIELD(cpu_burst), "CPU time to burst, microseconds" },
	{ "cpu-share", 0, OPTION_STRING, FIELD(cpu_share), "CPU shares (relative weight)" },
	{ "cpu-rt-period", 0, OPTION_STRING, FIELD(cpu_rt_period), "realtime period" },
	{ "cpu-rt-runtime", 0, OPTION_STRING, FIELD(cpu_rt_runtime), "realtime runtime" },
	{ "cpu-idle", 0, OPTION_STRING, FIELD(cpu_idle), "1: SCHED_IDLE for the container" },
	{ "cpuset-cpus", 0, OPTION_STRING, FIELD(cpuset_cpus), "CPUs to use" },
	{ "cpuset-mems", 0, OPTION_STRING, FIELD(cpuset_mems), "memory nodes to use" },
	{ "memory", 0, OPTION_STRING, FIELD(memory), "memory limit in bytes, -1: none" },
	{ "memory-reservation", 0, OPTION_STRING, FIELD(memory_reservation), "soft limit" },
	{ "memory-swap", 0, OPTION_STRING, FIELD(memory_swap), "memory and swap together" },
	{ "pids-limit", 0, OPTION_STRING, FIELD(pids_limit), "number of processes, -1: no limit" },
	{ "l3-cache-schema", 0, OPTION_IGNORED_VALUE, 0, "Intel RDT cache schema" },
	{ "mem-bw-schema", 0, OPTION_IGNORED_VALUE, 0, "Intel RDT bandwidth schema" },
	OPTION_END
};

static int read_resources(const struct update_options *values, char **ret_json,
			  struct error **ret_error)
{
	if (!values->resources)
		return update_resources_json(values, ret_json, ret_error);
	if (strcmp(values->resources, "-") == 0)
		return read_file_fd(STDIN_FILENO, "stdin", SPEC_SIZE_MAX, ret_json, NULL,
				    ret_error);
	return read_file(values->resources, SPEC_SIZE_MAX, ret_json, NULL, ret_error);
}

static int run(const struct command *command, struct error **ret_error)
{
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;
	_cleanup_(handle_freep) struct handle *handle = NULL;
	Task__UpdateTaskRequest request = TASK__UPDATE_TASK_REQUEST__INIT;
	Task__Any any = TASK__ANY__INIT;
	_cleanup_free_ char *json = NULL;
	enum container_status status;

	if (handle_open_locked(command->globals->client.root, command->args[0], &handle,
			       ret_error) < 0 ||
	    read_resources(command->options, &json, ret_error) < 0 ||
	    spec_parse_resources(json, strlen(json), &resources, ret_error) < 0 ||
	    handle_status(handle, &status, ret_error) < 0)
		return -1;
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(ret_error, EBUSY, "container not running");
	any.type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
	any.value.data = (uint8_t *)json;
	any.value.len = strlen(json);
	request.id = handle->id;
	request.resources = &any;
	return handle_call(handle, "Update", &request.base, &task__empty__descriptor,
			   UPDATE_TIMEOUT_MS, NULL, ret_error);
}

const struct verb verb_update = {
	.name = "update",
	.arguments = "<container-id>",
	.summary = "change a container's resource limits",
	.description =
	    "The limits apply inside the guest. Under KVM the machine gets the vCPUs that a\n"
	    "   quota is for, and memory for the limit. What cannot be given is refused.",
	.options = options,
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
