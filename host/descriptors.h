/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the caller's that a container's process is to have (--preserve-fds,
 * LISTEN_FDS): which of them a stream to the guest can stand for, and how.
 *
 * The verb asks before anything is made, the task server when they have come.
 */
#pragma once

#include "base/error.h"
#include "protocol/agent.pb-c.h"

/* ENOTSUP names what it is, if no stream can stand for it; EBADF: it is not open. number is
 * the one that the user knows it by. */
int descriptor_kind(int fd, int number, Agent__Descriptor__Kind *ret_kind,
		    struct error **ret_error);
