/* SPDX-License-Identifier: Apache-2.0 */
/* The tools that an exec can be: see exec-tool.h. */
#include "runtime-spec/exec-tool.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* The caller may have something to do first. */
static int wait_for_end(int in, struct error **ret_error)
{
	char byte;
	ssize_t n;

	do
		n = read(in, &byte, 1);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0 ? 0 : error_set_errno(ret_error, errno, "cannot read the standard input");
}

static int pack_changes(const struct exec_tool *tool, struct error **ret_error)
{
	const char *const *paths = tool->args;
	struct tar_changes changes = { .upper = tool->upper, .merged = tool->merged };

	for (; *paths && (*paths)[0] != '/'; paths++)
		if (strcmp(*paths, SPEC_TOOL_NAMES) == 0)
			changes.names_only = true;
	changes.mount_points = paths;
	if (wait_for_end(tool->in, ret_error) < 0)
		return -1;
	return tar_pack_changes(tool->out, &changes, ret_error);
}

/* All directories on the way down are open at once. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int exec_tool_run(const struct exec_tool *tool)
{
	_cleanup_error_ struct error *error = NULL;
	size_t n = 0;
	int result;

	(void)signal(SIGPIPE, SIG_IGN);
	allow_descriptors();
	while (tool->args[n])
		n++;
	if (strcmp(tool->name, SPEC_TOOL_PACK) == 0 && n >= 2)
		result = pack(tool->args, tool->out, &error);
	else if (strcmp(tool->name, SPEC_TOOL_UNPACK) == 0 && n >= 1)
		result = unpack(tool->args, tool->in, &error);
	else if (strcmp(tool->name, SPEC_TOOL_CHANGES) == 0)
		result = pack_changes(tool, &error);
	else
		result = error_set(&error, EINVAL, "there is no such tool");
	if (result == 0)
		return 0;
	(void)write_all(tool->errors, error->message, strlen(error->message));
	return error->code == ENOENT ? SPEC_TOOL_MISSING : 1;
}
