/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU writes into the log: its complaints, and what its guest writes to a console
 * that has no place of its own.
 *
 * QEMU writes to a pipe and not to the log's file, because a guest could fill the disk that
 * way: the log keeps its end only (base/log.h: log_keep_end()).  If the pipe is full, QEMU and
 * its guest wait.  So nothing is lost, as long as the loop runs.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

struct qemu_output {
	int fd; /* -1: none */
	struct source *source;
};
#define QEMU_OUTPUT_NONE ((struct qemu_output){ .fd = -1 })

/* *ret_fd: QEMU's end, the caller's. */
int qemu_output_open(struct qemu_output *output, struct loop *loop, int *ret_fd,
		     struct error **ret_error);
/* Puts what has come into the log now: the last words go in front of what is said of the end. */
void qemu_output_drain(struct qemu_output *output);
/* The same, and no more. */
void qemu_output_close(struct qemu_output *output);
