/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink(7) in a network namespace that need not be the caller's, by libnl.  A socket
 * belongs to the namespace it was made in, for good.
 */
#pragma once

#include <linux/netlink.h>
#include <netlink/socket.h>

#include "base/cleanup.h"
#include "base/error.h"

/* A connected socket in the namespace behind ns_fd, which needs CAP_SYS_ADMIN; -1: in the caller's.
 * nl_socket_free(). */
int rtnetlink_connect(int ns_fd, struct nl_sock **ret_socket, struct error **ret_error);
DEFINE_CLEANUP(struct nl_sock, nl_socket_free)

/* Asks for all objects of a kind (RTM_GETLINK, …) and family (AF_UNSPEC: every one): each() gets
 * the messages as the kernel sends them, once all are there.  One that a change has interrupted is
 * asked for again.  Not from within each(). */
typedef void (*rtnetlink_each_fn)(void *data, const struct nlmsghdr *message);
int rtnetlink_dump(struct nl_sock *socket, int type, int family, rtnetlink_each_fn each, void *data,
		   struct error **ret_error);
/* The same for the neighbours that an interface answers for (NTF_PROXY; RTM_NEWNEIGH): the kernel
 * lists them only by themselves. */
int rtnetlink_dump_proxies(struct nl_sock *socket, rtnetlink_each_fn each, void *data,
			   struct error **ret_error);
