/* SPDX-License-Identifier: Apache-2.0 */
/* The number of the machine's vCPUs: see vcpus.h. */
#include "sandbox/vcpus.h"

#include "base/checked.h"
#include "base/log.h"

uint32_t vcpus_wanted(const struct sandbox *sandbox)
{
	const uint32_t most = vm_config_max_vcpus(sandbox->plan->config);
	uint64_t thousandths = 0;

	for (const struct container *c = sandbox->containers; c; c = c->next)
		if (c->spec && !container_is_stopped(c))
			thousandths += plan_used_cpus(&c->spec->linux_.resources, c->coming);
	return (uint32_t)MAX(MIN((thousandths + 999) / 1000, most), sandbox->plan->vcpus);
}

bool vcpus_are_missing(const struct sandbox *sandbox)
{
	return vcpus_wanted(sandbox) > sandbox->vcpus;
}

static void settled(void *data, const ProtobufCMessage *response, const struct error *error)
{
	(void)data, (void)response;
	if (error)
		log_warning("the guest's CPUs: %s", agent_client_text(error));
}

void vcpus_settle(struct sandbox *sandbox, ttrpc_reply_fn function, void *data)
{
	Agent__ProcessorsRequest request = AGENT__PROCESSORS_REQUEST__INIT;
	struct vm_config *config = sandbox->plan->config;

	sandbox->vcpus = vcpus_wanted(sandbox);
	if (sandbox->vcpus > config->vcpus) {
		vmm_set_vcpus(sandbox->vmm, sandbox->vcpus);
		config->vcpus = sandbox->vcpus;
	}
	request.count = sandbox->vcpus;
	agent_client_call(sandbox->agent, "Processors", &request.base, &agent__empty__descriptor,
			  AGENT_TIMEOUT_MS, function ? function : settled, data);
}
