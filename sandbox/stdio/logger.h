/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A logging program ("binary:///path?key=value", containerd's pkg/process/io.go):
 * it takes a task's output from pipes.
 *
 * Its arguments are the query's keys and values, its environment CONTAINER_ID and
 * CONTAINER_NAMESPACE; descriptor 3 is the task's stdout, 4 its stderr, and 5 a
 * pipe on which it says by a byte, or by closing it, that it is ready.
 *
 * Life: logger_start() → logger_wait_ready() → (the pipes' ends are closed) →
 * logger_end(): SIGTERM unless it ended by itself, then SIGKILL → free.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

struct logger;

typedef void (*logger_fn)(void *data, const struct error *error);

struct logger_setup {
	const char *uri; /* begins with LOGGER_SCHEME */
	const char *id, *namespace;
};

#define LOGGER_SCHEME "binary://"

/* *ret_out and *ret_err (not blocking) are the pipes' ends to write to, the
 * caller's.  ENOENT, EACCES, …: the program cannot be run. */
int logger_start(struct loop *loop, const struct logger_setup *setup, struct logger **ret_logger,
		 int *ret_out, int *ret_err, struct error **ret_error);
/* Kills what still runs; no function is called any more. */
void logger_free(struct logger *logger);
DEFINE_CLEANUP(struct logger, logger_free)

/* Calls function once, never from within, when it is ready (NULL), or has not become
 * so in a minute. */
void logger_wait_ready(struct logger *logger, logger_fn function, void *data);
/* Calls function once, never from within, with NULL, when it has ended, which it gets
 * the time for. */
void logger_end(struct logger *logger, logger_fn function, void *data);
