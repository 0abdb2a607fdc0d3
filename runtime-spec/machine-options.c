/* SPDX-License-Identifier: Apache-2.0 */
/* What a container asks of its machine: see machine-options.h. */
#include "runtime-spec/machine-options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

/* The VMM refuses what the host cannot give; this is what no machine can have. */
#define VCPUS_MAX 4096

static const struct {
	const char *word, *annotation;
	bool prefix;
} table[MACHINE_OPTIONS] = {
	[MACHINE_VCPUS] = { "vcpus", ANNOTATION_VCPUS, false },
	[MACHINE_MEMORY] = { "memory", ANNOTATION_MEMORY, false },
	[MACHINE_CACHE] = { "cache", ANNOTATION_CACHE, false },
	[MACHINE_ACCEL] = { "accel", ANNOTATION_ACCEL, false },
	[MACHINE_ROOTFS] = { "rootfs", ANNOTATION_ROOTFS, false },
	[MACHINE_KERNEL] = { "kernel", ANNOTATION_KERNEL, false },
	[MACHINE_VOLUME] = { "volume", ANNOTATION_VOLUME, true },
	[MACHINE_SOCKET] = { "socket", ANNOTATION_SOCKET, true },
};

const char *machine_option_word(enum machine_option option)
{
	return table[option].word;
}

enum machine_option machine_option_of_word(const char *word)
{
	enum machine_option i = 0;

	while (i < MACHINE_OPTIONS && strcmp(word, table[i].word) != 0)
		i++;
	return i;
}

enum machine_option machine_option_of_annotation(const char *key)
{
	for (enum machine_option i = 0; i < MACHINE_OPTIONS; i++) {
		const char *annotation = table[i].annotation;

		if (table[i].prefix ? strncmp(key, annotation, strlen(annotation)) == 0
				    : strcmp(key, annotation) == 0)
			return i;
	}
	return MACHINE_OPTIONS;
}

static int find_vcpus(uint64_t flag, const struct spec *spec, uint32_t *ret_vcpus,
		      struct error **ret_error)
{
	const char *annotation = spec_annotation(spec, ANNOTATION_VCPUS);
	uint64_t vcpus = flag;
	char *end;

	if (vcpus == 0 && annotation) {
		errno = 0;
		vcpus = strtoull(annotation, &end, 10);
		if (errno != 0 || *end != '\0' || annotation[0] < '0' || annotation[0] > '9' ||
		    vcpus == 0)
			return error_set(ret_error, EINVAL,
					 "annotation " ANNOTATION_VCPUS
					 ": \"%s\" is not a number of CPUs",
					 annotation);
	}
	if (vcpus == 0)
		vcpus = spec->vm.vcpus;
	if (vcpus > VCPUS_MAX)
		return error_set(ret_error, EINVAL, "%llu vcpus are too many: at most %d",
				 (unsigned long long)vcpus, VCPUS_MAX);
	*ret_vcpus = (uint32_t)vcpus;
	return 0;
}

static int find_memory(const char *flag, const struct spec *spec, uint64_t *ret_mib,
		       struct error **ret_error)
{
	const char *annotation = spec_annotation(spec, ANNOTATION_MEMORY);
	const uint64_t mib = 1 << 20;
	uint64_t bytes;

	if (!flag && !annotation) {
		*ret_mib = spec->vm.memory_mib;
		return 0;
	}
	if (parse_size(flag ? flag : annotation, &bytes, ret_error) < 0)
		return error_wrap(ret_error, "%s",
				  flag ? "--memory" : "annotation " ANNOTATION_MEMORY);
	if (bytes < mib)
		return error_set(
		    ret_error, EINVAL, "%s: %llu bytes are less than 1 MiB (units: K, M, G)",
		    flag ? "--memory" : "annotation " ANNOTATION_MEMORY, (unsigned long long)bytes);
	*ret_mib = (bytes - 1) / mib + 1;
	return 0;
}

static int find_rootfs(const char *flag, const struct spec *spec, const char **ret_rootfs,
		       struct error **ret_error)
{
	const char *annotation = spec_annotation(spec, ANNOTATION_ROOTFS);
	const char *word = flag ? flag : annotation;

	if (!word || strcmp(word, ROOTFS_SHARE) == 0)
		*ret_rootfs = ROOTFS_SHARE;
	else if (strcmp(word, ROOTFS_LAYER) == 0)
		*ret_rootfs = ROOTFS_LAYER;
	else
		return error_set(ret_error, EINVAL,
				 "%s: \"%s\" is neither \"" ROOTFS_SHARE "\" nor \"" ROOTFS_LAYER
				 "\"",
				 flag ? "--rootfs" : "annotation " ANNOTATION_ROOTFS, word);
	return 0;
}

int machine_options_find(const struct machine_flags *flags, const struct spec *spec,
			 struct machine_options *ret_options, struct error **ret_error)
{
	struct machine_options options = { .kernel = flags->kernel };

	if (!options.kernel)
		options.kernel = spec_annotation(spec, ANNOTATION_KERNEL);
	if (!options.kernel)
		options.kernel = spec->vm.kernel_path;
	if (find_vcpus(flags->vcpus, spec, &options.vcpus, ret_error) < 0 ||
	    find_memory(flags->memory, spec, &options.memory_mib, ret_error) < 0 ||
	    find_rootfs(flags->rootfs, spec, &options.rootfs, ret_error) < 0)
		return -1;
	*ret_options = options;
	return 0;
}
