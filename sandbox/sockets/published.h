/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets that a container listens on, for programs of the host: the other way of
 * sandbox/sockets/forward.h.
 *
 *   program of the host ─► DIRECTORY/sockets/NAME (us) ─► VMM ─vsock─► agent ─► its socket
 *
 * There from the time the container has been created; until something listens in the
 * container, connections end at once.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "sandbox/vmm.h"
#include "sandbox/plan/plan-files.h"

struct published;

/* None yet.  The VMM outlives it. */
struct published *published_new(struct loop *loop, struct vmm *vmm);
/* Connections that come to fd, which listens and becomes ours, on failure too, are those of the
 * index-th socket of the agent's list, the container's ("ID") or a process's ("ID/EXEC_ID"). */
int published_serve(struct published *published, int fd, size_t index, const char *whose,
		    struct error **ret_error);
/* Those of the plan, of which what is needed is copied; NULL in *ret_published when it has none. */
int published_new_files(struct loop *loop, struct vmm *vmm, const char *directory, const char *id,
			const struct plan_files *files, struct published **ret_published,
			struct error **ret_error);
/* Ends every connection and removes the sockets. */
void published_free(struct published *published);
DEFINE_CLEANUP(struct published, published_free)
