/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct vm_config: all that the VMM is told, and its JSON form.
 *
 * This is the boundary between the runtime and the VMM: one JSON document, and
 * the descriptors that it names, which the VMM inherits.  The task server writes
 * it and the VMM reads it; it can be edited to run a machine again by hand.
 *
 *   {"version": 1,
 *    "kernel": {"path": "/…/vmlinux"} | {"fd": 5},
 *    "initramfs": [{"path": "…"}, {"fd": 6}],      loaded one behind the other
 *    "cmdline": "…",
 *    "vcpus": 1, "memory_mib": 256,
 *    "max_vcpus": 4,                                optional, KVM's: as many may be plugged while
 *                                                   it runs ("vcpus" in control.h)
 *    "accel": "kvm" | "tcg",                        optional, kvm: who runs the vCPUs
 *    "templates": "/…/templates",                   optional: where machines that have booted
 *                                                   are kept, to start from (vmm/template.h)
 *    "template_failed": true,                       optional: this machine did not go on from its
 *                                                   template: boot, and let no other try it
 *    "pooled": true,                                optional: it will wait, paused, for somebody
 *                                                   to take it ("enter", "plug" in control.h), so
 *                                                   it must go on from a template
 *    "state": {"path": …} | {"fd": 7},              optional, both or neither: the files that
 *    "state_ram": …,                                "save" (control.h) has written of a machine
 *                                                   that was exactly this one; it goes on there.
 *                                                   The second is mapped: it must stay as it is
 *    "state_changes": [{"fd": 8}, …],               optional: what has changed in the memory since,
 *                                                   the oldest first (vmm/ram-changes.h); likewise
 *    "control": {"fd": 3},                          optional
 *    "log": {"fd": 2, "level": "info",              optional
 *            "keep_kib": 1024},                     of a regular file, its end; none: all of it
 *    "serial": {"fd": 2},                           optional: a transmit-only port at
 *                                                   0x3f8, for earlyprintk=ttyS0
 *    "root": {"fd": 9},                             optional: a directory, the process's root once
 *                                                   all that is named here has been opened; a
 *                                                   vsock path is relative to the current one then
 *    "devices": [{"type": "rng"}, …]}              vm-device.h; in the order of their slots, in
 *                                                   which the guest finds them
 *
 * A member that is not listed here, or there, is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "protocol/vm-device.h"

#define VM_CONFIG_VERSION 1
#define VM_VCPUS_MAX 64
#define VM_MEMORY_MIB_MIN 32
#define VM_MEMORY_MIB_MAX VM_MEM_MIB_MAX
#define VM_INITRAMFS_MAX 4
#define VM_CHANGES_MAX 16
#define VM_DEVICES_MAX 32
/* kernel, state and its memory, control, serial, root, log, and those of each initramfs, change and
 * device */
#define VM_FDS_MAX (7 + VM_INITRAMFS_MAX + VM_CHANGES_MAX + VM_DEVICES_MAX * VM_DEVICE_FDS_MAX)
#define VM_LOG_KIB_MIN 4
#define VM_LOG_KIB_MAX (1024 * 1024)

/* What runs the vCPUs: this machine's KVM, or QEMU's emulator. */
enum vm_accel { VM_ACCEL_KVM, VM_ACCEL_TCG };

struct vm_config {
	struct vm_file kernel;
	struct vm_file initramfs[VM_INITRAMFS_MAX];
	size_t n_initramfs;
	char *cmdline;
	uint32_t vcpus, max_vcpus; /* the latter 0: none can come; vm_config_max_vcpus() */
	uint64_t memory_mib;
	enum vm_accel accel;
	char *templates; /* an absolute path; NULL: the guest boots */
	bool template_failed;
	bool pooled;
	struct vm_file state, state_ram;
	struct vm_file state_changes[VM_CHANGES_MAX];
	size_t n_state_changes;
	int control_fd;	       /* a connected stream socket, protocol/control.h; -1: none */
	int log_fd;	       /* -1: stderr */
	char *log_level;       /* NULL: warning */
	uint32_t log_keep_kib; /* base/log-file.h; 0: the log may grow */
	int serial_fd;	       /* -1: no serial port */
	int root_fd;	       /* -1: the process's root stays; may be O_PATH */
	struct vm_device devices[VM_DEVICES_MAX];
	size_t n_devices;
};

/* An empty configuration: every fd -1, one vCPU, 256 MiB, KVM. */
struct vm_config *vm_config_new(void);
void vm_config_free(struct vm_config *config); /* closes no fd */
DEFINE_CLEANUP(struct vm_config, vm_config_free)
/* One more device, of which nothing has been said; there must be room (VM_DEVICES_MAX). */
struct vm_device *vm_config_add(struct vm_config *config, enum vm_device_type type);

/* Parses and checks the document; errors name the JSON path. */
int vm_config_parse(const char *text, size_t size, struct vm_config **ret_config,
		    struct error **ret_error);
/* The document; caller frees. */
char *vm_config_write(const struct vm_config *config);
/* The descriptors that it names; returns how many. */
size_t vm_config_fds(const struct vm_config *config, struct vm_named_fd ret_fds[VM_FDS_MAX]);
/* As many vCPUs as there will ever be. */
uint32_t vm_config_max_vcpus(const struct vm_config *config);
/* "kvm" or "tcg". */
const char *vm_accel_name(enum vm_accel accel);
/* "error", "warning", "info" or "debug"; -1 for any other name. */
int vm_config_log_level(const char *name, enum log_level *ret_level);
