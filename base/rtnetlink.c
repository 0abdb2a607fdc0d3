/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink in any network namespace: see rtnetlink.h. */
#include "base/rtnetlink.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/netns.h"

/* A dump that changes interrupt is asked for again. */
#define DUMPS_MAX 8

static int connect_here(void *data, struct error **ret_error)
{
	int result = nl_connect(data, NETLINK_ROUTE);

	if (result < 0)
		return error_set(ret_error, EIO, "cannot make a netlink socket: %s",
				 nl_geterror(result));
	return 0;
}

int rtnetlink_connect(int ns_fd, struct nl_sock **ret_socket, struct error **ret_error)
{
	_cleanup_(nl_socket_freep) struct nl_sock *socket = nl_socket_alloc();

	if (!socket)
		return error_set_errno(ret_error, ENOMEM, "cannot make a netlink socket");
	if ((ns_fd < 0 ? connect_here(socket, ret_error)
		       : netns_run(ns_fd, connect_here, socket, ret_error)) < 0)
		return -1;
	*ret_socket = TAKE_PTR(socket);
	return 0;
}

struct dump {
	rtnetlink_each_fn each;
	void *data;
};

static int on_message(struct nl_msg *message, void *data)
{
	const struct dump *dump = data;

	dump->each(dump->data, nlmsg_hdr(message));
	return NL_OK;
}

/* What is asked for: a message's type, and what follows its header. */
struct question {
	int type;
	const void *bytes;
	size_t size;
};

static int dump_once(struct nl_sock *socket, const struct question *question,
		     struct nl_cb *callbacks)
{
	int n = nl_send_simple(socket, question->type, NLM_F_DUMP, (void *)question->bytes,
			       question->size);

	return n < 0 ? n : nl_recvmsgs(socket, callbacks);
}

/* The messages of a dump, kept until it is known to be whole. */
struct kept {
	struct nlmsghdr **messages;
	size_t n;
};

static void keep(void *data, const struct nlmsghdr *message)
{
	struct kept *kept = data;

	kept->messages = xreallocarray(kept->messages, kept->n + 1, sizeof(kept->messages[0]));
	kept->messages[kept->n++] = xmemdup(message, message->nlmsg_len);
}

static void kept_done(struct kept *kept)
{
	while (kept->n > 0)
		free(kept->messages[--kept->n]);
	free(kept->messages);
	kept->messages = NULL;
}

static int ask(struct nl_sock *socket, const struct question *question, rtnetlink_each_fn each,
	       void *data, struct error **ret_error)
{
	_cleanup_(kept_done) struct kept kept = { 0 };
	struct dump dump = { keep, &kept };
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	int result = -NLE_NOMEM;

	if (callbacks)
		(void)nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, on_message, &dump);
	for (int i = 0; callbacks && i < DUMPS_MAX; i++) {
		kept_done(&kept);
		result = dump_once(socket, question, callbacks);
		if (result != -NLE_DUMP_INTR)
			break;
	}
	nl_cb_put(callbacks);
	if (result < 0)
		return error_set(ret_error, EIO,
				 "cannot list the objects of the network namespace: %s",
				 nl_geterror(result));
	for (size_t i = 0; i < kept.n; i++)
		each(data, kept.messages[i]);
	return 0;
}

int rtnetlink_dump(struct nl_sock *socket, int type, int family, rtnetlink_each_fn each, void *data,
		   struct error **ret_error)
{
	const struct rtgenmsg header = { .rtgen_family = (unsigned char)family };
	const struct question question = { type, &header, sizeof(header) };

	return ask(socket, &question, each, data, ret_error);
}

int rtnetlink_dump_proxies(struct nl_sock *socket, rtnetlink_each_fn each, void *data,
			   struct error **ret_error)
{
	const struct ndmsg header = { .ndm_family = AF_UNSPEC, .ndm_flags = NTF_PROXY };
	const struct question question = { RTM_GETNEIGH, &header, sizeof(header) };

	return ask(socket, &question, each, data, ret_error);
}
