/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a sandbox: see sandbox.h. */
#include <stdlib.h>

#include "base/log.h"
#include "sandbox/sandbox.h"

#define BIT(n) (1u << (n))

static const struct {
	const char *name;
	unsigned next; /* the states that may follow */
} states[] = {
	[SANDBOX_EMPTY] = { "empty", BIT(SANDBOX_BOOTING) },
	[SANDBOX_BOOTING] = { "booting", BIT(SANDBOX_READY) | BIT(SANDBOX_LOST) },
	[SANDBOX_READY] = { "ready", BIT(SANDBOX_FINISHING) | BIT(SANDBOX_LOST) },
	[SANDBOX_FINISHING] = { "finishing", BIT(SANDBOX_LOST) },
	[SANDBOX_LOST] = { "lost", BIT(SANDBOX_GONE) },
	/* A Create that failed may be tried again. */
	[SANDBOX_GONE] = { "gone", BIT(SANDBOX_BOOTING) },
};

const char *sandbox_state_name(enum sandbox_state state)
{
	return states[state].name;
}

void sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state)
{
	/* As with a task's: a step that the table does not have is a mistake of ours. */
	if (!(states[sandbox->state].next & BIT(state))) {
		log_error("sandbox %s cannot go from %s to %s", sandbox->options.id,
			  states[sandbox->state].name, states[state].name);
		abort();
	}
	log_debug("sandbox %s: %s -> %s", sandbox->options.id, states[sandbox->state].name,
		  states[state].name);
	sandbox->state = state;
}

bool sandbox_is_up(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_READY || sandbox->state == SANDBOX_FINISHING;
}

bool sandbox_has_no_machine(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_EMPTY || sandbox->state == SANDBOX_GONE;
}

static void settle(void *data)
{
	struct sandbox *sandbox = data;

	sandbox->settle_timer = NULL;
	sandbox->events->settle(sandbox);
}

void sandbox_settle(struct sandbox *sandbox)
{
	if (!sandbox->settle_timer)
		sandbox->settle_timer = loop_add_timer(sandbox->loop, 0, "settle", settle, sandbox);
}
