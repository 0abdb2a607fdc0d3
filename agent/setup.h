/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up a container's process in a child of the agent: from the clone,
 * through everything config.json asks for, to execve().
 *
 * The child talks through its channel (channel.h) only.  It starts in the
 * container's cgroup and new namespaces (init), or in the pid namespace of the
 * container's init, which it then joins in all others (exec).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/agent.h"
#include "agent/root.h"
#include "agent/seccomp.h"
#include "protocol/agent.h"
#include "runtime-spec/spec.h"

struct setup {
	const struct agent_config *config;
	const char *id, *bundle; /* for the state given to hooks, as are: */
	const struct spec_key_value *annotations;
	size_t n_annotations;
	const struct spec *spec;
	const struct spec_process *process;
	const struct files *files;	     /* init */
	const struct seccomp_filter *filter; /* NULL: none */
	bool exec;
	/* exec: the container's init, all of whose namespaces are joined; init: another
	 * container's, of which those are (CLONE_NEW…) */
	int init_pidfd;
	uint64_t join_flags;
	int network_fd;		 /* init: the network namespace that it enters; -1: none */
	struct root_parts parts; /* exec: of SPEC_TOOL_CHANGES; else none */
	int stdio[3];
	int extra[AGENT_DESCRIPTORS_MAX]; /* what it has from 3 on */
	size_t n_extra;
	uint32_t listen_fds; /* so many of them are told by LISTEN_FDS; 0: none */
	int channel_fd;	     /* the child's end */
	uint32_t width, height;
};

/* What cannot be done for this container in a guest: before anything is made. */
int setup_check(const struct spec *spec, uint64_t join_flags, struct error **ret_error);
/* CLONE_NEW… of a namespace of config.json that another container's can stand in for;
 * 0: there is none of this name. */
uint64_t setup_join_flag(const char *type);
int setup_check_process(const struct spec_process *process, struct error **ret_error);

/* Starts the child in the cgroup; everything in setup stays the caller's. The
 * pid is as the agent sees it; *ret_pidfd is the caller's. */
int setup_spawn(const struct setup *setup, int cgroup_fd, pid_t *ret_pid, int *ret_pidfd,
		struct error **ret_error);

/* Writes the maps of a user namespace, from outside of it. */
int setup_map_ids(const struct spec *spec, pid_t pid, struct error **ret_error);

/* ---- the child's own parts ---- */

/* Descriptors of the child, after its start. */
enum {
	SETUP_FIRST_EXTRA_FD = 3,
	SETUP_CHANNEL_FD = SETUP_FIRST_EXTRA_FD + AGENT_DESCRIPTORS_MAX,
	SETUP_PIDFD,
	SETUP_NETWORK_FD,
	SETUP_UPPER_FD,
	SETUP_MERGED_FD,
	SETUP_FIRST_FREE_FD
};

/* clone3(2) without a new stack: 0 in the child. cgroup_fd -1: the caller's. */
pid_t setup_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);
/* CLONE_NEW… flags of a new container, user and cgroup namespaces excepted. */
uint64_t setup_clone_flags(const struct spec *spec);

/* Whose limits hold: an exec without any of its own has the container's. */
static inline const struct spec_process *setup_limited(const struct setup *setup)
{
	return setup->process->n_rlimits > 0 ? setup->process : &setup->spec->process;
}

/* The two roads up to the pivot. */
int setup_init(const struct setup *setup, struct error **ret_error);
int setup_exec(const struct setup *setup, struct error **ret_error);
/* The road they share: privileges, READY and GO (init), execve. Returns only on
 * failure. */
int setup_become(const struct setup *setup, struct error **ret_error);
