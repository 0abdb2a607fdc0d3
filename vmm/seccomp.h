/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call filters (libseccomp), one for each kind of thread.  A call that is not
 * listed ends the process (SIGSYS).  seccomp.c lists what every machine needs, a device's
 * entry (device.h) what it needs beyond that, where there is such a device.  With
 * --disable-seccomp the functions do nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "base/error.h"

enum seccomp_kind {
	SECCOMP_LOOP,  /* the first thread; what it starts inherits it */
	SECCOMP_VCPU,  /* vCPU threads, and the workers devices start from there */
	SECCOMP_SHARE, /* the threads that serve shared directories */
};
/* Sets of them.  What a vCPU's thread may do, the loop's has to be allowed too. */
#define SECCOMP_BY_LOOP (1U << SECCOMP_LOOP)
#define SECCOMP_BY_BOTH (1U << SECCOMP_LOOP | 1U << SECCOMP_VCPU)
#define SECCOMP_BY_SHARE (1U << SECCOMP_SHARE)
#define SECCOMP_BY_ALL (SECCOMP_BY_BOTH | SECCOMP_BY_SHARE)

/* A system call, by whom, and maybe under which conditions on arguments, all of which must be
 * met.  A call may be listed several times. */
struct seccomp_call {
	int number;
	unsigned kinds; /* SECCOMP_BY_…; 0: behind the last */
	struct {
		unsigned argument;
		uint64_t mask, value; /* argument & mask == value; mask 0: no condition */
	} conditions[2];
};

#ifdef HAVE_SECCOMP
#define SECCOMP_NUMBER(name) SCMP_SYS(name)
#else
#define SECCOMP_NUMBER(name) 0
#endif
#define SECCOMP_CALL(name, by) .number = SECCOMP_NUMBER(name), .kinds = (by)
#define SECCOMP_IF_IS(index, wanted) .conditions[0] = { (index), UINT64_MAX, (wanted) }
#define SECCOMP_IF_MASKED(index, bits, wanted) .conditions[0] = { (index), (bits), (wanted) }
/* An int of which only those bits may differ from wanted. */
#define SECCOMP_IF_BUT(index, bits, wanted)                                                        \
	SECCOMP_IF_MASKED(index, UINT32_MAX & ~(uint64_t)(bits), wanted)
#define SECCOMP_AND_IS(index, wanted) .conditions[1] = { (index), UINT64_MAX, (wanted) }
#define SECCOMP_AND_BUT(index, bits, wanted)                                                       \
	.conditions[1] = { (index), UINT32_MAX & ~(uint64_t)(bits), (wanted) }

/* Makes all filters: needs memory and files, so before any is in force.  lists: what devices
 * need, each up to its end. */
int seccomp_prepare(const struct seccomp_call *const *lists, size_t n_lists,
		    struct error **ret_error);
/* The calling thread, and those it starts, from now on.  no_new_privs is set. */
int seccomp_enter(enum seccomp_kind kind, struct error **ret_error);
/* The calling process, which is about to run a program of others: what reaches out of its
 * namespaces, or into the kernel's rarely used corners, fails with EPERM; all else is allowed. */
int seccomp_deny_outside(struct error **ret_error);
/* The calling process, which waits for that one and can do no more than end it. */
int seccomp_enter_keeper(struct error **ret_error);
