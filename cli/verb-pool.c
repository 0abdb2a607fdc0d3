/* SPDX-License-Identifier: Apache-2.0 */
/* `pool`: keep machines that wait for containers (sandbox/machine-pool.h). */
#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/paths.h"
#include "cli/verb.h"

static const struct option_def machine_pool_options[] = { OPTION_END };

/* The program that knows machines takes this process over, so a service manager sees one. */
static int run_pool(const struct command *command, struct error **ret_error)
{
	_cleanup_free_ char *program = NULL;
	char *argv[] = { (char *)"supermachine-pool", (char *)"pool", NULL };

	(void)command;
	if (paths_find_program("containerd-shim-supermachine-v1", &program, ret_error) < 0)
		return -1;
	(void)execv(program, argv);
	return error_set_errno(ret_error, errno, "cannot run %s", program);
}

const struct verb verb_pool = {
	.name = "pool",
	.arguments = "",
	.summary = "keep machines that wait, for containers to start in at once",
	.description =
	    "As many as \"pool\" in the configuration file says, of the kinds used last; needs\n"
	    "   root and KVM. It runs until a signal ends it, and with it all that wait.",
	.options = machine_pool_options,
	.options_size = 1,
	.max_args = 0,
	.run = run_pool,
};
