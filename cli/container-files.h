/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a container as a tar stream, to it or from it: of one that runs by the agent's tools
 * (runtime-spec/spec.h: SPEC_EXEC_TOOL), as a process of its own; of one of a bundle that does not,
 * from its root file system on the host; of one of an image that has stopped and has a disk, by a
 * machine that is made for it and runs nothing.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "client/client.h"
#include "client/handle.h"

/* Whose files. */
struct files_owner {
	struct handle *handle; /* of the container, locked with: */
	struct handle *idle;   /* its machine that runs nothing; NULL: none is needed */
	/* With a machine: the process that ends it, once this pipe has no other end, also because
	 * we have been killed. */
	pid_t guard;
	int guard_fd;
};
#define FILES_OWNER_NONE                                                                           \
	{                                                                                          \
		.guard_fd = -1                                                                     \
	}
/* EBUSY: the container has stopped, and its files are gone. */
int files_owner_open(const struct client *client, const char *id, struct files_owner *ret_owner,
		     struct error **ret_error);
/* The machine ends; its disk is written. */
void files_owner_close(struct files_owner *owner);

struct container_files {
	const struct handle *handle; /* who does it */
	const char *source;	     /* of read ones; the caller's; else NULL */
	int stream; /* ours: of read ones to read, of written ones to write; not blocking never */
	int wait;   /* of changes: container_files_go() closes it; else -1 */
	int errors; /* what it says */
	pid_t pid;  /* a process of ours; 0: an exec of: */
	char exec[32]; /* its id */
};

/* name and flags: SPEC_TOOL_PACK's.  Failed: nothing is left. */
int container_files_read(const struct files_owner *owner, const char *path, const char *name,
			 const char *const *flags, struct container_files *ret_files,
			 struct error **ret_error);
int container_files_write(const struct files_owner *owner, const char *path,
			  const char *const *flags, struct container_files *ret_files,
			  struct error **ret_error);
/* What has changed in the image's files, as SPEC_TOOL_CHANGES; from container_files_go() on.
 * ENOTSUP: the container is not of an image. */
int container_files_changes(const struct files_owner *owner, bool names_only,
			    struct container_files *ret_files, struct error **ret_error);
void container_files_go(struct container_files *files);
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
