/* SPDX-License-Identifier: Apache-2.0 */
/* Joining an interface and a tap by tc-mirred(8): see network-join.h. */
#include "host/network-join.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/flower.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/qdisc.h>
#include <stdbool.h>

#include "base/checked.h"

/* The largest MTU that a tap takes; what is redirected to it is not held to that. */
#define TAP_MTU_MAX (65535U - ETH_HLEN)
/* Of our filter; behind those that somebody else may have put there. */
#define FILTER_PRIORITY 49152
#define INGRESS_PARENT TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) /* of ingress and clsact both */

DEFINE_CLEANUP(struct rtnl_qdisc, rtnl_qdisc_put)
DEFINE_CLEANUP(struct rtnl_cls, rtnl_cls_put)

/* Up, with that MTU (0: as it is) and these flags. */
static int change_link(struct nl_sock *socket, int index, uint32_t mtu, unsigned flags)
{
	struct ifinfomsg link = { .ifi_index = index, .ifi_flags = flags, .ifi_change = flags };
	struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, 0);

	if (!message)
		return -NLE_NOMEM;
	if (nlmsg_append(message, &link, sizeof(link), NLMSG_ALIGNTO) < 0 ||
	    (mtu && nla_put_u32(message, IFLA_MTU, mtu) < 0)) {
		nlmsg_free(message);
		return -NLE_NOMEM;
	}
	return nl_send_sync(socket, message); /* which frees it */
}

static int add_ingress(struct nl_sock *socket, int index)
{
	_cleanup_(rtnl_qdisc_putp) struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	int result;

	if (!qdisc)
		return -NLE_NOMEM;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), index);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_INGRESS);
	rtnl_tc_set_handle(TC_CAST(qdisc), TC_H_MAKE(TC_H_INGRESS, 0));
	result = rtnl_tc_set_kind(TC_CAST(qdisc), "ingress");
	if (result == 0)
		result = rtnl_qdisc_add(socket, qdisc, NLM_F_CREATE | NLM_F_EXCL);
	return result == -NLE_EXIST ? 0 : result; /* (clsact is as good) */
}

/* What a filter of ours is, apart from the frames that it is for: kernels without cls_matchall have
 * u32. */
static const struct filter_kind {
	const char *kind;
	uint16_t priority, protocol;
} redirection = { "u32", FILTER_PRIORITY, ETH_P_ALL }, passages[] = {
	{ "flower", FILTER_PRIORITY - 2, ETH_P_8021Q },
	{ "flower", FILTER_PRIORITY - 3, ETH_P_8021AD },
	{ "flower", FILTER_PRIORITY - 1, ETH_P_ALL },
}, *const by_address = &passages[2];

static int new_filter(int index, const struct filter_kind *kind, struct rtnl_cls **ret_filter)
{
	_cleanup_(rtnl_cls_putp) struct rtnl_cls *filter = rtnl_cls_alloc();
	int result;

	if (!filter)
		return -NLE_NOMEM;
	rtnl_tc_set_ifindex(TC_CAST(filter), index);
	rtnl_tc_set_parent(TC_CAST(filter), INGRESS_PARENT);
	rtnl_cls_set_prio(filter, kind->priority);
	rtnl_cls_set_protocol(filter, kind->protocol);
	result = rtnl_tc_set_kind(TC_CAST(filter), kind->kind);
	if (result == 0)
		*ret_filter = TAKE_PTR(filter);
	return result;
}

/* All of that kind; there may be none. */
static void delete_filters(struct nl_sock *socket, int index, const struct filter_kind *kind)
{
	_cleanup_(rtnl_cls_putp) struct rtnl_cls *filter = NULL;

	if (new_filter(index, kind, &filter) == 0)
		(void)rtnl_cls_delete(socket, filter, 0);
}

DEFINE_CLEANUP(struct rtnl_act, rtnl_act_put)

/* TCA_EGRESS_REDIR, and that is all; TCA_EGRESS_MIRROR, and it goes on as well. */
static int new_action(int what, int to, struct rtnl_act **ret_action)
{
	_cleanup_(rtnl_act_putp) struct rtnl_act *action = rtnl_act_alloc();
	int result = action ? rtnl_tc_set_kind(TC_CAST(action), "mirred") : -NLE_NOMEM;

	if (result == 0)
		result = rtnl_mirred_set_action(action, what);
	if (result == 0)
		result = rtnl_mirred_set_policy(action, what == TCA_EGRESS_REDIR ? TC_ACT_STOLEN
										 : TC_ACT_PIPE);
	if (result == 0)
		result = rtnl_mirred_set_ifindex(action, (uint32_t)to);
	if (result == 0)
		*ret_action = TAKE_PTR(action);
	return result;
}

