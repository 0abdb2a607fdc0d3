/* SPDX-License-Identifier: Apache-2.0 */
/* The process that stands for a container in another's machine, whose VMM stands for that one. */
#pragma once

#include "client/handle.h"

/* An orphan once the verb has ended: it passes on signals and the size of the terminal (slave, -1:
 * none), and ends with the container's status. */
int stand_in(struct handle *handle, int slave, pid_t *ret_pid, struct error **ret_error);
