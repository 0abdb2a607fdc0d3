/* SPDX-License-Identifier: Apache-2.0 */
/* eBPF programs that change where a cgroup's sockets go, for names.c. */
#pragma once

#include <netinet/in.h>

#include "base/error.h"

/* IPv4, by IPv6 sockets too: what the processes of that cgroup say to the address's asked port goes
 * to its other port, and what comes from there seems to come from the asked one.  In network byte
 * order, as in sockaddr_in. For as long as there is the cgroup (descriptor of its directory). */
struct names_ports {
	struct in_addr address;
	in_port_t asked, other;
};
int names_program_attach(int cgroup_fd, const struct names_ports *ports, struct error **ret_error);
