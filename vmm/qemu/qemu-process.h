/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU process: a child of ours that does not outlive us, with no privileges
 * and no descriptors but those of its command.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "vmm/qemu/qemu-command.h"

struct qemu_process {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it has ended */
};

/* Starts it.  The calling thread must live as long as QEMU shall. */
int qemu_process_start(const struct qemu_command *command, struct qemu_process *ret_process,
		       struct error **ret_error);
/* SIGKILL; what a guest had written is with our devices already. */
void qemu_process_kill(const struct qemu_process *process);
/* Waits for its end and takes its status; returns how it ended, as words behind those of why
 * it was killed, if any (caller frees), and *process is none then. */
char *qemu_process_reap(struct qemu_process *process, const char *why_killed);
