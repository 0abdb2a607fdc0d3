/* SPDX-License-Identifier: Apache-2.0 */
/* The VMM's end of the control socket; the protocol is in protocol/control.h.  Loop
 * thread only.  Every function but control_new() takes NULL: nobody listens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/vm-device.h"
#include "vmm/guest-end.h"
#include "vmm/save-files.h"

struct control;

/* What the other end can ask of the machine (machine.h). */
struct control_orders {
	/* Answered by control_paused(), unless the guest ends before. */
	int (*pause)(void *data, struct error **ret_error);
	int (*resume)(void *data, struct error **ret_error);
	/* engine_save() */
	int (*save)(void *data, const struct save_files *files, struct error **ret_error);
	/* engine_note() */
	int (*note)(void *data, struct error **ret_error);
	/* Plugs or pulls the cable of the configuration's index-th device. */
	int (*link)(void *data, size_t index, bool up, struct error **ret_error);
	/* engine_grow(), in MiB: at most VM_MEM_MIB_MAX. */
	int (*memory)(void *data, uint64_t mib, struct error **ret_error);
	/* fchdir(2); the descriptor stays the caller's. */
	int (*enter)(void *data, int directory_fd, struct error **ret_error);
	/* What *device owns, and its descriptors, become the machine's, on failure too. */
	int (*plug)(void *data, const struct vm_device *device, struct error **ret_error);
	/* engine_add_vcpu(), until there are so many. */
	int (*vcpus)(void *data, uint32_t count, struct error **ret_error);
	/* "running", "paused" or "stopped". */
	const char *(*state)(void *data);
	void (*finish)(void *data, const struct ending *ending);
	void *data;
};

/* The socket becomes the control's; orders is copied. */
int control_new(int fd, const struct control_orders *orders, struct loop *loop,
		struct control **ret_control, struct error **ret_error);
void control_free(struct control *control);
DEFINE_CLEANUP(struct control, control_free)

/* What happened to the machine. */
void control_started(struct control *control);
void control_paused(struct control *control);
void control_stopped(struct control *control, enum guest_end end, const char *message);
