/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a container as a tar stream, to it or from it: of one that runs by the agent's tools
 * (runtime-spec/spec.h: SPEC_EXEC_TOOL), as a process of its own; of one of a bundle that does not,
 * from its root file system on the host.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "client/handle.h"

struct container_files {
	const struct handle *handle;
	const char *source; /* of read ones; the caller's; else NULL */
	int stream; /* ours: of read ones to read, of written ones to write; not blocking never */
	int errors; /* what it says */
	pid_t pid;  /* a process of ours; 0: an exec of: */
	char exec[32]; /* its id */
};

/* name and flags: SPEC_TOOL_PACK's. EBUSY: the container does not run, and its files are in no
 * place that the host sees.  Failed: nothing is left. */
int container_files_read(const struct handle *handle, const char *path, const char *name,
			 const char *const *flags, struct container_files *ret_files,
			 struct error **ret_error);
int container_files_write(const struct handle *handle, const char *path, const char *const *flags,
			  struct container_files *ret_files, struct error **ret_error);
/* Copies a stream that is read to the descriptor, and ends. */
int container_files_copy(struct container_files *files, int to, struct error **ret_error);
/* Closes the stream, and waits for the other side.  ENOENT: what was to be read is not there. */
int container_files_end(struct container_files *files, struct error **ret_error);
/* The same after our side has come to this result, with this error, which is taken: what the other
 * side says is the reason, where there are two. */
int container_files_close(struct container_files *files, int result, struct error *error,
			  struct error **ret_error);
/* All that is there to read. */
int copy_all(int from, int to, struct error **ret_error);
