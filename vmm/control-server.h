/* The VMM's end of the control socket; the protocol is in vmm/control.h.  Loop
 * thread only.  Every function but control_new() takes NULL: nobody listens. */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "vmm/guest-end.h"

struct control;
struct machine;

/* The socket becomes the control's. */
int control_new(int fd, struct machine *machine, struct loop *loop, struct control **ret_control,
		struct error **ret_error);
void control_free(struct control *control);
DEFINE_CLEANUP(struct control, control_free)

/* What happened to the machine. */
void control_started(struct control *control);
void control_paused(struct control *control);
void control_stopped(struct control *control, enum guest_end end, const char *message);
