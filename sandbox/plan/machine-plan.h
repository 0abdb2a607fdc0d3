/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle, or from what a pod's caller says, to a machine: what the VMM shall be
 * (struct vm_config), in which network namespace it lives, and which files it has from
 * the start.
 *
 * Planning touches nothing.  Order of precedence for kernel, vCPUs and memory: the
 * request, annotations (io.supermachine.kernel, .vcpus, .memory), the spec's vm section,
 * for the kernel $SUPERMACHINE_KERNEL, the settings, the built-in default.  The last two
 * are what a machine has at least: limits of the container or of its pod raise them.  A
 * limit of CPUs counts in whole ones, and no machine has more than the host for it.
 * What runs the vCPUs is decided before (host/accel.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/cgroup-values.h"
#include "host/kernel.h"
#include "host/network.h"
#include "host/passt.h"
#include "host/settings.h"
#include "host/stage.h"
#include "protocol/vm-config.h"
#include "runtime-spec/spec.h"
#include "sandbox/plan/container-plan.h"

/* The vsock device's socket, in the directory where the VMM runs (vmm.h). */
#define PLAN_VSOCK_PATH "vsock.sock"
/* What the guest's kernel and agent need beside the container's own limit. */
#define PLAN_OVERHEAD_MIB 64
#define PLAN_MEMORY_MIB_DEFAULT 256
/* As many vCPUs may a machine come to have if the host has as many, or twice those that it begins
 * with: each that may come makes a start longer (decision 037). */
#define PLAN_MAX_VCPUS_DEFAULT 4u
/* Of network devices, which are there before the interfaces that they will stand for.  Emulated,
 * each costs a twentieth of a start. */
#define PLAN_INTERFACES_KVM 3
#define PLAN_INTERFACES_TCG 1
/* The n-th one's own hardware address, by which the agent finds it. */
struct vm_mac plan_slot_address(unsigned slot);

struct machine_plan_request {
	const struct spec *spec; /* of the first container, or of the sandbox as such */
	const struct settings *settings;
	const struct allow *allow;  /* as in struct container_plan_request */
	const char *kernel;	    /* NULL or "": not asked for */
	uint32_t vcpus;		    /* 0: not asked for */
	uint64_t memory_mib;	    /* 0: not asked for */
	const char *network;	    /* NULL or "": as the spec has it; see host/network-options.h */
	const char *const *publish; /* likewise */
	size_t n_publish;
	enum vm_accel accel;
	const char *initramfs;
	const char *id;		    /* of the sandbox */
	const char *cgroup_manager; /* Sandbox__CreateOptions; NULL: not asked for */
	/* Whose disks and binds the machine has from the start; NULL: nobody's, it is for
	 * containers to come. */
	const struct container_plan *container;
	bool debug; /* a talkative guest kernel and VMM */
};

enum plan_network {
	PLAN_NETWORK_HOST,
	PLAN_NETWORK_NEW,
	PLAN_NETWORK_JOIN,
	PLAN_NETWORK_PASST /* which runs in the host's namespace, whatever that of the VMM is */
};

/* The sandbox's cgroup on the host (host/cgroup-place.h). */
struct plan_cgroup {
	bool disabled, systemd; /* nobody makes it; systemd does, as a scope */
	char *path, *id;	/* struct cgroup_request */
	uint64_t weight;	/* of the scope; 0: not given */
	struct cgroup_room room;
	struct cgroup_values at_making, when_up;
};

struct machine_plan {
	struct vm_config *config; /* without descriptors: vmm.c adds them */
	uint64_t grown_mib;	  /* so much more memory the machine has got since its start */
	uint32_t vcpus; /* that it begins with; config->vcpus has those that have come, too */
	enum plan_network network;
	char *network_path;	    /* PLAN_NETWORK_JOIN */
	unsigned n_interfaces;	    /* network devices, … */
	unsigned n_pairs;	    /* … and the pairs of queues of each: at least 1 */
	bool vhost_net;		    /* their frames are the kernel's to move, if it can */
	struct passt_options passt; /* PLAN_NETWORK_PASST; owned */
	bool network_isolated;	    /* the VMM is in a new namespace, not in the caller's */
	bool pool;		    /* one that waits may be taken for it */
	bool share;		    /* it has a staging area and the device that shows it */
	enum vm_fs_cache cache;
	bool cache_by_name; /* its shares may have cache modes of their own */
	char *cpus;	    /* of the host, on which all of the VMM runs: cpu-list.h; NULL: any */
	char *hostname;	    /* the guest's own, outside of any UTS namespace; NULL: none */
	int state_fd;	    /* owned: it goes on from this state (vm-config.h); -1: it starts */
	/* … and from this memory, of which the first has all and the others what has changed. */
	int ram_fds[1 + VM_CHANGES_MAX];
	size_t n_ram;
	struct stage stage; /* what the staging area has from the start */
	struct plan_cgroup cgroup;
	/* A kernel that may lie below certain directories only; NULL: it is the config's. */
	struct kernel *kernel;
	char **within;				      /* those, for volumes too; NULL: anywhere */
	struct plan_volume volumes[PLAN_VOLUMES_MAX]; /* as disks alone */
	size_t n_volumes;
};

/* plan-pod.c: is it the first container of a pod (or of a group of containerd's)? */
bool plan_is_pod(const struct spec *spec);
/* The id of the pod's first container, or NULL. */
const char *plan_pod_id(const struct spec *spec);
/* What the containers of the pod will want together, by annotations of containerd's CRI
 * plugin; 0: it does not say. */
#define ANNOTATION_POD_CPU_QUOTA "io.kubernetes.cri.sandbox-cpu-quota"
#define ANNOTATION_POD_CPU_PERIOD "io.kubernetes.cri.sandbox-cpu-period"
#define ANNOTATION_POD_MEMORY "io.kubernetes.cri.sandbox-memory"
struct pod_size {
	uint32_t vcpus;
	int64_t memory_bytes;
};
/* CPUs for a quota (> 0) of time in each period (> 0), rounded up; at most VM_VCPUS_MAX. */
uint32_t plan_whole_cpus(uint64_t quota, uint64_t period);
/* The same of config.json's members, as the kernel has them (NULL: its default, of the quota no
 * limit); 0: no limit. */
uint32_t plan_quota_cpus(const int64_t *quota, const uint64_t *period);
/* As many as the container's quota and cpuset let it use at once, in thousandths; `instead` (NULL:
 * nothing) has what an update changes.  0: no limit. */
uint64_t plan_used_cpus(const struct spec_resources *given, const struct spec_resources *instead);
/* Those that are online. */
uint32_t plan_host_cpus(void);
/* config->max_vcpus, of a machine that begins with config->vcpus: PLAN_MAX_VCPUS_DEFAULT, unless
 * the settings say. */
void plan_max_vcpus(const struct settings *settings, struct vm_config *config);
/* The container's, in bytes; none: <= 0. */
int64_t plan_memory_limit(const struct spec *spec);
/* A memory limit in bytes (none: <= 0) and what the guest needs beside it, in MiB; 0: no limit. One
 * above the host's memory asks for no more than that. */
uint64_t plan_limit_mib(int64_t limit);
uint64_t plan_host_mib(void);
int plan_pod_size(const struct spec *spec, struct pod_size *ret_size, struct error **ret_error);

/* plan-update.c: can the machine give a container these limits, in place of what it has?  others:
 * the sum of the memory limits of the sandbox's other containers.  ERANGE, with the reason. */
int plan_update_check(const struct machine_plan *plan, const struct spec_resources *given,
		      const struct spec_resources *wanted, uint64_t others,
		      struct error **ret_error);
/* They are set: quota, period and cpuset, which may come one by one, are given's from now on. */
void plan_update_note(struct spec_resources *given, struct spec_resources *wanted);

/* plan-memory.c: memory that comes while the machine runs.  For containers with these limits (the
 * sum of them), how much it is to have beside what it started with; at most what it can have. */
uint64_t plan_growth_mib(const struct machine_plan *plan, uint64_t limits);
/* Have they all of that?  They may have none of it where the machine's memory is as the host's. */
bool plan_memory_suffices(const struct machine_plan *plan, uint64_t limits);
/* At most so much: of an emulated machine, 0. */
uint64_t plan_room_mib(const struct machine_plan *plan);
void plan_set_room(struct machine_plan *plan, uint64_t mib);
/* So much has come by now: the cgroup on the host has room for it. */
void plan_note_growth(struct machine_plan *plan, uint64_t mib);
/* For machine_plan_devices(). */
void plan_add_room(struct machine_plan *plan);

/* plan-cgroup.c: plan->cgroup, of a plan that is complete but for it. */
int plan_cgroup_read(const struct machine_plan_request *request, struct machine_plan *plan,
		     struct error **ret_error);
/* Its limits anew, of the container's spec, when its room is another. */
int plan_cgroup_fit(const struct spec *spec, struct machine_plan *plan, struct error **ret_error);
void plan_cgroup_done(struct plan_cgroup *cgroup);

/* plan-pool.c: what a machine must be to be taken for this plan, as a text (caller frees) of two of
 * which the same machines serve; the VMM's program and all files are known by what stat(2) says of
 * them, so that none is of a kind that was before a change.  NULL: none can be taken. */
char *plan_pool_kind(const struct machine_plan *plan, const char *program);
/* Are the files of that kind still those? */
bool plan_pool_is_current(const char *kind);
/* A machine of the kind that is to wait: machine_plan_free().  *ret_program: the VMM's, caller
 * frees. */
int plan_pool_machine(const char *kind, struct machine_plan **ret_plan, char **ret_program,
		      struct error **ret_error);

/* A plan of which nothing has been planned. */
struct machine_plan *machine_plan_begin(void);
/* The devices that every machine has, in the order in which it has them: the console, those of the
 * container, if there is one, and of its network. */
void machine_plan_devices(const struct container_plan *container, struct machine_plan *plan);

/* *ret_plan (machine_plan_free()) keeps nothing of the request's. */
int machine_plan_new(const struct machine_plan_request *request, struct machine_plan **ret_plan,
		     struct error **ret_error);
/* Below which directories the volume may lie; NULL: anywhere. */
const char *const *machine_plan_within(const struct machine_plan *plan,
				       const struct plan_volume *volume);
void machine_plan_free(struct machine_plan *plan);
DEFINE_CLEANUP(struct machine_plan, machine_plan_free)
