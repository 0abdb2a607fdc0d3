/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues: see queue.h.
 *
 * The rings are shared with a driver that runs at the same time, so ring fields
 * are loaded and stored with atomics of their own width, each exactly once: what
 * was checked is what is used.  Each ordering stronger than relaxed says which
 * race it closes.
 */
#include "virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"

static uint16_t load16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}

/* For a load that must not be made before a store_before_load(). */
static uint16_t load16_ordered(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_SEQ_CST));
}

static void store16(void *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, htole16(value), __ATOMIC_RELAXED);
}

/* Behind the last element of either ring: §2.7.6, §2.7.8. */
static void *used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->size];
}

static void *avail_event(const struct virtq *vq)
{
	return &vq->used->ring[vq->size];
}

static void *map_part(const struct guest_memory *memory, gpa_t gpa, uint64_t length,
		      unsigned alignment)
{
	return gpa % alignment == 0 ? mem_at(memory, gpa, length) : NULL;
}

int virtq_start(struct virtq *vq, const struct guest_memory *memory,
		const struct virtq_layout *layout, uint16_t size_max, uint64_t features,
		struct error **ret_error)
{
	uint32_t size = layout->size;
	struct virtq start = { .ready = true, .memory = memory };

	if (size == 0 || size > size_max || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0)
		return error_set(ret_error, EINVAL, "queue size %u is not a power of two up to %u",
				 size, size_max);
	start.size = (uint16_t)size;
	start.indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	start.event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	/* §2.7: sizes with the two event fields, alignments. */
	start.desc =
	    map_part(memory, layout->desc, sizeof(struct vring_desc) * size, VRING_DESC_ALIGN_SIZE);
	start.avail =
	    map_part(memory, layout->avail, 6 + sizeof(uint16_t) * size, VRING_AVAIL_ALIGN_SIZE);
	start.used = map_part(memory, layout->used, 6 + sizeof(struct vring_used_elem) * size,
			      VRING_USED_ALIGN_SIZE);
	if (!start.desc || !start.avail || !start.used)
		return error_set(ret_error, EFAULT,
				 "queue parts at 0x%llx, 0x%llx, 0x%llx (size %u) are misaligned "
				 "or outside guest memory",
				 (unsigned long long)layout->desc,
				 (unsigned long long)layout->avail,
				 (unsigned long long)layout->used, size);
	*vq = start;
	return 0;
}

void virtq_continue(struct virtq *vq, uint16_t next_avail)
{
	vq->next_avail = next_avail;
	vq->next_used = load16(&vq->used->idx);
	vq->notified = vq->next_used;
}

void virtq_stop(struct virtq *vq)
{
	*vq = (struct virtq){ 0 };
}

/*
 * One descriptor, each byte of it loaded once.  The table proper is aligned (it
 * was checked); an indirect table may lie anywhere.
 */
static struct vring_desc fetch_desc(const struct vring_desc *from)
{
	struct vring_desc desc;

	if ((uintptr_t)from % sizeof(uint64_t) == 0) {
		const uint64_t *words = (const void *)from;
		uint64_t copy[2] = { __atomic_load_n(&words[0], __ATOMIC_RELAXED),
				     __atomic_load_n(&words[1], __ATOMIC_RELAXED) };

		memcpy(&desc, copy, sizeof(desc));
	} else {
		const uint8_t *bytes = (const void *)from;
		uint8_t copy[sizeof(desc)];

		for (size_t i = 0; i < sizeof(copy); i++)
			copy[i] = __atomic_load_n(&bytes[i], __ATOMIC_RELAXED);
		memcpy(&desc, copy, sizeof(desc));
	}
	desc.addr = le64toh(desc.addr);
	desc.len = le32toh(desc.len);
	desc.flags = le16toh(desc.flags);
	desc.next = le16toh(desc.next);
	return desc;
}

static int add_buffer(const struct virtq *vq, struct chain *chain, const struct vring_desc *desc,
		      struct error **ret_error)
{
	unsigned n = chain->n_out + chain->n_in;
	uint32_t total;
	void *at = mem_at(vq->memory, desc->addr, desc->len);

