/* Making a container, for `create` and `run`. */
#pragma once

#include "runtime-spec/container.h"
#include "runtime-spec/spec.h"
#include "runtime-spec/terminal.h"
#include "runtime-spec/verb.h"

struct create_options {
	const char *bundle, *config, *console_socket, *pid_file;
	const char *kernel, *memory, *rootfs, *cache, *accel;
	uint64_t vcpus, preserve_fds;
	bool detach, keep; /* `run` alone */
};

struct created {
	struct container *container; /* locked */
	struct terminal terminal;    /* the master stays here, unless it was sent away */
};

/* Everything up to the point before the user's program. On failure all of it is
 * undone. `create` is called with options->detach set. */
int create_container(const struct globals *globals, const struct create_options *options,
		     const char *id, struct created *ret_created, struct error **ret_error);
