/* What a container asks of its machine: our flags, their annotations, the vm section. */
#pragma once

#include <stdint.h>

#include "runtime-spec/spec.h"

struct machine_options {
	const char *kernel;  /* NULL: the task server's choice */
	uint32_t vcpus;	     /* 0: likewise */
	uint64_t memory_mib; /* 0: likewise */
};

#define ANNOTATION_KERNEL "io.supermachine.kernel"
#define ANNOTATION_VCPUS "io.supermachine.vcpus"
#define ANNOTATION_MEMORY "io.supermachine.memory"

/* Each from the first that has it: the flag (NULL or 0: not given), the annotation,
 * the vm section. kernel and memory are the flags' words; the result's kernel is
 * theirs or the spec's. */
int machine_options_find(const char *kernel, uint64_t vcpus, const char *memory,
			 const struct spec *spec, struct machine_options *ret_options,
			 struct error **ret_error);
