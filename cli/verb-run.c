/* SPDX-License-Identifier: Apache-2.0 */
/* `create` and `run`. */
#include <errno.h>
#include <string.h>

#include "cli/run-container.h"
#include "cli/run-image.h"
#include "cli/run-options.h"
#include "cli/stand-in.h"
#include "cli/verb.h"
#include "client/create.h"

static int create(const struct command *command, struct error **ret_error)
{
	struct create_options options = *(const struct create_options *)command->options;
	struct created created;

	options.detach = true;
	options.stand_in = stand_in;
	if (create_container(&command->globals->client, &options, command->args[0], &created,
			     ret_error) < 0)
		return error_wrap(ret_error, PACKAGE_NAME " create failed");
	pty_close(&created.pty);
	handle_free(created.handle);
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct run_options *options = command->options;
	const bool is_bundle = run_is_bundle(options, command->args);
	struct create_options create = options->create;
	int status;

	if (run_check_form(options, is_bundle, ret_error) < 0)
		return -1;
	if (is_bundle && command->n_args > 1)
		return error_set(ret_error, EINVAL,
				 PACKAGE_NAME
				 ": \"run\" of a bundle requires exactly 1 argument(s)");
	create.stand_in = stand_in;
	status = is_bundle ? run_container(&command->globals->client, &create, command->args[0],
					   ret_error)
			   : run_image(command, ret_error);
	return status < 0 ? error_wrap(ret_error, PACKAGE_NAME " run failed") : status;
}

/* Of an image docker-run(1)'s, of a bundle runc's. */
static int run_failure_status(const struct command *command, const struct error *error)
{
	/* As the agent begins what it says of the program: `exec: "NAME"`, `exec /PATH`. */
	static const char failed[] = PACKAGE_NAME " run failed: exec";
	const char *program = error->message + strlen(failed);

	if (run_is_bundle(command->options, command->args))
		return 1;
	if (strncmp(error->message, failed, strlen(failed)) != 0 ||
	    (strncmp(program, ": \"", 3) != 0 && strncmp(program, " /", 2) != 0))
		return 125;
	return error->code == ENOENT || error->code == ENOTDIR ? 127 : 126;
}

const struct verb verb_create = {
	.name = "create",
	.arguments = "<container-id>",
	.summary = "create a container",
	.description =
	    "Creates a container from a bundle, a directory with a config.json and a root file\n"
	    "   system, in a microVM of its own. `start` executes the user's program. The id must\n"
	    "   be unique on this host.",
	.options = create_option_table,
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = create,
};

const struct verb verb_run = {
	.name = "run",
	.arguments = "<image> [command [argument...]] | --bundle <directory> <container-id>",
	.summary = "run a container of an image or a bundle",
	.description =
	    "Of an image, which is pulled if it is not here: runs its program, or the command,\n"
	    "   in a container of its own. Options come before the image.\n"
	    "   Of a bundle, with --bundle or with one argument and a config.json in the current\n"
	    "   directory: does what create and start do. Unless detached, run then waits for the\n"
	    "   container, deletes it and ends with its status (128+n: ended by signal n).",
	.options = run_option_table,
	.options_size = sizeof(struct run_options),
	.min_args = 1,
	.max_args = VERB_ARGS_ANY,
	.stop_at_argument = true,
	.options_behind = run_options_behind,
	.failure_status = run_failure_status,
	.run = run,
};
