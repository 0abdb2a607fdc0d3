/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp: a container's filter.  It is compiled once.  Each of the container's
 * processes, and each startContainer hook, installs it right before execve(2), so a
 * profile has to allow that call and what the program itself makes.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

struct seccomp_filter {
	struct sock_filter *program;
	size_t n;	    /* instructions, at most BPF_MAXINSNS */
	unsigned int flags; /* SECCOMP_FILTER_FLAG_… */
};

/* In the agent, before anything of the container is made. */
int seccomp_compile(const struct spec_seccomp *seccomp, struct seccomp_filter **ret_filter,
		    struct error **ret_error);
void seccomp_filter_free(struct seccomp_filter *filter);
DEFINE_CLEANUP(struct seccomp_filter, seccomp_filter_free)

/* For good, for the calling process. Without no_new_privs the kernel wants
 * CAP_SYS_ADMIN: it must be permitted, and is made effective until execve(2). */
int seccomp_install(const struct seccomp_filter *filter, struct error **ret_error);
