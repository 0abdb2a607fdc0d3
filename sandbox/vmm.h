/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One machine, seen from the task server: the supermachine-vmm process, its
 * control socket, and the sockets through which its guest is reached.
 *
 * The VMM is an orphan from the start (double fork): the process that reaps orphans,
 * conmon for one, sees its status.  It is watched by pidfd, and it dies with its
 * control socket, so with the task server.
 *
 * Life: vmm_start() → agent() → lost() → ended().  lost() comes once, when
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
#include "host/cgroup-place.h"
#include "host/network.h"
#include "protocol/vm-fds.h"
#include "sandbox/plan/machine-plan.h"

/* A file, whatever its path comes to name. */
struct vmm_file {
	dev_t device;
	ino_t inode;
};
struct vmm;

struct vmm_events {
	void (*agent)(void *data, int fd); /* the agent dialled in; fd is the receiver's */
	void (*lost)(void *data, const char *reason);
	void (*ended)(void *data);
	void *data;
};

struct vmm_setup {
	const char *program;	   /* supermachine-vmm */
	const char *directory;	   /* sockets, vmm.log and vmm.pid go there */
	struct machine_plan *plan; /* its descriptors are filled in; outlives the machine */
	bool again;		   /* in place of one that has ended: vmm.log goes on */
	bool pool;		   /* one that waits may be taken */
};

int vmm_start(struct loop *loop, const struct vmm_setup *setup, const struct vmm_events *events,
	      struct vmm **ret_vmm, struct error **ret_error);
/* Kills what is left of the VMM (ended() is not called) and unlinks its sockets. */
void vmm_free(struct vmm *vmm);
DEFINE_CLEANUP(struct vmm, vmm_free)

/* Of the process that stands for the machine's first container: the VMM, or of a machine from the
 * pool, another (stand-in.h). */
pid_t vmm_pid(const struct vmm *vmm);
/* Was it taken from the pool? */
bool vmm_is_adopted(const struct vmm *vmm);
/* It is somebody else's from now on, who has its control socket, its pidfd and its staging area's
 * root: vmm_free() without its end, and its files stay. */
#define VMM_GIVEN_FDS 3
void vmm_give(struct vmm *vmm, int ret_fds[VMM_GIVEN_FDS]);
/* Which file it has for volume i of its plan. */
const struct vmm_file *vmm_volume(const struct vmm *vmm, size_t i);
/* In lost(): why the guest ended, as the VMM says ("reboot", "error", …); NULL: it does not. */
const char *vmm_reason(const struct vmm *vmm);
/* SIGKILL at once: for a machine that has nothing to say any more. */
void vmm_kill(struct vmm *vmm);
/* Its cgroup on the host, which somebody may have frozen. */
void vmm_thaw(const struct vmm *vmm);
/* One request of the control protocol (protocol/control.h) after the other: operation is a
 * constant, fds travel with it and stay the caller's.  function hears of the answer once, never
 * from within, also of an end before it came (ECONNRESET); not after vmm_free().  error is the
 * VMM's. */
typedef void (*vmm_answer_fn)(void *data, const struct error *error);
void vmm_ask(struct vmm *vmm, const char *operation, const int *fds, size_t n_fds,
	     vmm_answer_fn function, void *data);
/* The VMM process ends: exits with code or, where signal is not 0, dies by it.
 * One that does not obey is killed; at once if that is the signal, unless its guest has broken
 * down, of which it is to say the cause.  Only the first call counts. */
void vmm_exit(struct vmm *vmm, unsigned code, unsigned signal, bool broken);
/* The container's program runs ("note" in protocol/control.h). */
void vmm_note(struct vmm *vmm);
/* So much memory beside its own the guest is to have ("memory" there). */
void vmm_set_memory(struct vmm *vmm, uint64_t mib);
/* The cable of a network device ("link" there); slot: of the place's taps. */
void vmm_set_link(struct vmm *vmm, size_t slot, bool up);
/* The machine has that many vCPUs from now on ("vcpus" there): the agent sees them come. */
void vmm_set_vcpus(struct vmm *vmm, uint32_t count);
/* A connected socket to the VMM's vsock, its "CONNECT" exchange yet to be
 * made (sandbox/stdio/stream.h); not blocking. */
int vmm_connect(struct vmm *vmm, struct error **ret_error);
/* Changes to the staging area of a machine that runs (host/stage.h); one without any
 * has nothing to show or to take out, and ENOTSUP for what is to be added. */
enum vmm_stage {
	VMM_STAGE_SHOW,	  /* stage_show(), once the container has its mounts */
	VMM_STAGE_EXTEND, /* stage_extend(): a container's, before its Create in the guest */
	VMM_STAGE_SHRINK, /* stage_shrink(), after its Delete there */
};
int vmm_stage(const struct vmm *vmm, enum vmm_stage operation, const struct stage *stage,
	      struct error **ret_error);
/* The guest is up: its cgroup gets the limits that would have held it up. */
int vmm_limit(const struct vmm *vmm, struct error **ret_error);
/* New limits of the container that the machine was made for, for its cgroup. */
int vmm_update(const struct vmm *vmm, const struct spec_resources *resources,
	       struct error **ret_error);
/* The network of the machine's namespace (host/network.h), where it is in one of the caller's. */
int vmm_network(const struct vmm *vmm, struct network **ret_network, struct error **ret_error);
/* The last lines of vmm.log as one printable line, "" when there are none;
 * caller frees. */
char *vmm_log_tail(const struct vmm *vmm);

/* Where a connection of the guest's to this port of the host's arrives; caller
 * frees. */
char *vmm_port_path(const char *directory, uint32_t port);

/* Without shares too, for processes that enter the namespace; a user who may not make one has
 * nothing that could be done there. */
bool vmm_has_namespace(const struct machine_plan *plan);
/* vmm-spawn.c: starts the program as an orphan in `directory`, in that network
 * namespace and maybe (above) in a mount namespace of its own with the staging area at
 * `stage`.  There it opens what is in none of our namespaces, which the table has without a
 * descriptor: the share's root, volumes, the VMM's own root to be. */
struct vmm_spawn {
	const char *program;
	const char *directory, *stage;
	const struct machine_plan *plan;
	const struct cgroup_place *cgroup; /* to be in */
	int netns_fd;			   /* the namespace to be in; -1: ours */
	struct vm_fds fds;
	int log_fd;    /* its stdout and stderr */
	int config_fd; /* the number that the plan's document has there */
};
struct vmm_process {
	pid_t pid;
	int pidfd;
	int stage_fd; /* the staging area's root, or -1 */
	struct vmm_file volumes[PLAN_VOLUMES_MAX];
};
int vmm_spawn(const struct vmm_spawn *spawn, struct vmm_process *ret_process,
	      struct error **ret_error);
