/*
 * From a bundle to a machine: what the VMM shall be (struct vm_config), in which
 * network namespace it lives, and what of the bundle's files the agent will find
 * where (plan-files.h).
 *
 * Planning touches nothing: it reads the spec, the request and the settings, and
 * refuses, with an error that names the part of config.json, what a microVM
 * cannot give.  Order of precedence for kernel, vCPUs and memory: the request,
 * annotations (io.supermachine.kernel, .vcpus, .memory), the spec's vm section,
 * for the kernel $SUPERMACHINE_KERNEL, the settings, the built-in default.  The last
 * two are what a machine has at least: limits of the container or of its pod raise
 * them.  What
 * runs the vCPUs is decided before (runtime-spec/accel.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime-spec/spec.h"
#include "runtime-spec/settings.h"
#include "shim/plan-files.h"
#include "ttrpc/task.pb-c.h"
#include "vmm/vm-config.h"

#define PLAN_LAYERS_MAX 10
/* The tag of the device that shows the staging area. */
#define PLAN_SHARE_TAG "share"
/* The vsock device's socket, in the directory where the VMM runs (machine.h). */
#define PLAN_VSOCK_PATH "vsock.sock"
/* What the guest's kernel and agent need beside the container's own limit. */
#define PLAN_OVERHEAD_MIB 64
#define PLAN_MEMORY_MIB_DEFAULT 256

struct plan_request {
	const struct spec *spec;
	const struct settings *settings;
	const char *kernel;  /* NULL or "": not asked for */
	uint32_t vcpus;	     /* 0: not asked for */
	uint64_t memory_mib; /* 0: not asked for */
	enum vm_accel accel;
	const char *root;     /* ROOTFS_…; NULL or "": what the annotation says, or a share */
	Task__Mount **rootfs; /* the root's layers, bottom first; none: it is a share */
	size_t n_rootfs;
	const char *stage, *bundle; /* as in struct plan_files_request, as is: */
	uint32_t socket_port;
	const char *initramfs;
	/* 0: the machine is made for this container.  Else it joins one that runs, whose
	 * host process is this: there is no machine to plan, and the namespaces of that
	 * process stand for those of the machine's main container. */
	pid_t sandbox_pid;
	bool cache_by_name; /* that machine's shares may have cache modes of their own */
	bool debug;	    /* a talkative guest kernel and VMM */
};

struct plan_layer {
	char serial[16]; /* the blk device's id */
	char *type;	 /* "squashfs", "erofs", "ext4" */
};

enum plan_network { PLAN_NETWORK_HOST, PLAN_NETWORK_NEW, PLAN_NETWORK_JOIN };

struct plan {
	/* NULL: no machine of its own.  Whoever spawns the VMM adds the descriptors. */
	struct vm_config *config;
	struct plan_layer layers[PLAN_LAYERS_MAX];
	size_t n_layers;
	struct plan_files files;
	enum plan_network network;
	char *network_path;	    /* PLAN_NETWORK_JOIN */
	bool shared[SPEC_NS_COUNT]; /* with the main container, in the guest */
	bool share;		    /* the machine has a staging area and its device */
};

/* plan-pod.c: is it the first container of a pod (or of a group of containerd's)? */
bool plan_is_pod(const struct spec *spec);
/* The id of the pod's first container, or NULL. */
const char *plan_pod_id(const struct spec *spec);
/* What the containers of the pod will want together; 0: it does not say. */
struct pod_size {
	uint32_t vcpus;
	int64_t memory_bytes;
};
int plan_pod_size(const struct spec *spec, struct pod_size *ret_size, struct error **ret_error);

int plan_new(const struct plan_request *request, struct plan **ret_plan, struct error **ret_error);
void plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan, plan_free)

/* Refuses what this machine cannot do for the container (plan-check.c). */
int plan_check(const struct spec *spec, struct error **ret_error);
/* Which namespaces of the container are the main one's (plan-shared.c): those whose
 * path is /proc/SANDBOX_PID/ns/TYPE, or, for the network, leads to the same
 * namespace.  Refuses every other path, but that of a main container's network, and
 * a later one's network that is not the machine's. */
int plan_shared(const struct plan_request *request, bool ret_shared[SPEC_NS_COUNT],
		struct error **ret_error);
