/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A staging area: the one tree that a sandbox's share (virtio-fs device) shows, in a
 * mount namespace of the VMM's own.
 *
 *	/		the container's root directory (or an empty one), on top of
 *	/ (beneath it)	an empty tmpfs with two directories:
 *	    host	the host's root, the VMM's while it opens files
 *	    share	the staging area: a small tmpfs
 *
 * In the staging area every bind, a host directory or a single file, is a mount of its
 * own at its name, without set-id bits and devices.  So nothing leaks to the host;
 * everything ends with the last process in that namespace, however that process ends;
 * and the host's kernel enforces a read-only bind, whatever the guest's kernel does.
 *
 * `podman cp` and nsenter(1) enter that namespace by the VMM's pid.  They find the
 * container's files at "/", as under runc, and never the host's by mistake.  So does
 * `nerdctl cp`, which uses /proc/PID/root, after the VMM has changed its root (vmm/jail.h).
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
	char *name;	/* "CONTAINER/rootfs": one "/", nothing hidden */
	char *source;	/* absolute host path; links are followed */
	char *overlay;	/* the options of an overlay that is made in place of a bind; or NULL */
	bool recursive; /* with what is mounted below it */
	bool readonly;	/* the topmost mount */
	bool readonly_recursive; /* and all below it */
	bool private_mounts;	 /* later mounts of the host below it do not appear */
	bool readonly_later;	 /* the topmost mount, from stage_show() on */
	char *uid_map, *gid_map; /* id-map.h; NULL: ids are as they are */
	bool recursive_map;	 /* of all mounts below it, too */
	char *destination;	 /* where the container has it (stage_show()); NULL: nowhere */
};

struct stage {
	struct stage_bind *binds;
	size_t n_binds;
	char *root; /* name of the bind that the namespace has as "/"; NULL: an empty directory */
};

/* Appends a bind; name and source become the stage's. */
struct stage_bind *stage_add_bind(struct stage *stage, char *name, char *source);
/* *ret_stage: a copy of its own, stage_done(). */
void stage_copy(const struct stage *from, struct stage *ret_stage);
void stage_done(struct stage *stage);

/* Takes the calling process, which has one thread, into a new mount namespace, whose
 * making takes an existing directory for a moment, and makes the staging area there.
 * *ret_root_fd (O_RDONLY | O_DIRECTORY, close-on-exec) is its root, *ret_view_fd (O_PATH)
 * the namespace's "/".  The process's own root and current directory stay the host's.
 * Needs CAP_SYS_ADMIN.  A failure leaves the process where it happened: it must end. */
int stage_enter(const char *directory, const struct stage *stage, int *ret_root_fd,
		int *ret_view_fd, struct error **ret_error);
/* If the stage has a root, mounts each bind that has a destination there, below the "/" of
 * process pid's namespace, so that a process that enters it finds what the container has.
 * Destinations are resolved inside that root; one that is not there, or not of the bind's
 * kind, is left out.  Then makes those read-only that are to be so from then on.  The calling
 * process, which has one thread, is in that namespace afterwards. */
int stage_show(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error);
/* Adds binds to the staging area root_fd in the namespace of process pid, and undoes
 * what was done if one fails.  The sources are those of the caller's namespace; the
 * calling process, which has one thread, is in the other one afterwards. */
int stage_extend(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error);
/* Adds them as stage_extend() does, to an area that has none, in a namespace whose root is empty,
 * and covers that with the stage's root, as stage_enter() does; the calling process has that as its
 * own root and current directory then. */
int stage_adopt(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error);
/* Takes the binds out again, likewise.  Those that are not there are fine; what still
 * uses one keeps it. */
int stage_shrink(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error);
