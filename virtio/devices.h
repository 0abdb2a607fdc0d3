/* SPDX-License-Identifier: Apache-2.0 */
/* The devices there are: one constructor each.  All return a device whose
 * free() the transport calls.  A descriptor that becomes the device's is closed
 * when its constructor fails. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "virtio/device.h"
#include "virtio/lanes.h"
#include "virtio/pool.h"

/* virtio 1.2 §5.2.  The fds (regular files or block devices) become the device's, on failure too.
 * Of several, which must be read-only, each begins at the next multiple of DISK_PIECE_ALIGN
 * (disk.h).  id: at most 20 bytes, the serial number (T_GET_ID). */
#define BLK_QUEUES_MAX 16
struct blk_options {
	int fd;
	const char *id;
	bool readonly;
	unsigned queues; /* 1..BLK_QUEUES_MAX */
	const int *more_fds;
	size_t n_more_fds;
};
int blk_new(const struct blk_options *options, struct virtio_device **ret_device,
	    struct error **ret_error);

/*
 * virtio 1.2 §5.10.  Host side: stream connections on the unix socket listen_fd
 * (becomes the device's and non-blocking; it is bound at path; -1: the device binds
 * it and removes it at its end) start with "CONNECT port\n" and
 * are answered "OK host_port\n", or closed where nobody listens; host_port is
 * the connection's port on the host's side (cid 2), as the guest sees it; who
 * connects before the guest's driver is there waits for it.  A
 * guest that connects to (2, port) reaches the unix socket "<path>_<port>".
 */
struct vsock_options {
	uint64_t guest_cid; /* 3..2^32-2 */
	const char *path;
	int listen_fd;
};
int vsock_new(const struct vsock_options *options, struct virtio_device **ret_device,
	      struct error **ret_error);

/* virtio 1.2 §5.4, from getrandom(2). */
int rng_new(struct virtio_device **ret_device, struct error **ret_error);

/* virtio 1.2 §5.3, one port: the guest's output goes to output_fd (becomes the
 * device's; -1: into the log), input comes from input_fd (-1: none; becomes the
 * device's too).  Output is never waited for: 64 KiB are kept for a slow reader, the
 * rest is dropped.  SIGPIPE must be ignored. */
struct console_options {
	int output_fd;
	int input_fd;
};
int console_new(const struct console_options *options, struct virtio_device **ret_device,
		struct error **ret_error);

/*
 * virtio 1.2 §5.1.  The fd becomes the device's; -1: the link is down for
 * ever.  NET_TAP: a tap that was made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR; checksums
 * and segmentation are left to it or to the guest where they agree.  NET_STREAM: a connected
 * unix stream socket (net-link.h); when its peer is gone or breaks the framing, the link
 * goes down.  SIGPIPE must be ignored.
 *
 * vhost_fd: /dev/vhost-net, which becomes the device's: the kernel moves a tap's frames
 * (net-vhost.h).  -1: the loop's thread does, as for a stream.
 *
 * n_more: pairs of queues beside the first (VIRTIO_NET_F_MQ), each with another queue of the same
 * tap, made with IFF_MULTI_QUEUE, and with a /dev/vhost-net of its own; or -1, as for the first.
 */
enum net_backend { NET_TAP, NET_STREAM };
#define NET_PAIRS_MAX 8U
struct net_options {
	int fd;
	int vhost_fd;
	enum net_backend backend;
	uint8_t mac[6];
	uint16_t mtu; /* 0: the driver's own choice */
	unsigned n_more;
	int more_fds[NET_PAIRS_MAX - 1], more_vhost_fds[NET_PAIRS_MAX - 1];
};
int net_new(const struct net_options *options, struct virtio_device **ret_device,
	    struct error **ret_error);
/* As if its cable were plugged or pulled: the driver is told, frames are left alone.  A link that
 * is gone for good does not come up.  The loop's thread, any number of times. */
