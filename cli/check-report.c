/* SPDX-License-Identifier: Apache-2.0 */
/* The report of `check`: see check.h. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/check.h"

void check_add(struct check *check, const char *name, enum check_level level, char *found,
	       char *advice)
{
	struct check_report *report = check->report;

	report->lines = xreallocarray(report->lines, report->n_lines + 1, sizeof(*report->lines));
	report->lines[report->n_lines++] =
	    (struct check_line){ .name = name, .level = level, .found = found, .advice = advice };
}

void check_report_done(struct check_report *report)
{
	for (size_t i = 0; i < report->n_lines; i++) {
		free(report->lines[i].found);
		free(report->lines[i].advice);
	}
	free(report->lines);
}
