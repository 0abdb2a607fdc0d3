/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: built step by step, run once, then freed.  The loop's thread
 * calls everything here.
 *
 *   built ──start──► running ◄──resume── paused
 *                      │ └──pause──► pausing ──every vCPU out──► paused
 *                      ▼ (the guest ended, or an order to finish; from any of these)
 *                   stopping ──every vCPU thread gone──► stopped
 */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"
#include "vmm/guest-end.h"

struct machine;

/* config must outlive the machine, which adds the devices that come later. */
int machine_new(struct vm_config *config, struct machine **ret_machine, struct error **ret_error);
void machine_free(struct machine *machine);
DEFINE_CLEANUP(struct machine, machine_free)

/* Makes all of it, with every privilege: the engine and its devices, signals,
 * the control socket. */
int machine_build(struct machine *machine, struct error **ret_error);
/* Runs until the machine has ended for good. */
int machine_run(struct machine *machine, struct ending *ret_ending, struct error **ret_error);
