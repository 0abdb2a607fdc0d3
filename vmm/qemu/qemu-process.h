/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU process: a child of our child (qemu-keeper.h), which does not outlive us, with no
 * privileges, a user of its own, and no descriptors but those of its command.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "vmm/qemu/qemu-command.h"

struct qemu_process {
	pid_t pid;   /* of its keeper; 0: none */
	int pidfd;   /* readable when both have ended */
	int control; /* to the keeper */
	int hold;    /* keeps QEMU's user id; -1: it has the VMM's */
};

#define QEMU_PROCESS_NONE ((struct qemu_process){ .pidfd = -1, .control = -1, .hold = -1 })

/* Starts it.  The calling thread must live as long as QEMU shall. */
int qemu_process_start(const struct qemu_command *command, struct qemu_process *ret_process,
		       struct error **ret_error);
/* Takes the host's files away from it.  It has started (its monitor has answered), and the guest
 * has not.  Waits a moment for that. */
int qemu_process_confine(const struct qemu_process *process, struct error **ret_error);
/* SIGKILL; what a guest had written is with our devices already. */
void qemu_process_kill(const struct qemu_process *process);
/* Waits for its end and takes its status; returns how it ended, as words behind those of why
 * it was killed, if any (caller frees), and *process is none then. */
char *qemu_process_reap(struct qemu_process *process, const char *why_killed);
