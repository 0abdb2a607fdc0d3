/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's memory while it runs: it follows its containers' limits. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct container;
struct growth;
struct sandbox;

/* The limits of the sandbox's containers, this one aside (NULL: none aside), added up: bytes. */
uint64_t growth_limits(const struct sandbox *sandbox, const struct container *aside);

/* Has the machine get so much memory as containers with these limits (all of them) want; or, if
 * they want less, give back what it can.  function hears of it once, maybe at once, and not if the
 * sandbox is freed before.  error: the guest has not taken all of it (ERANGE), or cannot (another).
 */
typedef void (*growth_fn)(void *data, const struct error *error);
void growth_begin(struct sandbox *sandbox, uint64_t limits, growth_fn function, void *data);
/* The function that would get this data does not hear of it. */
void growth_forget(struct sandbox *sandbox, const void *data);
/* As by growth_begin() for the limits that there are, if that changes anything; nobody waits for
 * it. */
void growth_settle(struct sandbox *sandbox);
/* Of a restored machine: its device, which may have been asked for another size when it was saved,
 * is told the one that it has. */
void growth_restored(struct sandbox *sandbox);
/* Those under way are forgotten. */
void growth_free(struct sandbox *sandbox);
