/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a container's /etc/hosts (hosts(5)). */
#pragma once

#include "base/buffer.h"

/* A line of three parts, which may be "". */
void hosts_put_line(struct buffer *text, const char *first, const char *between,
		    const char *second);
/* The machine itself, as every such file begins. */
void hosts_put_local(struct buffer *text);
/* The container's name at the addresses that passt gives the guest; families: passt_families(). */
void hosts_put_guest(struct buffer *text, unsigned families, const char *hostname);
