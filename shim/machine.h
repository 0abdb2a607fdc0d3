/*
 * One machine, seen from the task server: the supermachine-vmm process, its
 * control socket, and the sockets through which its guest is reached.
 *
 * The VMM is an orphan from the start (double fork): whoever reaps orphans,
 * conmon for one, sees its status.  It is watched by pidfd, and it dies with its
 * control socket, so with the task server.
 *
 * Life: machine_start() → agent() → lost() → ended().  lost() comes once, when
 * the guest can do no more (it stopped, or the VMM died); ended() once, when the
 * process is gone.  Neither comes from within a call of the owner's; in ended()
 * the owner may free the machine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "shim/plan.h"

struct machine;

struct machine_events {
	void (*agent)(void *data, int fd); /* the agent dialled in; fd is the receiver's */
	void (*lost)(void *data, const char *reason);
	void (*ended)(void *data);
	void *data;
};

struct machine_setup {
	const char *program;   /* supermachine-vmm */
	const char *directory; /* sockets, vmm.log and vmm.pid go there */
	struct plan *plan;     /* its descriptors are filled in */
	bool again;	       /* in place of one that has ended: vmm.log goes on */
};

int machine_start(struct loop *loop, const struct machine_setup *setup,
		  const struct machine_events *events, struct machine **ret_machine,
		  struct error **ret_error);
/* Kills what is left of the VMM (ended() is not called) and unlinks its sockets. */
void machine_free(struct machine *machine);
DEFINE_CLEANUP(struct machine, machine_free)

pid_t machine_pid(const struct machine *machine);
/* In lost(): why the guest ended, as the VMM says ("reboot", "error", …); NULL: it does not. */
const char *machine_reason(const struct machine *machine);
/* SIGKILL at once: for a machine that has nothing to say any more. */
void machine_kill(struct machine *machine);
/* The VMM process ends: exits with code or, where signal is not 0, dies by it.
 * One that does not obey is killed.  Only the first call counts. */
void machine_exit(struct machine *machine, unsigned code, unsigned signal);
/* A connected socket to the VMM's vsock, its "CONNECT" exchange yet to be
 * made (shim/stream.h); not blocking. */
int machine_connect(struct machine *machine, struct error **ret_error);
/* Changes to the staging area of a machine that runs (rootfs/stage.h); one without any
 * has nothing to show or to take out, and ENOTSUP for what is to be added. */
enum machine_stage {
	MACHINE_STAGE_SHOW,   /* stage_show(), once the container has its mounts */
	MACHINE_STAGE_EXTEND, /* stage_extend(): a container's, before its Create in the guest */
	MACHINE_STAGE_SHRINK, /* stage_shrink(), after its Delete there */
};
int machine_stage(const struct machine *machine, enum machine_stage operation,
		  const struct stage *stage, struct error **ret_error);
/* The last lines of vmm.log as one printable line, "" when there are none;
 * caller frees. */
char *machine_log_tail(const struct machine *machine);

/* Where a connection of the guest's to this port of the host's arrives; caller
 * frees. */
char *machine_port_path(const char *directory, uint32_t port);

/* The VMM's descriptors, beside the log as its stdout and stderr.  From FILES on:
 * the share's root, if there is one, the volumes, and the VMM's own root to be, if it is
 * in a mount namespace of its own. */
enum { MACHINE_CONTROL_FD = 3, MACHINE_CONFIG_FD, MACHINE_VSOCK_FD, MACHINE_FILES_FD };
#define MACHINE_FILES_MAX (2 + PLAN_VOLUMES_MAX)

/* Without shares too, for whoever enters the namespace; a user who may not make one has
 * nothing that could be done there. */
bool machine_has_namespace(const struct plan *plan);
/* machine-spawn.c: starts the program as an orphan with these descriptors, in
 * `directory`, in the plan's network namespace and maybe (above) in a mount namespace of
 * its own with the staging area at `stage`. */
struct machine_fds {
	int control, config, log, vsock;
};
struct machine_process {
	pid_t pid;
	int pidfd;
	int stage_fd; /* the staging area's root, or -1 */
};
int machine_spawn(const char *program, const struct plan *plan, const char *directory,
		  const char *stage, const struct machine_fds *fds,
		  struct machine_process *ret_process, struct error **ret_error);
