/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the vhost-user protocol (QEMU docs/interop/vhost-user.rst, "Message
 * Specification"): numbers, layouts, and whole messages from and to a socket.
 * Everything is in the machine's own byte order.
 *
 * The peer is hostile: a message is read into a fixed buffer, never further than
 * its checked size, and its descriptors are counted and closed.
 */
#pragma once

#include <linux/vhost_types.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"
#include "virtio/memory.h"

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_RESET_DEVICE = 34,
	VHOST_REQUESTS /* one more than the last */
};

/* The one message we begin ourselves, on the back-end's channel. */
#define VHOST_BACKEND_CONFIG_CHANGE_MSG 2

/* In the virtio features: the protocol's own features are negotiated. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_protocol_feature {
	VHOST_PROTOCOL_F_MQ = 0,
	VHOST_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_PROTOCOL_F_CONFIG = 9,
	VHOST_PROTOCOL_F_RESET_DEVICE = 13,
};

#define VHOST_FLAG_VERSION 0x1U
#define VHOST_FLAG_REPLY (1U << 2)
#define VHOST_FLAG_NEED_REPLY (1U << 3)

/* In the u64 of SET_VRING_KICK, CALL and ERR. */
#define VHOST_VRING_INDEX_MASK 0xffU
#define VHOST_VRING_NO_FD (1U << 8)

#define VHOST_CONFIG_MAX 256
#define VHOST_CONFIG_HEADER ((uint32_t)offsetof(struct vhost_config, bytes))

struct vhost_header {
	uint32_t request; /* enum vhost_request */
	uint32_t flags;
	uint32_t size; /* of the payload, which follows */
};

/* A part of guest memory: of the file that comes with it, the size bytes at
 * file_offset. */
struct vhost_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t user_address; /* where the front-end has it */
	uint64_t file_offset;
};

struct vhost_mem_table {
	uint32_t n_regions;
	uint32_t padding;
	struct vhost_region regions[MEM_REGIONS_MAX];
};

struct vhost_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};

union vhost_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_mem_table mem_table;
	struct vhost_config config;
};

/* A message that came, or the part of it that came so far. */
struct vhost_message {
	struct vhost_header header;
	union vhost_payload payload; /* zeroes behind header.size */
	int fds[FD_PASS_MAX];	     /* taken by the function that needs one: then -1 */
	size_t n_fds;
	size_t received; /* bytes, header and payload */
};

/* Empties the message and closes what descriptors it still has.  A zeroed
 * message is an empty one. */
void vhost_message_clear(struct vhost_message *message);
/* Reads on from a non-blocking socket: 1 when the message is whole, 0 when more
 * must come, -1 when it is malformed (header, size, descriptors in the middle) or
 * the peer is gone. */
int vhost_message_receive(struct vhost_message *message, int socket, struct error **ret_error);

/* Sends header and payload (header->size bytes) whole, or fails: a peer that does
 * not read its replies is not a peer. */
int vhost_message_send(int socket, const struct vhost_header *header, const void *payload,
		       struct error **ret_error);
