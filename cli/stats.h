/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's cgroup metrics as runc's `events` tells them. */
#pragma once

#include "client/handle.h"
#include "protocol/task.pb-c.h"

/* As they are now; protobuf_c_message_free_unpacked(). */
int stats_get(const struct handle *handle, Task__Metrics **ret_metrics, struct error **ret_error);

/* One event of type "stats", one line of JSON without its newline; caller frees. */
char *stats_event(const char *id, const Task__Metrics *metrics);
/* An event of type "oom". */
char *stats_oom_event(const char *id);
