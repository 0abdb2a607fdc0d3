/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a sandbox may enter a cgroup: see cgroup-check.h. */
#include "host/cgroup-check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

#define PROCESSES_MAX (4u << 20)
#define STATE_MAX 4096
#define DEPTH_MAX 64

static size_t count_lines(const char *text, pid_t holder)
{
	size_t n = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		n += strtol(line, NULL, 10) != holder;
	return n;
}

static size_t count_in(const char *path, pid_t holder)
{
	_cleanup_free_ char *processes = xasprintf("%s/cgroup.procs", path);
	_cleanup_free_ char *threads = xasprintf("%s/cgroup.threads", path);
	_cleanup_free_ char *text = NULL;
	_cleanup_error_ struct error *error = NULL;

	/* v2: one with threads of its own does not tell processes (EOPNOTSUPP). */
	if (read_file(processes, PROCESSES_MAX, &text, NULL, &error) < 0 &&
	    (error->code != EOPNOTSUPP || read_file(threads, PROCESSES_MAX, &text, NULL, NULL) < 0))
		return 0;
	return count_lines(text, holder);
}

/* Those of the cgroups below are limited, too. */
static size_t count_below(const char *path, pid_t holder, unsigned depth)
{
	_cleanup_dir_ DIR *dir = opendir(path);
	size_t n = dir ? count_in(path, holder) : 0;
	const struct dirent *entry;

	while (dir && depth < DEPTH_MAX && (entry = readdir(dir))) {
		_cleanup_free_ char *below = NULL;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		below = xasprintf("%s/%s", path, entry->d_name);
		n += count_below(below, holder, depth + 1);
	}
	return n;
}

int cgroup_check_empty(const char *path, pid_t holder, struct error **ret_error)
{
	const size_t n = count_below(path, holder, 0);

	return n ? error_set(ret_error, EBUSY,
			     "container's cgroup is not empty: %zu process(es) found in %s", n,
			     path)
		 : 0;
}

/* The file has one of these lines. */
static bool has_line(const char *path, const char *file, const char *const *lines)
{
	_cleanup_free_ char *full = xasprintf("%s/%s", path, file);
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (read_file(full, STATE_MAX, &text, NULL, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		for (const char *const *at = lines; *at; at++)
			if (strcmp(line, *at) == 0)
				return true;
	return false;
}

int cgroup_check_thawed(const char *path, struct error **ret_error)
{
	/* v1; v2's own order, and the state, which may come from above. */
	if (has_line(path, "freezer.state", (const char *const[]){ "FROZEN", "FREEZING", NULL }) ||
	    has_line(path, "cgroup.freeze", (const char *const[]){ "1", NULL }) ||
	    has_line(path, "cgroup.events", (const char *const[]){ "frozen 1", NULL }))
		return error_set(ret_error, EBUSY, "container's cgroup unexpectedly frozen: %s",
				 path);
	return 0;
}
