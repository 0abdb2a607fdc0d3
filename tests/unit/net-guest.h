/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of a network device, for tests: frames to and from the queues. */
#pragma once

#include <linux/virtio_net.h>

#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

enum { NET_RECEIVE, NET_TRANSMIT, NET_CONTROL }; /* with one pair */

#define NET_TEST_MAC                                                                               \
	{                                                                                          \
		0x02, 0, 0, 0, 0, 1                                                                \
	}

extern struct driver guest;
extern gpa_t net_page; /* 128 KiB for what is sent, of the test's own */

/* For a tap.  The calling process, which is the case's own, is in an empty network namespace
 * afterwards.  Skips where it cannot be, or taps cannot be made. */
void net_enter_namespace(void);
/* For a device of which the kernel moves the frames; -1: it does not. Skips where it cannot. */
int net_open_vhost(bool is_vhost);

/* A device with these options, and its driver with these features. */
void net_guest_new(const struct net_options *options, uint64_t features);
/* Which pair of queues what follows is about, until a driver starts anew: 0. */
void net_guest_use(unsigned pair);
/* A driver anew, with empty receive queues. */
void net_guest_start(uint64_t features);
void net_guest_steps(void);

/* A frame's bytes: Ethernet's header, then a pattern that depends on seed. */
void net_fill(uint8_t *frame, uint32_t size, unsigned seed);
void net_check(const uint8_t *frame, uint32_t size, unsigned seed);

/* Queues a frame; header NULL: all of it zero.  The chain's head. */
uint16_t net_guest_send(const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t size);
/* Waits until the device is done with it. */
void net_guest_sent(uint16_t head);
/* n buffers of that size for frames, and a kick. */
void net_guest_give(unsigned n, uint32_t size);
/* Waits for a frame; its size. */
uint32_t net_guest_take(struct virtio_net_hdr_v1 *ret_header, void *ret_frame, uint32_t max);
/* The loop has nothing more to do and there is no frame. */
void net_guest_expect_none(void);
/* Runs a command, in the queue behind the last pair; its answer. */
uint8_t net_guest_command(uint8_t class, uint8_t command, const void *data, uint32_t size);
uint16_t net_guest_status(void);
