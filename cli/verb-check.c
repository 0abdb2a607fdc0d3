/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: can this machine run containers, and what is missing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "cli/check.h"
#include "cli/table.h"
#include "cli/verb.h"

struct check_options {
	const char *format;
};

static const struct option_def options[] = { { "format", 'f', OPTION_STRING,
					       offsetof(struct check_options, format),
					       "'table' (default) or 'json'" },
					     OPTION_END };

static void print_table(const struct check_report *report)
{
	static const char *const levels[] = {
		[LEVEL_OK] = "OK", [LEVEL_NOTE] = "NOTE", [LEVEL_FAIL] = "FAIL"
	};
	struct table table = { .n_columns = 3 };

	table_add(&table, "CHECK");
	table_add(&table, "RESULT");
	table_add(&table, "FOUND, AND WHAT TO DO");
	for (size_t i = 0; i < report->n_lines; i++) {
		const struct check_line *line = &report->lines[i];
		_cleanup_free_ char *text =
		    xasprintf("%s%s%s", line->found, line->advice ? "; to do: " : "",
			      line->advice ? line->advice : "");

		table_add(&table, line->name);
		table_add(&table, levels[line->level]);
		table_add(&table, text);
	}
	table_print(&table, stdout);
	table_done(&table);
	if (!report->usable)
		printf("No container can run here: see what failed above.\n");
	else if (report->accel == VM_ACCEL_KVM)
		printf("Containers can run here, on KVM (accel=kvm).\n");
	else
		printf("Containers can run here, emulated by QEMU and slower (accel=tcg).\n");
}

static void print_json(const struct check_report *report)
{
	static const char *const levels[] = {
		[LEVEL_OK] = "ok", [LEVEL_NOTE] = "note", [LEVEL_FAIL] = "fail"
	};
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_object(writer);
	json_put_bool(writer, "usable", report->usable);
	if (report->usable)
		json_put_string(writer, "accel", vm_accel_name(report->accel));
	json_put_key(writer, "checks");
	json_begin_array(writer);
	for (size_t i = 0; i < report->n_lines; i++) {
		const struct check_line *line = &report->lines[i];

		json_begin_object(writer);
		json_put_string(writer, "name", line->name);
		json_put_string(writer, "result", levels[line->level]);
		json_put_string(writer, "found", line->found);
		if (line->advice)
			json_put_string(writer, "advice", line->advice);
		json_end_object(writer);
	}
	json_end_array(writer);
	json_end_object(writer);
	text = json_writer_finish(writer, NULL);
	printf("%s\n", text);
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct check_options *values = command->options;
	const struct check_host host = { .system = "", .state = command->globals->client.root };
	struct check_report report;
	bool json, usable;

	if (options_format(values->format, &json, ret_error) < 0)
		return -1;
	check_run(&host, &report);
	if (json)
		print_json(&report);
	else
		print_table(&report);
	usable = report.usable;
	check_report_done(&report);
	return usable ? 0 : 1;
}

const struct verb verb_check = {
	.name = "check",
	.arguments = "",
	.summary = "check whether containers can run on this machine, and what is missing",
	.description =
	    "One line for each needed or useful item: OK, NOTE (a container can run without it)\n"
	    "   or FAIL, with what to do. The exit status is 0 if a container can run, else 1.\n"
	    "   KVM is probed again, whatever was remembered.",
	.options = options,
	.options_size = sizeof(struct check_options),
	.max_args = 0,
	.run = run,
};
