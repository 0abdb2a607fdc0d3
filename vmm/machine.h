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
#include "vmm/vm-config.h"

enum machine_state {
	MACHINE_BUILT,
	MACHINE_RUNNING,
	MACHINE_PAUSING,
	MACHINE_PAUSED,
	MACHINE_STOPPING,
	MACHINE_STOPPED,
};

/* How the process is to end. */
struct ending {
	int code;   /* exit status, 0 to 255 */
	int signal; /* not 0: die by this signal instead */
};

struct machine;

/* config must outlive the machine. */
int machine_new(const struct vm_config *config, struct machine **ret_machine,
		struct error **ret_error);
void machine_free(struct machine *machine);
DEFINE_CLEANUP(struct machine, machine_free)

/* Makes all of it, with every privilege: the engine and its devices, signals,
 * the control socket. */
int machine_build(struct machine *machine, struct error **ret_error);
/* Runs until the machine has ended for good. */
int machine_run(struct machine *machine, struct ending *ret_ending, struct error **ret_error);

/* For the control socket, while the machine runs. */
enum machine_state machine_state(const struct machine *machine);
/* Answered by control_paused(), unless the guest ends before. */
int machine_pause(struct machine *machine, struct error **ret_error);
int machine_resume(struct machine *machine, struct error **ret_error);
/* The machine ends now, whatever its state; the first ending counts. */
void machine_finish(struct machine *machine, const struct ending *ending);
