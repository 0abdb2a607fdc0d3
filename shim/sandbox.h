/*
 * A sandbox: one machine, the agent in it, and its containers (container.h).
 *
 * Theory of operation.  Every request of a client is a ttrpc call that the
 * sandbox takes over and answers when the thing is done; nothing here ever
 * waits.  Three parties end independently: the VMM (machine), the connection to
 * the agent, and the tasks.  What ties them together:
 *
 *   - The guest is lost (sandbox_lost) when the VMM dies, the guest stops or the
 *     agent hangs up: every task that lives ends with 137, and the machine goes.
 *   - A container whose init has stopped is removed from the guest by the agent
 *     (released).  When that was the last one alive, the machine is told to end as
 *     the main container's init did, and only when it is gone has that init stopped.
 *   - The sandbox is gone when the VMM has ended and the agent's connection is
 *     closed; no callback of either can come any more.  The end of the last
 *     container (a Create that failed, a Delete) and a Shutdown wait for that
 *     (sandbox_when_gone); those of others only for their release.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "shim/agent-client.h"
#include "shim/container.h"
#include "shim/events.h"
#include "shim/machine.h"
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
	uint64_t idle_timeout_ms;  /* without any container; then the loop quits; 0: for ever */
	struct events *events;	   /* outlives the sandbox; NULL: nobody to tell (CLI mode) */
	bool debug;
};

struct sandbox {
	struct loop *loop;
	struct sandbox_options options;
	struct machine *machine;	   /* NULL: none, or it has ended */
	struct agent_client *agent;	   /* NULL: not connected yet, or closed */
	bool agent_ready;		   /* Hello is over */
	bool lost;			   /* the guest can do no more */
	unsigned n_boots;		   /* machines started for the main container's Create */
	bool booting_again;		   /* the next one, as soon as this one has ended */
	bool finishing;			   /* all containers have stopped: the machine is to end */
	pid_t pid;			   /* the machine's, also after its end */
	bool cache_by_name;		   /* the machine's: plan_request */
	unsigned exit_status, exit_signal; /* the main init's: the machine ends so */
	struct container *containers;	   /* in the order of their creation */
	unsigned n_created;		   /* containers so far */
	uint32_t socket_port;		   /* the next container's first (plan_request) */
	struct ttrpc_call *shutdown_call;
	bool shutting_down;
	bool quitting;		   /* all is gone: the last events are on their way */
	struct source *idle_timer; /* NULL: there is a container, or an end under way */
};

/* The strings of options outlive the sandbox.  Idle from now on: who started it to
 * create a container in it may have died since. */
struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options);
/* Kills the machine; open calls fail. */
void sandbox_free(struct sandbox *sandbox);
DEFINE_CLEANUP(struct sandbox, sandbox_free)

/* ---- requests (each ends the call, now or later) ---- */

/* create.c */
void sandbox_create(struct sandbox *sandbox, struct ttrpc_call *call,
		    const Task__CreateTaskRequest *request);
/* start.c */
void sandbox_start(struct task *task, struct ttrpc_call *call);
void sandbox_exec(struct container *container, struct ttrpc_call *call,
		  const Task__ExecProcessRequest *request);
/* control.c */
void sandbox_kill(struct task *task, struct ttrpc_call *call, const Task__KillRequest *request);
void sandbox_pause(struct container *container, struct ttrpc_call *call);
void sandbox_resume(struct container *container, struct ttrpc_call *call);
void sandbox_resize(struct task *task, struct ttrpc_call *call, uint32_t width, uint32_t height);
void sandbox_update(struct container *container, struct ttrpc_call *call,
		    const Task__Any *resources);
void sandbox_stats(struct container *container, struct ttrpc_call *call);
void sandbox_processes(struct container *container, struct ttrpc_call *call);
/* oom.c: answered when there have been more OOM kills than `seen`; fails when the
 * container stops. */
void sandbox_wait_oom(struct container *container, struct ttrpc_call *call, uint64_t seen);
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
void sandbox_task_stopped(struct container *container);
/* Has the agent remove what is left of the container in the guest; released then. */
void container_release(struct container *container);
/* Nothing of the container is left in the guest, or it never came there: goes on with
 * what waits for that, and ends a machine that nobody needs any more. */
void container_released(struct container *container);
/* Some container is still to stop, this one aside (NULL: none aside). */
bool sandbox_is_needed(const struct sandbox *sandbox, const struct container *aside);
void sandbox_lost(struct sandbox *sandbox, const char *reason);

/* oom.c */
void container_watch_oom(struct container *container);	 /* from CREATED on */
void container_unwatch_oom(struct container *container); /* init has stopped */

/* create.c: gives the Create under way up; its call fails with error (taken
 * over) when nothing of it is left. */
void sandbox_abort_create(struct container *container, struct error *error);
void sandbox_create_gone(struct container *container);
/* Starts a machine for the Create under way. */
void sandbox_boot(struct sandbox *sandbox);
/* The machine's guest can do no more: is it to be started again?  Then it is killed,
 * and sandbox_boot() is due when it has ended. */
bool sandbox_boots_again(struct sandbox *sandbox);

/* delete.c: looks whose end can go on, now that something is gone */
void sandbox_when_gone(struct sandbox *sandbox);

/* What a logging program is told where there is no containerd. */
static inline const char *sandbox_namespace(const struct sandbox *sandbox)
{
	return sandbox->options.namespace ? sandbox->options.namespace : "default";
}

/* sandbox.c: makes and watches the machine that this plan asks for. */
int sandbox_start_machine(struct sandbox *sandbox, struct plan *plan,
			  void (*agent)(void *data, int fd), struct error **ret_error);
/* A container came, or the last one went. */
void sandbox_watch_idle(struct sandbox *sandbox);
/* Fails the call with an error of ours, and frees it. */
void sandbox_fail(struct ttrpc_call *call, struct error *error);
