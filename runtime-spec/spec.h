/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as typed structures: the OCI runtime-spec 1.3.0 for Linux with
 * the `vm` section.
 *
 * Parsed once (spec_parse), read-only after. Unknown fields are ignored; a
 * wrong type, a missing required field or a value out of range is refused with
 * the JSON path. Used on the host and, linked statically, by the agent.
 *
 * Conventions: strings and strv are owned by the struct and NULL when absent;
 * a pointer to a scalar is NULL when the field is absent; n_foo counts foo.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct spec_rlimit {
	char *type;   /* RLIMIT_…, checked against the known names */
	int resource; /* the RLIMIT_… number */
	uint64_t soft, hard;
};

struct spec_user {
	uint32_t uid, gid;
	bool has_umask;
	uint32_t umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
};

/* Sets of capabilities as bit masks: bit n is capability n (CAP_… numbers).
 * Unknown names are dropped with a warning, as runc does. */
struct spec_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* sched_setattr(2). */
struct spec_scheduler {
	bool present;
	uint32_t policy; /* SCHED_… */
	int32_t nice, priority;
	uint64_t flags; /* SCHED_FLAG_… */
	uint64_t runtime, deadline, period;
};

/* ioprio_set(2). */
struct spec_io_priority {
	bool present;
	uint32_t class; /* IOPRIO_CLASS_… */
	uint32_t priority;
};

struct spec_process {
	bool terminal;
	uint32_t console_width, console_height; /* 0: absent */
	struct spec_user user;
	char **args; /* required, not empty (config.md: unless on Windows) */
	char *command_line;
	char **env; /* "NAME=value" */
	char *cwd;  /* required, absolute */
	bool has_capabilities;
	struct spec_capabilities capabilities;
	struct spec_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	char *apparmor_profile;
	char *selinux_label;
	bool has_oom_score_adj;
	int32_t oom_score_adj;
	struct spec_scheduler scheduler;
	struct spec_io_priority io_priority;
	/* Of an exec, as cpuset lists of the host's; initial: until its program is executed. */
	char *initial_cpus, *final_cpus;
	/* Of an exec (SPEC_EXEC_CGROUP, SPEC_EXEC_USER): the cgroup below the container's; whom it
	 * runs as instead of `user`, as named_user_find() has it. */
	char *cgroup, *user_words;
	bool has_init;	 /* of a container: SPEC_PROCESS_INIT */
	char *tool;	 /* of an exec: not a program, but the agent's own (SPEC_EXEC_TOOL) */
	char **warnings; /* what is taken otherwise than it is written */
};

/* Members of `process` that are ours: `exec --cgroup`, the names of `exec --user` and `cp` have no
 * other way to the guest. */
#define SPEC_EXEC_CGROUP "io.supermachine.cgroup"
#define SPEC_EXEC_USER "io.supermachine.user"
/* The agent's own init is the container's first process, and the program its child. */
#define SPEC_PROCESS_INIT "io.supermachine.init"
/* What runs in the place of args[0], inside the container and with no more rights than `process`
 * says; its own words are args: */
#define SPEC_EXEC_TOOL "io.supermachine.tool"
#define SPEC_TOOL_PACK "pack" /* SOURCE NAME [FLAG…]: a tar stream to stdout; NAME "": as "." */
#define SPEC_TOOL_UNPACK "unpack" /* DESTINATION [FLAG…]: a tar stream from stdin */
/* [FLAG…] [MOUNT-POINT…]: waits for the end of stdin, then a tar stream of what has changed in a
 * root of layers (struct tar_changes) to stdout.  It is not in the container's cgroup, so that it
 * goes on while that is frozen. */
#define SPEC_TOOL_CHANGES "changes"
#define SPEC_TOOL_NAMES "names"
/* Flags, as the members of struct tar_pack and tar_unpack; and the exit status of ENOENT. */
#define SPEC_TOOL_FOLLOWS "follows"
#define SPEC_TOOL_STAYS "stays"
#define SPEC_TOOL_RAW "raw"
#define SPEC_TOOL_OWNERS "owners"
#define SPEC_TOOL_MISSING 2

struct spec_id_mapping {
	uint32_t container_id, host_id, size;
};

struct spec_mount {
	char *destination; /* required */
	char *type;
	char *source;
	char **options;
	/* Of an idmapped mount: what its files have (containerID), and as what they are shown
	 * (hostID).  None, but the option: the container's user namespace's. */
	struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
};

struct spec_hook {
	char *path; /* required, absolute */
	char **args;
	char **env;
	uint32_t timeout_seconds; /* 0: none */
};

struct spec_hook_list {
	struct spec_hook *hooks;
	size_t n_hooks;
};

struct spec_hooks {
	struct spec_hook_list prestart, create_runtime, create_container, start_container,
	    poststart, poststop;
};

enum spec_namespace_type {
	SPEC_NS_PID,
	SPEC_NS_NETWORK,
	SPEC_NS_MOUNT,
	SPEC_NS_IPC,
	SPEC_NS_UTS,
	SPEC_NS_USER,
	SPEC_NS_CGROUP,
	SPEC_NS_TIME,
	SPEC_NS_COUNT
};

struct spec_namespace {
	bool present;
	char *path; /* join this one; NULL: a new one */
};

struct spec_device {
	char *path; /* required */
	char type;  /* 'c', 'b', 'u', 'p' */
	int64_t major, minor;
	bool has_file_mode;
	uint32_t file_mode;
	bool has_uid, has_gid;
	uint32_t uid, gid;
};

struct spec_device_cgroup {
	bool allow;
	char type;	      /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1: any */
	bool read, write, mknod;
};

