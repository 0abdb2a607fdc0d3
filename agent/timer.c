/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of the kernel's timer: see timer.h. */
#include "agent/timer.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "agent/template.h"
#include "base/alloc.h"
#include "base/io.h"

#define PARAMETER "supermachine.timer_khz="
#define CMDLINE_MAX 4096
#define TIMER_LIST_MAX (1u << 20)

/* The number behind the first `name` at or after text; 0: there is none. */
static unsigned long long number_after(const char *text, const char *name)
{
	const char *found = text ? strstr(text, name) : NULL;

	return found ? strtoull(found + strlen(name), NULL, 10) : 0;
}

/* What the kernel believes, from its list of clock event devices (Linux,
 * kernel/time/timer_list.c): a nanosecond is mult / 2^shift ticks. */
static unsigned long long believed_khz(const char *timer_list)
{
	const char *device = strstr(timer_list, "Clock Event Device: lapic\n");
	unsigned long long mult = number_after(device, "mult:");
	unsigned long long shift = number_after(device, "shift:");

	return mult <= UINT_MAX && shift <= 32 ? mult * 1000000 >> shift : 0;
}

int timer_check(const char *proc, struct error **ret_error)
{
	_cleanup_free_ char *cmdline_path = xasprintf("%s/cmdline", proc);
	_cleanup_free_ char *list_path = xasprintf("%s/timer_list", proc);
	_cleanup_free_ char *cmdline = NULL;
	_cleanup_free_ char *timer_list = NULL;
	unsigned long long right, believed, tolerance;

	if (read_file(cmdline_path, CMDLINE_MAX, &cmdline, NULL, ret_error) < 0)
		return -1;
	right = number_after(cmdline, PARAMETER);
	if (right == 0)
		return 0;
	if (read_file(list_path, TIMER_LIST_MAX, &timer_list, NULL, ret_error) < 0)
		return -1;
	believed = believed_khz(timer_list);
	tolerance = template_is_asked_for(cmdline) ? right / 16 : right / 2;
	if (believed >= right - tolerance && believed <= right + tolerance)
		return 0;
	return error_set(ret_error, ERANGE, "the kernel measured its timer as %llu kHz, not %llu",
			 believed, right);
}