static int redirect_all(struct rtnl_cls *filter, int to)
{
	_cleanup_(rtnl_act_putp) struct rtnl_act *action = NULL;
	int result = new_action(TCA_EGRESS_REDIR, to, &action);

	if (result == 0)
		result = rtnl_u32_add_key_uint32(filter, 0, 0, 0, 0); /* all there is */
	if (result == 0)
		result = rtnl_u32_set_cls_terminal(filter);
	if (result == 0)
		result = rtnl_u32_add_action(filter, action); /* takes a reference */
	return result;
}

void network_part(struct nl_sock *socket, int interface)
{
	delete_filters(socket, interface, &redirection);
	for (size_t i = 0; i < ARRAY_SIZE(passages); i++)
		delete_filters(socket, interface, &passages[i]);
}

/* Without an action: the frame goes on as if there were no filters. */
static int pass_tagged(struct nl_sock *socket, int interface, const struct filter_kind *kind,
		       uint16_t id)
{
	_cleanup_(rtnl_cls_putp) struct rtnl_cls *filter = NULL;
	int result = new_filter(interface, kind, &filter);

	if (result == 0)
		result = rtnl_flower_set_proto(filter, kind->protocol);
	if (result == 0)
		result = rtnl_flower_set_vlan_id(filter, id);
	return result < 0 ? result : rtnl_cls_add(socket, filter, NLM_F_CREATE | NLM_F_EXCL);
}

/* What is for an address, masked; to: a copy goes there, 0: none. */
static int pass_addressed(struct nl_sock *socket, int interface, const struct filter_kind *kind,
			  const uint8_t *address, const uint8_t *mask, int to)
{
	_cleanup_(rtnl_cls_putp) struct rtnl_cls *filter = NULL;
	_cleanup_(rtnl_act_putp) struct rtnl_act *action = NULL;
	int result = new_filter(interface, kind, &filter);

	if (result == 0)
		result = rtnl_flower_set_dst_mac(filter, (unsigned char *)address,
						 (unsigned char *)mask);
	if (result == 0 && to)
		result = new_action(TCA_EGRESS_MIRROR, to, &action);
	if (result == 0 && to)
		result = rtnl_flower_append_action(filter, action); /* takes a reference */
	return result < 0 ? result : rtnl_cls_add(socket, filter, NLM_F_CREATE | NLM_F_EXCL);
}

static int pass_upper(struct nl_sock *socket, int interface, const struct network_upper *upper)
{
	static const uint8_t all[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	for (size_t i = 0; i < ARRAY_SIZE(passages); i++)
		if (upper->protocol && upper->protocol == passages[i].protocol)
			return pass_tagged(socket, interface, &passages[i], upper->id);
	return upper->protocol
		   ? 0
		   : pass_addressed(socket, interface, by_address, upper->address, all, 0);
}

int network_pass(struct nl_sock *socket, int interface, int tap, const struct network_upper *uppers,
		 size_t n, struct error **ret_error)
{
	static const uint8_t group[] = { 1, 0, 0, 0, 0, 0 };
	bool addressed = false;
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(passages); i++)
		delete_filters(socket, interface, &passages[i]);
	for (size_t i = 0; i < n && result == 0; i++) {
		addressed |= !uppers[i].protocol;
		result = pass_upper(socket, interface, &uppers[i]);
	}
	if (result == 0 && addressed)
		result = pass_addressed(socket, interface, by_address, group, group, tap);
	if (result < 0)
		return error_set(
		    ret_error, EIO,
		    "cannot pass on the frames of an interface on top of it (tc flower): %s",
		    nl_geterror(result));
	return 0;
}

static int redirect(struct nl_sock *socket, int from, int to)
{
	_cleanup_(rtnl_cls_putp) struct rtnl_cls *filter = NULL;
	int result = add_ingress(socket, from);

	/* From the tap of a machine that was killed. */
	if (result == 0)
		network_part(socket, from);
	if (result == 0)
		result = new_filter(from, &redirection, &filter);
	if (result == 0)
		result = redirect_all(filter, to);
	return result < 0 ? result : rtnl_cls_add(socket, filter, NLM_F_CREATE | NLM_F_EXCL);
}

int network_join_mtu(struct nl_sock *socket, int tap, uint32_t mtu, struct error **ret_error)
{
	int result = change_link(socket, tap, MIN(mtu, TAP_MTU_MAX), IFF_UP);

	if (result < 0)
		return error_set(ret_error, EIO, "cannot give its tap the MTU %u: %s", mtu,
				 nl_geterror(result));
	return 0;
}

int network_join(struct nl_sock *socket, int interface, int tap, uint32_t mtu,
		 struct error **ret_error)
{
	int result = change_link(socket, tap, MIN(mtu, TAP_MTU_MAX), IFF_UP);

	/* The guest's own multicast groups are not known here. */
	if (result >= 0)
		result = change_link(socket, interface, 0, IFF_ALLMULTI);
	if (result >= 0)
		result = redirect(socket, interface, tap);
	if (result >= 0)
		result = redirect(socket, tap, interface);
	if (result < 0)
		return error_set(ret_error, EIO, "cannot redirect packets (tc u32, mirred): %s",
				 nl_geterror(result));
	return 0;
}
