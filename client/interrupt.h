/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that arrive while a verb makes something that it would have to undo.
 *
 * They are held, not handled.  The verb polls `fd` while it waits; if a signal has come,
 * it undoes its work and lets the signal through, which then ends it as it would end any
 * program.  A signal that is not let through is passed on to the container's process
 * (attach.h), or comes too late for a verb that has done its work.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct interrupts {
	int fd; /* readable when one has come; -1: none are held */
	sigset_t mask;
};
#define INTERRUPTS_NONE                                                                            \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Those that end a program, and that are passed on to one. */
const int *interrupt_signals(size_t *ret_n);

/* Holds them, but for what our caller has us ignore, until the process ends. */
int interrupts_hold(struct interrupts *interrupts, struct error **ret_error);
bool interrupts_pending(const struct interrupts *interrupts);
/* Lets them through: if one is pending, this does not return. */
void interrupts_let_through(const struct interrupts *interrupts);
