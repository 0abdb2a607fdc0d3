/*
 * struct vm_config: all that the VMM is told, and its JSON form.
 *
 * This is the boundary between the runtime and the VMM (DESIGN: one JSON
 * document plus inherited descriptors).  The task server writes it, the VMM
 * reads it; whoever wants to replay a machine by hand edits it.
 *
 *   {"version": 1,
 *    "kernel": {"path": "/…/vmlinux"} | {"fd": 5},
 *    "initramfs": [{"path": "…"}, {"fd": 6}],      loaded one behind the other
 *    "cmdline": "…",
 *    "vcpus": 1, "memory_mib": 256,
 *    "accel": "kvm" | "tcg",                        optional, kvm: who runs the vCPUs
 *    "templates": "/…/templates",                   optional: where machines that have booted
 *                                                   are kept, to start from (vmm/template.h)
 *    "template_failed": true,                       optional: this machine did not go on from its
 *                                                   template: boot, and let no other try it
 *    "control": {"fd": 3},                          optional
 *    "log": {"fd": 2, "level": "info"},             optional
 *    "serial": {"fd": 2},                           optional: a transmit-only port at
 *                                                   0x3f8, for earlyprintk=ttyS0
 *    "root": {"fd": 9},                             optional: a directory, the process's root once
 *                                                   all that is named here has been opened; a
 *                                                   vsock path is relative to the current one then
 *    "devices": [
 *      {"type": "blk", "id": "root", "file": {"path"|"fd": …}, "readonly": true, "queues": 1},
 *      {"type": "vsock", "cid": 3, "path": "/…/vsock.sock", "fd": 8},   no fd: the VMM binds path
 *      {"type": "rng"},
 *      {"type": "console", "output": {"fd": 2}},
 *      {"type": "fs", "tag": "root", "root": {"path"|"fd": …}, "readonly": false,
 *       "cache": "auto",                          "auto", "always" or "none": rootfs/fuse.h
 *       "cache_by_name": false,                   root is a staging area (rootfs/stage.h),
 *                                                 where a share whose name ends in "@auto",
 *                                                 "@always" or "@none" has that mode
 *       "host_locks": false}]}
 *
 * A member that is not listed here is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

#define VM_CONFIG_VERSION 1
#define VM_VCPUS_MAX 64
#define VM_MEMORY_MIB_MIN 32
#define VM_MEMORY_MIB_MAX (4 * 1024 * 1024)
#define VM_INITRAMFS_MAX 4
#define VM_DEVICES_MAX 32
#define VM_FS_TAG_MAX 36 /* virtio 1.2 §5.11.4 */

/* A file by path, or an inherited descriptor by number (path NULL). */
struct vm_file {
	char *path;
	int fd; /* -1 when path is set */
};

/* What runs the vCPUs: this machine's KVM, or QEMU's emulator. */
enum vm_accel { VM_ACCEL_KVM, VM_ACCEL_TCG };

enum vm_device_type {
	VM_DEVICE_BLK,
	VM_DEVICE_VSOCK,
	VM_DEVICE_RNG,
	VM_DEVICE_CONSOLE,
	VM_DEVICE_FS,
};

/* What a share promises about changes made on the host: rootfs/fuse.h. */
enum vm_fs_cache { VM_FS_CACHE_AUTO, VM_FS_CACHE_ALWAYS, VM_FS_CACHE_NONE };
/* By its name; false: there is none of that name. */
bool vm_fs_cache_parse(const char *name, enum vm_fs_cache *ret_cache);
const char *vm_fs_cache_name(enum vm_fs_cache cache);
/* In a share's name, between it and a mode's. */
#define VM_FS_CACHE_MARK '@'
/* The mode that a share's name ends with; false: with none. */
bool vm_fs_cache_of(const char *share, enum vm_fs_cache *ret_cache);

struct vm_device {
	enum vm_device_type type;
	union {
		struct {
			char *id;
			struct vm_file file;
			bool readonly;
			uint32_t queues;
		} blk;
		struct {
			uint32_t cid;
			char *path;
			int fd; /* listening on path; -1: the VMM makes it */
		} vsock;
		struct {
			struct vm_file output;
		} console;
		struct {
			char *tag;	     /* 1 to VM_FS_TAG_MAX bytes, unique in the machine */
			struct vm_file root; /* a directory; a descriptor may be O_PATH */
			bool readonly;
			enum vm_fs_cache cache;
			bool cache_by_name;
			bool host_locks; /* fcntl() and flock() locks are the host's */
		} fs;
	};
};

struct vm_config {
	struct vm_file kernel;
	struct vm_file initramfs[VM_INITRAMFS_MAX];
	size_t n_initramfs;
	char *cmdline;
	uint32_t vcpus;
	uint64_t memory_mib;
	enum vm_accel accel;
	char *templates; /* an absolute path; NULL: the guest boots */
	bool template_failed;
	int control_fd;	 /* a connected stream socket, vmm/control.h; -1: none */
	int log_fd;	 /* -1: stderr */
	char *log_level; /* NULL: warning */
	int serial_fd;	 /* -1: no serial port */
	int root_fd;	 /* -1: the process's root stays; may be O_PATH */
	struct vm_device devices[VM_DEVICES_MAX];
	size_t n_devices;
};

/* An empty configuration: every fd -1, one vCPU, 256 MiB, KVM. */
struct vm_config *vm_config_new(void);
void vm_config_free(struct vm_config *config); /* closes no fd */
DEFINE_CLEANUP(struct vm_config, vm_config_free)

/* Parses and checks the document; errors name the JSON path. */
int vm_config_parse(const char *text, size_t size, struct vm_config **ret_config,
		    struct error **ret_error);
/* The document; caller frees. */
char *vm_config_write(const struct vm_config *config);
/* "kvm" or "tcg". */
const char *vm_accel_name(enum vm_accel accel);
/* -1 for any other name; *ret_accel is untouched then. */
int vm_accel_parse(const char *name, enum vm_accel *ret_accel);
/* "error", "warning", "info" or "debug"; -1 for any other name. */
int vm_config_log_level(const char *name, enum log_level *ret_level);
