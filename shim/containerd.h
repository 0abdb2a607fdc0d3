/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's front door: the command line of a shim v2 binary (containerd
 * runtime/v2/README.md, pkg/shim/shim.go), and where a sandbox lives on the host.
 *
 *   -namespace N -id ID -address A [-bundle B] start    a task server runs, its
 *                                                       address is on stdout
 *   … (no word)                                         is that task server
 *   … delete                                            cleans up after one
 *   -v, -info                                           tell what this is
 *
 * One task server, one socket and one microVM serve all containers of a group:
 * the annotation io.containerd.runc.v2.group, else io.kubernetes.cri.sandbox-id,
 * else the container alone.
 *
 *   BUNDLE/address          the socket's address (containerd 1.6 reads it)
 *   BUNDLE/log              a FIFO, for the task server's log
 *   SOCKETS/HASH            the socket; HASH of containerd's address, the namespace
 *                           and the group; SOCKETS is /run/containerd/s
 *   SOCKETS/HASH.d/         shim.pid, vmm.pid, vmm.log, the vsock sockets
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "protocol/shim.pb-c.h"
#include "protocol/task.pb-c.h"

#define RUNC_OPTIONS "containerd.runc.v1.Options"
#define RUNC_CREATE_OPTIONS "containerd.linux.runc.CreateOptions"
#define RUNTIME_OPTIONS "runtimeoptions.v1.Options"
#define ADDRESS_SCHEME "unix://"

struct containerd {
	const char *namespace, *id;
	const char *address; /* containerd's own gRPC socket */
	const char *bundle;  /* NULL: the working directory */
	const char *socket;  /* the task server's, when it is told */
	bool debug;
};

/* Everything after the program's name; returns the exit status, having written
 * what containerd expects to stdout, or why not to stderr. */
int containerd_main(char **argv);

/* ---- containerd-home.c ---- */

struct home {
	char *group;	 /* the id of the sandbox: that of its first container */
	char *socket;	 /* a path */
	char *directory; /* of the task server's files */
};

/* Where the sandbox of the bundle's container lives.  sockets: the directory of
 * the sockets, NULL or "": the usual one.  A bundle with an `address` keeps to it. */
void home_find(const struct containerd *containerd, const char *bundle, const char *sockets,
	       struct home *ret_home);
void home_done(struct home *home);
#define _cleanup_home_ _cleanup_(home_done)
/* The directory that belongs to a socket; caller frees. */
char *home_directory(const char *socket);
/* Makes the directory if it is missing and locks it, against another "start",
 * "delete" or the task server's end; unlocked by closing *ret_fd. */
int home_lock(const char *directory, int *ret_fd, struct error **ret_error);
/* Removes socket and directory; the lock is held. */
int home_remove(const char *socket, struct error **ret_error);

/* ---- one file each ---- */

/* containerd-start.c: prints the address of the sandbox's task server, after
 * starting it if it does not run. */
int containerd_start(const struct containerd *containerd, struct error **ret_error);
/* containerd-delete.c: ends what is left of the container, whether its task
 * server lives or not, and prints a packed DeleteResponse. */
int containerd_delete(const struct containerd *containerd, struct error **ret_error);
/* containerd-info.c: prints a packed RuntimeInfo. */
int containerd_info(struct error **ret_error);
/* containerd-options.c: what containerd writes to the stdin of "start" and
 * "-info": the options as an Any (up to 2.2), or BootstrapParams. */
struct shim_input {
	Shim__BootstrapParams *bootstrap; /* NULL: none came */
	Task__Any *any;			  /* NULL: none came, or with bootstrap */
};
int shim_input_read(const struct containerd *containerd, struct shim_input *ret_input,
		    struct error **ret_error);
void shim_input_done(struct shim_input *input);
#define _cleanup_shim_input_ _cleanup_(shim_input_done)
/* The options, however they came; NULL: none. */
const Task__Any *shim_input_options(const struct shim_input *input);
