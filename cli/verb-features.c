/* SPDX-License-Identifier: Apache-2.0 */
/* `features`: runtime-spec features.md, of what this runtime really does. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/verb.h"
#include "runtime-spec/features.h"

static const struct option_def options[] = { OPTION_END };

static int run(const struct command *command, struct error **ret_error)
{
	_cleanup_free_ char *text = features_json(true);

	(void)command;
	(void)ret_error;
	(void)fputs(text, stdout);
	return 0;
}

const struct verb verb_features = {
	.name = "features",
	.arguments = "",
	.summary = "show the enabled features",
	.options = options,
	.max_args = VERB_ARGS_ANY,
	.run = run,
};
