/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running one list of hooks on the host (runtime-spec config.md "POSIX-platform
 * Hooks"): one after the other, the container's state JSON on stdin, output
 * captured for the error message, killed at its timeout.  Nothing blocks.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "runtime-spec/spec.h"

struct hooks;

/* NULL: every hook succeeded. */
typedef void (*hooks_fn)(void *data, const struct error *error);

struct hooks_setup {
	const char *kind;		   /* "prestart", …: for messages; a literal */
	const struct spec_hook_list *list; /* outlives the run */
	const char *state;		   /* the state JSON; copied */
	const char *directory;		   /* the hooks' working directory; copied */
	int netns_fd;			   /* taken over; run there; -1: the server's own */
	/* A failed hook is only logged and the others run (poststop); else the
	 * first failure ends the run. */
	bool keep_going;
};

/* function is called once, never from within, unless freed before. */
struct hooks *hooks_run(struct loop *loop, const struct hooks_setup *setup, hooks_fn function,
			void *data);
/* Kills the hook that is running. */
void hooks_free(struct hooks *hooks);
