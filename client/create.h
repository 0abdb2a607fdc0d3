/* SPDX-License-Identifier: Apache-2.0 */
/* Making a container, for `create` and `run`. */
#pragma once

#include "client/client.h"
#include "client/handle.h"
#include "client/interrupt.h"
#include "client/pty.h"
#include "protocol/output-log.h"
#include "runtime-spec/spec.h"

/* A container of an image, which brings its own bundle: ROOT/ID/CREATE_IMAGE_BUNDLE. */
#define CREATE_IMAGE_BUNDLE "bundle"
struct create_image {
	const char *config;  /* config.json's text */
	char *const *layers; /* squashfs images, lowest first; ends with NULL */
	/* Of one that is detached: where its output is written to; NULL: nowhere. */
	const char *output;
	struct output_rule output_rule;
	/* Of one that is detached, whose terminal nobody holds: the FIFO that it reads, which
	 * prepare() makes; NULL: it has no input. */
	const char *input;
	/* What else is to be done once ROOT/ID, the directory, is there and its bundle with
	 * config.json, before the layers are opened.  ECANCELED: cancel_fd can be read. */
	int (*prepare)(void *data, const char *directory, int cancel_fd, struct error **ret_error);
	/* It is made, and not started yet; NULL: nothing is to be done. */
	void (*created)(void *data);
	void *data;
};

struct create_options {
	const char *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	const char *kernel, *memory, *rootfs, *cache, *accel;
	const char *network, **publish; /* host/network-options.h; publish ends with NULL */
	const char *checkpoint; /* its directory, absolute; NULL: it starts (`restore` alone) */
	const char *work_path;	/* of a checkpoint: for its figures, absolute; NULL: none */
	uint64_t vcpus, preserve_fds;
	/* Starts the process that stands for a container in another's machine (client/join.h). */
	int (*stand_in)(struct handle *handle, int slave, pid_t *ret_pid, struct error **ret_error);
	bool unpublished;  /* of a checkpoint: without the ports that it had published */
	bool detach, keep; /* `run` alone */
	const struct create_image *image; /* NULL: of `bundle` */
};

struct created {
	struct handle *handle;	      /* locked */
	struct pty pty;		      /* the master stays here, unless it was sent away */
	struct interrupts interrupts; /* held from now on, and watched by the container's calls */
};

/* Everything up to the point before the user's program. On failure all of it is
 * undone, and after a signal, which then ends the process. `create` is called with
 * options->detach set. */
int create_container(const struct client *client, const struct create_options *options,
		     const char *id, struct created *ret_created, struct error **ret_error);
/* The same of a container of an image that has stopped, in the directory that it has; its handle is
 * locked, and its state gets to be the new one's. On failure it is a stopped container as before.
 */
int create_container_again(const struct client *client, const struct create_options *options,
			   struct handle *handle, struct created *ret_created,
			   struct error **ret_error);
