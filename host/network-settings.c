/* SPDX-License-Identifier: Apache-2.0 */
/* The sysctls of a namespace: see network-settings.h. */
#include "host/network-settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/netns.h"

#define VALUE_MAX 64

/* Below /proc/sys/net, each with its value in a new namespace (linux: networking/ip-sysctl).  In
 * the order in which they can be written: "forwarding" of all interfaces changes that of each.
 * Nothing that depends on the machine's memory or on modules. */
static const struct {
	const char *path, *usual;
} settings[] = {
	{ "core/somaxconn", "4096" },
	{ "ipv4/ip_forward", "0" },
	{ "ipv6/conf/all/forwarding", "0" },
	{ "ipv6/conf/all/disable_ipv6", "0" },
	{ "ipv6/conf/default/disable_ipv6", "0" },
	{ "ipv4/conf/all/rp_filter", "0" },
	{ "ipv4/conf/all/accept_local", "0" },
	{ "ipv4/conf/all/arp_announce", "0" },
	{ "ipv4/conf/all/arp_ignore", "0" },
	{ "ipv4/conf/all/proxy_arp", "0" },
	{ "ipv4/conf/all/route_localnet", "0" },
	{ "ipv4/conf/all/src_valid_mark", "0" },
	{ "ipv4/icmp_echo_ignore_all", "0" },
	{ "ipv4/ip_default_ttl", "64" },
	{ "ipv4/ip_local_port_range", "32768\t60999" },
	{ "ipv4/ip_no_pmtu_disc", "0" },
	{ "ipv4/ip_nonlocal_bind", "0" },
	{ "ipv4/ip_unprivileged_port_start", "1024" },
	{ "ipv4/ping_group_range", "1\t0" },
	{ "ipv4/tcp_fin_timeout", "60" },
	{ "ipv4/tcp_keepalive_intvl", "75" },
	{ "ipv4/tcp_keepalive_probes", "9" },
	{ "ipv4/tcp_keepalive_time", "7200" },
	{ "ipv4/tcp_mtu_probing", "0" },
	{ "ipv4/tcp_retries2", "15" },
	{ "ipv4/tcp_slow_start_after_idle", "1" },
	{ "ipv4/tcp_syn_retries", "6" },
	{ "ipv4/tcp_synack_retries", "5" },
	{ "ipv4/tcp_syncookies", "1" },
	{ "ipv4/tcp_timestamps", "1" },
	{ "ipv4/tcp_tw_reuse", "2" },
	{ "ipv6/ip_nonlocal_bind", "0" },
};

static void add(struct network_view *view, const char *path, const char *value)
{
	view->settings =
	    xreallocarray(view->settings, view->n_settings + 1, sizeof(view->settings[0]));
	view->settings[view->n_settings++] =
	    (struct network_setting){ xstrdup(path), xstrdup(value) };
}

/* In the namespace.  One that this kernel does not have is left out. */
static int read_here(void *data, struct error **ret_error)
{
	(void)ret_error;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_cleanup_free_ char *path = xasprintf("/proc/sys/net/%s", settings[i].path);
		_cleanup_free_ char *value = NULL;

		if (read_file(path, VALUE_MAX, &value, NULL, NULL) < 0)
			continue;
		value[strcspn(value, "\n")] = '\0';
		if (strcmp(value, settings[i].usual) != 0)
			add(data, settings[i].path, value);
	}
	return 0;
}

int network_settings_read(int ns_fd, struct network_view *view, struct error **ret_error)
{
	return netns_run(ns_fd, read_here, view, ret_error);
}
