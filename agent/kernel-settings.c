/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl, oom_score_adj and the loopback interface: see kernel-settings.h. */
#include "agent/kernel-settings.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

/* "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" are both usual:
 * the first separator tells which (sysctl.d(5)). */
static char *sysctl_path(const char *key)
{
	char *path = xasprintf("/proc/sys/%s", key);
	char first = key[strcspn(key, "./")];

	if (first == '.')
		for (char *p = path + strlen("/proc/sys/"); *p; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

int sysctl_set(const struct spec_key_value *sysctl, size_t n, struct error **ret_error)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = sysctl_path(sysctl[i].key);

		if (strstr(path, "/../"))
			return error_set(ret_error, EINVAL, "sysctl \"%s\" is not a name",
					 sysctl[i].key);
		if (write_file(path, sysctl[i].value, ret_error) < 0)
			return error_wrap(ret_error, "sysctl %s", sysctl[i].key);
	}
	return 0;
}

int oom_score_adj_set(int value, struct error **ret_error)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", value);
	return write_file("/proc/self/oom_score_adj", text, ret_error);
}

int loopback_up(struct error **ret_error)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return error_set_errno(ret_error, errno, "cannot find the interface lo");
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_set_errno(ret_error, errno, "cannot bring the interface lo up");
	return 0;
}
