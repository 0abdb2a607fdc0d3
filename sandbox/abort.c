/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Create that is given up.
 *
 * That can happen at any time (a step fails, a Kill, a Delete, the machine's death).  The
 * steps' callbacks are taken back or find create_error set; the request fails when nothing
 * of the container is left (container_finish_abort()).
 */
#include "base/log.h"
#include "sandbox/growth.h"
#include "sandbox/sandbox.h"

void container_abort_create(struct container *container, struct error *error)
{
	struct sandbox *sandbox = container->sandbox;

	if (container->create_error) {
		error_free(error);
		return;
	}
	log_debug("create %s fails: %s", container->id, error->message);
	container->create_error = error;
	growth_forget(sandbox, container);
	hooks_free(container->hooks);
	container->hooks = NULL;
	stdio_free(container->init->stdio);
	container->init->stdio = NULL;
	if (container->main && !container->next && sandbox->containers == container)
		/* There is nothing of anybody else's in the machine. */
		sandbox_kill(sandbox, "its container could not be created");
	else if (!container->agent_creates)
		container_on_released(container);
	/* Else what comes of it is removed then. */
	sandbox_settle(sandbox);
}
