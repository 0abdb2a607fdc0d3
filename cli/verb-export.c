/* SPDX-License-Identifier: Apache-2.0 */
/* `export`: a container's root file system as a tar archive, without what is mounted in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/container-files.h"
#include "cli/verb.h"
#include "runtime-spec/spec.h"

struct export_options {
	const char *output;
};

static const struct option_def options[] = { { "output", 'o', OPTION_STRING,
					       offsetof(struct export_options, output),
					       "write to this file, not to the standard output" },
					     OPTION_END };

/* The file has its name once it is whole. */
static int export_to_file(struct container_files *files, const char *path, struct error **ret_error)
{
	_cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
	int result;

	if (fd < 0) {
		(void)container_files_end(files, NULL);
		return error_set_errno(ret_error, errno, "cannot create a file beside %s", path);
	}
	result = container_files_copy(files, fd, ret_error);
	if (result == 0 && (fchmod(fd, 0600) < 0 || rename(temporary, path) < 0))
		result = error_set_errno(ret_error, errno, "cannot write %s", path);
	if (result < 0)
		(void)unlink(temporary);
	return result;
}

static int run(const struct command *command, struct error **ret_error)
{
	static const char *const flags[] = { SPEC_TOOL_STAYS, NULL };
	const struct export_options *values = command->options;
	_cleanup_(files_owner_close) struct files_owner owner = FILES_OWNER_NONE;
	struct container_files files;

	if (!values->output && isatty(STDOUT_FILENO))
		return error_set(ret_error, EINVAL,
				 "cowardly refusing to save to a terminal. Use the -o flag or "
				 "redirect");
	if (files_owner_open(&command->globals->client, command->args[0], &owner, ret_error) < 0 ||
	    container_files_read(&owner, "/", NULL, flags, &files, ret_error) < 0)
		return -1;
	return values->output ? export_to_file(&files, values->output, ret_error)
			      : container_files_copy(&files, STDOUT_FILENO, ret_error);
}

const struct verb verb_export = {
	.name = "export",
	.arguments = "<container-id>",
	.summary = "write a container's root file system as a tar archive",
	.options = options,
	.options_size = sizeof(struct export_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
