/*
 * A sandbox: one machine, the agent in it, and the container it was made for.
 *
 * Theory of operation.  Every request of a client is a ttrpc call that the
 * sandbox takes over and answers when the thing is done; nothing here ever
 * waits.  Three parties end independently: the VMM (machine), the connection to
 * the agent, and the tasks.  What ties them together:
 *
 *   - The guest is lost (sandbox_lost) when the VMM dies, the guest stops or the
 *     agent hangs up: every task that lives ends with 137, and the machine goes.
 *   - When init has stopped, the machine is told to end as init did
 *     (sandbox_finish).
 *   - The sandbox is gone when the VMM has ended and the agent's connection is
 *     closed; no callback of either can come any more.  A Create that failed, a
 *     Delete and a Shutdown wait for that (sandbox_when_gone).
 *
 * A sandbox holds one container at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "runtime-spec/spec.h"
#include "shim/agent-client.h"
#include "shim/forward.h"
#include "shim/events.h"
#include "shim/hooks.h"
#include "shim/machine.h"
#include "shim/plan.h"
#include "shim/published.h"
#include "runtime-spec/settings.h"
#include "shim/task.h"
#include "shim/terminal.h"
#include "ttrpc/agent.pb-c.h"
#include "ttrpc/task.pb-c.h"
#include "ttrpc/ttrpc.h"

struct sandbox_options {
	const char *id;
	const char *namespace;	   /* containerd's; NULL: none (CLI mode) */
	const char *directory;	   /* where sockets and vmm.log live: ROOT/ID */
	const char *vmm;	   /* supermachine-vmm; NULL: found by base/paths.h */
	const char *initramfs;	   /* NULL: found by base/paths.h */
	uint64_t boot_timeout_ms;  /* from the VMM's start to the agent's Hello */
	uint64_t drain_timeout_ms; /* for output after a task's end, and for execs after init's */
	struct events *events;	   /* outlives the sandbox; NULL: nobody to tell (CLI mode) */
	bool debug;
};

struct sandbox {
	struct loop *loop;
	struct sandbox_options options;
	struct machine *machine;    /* NULL: none, or it has ended */
	struct agent_client *agent; /* NULL: not connected yet, or closed */
	bool agent_ready;	    /* Hello is over */
	bool lost;		    /* the guest can do no more */
	bool finishing;		    /* the machine was told to end */

	/* The container; init is NULL when there is none. */
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
	pid_t pid;    /* the machine's, also after its end */
	uint64_t created_ns;

	/* Create under way. */
	struct ttrpc_call *create_call;
	const Task__CreateTaskRequest *create_request; /* the call's */
	const struct create_step *create_step;
	struct error *create_error; /* it has failed: waiting until all is gone */
	struct source *boot_timer;
	bool hooks_begun; /* then poststop hooks are due */

	struct hooks *hooks; /* the list that runs */
	struct source *exec_timer;
	uint64_t oom_kills; /* told by the agent so far */
	struct source *oom_timer;
	struct ttrpc_call **oom_waiters;
	size_t n_oom_waiters;
	struct ttrpc_call *delete_call; /* Delete of init under way */
	struct ttrpc_call *shutdown_call;
	bool shutting_down;
};

/* The strings of options outlive the sandbox. */
struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options);
/* Kills the machine; open calls fail. */
void sandbox_free(struct sandbox *sandbox);
DEFINE_CLEANUP(struct sandbox, sandbox_free)

/* "" is init; NULL when there is none. */
struct task *sandbox_find(const struct sandbox *sandbox, const char *exec_id);

/* ---- requests (each ends the call, now or later) ---- */

/* create.c */
void sandbox_create(struct sandbox *sandbox, struct ttrpc_call *call,
		    const Task__CreateTaskRequest *request);
/* start.c */
void sandbox_start(struct task *task, struct ttrpc_call *call);
void sandbox_exec(struct sandbox *sandbox, struct ttrpc_call *call,
		  const Task__ExecProcessRequest *request);
/* control.c */
void sandbox_kill(struct task *task, struct ttrpc_call *call, const Task__KillRequest *request);
void sandbox_pause(struct sandbox *sandbox, struct ttrpc_call *call);
void sandbox_resume(struct sandbox *sandbox, struct ttrpc_call *call);
void sandbox_resize(struct task *task, struct ttrpc_call *call, uint32_t width, uint32_t height);
void sandbox_update(struct sandbox *sandbox, struct ttrpc_call *call, const Task__Any *resources);
void sandbox_stats(struct sandbox *sandbox, struct ttrpc_call *call);
void sandbox_processes(struct sandbox *sandbox, struct ttrpc_call *call);
/* oom.c: answered when there have been more OOM kills than `seen`; fails when the
 * container stops. */
void sandbox_wait_oom(struct sandbox *sandbox, struct ttrpc_call *call, uint64_t seen);
/* delete.c */
void sandbox_delete(struct task *task, struct ttrpc_call *call);
/* Ignored while there is a container, unless `now`.  The loop quits when all is
 * gone.  call may be NULL. */
void sandbox_shutdown(struct sandbox *sandbox, struct ttrpc_call *call, bool now);

/* ---- between the parts ---- */

/* exit.c */
void sandbox_watch_exit(struct task *task); /* asks the agent to tell of its end */
/* The task's process has ended.  Counts once. */
void task_ended(struct task *task, uint32_t status, unsigned signal);
/* Goes on with an end that came while the task was starting. */
void task_start_over(struct task *task);
/* An exec has stopped, or init has been drained: init's turn may have come. */
void sandbox_task_stopped(struct sandbox *sandbox);
void sandbox_lost(struct sandbox *sandbox, const char *reason);

/* oom.c */
void sandbox_watch_oom(struct sandbox *sandbox);   /* from CREATED on */
void sandbox_unwatch_oom(struct sandbox *sandbox); /* init has stopped */

/* create.c: gives the Create under way up; its call fails with error (taken
 * over) when nothing of it is left. */
void sandbox_abort_create(struct sandbox *sandbox, struct error *error);
void sandbox_create_gone(struct sandbox *sandbox);

/* delete.c */
void sandbox_when_gone(struct sandbox *sandbox); /* looks whether all is gone, and goes on */
void sandbox_container_free(struct sandbox *sandbox);

/* What a logging program is told where there is no containerd. */
static inline const char *sandbox_namespace(const struct sandbox *sandbox)
{
	return sandbox->options.namespace ? sandbox->options.namespace : "default";
}

/* sandbox.c: runs a list of hooks with the state JSON of this status. */
void sandbox_run_hooks(struct sandbox *sandbox, const char *kind, const struct spec_hook_list *list,
		       enum container_status status, hooks_fn function);
/* Makes and watches the machine of sandbox->plan. */
int sandbox_start_machine(struct sandbox *sandbox, void (*agent)(void *data, int fd),
			  struct error **ret_error);
/* Fails the call with an error of ours, and frees it. */
void sandbox_fail(struct ttrpc_call *call, struct error *error);
