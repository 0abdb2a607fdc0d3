/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the task server's fuzz target: a machine of no process (it stands in
 * for sandbox/vmm.c, so the target links without that) and the agent in it, both
 * as the input likes.
 *
 * An obliging guest answers what it is asked at once; otherwise calls are held until
 * the input ends them.  Its machine ends from the loop some time after it was told
 * to.  Loop thread; one guest per process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define GUEST_STREAMS_MAX 32

struct guest;

enum guest_stream_answer { STREAM_OK, STREAM_REFUSED, STREAM_SILENT, STREAM_ODD, N_STREAM_ANSWERS };

struct guest *guest_new(struct loop *loop, bool obliging);
/* The server, and with it its machine, is gone. */
void guest_free(struct guest *guest);

void guest_set_obliging(struct guest *guest, bool obliging);
void guest_set_stream_answer(struct guest *guest, enum guest_stream_answer answer);
/* The agent dials in, if there is a machine that runs. */
void guest_dial(struct guest *guest);
/* Ends the which-th held call with an answer of this number in it, or an error. */
void guest_answer(struct guest *guest, size_t which, uint32_t number);
void guest_refuse(struct guest *guest, size_t which, int32_t code);
/* Bytes that are no answer: in the middle of the agent's connection. */
void guest_babble(struct guest *guest, const uint8_t *bytes, size_t size);
void guest_hang_up(struct guest *guest);
/* On the which-th stream of stdio. */
void guest_write(struct guest *guest, size_t which, const uint8_t *bytes, size_t size);
void guest_close_stream(struct guest *guest, size_t which);
/* The machine tells that the guest stopped; or it is dead at once. */
void guest_stop(struct guest *guest);
void guest_die(struct guest *guest);
/* From now on it obeys, and streams end: whatever was held is answered. */
void guest_give_in(struct guest *guest);
