/*
 * A pump copies one direction of a stdio stream until its end, with one 64 KiB
 * buffer: it reads only when the buffer is empty, so a slow reader holds back
 * its own writer and nobody else.
 */
#pragma once

#include <stdbool.h>

#include "base/loop.h"

enum pump_kind {
	PUMP_INPUT,  /* from the host: when the container's end has gone, it stops */
	PUMP_OUTPUT, /* to the host: at the end it half-closes; when the host has
			gone, it goes on reading, so that the container does not stop */
};

struct pump;

/* Both fds become the pump's (on failure too) and must not block.  to_fd -1:
 * what is read is thrown away. */
int pump_new(struct loop *loop, int from_fd, int to_fd, enum pump_kind kind, struct pump **ret_pump,
	     struct error **ret_error);
/* Whether everything has been copied. */
bool pump_finished(const struct pump *pump);
/* Closes what is open; what is in the buffer is lost. */
void pump_free(struct pump *pump);
