/*
 * From a bundle to a machine: what the VMM shall be (struct vm_config), in which
 * network namespace it lives, and what of the bundle's files the agent will find
 * where (plan-files.h).
 *
 * Planning touches nothing: it reads the spec, the request and the settings, and
 * refuses, with an error that names the part of config.json, what a microVM
 * cannot give.  Order of precedence for kernel, vCPUs and memory: the request,
 * annotations (io.supermachine.kernel, .vcpus, .memory), the spec's vm section,
 * for the kernel $SUPERMACHINE_KERNEL, the settings, the built-in default.  What
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
	const char *id, *bundle; /* as in struct plan_files_request */
	const char *initramfs;
	const char *vsock_path;
	bool debug; /* a talkative guest kernel and VMM */
};

struct plan_layer {
	char serial[16]; /* the blk device's id */
	char *type;	 /* "squashfs", "erofs", "ext4" */
};

enum plan_network { PLAN_NETWORK_HOST, PLAN_NETWORK_NEW, PLAN_NETWORK_JOIN };

struct plan {
	struct vm_config *config; /* whoever spawns the VMM adds the descriptors */
	struct plan_layer layers[PLAN_LAYERS_MAX];
	size_t n_layers;
	struct plan_files files;
	enum plan_network network;
	char *network_path; /* PLAN_NETWORK_JOIN */
};

int plan_new(const struct plan_request *request, struct plan **ret_plan, struct error **ret_error);
void plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan, plan_free)

/* Refuses what this machine cannot do for the container (plan-check.c). */
int plan_check(const struct spec *spec, struct error **ret_error);
