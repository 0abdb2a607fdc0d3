/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's vsock, for tests: the driver's side of the socket device on top of
 * virtio-driver.h, with credit as virtio 1.2 §5.10.6.3 has it.  Packets can be
 * sent raw; streams keep the rules and check that the device does.
 */
#pragma once

#include <linux/virtio_vsock.h>

#include "tests/unit/virtio-driver.h"

#define GUEST_CID 7
#define GUEST_PACKET_MAX (64U * 1024)
#define GUEST_TX_SLOTS 32
#define GUEST_HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))

struct guest {
	struct driver d;
	char *path; /* the host's socket */
	gpa_t rx_at[128], tx_at[GUEST_TX_SLOTS];
	uint32_t rx_size;
	int tx_slot_of_head[128]; /* -1: none */
	int rx_buffer_of_head[128];
	bool tx_busy[GUEST_TX_SLOTS];
	bool keep_rx; /* used rx buffers are not given back */
};

/* Makes the device with a listening socket in a new directory, starts it, and
 * gives it n_rx buffers for packets of up to rx_size bytes with their header. */
void guest_init(struct guest *g, unsigned n_rx, uint32_t rx_size);
void guest_done(struct guest *g);
void guest_start(struct guest *g, unsigned n_rx, uint64_t features);
void guest_add_rx(struct guest *g, unsigned buffer);

struct virtio_vsock_hdr guest_header(uint16_t op, uint32_t host_port, uint32_t guest_port);
/* false: no free slot.  payload may be NULL for zeroes; chain_size is how much
 * of header and payload the chain holds (0: all). */
bool guest_send(struct guest *g, const struct virtio_vsock_hdr *header, const void *payload,
		uint32_t chain_size);
/* The next packet the device has sent, if there is one; *ret_payload is good
 * until the next call. */
bool guest_receive(struct guest *g, struct virtio_vsock_hdr *ret_header,
		   const uint8_t **ret_payload);
/* Runs the loop until a packet comes; its header. */
struct virtio_vsock_hdr guest_expect(struct guest *g, uint16_t op);
/* Runs the loop for a moment: nothing comes. */
void guest_expect_nothing(struct guest *g);

/* Host ends, non-blocking. */
int host_listen(const struct guest *g, uint32_t port);
void host_unlisten(const struct guest *g, uint32_t port); /* removes its file */
int host_accept(struct guest *g, int listen_fd);
int host_connect(const struct guest *g, const char *greeting);
/* Runs the loop until size bytes (0: the end) have come, and compares. */
void host_expect(struct guest *g, int fd, const void *bytes, size_t size);

/* Packets without much ado. */
void guest_send_op(struct guest *g, uint16_t op, uint32_t host_port, uint32_t guest_port,
		   uint32_t flags);
void guest_send_text(struct guest *g, uint32_t host_port, uint32_t guest_port, const char *text);
void guest_expect_text(struct guest *g, const char *text);
void guest_expect_rst(struct guest *g, uint32_t host_port, uint32_t guest_port);
/* The guest connects to (2, port); the host's end. */
int guest_connect(struct guest *g, uint32_t port, uint32_t guest_port);
/* A host client connects to the guest's port, from *ret_host_port; its end. */
int guest_accept(struct guest *g, uint32_t port, uint32_t *ret_host_port);
/* The connection is known no more: what the guest sends for it gets an RST. */
void guest_check_gone(struct guest *g, uint32_t host_port, uint32_t guest_port);
