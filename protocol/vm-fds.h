/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptors of the VMM, for the process that starts it: one table of the document's fields
 * and what each stands for here.  From it come both the numbers in the document and what the VMM
 * inherits under them.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "protocol/vm-config.h"

#define VM_FD_FIRST 3 /* behind stdin, stdout and stderr: the n-th entry is VM_FD_FIRST + n */

struct vm_fds {
	struct {
		const int *field;
		int fd;		   /* stays the caller's; -1: vm_fds_set() is to come */
	} entries[VM_FDS_MAX + 1]; /* all of the document's, and the document */
	size_t n;
};

/* The field gets the number that the descriptor will have in the VMM. */
void vm_fds_add(struct vm_fds *fds, int *field, int fd);
/* The descriptor of a field that was added without. */
void vm_fds_set(struct vm_fds *fds, const int *field, int fd);

/* In the process that will be the VMM: gives each descriptor its number.  standard: what
 * becomes stdin, stdout and stderr.  All others are close-on-exec then; *other is one that is
 * needed until then, and gets a number out of the way. */
int vm_fds_place(const struct vm_fds *fds, const int standard[VM_FD_FIRST], int *other,
		 struct error **ret_error);
