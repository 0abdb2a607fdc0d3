/*
 * A staging area: the one tree that a sandbox's share (virtio-fs device) shows.
 *
 * It is a small tmpfs, mounted in the mount namespace that the VMM gets for itself
 * and nowhere else.  On it every bind, a host directory or a single file, is a mount
 * of its own at DIRECTORY/name.  So nothing leaks to the host; all of it goes with the
 * last process in that namespace, however that ends; and a bind that is to be
 * read-only is read-only to the host's kernel, whatever the guest's thinks.
 *
 * Mounts that come and go on the host keep doing so here (the namespace's copies
 * are slaves of the host's), except below a bind that is private.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct stage_bind {
	char *name;		 /* "CONTAINER/rootfs": one "/", nothing hidden */
	char *source;		 /* absolute host path; links are followed */
	bool recursive;		 /* with what is mounted below it */
	bool readonly;		 /* the topmost mount */
	bool readonly_recursive; /* and all below it */
	bool private_mounts;	 /* later mounts of the host below it do not appear */
};

struct stage {
	struct stage_bind *binds;
	size_t n_binds;
};

/* Appends a bind; name and source become the stage's. */
struct stage_bind *stage_add_bind(struct stage *stage, char *name, char *source);
void stage_done(struct stage *stage);

/* Takes the calling process, which has one thread, into a new mount namespace and
 * makes the staging area at directory, an existing one.  *ret_root_fd
 * (O_RDONLY | O_DIRECTORY, close-on-exec) is its root.  Needs CAP_SYS_ADMIN.  A
 * failure leaves the process where it happened: it must end. */
int stage_enter(const char *directory, const struct stage *stage, int *ret_root_fd,
		struct error **ret_error);
/* Takes the binds out of the staging area in the namespace of process pid, where the
 * calling process, which has one thread, is afterwards.  Those that are not there are
 * fine; what still uses one keeps it. */
int stage_shrink(pid_t pid, const char *directory, const struct stage *stage,
		 struct error **ret_error);
/* Adds binds to the staging area in the namespace of process pid, and undoes what
 * was done if one fails.  The sources are those of the caller's namespace; the
 * calling process, which has one thread, is in the other one afterwards. */
int stage_extend(pid_t pid, const char *directory, const struct stage *stage,
		 struct error **ret_error);
