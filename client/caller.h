/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller of a verb that starts a process may ask for beside it: --pid-file,
 * --pidfd-socket, --preserve-fds; and where it looks for OOM kills, which it expects in a cgroup
 * of the host. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"

/* Replaces the file at path (NULL: none is wanted) by the pid's number. */
int caller_write_pid(const char *path, pid_t pid, struct error **ret_error);
/* Sends a pidfd of the process to the unix socket at path (NULL: none is wanted), as runc 1.2 does.
 */
int caller_send_pidfd(const char *path, pid_t pid, struct error **ret_error);

/* Descriptors of ours, from 3 on, that the process is to have beside its stdio. */
struct caller_fds {
	size_t n;
	uint32_t n_listen; /* the first ones: of LISTEN_FDS, sd_listen_fds(3) */
};
/* Finds the n_preserved ones that are asked for, and, with listen, before them those that the
 * environment tells us of, as runc does. Fails for one that is not open or cannot be passed to a
 * guest. */
int caller_find_fds(uint64_t n_preserved, bool listen, struct caller_fds *ret_fds,
		    struct error **ret_error);
/* A call's descriptors: stdio's and those; *n counts what is in all. */
void caller_add_fds(const struct caller_fds *caller_fds, int all[FD_PASS_MAX], size_t *n);
/* The task server has its own now: the last one gone is the end of a pipe. */
void caller_close_fds(const struct caller_fds *caller_fds);

/* conmon's (podman, CRI-O): the file that it makes in the bundle, and that its callers read when
 * the container has ended. NULL: the caller is not conmon.  Caller frees. */
char *caller_oom_file(const char *bundle);
/* containerd's shim of runc (Docker, CRI with another runtime's binary), whose address for events
 * is in our environment: the namespace that its events are of.  It calls with --root …/NAMESPACE
 * for the bundle …/NAMESPACE/ID.  NULL: the caller is another.  Caller frees. */
char *caller_oom_namespace(const char *root, const char *bundle);
