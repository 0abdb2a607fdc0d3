/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stdio of one task: the host's descriptors, the vsock streams to the agent,
 * and the pumps between them.
 *
 * Names, as the Task API gives them: "" is null I/O; "fd:N" the N-th descriptor
 * sent with the request; "file:///p" a file to append to; a path a FIFO (or a
 * file); "binary:///p" as stdout a program that takes stdout and stderr (logger.h).
 * With a terminal, one stream carries both directions, and "fd:N" as
 * stdin is a tty that serves both.  Descriptors that came behind those are the process's, too
 * (preserved.h).
 *
 * Life: stdio_new() → stdio_connect() → stdio_start() → stdio_start_input() →
 * stdio_drain() → free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/output-log.h"
#include "sandbox/vmm.h"
#include "ttrpc/ttrpc.h"

struct stdio;

enum stdio_stream { STDIO_IN, STDIO_OUT, STDIO_ERR, STDIO_COUNT };

struct stdio_names {
	const char *names[STDIO_COUNT];
	bool terminal;
	const struct output_rule *log; /* of both outputs, one "file:///p"; NULL: as they are */
	const char *id, *namespace;    /* what a logging program is told */
	const char *whose;	       /* "ID/EXEC_ID", for preserved_new() */
};

typedef void (*stdio_fn)(void *data, const struct error *error);

/* Opens the host's side; "fd:N" descriptors are taken from the call (NULL: there are none). */
int stdio_new(struct loop *loop, struct ttrpc_call *call, const struct stdio_names *names,
	      struct stdio **ret_stdio, struct error **ret_error);
void stdio_free(struct stdio *stdio); /* no function is called any more */
DEFINE_CLEANUP(struct stdio, stdio_free)

/* Opens the streams that are needed; function is called once, never from within,
 * with NULL when all are there and the output's reader is ready. */
int stdio_connect(struct stdio *stdio, struct vmm *vmm, stdio_fn function, void *data,
		  struct error **ret_error);
/* The streams of a task whose machine is saved. */
struct stdio_saved {
	uint32_t ports[STDIO_COUNT]; /* 0: none, or it has ended */
	bool input_ended;	     /* nothing more is to come */
	/* Of the input: what the host gave and no stream has. */
	uint8_t *pending;
	size_t n_pending;
};
#define STDIO_PENDING_MAX (64u << 10)
/* No input moves until it goes on. */
void stdio_hold(struct stdio *stdio, bool hold);
/* Held: *ret_saved gets a copy of what is pending (stdio_saved_done()). */
void stdio_save(const struct stdio *stdio, struct stdio_saved *ret_saved);
void stdio_saved_done(struct stdio_saved *saved);
/* In the place of stdio_connect(): the streams are those.  What is wanted and was not there stays
 * without a stream; what was there and has no end here any more is read all the same. */
int stdio_take_up(struct stdio *stdio, struct vmm *vmm, const struct stdio_saved *saved,
		  stdio_fn function, void *data, struct error **ret_error);
/* NULL: none. */
struct preserved;
const struct preserved *stdio_preserved(const struct stdio *stdio);
/* The stream's name for the agent; 0: none. */
uint32_t stdio_port(const struct stdio *stdio, enum stdio_stream stream);
/* The streams are connected and the agent has them: output flows. */
void stdio_start(struct stdio *stdio);
/* The task is being started: input flows. */
void stdio_start_input(struct stdio *stdio);
/* CloseIO: stdin ends once what is on its way has been delivered. */
void stdio_close_stdin(struct stdio *stdio);
/* The task has ended: calls function (never from within) once its output has been
 * written out, after timeout_ms in any case. */
void stdio_drain(struct stdio *stdio, uint64_t timeout_ms, stdio_fn function, void *data);

/* The tty of an "fd:N" terminal, or -1; it stays ours. */
int stdio_tty(const struct stdio *stdio);
/* The tty is gone: the guest's terminal is hung up. */
void stdio_hang_up(struct stdio *stdio);

/* stdio-open.c: the same file again, not blocking, for a pipe or a character device; else -1,
 * errno. */
int stdio_reopen(int fd, int mode);
/* Opens one name.  *ret_fd is -1 for null I/O; for a stdin that is a
 * path it only names the file (O_PATH). */
int stdio_open(struct ttrpc_call *call, const char *name, enum stdio_stream stream, bool terminal,
	       int *ret_fd, struct error **ret_error);
/* Opens such a stdin; any other stays as it is.  *ret_hold is a write end of a FIFO,
 * held until CloseIO, else untouched.  Not before the task's start: ctr's way to
 * CloseIO works from then on only, and it reads its own stdin, which may end at once,
 * as soon as the FIFO has a reader. */
int stdio_open_stdin(int *fd, int *ret_hold, struct error **ret_error);
