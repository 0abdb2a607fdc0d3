/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: how it comes up, how often that is tried, and how it is lost.
 *
 * A guest that ends before its agent has called may be given another try: see
 * choose_retry().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/paths.h"
#include "host/accel.h"
#include "protocol/agent.h"
#include "sandbox/network.h"
#include "sandbox/sandbox.h"

/* LOST becomes GONE with the last of the VMM and the agent. */
static void look_whether_gone(struct sandbox *sandbox)
{
	if (sandbox->state != SANDBOX_LOST || sandbox->vmm || sandbox->agent)
		return;
	sandbox_set_state(sandbox, SANDBOX_GONE);
	sandbox_settle(sandbox);
}

static void lose(struct sandbox *sandbox, const char *reason, const struct error *cause)
{
	sandbox_set_state(sandbox, SANDBOX_LOST);
	source_clear(&sandbox->boot_timer);
	sandbox->events->lost(sandbox, reason, cause);
	/* Open calls of a connection that the machine may keep open. */
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	look_whether_gone(sandbox);
}

void sandbox_lose(struct sandbox *sandbox, const char *reason)
{
	if (sandbox_has_no_machine(sandbox) || sandbox->state == SANDBOX_LOST)
		return;
	lose(sandbox, reason, NULL);
}

void sandbox_kill(struct sandbox *sandbox, const char *reason)
{
	if (sandbox->vmm)
		vmm_kill(sandbox->vmm);
	sandbox_lose(sandbox, reason);
}

void sandbox_end_machine(struct sandbox *sandbox)
{
	if (sandbox->vmm)
		vmm_exit(sandbox->vmm, sandbox->exit_status, sandbox->exit_signal,
			 sandbox->state == SANDBOX_LOST);
}

/* The machine did not come up. */
static void fail_boot(struct sandbox *sandbox, struct error *error)
{
	if (sandbox->vmm)
		vmm_kill(sandbox->vmm);
	lose(sandbox, "it did not come up", error);
	error_free(error);
}

/* ---- the agent ---- */

static void agent_greeted(void *data, const struct error *error)
{
	struct sandbox *sandbox = data;
	struct error *failure = NULL;

	if (sandbox->state != SANDBOX_BOOTING)
		return;
	if (error && vmm_is_adopted(sandbox->vmm)) {
		vmm_kill(sandbox->vmm);
		return;
	}
	/* The connection tells of the guest's or the VMM's death before these do: then the
	 * log has the cause. */
	if (error && error->code == ECONNRESET) {
		sandbox_lose(sandbox, agent_client_text(error));
	} else if (error) {
		(void)error_set(&failure, error->code, "the agent does not answer: %.*s",
				AGENT_TEXT_MAX, agent_client_text(error));
		fail_boot(sandbox, failure);
	} else if (vmm_limit(sandbox->vmm, &failure) < 0) {
		fail_boot(sandbox, failure);
	} else {
		source_clear(&sandbox->boot_timer);
		sandbox_set_state(sandbox, SANDBOX_READY);
		sandbox->events->ready(sandbox);
	}
}

static void agent_closed(void *data)
{
	struct sandbox *sandbox = data;

	agent_client_free(sandbox->agent);
	sandbox->agent = NULL;
	if (sandbox->state == SANDBOX_BOOTING && sandbox->vmm && vmm_is_adopted(sandbox->vmm)) {
		vmm_kill(sandbox->vmm);
		return;
	}
	sandbox_lose(sandbox, "the agent closed its connection");
	look_whether_gone(sandbox);
}

static void agent_dialled(void *data, int fd)
{
	const struct agent_client_events events = { .greeted = agent_greeted,
						    .closed = agent_closed,
						    .data = data };
	struct sandbox *sandbox = data;
	struct error *error = NULL;

	/* It has been given up meanwhile. */
	if (sandbox->state != SANDBOX_BOOTING) {
		(void)close(fd);
		return;
	}
	if (agent_client_new(sandbox->loop, fd, sandbox->plan->hostname, &events, &sandbox->agent,
			     &error) < 0)
		fail_boot(sandbox, error);
}

/* ---- another try ---- */

enum boot_retry {
	/* It had waited in the pool. */
	BOOT_WITHOUT_POOL,
	BOOT_GIVE_UP,
	/* The guest rebooted: it has found that its kernel has the timer wrong
	 * (agent/timer.h), as it may happen on a busy host. */
	BOOT_AGAIN,
	/* The engine does not take over what is in the template, or the guest broke down for it. */
	BOOT_WITHOUT_TEMPLATE,
};

/* For a guest that has ended for this reason (NULL: it is not known); only emulated ones
 * reboot. */
static enum boot_retry choose_retry(const struct sandbox *sandbox, const char *reason)
{
	const struct vm_config *config = sandbox->plan->config;

	if (sandbox->state == SANDBOX_BOOTING && vmm_is_adopted(sandbox->vmm))
		return BOOT_WITHOUT_POOL;
	if (!reason || sandbox->state != SANDBOX_BOOTING || sandbox->agent)
		return BOOT_GIVE_UP;
	if (strcmp(reason, "reboot") == 0)
		return config->accel == VM_ACCEL_TCG && sandbox->n_boots < AGENT_BOOTS_MAX
			   ? BOOT_AGAIN
			   : BOOT_GIVE_UP;
	return config->templates && !config->template_failed ? BOOT_WITHOUT_TEMPLATE : BOOT_GIVE_UP;
}

