/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server on loopback whose answers a test writes byte by byte, faults included. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fake_registry;

/* One request: its first line's path, and all of its head; the answer is written to fd, which is
 * closed afterwards.  In a thread of the server's, one request at a time. */
typedef void (*fake_answer_fn)(void *data, int fd, const char *path, const char *head);

struct fake_registry *fake_registry_start(fake_answer_fn answer, void *data);
unsigned fake_registry_port(const struct fake_registry *registry);
/* The same with n threads, so that n clients are answered at a time. */
#define FAKE_REGISTRY_THREADS_MAX 8
struct fake_registry *fake_registry_start_threads(fake_answer_fn answer, void *data, size_t n);
void fake_registry_stop(struct fake_registry *registry);

/* An answer with these further headers (each with its line end; may be ""). */
void fake_say(int fd, const char *status, const char *headers, const void *body, size_t size);
/* The same, a length said that is not the body's. */
void fake_say_length(int fd, const char *status, const char *headers, const void *body, size_t size,
		     uint64_t length);
