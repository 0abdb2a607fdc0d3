/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's cgroup on the host: the VMM and its helpers are in it, so that who manages
 * cgroups finds there what the sandbox uses, and its limits hold for the whole of it.
 *
 * It is where runc would have the container's (linux.cgroupsPath): with cgroup v2 one
 * directory, with v1 (and both, where v1 has the controllers) one in each hierarchy.  What
 * cannot be made for lack of permission, or since nothing is mounted, is left out: the
 * sandbox is in that of its caller then.
 *
 * A note, a file in the sandbox's directory, names the directories ("made PATH", or "joined
 * PATH" for one that was there).  It is written before they are made, so that they are
 * found again however its writer ends; and only those that we have made are removed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct cgroup_values;

/* The note's name in the sandbox's directory. */
#define CGROUP_NOTE "cgroup"

struct cgroup_directory {
	char *path;
	char *controllers; /* of a v1 hierarchy, "cpu,cpuacct" or "name=systemd"; NULL: v2 */
	char *mount;	   /* the hierarchy's root, as far as we see it */
	bool made;	   /* by us */
	size_t existing;   /* of the path, how much of it was there before we made it */
};

struct cgroup_place {
	struct cgroup_directory *directories;
	size_t n_directories;
	pid_t holder;
};

struct cgroup_request {
	const char *path;	/* linux.cgroupsPath; NULL: by the id, where the caller is */
	const char *id;		/* of the container */
	const char *mountinfo;	/* proc(5); of the calling process: /proc/self/… */
	const char *membership; /* likewise, /proc/self/cgroup */
	pid_t holder;		/* may be there already: it is ours; 0: none */
};

/* Where it is to be; none, where no hierarchy is mounted.  Changes nothing.  EINVAL: a path
 * that leads elsewhere.  cgroup_place_free(). */
int cgroup_place_find(const struct cgroup_request *request, struct cgroup_place **ret_place,
		      struct error **ret_error);
void cgroup_place_free(struct cgroup_place *place);
DEFINE_CLEANUP(struct cgroup_place, cgroup_place_free)
/* Makes the directories, with all controllers on the way.  Those that cannot be had are
 * dropped from the place; *ret_reason then says why (caller frees; NULL: all are there).
 * EBUSY: one that the note does not name has processes, or one is frozen.  What fails leaves
 * nothing that it made. */
int cgroup_place_make(struct cgroup_place *place, const char *note, char **ret_reason,
		      struct error **ret_error);
/* Removes what was made, with the parents that were made for it, where it is empty. */
void cgroup_place_unmake(struct cgroup_place *place);
/* The calling process, which has one thread, is in it afterwards. */
int cgroup_place_enter(const struct cgroup_place *place, struct error **ret_error);
/* The same for another process, with all of its threads. */
int cgroup_place_move(const struct cgroup_place *place, pid_t pid, struct error **ret_error);
/* fork(2), for a caller with one thread; *ret_entered: the child is in it already.  With cgroup v2
 * it can be made there, which costs less than to be moved: no grace period of RCU. */
pid_t cgroup_place_fork(const struct cgroup_place *place, bool *ret_entered);
/* Writes those of the values whose controllers are there. */
int cgroup_place_set(const struct cgroup_place *place, const struct cgroup_values *values,
		     struct error **ret_error);

/* What a file of it says, of v2's directory or of that v1 hierarchy's; caller frees.  NULL: there
 * is none. */
char *cgroup_place_read(const struct cgroup_place *place, bool v2, const char *controller,
			const char *file);

/* Its processes go on, to answer once more or to die: with v1 none dies while it is frozen.  As far
 * as it can. */
void cgroup_place_thaw(const struct cgroup_place *place);

/* It has a cpuset, which its processes run in. */
bool cgroup_place_has_cpuset(const struct cgroup_place *place);

/* Removes what the note says that we made, the cgroups below included.  No note is fine; of one
 * that lies, nothing but cgroups is removed, some thousands at most (EPERM: it names something
 * else). Waits a moment for processes that are about to end; what is in use stays (EBUSY). */
int cgroup_place_remove(const char *note, struct error **ret_error);
