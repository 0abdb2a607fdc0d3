/*
 * System call filters (libseccomp), one for each kind of thread.  A call that is not listed ends
 * the process (SIGSYS).  Built with
 * --disable-seccomp nothing here does anything.
 */
#pragma once

#include "base/error.h"

enum seccomp_kind {
	SECCOMP_LOOP,  /* the first thread; what it starts inherits it */
	SECCOMP_VCPU,  /* vCPU threads, and the workers devices start from there */
	SECCOMP_SHARE, /* the threads that serve shared directories */
};

/* Makes all filters: needs memory and files, so before any is in force. */
int seccomp_prepare(struct error **ret_error);
/* The calling thread, and those it starts, from now on.  no_new_privs is set. */
int seccomp_enter(enum seccomp_kind kind, struct error **ret_error);
/* Frees the filters; those in force stay. */
void seccomp_done(void);
