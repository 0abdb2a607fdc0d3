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

/* A connected socket in the namespace behind ns_fd; nl_socket_free(). Needs CAP_SYS_ADMIN unless
 * that is the caller's own namespace. */
int netlink_connect(int ns_fd, struct nl_sock **ret_socket, struct error **ret_error);
DEFINE_CLEANUP(struct nl_sock, nl_socket_free)

/* Asks for all objects of a kind (RTM_GETLINK, …) and family (AF_UNSPEC: every one): each() gets
 * the messages as the kernel sends them.  Not from within each(). */
typedef void (*netlink_each_fn)(void *data, const struct nlmsghdr *message);
int netlink_dump(struct nl_sock *socket, int type, int family, netlink_each_fn each, void *data,
		 struct error **ret_error);
