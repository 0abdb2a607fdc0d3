/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of a container for names that only its network namespace on the host can answer: Docker
 * has a resolver there, on the namespace's own loopback device, which is not the guest's.
 *
 *   program ─► 127.0.0.11:53 ─eBPF─► a port of ours ─vsock─► the task server ─► 127.0.0.11:53 there
 *
 * The port is one that the kernel chose: 53 stays the container's to listen on.  Each question has
 * a connection to the host of its own; no answer within NAMES_TIMEOUT_MS is none.
 */
#pragma once

#include <sys/types.h>

#include "agent/agent.h"
#include "agent/cgroup.h"

#define NAMES_QUESTIONS_MAX 64 /* by UDP at once; others get no answer */
#define NAMES_TIMEOUT_MS 10000

struct names;

/* For the processes of that cgroup, in the network namespace of pid, where lo is up. */
int names_new(struct agent *agent, pid_t pid, const struct cgroup *cgroup, struct names **ret_names,
	      struct error **ret_error);
void names_free(struct names *names);
DEFINE_CLEANUP(struct names, names_free)