struct spec_throttle_device {
	int64_t major, minor;
	uint64_t rate;
};

struct spec_weight_device {
	int64_t major, minor;
	bool has_weight, has_leaf_weight;
	uint16_t weight, leaf_weight;
};

struct spec_hugepage_limit {
	char *page_size;
	uint64_t limit;
};

struct spec_key_value {
	char *key, *value;
};

struct spec_resources {
	struct spec_device_cgroup *devices;
	size_t n_devices;
	struct {
		int64_t *limit, *reservation, *swap, *kernel, *kernel_tcp; /* bytes; -1: no limit */
		uint64_t *swappiness;
		bool disable_oom_killer, use_hierarchy, check_before_update;
	} memory;
	struct {
		uint64_t *shares, *period, *realtime_period;
		int64_t *quota, *realtime_runtime, *idle;
		uint64_t *burst;
		char *cpus, *mems;
	} cpu;
	int64_t *pids_limit; /* <= 0 or -1: no limit */
	struct {
		bool has_weight, has_leaf_weight;
		uint16_t weight, leaf_weight;
		struct spec_weight_device *weight_devices;
		size_t n_weight_devices;
		struct spec_throttle_device *read_bps, *write_bps, *read_iops, *write_iops;
		size_t n_read_bps, n_write_bps, n_read_iops, n_write_iops;
	} block_io;
	struct spec_hugepage_limit *hugepage_limits;
	size_t n_hugepage_limits;
	struct spec_key_value *unified; /* cgroup v2 file → value */
	size_t n_unified;
};

struct spec_seccomp_arg {
	uint32_t index; /* 0..5 */
	uint64_t value, value_two;
	char *op; /* "SCMP_CMP_…" , checked */
};

struct spec_seccomp_rule {
	char **names;
	char *action; /* "SCMP_ACT_…", checked */
	bool has_errno_ret;
	uint32_t errno_ret;
	struct spec_seccomp_arg *args;
	size_t n_args;
};

struct spec_seccomp {
	char *default_action; /* required */
	bool has_default_errno_ret;
	uint32_t default_errno_ret;
	char **architectures; /* "SCMP_ARCH_…" */
	char **flags;	      /* "SECCOMP_FILTER_FLAG_…" */
	char *listener_path, *listener_metadata;
	struct spec_seccomp_rule *rules;
	size_t n_rules;
};

struct spec_time_offset {
	bool present;
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_linux {
	struct spec_namespace namespaces[SPEC_NS_COUNT];
	struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
	struct spec_device *devices;
	size_t n_devices;
	char *cgroups_path;
	bool has_resources;
	struct spec_resources resources;
	struct spec_key_value *sysctl;
	size_t n_sysctl;
	bool has_seccomp;
	struct spec_seccomp seccomp;
	char *rootfs_propagation; /* "shared", "slave", "private", "unbindable", … */
	char **masked_paths, **readonly_paths;
	char *mount_label;
	bool has_intel_rdt;
	char *personality_domain;		     /* "LINUX", "LINUX32" */
	struct spec_time_offset monotonic, boottime; /* of the time namespace */
	bool has_net_devices, has_memory_policy;
};

struct spec_vm {
	char *hypervisor_path;
	char **hypervisor_parameters;
	char *kernel_path; /* required where vm.kernel is present */
	char **kernel_parameters;
	char *initrd;
	char *image_path; /* required where vm.image is present */
	char *image_format;
	uint32_t vcpus;	      /* hwConfig.vcpus (1.3); 0: absent */
	uint64_t memory_mib;  /* hwConfig.memory, rounded up; 0: absent */
	const char *hardware; /* another member of hwConfig that is there, of the host's devices */
};

struct spec {
	char *oci_version; /* required; 1.x */
	char *root_path;   /* required here: root.path */
	bool root_readonly;
	char *hostname, *domainname;
	struct spec_mount *mounts;
	size_t n_mounts;
	bool has_process; /* required by start */
	struct spec_process process;
	struct spec_hooks hooks;
	struct spec_key_value *annotations;
	size_t n_annotations;
	bool has_linux;
	struct spec_linux linux_;
	bool has_vm;
	struct spec_vm vm;
	char **warnings; /* as process.warnings, of everything else */
};

/* The version of the runtime-spec that our state objects and `features` name. */
#define SPEC_VERSION "1.3.0"
#define SPEC_SIZE_MAX (4u << 20)

int spec_parse(const char *text, size_t size, struct spec **ret_spec, struct error **ret_error);
void spec_free(struct spec *spec);
DEFINE_CLEANUP(struct spec, spec_free)
/* Several programs parse the same file: the one that the caller sees tells of its warnings. */
void spec_log_warnings(const struct spec *spec);

/* The `process` object alone, as `exec --process` and the Task API's Exec send
 * it. */
int spec_parse_process(const char *text, size_t size, struct spec_process **ret_process,
		       struct error **ret_error);
void spec_process_free(struct spec_process *process);
DEFINE_CLEANUP(struct spec_process, spec_process_free)
void spec_process_log_warnings(const struct spec_process *process);

/* A LinuxResources object alone, as `update --resources` and Task Update send it. */
int spec_parse_resources(const char *text, size_t size, struct spec_resources **ret_resources,
			 struct error **ret_error);
void spec_resources_free(struct spec_resources *resources);
DEFINE_CLEANUP(struct spec_resources, spec_resources_free)

/* "pid", "network", … as config.json has it. */
const char *spec_namespace_name(enum spec_namespace_type type);
/* The annotation's value, or NULL. */
const char *spec_annotation(const struct spec *spec, const char *key);
