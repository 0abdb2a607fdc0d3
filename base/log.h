/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line per event, in runc's (logrus') text or JSON form, to
 * stderr until log_open() names another place.  Any thread may log; a line is
 * written with one write(2).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Appends to the file at path from now on (made 0600 if missing).  A FIFO is
 * opened without waiting for its reader, and a line that does not fit into it is
 * lost. */
int log_open(const char *path, struct error **ret_error);
/* Logs to an fd that stays the caller's. */
void log_set_fd(int fd);
/* From now on the log, a regular file, has size_max bytes at most: what is older goes
 * (log-file.h).  Before there are threads. */
int log_keep_end(size_t size_max, struct error **ret_error);
/* From now on this process logs size_max bytes at most, and then a line that says so: for a
 * file that others write to as well, which cannot be cut.  (log_put() does not count.) */
void log_limit(size_t size_max);
void log_set_format(enum log_format format);
void log_set_level(enum log_level level);
enum log_level log_level(void);
/* A word put before every message in text form, e.g. "vmm"; must be a literal. */
void log_set_name(const char *name);

/* Output of others that belongs into the log: "> " in front of each line, so that none can be
 * taken for one of ours; spaces for what a terminal would obey, and for all but ASCII. */
void log_put(const void *bytes, size_t size);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_level() >= LOG_LEVEL_DEBUG)                                                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)

/*
 * For lines that a guest or a client can cause at will: at most one a second
 * for each struct ratelimit (zero-initialised; any thread).  True when the
 * caller may log now; *ret_suppressed is how many were held back since then.
 */
struct ratelimit {
	_Atomic int64_t next_ns;
	_Atomic uint32_t suppressed;
};
bool ratelimit_pass(struct ratelimit *limit, uint32_t *ret_suppressed);
