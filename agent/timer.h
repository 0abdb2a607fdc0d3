/*
 * Does the kernel know how fast its timer counts?
 *
 * A kernel that runs emulated can only measure that, in a tenth of a second of its
 * boot, and takes no account of the time for which its processor was kept off the
 * host's (Linux, arch/x86/kernel/apic/apic.c, calibrate_APIC_clock()).  On a busy
 * host it may be wrong by any factor: too slow, and every timer floods it with
 * interrupts; far too slow, and it does without that timer, its only one, so that
 * whoever sleeps never wakes.  It cannot be made to measure again.
 */
#pragma once

#include "base/error.h"

/* 0: it is right within a half, or `supermachine.timer_khz=` on the command line
 * does not say what is right; ERANGE: it is not.  Where the machine is to become a template
 * (agent/template.h), all of its clones will have the error: then within a sixteenth.  proc is
 * where procfs is mounted. */
int timer_check(const char *proc, struct error **ret_error);
