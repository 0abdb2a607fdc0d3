/* SPDX-License-Identifier: Apache-2.0 */
/* Options for CRIU: see criu-options.h. */
#include "cli/criu-options.h"

#include <errno.h>

#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"

int criu_options_check(const struct option_def *table, const void *values,
		       const struct criu_options *criu, struct error **ret_error)
{
	const struct {
		const char *name;
		bool given;
	} refused[] = {
		{ "lazy-pages", criu->lazy_pages },
		{ "status-fd", criu->status_fd },
		{ "page-server", criu->page_server },
		{ "lsm-profile", criu->lsm_profile },
		{ "lsm-mount-context", criu->lsm_mount_context },
	};
	const char *first = (const char *)criu;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (refused[i].given)
			return error_set(ret_error, ENOTSUP, "--%s is not supported",
					 refused[i].name);
	for (; table->name; table++) {
		const char *at = (const char *)values + table->offset;

		if (at < first || at >= first + sizeof(*criu) ||
		    at == (const char *)&criu->work_path)
			continue;
		if (table->type == OPTION_FLAG ? *(const bool *)at
					       : *(const char *const *)at != NULL)
			log_debug("--%s has no effect: the container is a machine", table->name);
	}
	return 0;
}

int criu_image_path(const char *asked, char **ret_path, struct error **ret_error)
{
	const char *path = asked ? asked : "checkpoint";

	if (path[0] == '\0')
		return error_set(ret_error, EINVAL, "--image-path is empty");
	return absolute_path(path, ret_path, ret_error);
}

int criu_work_path(const struct criu_options *criu, char **ret_path, struct error **ret_error)
{
	*ret_path = NULL;
	return criu->work_path && criu->work_path[0]
		   ? absolute_path(criu->work_path, ret_path, ret_error)
		   : 0;
}