void net_set_link(struct virtio_device *device, bool up);
/*
 * virtio 1.2 §5.11: a share.  The device moves FUSE requests and replies; what
 * they mean is the server's business (rootfs/share/fuse.h, which knows no virtio:
 * vmm/share.c joins the two).
 */

/* One request, in guest memory: what the driver wrote (out), and room for the
 * reply (in).  Both may change under the reader at any time. */
struct fs_request {
	const struct iovec *out;
	unsigned n_out;
	uint32_t out_size;
	const struct iovec *in;
	unsigned n_in;
	uint32_t in_size;
};

/* Where the reply to a request goes that is answered later. */
struct fs_later;
#define FS_LATER_REPLY_MAX 16 /* bytes: a reply that says just whether it went well */

struct fs_server_ops {
	/* Handles one request on a thread of a pool (context: the thread's own);
	 * several run at once.  Returns how many bytes of the reply it has written.
	 * Where that has to wait for others it calls keep() and returns 0; then
	 * fs_complete() follows, once, from any thread. */
	uint32_t (*serve)(void *server, void *context, const struct fs_request *request,
			  struct fs_later *(*keep)(const struct fs_request *request));
	/* Whose request it is (virtio/lanes.h), so that those that hang do not stop those of
	 * others; any thread. */
	struct lane (*lane_of)(void *server, const struct fs_request *request);
	/* Completes every kept request now. */
	void (*cancel)(void *server);
	/* The driver is gone: forget all it knew.  No request is being served. */
	void (*reset)(void *server);
	/* A timer of the server's (timerfd, its own), and what to do when it fires.
	 * It is not read, so it has to be set anew each time. */
	int (*timer_fd)(const void *server);
	void (*expired)(void *server, void *context);
	/* The server's state (virtio/device.h), on a thread of the pool (context), while no
	 * request is being served. */
	int (*save)(void *server, void *context, struct buffer *state, struct error **ret_error);
	int (*load)(void *server, void *context, struct packed *state, struct error **ret_error);
	void (*free)(void *server);
};

struct fs_options {
	const char *tag; /* 1 to 36 bytes */
	const struct fs_server_ops *ops;
	void *server; /* becomes the device's, also when fs_new() fails */
	/* Requests are served by threads of the first, those of the high-priority
	 * queue (which never block) by the second.  Both outlive the device. */
	struct pool *requests, *urgent;
	unsigned threads_max; /* so many of the first may serve this device at a time; at least 2 */
};
int fs_new(const struct fs_options *options, struct virtio_device **ret_device,
	   struct error **ret_error);
/* Answers with size bytes (at most FS_LATER_REPLY_MAX) and frees later. */
void fs_complete(struct fs_later *later, const void *bytes, uint32_t size);

/* virtio 1.2 §5.15.  At most size bytes (of which whole blocks count, MEM_BLOCK_SIZE).  Without a
 * place it has no memory to give. */
int mem_device_new(uint64_t size, struct virtio_device **ret_device, struct error **ret_error);
/* Where that is: a region of the guest's memory, of exactly that size, and its blocks, which are
 * the device's to change.  Both functions are called by the loop's thread, with the device's lock
 * held, for a part of the region (offset and size in bytes).  NULL: nothing to do. */
struct mem_place {
	gpa_t base;
	struct mem_blocks *blocks;
	/* It is about to be there; with load(), too.  -1: it cannot come. */
	int (*come)(void *data, uint64_t offset, uint64_t size, struct error **ret_error);
	/* It is not there any more: what was in it is to be forgotten.  -1 with errno: it stays. */
	int (*go)(void *data, uint64_t offset, uint64_t size);
	void *data;
};
/* Before the device is loaded, or the guest runs. */
void mem_device_place(struct virtio_device *device, const struct mem_place *place);
/* How many bytes the driver is to have; rounded up to whole blocks.  The loop's thread.  ERANGE:
 * not so many. */
int mem_device_request(struct virtio_device *device, uint64_t size, struct error **ret_error);