static void machine_lost(void *data, const char *reason)
{
	struct sandbox *sandbox = data;

	switch (choose_retry(sandbox, vmm_reason(sandbox->vmm))) {
	case BOOT_GIVE_UP:
		sandbox_lose(sandbox, reason);
		return;
	case BOOT_WITHOUT_POOL:
		log_warning("the machine of %s, which had waited, did not go on (%s): starting "
			    "another",
			    sandbox->options.id, reason);
		sandbox->no_pool = true;
		break;
	case BOOT_AGAIN:
		log_warning("the emulated guest of %s rebooted before its agent called: starting "
			    "it again (%u of at most %d times)",
			    sandbox->options.id, sandbox->n_boots, AGENT_BOOTS_MAX - 1);
		break;
	case BOOT_WITHOUT_TEMPLATE:
		log_warning("the guest of %s did not resume from its template: booting it",
			    sandbox->options.id);
		sandbox->plan->config->template_failed = true;
		break;
	}
	/* It is still BOOTING when it has ended. */
	vmm_kill(sandbox->vmm);
}

/* ---- the VMM ---- */

static int start_machine(struct sandbox *sandbox, struct error **ret_error);

static void machine_ended(void *data)
{
	struct sandbox *sandbox = data;
	struct error *error = NULL;

	sandbox->events->ended(sandbox);
	sandbox_network_free(sandbox->network);
	sandbox->network = NULL;
	vmm_free(sandbox->vmm);
	sandbox->vmm = NULL;
	/* Of a machine that another one is started for. */
	if (sandbox->agent && sandbox->state == SANDBOX_BOOTING) {
		agent_client_free(sandbox->agent);
		sandbox->agent = NULL;
	}
	if (sandbox->agent)
		agent_client_break(sandbox->agent);
	if (sandbox->state == SANDBOX_BOOTING && start_machine(sandbox, &error) < 0)
		fail_boot(sandbox, error);
	look_whether_gone(sandbox);
}

static int start_machine(struct sandbox *sandbox, struct error **ret_error)
{
	const struct vmm_events events = { .agent = agent_dialled,
					   .lost = machine_lost,
					   .ended = machine_ended,
					   .data = sandbox };
	struct vmm_setup setup = { .directory = sandbox->options.directory,
				   .plan = sandbox->plan,
				   .program = sandbox->options.vmm,
				   .again = sandbox->n_boots > 0,
				   .pool = !sandbox->no_pool };
	_cleanup_free_ char *program = NULL;

	sandbox->n_boots++;
	/* (What goes on may have some that are offline.) */
	sandbox->vcpus = sandbox->plan->state_fd < 0 ? sandbox->plan->config->vcpus : 1;
	if (!setup.program) {
		if (paths_find_program("supermachine-vmm", &program, ret_error) < 0)
			return -1;
		setup.program = program;
	}
	if (vmm_start(sandbox->loop, &setup, &events, &sandbox->vmm, ret_error) < 0)
		return -1;
	sandbox->pid = vmm_pid(sandbox->vmm);
	return 0;
}

static void boot_overdue(void *data)
{
	struct sandbox *sandbox = data;
	_cleanup_free_ char *tail = sandbox->vmm ? vmm_log_tail(sandbox->vmm) : xstrdup("");
	struct error *error = NULL;

	sandbox->boot_timer = NULL;
	(void)error_set(&error, ETIMEDOUT,
			"the guest did not come up within %llu s; the last lines of %s/vmm.log: %s",
			(unsigned long long)sandbox->options.boot_timeout_ms / 1000,
			sandbox->options.directory, tail[0] ? tail : "(none)");
	fail_boot(sandbox, error);
}

int sandbox_plan(struct sandbox *sandbox, const struct settings *settings, const struct spec *spec,
		 const Sandbox__CreateOptions *options, const struct container_plan *container,
		 struct machine_plan **ret_plan, struct error **ret_error)
{
	_cleanup_free_ char *initramfs = xstrdup(sandbox->options.initramfs);
	struct machine_plan_request request = { .spec = spec,
						.settings = settings,
						.allow = allow_for(&settings->allow, spec,
								   sandbox->options.namespace),
						.container = container,
						.id = sandbox->options.id,
						.debug = sandbox->options.debug };
	struct accel_request accel = { .flag = options ? options->accel : NULL,
				       .spec = spec,
				       .settings = settings,
				       .vmm = sandbox->options.vmm };

	if (settings->boot_timeout_s)
		sandbox->options.boot_timeout_ms = settings->boot_timeout_s * 1000;
	if (options) {
		request.kernel = options->kernel;
		request.vcpus = options->vcpus;
		request.memory_mib = options->memory_mib;
		request.network = options->network;
		request.cgroup_manager = options->cgroup_manager;
		request.publish = (const char *const *)options->publish;
		request.n_publish = options->n_publish;
	}
	if (accel_find(&accel, &request.accel, ret_error) < 0)
		return -1;
	if (!initramfs && paths_find_data("initramfs.cpio", &initramfs, ret_error) < 0)
		return -1;
	request.initramfs = initramfs;
	return machine_plan_new(&request, ret_plan, ret_error);
}

int sandbox_start(struct sandbox *sandbox, struct machine_plan *plan, struct error **ret_error)
{
	machine_plan_free(sandbox->plan);
	sandbox->plan = plan;
	sandbox->asked_mib = plan->grown_mib;
	sandbox->n_boots = 0;
	sandbox->no_pool = false;
	sandbox->exit_status = sandbox->exit_signal = 0;
	if (start_machine(sandbox, ret_error) < 0)
		return -1;
	sandbox_set_state(sandbox, SANDBOX_BOOTING);
	sandbox->boot_timer = loop_add_timer(sandbox->loop, sandbox->options.boot_timeout_ms,
					     "boot timeout", boot_overdue, sandbox);
	return 0;
}
