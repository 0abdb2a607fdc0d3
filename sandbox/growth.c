/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's memory while it runs: see growth.h.
 *
 *   the VMM is told ─► the guest's driver takes memory, or gives it back ─► the agent tells how
 * much there is ─► the cgroup on the host
 *
 * One after the other: what is asked for is always a size, so the last one counts.
 */
#include "sandbox/growth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/log.h"
#include "protocol/agent.pb-c.h"
#include "sandbox/sandbox.h"

struct growth {
	struct growth *next;
	uint64_t mib;	    /* beside what the machine began with */
	growth_fn function; /* NULL: nobody waits */
	void *data;
};

uint64_t growth_limits(const struct sandbox *sandbox, const struct container *aside)
{
	uint64_t sum = 0;

	for (const struct container *c = sandbox->containers; c; c = c->next)
		if (c != aside && c->memory_limit > 0 && !c->released &&
		    __builtin_add_overflow(sum, (uint64_t)c->memory_limit, &sum))
			return INT64_MAX;
	return MIN(sum, (uint64_t)INT64_MAX);
}

static void begin_first(struct sandbox *sandbox);

static void finish_first(struct sandbox *sandbox, const struct error *error)
{
	struct growth *growth = sandbox->growth;

	sandbox->growth = growth->next;
	begin_first(sandbox);
	if (growth->function)
		growth->function(growth->data, error);
	free(growth);
}

static void ask_vmm(struct sandbox *sandbox, uint64_t mib)
{
	sandbox->asked_mib = mib;
	if (sandbox->vmm)
		vmm_set_memory(sandbox->vmm, mib);
}

/* The limit of the container that the machine was made for is the one that the cgroup has. */
static int follow_on_host(const struct sandbox *sandbox, struct error **ret_error)
{
	for (const struct container *c = sandbox->containers; c; c = c->next) {
		int64_t limit = c->memory_limit;
		const struct spec_resources resources = { .memory.limit = &limit };

		if (c->main && limit > 0)
			return vmm_update(sandbox->vmm, &resources, ret_error);
	}
	return 0;
}

static void answered(void *data, const ProtobufCMessage *response, const struct error *error)
{
	const Agent__MemoryResponse *memory = (const Agent__MemoryResponse *)response;
	struct sandbox *sandbox = data;
	const uint64_t wanted = sandbox->growth->mib;
	_cleanup_error_ struct error *failure = NULL;

	if (error) {
		ask_vmm(sandbox, sandbox->plan->grown_mib);
		finish_first(sandbox, error);
		return;
	}
	/* It says so; more than was asked for it cannot have. */
	plan_note_growth(sandbox->plan, MIN(memory->mib, MAX(wanted, sandbox->plan->grown_mib)));
	if (sandbox->vmm && follow_on_host(sandbox, &failure) < 0) {
		finish_first(sandbox, failure);
		return;
	}
	if (memory->mib < wanted) {
		ask_vmm(sandbox, sandbox->plan->grown_mib);
		(void)error_set(&failure, ERANGE,
				"the guest has taken %" PRIu64 " of %" PRIu64
				" MiB of memory beside its %" PRIu64,
				sandbox->plan->grown_mib, wanted,
				sandbox->plan->config->memory_mib);
	}
	finish_first(sandbox, failure);
}

static bool is_settled(const struct sandbox *sandbox, uint64_t mib)
{
	return mib == sandbox->asked_mib && mib == sandbox->plan->grown_mib;
}

static void begin_first(struct sandbox *sandbox)
{
	Agent__MemoryRequest request = AGENT__MEMORY_REQUEST__INIT;
	struct growth *growth = sandbox->growth;

	if (!growth)
		return;
	if (is_settled(sandbox, growth->mib) || !sandbox_is_up(sandbox)) {
		finish_first(sandbox, NULL);
		return;
	}
	log_debug("the machine's memory: %" PRIu64 " MiB, and %" PRIu64 " instead of %" PRIu64,
		  sandbox->plan->config->memory_mib, growth->mib, sandbox->plan->grown_mib);
	ask_vmm(sandbox, growth->mib);
	request.mib = growth->mib;
	agent_client_call(sandbox->agent, "Memory", &request.base,
			  &agent__memory_response__descriptor, AGENT_TIMEOUT_MS, answered, sandbox);
}

void growth_begin(struct sandbox *sandbox, uint64_t limits, growth_fn function, void *data)
{
	struct growth *growth = xcalloc(1, sizeof(*growth));
	struct growth **link = &sandbox->growth;
	const bool is_first = !sandbox->growth;

	growth->mib = plan_growth_mib(sandbox->plan, limits);
	growth->function = function;
	growth->data = data;
	while (*link)
		link = &(*link)->next;
	*link = growth;
	if (is_first)
		begin_first(sandbox);
}

void growth_forget(struct sandbox *sandbox, const void *data)
{
	for (struct growth *growth = sandbox->growth; growth; growth = growth->next)
		if (growth->data == data)
			growth->function = NULL;
}

void growth_settle(struct sandbox *sandbox)
{
	const uint64_t limits = growth_limits(sandbox, NULL);

	if (sandbox->state == SANDBOX_READY &&
	    (sandbox->growth || !is_settled(sandbox, plan_growth_mib(sandbox->plan, limits))))
		growth_begin(sandbox, limits, NULL, NULL);
}

void growth_restored(struct sandbox *sandbox)
{
	ask_vmm(sandbox, sandbox->plan->grown_mib);
}

void growth_free(struct sandbox *sandbox)
{
	while (sandbox->growth) {
		struct growth *growth = sandbox->growth;

		sandbox->growth = growth->next;
		free(growth);
	}
}
