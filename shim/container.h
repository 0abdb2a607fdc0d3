/*
 * A container of a sandbox: its bundle, its init and execs, and what is under way
 * with it (a Create, hooks, a Delete).
 *
 * The first container of a sandbox is its main one: the machine is made from its
 * bundle (for a pod, the one with the sandbox annotations), and ends as its init
 * did.  Later ones join the machine; in the guest they share those of the main
 * container's namespaces that their bundles name (see plan_shared()).
 *
 * Life, by the state of init (task.h): CREATING (create.c) → … → STOPPED (exit.c),
 * then the agent removes what is left of it in the guest (`released`) → Delete.  The
 * last container of a sandbox is released first, and stops when the machine is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "runtime-spec/spec.h"
#include "shim/forward.h"
#include "shim/hooks.h"
#include "shim/plan.h"
#include "shim/published.h"
#include "shim/task.h"
#include "shim/terminal.h"
#include "ttrpc/task.pb-c.h"
#include "ttrpc/ttrpc.h"

struct sandbox;
struct create_step;

struct container {
	struct sandbox *sandbox;
	struct container *next;
	bool main;
	char *id;
	struct task *init;
	struct task *execs;
	char *bundle;
	char *config; /* config.json's text */
	size_t config_size;
	struct spec *spec;
	struct plan *plan;
	struct forwards *forwards;   /* NULL: no unix sockets are bound in */
	struct published *published; /* NULL: none */
	struct terminal *terminal;
	bool mounted; /* BUNDLE/rootfs, by us */
	bool staged;  /* plan->files.stage is in the machine's staging area */
	uint64_t created_ns;

	/* Create under way. */
	struct ttrpc_call *create_call;
	const Task__CreateTaskRequest *create_request; /* the call's */
	const struct create_step *create_step;
	bool agent_creates;	    /* the agent's answer is still to come */
	struct error *create_error; /* it has failed: waiting until all is gone */
	struct source *create_timer;
	bool hooks_begun; /* then poststop hooks are due */

	struct hooks *hooks; /* the list that runs */
	struct source *exec_timer;
	uint64_t oom_kills; /* told by the agent so far */
	struct source *oom_timer;
	struct ttrpc_call **oom_waiters;
	size_t n_oom_waiters;
	struct ttrpc_call *delete_call; /* Delete of init under way */
	bool leaving;			/* init has ended, and all that it wrote is out */
	bool released;			/* nothing of it is left in the guest */
};

/* A new container at the end of the sandbox's list; the main one if that was empty. */
struct container *container_new(struct sandbox *sandbox, const char *id);
/* Takes it off the list and undoes what was made on the host; open calls fail. */
void container_free(struct container *container);
/* NULL: no container of that id. */
struct container *container_find(const struct sandbox *sandbox, const char *id);
/* "" is init; NULL when there is none. */
struct task *container_find_task(const struct container *container, const char *exec_id);
/* Init has stopped, and with it everything else. */
bool container_is_stopped(const struct container *container);

/* Runs a list of hooks with the state JSON of this status; function gets the
 * container. */
void container_run_hooks(struct container *container, const char *kind,
			 const struct spec_hook_list *list, enum container_status status,
			 hooks_fn function);
