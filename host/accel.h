/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accel=auto|kvm|tcg: whether a container's guest runs on this machine's KVM or on
 * QEMU's emulator.  This is the one owner of that decision, for the verbs and for
 * the task server.
 *
 * What is asked for, from the first that says something: the flag (the Create
 * request), the annotation, $SUPERMACHINE_ACCEL, the configuration file; else auto.
 * auto takes KVM where it can run an ordinary kernel (host/kvm-answer.h),
 * else QEMU, and says so in one warning per boot and user.
 */
#pragma once

#include "base/error.h"
#include "host/kvm-answer.h"
#include "protocol/vm-config.h"

struct settings;
struct spec;

enum accel_wish { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };

const char *accel_wish_name(enum accel_wish wish);
/* -1 for a word that is none of auto, kvm, tcg; *ret_wish is untouched then. */
int accel_wish_parse(const char *word, enum accel_wish *ret_wish);

struct accel_request {
	const char *flag;	 /* NULL or "": not given */
	const struct spec *spec; /* NULL: no container's */
	const struct settings *settings;
	const char *vmm; /* supermachine-vmm's path; NULL: found by base/paths.h */
};

/* What is asked for, and by whom: *ret_source, e.g. "--accel", is static.  A wrong
 * word is an error that names its source. */
int accel_asked(const struct accel_request *request, enum accel_wish *ret_wish,
		const char **ret_source, struct error **ret_error);

/* The decision.  Asks KVM unless tcg is asked for (the first time after a boot this
 * takes some 10 ms, 10 s at most), and looks for QEMU where that is needed.  Logs
 * the warning of an auto that is tcg, unless it was logged in this boot.  Errors: a wrong word; kvm
 * where KVM is not usable; no QEMU where one is needed. */
int accel_find(const struct accel_request *request, enum vm_accel *ret_accel,
	       struct error **ret_error);

/* The same from an answer at hand; *ret_reason (caller frees) is why auto is tcg,
 * else NULL.  answer may be NULL where wish is ACCEL_TCG. */
int accel_decide(enum accel_wish wish, const char *source, const struct kvm_answer *answer,
		 enum vm_accel *ret_accel, char **ret_reason, struct error **ret_error);
