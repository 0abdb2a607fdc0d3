/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following a terminal that is ours: as the controlling terminal of the task
 * server, which leads its session, it tells of a new size (SIGWINCH) and of a
 * master that was closed (SIGHUP).
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

struct terminal;

struct terminal_events {
	void (*resized)(void *data, uint32_t width, uint32_t height);
	void (*hung_up)(void *data);
	void *data;
};

/* Makes tty (which stays the caller's and outlives the terminal) the controlling
 * terminal; the process must lead a session without one. */
int terminal_follow(struct loop *loop, int tty, const struct terminal_events *events,
		    struct terminal **ret_terminal, struct error **ret_error);
void terminal_free(struct terminal *terminal);
/* 0, 0 when it cannot be told. */
void terminal_size(int tty, uint32_t *ret_width, uint32_t *ret_height);
