/* SPDX-License-Identifier: Apache-2.0 */
/* Whose machine a container joins: see join.h. */
#include "client/join.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/process.h"
#include "runtime-spec/state.h"

/* The PID of "/proc/PID/ns/TYPE", else 0. */
static pid_t named_process(const char *path)
{
	char type[16];
	int pid;

	return path && sscanf(path, "/proc/%d/ns/%15s", &pid, type) == 2 && pid > 1 ? pid : 0;
}

static bool stands_for(const char *root, const char *id, pid_t pid)
{
	_cleanup_(state_freep) struct state *state = NULL;

	return state_check_id(id, NULL) == 0 && state_load(root, id, &state, NULL) == 0 &&
	       !state->machine_of && state->pid == pid &&
	       process_start_time(pid) == state->pid_start;
}

static char *find_owner(const char *root, pid_t pid)
{
	DIR *directory = opendir(root);
	const struct dirent *entry;
	char *id = NULL;

	while (directory && !id && (entry = readdir(directory)))
		if (stands_for(root, entry->d_name, pid))
			id = xstrdup(entry->d_name);
	if (directory)
		(void)closedir(directory);
	return id;
}

int join_find(const char *root, const struct spec *spec, char **ret_id, struct error **ret_error)
{
	_cleanup_free_ char *found = NULL;

	for (size_t i = 0; i < SPEC_NS_COUNT; i++) {
		const char *path = spec->linux_.namespaces[i].path;
		const pid_t pid = named_process(path);
		_cleanup_free_ char *id = pid ? find_owner(root, pid) : NULL;

		if (id && found && strcmp(id, found) != 0)
			return error_set(ret_error, ENOTSUP,
					 "linux.namespaces: %s is of the machine of %s, and others "
					 "are of that of %s: a container is in one",
					 path, id, found);
		if (id && !found)
			found = TAKE_PTR(id);
	}
	*ret_id = TAKE_PTR(found);
	return 0;
}
