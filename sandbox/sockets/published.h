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

/* NULL in *ret_published when the plan has none.  The VMM outlives it; what is
 * needed of the plan is copied. */
int published_new(struct loop *loop, struct vmm *vmm, const char *directory, const char *id,
		  const struct plan_files *files, struct published **ret_published,
		  struct error **ret_error);
/* Ends every connection and removes the sockets. */
void published_free(struct published *published);
DEFINE_CLEANUP(struct published, published_free)
