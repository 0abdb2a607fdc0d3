/* SPDX-License-Identifier: Apache-2.0 */
/* From the kernel's hands to a working system: what PID 1 does before its loop. */
#pragma once

#include "base/error.h"

#define BOOT_CGROUP_ROOT "/sys/fs/cgroup"
#define BOOT_STAGE_DIR "/stage"
#define BOOT_SHARE_DIR "/share"
#define BOOT_SOCKET_DIR "/run/sockets"

/* The timer (a machine whose kernel has it wrong reboots at once: agent/timer.h), mounts,
 * modules, log, limits, cgroups, in the order they need. */
int boot(struct error **ret_error);

/* Loads a module that is not needed by every machine, with those it depends on
 * (/modules/NAME.order); none is fine: the kernel may have it built in. */
void boot_load_module(const char *name);

/* A warning to the kernel's log, of another process than PID 1. */
void boot_tell(const char *message);

/* Ends everything that runs, writes what is to be written, and turns the
 * machine off. */
void power_off(void) __attribute__((noreturn));
