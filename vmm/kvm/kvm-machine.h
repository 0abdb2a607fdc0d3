/* SPDX-License-Identifier: Apache-2.0 */
/* A machine on KVM: how it begins, and how it is saved. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "vmm/engine.h"
#include "vmm/image.h"
#include "vmm/snapshot.h"

enum kvm_beginning {
	KVM_BOOTS,
	KVM_RESUMES, /* from a template's state, with more devices than it had */
	KVM_GOES_ON, /* from the state of a machine that was exactly this one */
};

struct kvm_machine {
	const struct vm_config *config; /* outlives the engine */
	struct loop *loop;
	struct engine_events events;
	enum kvm_beginning beginning;
	const struct images *images; /* not needed where there is a state: */
	/* What was saved, or NULL; the descriptors stay the caller's. */
	const struct snapshot *state;
	int ram_fd, written_fd; /* struct template */
	/* What has changed in the memory since: ram-changes.h. */
	int changes[VM_CHANGES_MAX];
	size_t n_changes;
};

int kvm_machine_new(const struct kvm_machine *machine, struct engine **ret_engine,
		    struct error **ret_error);
/* Paused: all but its memory, into an empty buffer; then its memory, into an empty file. */
int kvm_machine_save(struct engine *engine, struct buffer *state, struct error **ret_error);
int kvm_machine_save_ram(struct engine *engine, int target_fd, struct error **ret_error);
