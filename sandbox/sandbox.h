/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox: one machine, the agent in it, and its containers (container.h).
 *
 * A machine comes first, and containers are made in it.  Its life, with one setter
 * (sandbox_set_state()) that holds the table:
 *
 *   EMPTY ─► BOOTING ─► READY ─► FINISHING ─► LOST ─► GONE
 *               │         └────────────────────►│       │
 *               └───────────────────────────────┘       └─► BOOTING
 *
 * Who asks for the machine decides how long it lives.  A Task/Create in an empty
 * sandbox makes one for its container (create.c): it ends as that one's init did, though
 * not before every other container has stopped.  A sandbox that is *kept* (kept.c,
 * containerd's Sandbox API) gets it without a container, and ends when it is told to.
 *
 * Theory of operation.  Every request of a client is a ttrpc call that the sandbox takes
 * over and answers when the thing is done; nothing here ever waits.  Three parties end
 * independently: the VMM (machine), the connection to the agent, and the tasks.  What ties
 * them together:
 *
 *   - The guest is LOST when the VMM dies, the guest stops or the agent hangs up: every
 *     task that lives ends with 137, and the machine goes.
 *   - A container whose init has stopped is removed from the guest by the agent
 *     (released).  When that was the last one alive, the machine is told to end
 *     (FINISHING), and only when it is gone has that init stopped.
 *   - It is GONE when the VMM has ended and the agent's connection is closed; no callback of
 *     either can come any more.  What waits for that, or for a container's release, goes on
 *     from the loop: the function that makes something go asks for it (sandbox_settle()).
 *
 * The parts build on each other in this order; what is above is told by sandbox_events:
 * state, boot ◄ container ◄ growth ◄ abort, exit ◄ create, start, control, delete, oom, kept ◄
 * sandbox.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "host/settings.h"
#include "protocol/agent.pb-c.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "sandbox/agent-client.h"
#include "sandbox/container.h"
#include "sandbox/vmm.h"
#include "ttrpc/ttrpc.h"

/* Who is told what becomes of a sandbox.  Loop thread; what is NULL is told to nobody. */
struct sandbox_observer {
	/* An event for containerd; message is the caller's.  topic: "/tasks/…"; type: the
	 * message's bare name ("containerd.events.TaskExit"). */
	void (*publish)(void *data, const char *topic, const char *type,
			const ProtobufCMessage *message);
	/* Once: Shutdown has been asked for, and nothing is left. */
	void (*gone)(void *data);
	void *data;
};

struct sandbox_options {
	const char *id;
	const char *namespace;	   /* containerd's; NULL: none (CLI mode) */
	const char *directory;	   /* where sockets and vmm.log live: ROOT/ID */
	const char *vmm;	   /* supermachine-vmm; NULL: found by base/paths.h */
	const char *initramfs;	   /* NULL: found by base/paths.h */
	uint64_t boot_timeout_ms;  /* from the VMM's start to the agent's Hello */
	uint64_t drain_timeout_ms; /* for output after a task's end, and for execs after init's */
	uint64_t idle_timeout_ms;  /* without any container; then as by Shutdown; 0: for ever */
	struct sandbox_observer observer;
	bool debug;
};

enum sandbox_state {
	SANDBOX_EMPTY,	   /* it has had no machine yet */
	SANDBOX_BOOTING,   /* the VMM runs, the agent has not answered yet */
	SANDBOX_READY,	   /* the agent answers */
	SANDBOX_FINISHING, /* nobody needs the machine any more: the agent still answers */
	SANDBOX_LOST,	   /* the guest can do no more; the VMM is to end */
	SANDBOX_GONE,	   /* the VMM has ended, the agent's connection is closed */
};

/* What the machine's life means to the containers.  Loop thread. */
struct sandbox_events {
	void (*ready)(struct sandbox *sandbox);
	/* LOST since now. cause (the callee's to copy): why it did not come up; NULL where it
	 * had, or has ended by itself: then reason says how. */
	void (*lost)(struct sandbox *sandbox, const char *reason, const struct error *cause);
	/* The VMM has ended, the machine is freed next. */
	void (*ended)(struct sandbox *sandbox);
	/* Something is gone: what waits for that may go on. */
	void (*settle)(struct sandbox *sandbox);
};

struct sandbox {
	struct loop *loop;
	struct sandbox_options options;
	const struct sandbox_events *events;
	enum sandbox_state state;
	struct machine_plan *plan;	 /* of the machine that is, or was last */
	struct vmm *vmm;		 /* NULL: none, or it has ended */
	struct agent_client *agent;	 /* NULL: not connected yet, or closed */
	struct sandbox_network *network; /* NULL: no container has been started yet */
	uint32_t vcpus;			 /* that the guest was told to use */
	unsigned n_boots;		 /* machines started by this plan */
	bool no_pool;			 /* one from the pool has failed: this plan has none */
	struct source *boot_timer;	 /* while BOOTING */
	struct source *settle_timer;	 /* sandbox_settle() has been asked for */
	pid_t pid;			 /* the machine's, also after its end; 0: there was none */
	unsigned exit_status, exit_signal; /* how the machine is to end */
	struct container *containers;	   /* in the order of their creation */
	char *main_id;			   /* of the container that the machine was made for */
	uint32_t socket_port;		   /* the next container's first (container_plan_request) */
	struct lodge *lodge;		   /* of all containers' forwards (sockets/forward.h) */
	struct growth *growth;		   /* under way, the first one (growth.h) */
	uint64_t asked_mib; /* so much more memory the guest is to have, or to keep */
	struct kept *kept;  /* NULL: the machine is some container's (kept.h) */
	struct ttrpc_call *shutdown_call;
	bool shutting_down;
	bool told_gone;		   /* the observer knows */
	struct source *idle_timer; /* NULL: there is a container, or an end under way */
};

/* ---- the whole (sandbox.c) ---- */

/* The strings of options outlive the sandbox.  Idle from now on: who started it to
 * create a container in it may have died since. */
struct sandbox *sandbox_new(struct loop *loop, const struct sandbox_options *options);
/* Kills the machine; open calls fail. */
void sandbox_free(struct sandbox *sandbox);
DEFINE_CLEANUP(struct sandbox, sandbox_free)
/* Ignored while there is a container or the sandbox is kept, unless `now`.  The observer
 * hears when all is gone.  call may be NULL. */
void sandbox_shutdown(struct sandbox *sandbox, struct ttrpc_call *call, bool now);

/* ---- requests (each ends the call, now or later) ---- */

/* create.c */
void container_create(struct sandbox *sandbox, struct ttrpc_call *call,
		      const Task__CreateTaskRequest *request);
/* start.c */
void task_start(struct task *task, struct ttrpc_call *call);
void container_exec(struct container *container, struct ttrpc_call *call,
		    const Task__ExecProcessRequest *request);
/* control.c */
void task_kill(struct task *task, struct ttrpc_call *call, const Task__KillRequest *request);
void container_pause(struct container *container, struct ttrpc_call *call);
void container_resume(struct container *container, struct ttrpc_call *call);
void task_resize(struct task *task, struct ttrpc_call *call, uint32_t width, uint32_t height);
void container_update(struct container *container, struct ttrpc_call *call,
		      const Task__Any *resources);
void container_stats(struct container *container, struct ttrpc_call *call);
void container_processes(struct container *container, struct ttrpc_call *call);
/* oom.c: answered when there have been more OOM kills than `seen`; fails when the
 * container stops. */
void container_wait_oom(struct container *container, struct ttrpc_call *call, uint64_t seen);
/* delete.c */
void task_delete(struct task *task, struct ttrpc_call *call);

/* ---- the machine ---- */

/* state.c: the only way to change the state: checks it against the table, and traces it. */
void sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state);
const char *sandbox_state_name(enum sandbox_state state);
/* The agent can be asked. */
bool sandbox_is_up(const struct sandbox *sandbox);
/* Nothing is left of the machine, or there was none. */
bool sandbox_has_no_machine(const struct sandbox *sandbox);
/* Has events->settle() called from the loop. */
void sandbox_settle(struct sandbox *sandbox);

