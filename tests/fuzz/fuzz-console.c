/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console and the source of random numbers, with a driver that makes any chain and a reader of
 * the output who is slow.
 *
 * Input: which (bit 0: the source), then rows of a byte: from 0xf0 on, one of the operations of
 * operate(); else a chain with so many buffers (out and in, a nibble each) of which each has a
 * length (16 bits) and a place in memory (a byte).
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/fuzz/input.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

#define RAM_SIZE (1 << 18)
/* Behind the rings, which are the driver's own. */
#define BUFFERS (DRIVER_RAM_BASE + (1 << 16))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct driver d;
	int output, input; /* our ends, -1 for the source */
	unsigned queues;
	bool wild; /* what is in the rings is not the driver's any more */
};

static void add_chain(struct machine *m, struct input *input, uint8_t counts)
{
	struct driver_buffer buffers[16];
	unsigned n_out = counts & 7, n_in = counts >> 4 & 7;
	unsigned queue = m->queues > 1 && n_out > 0 ? 1 : 0;

	for (unsigned i = 0; i < n_out + n_in; i++) {
		uint32_t length = take(input);

		length |= (uint32_t)take(input) << 8;
		buffers[i] = (struct driver_buffer){ BUFFERS + take(input) * 1024ULL, length };
	}
	if (!m->wild && n_out + n_in > 0 && ring_add(&m->d.rings[queue], buffers, n_out, n_in) >= 0)
		driver_kick(&m->d, queue);
}

static void take_used(struct machine *m)
{
	uint16_t head;
	uint32_t written;

	for (unsigned i = 0; i < m->queues; i++)
		while (!m->wild && ring_take(&m->d.rings[i], &head, &written))
			check(written <= 7 * 65535);
}

static void operate(struct machine *m, struct input *input, uint8_t what)
{
	char bytes[4096];
	ssize_t n;

	switch (what) {
	case 0xf0: /* the reader reads */
		while (m->output >= 0 && (n = read(m->output, bytes, sizeof(bytes))) > 0)
			;
		break;
	case 0xf1: /* somebody types */
		n = (ssize_t)MIN(input->left, 64U);
		if (m->input >= 0)
			(void)!write(m->input, input->at, (size_t)n);
		break;
	case 0xf2:
		close_fdp(&m->input);
		m->input = -1;
		break;
	case 0xf3:
		m->wild = true;
		ring_publish(&m->d.rings[take(input) % m->queues], take(input));
		break;
	case 0xf4:
		driver_reset(&m->d);
		m->d.ram_used = 0;
		m->wild = false;
		driver_start(&m->d, ~0ULL);
		break;
	default:
		driver_notify(&m->d, take(input) % m->queues);
	}
}

static void start(struct machine *m, bool source)
{
	struct virtio_device *device;
	struct console_options options;
	int output[2], input[2];

	if (source) {
		check(rng_new(&device, NULL) == 0);
		m->output = m->input = -1;
		m->queues = 1;
	} else {
		check(pipe(output) == 0 && pipe(input) == 0);
		options = (struct console_options){ output[1], input[0] };
		m->output = output[0];
		m->input = input[1];
		check(set_nonblocking(output[0], true) == 0 &&
		      set_nonblocking(input[1], true) == 0);
		check(console_new(&options, &device, NULL) == 0);
		m->queues = 2;
	}
	driver_init(&m->d, device, RAM_SIZE);
	driver_start(&m->d, ~0ULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct machine m = { 0 };

	log_set_level(LOG_LEVEL_ERROR);
	(void)signal(SIGPIPE, SIG_IGN);
	start(&m, take(&input) & 1);
	while (input.left > 0) {
		uint8_t what = take(&input);

		if (what >= 0xf0)
			operate(&m, &input, what);
		else
			add_chain(&m, &input, what);
		loop_step(m.d.loop, 0);
		take_used(&m);
	}
	driver_done(&m.d);
	close_fdp(&m.output);
	close_fdp(&m.input);
	return 0;
}
