/* SPDX-License-Identifier: Apache-2.0 */
/* What making a container needs to know of its caller: where containers live, and what
 * their task servers write to a log. */
#pragma once

#include <stdbool.h>

struct client {
	char *root; /* an absolute path: --root */
	bool debug;
	const char *log;	/* a file; NULL: ROOT/ID/server.log alone */
	const char *log_format; /* "text" or "json"; NULL: text */
	/* Of the sandbox's cgroup: "cgroupfs", "systemd" or "disabled"; NULL: the first. */
	const char *cgroup_manager;
};
