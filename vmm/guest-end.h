/* SPDX-License-Identifier: Apache-2.0 */
/* Why a guest ended. */
#pragma once

enum guest_end {
	GUEST_POWEROFF,
	GUEST_REBOOT,
	GUEST_PANIC,
	GUEST_ERROR, /* it crashed, or what executes it cannot go on */
};

/* Any thread.  message (a copy is taken) may be NULL. */
typedef void (*guest_end_fn)(void *data, enum guest_end end, const char *message);

/* How the process is to end. */
struct ending {
	int code;   /* exit status, 0 to 255 */
	int signal; /* not 0: die by this signal instead */
};
