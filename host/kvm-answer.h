/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this machine's KVM runs an ordinary kernel: the verdict of
 * `supermachine-vmm --probe`, asked for once per boot.
 *
 * RUNTIME/@kvm.json (host/runtime-file.h) remembers it, together with everything that
 * could change it: the boot, the device, the modules behind it, the user, the program
 * that asked.  If the file is missing, cannot be trusted or does not match, KVM is
 * probed again.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct kvm_answer {
	char *verdict; /* a word of protocol/probe.h */
	char *message; /* why it is not usable; "" where it is */
};

/* A verdict and a message, copied. */
struct kvm_answer *kvm_answer_new(const char *verdict, const char *message);
void kvm_answer_free(struct kvm_answer *answer);
DEFINE_CLEANUP(struct kvm_answer, kvm_answer_free)

bool kvm_answer_usable(const struct kvm_answer *answer);

/* The remembered answer, else kvm_answer_ask().  vmm is supermachine-vmm's path,
 * NULL where base/paths.h shall find it.  Fails only where that cannot be run. */
int kvm_answer_get(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error);
/* Asks KVM, and remembers what it says of itself; nothing is remembered where it is
 * missing, refused, busy, or the probe failed.  Waits 10 s at most for the program. */
int kvm_answer_ask(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error);

/* ---- between the parts: kvm-memory.c ---- */

/* All that the answer depends on, as one line.  Caller frees. */
char *kvm_memory_key(const char *vmm);
/* NULL where there is no answer to this key, or none that can be trusted. */
struct kvm_answer *kvm_memory_load(const char *directory, const char *key);
/* A failure is of no consequence: it is logged at debug level. */
void kvm_memory_save(const char *directory, const char *key, const struct kvm_answer *answer);
void kvm_memory_forget(const char *directory);
