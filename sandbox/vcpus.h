/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many vCPUs the machine has: as many as what its containers may use at once adds up to, never
 * fewer than it began with, never more than its plan has for it (vm_config.max_vcpus).
 *
 * The VMM makes those that are missing, and keeps them; the agent brings them online, and takes
 * those offline that nobody needs any more.
 */
#pragma once

#include <stdint.h>

#include "sandbox/sandbox.h"

/* With all that is asked for (container->coming) in place of what was. */
uint32_t vcpus_wanted(const struct sandbox *sandbox);
/* Would the guest need more than it has? */
bool vcpus_are_missing(const struct sandbox *sandbox);
/* The guest gets as many as are wanted.  function, as of agent_client_call(), hears when it has
 * them; NULL: nobody waits. */
void vcpus_settle(struct sandbox *sandbox, ttrpc_reply_fn function, void *data);