	if (!at)
		return error_set(ret_error, EFAULT, "descriptor 0x%llx+0x%x is %s",
				 (unsigned long long)desc->addr, desc->len,
				 desc->len == 0 ? "empty" : "outside guest memory");
	/* The loop is cut here: whatever the links say, no chain has more buffers
	 * than the queue has descriptors. */
	if (n == vq->size)
		return error_set(ret_error, ELOOP, "descriptor chain longer than the queue (%u)",
				 vq->size);
	if (checked_add(chain->out_size, chain->in_size, &total) ||
	    checked_add(total, desc->len, &total))
		return error_set(ret_error, EOVERFLOW, "descriptor chain of 4 GiB or more");
	chain->iov[n] = (struct iovec){ .iov_base = at, .iov_len = desc->len };
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->n_in++;
		chain->in_size += desc->len;
	} else if (chain->n_in > 0) {
		/* §2.7.4.2 */
		return error_set(ret_error, EPROTO, "readable descriptor behind a writable one");
	} else {
		chain->n_out++;
		chain->out_size += desc->len;
	}
	return 0;
}

/* Adds the buffers of the table from index on; an entry that refers to an
 * indirect table ends the walk and is returned (1) in *ret_indirect. */
static int walk_table(const struct virtq *vq, const struct vring_desc *table, uint32_t n_table,
		      uint32_t index, struct chain *chain, struct vring_desc *ret_indirect,
		      struct error **ret_error)
{
	for (;;) {
		struct vring_desc desc;

		if (index >= n_table)
			return error_set(ret_error, ERANGE, "descriptor index %u of %u", index,
					 n_table);
		desc = fetch_desc(&table[index]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			*ret_indirect = desc;
			return 1;
		}
		if (add_buffer(vq, chain, &desc, ret_error) < 0)
			return -1;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

/* §2.7.5.3: what a descriptor with the INDIRECT flag may look like. */
static int check_indirect(const struct virtq *vq, const struct vring_desc *desc,
			  const struct vring_desc **ret_table, struct error **ret_error)
{
	if (!vq->indirect)
		return error_set(ret_error, EPROTO, "indirect descriptor, not negotiated");
	if (desc->flags & VRING_DESC_F_NEXT)
		return error_set(ret_error, EPROTO, "indirect descriptor with a next one");
	if (desc->len == 0 || desc->len % sizeof(struct vring_desc) != 0 ||
	    desc->len / sizeof(struct vring_desc) > vq->size)
		return error_set(ret_error, EINVAL, "indirect table of %u bytes for a queue of %u",
				 desc->len, vq->size);
	*ret_table = mem_at(vq->memory, desc->addr, desc->len);
	if (!*ret_table)
		return error_set(ret_error, EFAULT,
				 "indirect table 0x%llx+0x%x outside guest memory",
				 (unsigned long long)desc->addr, desc->len);
	return 0;
}

static int walk_chain(const struct virtq *vq, struct chain *chain, struct error **ret_error)
{
	struct vring_desc indirect;
	const struct vring_desc *table;
	int r = walk_table(vq, vq->desc, vq->size, chain->head, chain, &indirect, ret_error);

	if (r <= 0)
		return r;
	if (check_indirect(vq, &indirect, &table, ret_error) < 0)
		return -1;
	r = walk_table(vq, table, indirect.len / sizeof(*table), 0, chain, &indirect, ret_error);
	if (r > 0)
		return error_set(ret_error, EPROTO, "indirect descriptor in an indirect table");
	return r;
}

/*
 * How many chains wait, or -1.  Acquire: pairs with the barrier between the
 * driver's writing of ring entry and descriptors and its bumping of idx; without
 * it we could see the new idx and yet load the old entry.
 */
static int n_available(const struct virtq *vq, struct error **ret_error)
{
	uint16_t idx = le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
	uint16_t n = (uint16_t)(idx - vq->next_avail);

	if (n > vq->size)
		return error_set(ret_error, EPROTO,
				 "available index %u is %u ahead in a queue of %u", idx, n,
				 vq->size);
	return n;
}

int virtq_pop(struct virtq *vq, struct chain *ret_chain, struct error **ret_error)
{
	int n;

	if (!vq->ready)
		return 0;
	n = n_available(vq, ret_error);
	if (n <= 0)
		return n;
	ret_chain->n_out = ret_chain->n_in = 0;
	ret_chain->out_size = ret_chain->in_size = 0;
	ret_chain->head = load16(&vq->avail->ring[vq->next_avail % vq->size]);
	if (walk_chain(vq, ret_chain, ret_error) < 0)
		return -1;
	vq->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *vq, uint16_t n)
{
	if (vq->ready)
		vq->next_avail = (uint16_t)(vq->next_avail - n);
}

void virtq_fill(struct virtq *vq, uint16_t head, uint32_t written)
{
	struct vring_used_elem *elem;

	if (!vq->ready)
		return;
	elem = &vq->used->ring[vq->next_used % vq->size];
	__atomic_store_n(&elem->id, htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, htole32(written), __ATOMIC_RELAXED);
	vq->next_used++;
}

void virtq_flush(struct virtq *vq)
{
	/* Release: a driver that sees the new idx must also see the elements and
	 * the data written to their buffers (§2.7.8.2). */
	if (vq->ready)
		__atomic_store_n(&vq->used->idx, htole16(vq->next_used), __ATOMIC_RELEASE);
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t written)
{
	virtq_fill(vq, head, written);
	virtq_flush(vq);
}

/*
 * A store (ours, to the ring) that must be visible before a load (ours, of what
 * the driver says).  x86 may swap the two, and then both sides could miss each
 * other: we load the old wish while the driver loads the old index.  An atomic
 * read-modify-write, which is a full barrier that TSan understands too.
 */
static void store_before_load(uint16_t *p, uint16_t value)
{
	(void)__atomic_exchange_n(p, htole16(value), __ATOMIC_SEQ_CST);
}

bool virtq_should_notify(struct virtq *vq)
{
	uint16_t old = vq->notified;

	if (!vq->ready || old == vq->next_used)
		return false;
	/* Race closed: the driver re-enables interrupts (used_event or flags), then
	 * looks at used idx once more; we publish used idx, then look whether it
	 * wants an interrupt.  The second of the two sees the other's store. */
	store_before_load(&vq->used->idx, vq->next_used);
	vq->notified = vq->next_used;
	if (!vq->event_idx)
		return !(load16_ordered(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load16_ordered(used_event(vq)), vq->next_used, old);
}

void virtq_disable_kicks(struct virtq *vq)
{
	/* With EVENT_IDX the flag stays 0 (§2.7.10.1), and an avail_event that is
	 * not moved on keeps kicks away by itself. */
	if (vq->ready && !vq->event_idx)
		store16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool virtq_enable_kicks(struct virtq *vq)
{
	if (!vq->ready)
		return false;
	/* Race closed: the driver publishes avail idx, then looks whether we want a
	 * kick; we ask for kicks, then look at avail idx once more. */
	if (vq->event_idx)
		store_before_load(avail_event(vq), vq->next_avail);
	else
		store_before_load(&vq->used->flags, 0);
	return load16_ordered(&vq->avail->idx) != vq->next_avail;
}

unsigned chain_out_slice(const struct chain *chain, uint32_t offset, uint32_t size,
			 struct iovec *ret_iov)
{
	return iov_slice(chain->iov, chain->n_out, offset, size, ret_iov);
}

unsigned chain_in_slice(const struct chain *chain, uint32_t offset, uint32_t size,
			struct iovec *ret_iov)
{
	return iov_slice(chain->iov + chain->n_out, chain->n_in, offset, size, ret_iov);
}

enum copy_direction { COPY_OUT, COPY_IN };

/* Between bytes and the iovecs, which hold offset + size bytes at least. */
static void copy(const struct iovec *iov, uint32_t offset, char *bytes, uint32_t size,
		 enum copy_direction direction)
{
	for (; size > 0; iov++) {
		char *at = (char *)iov->iov_base + offset;
		size_t length;

		if (offset >= iov->iov_len) {
			offset -= (uint32_t)iov->iov_len;
			continue;
		}
		length = MIN(iov->iov_len - offset, (size_t)size);
		if (direction == COPY_OUT)
			memcpy(bytes, at, length);
		else
			memcpy(at, bytes, length);
		bytes += length;
		size -= (uint32_t)length;
		offset = 0;
	}
}

bool chain_read(const struct chain *chain, uint32_t offset, void *ret_bytes, uint32_t size)
{
	if (offset > chain->out_size || size > chain->out_size - offset)
		return false;
	copy(chain->iov, offset, ret_bytes, size, COPY_OUT);
	return true;
}

bool chain_write(const struct chain *chain, uint32_t offset, const void *bytes, uint32_t size)
{
	if (offset > chain->in_size || size > chain->in_size - offset)
		return false;
	copy(chain->iov + chain->n_out, offset, (char *)bytes, size, COPY_IN);
	return true;
}

void iov_advance(struct iovec **iov, unsigned *n_iov, size_t n)
{
	while (*n_iov > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*n_iov)--;
	}
	if (*n_iov > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}
