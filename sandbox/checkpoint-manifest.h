/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a checkpoint: what the task server must know to make the container again
 * from the state of its machine.
 *
 *   IMAGE/manifest   a line that says what this is, its version, size and checksum; then JSON
 *   IMAGE/state      the machine (protocol/control.h "save")
 *   IMAGE/ram        its memory, or what has changed in it since its parent (checkpoint-memory.h)
 *   IMAGE/inventory.img  by which CRIU's callers (podman) know that there is a checkpoint
 *   IMAGE/diskN      what its volume N had, if it writes to it (checkpoint-volumes.h)
 *
 * The file may come from anywhere: every number is checked here, once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime-spec/spec.h"
#include "sandbox/plan/plan-files.h"
#include "sandbox/stdio/stdio.h"

#define MANIFEST_NAME "manifest"
#define MANIFEST_STATE "state"
#define MANIFEST_RAM "ram"
#define MANIFEST_INVENTORY "inventory.img"
#define MANIFEST_DISK "disk%zu"
#define MANIFEST_SIZE_MAX (32u << 20)
#define MANIFEST_PROCESSES_MAX 1025
#define MANIFEST_LAYERS_MAX 128
#define MANIFEST_NAME_DIGITS 32
#define MANIFEST_PUBLISH_MAX 1024
#define MANIFEST_LAYER_HEAD 4096 /* bytes of an image that tell it from others */

struct checkpoint_process {
	char *exec_id; /* "": init, the first */
	bool terminal;
	struct stdio_saved streams;
};

/* An image of the root file system: checkpoint-layers.h. */
struct checkpoint_layer {
	char *type;
	uint64_t size; /* bytes */
	uint64_t head; /* fnv1a() of its first bytes */
};

/* A volume: checkpoint-volumes.h. */
struct checkpoint_volume {
	bool readonly;
	uint64_t size;	/* bytes */
	uint64_t head;	/* of a read-only one: as a layer's */
	uint64_t mtime; /* of the others, nanoseconds since 1970 */
};

struct checkpoint_manifest {
	char *name;	   /* no other checkpoint has it */
	char *parent;	   /* its directory, relative to this one's; "": none */
	char *parent_name; /* "": none */
	bool memory_only; /* a parent alone (--pre-dump): there is no state, and the rest may be old
			   */
	char *id;	  /* as the guest knows the container */
	char *config;	  /* config.json's text */
	size_t config_size;
	char *stage;			      /* the container's directory in the staging area */
	char *kernel;			      /* what was asked for; "": nothing */
	char *network;			      /* likewise */
	char **publish;			      /* likewise; ends with NULL, or is it */
	uint32_t vcpus, vcpus_now, max_vcpus; /* those that the machine began with, has, may have */
	uint64_t memory_mib;
	int64_t memory_limit;	      /* the container's, bytes; none: <= 0 */
	uint64_t room_mib, grown_mib; /* more that it may have; so much of that it has */
	uint32_t interfaces;
	uint64_t oom_kills;
	struct checkpoint_layer *layers; /* bottom first; none: the root is a share */
	size_t n_layers;
	struct checkpoint_volume volumes[PLAN_VOLUMES_MAX];
	size_t n_volumes;
	struct checkpoint_process *processes;
	size_t n_processes;
};

struct checkpoint_manifest *checkpoint_manifest_new(void);
void checkpoint_manifest_free(struct checkpoint_manifest *manifest);
DEFINE_CLEANUP(struct checkpoint_manifest, checkpoint_manifest_free)
struct checkpoint_process *checkpoint_manifest_add_process(struct checkpoint_manifest *manifest);

/* The file's bytes; caller frees. */
char *checkpoint_manifest_write(const struct checkpoint_manifest *manifest, size_t *ret_size);
/* EINVAL: it is none, or altered; EPROTONOSUPPORT: another version's. */
int checkpoint_manifest_parse(const char *text, size_t size,
			      struct checkpoint_manifest **ret_manifest, struct error **ret_error);

/* Is a bundle of this spec the one that was checkpointed, in what the guest has kept? Its mounts
 * get the order that they had then.  EINVAL: the error names the part of config.json. */
int checkpoint_manifest_check_spec(const struct checkpoint_manifest *manifest, struct spec *spec,
				   struct error **ret_error);
