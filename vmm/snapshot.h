/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a machine, but for its memory, as a file: parts that can be told from each
 * other, behind a head that tells whether all of it is there.
 *
 *   head     "SMSTATE", a format number, the size of all of it, a checksum of what follows
 *   part     its kind and which of this kind it is, its size, its bytes; filled up with zeroes
 *            to a multiple of 8
 *
 * Numbers are in the host's byte order and structures as its compiler lays them out: a machine
 * goes on where its processor is, and the format number says which version of the program
 * wrote it.  What a part means is its owner's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* As large as the state of a machine may be: shares have the most of it, a path for each file that
 * the guest knows. */
#define VM_STATE_MAX (256u << 20)

enum snapshot_kind {
	SNAPSHOT_VM = 1, /* of which there is one */
	SNAPSHOT_VCPU,	 /* for each vCPU */
	SNAPSHOT_MSRS,
	SNAPSHOT_XSAVE,
	SNAPSHOT_TRANSPORT, /* for each slot that has a device */
	SNAPSHOT_DEVICE,    /* what that device knows beside it */
	SNAPSHOT_CPU,	    /* the features of its processors, … */
	SNAPSHOT_MACHINE,   /* … and what else the machine was made of */
	SNAPSHOT_KINDS,
};

/* ---- writing, into an empty buffer ---- */

void snapshot_begin(struct buffer *bytes);
void snapshot_put(struct buffer *bytes, enum snapshot_kind kind, uint32_t index, const void *part,
		  size_t size);
/* Nothing can be put after this. */
void snapshot_end(struct buffer *bytes);

/* ---- reading ---- */

struct snapshot {
	const uint8_t *bytes; /* the caller's, which must outlive it */
	size_t size;
};
/* Checks the head and every part's place.  Errors say what is wrong with the file: EINVAL: it
 * is none, or altered; EPROTONOSUPPORT: another version's; ENODATA: not all of it is there. */
int snapshot_open(const void *bytes, size_t size, struct snapshot *ret_snapshot,
		  struct error **ret_error);
bool snapshot_has(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index);
/* The part's bytes, *ret_size of them.  ENOENT: there is none. */
int snapshot_find(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index,
		  const void **ret_part, size_t *ret_size, struct error **ret_error);
/* Copies the part, which is exactly as large. */
int snapshot_take(const struct snapshot *snapshot, enum snapshot_kind kind, uint32_t index,
		  void *ret_part, size_t size, struct error **ret_error);
