/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a hosts file: see hosts-file.h. */
#include "host/hosts-file.h"

#include <string.h>

#include "base/alloc.h"
#include "host/passt.h"

void hosts_put_line(struct buffer *text, const char *first, const char *between, const char *second)
{
	_cleanup_free_ char *line = xasprintf("%s%s%s", first, between, second);

	buffer_append_line(text, line);
}

void hosts_put_local(struct buffer *text)
{
	hosts_put_line(text, "127.0.0.1", "\t", "localhost");
	hosts_put_line(text, "::1", "\t", "localhost ip6-localhost ip6-loopback");
}

void hosts_put_guest(struct buffer *text, unsigned families, const char *hostname)
{
	if (families & PASST_IPV4)
		hosts_put_line(text, PASST_GUEST_ADDRESS, "\t", hostname);
	if (families & PASST_IPV6)
		hosts_put_line(text, PASST_GUEST_ADDRESS6, "\t", hostname);
}
