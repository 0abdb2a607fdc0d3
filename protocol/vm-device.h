/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of the VMM's document: what it may say of each type, in one table
 * (vm-device.c).  How a device is made of it, the VMM knows (vmm/device.c).
 *
 *   {"type": "blk", "file": {"path"|"fd": …},
 *    "id": "root",                                  optional: at most 20 bytes
 *    "more": [PATH…],                               optional: read-only files behind the first,
 *                                                   each at the next multiple of
 *                                                   VM_BLK_FILE_ALIGN bytes
 *    "readonly": true, "queues": 1}                 optional
 *   {"type": "vsock", "cid": 3, "path": "/…/vsock.sock",
 *    "fd": 8}                                       optional: listens there; none: the VMM
 *                                                   binds path
 *   {"type": "rng"}
 *   {"type": "console", "output": {"path"|"fd": …}} optional; none: the log
 *   {"type": "fs", "tag": "root", "root": {"path"|"fd": …},
 *    "readonly": false,                             optional, as is the rest
 *    "cache": "auto",                               "auto", "always" or "none":
 *                                                   rootfs/share/fuse.h
 *    "staging": false,                              root is a staging area (host/stage.h), in
 *                                                   which each container has a directory
 *    "cache_by_name": false,                        there a share whose name ends in "@auto",
 *                                                   "@always" or "@none" has that mode
 *    "host_locks": false}
 *   {"type": "net", "mac": "02:00:00:00:00:01",     of one interface, unique in the machine
 *    "backend": "tap",                              optional: "tap" or "stream": what fd is
 *                                                   (virtio/devices.h)
 *    "fd": 9,                                       optional; none: the link is down
 *    "vhost": 10,                                   optional: /dev/vhost-net, by which the
 *                                                   kernel moves a tap's frames (KVM only);
 *                                                   none: the VMM does
 *    "pairs": 2,                                    optional: of queues, 1 to 8
 *    "more": [11], "more_vhosts": [12],             optional: of the pairs behind the first, as
 *                                                   "fd" (other queues of its tap) and "vhost"
 *    "mtu": 1500}                                   optional: 68 to 65535
 *   {"type": "mem", "max_mib": 4096}                memory that comes later ("memory" in control.h;
 *                                                   KVM only): so much at most, which is even.  One
 *                                                   at most; it is in the last slot, whatever its
 *                                                   place here
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/vm-field.h"

#define VM_DEVICE_FDS_MAX 16 /* that one device may name: two for each pair of queues */
#define VM_BLK_FILES_MAX 128 /* of one disk */
#define VM_BLK_FILE_ALIGN 4096
#define VM_NET_PAIRS_MAX (1 + VM_FD_LIST_MAX)
#define VM_MEM_MIB_MIN 2
#define VM_MEM_MIB_MAX (4 * 1024 * 1024)
#define VM_FS_TAG_MAX 36 /* virtio 1.2 §5.11.4 */

enum vm_device_type {
	VM_DEVICE_BLK,
	VM_DEVICE_VSOCK,
	VM_DEVICE_RNG,
	VM_DEVICE_CONSOLE,
	VM_DEVICE_FS,
	VM_DEVICE_NET,
	VM_DEVICE_MEM,
};
#define VM_DEVICE_TYPES (VM_DEVICE_MEM + 1)

/* What a share promises about changes made on the host: rootfs/share/fuse.h. */
enum vm_fs_cache { VM_FS_CACHE_AUTO, VM_FS_CACHE_ALWAYS, VM_FS_CACHE_NONE };
/* By its name; false: there is none of that name. */
bool vm_fs_cache_parse(const char *name, enum vm_fs_cache *ret_cache);
const char *vm_fs_cache_name(enum vm_fs_cache cache);
/* In a share's name, between it and a mode's. */
#define VM_FS_CACHE_MARK '@'
/* The mode that a share's name ends with; false: with none. */
bool vm_fs_cache_of(const char *share, enum vm_fs_cache *ret_cache);

enum vm_net_backend { VM_NET_TAP, VM_NET_STREAM };

struct vm_device {
	enum vm_device_type type;
	union {
		struct {
			char *id;
			struct vm_file file;
			char **more; /* ends with NULL; NULL: the file is all of it */
			bool readonly;
			uint32_t queues;
		} blk;
		struct {
			uint32_t cid;
			char *path;
			int fd; /* listening on path; -1: the VMM makes it */
		} vsock;
		struct {
			struct vm_file output; /* neither: the log */
		} console;
		struct {
			char *tag;	     /* 1 to VM_FS_TAG_MAX bytes, unique in the machine */
			struct vm_file root; /* a directory; a descriptor may be O_PATH */
			bool readonly;
			enum vm_fs_cache cache;
			bool staging;
			bool cache_by_name;
			bool host_locks; /* fcntl() and flock() locks are the host's */
		} fs;
		struct {
			struct vm_mac mac;
			int fd; /* a tap or a socket; -1: the link is down */
			int vhost_fd;
			enum vm_net_backend backend;
			uint32_t pairs;
			struct vm_fd_list more,
			    more_vhosts; /* as many as pairs behind the first, or none */
			uint32_t mtu;	 /* 0: the driver's own choice */
		} net;
		struct {
			uint64_t max_mib; /* at most, beside the machine's own */
		} mem;
	};
};

/* "blk", …, as the document names them. */
const char *vm_device_name(enum vm_device_type type);
/* What the document may say of one, beside its type. */
const struct vm_field *vm_device_fields(enum vm_device_type type);

/* One of which nothing has been said. */
void vm_device_init(struct vm_device *device, enum vm_device_type type);
void vm_device_done(struct vm_device *device);

/* The element of an array that others stand in front of.  On failure *device, too, is fit
 * for vm_device_done(). */
int vm_device_read(const struct json_at *at, struct vm_device *device,
		   const struct vm_device *others, size_t n_others, struct error **ret_error);
void vm_device_write(struct json_writer *writer, const struct vm_device *device);
