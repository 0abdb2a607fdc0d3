/* SPDX-License-Identifier: Apache-2.0 */
/* `wait`: how containers ended. */
#include <stdio.h>

#include "cli/verb.h"
#include "client/handle.h"

static const struct option_def wait_options[] = { OPTION_END };

static int run_wait(const struct command *command, struct error **ret_error)
{
	for (size_t i = 0; i < command->n_args; i++) {
		_cleanup_(handle_freep) struct handle *handle = NULL;
		uint32_t status;

		if (handle_open(command->globals->client.root, command->args[i], &handle,
				ret_error) < 0)
			return -1;
		if (handle_wait(handle, &status, NULL, ret_error) < 0)
			return error_wrap(ret_error, "cannot wait for container %s",
					  command->args[i]);
		printf("%u\n", status);
		(void)fflush(stdout);
	}
	return 0;
}

const struct verb verb_wait = {
	.name = "wait",
	.arguments = "<container-id> [container-id...]",
	.summary = "wait until containers have stopped, and print their exit statuses",
	.options = wait_options,
	.options_size = 1,
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.run = run_wait,
};
