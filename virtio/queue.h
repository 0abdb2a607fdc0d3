/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, the device's side (virtio 1.2 §2.7).
 *
 * A queue is used by one thread at a time: the holder of device->lock, or the
 * worker it was handed to.  Everything the driver writes is hostile: an index,
 * an address or a length is checked here, once, and devices get iovecs that are
 * safe to use.  What is behind an iovec may still change at any time: copy a
 * header out, check the copy, use the copy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "virtio/memory.h"

/* The largest queue, and so the longest chain (§2.7.5.3.1: no chain is longer
 * than its queue, indirect descriptors counted), and what preadv(2) takes at once.
 * QEMU offers its drivers that much (vhost-rings.c). */
#define VIRTQ_SIZE_MAX 1024

struct vring_desc;
struct vring_avail;
struct vring_used;

/* What the driver says about a queue. */
struct virtq_layout {
	uint32_t size;
	gpa_t desc;  /* descriptor table (Descriptor Area) */
	gpa_t avail; /* available ring (Driver Area) */
	gpa_t used;  /* used ring (Device Area) */
};

struct virtq {
	bool ready;
	bool indirect;	/* VIRTIO_F_INDIRECT_DESC negotiated */
	bool event_idx; /* VIRTIO_F_EVENT_IDX negotiated */
	uint16_t size;
	uint16_t next_avail; /* free-running index of the next chain to pop */
	uint16_t next_used;  /* free-running index of the next used element */
	uint16_t notified;   /* next_used when the driver was last thought of */
	const struct guest_memory *memory;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/* A descriptor chain, checked: first what the driver wrote for the device
 * (out), then what the device may write (in).  No iovec is empty. */
struct chain {
	uint16_t head;
	unsigned n_out, n_in;
	uint32_t out_size, in_size; /* bytes; their sum fits too */
	struct iovec iov[VIRTQ_SIZE_MAX];
};

/* Checks the layout (§2.7: size a power of two up to size_max, alignment, all
 * three parts in guest memory) and makes the queue ready.  features: negotiated. */
int virtq_start(struct virtq *vq, const struct guest_memory *memory,
		const struct virtq_layout *layout, uint16_t size_max, uint64_t features,
		struct error **ret_error);
/* Right after virtq_start(): goes on in a ring that was in use before, with the
 * next chain at next_avail (free-running) and the used ring where it is. */
void virtq_continue(struct virtq *vq, uint16_t next_avail);
/* The queue is not ready any more: nothing pops, pushes or notifies. */
void virtq_stop(struct virtq *vq);

/* The next chain: 1, or 0 when there is none (or the queue is not ready), or -1
 * when the driver broke the rules. */
int virtq_pop(struct virtq *vq, struct chain *ret_chain, struct error **ret_error);
/* Puts the n chains popped last back, nothing having been pushed for them. */
void virtq_unpop(struct virtq *vq, uint16_t n);
/* Gives the chain with this head back; written: bytes written to its in part,
 * counted from its start. */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t written);
/* The same in two steps, for chains that the driver must get all at once: it sees
 * what was filled in with the next virtq_flush(), before which nothing is notified. */
void virtq_fill(struct virtq *vq, uint16_t head, uint32_t written);
void virtq_flush(struct virtq *vq);
/* After one or more pushes: does the driver want to be interrupted? */
bool virtq_should_notify(struct virtq *vq);

/*
 * Kick suppression.  The loop that misses no chain:
 *
 *	do {
 *		virtq_disable_kicks(vq);
 *		while (virtq_pop(…) > 0) …;
 *	} while (virtq_enable_kicks(vq));
 *
 * virtq_enable_kicks() is true when a chain has become available meanwhile, for
 * which no kick may come.
 */
void virtq_disable_kicks(struct virtq *vq);
bool virtq_enable_kicks(struct virtq *vq);

/* Copies size bytes at offset of the out part; false when it is shorter. */
bool chain_read(const struct chain *chain, uint32_t offset, void *ret_bytes, uint32_t size);
/* Copies size bytes to offset of the in part; false when it is shorter. */
bool chain_write(const struct chain *chain, uint32_t offset, const void *bytes, uint32_t size);
/* The part [offset, offset + size) of the out or in part, as far as there is
 * one, as iovecs (room for VIRTQ_SIZE_MAX); returns how many. */
unsigned chain_out_slice(const struct chain *chain, uint32_t offset, uint32_t size,
			 struct iovec *ret_iov);
unsigned chain_in_slice(const struct chain *chain, uint32_t offset, uint32_t size,
			struct iovec *ret_iov);
/* Drops the first n bytes of *iov / *n_iov, for going on after a short count. */
void iov_advance(struct iovec **iov, unsigned *n_iov, size_t n);
