/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine consists of (vmm.h): for vmm.c, and for vmm-adopt.c, where it comes from the pool.
 */
#pragma once

#include "base/buffer.h"
#include "base/listener.h"
#include "base/log.h"
#include "sandbox/stand-in.h"
#include "sandbox/vmm-cgroup.h"
#include "sandbox/vmm.h"

#define VMM_LOG "vmm.log"

struct vmm {
	struct loop *loop;
	struct vmm_events events;
	char *directory;
	int dir_fd;
	struct vmm_process process;
	struct network_place place;
	struct vmm_cgroup cgroup;
	int control;
	struct listener *agent_listener;
	struct buffer line; /* what came on the control socket, up to a newline */
	bool told_lost, told_exit;
	struct ratelimit complaints;
	vmm_answer_fn answered; /* vmm_ask(); NULL: nothing has been asked */
	void *answered_data;
	struct source *answer_timer; /* an answer that is known already */
	/* What is told is answered as well: that many times before the answer to what was asked,
	 * and behind it. */
	unsigned told_before, told_behind;
	size_t net_devices[NETWORK_TAPS_MAX]; /* by slot: the place in the VMM's document */
	char *reason;			      /* vmm_reason() */
	struct source *pid_source, *control_source, *exit_timer;
	unsigned exit_code, exit_signal; /* vmm_exit() */
	/* Of one that was taken from the pool: */
	struct stand_in stand_in;
	struct source *stand_in_source; /* NULL: it has ended */
	int agent_fd;			/* to be told of */
	struct source *agent_timer;
	unsigned n_adopting; /* answers to come before all others; none may be a failure */
};

/* Takes a machine that waits instead of starting one: the cgroup and the network are there, and
 * passt's socket, or -1.  False: none was taken, and nothing has changed but maybe what is called
 * VMM_LOG and PLAN_VSOCK_PATH. */
bool vmm_adopt(struct vmm *vmm, const struct vmm_setup *setup, int passt_fd);
/* vmm-spawn.c: a copy of the directory's mount, attached nowhere: no ".." leads on from there. */
int vmm_open_directory(const char *directory, struct error **ret_error);
