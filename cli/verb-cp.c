/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cp`: files from a container and to it, by docker-cp(1)'s rules.
 *
 * Both sides speak tar.  What comes from a container is its own, whatever it says: it is written
 * below the destination alone (base/tar.h).
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/tar.h"
#include "cli/container-files.h"
#include "cli/verb.h"
#include "runtime-spec/spec.h"

struct cp_options {
	bool archive, follow;
};
#define FIELD(name) offsetof(struct cp_options, name)

static const struct option_def options[] = {
	{ "archive", 'a', OPTION_FLAG, FIELD(archive), "keep owners, and set-id bits" },
	{ "follow-link", 'L', OPTION_FLAG, FIELD(follow),
	  "a source that is a symbolic link: what it leads to" },
	{ "quiet", 'q', OPTION_IGNORED_FLAG, 0, "show no progress" },
	OPTION_END
};

/* "CONTAINER:PATH"; a path that begins with / or . is ours.  ret_id: NULL, or to be freed. */
static const char *split(const char *word, char **ret_id)
{
	const char *colon = strchr(word, ':');

	*ret_id = NULL;
	if (!colon || word[0] == '/' || word[0] == '.')
		return word;
	*ret_id = xstrndup(word, (size_t)(colon - word));
	return colon + 1;
}

/* The name that the source has at its destination; NULL: what is in it is meant. Caller frees. */
static char *name_of(const char *path)
{
	size_t end = strlen(path), begin;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
		;
	if (begin == end || (end - begin == 1 && path[begin] == '.') ||
	    (end - begin == 2 && memcmp(path + begin, "..", 2) == 0))
		return NULL;
	return xstrndup(path + begin, end - begin);
}

/* Relative to its root. Caller frees. */
static char *in_container(const char *path)
{
	return path[0] == '/' ? xstrdup(path) : xasprintf("/%s", path);
}

static int unpack_here(int fd, const char *destination, bool has_owners, struct error **ret_error)
{
	const struct tar_unpack unpack = { .destination = destination,
					   .has_owners = has_owners,
					   .is_contained = true };
	uint64_t left_out;

	if (tar_unpack(fd, &unpack, &left_out, ret_error) < 0)
		return -1;
	if (left_out > 0)
		log_warning("%llu device nodes of the container are not copied",
			    (unsigned long long)left_out);
	return 0;
}

static int copy_out(const struct files_owner *owner, const struct cp_options *values,
		    const char *source, const char *destination, struct error **ret_error)
{
	_cleanup_free_ char *path = in_container(source), *name = name_of(path);
	const char *const flags[] = { values->follow ? SPEC_TOOL_FOLLOWS : NULL, NULL };
	struct container_files files;
	struct error *error = NULL;
	int result;

	if (container_files_read(owner, path, name, flags, &files, ret_error) < 0)
		return -1;
	if (strcmp(destination, "-") == 0)
		return container_files_copy(&files, STDOUT_FILENO, ret_error);
	result = unpack_here(files.stream, destination, values->archive, &error);
	return container_files_close(&files, result, error, ret_error);
}

static int copy_in(const struct files_owner *owner, const struct cp_options *values,
		   const char *source, const char *destination, struct error **ret_error)
{
	_cleanup_free_ char *path = in_container(destination), *name = name_of(source);
	const bool is_stream = strcmp(source, "-") == 0;
	const char *flags[3] = { NULL };
	const struct tar_pack pack = {
		.source = source, .name = name, .follows = values->follow, .has_xattrs = true
	};
	struct container_files files;
	struct error *error = NULL;
	struct stat st;
	size_t n = 0;
	int result;

	if (is_stream)
		flags[n++] = SPEC_TOOL_RAW;
	if (is_stream || values->archive)
		flags[n++] = SPEC_TOOL_OWNERS;
	if (!is_stream && lstat(source, &st) < 0)
		return error_set_errno(ret_error, errno, "lstat %s", source);
	if (container_files_write(owner, path, flags, &files, ret_error) < 0)
		return -1;
	result = is_stream ? copy_all(STDIN_FILENO, files.stream, &error)
			   : tar_pack(files.stream, &pack, &error);
	return container_files_close(&files, result, error, ret_error);
}

static int run(const struct command *command, struct error **ret_error)
{
	_cleanup_free_ char *from_id = NULL, *to_id = NULL;
	const char *from = split(command->args[0], &from_id), *to = split(command->args[1], &to_id);
	struct files_owner owner;
	int result;

	if (from_id && to_id)
		return error_set(ret_error, EINVAL, "copying between containers is not supported");
	if (!from_id && !to_id)
		return error_set(ret_error, EINVAL, "must specify at least one container source");
	if (files_owner_open(&command->globals->client, from_id ? from_id : to_id, &owner,
			     ret_error) < 0)
		return -1;
	result = from_id ? copy_out(&owner, command->options, from, to, ret_error)
			 : copy_in(&owner, command->options, from, to, ret_error);
	files_owner_close(&owner);
	return result;
}

const struct verb verb_cp = {
	.name = "cp",
	.arguments = "<container-id>:<path> <path>|- || <path>|- <container-id>:<path>",
	.summary = "copy files from a container, or to it",
	.options = options,
	.options_size = sizeof(struct cp_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
