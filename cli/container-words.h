/* SPDX-License-Identifier: Apache-2.0 */
/* What docker's table of containers says of one, in its words.  The caller frees the texts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/handle.h"
#include "host/network-options.h"

/* A duration in its largest unit: "Less than a second", "5 seconds", "About an hour", "3 weeks". */
char *words_of_duration(uint64_t seconds);
/* "Up 5 seconds (Paused)", "Exited (7) 2 minutes ago", "Restarting (1) 5 seconds ago", "Created".
 * Asks the task server how it has ended.  health: a word that stands behind "Up …" in parentheses,
 * or NULL. */
char *words_of_status(const struct handle *handle, enum container_status status, bool restarting,
		      const char *health);
/* "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"; of a range, "0.0.0.0:8000-8001->80-81/tcp". */
char *words_of_ports(const struct network_options *network);
