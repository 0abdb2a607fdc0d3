/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's tools: see tool.h. */
#include "agent/tool.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/tar.h"
#include "runtime-spec/spec.h"

static bool has_flag(char *const *flags, const char *flag)
{
	for (; flags && *flags; flags++)
		if (strcmp(*flags, flag) == 0)
			return true;
	return false;
}

static int pack(char *const *args, struct error **ret_error)
{
	const struct tar_pack tar = {
		.source = args[0],
		.name = args[1][0] ? args[1] : NULL,
		.follows = has_flag(args + 2, SPEC_TOOL_FOLLOWS),
		.stays = has_flag(args + 2, SPEC_TOOL_STAYS),
		.has_xattrs = true,
	};

	return tar_pack(STDOUT_FILENO, &tar, ret_error);
}

static int unpack(char *const *args, struct error **ret_error)
{
	const struct tar_unpack tar = {
		.destination = args[0],
		.is_raw = has_flag(args + 1, SPEC_TOOL_RAW),
		.has_owners = has_flag(args + 1, SPEC_TOOL_OWNERS),
	};
	uint64_t left_out;

	return tar_unpack(STDIN_FILENO, &tar, &left_out, ret_error);
}

int tool_run(const char *name, char *const *args)
{
	_cleanup_error_ struct error *error = NULL;
	size_t n = 0;
	int result;

	(void)signal(SIGPIPE, SIG_IGN);
	while (args[n])
		n++;
	if (strcmp(name, SPEC_TOOL_PACK) == 0 && n >= 2)
		result = pack(args, &error);
	else if (strcmp(name, SPEC_TOOL_UNPACK) == 0 && n >= 1)
		result = unpack(args, &error);
	else
		result = error_set(&error, EINVAL, "there is no such tool");
	if (result == 0)
		return 0;
	(void)fprintf(stderr, "%s", error->message);
	(void)fflush(stderr);
	return error->code == ENOENT ? SPEC_TOOL_MISSING : 1;
}
