/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that counts what is asked of it, for tests of transports.  Each chain is
 * served by doing nothing to it.
 */
#pragma once

#include "virtio/device.h"
#include "virtio/queue.h"
#include "virtio/worker.h"

#define FAKE_TYPE 42
#define FAKE_QUEUES 2
#define FAKE_QUEUE_SIZE 16
#define FAKE_FEATURE_A (1ULL << 3)
#define FAKE_FEATURE_B (1ULL << 35)

struct fake {
	struct virtio_device device;
	uint8_t config[12]; /* 0x10, 0x11, … */
	unsigned activated, reset, synced, kicked[FAKE_QUEUES], served;
	bool fail_activate, fail_kick;
	bool *freed;
	struct chain chain;
	/* With workers: each is at its first chain until it is told to stop. */
	_Atomic bool at_work;
	struct chain worker_chain;
	struct worker workers[FAKE_QUEUES];
};

/* *freed becomes true with free(); NULL: nobody asks. */
struct fake *fake_new(bool has_workers, bool *freed);
