/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bundle's files reach the guest: the part of a plan that is made of root,
 * mounts and volumes.
 *
 *   root         a share of the bundle's directory, or layers (container-plan.c)
 *   bind mount   a share of its source; of a unix socket, a forwarded one
 *   overlay      a share of one that the host's kernel makes of the host's directories
 *   disk mount   (type ext4, squashfs, …, of a file or block device), and a volume
 *                by annotation: a virtio-blk device
 *   published    (by annotation) a unix socket of the container's, on the host too
 *   all others   (tmpfs, proc, …) are made by the guest alone
 *
 * All shares of a container are entries of one staging area (host/stage.h), so
 * that one device serves them.  Planning looks at the sources and changes nothing;
 * what is missing or cannot be done is refused here, named.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/allow.h"
#include "host/stage.h"
#include "host/volume.h"
#include "protocol/vm-config.h"
#include "runtime-spec/spec.h"

/* The tag of the device that shows the staging area. */
#define PLAN_SHARE_TAG "share"
#define PLAN_VOLUMES_MAX 8
#define PLAN_SOCKETS_MAX 64
#define PLAN_SOCKET_KEY_SIZE 16

/* A disk: an entry of config.json's mounts, or (mount -1) of the annotations. */
struct plan_volume {
	char serial[16]; /* the blk device's id */
	struct volume volume;
	int mount;
	char *destination; /* of an annotation's */
};

/* A unix socket of the host that is bound in. */
struct plan_socket {
	size_t mount;
	int fd; /* O_PATH: this socket, whatever its path comes to name */
	uint32_t port;
	uint8_t key[PLAN_SOCKET_KEY_SIZE]; /* shown by the agent, and by nobody else in the guest */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* A bind mount's place below the share. */
struct plan_share {
	size_t mount;
	char *path;
	uint64_t attributes; /* MOUNT_ATTR_… that the source's own mount has */
	bool host_readonly;  /* `rbind,ro` with mounts below, which stay as they are */
};

/* A unix socket that the container listens on, for programs of the host. */
struct plan_published {
	char *name; /* of the host's end, a plain file name */
	char *path; /* in the container */
};

/* What io.supermachine.cache says: a mode for all shares, and for single ones. */
struct plan_cache {
	bool named; /* the first of them */
	enum vm_fs_cache mode;
	struct plan_cache_entry {
		char *path; /* in the container, without "/" at its end; "": the root */
		enum vm_fs_cache mode;
		bool used;
	} * entries;
	size_t n_entries;
};

struct plan_files {
	/* Of all shares; and that some share's name has another: struct vm_device. */
	enum vm_fs_cache cache;
	bool cache_by_name;
	char *root_share;	  /* the root's place below the share; NULL: layers */
	uint64_t root_attributes; /* as a share's */
	struct stage stage;
	struct plan_share *shares;
	size_t n_shares;
	struct plan_socket *sockets;
	size_t n_sockets;
	struct plan_volume volumes[PLAN_VOLUMES_MAX];
	size_t n_volumes;
	struct plan_published *published;
	size_t n_published;
};

struct plan_files_request {
	const struct spec *spec;
	const char *stage;	   /* the container's directory below the share */
	const char *bundle;	   /* absolute */
	const struct allow *allow; /* NULL: everything */
	uint32_t socket_port; /* the first of its forwarded sockets; 0: AGENT_FORWARD_PORT_FIRST */
	pid_t sandbox_pid;    /* as in struct container_plan_request: not 0, it joins a machine */
	bool root_share;
	bool restored; /* of a checkpoint, which has copies of the volumes that are written to */
};

/* *files is zeroed memory; plan_files_done() frees it, after a failure too. */
int plan_files_read(const struct plan_files_request *request, struct plan_files *files,
		    struct error **ret_error);
void plan_files_done(struct plan_files *files);

/* plan-volumes.c: the volumes and published sockets of the annotations. */
int plan_volumes_read(const struct plan_files_request *request, struct plan_files *files,
		      struct error **ret_error);
int plan_published_read(const struct spec *spec, struct plan_files *files,
			struct error **ret_error);
/* The next free volume; E2BIG when there is none. */
int plan_volume_add(struct plan_files *files, char *source, int mount,
		    struct plan_volume **ret_volume, struct error **ret_error);

/* plan-cache.c: *cache is zeroed memory; plan_cache_done() frees it, after a failure too. */
int plan_cache_read(const struct spec *spec, struct plan_cache *cache, struct error **ret_error);
void plan_cache_done(struct plan_cache *cache);
/* The name in the staging area of the share that the container has at destination: base,
 * and a mode (vm-config.h) where that is not the machine's; caller frees. */
char *plan_cache_share(struct plan_cache *cache, const struct plan_files_request *request,
		       const char *base, const char *destination, struct plan_files *files);
/* After all shares: each that has a mode is there. */
int plan_cache_check(const struct plan_cache *cache, struct error **ret_error);
