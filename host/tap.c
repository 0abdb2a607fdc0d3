/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: see tap.h. */
#include "host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"

#define TUN_DEVICE "/dev/net/tun"

/* Or it would say hello to the guest as a neighbour.  (A kernel without IPv6 has no such
 * file.) */
static void silence(const char *name)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)write_all(fd, "1", 1);
}

int tap_new(int *ret_fd, int *ret_index, struct error **ret_error)
{
	_cleanup_close_ int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { .ifr_name = TAP_PREFIX "%d",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open " TUN_DEVICE);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return error_set_errno(ret_error, errno, "cannot make a tap (TUNSETIFF)");
	silence(request.ifr_name);
	*ret_index = (int)if_nametoindex(request.ifr_name);
	if (*ret_index == 0)
		return error_set_errno(ret_error, errno, "cannot find the tap %s",
				       request.ifr_name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int vhost_net_open(int *ret_fd, struct error **ret_error)
{
	int fd = open(VHOST_NET_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open " VHOST_NET_DEVICE);
	*ret_fd = fd;
	return 0;
}
