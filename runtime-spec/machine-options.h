/* SPDX-License-Identifier: Apache-2.0 */
/* What a container asks of its machine: our flags, their annotations, the vm section. */
#pragma once

#include <stdint.h>

#include "runtime-spec/spec.h"

struct machine_options {
	const char *kernel;  /* NULL: the task server's choice */
	uint32_t vcpus;	     /* 0: likewise */
	uint64_t memory_mib; /* 0: likewise */
	const char *rootfs;  /* ROOTFS_SHARE or ROOTFS_LAYER */
};

/* The flags' words; NULL or 0: not given. */
struct machine_flags {
	const char *kernel, *memory, *rootfs;
	uint64_t vcpus;
};

#define ANNOTATION_KERNEL "io.supermachine.kernel"
#define ANNOTATION_VCPUS "io.supermachine.vcpus"
#define ANNOTATION_MEMORY "io.supermachine.memory"
#define ANNOTATION_ROOTFS "io.supermachine.rootfs"
#define ANNOTATION_ACCEL "io.supermachine.accel"
#define ANNOTATION_CACHE "io.supermachine.cache"
/* Prefixes: a name of the author's choice follows. */
#define ANNOTATION_VOLUME "io.supermachine.volume."
#define ANNOTATION_SOCKET "io.supermachine.socket."
/* All of them begin so, and nothing else does. */
#define ANNOTATION_OURS "io.supermachine."

/* Whatever an annotation can ask for. */
enum machine_option {
	MACHINE_VCPUS,
	MACHINE_MEMORY,
	MACHINE_CACHE,
	MACHINE_ACCEL,
	MACHINE_ROOTFS,
	MACHINE_KERNEL,
	MACHINE_VOLUME,
	MACHINE_SOCKET,
	MACHINE_OPTIONS,
};
/* "vcpus", …, "volume": what is behind ANNOTATION_OURS, without a name of the author's choice. */
const char *machine_option_word(enum machine_option option);
/* MACHINE_OPTIONS: there is none. */
enum machine_option machine_option_of_word(const char *word);
enum machine_option machine_option_of_annotation(const char *key);

/* How the bundle's root file system reaches the guest. */
#define ROOTFS_SHARE "share"
#define ROOTFS_LAYER "layer"

/* Each from the first that has it: the flag, the annotation, the vm section. The
 * result's strings are the flags', the spec's or constants. */
int machine_options_find(const struct machine_flags *flags, const struct spec *spec,
			 struct machine_options *ret_options, struct error **ret_error);
