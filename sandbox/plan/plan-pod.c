/* SPDX-License-Identifier: Apache-2.0 */
/* What Kubernetes says of a pod, in the annotations of its sandbox's container: see machine-plan.h.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "sandbox/plan/machine-plan.h"

/* containerd pkg/cri/annotations; CRI-O pkg/annotations. */
#define CRI "io.kubernetes.cri."
#define CRIO "io.kubernetes.cri-o."

bool plan_is_pod(const struct spec *spec)
{
	static const char *const types[] = { CRI "container-type", CRIO "ContainerType" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const char *type = spec_annotation(spec, types[i]);

		if (type && strcmp(type, "sandbox") == 0)
			return true;
	}
	/* containerd's own word for containers that share a shim. */
	return spec_annotation(spec, "io.containerd.runc.v2.group") != NULL;
}

const char *plan_pod_id(const struct spec *spec)
{
	const char *id = spec_annotation(spec, CRI "sandbox-id");

	return id ? id : spec_annotation(spec, CRIO "SandboxID");
}

/* 0 where there is none, or no limit (0, or -1 of a quota). */
static int read_number(const struct spec *spec, const char *key, uint64_t *ret_value,
		       struct error **ret_error)
{
	const char *text = spec_annotation(spec, key);
	long long value;
	char *end;

	*ret_value = 0;
	if (!text)
		return 0;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (!(isdigit((unsigned char)text[0]) || text[0] == '-') || *end || errno)
		return error_set(ret_error, EINVAL, "annotations[\"%s\"]: \"%s\" is not a number",
				 key, text);
	*ret_value = value > 0 ? (uint64_t)value : 0;
	return 0;
}

uint32_t plan_whole_cpus(uint64_t quota, uint64_t period)
{
	return (uint32_t)MIN((quota - 1) / period + 1, (uint64_t)VM_VCPUS_MAX);
}

int plan_pod_size(const struct spec *spec, struct pod_size *ret_size, struct error **ret_error)
{
	uint64_t quota, period, memory;

	if (read_number(spec, ANNOTATION_POD_CPU_QUOTA, &quota, ret_error) < 0 ||
	    read_number(spec, ANNOTATION_POD_CPU_PERIOD, &period, ret_error) < 0 ||
	    read_number(spec, ANNOTATION_POD_MEMORY, &memory, ret_error) < 0)
		return -1;
	ret_size->vcpus = 0;
	if (quota > 0 && period > 0)
		ret_size->vcpus = plan_whole_cpus(quota, period);
	ret_size->memory_bytes = (int64_t)memory;
	return 0;
}
