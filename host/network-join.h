/* SPDX-License-Identifier: Apache-2.0 */
/* Joining an interface and a tap, for network.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rtnetlink.h"

/* What arrives at one leaves at the other from now on.  The tap is up, and takes frames of that
 * size.  An interface that was joined to another tap before is not any more. */
int network_join(struct nl_sock *socket, int interface, int tap, uint32_t mtu,
		 struct error **ret_error);
/* The MTU of an interface that is joined to this tap is another one now. */
int network_join_mtu(struct nl_sock *socket, int tap, uint32_t mtu, struct error **ret_error);
/* An interface on top of another: a VLAN's has frames with a tag, a macvlan's those that are for
 * its address or for all. */
struct network_upper {
	uint16_t protocol, id; /* ETH_P_8021Q or ETH_P_8021AD; 0: by address */
	uint8_t address[6];
};
/* Those frames stay in the namespace (those for all go both ways), for its own interfaces on top of
 * that one, which is joined to this tap; of one that was named before and is not any more they do
 * not. Wants the kernel's module cls_flower. */
int network_pass(struct nl_sock *socket, int interface, int tap, const struct network_upper *uppers,
		 size_t n, struct error **ret_error);
/* The interface is its namespace's own again, whatever it was joined to. */
void network_part(struct nl_sock *socket, int interface);
