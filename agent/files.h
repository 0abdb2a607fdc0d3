/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container's files come from, as the host has said (agent.proto's
 * CreateRequest): the root, and the entries of config.json's mounts that the guest
 * cannot make by itself.  Checked once, when it is copied from the request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/agent.pb-c.h"

#define LAYERS_MAX 128
#define SOCKET_KEY_MAX 64

struct layer {
	char *serial; /* of the disk */
	char *type;   /* "squashfs", "erofs", "ext4" */
	/* A part of the disk: bytes, multiples of 512, below 2^63 together; size 0: all of it. */
	uint64_t offset, size;
};

struct host_socket {
	uint32_t port;
	uint8_t key[SOCKET_KEY_MAX];
	size_t key_size;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

enum source_kind { SOURCE_SHARE, SOURCE_DISK, SOURCE_SOCKET };

struct mount_source {
	enum source_kind kind;
	uint32_t mount;	     /* index into config.json's mounts */
	char *name;	     /* share: path below it; disk: its serial number; socket: the path
				of its stand-in (sockets.h) */
	uint64_t attributes; /* share: MOUNT_ATTR_… */
	bool host_readonly;  /* share: what of it is read-only, the host knows */
	struct host_socket socket;
};

struct volume {
	char *serial, *destination;
	bool readonly;
};

struct files {
	char *share_tag;  /* NULL: no share */
	char *root_share; /* path below the share; NULL: layers */
	uint64_t root_attributes;
	struct layer *layers; /* bottom first */
	size_t n_layers;
	struct mount_source *sources;
	size_t n_sources;
	struct volume *volumes;
	size_t n_volumes;
	char **published; /* paths in the container, a vector */
	size_t n_published;
};

/* n_mounts: of config.json.  Paths are checked to be plain and relative. */
int files_new(const Agent__CreateRequest *request, size_t n_mounts, struct files **ret_files,
	      struct error **ret_error);
void files_free(struct files *files);
DEFINE_CLEANUP(struct files, files_free)

/* The volume that is the root's writable layer; NULL: that is in memory. */
const struct volume *files_root_disk(const struct files *files);
/* NULL: the guest makes this mount by itself. */
const struct mount_source *files_source(const struct files *files, size_t mount);
