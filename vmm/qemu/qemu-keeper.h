/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process between the VMM and QEMU.  It makes QEMU's namespaces, starts QEMU as a user of its
 * own without privileges, and takes the host's files away once QEMU has read its own.
 * Then it waits for QEMU's end, with the one privilege to kill it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "vmm/qemu/qemu-command.h"

struct qemu_keeper {
	const struct qemu_command *command;
	uid_t user;   /* QEMU's, and its group's; 0: the caller's own */
	pid_t parent; /* the VMM: QEMU ends with it */
	int control;  /* a seqpacket socket; its other end is the VMM's alone */
};

/* What goes over it.  The VMM: "confine QEMU now", "kill it"; the keeper: confined (code 0), or
 * why not; and, last, how QEMU ended, as waitpid(2) says it. */
enum qemu_keeper_word {
	QEMU_KEEPER_CONFINE,
	QEMU_KEEPER_KILL,
	QEMU_KEEPER_CONFINED,
	QEMU_KEEPER_ENDED
};

struct qemu_keeper_message {
	enum qemu_keeper_word word;
	int code; /* CONFINED: an errno value; ENDED: a status */
};

/* In a process of its own, just forked. */
void qemu_keeper_run(const struct qemu_keeper *keeper) __attribute__((noreturn));
