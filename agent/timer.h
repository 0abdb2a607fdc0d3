/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the kernel know how fast its timer counts?
 *
 * An emulated kernel measures that during a tenth of a second of its boot.  It does not
 * notice when its processor is kept off the host's meanwhile (Linux,
 * arch/x86/kernel/apic/apic.c, calibrate_APIC_clock()), so on a busy host the result can
 * be wrong by any factor.  Too slow: each timer floods the kernel with interrupts.  Far
 * too slow: the kernel disables this timer, its only one, and a process that sleeps never
 * wakes.  The kernel cannot be made to measure again.
 */
#pragma once

#include "base/error.h"

/* 0: it is right within a half, or `supermachine.timer_khz=` on the command line
 * does not say what is right; ERANGE: it is not.  Where the machine is to become a template
 * (agent/template.h), all of its clones will have the error: then within a sixteenth.  proc is
 * where procfs is mounted. */
int timer_check(const char *proc, struct error **ret_error);
