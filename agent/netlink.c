/* SPDX-License-Identifier: Apache-2.0 */
/* A socket of rtnetlink: see netlink.h. */
#include "agent/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/rtnetlink.h"

#define LINKS_MAX 65536

struct netlink {
	struct nl_sock *socket;
	/* Of the last answer: errno, and the kernel's explanation or NULL. */
	int code;
	char *words;
};

/* An error's own attributes come after the header of the request that it repeats
 * (NETLINK_CAP_ACK: no more than that). */
static int on_error(struct sockaddr_nl *address, struct nlmsgerr *answer, void *data)
{
	struct netlink *netlink = data;
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer - 1;
	int length = (int)(header->nlmsg_len - sizeof(*header) - sizeof(*answer));
	struct nlattr *words;

	(void)address;
	netlink->code = -answer->error;
	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS) || !(header->nlmsg_flags & NLM_F_CAPPED))
		return NL_STOP;
	words = nla_find((struct nlattr *)(answer + 1), length, NLMSGERR_ATTR_MSG);
	if (words && nla_len(words) > 0 && !netlink->words)
		netlink->words = xstrndup(nla_data(words), (size_t)nla_len(words));
	return NL_STOP;
}

int netlink_open(struct netlink **ret_netlink, struct error **ret_error)
{
	_cleanup_(netlink_freep) struct netlink *netlink = xcalloc(1, sizeof(*netlink));
	static const int on = 1;
	int fd;

	if (rtnetlink_connect(-1, &netlink->socket, ret_error) < 0)
		return -1;
	fd = nl_socket_get_fd(netlink->socket);
	if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0)
		return error_set_errno(ret_error, errno, "setsockopt NETLINK_EXT_ACK");
	if (nl_socket_modify_err_cb(netlink->socket, NL_CB_CUSTOM, on_error, netlink) < 0)
		return error_set(ret_error, EIO, "cannot set up a netlink socket");
	*ret_netlink = TAKE_PTR(netlink);
	return 0;
}

void netlink_free(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->socket)
		nl_socket_free(netlink->socket);
	free(netlink->words);
	free(netlink);
}

int netlink_namespace(const struct netlink *netlink, uint64_t *ret_cookie, struct error **ret_error)
{
	socklen_t size = sizeof(*ret_cookie);

	if (getsockopt(nl_socket_get_fd(netlink->socket), SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie,
		       &size) < 0)
		return error_set_errno(ret_error, errno, "getsockopt SO_NETNS_COOKIE");
	return 0;
}

static int fail(struct netlink *netlink, int result, struct error **ret_error)
{
	if (!netlink->code)
		return error_set(ret_error, EIO, "netlink: %s", nl_geterror(result));
	return error_set(ret_error, netlink->code, "%s",
			 netlink->words ? netlink->words : strerror(netlink->code));
}

int netlink_request(struct netlink *netlink, struct nl_msg *message, struct error **ret_error)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	int result;

	free(TAKE_PTR(netlink->words));
	netlink->code = 0;
	header->nlmsg_seq = NL_AUTO_SEQ;
	header->nlmsg_pid = NL_AUTO_PORT;
	result = nl_send_auto(netlink->socket, message);
	if (result >= 0)
		result = nl_wait_for_ack(netlink->socket);
	return result < 0 || netlink->code ? fail(netlink, result, ret_error) : 0;
}

static void copy_address(struct nlattr *attribute, uint8_t *ret_address)
{
	if (attribute && nla_len(attribute) == HARDWARE_ADDRESS_SIZE)
		memcpy(ret_address, nla_data(attribute), HARDWARE_ADDRESS_SIZE);
}

static void add_link(void *data, const struct nlmsghdr *message)
{
	struct netlink_links *links = data;
	struct nlmsghdr *header = (struct nlmsghdr *)message;
	struct nlattr *attributes[IFLA_MAX + 1];
	const struct ifinfomsg *info = nlmsg_data(header);
	struct netlink_link *link;

	if (header->nlmsg_type != RTM_NEWLINK || links->n_links == LINKS_MAX ||
	    nlmsg_parse(header, sizeof(*info), attributes, IFLA_MAX, NULL) < 0 ||
	    !attributes[IFLA_IFNAME])
		return;
	links->links = xreallocarray(links->links, links->n_links + 1, sizeof(*links->links));
	link = &links->links[links->n_links++];
	*link =
	    (struct netlink_link){ .index = (uint32_t)info->ifi_index, .flags = info->ifi_flags };
	(void)nla_strlcpy(link->name, attributes[IFLA_IFNAME], sizeof(link->name));
	if (attributes[IFLA_MTU])
		link->mtu = nla_get_u32(attributes[IFLA_MTU]);
	if (attributes[IFLA_TXQLEN])
		link->queue_length = nla_get_u32(attributes[IFLA_TXQLEN]);
	copy_address(attributes[IFLA_ADDRESS], link->address);
	copy_address(attributes[IFLA_PERM_ADDRESS], link->permanent_address);
}

int netlink_list_links(struct netlink *netlink, struct netlink_links *ret_links,
		       struct error **ret_error)
{
	struct netlink_links links = { 0 };

	if (rtnetlink_dump(netlink->socket, RTM_GETLINK, AF_UNSPEC, add_link, &links, ret_error) <
	    0)
		return error_wrap(ret_error, "cannot list the interfaces");
	*ret_links = links;
	return 0;
}

void netlink_links_done(struct netlink_links *links)
{
	free(links->links);
	*links = (struct netlink_links){ 0 };
}
