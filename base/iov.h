/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of scattered memory. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

/* The part [offset, offset + size) of the n_iov iovecs, as far as there is one; returns how
 * many iovecs of ret_iov it takes.  ret_iov has room for n_iov. */
unsigned iov_slice(const struct iovec *iov, unsigned n_iov, uint32_t offset, uint32_t size,
		   struct iovec *ret_iov);
