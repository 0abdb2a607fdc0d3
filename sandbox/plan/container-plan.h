/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle to a container: its root, its files (plan-files.h), and the namespaces
 * that it has in common with others of its sandbox.
 *
 * Planning touches nothing: it reads the spec and the request, and refuses, with an
 * error that names the part of config.json, what a microVM cannot give.  The machine that
 * the container is made in has a plan of its own (machine-plan.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/task.pb-c.h"
#include "protocol/vm-device.h"
#include "runtime-spec/spec.h"
#include "sandbox/plan/plan-files.h"

#define PLAN_LAYERS_MAX VM_BLK_FILES_MAX /* files; others, of which each is a disk: */
#define PLAN_LAYER_DISKS_MAX 10

struct container_plan_request {
	const struct spec *spec;
	const struct allow
	    *allow;	  /* what its annotations may ask for (host/allow.h); NULL: everything */
	const char *root; /* ROOTFS_…; NULL or "": what the annotation says, or a share */
	Task__Mount **rootfs; /* the root's layers, bottom first; none: it is a share */
	size_t n_rootfs;
	const char *stage, *bundle; /* as in struct plan_files_request, as is: */
	uint32_t socket_port;
	/* 0: the machine is yet to be made, with this container's disks.  Else the container
	 * joins one that runs, whose host process is this: no disks, and the namespaces of that
	 * process stand for those of the sandbox. */
	pid_t sandbox_pid;
	bool cache_by_name; /* that machine's shares may have cache modes of their own */
	bool restored;	    /* as in struct plan_files_request */
};

struct plan_layer {
	char serial[16];       /* the blk device's id */
	char *type;	       /* "squashfs", "erofs", "ext4" */
	char *path;	       /* the image's, on the host */
	uint64_t offset, size; /* bytes of the disk; size 0: all of it */
};

struct container_plan {
	struct plan_layer layers[PLAN_LAYERS_MAX];
	size_t n_layers;
	bool joined_layers; /* they are one disk, in order (vm-device.h: "more") */
	struct plan_files files;
	bool shared[SPEC_NS_COUNT]; /* with the sandbox, in the guest */
};

/* *ret_plan: container_plan_free(). */
int container_plan_new(const struct container_plan_request *request,
		       struct container_plan **ret_plan, struct error **ret_error);
void container_plan_free(struct container_plan *plan);
DEFINE_CLEANUP(struct container_plan, container_plan_free)

/* Refuses what this machine cannot do for the container (plan-check.c). */
int plan_check(const struct spec *spec, struct error **ret_error);
/* Which namespaces of the container are the sandbox's (plan-shared.c): those whose path is
 * /proc/SANDBOX_PID/ns/TYPE, or, for the network, leads to the same namespace.  Refuses
 * every other path, but that of the network that a machine is to be made in, and a
 * network that is not the machine's. */
int plan_shared(const struct container_plan_request *request, bool ret_shared[SPEC_NS_COUNT],
		struct error **ret_error);
