/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a pull is, on the standard error: a line for each layer that is kept up to date on a
 * terminal; elsewhere a line for each layer that is done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

struct progress *progress_new(bool quiet);
/* What is going on before there are lines, which take its place: on a terminal alone. */
void progress_tell(struct progress *progress, const char *words);
/* A line of its own; returns its number. */
size_t progress_add(struct progress *progress, const char *digest, uint64_t size);
void progress_set(struct progress *progress, size_t line, uint64_t received);
/* Its last word, e.g. "already there". */
void progress_end(struct progress *progress, size_t line, const char *word);
/* Shows what has changed; at most some times a second. */
void progress_show(struct progress *progress, bool now);
void progress_free(struct progress *progress); /* and moves on below the lines */