/* boot.c: plans a machine of this host's, by its settings and the request's options (NULL:
 * none): the spec is the first container's or the sandbox's own, the rest as in
 * machine_plan_request. */
int sandbox_plan(struct sandbox *sandbox, const struct settings *settings, const struct spec *spec,
		 const Sandbox__CreateOptions *options, const struct container_plan *container,
		 struct machine_plan **ret_plan, struct error **ret_error);
/* Makes the machine of this plan (taken over, after a failure too): BOOTING.  Only
 * in a sandbox without one. */
int sandbox_start(struct sandbox *sandbox, struct machine_plan *plan, struct error **ret_error);
/* The guest can do no more: LOST, unless it is so already, or there is no machine. */
void sandbox_lose(struct sandbox *sandbox, const char *reason);
/* Kills the machine; events->lost() is told. */
void sandbox_kill(struct sandbox *sandbox, const char *reason);
/* The VMM ends, as the sandbox's exit status says. */
void sandbox_end_machine(struct sandbox *sandbox);

/* ---- between the parts ---- */

/* abort.c: gives the Create under way up; its call fails with error (taken over) when
 * nothing of it is left. */
void container_abort_create(struct container *container, struct error *error);

/* exit.c */
void task_watch_exit(struct task *task); /* asks the agent to tell of its end */
/* The task's process has ended.  Counts once. */
void task_on_end(struct task *task, uint32_t status, unsigned signal);
/* The Start has been answered: goes on with an end that came meanwhile. */
void task_finish_start(struct task *task);
/* The exec's output has been written out, or it never ran: stops it. It may be gone
 * afterwards. */
void exec_stop(struct task *task);
/* Has the agent remove what is left of the container in the guest. */
void container_release(struct container *container);
/* Nothing of the container is left in the guest, or it never came there: ends a machine
 * that nobody needs any more. */
void container_on_released(struct container *container);

/* create.c: the machine is READY. */
void container_on_machine_ready(struct container *container);
/* create.c: nothing of a Create that was given up is left in the guest: the call fails. */
void container_finish_abort(struct container *container);
/* delete.c: the container has stopped: answers its Delete. */
void container_finish_delete(struct container *container);

/* oom.c */
void container_watch_oom(struct container *container);	 /* from CREATED on */
void container_unwatch_oom(struct container *container); /* init has stopped */

/* What a logging program is told where there is no containerd. */
static inline const char *sandbox_namespace(const struct sandbox *sandbox)
{
	return sandbox->options.namespace ? sandbox->options.namespace : "default";
}

/* Fails the call with an error of ours, and frees it. */
static inline void call_fail(struct ttrpc_call *call, struct error *error)
{
	ttrpc_call_fail_error(call, error);
	error_free(error);
}
