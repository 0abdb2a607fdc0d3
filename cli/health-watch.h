/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running the health checks of a container (health.h): a process of its own, which is there as long
 * as the container runs.
 *
 *   run, start, restart ──fork──► wait ─► exec ─► exit status and output ─► HEALTH_FILE
 *                                  ▲        └─ not in time: SIGKILL               │
 *                                  └───────────────────────────────────────────────┘
 *
 * It is a client of the task server like `exec`.  No check is made while the container is paused.
 */
#pragma once

#include "client/handle.h"

/* Starts that process for a container that has just started, if it has a health check. */
int health_watch(const struct handle *handle, struct error **ret_error);
