/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's cgroup (v2): made before its first process, which is cloned
 * into it, and removed after its last.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

struct cgroup {
	char *path;
	int fd;		/* the directory */
	int program_fd; /* the device program attached, or -1 */
};

/* The directory below root for linux.cgroupsPath (NULL: the id): cgroupfs'
 * "/a/b" as it is, systemd's "SLICE:PREFIX:NAME" as SLICE/PREFIX-NAME.scope;
 * ".." is refused. Caller frees. */
int cgroup_path(const char *root, const char *cgroups_path, const char *id, char **ret_path,
		struct error **ret_error);

/* Makes the cgroup at path below root, with all controllers of root on the way.
 * One that exists must be empty of processes. */
int cgroup_make(const char *root, const char *path, struct cgroup **ret_cgroup,
		struct error **ret_error);
/* The cgroup of this path below it, also with "..": never one above.  ENOENT, in runc's words.
 * *ret_fd: the caller's. */
int cgroup_open_below(const struct cgroup *cgroup, const char *path, int *ret_fd,
		      struct error **ret_error);
/* The cgroup, itself or one below, that the process is in.  root: as of cgroup_make(). */
int cgroup_open_of(const struct cgroup *cgroup, const char *root, pid_t pid, int *ret_fd,
		   struct error **ret_error);
/* Closes; removes nothing. */
void cgroup_free(struct cgroup *cgroup);
DEFINE_CLEANUP(struct cgroup, cgroup_free)

/* Turns every controller of the directory on for its children. */
int cgroup_enable_controllers(const char *directory, struct error **ret_error);

/* Sets what resources names (cgroup-limits.c), devices excepted. */
int cgroup_set_limits(const struct cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error);
/* The CPUs of the host that resources names, also as a file of cgroup v2's; NULL: it names none. */
const char *cgroup_cpuset(const struct spec_resources *resources);
/* The guest has more CPUs than when that list was set, or fewer: it is mapped to them (cpuset.h).
 * NULL: there is none.  What was online before is not in use any more, and what has come is, when
 * this returns. */
int cgroup_renew_cpuset(const struct cgroup *cgroup, const char *list, struct error **ret_error);
/* Attaches the device rules (and those every container has), in place of the
 * program attached before. */
int cgroup_set_devices(struct cgroup *cgroup, const struct spec_resources *resources,
		       struct error **ret_error);

int cgroup_kill(const struct cgroup *cgroup, struct error **ret_error); /* SIGKILL to all */
int cgroup_freeze(const struct cgroup *cgroup, bool freeze, struct error **ret_error);
/* Whether cgroup.events says 1 for key ("populated", "frozen"). */
bool cgroup_event(const struct cgroup *cgroup, const char *key);
/* The cgroups below are removed with it. EBUSY while it has processes. */
int cgroup_remove(const struct cgroup *cgroup, struct error **ret_error);

/* The pids of the cgroup and those below it, as the agent sees them; at most
 * max. Returns how many. */
size_t cgroup_processes(const struct cgroup *cgroup, pid_t *ret_pids, size_t max);

/* A file of the cgroup, NUL-terminated; NULL when it is not there. Caller frees. */
char *cgroup_read(const struct cgroup *cgroup, const char *file);
/* The number in a file, UINT64_MAX for "max", fallback where there is no file. */
uint64_t cgroup_read_number(const struct cgroup *cgroup, const char *file, uint64_t fallback);
/* The number after `key ` in a flat-keyed text; 0 when it is missing. */
uint64_t cgroup_key(const char *text, const char *key);
int cgroup_write(const struct cgroup *cgroup, const char *file, const char *value,
		 struct error **ret_error);
