/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: the machines that wait. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/check.h"
#include "host/pool.h"

#define SMAPS_MAX 65536

/* What of its memory is the process's own, and its part of what it shares, in KiB (proc(5),
 * smaps_rollup); 0: it is not told. */
static uint64_t share_of_memory(const char *system, pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("%s/proc/%d/smaps_rollup", system, (int)pid);
	_cleanup_free_ char *text = NULL;
	const char *line;

	if (read_file(path, SMAPS_MAX, &text, NULL, NULL) < 0)
		return 0;
	line = strstr(text, "\nPss:");
	return line ? strtoull(line + strlen("\nPss:"), NULL, 10) : 0;
}

void check_pool(struct check *check)
{
	_cleanup_error_ struct error *error = NULL;
	struct pool_status status;
	uint64_t kib = 0;

	if (check->settings->pool == 0)
		return;
	if (pool_ask_status(&status, &error) < 0) {
		check_add(check, "pool", LEVEL_NOTE,
			  xasprintf("%u machines are to wait, but no pool answers: %s",
				    check->settings->pool, error->message),
			  xstrdup("run `supermachine pool` (systemctl start supermachine-pool)"));
		return;
	}
	for (size_t i = 0; i < status.n_pids; i++)
		kib += share_of_memory(check->host->system, status.pids[i]);
	check_add(check, "pool", LEVEL_OK,
		  xasprintf("%zu of %llu machines wait, with %llu MiB of memory", status.n_pids,
			    (unsigned long long)status.wanted,
			    (unsigned long long)(kib + 1023) / 1024),
		  NULL);
}
