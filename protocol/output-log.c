/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a container's output: see output-log.h. */
#include "protocol/output-log.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static const char *const names[] = {
	[OUTPUT_RAW] = "", [OUTPUT_K8S_FILE] = "k8s-file", [OUTPUT_JSON_FILE] = "json-file"
};

const char *output_format_name(enum output_format format)
{
	return names[format];
}

int output_format_find(const char *name, enum output_format *ret_format, struct error **ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_format = (enum output_format)i;
			return 0;
		}
	return error_set(ret_error, EINVAL, "\"%s\" is not the form of a log", name);
}

char *output_log_path(const char *path, uint32_t n)
{
	return n == 0 ? xstrdup(path) : xasprintf("%s.%u", path, n);
}
