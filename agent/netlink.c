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

#define LINKS_MAX 65536
#define LIST_ATTEMPTS 10

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
	int fd, result;

	netlink->socket = nl_socket_alloc();
	if (!netlink->socket)
		return error_set(ret_error, ENOMEM, "cannot make a netlink socket");
	result = nl_connect(netlink->socket, NETLINK_ROUTE);
	if (result < 0)
		return error_set(ret_error, EIO, "cannot make a netlink socket: %s",
				 nl_geterror(result));
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

static int send_message(struct netlink *netlink, struct nl_msg *message, struct error **ret_error)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	int result;

	free(TAKE_PTR(netlink->words));
	netlink->code = 0;
	header->nlmsg_seq = NL_AUTO_SEQ;
	header->nlmsg_pid = NL_AUTO_PORT;
	result = nl_send_auto(netlink->socket, message);
	return result < 0 ? fail(netlink, result, ret_error) : 0;
}

int netlink_request(struct netlink *netlink, struct nl_msg *message, struct error **ret_error)
{
	int result;

	if (send_message(netlink, message, ret_error) < 0)
		return -1;
	result = nl_wait_for_ack(netlink->socket);
	return result < 0 || netlink->code ? fail(netlink, result, ret_error) : 0;
}

static void copy_address(struct nlattr *attribute, uint8_t *ret_address)
{
	if (attribute && nla_len(attribute) == HARDWARE_ADDRESS_SIZE)
		memcpy(ret_address, nla_data(attribute), HARDWARE_ADDRESS_SIZE);
}

static int on_link(struct nl_msg *message, void *data)
{
	struct netlink_links *links = data;
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct nlattr *attributes[IFLA_MAX + 1];
	const struct ifinfomsg *info = nlmsg_data(header);
	struct netlink_link *link;

	if (header->nlmsg_type != RTM_NEWLINK || links->n_links == LINKS_MAX ||
	    nlmsg_parse(header, sizeof(*info), attributes, IFLA_MAX, NULL) < 0 ||
	    !attributes[IFLA_IFNAME])
		return NL_OK;
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
	return NL_OK;
}

/* -NLE_DUMP_INTR: something has changed meanwhile. */
static int dump_links(struct netlink *netlink, struct netlink_links *links, int *ret_result,
		      struct error **ret_error)
{
	_cleanup_(netlink_message_freep) struct nl_msg *message =
	    nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP);
	const struct ifinfomsg info = { .ifi_family = AF_UNSPEC };

	if (!message || nlmsg_append(message, (void *)&info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
	    nla_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
		return error_set(ret_error, ENOMEM, "cannot make a netlink message");
	/* A dump has an end of its own. */
	nl_socket_disable_auto_ack(netlink->socket);
	(void)nl_socket_modify_cb(netlink->socket, NL_CB_VALID, NL_CB_CUSTOM, on_link, links);
	*ret_result = send_message(netlink, message, ret_error);
	nl_socket_enable_auto_ack(netlink->socket);
	if (*ret_result < 0)
		return -1;
	*ret_result = nl_recvmsgs_default(netlink->socket);
	(void)nl_socket_modify_cb(netlink->socket, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	return 0;
}

int netlink_list_links(struct netlink *netlink, struct netlink_links *ret_links,
		       struct error **ret_error)
{
	int result = -NLE_DUMP_INTR;

	for (int i = 0; i < LIST_ATTEMPTS && result == -NLE_DUMP_INTR; i++) {
		_cleanup_(netlink_links_done) struct netlink_links links = { 0 };

		if (dump_links(netlink, &links, &result, ret_error) < 0)
			return error_wrap(ret_error, "cannot list the interfaces");
		if (result >= 0 && netlink->code == 0) {
			*ret_links = links;
			links = (struct netlink_links){ 0 };
			return 0;
		}
	}
	(void)fail(netlink, result, ret_error);
	return error_wrap(ret_error, "cannot list the interfaces");
}

void netlink_links_done(struct netlink_links *links)
{
	free(links->links);
	*links = (struct netlink_links){ 0 };
}
