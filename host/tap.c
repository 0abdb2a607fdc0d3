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

/* request's name may be a pattern, and is what became of it then. */
static int open_queue(struct ifreq *request, int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open " TUN_DEVICE);
	if (ioctl(fd, TUNSETIFF, request) < 0)
		return error_set_errno(ret_error, errno, "cannot make a tap (TUNSETIFF)");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_queues(struct ifreq *request, size_t n, int *fds, int *ret_index,
		       struct error **ret_error)
{
	for (size_t i = 0; i < n; i++) {
		/* Taken out of the request by each call. */
		request->ifr_flags =
		    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (n > 1 ? IFF_MULTI_QUEUE : 0);
		if (open_queue(request, &fds[i], ret_error) < 0)
			return -1;
	}
	silence(request->ifr_name);
	*ret_index = (int)if_nametoindex(request->ifr_name);
	if (*ret_index == 0)
		return error_set_errno(ret_error, errno, "cannot find the tap %s",
				       request->ifr_name);
	return 0;
}

int tap_new(size_t n, int *ret_fds, int *ret_index, struct error **ret_error)
{
	struct ifreq request = { .ifr_name = TAP_PREFIX "%d" };

	for (size_t i = 0; i < n; i++)
		ret_fds[i] = -1;
	if (open_queues(&request, n, ret_fds, ret_index, ret_error) == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		close_fdp(&ret_fds[i]);
	return -1;
}

int vhost_net_open(int *ret_fd, struct error **ret_error)
{
	int fd = open(VHOST_NET_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open " VHOST_NET_DEVICE);
	*ret_fd = fd;
	return 0;
}
