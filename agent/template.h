/* SPDX-License-Identifier: Apache-2.0 */
/* A machine from which a template is made: see template.c. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* By the kernel's command line. */
bool template_is_asked_for(const char *cmdline);

/* Returns at once, unless this machine is to be a template.  Then when it goes on, as another one
 * of which the host has attached its devices. */
int template_wait(struct error **ret_error);

/* Has a driver look at the next of its devices that none has looked at yet; false: there are no
 * more, or it is not a template's clone: the kernel of another machine has looked at all of them.
 */
bool template_next_device(void);

/* The same for the one in the last slot, which no start looks at. */
void template_bind_last(void);
