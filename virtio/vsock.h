/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, inside: what vsock.c (the device: queues, packets),
 * vsock-conn.c (connections: state, credit, the unix socket of each),
 * vsock-host.c (connections that begin on the host) and vsock-state.c (all of that in
 * a saved machine) share.
 *
 * Threads: all of it runs on the loop's thread with device.lock held, but for
 * reset(), which may come on any thread: it only marks connections dead and
 * leaves their descriptors and sources to vsock_reap().
 */
#pragma once

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/byte-ring.h"
#include "virtio/device.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define VSOCK_CID_HOST 2
#define VSOCK_PORT_ANY 0xffffffffU
#define VSOCK_CONNS_MAX 2048
/* Of these, begun by the guest: a container's programs do not keep the host out. */
#define VSOCK_GUEST_CONNS_MAX (VSOCK_CONNS_MAX / 2)
#define VSOCK_BUCKETS 256
#define VSOCK_REPLIES_MAX 64
#define VSOCK_QUEUE_SIZE 128
/* What a guest may have sent and we not yet have written: buf_alloc (§5.10.6.3). */
#define VSOCK_BUF_ALLOC (128U * 1024)
#define VSOCK_PACKET_MAX (64U * 1024)
#define VSOCK_HEADER_SIZE ((uint32_t)sizeof(struct virtio_vsock_hdr))

/*
 * The life of a connection; conn_set_state() is the only one to change it.
 *
 *	GREETING     host client accepted, its "CONNECT port" line awaited;
 *		     has no ports and no place in the table yet
 *	REQUESTED    REQUEST owed to the guest or sent, its answer awaited
 *	ESTABLISHED  both ways; each way may already be shut down
 *	RESETTING    over, RST owed to the guest; what the guest sent before is
 *		     still written to the unix socket
 *	DRAINING     the guest knows nothing of it any more (its ports are free);
 *		     the rest of what it sent is written
 *	DEAD	     to be freed by vsock_reap()
 *
 *	GREETING → REQUESTED → ESTABLISHED → RESETTING → DRAINING → DEAD
 *
 * A guest's own connection begins ESTABLISHED; every state may be skipped
 * towards DEAD, as conn_states says (vsock-conn.c).
 */
enum conn_state {
	CONN_GREETING,
	CONN_REQUESTED,
	CONN_ESTABLISHED,
	CONN_RESETTING,
	CONN_DRAINING,
	CONN_DEAD,
};

/* Packets a connection owes the guest, beside data. */
enum {
	OWED_RST = 1 << 0,
	OWED_REQUEST = 1 << 1,
	OWED_RESPONSE = 1 << 2,
	OWED_SHUTDOWN = 1 << 3,
	OWED_CREDIT_UPDATE = 1 << 4,
	OWED_CREDIT_REQUEST = 1 << 5,
};

struct vsock;

struct conn {
	struct vsock *vsock;
	enum conn_state state;
	uint32_t host_port, guest_port;
	int fd;		       /* unix stream socket, non-blocking, owned; -1: none yet (parked) */
	bool by_host;	       /* a host client's: it may be taken up again (vsock-state.c) */
	bool by_guest;	       /* the guest's own (n_guest_conns) */
	struct source *source; /* edge-triggered: readable says what is known */
	unsigned ticks_left;   /* of the timer, until it expires; 0: it does not */

	struct conn *next_in_bucket;
	struct conn *previous, *next; /* vsock->conns; next: vsock->dead too */
	struct conn *next_ready;
	bool is_ready; /* in vsock->ready */

	unsigned owed;	     /* OWED_… */
	bool readable;	     /* reading may give data or the end */
	bool hung_up;	     /* the unix peer is gone, both ways */
	bool output_lost;    /* the unix peer takes nothing any more */
	bool output_shut;    /* shutdown(SHUT_WR) done */
	bool credit_asked;   /* CREDIT_REQUEST sent since there was none left */
	unsigned guest_shut; /* VIRTIO_VSOCK_SHUTDOWN_… the guest has sent */
	unsigned host_shut;  /* … that we have sent or owe */

	/* Credit, free-running byte counters (§5.10.6.3).  To the guest: */
	uint32_t sent; /* tx_cnt */
	uint32_t peer_buf_alloc, peer_fwd_cnt;
	/* From the guest: received, written to the unix socket, and what of the
	 * latter the guest has been told. */
	uint32_t received, written, written_told;
	struct byte_ring unwritten;

