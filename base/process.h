/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that are not ours to wait for: told apart from later ones of the same
 * pid by their start time, killed through a pidfd, and noted in small files, where a
 * later clean-up finds them.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Start time of a live process (/proc/PID/stat field 22); 0: there is none, or it cannot be read.
 */
uint64_t process_start_time(pid_t pid);
/* The same for a caller that writes it down, so that the process can be found again: that it cannot
 * be read is an error, that there is none is not. */
int process_identify(pid_t pid, uint64_t *ret_start, struct error **ret_error);
/* SIGKILL for the process of this pid if it started at `start`; waits until it has
 * ended, at most patience_ms. */
void process_kill(pid_t pid, uint64_t start, int patience_ms);

/* Notes a live process in the file at path ("PID START"). */
int process_note(const char *path, pid_t pid, struct error **ret_error);
/* The noted pid, whether it still runs or not; 0: none. *ret_start may be NULL. */
pid_t process_noted(const char *path, uint64_t *ret_start);
/* process_kill() of the noted one, which is returned. */
pid_t process_kill_noted(const char *path, int patience_ms);
