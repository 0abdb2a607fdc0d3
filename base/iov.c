/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of scattered memory: see iov.h. */
#include "base/iov.h"

#include "base/checked.h"

unsigned iov_slice(const struct iovec *iov, unsigned n_iov, uint32_t offset, uint32_t size,
		   struct iovec *ret_iov)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_iov && size > 0; i++) {
		size_t length;

		if (offset >= iov[i].iov_len) {
			offset -= (uint32_t)iov[i].iov_len;
			continue;
		}
		length = MIN(iov[i].iov_len - offset, (size_t)size);
		ret_iov[n++] = (struct iovec){ .iov_base = (char *)iov[i].iov_base + offset,
					       .iov_len = length };
		size -= (uint32_t)length;
		offset = 0;
	}
	return n;
}