	/* Parked: what the host had sent and the guest not yet got, when it was saved. */
	uint8_t *unread;
	uint32_t n_unread, unread_at;
};

/* What a connection asks of the files above its own. */
struct vsock_parts {
	/* At the end of every handler on the loop: sends what is owed, frees the dead. */
	void (*work)(struct vsock *vsock);
	/* The timer's. */
	void (*tick)(void *data);
	/* Something to read on a GREETING connection. */
	void (*greet)(struct conn *conn);
	/* The guest accepted a REQUESTED connection. */
	void (*welcome)(struct conn *conn);
};

struct vsock {
	struct virtio_device device;
	const struct vsock_parts *parts;
	uint64_t guest_cid;
	char *path;
	int listen_fd;
	bool bound;		      /* path is ours to remove */
	struct source *listen_source; /* while active and there is room */
	struct source *timer;	      /* while there are deadlines, or no room */
	uint32_t next_host_port;
	uint64_t hash_multiplier; /* odd, secret: the guest picks half the key */

	struct conn *buckets[VSOCK_BUCKETS]; /* by ports; not GREETING, DRAINING, DEAD */
	struct conn *conns;		     /* all but DEAD */
	struct conn *dead;
	unsigned n_conns;	/* DEAD ones included */
	unsigned n_guest_conns; /* of these, the guest's own */
	/* First in, first out: each gets one packet, then the next. */
	struct conn *ready, **last_ready;

	/* RSTs for packets that belong to no connection. */
	struct virtio_vsock_hdr replies[VSOCK_REPLIES_MAX];
	unsigned first_reply, n_replies;
	bool tx_stalled; /* the tx queue waits for room in replies */
	bool saved;	 /* nothing moves until resume(): the state has all of it */

	struct chain tx_chain, rx_chain; /* scratch */
};

/* vsock.c */

void vsock_reap(struct vsock *vsock);

/* vsock-conn.c */

/* Fills in what every packet of a connection carries. */
void vsock_fill_header(const struct vsock *vsock, uint16_t op, uint32_t host_port,
		       uint32_t guest_port, struct virtio_vsock_hdr *ret_header);
/* For deadlines, and for a listener that waits for room. */
void vsock_start_timer(struct vsock *vsock);

/* Takes fd over, on failure (NULL) too. */
struct conn *conn_new(struct vsock *vsock, int fd, enum conn_state state);
/* The same of the guest's own, ESTABLISHED. */
struct conn *conn_new_of_guest(struct vsock *vsock, int fd);
struct conn *conn_find(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port);
/* Enters the table under these ports, which must be free. */
void conn_bind(struct conn *conn, uint32_t host_port, uint32_t guest_port);
void conn_set_state(struct conn *conn, enum conn_state state);
/* It expires then, if nothing comes between.  Counted in the timer's ticks: time in which nobody
 * ran is nobody's (base/loop.h). */
void conn_set_deadline(struct conn *conn, unsigned delay_ms);
/* Over for the guest: an RST is owed. */
void conn_reset(struct conn *conn);
/* Any thread. */
void conn_kill(struct conn *conn);
void conn_free(struct conn *conn);
/* A packet of this connection, checked to be whole; its payload follows the
 * header in chain. */
void conn_packet(struct conn *conn, const struct virtio_vsock_hdr *header,
		 const struct chain *chain);
/* Joins the queue of those with something to send, if there is anything. */
void conn_schedule(struct conn *conn);
/* The next packet into chain (room for a header and more); its size, or 0 when
 * there is none after all. */
uint32_t conn_fill_packet(struct conn *conn, const struct chain *chain);

/* A host client's connection that has no socket, of these ports; NULL: none. */
struct conn *conn_find_parked(const struct vsock *vsock, uint32_t host_port, uint32_t guest_port);
/* Has the loop tell again what there is to read or to write: nobody looked at it. */
void conn_look_again(struct conn *conn);
/* The parked one has this socket from now on (taken over, on failure too). */
void conn_attach(struct conn *conn, int fd);

/* vsock-state.c: struct virtio_device_ops */
int vsock_save(struct virtio_device *device, struct buffer *state, struct error **ret_error);
int vsock_load(struct virtio_device *device, struct packed *state, struct error **ret_error);
void vsock_resume(struct virtio_device *device);

/* vsock-host.c */

/* Listens, or stops, as device.active says. */
void vsock_listen_update(struct vsock *vsock);
/* struct vsock_parts */
void vsock_tick(void *data);
void conn_greet(struct conn *conn);
void conn_welcome(struct conn *conn);
