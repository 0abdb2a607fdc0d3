/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What executes the guest: KVM (kvm-engine.c), or QEMU's translator where KVM is not
 * usable (qemu-engine.c).  An engine is everything of a machine but
 * its states, its control socket and its end: memory, kernel, vCPUs, devices.
 *
 * Life: engine_new() builds all of it, with every privilege; then the process
 * is jailed, engine_start(), any number of engine_pause() and engine_resume(),
 * engine_end(), gone().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/vm-config.h"
#include "virtio/memory.h"
#include "vmm/guest-end.h"
#include "vmm/image.h"
#include "vmm/save-files.h"
#include "vmm/seccomp.h"

struct engine_events {
	/* The guest cannot go on: any thread, any number of times.  The receiver
	 * answers with engine_end(). */
	guest_end_fn ended;
	/* Loop thread: the guest runs; it has stopped as engine_pause() asked; it
	 * will never run again and nothing of the engine's touches it. */
	void (*started)(void *data);
	void (*paused)(void *data);
	void (*gone)(void *data);
	void *data;
};

struct engine;
struct engine_ops {
	int (*start)(struct engine *engine, struct error **ret_error);
	void (*pause)(struct engine *engine);
	void (*resume)(struct engine *engine);
	/* NULL: it cannot. */
	int (*save)(struct engine *engine, const struct save_files *files,
		    struct error **ret_error);
	int (*note)(struct engine *engine, struct error **ret_error); /* NULL: no need */
	void (*set_link)(struct engine *engine, size_t index, bool up);
	/* NULL: it cannot. */
	int (*grow)(struct engine *engine, uint64_t size, struct error **ret_error);
	int (*plug)(struct engine *engine, size_t index, struct error **ret_error);
	int (*add_vcpu)(struct engine *engine, struct error **ret_error); /* likewise */
	void (*end)(struct engine *engine);
	void (*free)(struct engine *engine);
};
/* Embedded first in each engine's own struct. */
struct engine {
	const struct engine_ops *ops;
};

/* Builds the machine that config (which must outlive it) tells, with its engine.
 * The first privileged step; loop is the process's. */
int engine_new(const struct vm_config *config, struct loop *loop,
	       const struct engine_events *events, struct engine **ret_engine,
	       struct error **ret_error);
/* Loop thread; after gone(), or when it was never started. */
void engine_free(struct engine *engine);
DEFINE_CLEANUP(struct engine, engine_free)

/* Loop thread.  started() answers, unless the guest ends before. */
int engine_start(struct engine *engine, struct error **ret_error);
/* Loop thread, the guest runs; answered by paused(), unless it ends before. */
void engine_pause(struct engine *engine);
/* Loop thread, the guest is paused. */
void engine_resume(struct engine *engine);
/* Loop thread, the guest is paused, unless only its memory is wanted: all of the machine, into the
 * files, which are on disk then. It can be resumed after that, whether it went well or not.
 * EOPNOTSUPP: this engine cannot. */
int engine_save(struct engine *engine, const struct save_files *files, struct error **ret_error);
/* Loop thread: the container's program runs.  What the guest has written up to here is noted, once,
 * for the clones of its template that come later (vmm/template.h). */
int engine_note(struct engine *engine, struct error **ret_error);
/* Loop thread: plugs or pulls the cable of the configuration's index-th device, which has one. */
void engine_set_link(struct engine *engine, size_t index, bool up);
/* Loop thread: the guest is asked to have so many bytes of memory beside its own; the configuration
 * has a device for it.  ERANGE: not so many.  EOPNOTSUPP: this engine cannot. */
int engine_grow(struct engine *engine, uint64_t size, struct error **ret_error);
/* Loop thread, the guest is paused: the configuration's index-th device, its last, is new. */
int engine_plug(struct engine *engine, size_t index, struct error **ret_error);
/* Loop thread, the guest runs: it gets one vCPU more than the configuration's vcpus, which are
 * fewer than its max_vcpus, and is told. */
int engine_add_vcpu(struct engine *engine, struct error **ret_error);
/* What that takes beyond the calls of every machine, once it is jailed; NULL: nothing. */
const struct seccomp_call *engine_vcpu_calls(const struct vm_config *config);
/* What plugging, and waiting before it, take beyond the calls of every machine, once it is jailed;
 * NULL: this machine is not to wait. */
const struct seccomp_call *engine_pool_calls(const struct vm_config *config);
/* What saving takes beyond the calls of every machine, once it is jailed; NULL: nothing. */
const struct seccomp_call *engine_save_calls(const struct vm_config *config);
/* Any thread, any number of times; answered by gone(). */
void engine_end(struct engine *engine);

/* What both do: kernel, initramfs, command line and the machine's tables, which have n_slots
 * for devices, into memory; *ret_entry is where the first vCPU starts. */
int engine_load(const struct vm_config *config, const struct images *images, size_t n_slots,
		const struct guest_memory *memory, gpa_t *ret_entry, struct error **ret_error);

/* The engines there are; engine_new() (engines.c) chooses. */
int kvm_engine_new(const struct vm_config *config, struct loop *loop,
		   const struct engine_events *events, struct engine **ret_engine,
		   struct error **ret_error);
int qemu_engine_new(const struct vm_config *config, struct loop *loop,
		    const struct engine_events *events, struct engine **ret_engine,
		    struct error **ret_error);
