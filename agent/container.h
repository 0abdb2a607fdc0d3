/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container: its config.json, cgroup and processes.
 *
 * It lives from Create until Delete has killed, reaped and removed all of it.
 * Its mounts are those of its mount namespace and go with its last process.
 */
#pragma once

#include <stdbool.h>

#include "agent/agent.h"
#include "agent/cgroup.h"
#include "agent/names.h"
#include "agent/process.h"
#include "agent/root.h"
#include "agent/sockets.h"
#include "runtime-spec/spec.h"

#define CONTAINERS_MAX 256
#define EXECS_MAX 1024

struct agent_container {
	struct agent *agent;
	char *id, *bundle;
	struct spec *spec;
	struct seccomp_filter *filter; /* NULL: none */
	struct files *files;
	struct sockets *sockets;	    /* NULL: none are bound in */
	struct names *names;		    /* NULL: nobody has asked for them */
	struct spec_key_value *annotations; /* the request's, else config.json's */
	size_t n_annotations;
	struct cgroup *cgroup;
	char *cpuset;		 /* of the host, as config.json or an update has it; NULL: none */
	struct root_parts parts; /* until init has ended; then its disk is nobody's any more */
	struct process *init;	 /* first of the list that its execs follow */
	size_t n_execs;

	int oom_fd; /* memory.events, or -1 */
	struct source *oom_source;
	uint64_t oom_count; /* OOM kills so far */
	struct calls oom_waiters;

	struct ttrpc_call *freeze_call; /* Pause */
	unsigned int freeze_polls;
	struct source *freeze_timer;

	bool removing;
	struct ttrpc_call *removal_call; /* Delete, or a Create that failed */
	struct error *removal_error;	 /* the latter's answer */
	unsigned int removal_polls;
	struct source *removal_timer;
	struct agent_container *next;
};

/* Makes the container and starts setting it up; the call is answered later,
 * unless this fails. */
int agent_container_create(struct agent *agent, const Agent__CreateRequest *request,
			   struct ttrpc_call *call, struct error **ret_error);
int agent_container_exec(struct agent_container *container, const Agent__ExecRequest *request,
			 struct ttrpc_call *call, struct error **ret_error);
/* What resources names, devices excepted, is set. */
int agent_container_limit(struct agent_container *container, const struct spec_resources *resources,
			  struct error **ret_error);
struct agent_container *agent_container_find(const struct agent *agent, const char *id);
/* exec_id "": init. NULL: none. */
struct process *agent_container_find_process(const struct agent_container *container,
					     const char *exec_id);
/* Removes an exec that is STOPPED; it must not be init. */
void agent_container_remove_exec(struct agent_container *container, struct process *process);

/* Kills and removes everything, then answers: with error (which becomes the
 * container's) or, NULL, with success. call may be NULL. */
void agent_container_remove(struct agent_container *container, struct ttrpc_call *call,
			    struct error *error);
/* A process of it has ended before it ran its program: fails its Create, Start or Exec, and
 * removes it, or with init the container. */
void agent_container_setup_failed(struct process *process);

/* Sends the signal to every process of the container. */
int agent_container_signal_all(const struct agent_container *container, uint32_t signal,
			       struct error **ret_error);
/* The call is answered when everything is frozen. */
void agent_container_pause(struct agent_container *container, struct ttrpc_call *call);
bool agent_container_is_paused(const struct agent_container *container);

/* oom.c: watches memory.events. */
void oom_watch(struct agent_container *container);
/* Answers the call when there have been more than `seen` kills. */
void oom_wait(struct agent_container *container, uint64_t seen, struct ttrpc_call *call);
/* A process has ended: an OOM kill of it is told before its end is. */
void oom_check(struct agent_container *container);
void oom_unwatch(struct agent_container *container);
/* oom_kill of memory.events. */
uint64_t oom_count(const struct agent_container *container);

/* Packed task.Metrics and sandbox.ProcessesResponse; caller frees *ret_bytes. */
size_t stats_pack(const struct agent_container *container, uint8_t **ret_bytes);
size_t processes_pack(const struct agent_container *container, uint8_t **ret_bytes);
