/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that the host asked for: a container's init, or an exec.
 *
 *   SETTING_UP ─READY─► CREATED ─GO─► STARTING ─execve─► RUNNING      (init)
 *   SETTING_UP ─execve─► RUNNING                                      (exec)
 *   any of them ─reaped─► STOPPED
 *
 * CREATED: everything is done but startContainer hooks and execve.  A process
 * that fails before it runs says why through its channel, exits, and answers
 * the call that waits for it when it has been reaped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/calls.h"
#include "agent/descriptors.h"
#include "agent/stdio.h"
#include "base/loop.h"
#include "protocol/agent.pb-c.h"
#include "runtime-spec/spec.h"

enum process_state {
	PROCESS_SETTING_UP,
	PROCESS_CREATED,
	PROCESS_STARTING,
	PROCESS_RUNNING,
	PROCESS_STOPPED,
};

struct agent_container;

struct process {
	struct agent_container *container;
	char *exec_id;			 /* "": init */
	struct spec_process *own_spec;	 /* exec */
	const struct spec_process *spec; /* own_spec, or the container's */
	enum process_state state;
	pid_t pid; /* as the agent sees it; 0 before the start */
	int pidfd;
	int channel_fd;
	struct source *channel_source;
	struct streams *streams;
	struct descriptors *descriptors;
	struct ttrpc_call *call; /* Create, Start or Exec, waiting for the child */
	struct error *error;	 /* why the setup failed */
	struct calls waiters;
	uint32_t code, signal;
	bool oom_killed;
	uint64_t exited_ns;
	struct process *next;
};

/* own_spec (NULL: init) becomes the process's. */
struct process *process_new(struct agent_container *container, const char *exec_id,
			    struct spec_process *own_spec);
void process_free(struct process *process);
DEFINE_CLEANUP(struct process, process_free)

struct process_request {
	struct stdio_ports ports;
	Agent__Descriptor *const *descriptors;
	size_t n_descriptors;
	uint32_t listen_fds; /* an init: CreateRequest */
	uint32_t width, height;
	const struct process *join; /* an init: whose namespaces it joins; NULL: nobody's */
	uint64_t join_flags;	    /* which, CLONE_NEW… */
	int network_fd;		    /* an init: the network namespace that it enters; -1: none */
};

/* Starts the child; the call is answered when it is CREATED or RUNNING, or has
 * failed.  On failure the call is still the caller's. */
int process_start_setup(struct process *process, const struct process_request *request,
			struct ttrpc_call *call, struct error **ret_error);
/* CREATED → STARTING; the call is answered later. */
int process_go(struct process *process, struct ttrpc_call *call, struct error **ret_error);
/* 0 is allowed; EINVAL for a number that is not a signal, ESRCH when it has ended. */
int process_signal(const struct process *process, uint32_t signal, struct error **ret_error);
void process_wait(struct process *process, struct ttrpc_call *call);
/* Reads what the child has said: before it is reaped. */
void process_read_channel(struct process *process);
/* The child has been reaped, with a status as of waitpid(2).  False: it never ran its program;
 * what is left of it is the caller's to undo (agent_container_setup_failed()). */
bool process_exited(struct process *process, int status);
static inline bool process_is_init(const struct process *process)
{
	return process->exec_id[0] == '\0';
}
