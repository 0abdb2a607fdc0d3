/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between the agent and a process it is setting up: a SEQPACKET
 * socketpair, one typed message per packet.
 *
 * The setup child says UPPER, MERGED, PROCESS and TERMINAL when they apply, then READY (init
 * only) or, at any point, ERROR, after which it exits.  The agent answers PROCESS with MAPPED, and
 * READY with GO.  The child's end is close-on-exec: the end of the channel without an ERROR means
 * that the user's program runs.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum channel_type {
	CHANNEL_ERROR = 1, /* code (errno) and text */
	CHANNEL_TERMINAL,  /* descriptor: the pty's master */
	CHANNEL_UPPER,	   /* descriptor: struct root_parts */
	CHANNEL_MERGED,	   /* the same */
	CHANNEL_PROCESS,   /* code: the pid that goes on, in a new user namespace without id maps */
	CHANNEL_MAPPED,
	CHANNEL_READY,
	CHANNEL_GO,
};

#define CHANNEL_TEXT_MAX 2048

struct channel_message {
	uint32_t type; /* enum channel_type */
	int32_t code;
	char text[CHANNEL_TEXT_MAX]; /* NUL-terminated */
};

/* Both ends are close-on-exec; the agent's does not block. */
int channel_pair(int *ret_agent_fd, int *ret_child_fd, struct error **ret_error);
/* text may be NULL (and is cut to fit), fd -1; fd stays the caller's. */
int channel_send(int channel_fd, enum channel_type type, int32_t code, const char *text, int fd,
		 struct error **ret_error);
/* 1: a message, 0: the other end has gone, -1: failed (EAGAIN: nothing yet).
 * *ret_fd is -1 or a descriptor, the caller's. */
int channel_receive(int channel_fd, struct channel_message *ret_message, int *ret_fd,
		    struct error **ret_error);
/* Waits for a message of this type; anything else is an error. */
int channel_expect(int channel_fd, enum channel_type type, struct error **ret_error);
