/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs: a thread each, and the order that all of them follow.
 *
 * The order is one of run, pause and end.  A change makes every vCPU leave the
 * guest; a vCPU obeys before it enters again.  "End" is final.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/kvm/kvm.h"

struct vcpus;

struct vcpus_options {
	uint32_t count, max; /* from the start; as many as there may be */
	const struct bus *ports;
	const struct bus *mmio;
	struct loop *loop;
	/* The guest cannot go on: any vCPU thread. */
	guest_end_fn ended;
	/* Every vCPU has paused, every vCPU thread is at its end: loop thread. */
	void (*paused)(void *data);
	void (*gone)(void *data);
	void *data; /* of these three */
};

/* Makes the vCPUs, not yet running. */
int vcpus_new(const struct kvm *kvm, const struct vcpus_options *options, struct vcpus **ret_vcpus,
	      struct error **ret_error);
/* Ends and joins the threads. */
void vcpus_free(struct vcpus *vcpus);
DEFINE_CLEANUP(struct vcpus, vcpus_free)

int vcpus_fd(const struct vcpus *vcpus, uint32_t index); /* stays the vCPU's */

/* Starts the threads; they run at once. */
int vcpus_start(struct vcpus *vcpus, struct error **ret_error);
/* Loop thread, the vCPUs run: makes the next one, which prepare() gets ready, and starts it. ESRCH:
 * they have come to their end. */
typedef int (*vcpu_prepare_fn)(void *data, int vcpu_fd, uint32_t index, struct error **ret_error);
int vcpus_add(struct vcpus *vcpus, const struct kvm *kvm, vcpu_prepare_fn prepare, void *data,
	      struct error **ret_error);
/* Loop thread; answered by paused(), unless the vCPUs end before. */
void vcpus_pause(struct vcpus *vcpus);
void vcpus_resume(struct vcpus *vcpus); /* loop thread */
/* Any thread, any number of times; answered by gone() once. */
void vcpus_end(struct vcpus *vcpus);
