/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a container's output: the task server writes it (sandbox/stdio/output-log.h), `logs`
 * and `attach` read it.
 *
 * A record is a line of a stream, or the part of one that has come so far:
 *
 *   k8s-file    2026-01-02T03:04:05.678901234Z stdout F text      (P: the line goes on)
 *   json-file   {"log":"text\n","stream":"stdout","time":"2026-…Z"}    (without \n: it goes on)
 *
 * Records are behind one another in PATH.  A file that would become larger than max_size is
 * renamed to PATH.1, which is PATH.2 from then on, and so forth: there are max_files of them.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

enum output_format { OUTPUT_RAW, OUTPUT_K8S_FILE, OUTPUT_JSON_FILE };

struct output_rule {
	enum output_format format; /* OUTPUT_RAW: no records, and no bounds */
	uint64_t max_size;	   /* bytes; 0: no bound */
	uint32_t max_files;	   /* 1 to OUTPUT_FILES_MAX */
};
#define OUTPUT_FILES_MAX 100
/* Of a file, whatever one record needs; the least that may be asked for. */
#define OUTPUT_SIZE_MIN 1024

/* "k8s-file", "json-file"; OUTPUT_RAW: "". */
const char *output_format_name(enum output_format format);
/* EINVAL: there is no such format. */
int output_format_find(const char *name, enum output_format *ret_format, struct error **ret_error);
/* The newest file, PATH itself (0), or the n-th before it.  Caller frees. */
char *output_log_path(const char *path, uint32_t n);
