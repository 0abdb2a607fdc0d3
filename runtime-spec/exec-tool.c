/* SPDX-License-Identifier: Apache-2.0 */
/* The tools that an exec can be: see exec-tool.h. */
#include "runtime-spec/exec-tool.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar.h"
#include "runtime-spec/spec.h"

static bool has_flag(const char *const *flags, const char *flag)
{
	for (; *flags; flags++)
		if (strcmp(*flags, flag) == 0)
			return true;
	return false;
}

static int pack(const char *const *args, int out, struct error **ret_error)
{
	const struct tar_pack tar = {
		.source = args[0],
		.name = args[1][0] ? args[1] : NULL,
		.follows = has_flag(args + 2, SPEC_TOOL_FOLLOWS),
		.stays = has_flag(args + 2, SPEC_TOOL_STAYS),
		.has_xattrs = true,
	};

	return tar_pack(out, &tar, ret_error);
}

static int unpack(const char *const *args, int in, struct error **ret_error)
{
	const struct tar_unpack tar = {
		.destination = args[0],
		.is_raw = has_flag(args + 1, SPEC_TOOL_RAW),
		.has_owners = has_flag(args + 1, SPEC_TOOL_OWNERS),
	};
	uint64_t left_out;

	return tar_unpack(in, &tar, &left_out, ret_error);
}

int exec_tool_run(const char *name, const char *const *args, int in, int out, int errors)
{
	_cleanup_error_ struct error *error = NULL;
	size_t n = 0;
	int result;

	(void)signal(SIGPIPE, SIG_IGN);
	while (args[n])
		n++;
	if (strcmp(name, SPEC_TOOL_PACK) == 0 && n >= 2)
		result = pack(args, out, &error);
	else if (strcmp(name, SPEC_TOOL_UNPACK) == 0 && n >= 1)
		result = unpack(args, in, &error);
	else
		result = error_set(&error, EINVAL, "there is no such tool");
	if (result == 0)
		return 0;
	(void)write_all(errors, error->message, strlen(error->message));
	return error->code == ENOENT ? SPEC_TOOL_MISSING : 1;
}
