/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost-user front-end, for tests: it serves the driver of virtio-driver.h as
 * QEMU serves a guest, and can say anything else too.  Where it waits for an
 * answer it runs the driver's loop, on which the transport works.
 */
#pragma once

#include "tests/unit/virtio-driver.h"
#include "virtio/vhost-user.h"
#include "virtio/vhost-wire.h"

/* What the guest has at gpa, the front-end has at gpa + this. */
#define FRONTEND_OFFSET 0x550000000000ULL

struct frontend {
	int socket; /* non-blocking */
	struct vhost_user *transport;
	int kick_fds[VIRTIO_QUEUES_MAX];
	int call_fd, err_fd; /* the same for every ring */
	uint64_t features;   /* offered */
	uint64_t protocol_features;
	uint64_t accepted; /* by the driver, with F_PROTOCOL_FEATURES */
	uint16_t base[VIRTIO_QUEUES_MAX];
	uint32_t started; /* bit by bit */
	bool broken;	  /* err_fd was signalled since the driver's start */
	unsigned n_lost;
	char lost[256];
};

/* Connects d->device to a new front-end, which negotiates as QEMU does before the
 * guest runs. */
void frontend_init(struct driver *d);
/* What init does first; QEMU does it again when the device is taken out and put back. */
void frontend_negotiate(struct driver *d);
void frontend_done(struct driver *d);

/* A message as it is; the descriptors stay the caller's. */
void frontend_send(struct driver *d, uint32_t request, uint32_t flags, const void *payload,
		   uint32_t size, const int *fds, size_t n_fds);
/* Waits for the reply to request: its payload's size, at most size. */
uint32_t frontend_expect(struct driver *d, uint32_t request, void *ret_payload, uint32_t size);
uint64_t frontend_get(struct driver *d, uint32_t request);
/* Asks for an acknowledgement: 0, or not when the request was refused. */
uint64_t frontend_ask(struct driver *d, uint32_t request, const void *payload, uint32_t size,
		      const int *fds, size_t n_fds);
/* The same, and it must not be refused. */
void frontend_set(struct driver *d, uint32_t request, const void *payload, uint32_t size,
		  const int *fds, size_t n_fds);
uint64_t frontend_ask_state(struct driver *d, uint32_t request, uint32_t queue, uint32_t num);
/* Runs the loop until the transport has given up; its reason contains part. */
void frontend_expect_lost(struct driver *d, const char *part);

/* As QEMU starts and stops a device: every ring that has a size, from
 * frontend->base on, and back.  frontend_stop() is a pause, and what becomes of it
 * is said by how the rings start again. */
void frontend_start(struct driver *d);
void frontend_stop(struct driver *d);
/* The guest's memory, in n regions of about the same size. */
void frontend_set_memory(struct driver *d, uint32_t n_regions);
