/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's cgroup metrics as runc's `events` tells them. */
#pragma once

#include "protocol/task.pb-c.h"

/* One event of type "stats", one line of JSON without its newline; caller frees. */
char *stats_event(const char *id, const Task__Metrics *metrics);
/* An event of type "oom". */
char *stats_oom_event(const char *id);
