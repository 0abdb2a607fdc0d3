/* SPDX-License-Identifier: Apache-2.0 */
/* `delete`. */
#include "cli/verb.h"
#include "client/delete.h"

struct delete_options {
	bool force;
};

static const struct option_def options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct delete_options, force),
	  "delete it even if it is still running (with SIGKILL)" },
	OPTION_END
};

static int run(const struct command *command, struct error **ret_error)
{
	const struct delete_options *values = command->options;

	return delete_container(command->globals->client.root, command->args[0], values->force,
				ret_error);
}

const struct verb verb_delete = {
	.name = "delete",
	.arguments = "<container-id>",
	.summary = "delete a container and all that it holds",
	.options = options,
	.options_size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
