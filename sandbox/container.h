/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container of a sandbox: its bundle, its init and execs, and what is under way
 * with it (a Create, hooks, a Delete).
 *
 * The main container is the one that the machine was made for (of a pod, the one with the
 * sandbox annotations): the machine ends as its init did.  A sandbox that is kept has none.
 * In the guest, others share those of its namespaces that their bundles name (see
 * plan_shared()).
 *
 * Life, by the state of init (task.h): CREATING (create.c) → … → STOPPED (exit.c),
 * then the agent removes what is left of it in the guest (`released`) → Delete.  The
 * last container is released first, and stops when the machine is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/task.pb-c.h"
#include "runtime-spec/spec.h"
#include "sandbox/hooks.h"
#include "sandbox/plan/container-plan.h"
#include "sandbox/plan/machine-plan.h"
#include "sandbox/sockets/forward.h"
#include "sandbox/sockets/published.h"
#include "sandbox/stdio/terminal.h"
#include "sandbox/task.h"
#include "ttrpc/ttrpc.h"

struct sandbox;
struct checkpoint;
struct create_step;
struct restore;

struct container {
	struct sandbox *sandbox;
	struct container *next;
	bool main; /* the machine ends as its init does */
	char *id;
	char *guest_id; /* as the agent knows it: restored, it has the name that it had */
	struct task *init;
	struct task *execs;
	char *bundle;
	char *config; /* config.json's text */
	size_t config_size;
	struct spec *spec;
	struct container_plan *plan;
	struct forwards *forwards;   /* NULL: no unix sockets are bound in */
	struct published *published; /* NULL: none */
	struct terminal *terminal;
	char *stage;		       /* its directory in the staging area */
	uint32_t listen_fds;	       /* Sandbox__CreateOptions */
	char *kernel, *network;	       /* as the request's options had them; NULL: they did not */
	char **publish;		       /* likewise; ends with NULL */
	struct restore *restore;       /* it is made of a checkpoint; NULL: it is not */
	struct checkpoint *checkpoint; /* under way */
	const struct spec_resources *coming; /* of an Update under way; NULL: none */
	bool mounted;			     /* BUNDLE/rootfs, by us */
	bool freezing;			     /* a Pause or Resume is under way */
	bool staged; /* plan->files.stage is in the machine's staging area, or in its plan */
	uint64_t created_ns;
	int64_t memory_limit; /* as it is by now, bytes; none: <= 0 */

	/* Create under way. */
	struct ttrpc_call *create_call;
	const Task__CreateTaskRequest *create_request; /* the call's */
	const struct create_step *create_step;
	struct machine_plan *machine_plan; /* of the machine that is to be made for it */
	bool agent_creates;		   /* an answer of the agent's is still to come */
	struct error *create_error;	   /* it has failed: waiting until all is gone */
	bool hooks_begun;		   /* then poststop hooks are due */

	struct hooks *hooks; /* the list that runs */
	struct source *exec_timer;
	uint64_t oom_kills; /* told by the agent so far */
	char *oom_file;	    /* Sandbox__CreateOptions; NULL: none */
	struct source *oom_timer;
	struct ttrpc_call **oom_waiters;
	size_t n_oom_waiters;
	struct ttrpc_call *delete_call; /* Delete of init under way */
	struct source *delete_timer;	/* … which waits for the effect of a signal */
	bool drains;			/* init had ended by itself when the guest was lost */
	bool leaving;			/* init has ended, and all that it wrote is out */
	bool released;			/* nothing of it is left in the guest */
};

/* A new container at the end of the sandbox's list. */
struct container *container_new(struct sandbox *sandbox, const char *id);
/* Takes it off the list and undoes what was made on the host; open calls fail. */
void container_free(struct container *container);
/* NULL: no container of that id. */
struct container *container_find(const struct sandbox *sandbox, const char *id);
/* "" is init; NULL when there is none. */
struct task *container_find_task(const struct container *container, const char *exec_id);
/* Init has stopped, and with it everything else. */
bool container_is_stopped(const struct container *container);

/* Some container is still to stop, this one aside (NULL: none aside), or the sandbox is kept
 * without any. */
bool sandbox_is_needed(const struct sandbox *sandbox, const struct container *aside);
/* Ends a machine that nobody needs any more, once the agent has written out what is of every
 * container. */
void sandbox_end_unneeded(struct sandbox *sandbox);
/* The exec has stopped, or never ran: answers its Delete, if there is one, and forgets it. */
void exec_finish_delete(struct task *task);

/* Runs a list of hooks with the state JSON of this status; function gets the
 * container. */
void container_run_hooks(struct container *container, const char *kind,
			 const struct spec_hook_list *list, enum container_status status,
			 hooks_fn function);
