/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a network device: see net-link.h. */
#include "virtio/net-link.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "virtio/queue.h"

#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)
#define LENGTH_SIZE sizeof(uint32_t)
#define TAP_QUEUE_MAX 1000 /* frames */
#define UDP_OFFLOADS (TUN_F_USO4 | TUN_F_USO6)
#define TAP_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

/* ---- opening ---- */

static int open_tap(struct net_link *link, struct error **ret_error)
{
	const int header_size = HEADER_SIZE;
	struct ifreq request = { 0 };
	unsigned flags;

	if (ioctl(link->fd, TUNGETIFF, &request) < 0)
		return error_set_errno(ret_error, errno, "TUNGETIFF (is it a tap?)");
	flags = (unsigned short)request.ifr_flags;
	if (!(flags & IFF_TAP) || !(flags & IFF_NO_PI) || !(flags & IFF_VNET_HDR))
		return error_set(ret_error, EINVAL,
				 "interface %.*s is not a tap with IFF_NO_PI and IFF_VNET_HDR",
				 IFNAMSIZ, request.ifr_name);
	if (ioctl(link->fd, TUNSETVNETHDRSZ, &header_size) < 0)
		return error_set_errno(ret_error, errno, "TUNSETVNETHDRSZ");
	if (set_nonblocking(link->fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot make it non-blocking");
	/* Until there is a driver that takes them, there are none. */
	link->udp_offloads = ioctl(link->fd, TUNSETOFFLOAD, TAP_OFFLOADS | UDP_OFFLOADS) == 0;
	link->offloads = ioctl(link->fd, TUNSETOFFLOAD, TAP_OFFLOADS) == 0 &&
			 ioctl(link->fd, TUNSETOFFLOAD, 0) == 0;
	return 0;
}

int net_link_open(struct net_link *link, enum net_backend backend, struct error **ret_error)
{
	link->backend = backend;
	if (link->fd >= 0 && backend == NET_TAP && open_tap(link, ret_error) < 0)
		return error_wrap(ret_error, "descriptor %d", link->fd);
	return 0;
}

void net_link_close(struct net_link *link)
{
	close_fdp(&link->fd);
	link->fd = -1;
	link->in_start = link->in_end = 0;
	link->out_start = link->out_end = 0;
}

int net_link_attach(struct net_link *link, bool attach, struct error **ret_error)
{
	struct ifreq request = { .ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	if (link->fd < 0 || link->detached == !attach)
		return 0;
	link->in_start = link->in_end = 0;
	if (ioctl(link->fd, TUNSETQUEUE, &request) < 0)
		return error_set_errno(ret_error, errno, "TUNSETQUEUE (has the tap several?)");
	link->detached = !attach;
	return 0;
}

bool net_link_is_gone(const struct net_link *link)
{
	struct ifreq request = { 0 };

	return link->fd >= 0 && link->backend == NET_TAP &&
	       ioctl(link->fd, TUNGETIFF, &request) < 0 && errno == EBADFD;
}

int net_link_set_offloads(const struct net_link *link, unsigned offloads, struct error **ret_error)
{
	if (link->fd < 0 || !link->offloads)
		return 0;
	if (ioctl(link->fd, TUNSETOFFLOAD, offloads) < 0 && errno != EBADFD)
		return error_set_errno(ret_error, errno, "TUNSETOFFLOAD 0x%x", offloads);
	return 0;
}

/* ---- frames that come ---- */

/* Not the end of a link. */
static bool is_passing(int code)
{
	return code == EAGAIN || code == EINTR || code == ENOMEM || code == ENOBUFS;
}

/* n: what a read from a tap brought, or errno tells. */
static enum net_result check_read(ssize_t n, struct error **ret_error)
{
	/* EINVAL: a frame is gone of which no header can say what it is. */
	if (n < 0 && (is_passing(errno) || errno == EINVAL))
		return NET_LATER;
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read from the tap");
	return (size_t)n < HEADER_SIZE + NET_FRAME_MIN || (size_t)n > HEADER_SIZE + NET_FRAME_MAX
		   ? NET_LATER
		   : NET_DONE;
}

bool net_link_may_scatter(const struct net_link *link)
{
	return link->fd >= 0 && link->backend == NET_TAP && link->in_end == 0;
}

enum net_result net_link_scatter(struct net_link *link, struct iovec *iov, unsigned n_iov,
				 uint32_t room, struct net_frame *ret_frame,
				 struct error **ret_error)
{
	/* One byte more than any frame has. */
	const uint32_t most = NET_FRAME_MAX + 1, left = room < most ? most - room : 0;
	enum net_result result;
	ssize_t n;

	iov[0] = (struct iovec){ &ret_frame->header, HEADER_SIZE };
	iov[1 + n_iov] = (struct iovec){ link->in + HEADER_SIZE + room, left };
	n = readv(link->fd, iov, (int)(1 + n_iov + (left > 0)));
	result = check_read(n, ret_error);
	if (result != NET_DONE)
		return result;
	ret_frame->header.num_buffers = 0; /* the kernel leaves it as it was */
	ret_frame->bytes = link->in + HEADER_SIZE;
	ret_frame->size = (uint32_t)((size_t)n - HEADER_SIZE);
	return NET_DONE;
}

void net_link_keep(struct net_link *link, const struct iovec *iov, unsigned n_iov,
		   const struct net_frame *frame)
{
	size_t done = HEADER_SIZE;

	memcpy(link->in, &frame->header, HEADER_SIZE);
	link->in_end = HEADER_SIZE + frame->size;
	for (unsigned i = 1; i <= n_iov && done < link->in_end; i++) {
		const size_t part = MIN(iov[i].iov_len, link->in_end - done);

		memcpy(link->in + done, iov[i].iov_base, part);
		done += part;
	}
}

bool net_link_has_more(const struct net_link *link)
{
	return link->in_start < link->in_end;
}

static enum net_result peek_tap(struct net_link *link, struct net_frame *ret_frame,
				struct error **ret_error)
{
	if (link->in_end == 0) {
		ssize_t n = read(link->fd, link->in, HEADER_SIZE + NET_FRAME_MAX + 1);

		enum net_result result = check_read(n, ret_error);

		if (result != NET_DONE)
			return result;
		link->in_end = (size_t)n;
	}
	memcpy(&ret_frame->header, link->in, HEADER_SIZE);
	ret_frame->header.num_buffers = 0; /* the kernel leaves it as it was */
	ret_frame->bytes = link->in + HEADER_SIZE;
	ret_frame->size = (uint32_t)(link->in_end - HEADER_SIZE);
	return NET_DONE;
}

static enum net_result next_of_stream(const struct net_link *link, struct net_frame *ret_frame,
				      struct error **ret_error)
{
	const size_t have = link->in_end - link->in_start;
	const uint8_t *at = link->in + link->in_start;
	uint32_t size;

	if (have < LENGTH_SIZE)
		return NET_LATER;
	memcpy(&size, at, LENGTH_SIZE);
	size = be32toh(size);
	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX)
		return error_set(ret_error, EPROTO, "a frame of %u bytes from the peer", size);
	if (have - LENGTH_SIZE < size)
		return NET_LATER;
	*ret_frame = (struct net_frame){ .bytes = at + LENGTH_SIZE, .size = size };
	return NET_DONE;
}

static enum net_result peek_stream(struct net_link *link, struct net_frame *ret_frame,
				   struct error **ret_error)
{
	enum net_result result = next_of_stream(link, ret_frame, ret_error);
	const size_t have = link->in_end - link->in_start;
	ssize_t n;

	if (result != NET_LATER)
		return result;
	/* The part of a frame that is there goes to the front: then the rest has room. */
	if (link->in_start > 0)
		memmove(link->in, link->in + link->in_start, have);
	link->in_start = 0;
	link->in_end = have;
	n = recv(link->fd, link->in + have, sizeof(link->in) - have, MSG_DONTWAIT);
	if (n < 0 && is_passing(errno))
		return NET_LATER;
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read from the peer");
	if (n == 0)
		return error_set(ret_error, ECONNRESET, "the peer hung up");
	link->in_end += (size_t)n;
	return next_of_stream(link, ret_frame, ret_error);
}

enum net_result net_link_peek(struct net_link *link, struct net_frame *ret_frame,
			      struct error **ret_error)
{
	if (link->fd < 0)
		return NET_LATER;
	return link->backend == NET_TAP ? peek_tap(link, ret_frame, ret_error)
					: peek_stream(link, ret_frame, ret_error);
}

void net_link_consume(struct net_link *link, const struct net_frame *frame)
{
	if (link->backend == NET_TAP)
		link->in_end = 0;
	else
		link->in_start += LENGTH_SIZE + frame->size;
}

/* (With one frame more than a queue of usual length holds, somebody sends all the time.) */
static void drain_tap(struct net_link *link)
{
	ssize_t n = 0;

	link->in_end = 0;
	for (unsigned i = 0; i < TAP_QUEUE_MAX && link->fd >= 0 && (n >= 0 || errno == EINVAL); i++)
		n = read(link->fd, link->in, HEADER_SIZE + NET_FRAME_MAX + 1);
}

void net_link_drop_frames(struct net_link *link)
{
	struct net_frame frame = { 0 };

	if (link->backend == NET_TAP)
		drain_tap(link);
	else
		while (next_of_stream(link, &frame, NULL) == NET_DONE)
			net_link_consume(link, &frame);
}

/* ---- frames that go ---- */

static enum net_result send_to_tap(const struct net_link *link,
				   const struct virtio_net_hdr_v1 *header, struct iovec *iov,
				   unsigned n_iov, struct error **ret_error)
{
	ssize_t n;

	iov[0] = (struct iovec){ .iov_base = (void *)header, .iov_len = HEADER_SIZE };
	do
		n = writev(link->fd, iov, (int)n_iov);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return NET_LATER;
	if (n < 0 && errno == EBADFD) /* the interface was removed */
		return error_set_errno(ret_error, errno, "cannot write to the tap");
	return NET_DONE;
}

/* What was not sent of the frame, out of memory that its driver gets back. */
static void keep_rest(struct net_link *link, struct iovec *iov, unsigned n_iov, size_t sent)
{
	link->out_start = link->out_end = 0;
	for (iov_advance(&iov, &n_iov, sent); n_iov > 0; iov++, n_iov--) {
		memcpy(link->out + link->out_end, iov->iov_base, iov->iov_len);
		link->out_end += iov->iov_len;
	}
}

/* A frame's length, and its headers as far as they are looked at: a copy, which the driver
 * cannot change any more. */
struct head {
	uint32_t length;
	uint8_t bytes[ETH_HLEN + sizeof(struct ip6_hdr)];
} __attribute__((packed));

static bool is_nowhere4(const uint8_t *address)
{
	return address[0] == 0 || address[0] == IN_LOOPBACKNET;
}

static bool is_nowhere6(const uint8_t *address)
{
	struct in6_addr in6;

	memcpy(&in6, address, sizeof(in6));
	return IN6_IS_ADDR_UNSPECIFIED(&in6) || IN6_IS_ADDR_LOOPBACK(&in6) ||
	       (IN6_IS_ADDR_V4MAPPED(&in6) && is_nowhere4(address + 12));
}

/* Is it for an address that no packet on a wire may have (RFC 1122 §3.2.1.3, RFC 4291 §2.5.2 and
 * §2.5.3)?  A peer that makes connections of the host's for the guest would take them for
 * its own. */
static bool is_for_nowhere(const struct head *head, size_t size)
{
	const uint8_t *packet = head->bytes + ETH_HLEN;
	uint16_t protocol;

	memcpy(&protocol, head->bytes + offsetof(struct ethhdr, h_proto), sizeof(protocol));
	if (protocol == htobe16(ETH_P_IP) && size >= ETH_HLEN + sizeof(struct iphdr))
		return is_nowhere4(packet + offsetof(struct iphdr, daddr));
	if (protocol == htobe16(ETH_P_IPV6) && size >= sizeof(head->bytes))
		return is_nowhere6(packet + offsetof(struct ip6_hdr, ip6_dst));
	return false;
}

/* Takes the head out of the frame behind iov[0], and puts it there. */
static void take_head(struct head *head, struct iovec **iov, unsigned *n_iov, uint32_t size)
{
	struct iovec *rest = *iov + 1;
	unsigned n_rest = *n_iov - 1;
	size_t n = 0;

	head->length = htobe32(size);
	while (n < sizeof(head->bytes) && n_rest > 0) {
		size_t part = MIN(sizeof(head->bytes) - n, rest->iov_len);

		memcpy(head->bytes + n, rest->iov_base, part);
		n += part;
		iov_advance(&rest, &n_rest, part);
	}
	*iov = rest - 1;
	*n_iov = n_rest + 1;
	(*iov)[0] = (struct iovec){ .iov_base = head, .iov_len = sizeof(head->length) + n };
}

static enum net_result send_to_stream(struct net_link *link, struct iovec *iov, unsigned n_iov,
				      uint32_t size, struct error **ret_error)
{
	enum net_result result = net_link_flush(link, ret_error);
	struct msghdr message = { 0 };
	struct head head;
	ssize_t n;

	if (result != NET_DONE)
		return result;
	take_head(&head, &iov, &n_iov, size);
	if (is_for_nowhere(&head, size))
		return NET_DONE; /* as a router drops it */
	message.msg_iov = iov;
	message.msg_iovlen = n_iov;
	do
		n = sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && is_passing(errno))
		return NET_LATER;
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot write to the peer");
	keep_rest(link, iov, n_iov, (size_t)n);
	return NET_DONE;
}

enum net_result net_link_send(struct net_link *link, const struct virtio_net_hdr_v1 *header,
			      struct iovec *iov, unsigned n_iov, uint32_t size,
			      struct error **ret_error)
{
	if (link->fd < 0)
		return NET_DONE;
	return link->backend == NET_TAP ? send_to_tap(link, header, iov, n_iov, ret_error)
					: send_to_stream(link, iov, n_iov, size, ret_error);
}

enum net_result net_link_flush(struct net_link *link, struct error **ret_error)
{
	while (link->out_start < link->out_end) {
		ssize_t n = send(link->fd, link->out + link->out_start,
				 link->out_end - link->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && is_passing(errno))
			return NET_LATER;
		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot write to the peer");
		link->out_start += (size_t)n;
	}
	return NET_DONE;
}
