/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors of the VMM: see vm-fds.h. */
#include "protocol/vm-fds.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "base/cleanup.h"

void vm_fds_add(struct vm_fds *fds, int *field, int fd)
{
	assert(fds->n < ARRAY_SIZE(fds->entries));
	*field = VM_FD_FIRST + (int)fds->n;
	fds->entries[fds->n].field = field;
	fds->entries[fds->n].fd = fd;
	fds->n++;
}

void vm_fds_set(struct vm_fds *fds, const int *field, int fd)
{
	size_t i = 0;

	while (i < fds->n && fds->entries[i].field != field)
		i++;
	assert(i < fds->n);
	fds->entries[i].fd = fd;
}

int vm_fds_place(const struct vm_fds *fds, const int standard[VM_FD_FIRST], int *other,
		 struct error **ret_error)
{
	const int end = VM_FD_FIRST + (int)fds->n;
	int high[VM_FD_FIRST + ARRAY_SIZE(fds->entries)], high_other;

	/* First above all numbers that are given: a source may have one of them. */
	high_other = fcntl(*other, F_DUPFD_CLOEXEC, end);
	if (high_other < 0)
		return error_set_errno(ret_error, errno, "cannot copy descriptor %d", *other);
	*other = high_other;
	for (int i = 0; i < end; i++) {
		high[i] = fcntl(i < VM_FD_FIRST ? standard[i] : fds->entries[i - VM_FD_FIRST].fd,
				F_DUPFD_CLOEXEC, end);
		if (high[i] < 0)
			return error_set_errno(ret_error, errno,
					       "cannot give the VMM its descriptor %d", i);
	}
	for (int i = 0; i < end; i++)
		if (dup2(high[i], i) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot give the VMM its descriptor %d", i);
	(void)close_range((unsigned)end, ~0u, CLOSE_RANGE_CLOEXEC);
	return 0;
}
