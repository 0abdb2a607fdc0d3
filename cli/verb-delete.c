/* SPDX-License-Identifier: Apache-2.0 */
/* `delete`. */
#include <errno.h>
#include <regex.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cli/containers.h"
#include "cli/verb.h"
#include "client/delete.h"

struct delete_options {
	bool force, regex;
};

static const struct option_def options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct delete_options, force),
	  "delete it even if it is still running (with SIGKILL)" },
	{ "regex", 'r', OPTION_FLAG, offsetof(struct delete_options, regex),
	  "delete all containers whose ids match an extended regular expression" },
	OPTION_END
};

static int delete_matching(const char *root, const regex_t *regex, bool force,
			   struct error **ret_error)
{
	_cleanup_strv_ char **ids = NULL;
	size_t n_failed = 0;

	if (containers_ids(root, &ids, ret_error) < 0)
		return -1;
	for (size_t i = 0; ids && ids[i]; i++) {
		_cleanup_error_ struct error *error = NULL;

		if (regexec(regex, ids[i], 0, NULL, 0) != 0 ||
		    delete_container(root, ids[i], force, &error) == 0)
			continue;
		/* Another's `delete` was first, or it is a directory of something else. */
		if (error->code == ENOENT)
			continue;
		log_error("container %s: %s", ids[i], error->message);
		n_failed++;
	}
	return n_failed == 0 ? 0
			     : error_set(ret_error, EBUSY, "%zu of the containers were not deleted",
					 n_failed);
}

/* As crun: what matches nothing is not an error. */
static int delete_by_regex(const char *root, const char *pattern, bool force,
			   struct error **ret_error)
{
	regex_t regex;
	char words[128];
	int result = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);

	if (result != 0) {
		(void)regerror(result, &regex, words, sizeof(words));
		return error_set(ret_error, EINVAL, "--regex %s: %s", pattern, words);
	}
	result = delete_matching(root, &regex, force, ret_error);
	regfree(&regex);
	return result;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct delete_options *values = command->options;
	const char *root = command->globals->client.root;

	if (values->regex)
		return delete_by_regex(root, command->args[0], values->force, ret_error);
	return delete_container(root, command->args[0], values->force, ret_error);
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
