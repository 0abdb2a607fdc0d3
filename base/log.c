/* SPDX-License-Identifier: Apache-2.0 */
/* Logging: see log.h. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log-file.h"
#include "base/plain.h"

static int log_fd = STDERR_FILENO;
static struct log_file *kept; /* what log_fd is; NULL: it may grow */
static enum log_level current_level = LOG_LEVEL_WARNING;
static enum log_format current_format = LOG_FORMAT_TEXT;
static const char *current_name;

/* In front of each line that is not ours: a guest cannot forge one. */
#define OTHERS "> "
/* On the stack of the caller that has a guest's output. */
#define CHUNK_SIZE 4096
/* Of what comes at once, the end is looked at: a guest's buffer may claim gigabytes. */
#define OTHERS_MAX (64u << 10)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* around log_file's */
static size_t left = SIZE_MAX; /* that may be written; SIZE_MAX: no limit */
static bool line_is_open;      /* one of others has no end yet */

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

int log_open(const char *path, struct error **ret_error)
{
	/* O_RDWR so that a FIFO opens at once and a reader that leaves costs no
	 * SIGPIPE; O_NONBLOCK so that a full one, whose reader is away, stops
	 * nobody. */
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the log file %s", path);
	if (log_fd != STDERR_FILENO)
		(void)close(log_fd);
	log_set_fd(fd);
	return 0;
}

void log_set_fd(int fd)
{
	log_file_free(TAKE_PTR(kept));
	log_fd = fd;
	line_is_open = false;
}

int log_keep_end(size_t size_max, struct error **ret_error)
{
	return log_file_new(log_fd, size_max, &kept, ret_error);
}

void log_limit(size_t size_max)
{
	left = size_max;
}

/* Lock held. */
static void put(const void *bytes, size_t size)
{
	if (kept)
		log_file_write(kept, bytes, size);
	else /* a log that cannot be written has nobody to be told of it */
		(void)!write(log_fd, bytes, size);
}

/* What a terminal does not obey; of other than ASCII, one byte does not tell. */
static char harmless(char byte)
{
	return (unsigned char)byte < ' ' || (unsigned char)byte > '~' ? ' ' : byte;
}

void log_put(const void *bytes, size_t size)
{
	static const char gone[] = "[the beginning was discarded]\n";
	const char *from = bytes;
	char text[CHUNK_SIZE];
	size_t n = 0;

	(void)pthread_mutex_lock(&lock);
	if (size > OTHERS_MAX) {
		if (line_is_open)
			put("\n", 1);
		line_is_open = false;
		put(gone, sizeof(gone) - 1);
		from += size - OTHERS_MAX;
		size = OTHERS_MAX;
	}
	for (size_t i = 0; i < size; i++) {
		/* Of line ends it is the other one that counts. */
		if (from[i] == '\r')
			continue;
		if (n + sizeof(OTHERS) > sizeof(text)) {
			put(text, n);
			n = 0;
		}
		if (!line_is_open) {
			memcpy(text + n, OTHERS, sizeof(OTHERS) - 1);
			n += sizeof(OTHERS) - 1;
		}
		line_is_open = from[i] != '\n';
		text[n++] = from[i] == '\n' || from[i] == '\t' ? from[i] : harmless(from[i]);
	}
	put(text, n);
	(void)pthread_mutex_unlock(&lock);
}

void log_set_format(enum log_format format)
{
	current_format = format;
}

void log_set_level(enum log_level level)
{
	current_level = level;
}

enum log_level log_level(void)
{
	return current_level;
}

void log_set_name(const char *name)
{
	current_name = name;
}

/* As logrus quotes: one event, one line, whatever a peer put into it. */
static char *quote(const char *message)
{
	char *quoted = xcalloc(2 * strlen(message) + 1, 1);
	char *to = quoted;

	for (; *message; message++) {
		const size_t control = plain_control_size(message);

		if (*message == '"' || *message == '\\' || *message == '\n')
			*to++ = '\\';
		if (*message == '\n')
			*to++ = 'n';
		else
			*to++ = control ? ' ' : *message;
		message += control == 2;
	}
	return quoted;
}

static char *format_line(enum log_level level, const char *message)
{
	char time[CLOCK_RFC3339_SIZE];
	struct json_writer *writer;
	_cleanup_free_ char *json = NULL;

	clock_rfc3339(clock_realtime_ns(), time);
	if (current_format == LOG_FORMAT_TEXT) {
		_cleanup_free_ char *quoted = quote(message);

		return xasprintf("time=\"%s\" level=%s msg=\"%s%s%s\"\n", time, level_names[level],
				 current_name ? current_name : "", current_name ? ": " : "",
				 quoted);
	}
	writer = json_writer_new(false);
	json_begin_object(writer);
	json_put_string(writer, "level", level_names[level]);
	json_put_string(writer, "msg", message);
	json_put_string(writer, "time", time);
	json_end_object(writer);
	json = json_writer_finish(writer, NULL);
	return xasprintf("%s\n", json);
}

/* It has a line of its own. */
static void put_line(const char *line)
{
	_cleanup_free_ char *last = NULL;

	(void)pthread_mutex_lock(&lock);
	if (line_is_open)
		put("\n", 1);
	line_is_open = false;
	if (left > 0 && strlen(line) > left) {
		line = last =
		    format_line(LOG_LEVEL_WARNING, "the log is full: no more is written to it");
		left = strlen(line);
	}
	if (left > 0)
		put(line, strlen(line));
	if (left > 0 && left < SIZE_MAX)
		left -= strlen(line);
	(void)pthread_mutex_unlock(&lock);
}

void log_write(enum log_level level, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	_cleanup_free_ char *line = NULL;
	va_list args;

	if (level > current_level)
		return;
	va_start(args, format);
	message = xvasprintf(format, args);
	va_end(args);
	line = format_line(level, message);
	put_line(line);
}

bool ratelimit_pass(struct ratelimit *limit, uint32_t *ret_suppressed)
{
	int64_t now = (int64_t)clock_monotonic_ns();
	int64_t next = atomic_load(&limit->next_ns);

	if (now < next ||
	    !atomic_compare_exchange_strong(&limit->next_ns, &next, now + 1000000000)) {
		(void)atomic_fetch_add(&limit->suppressed, 1);
		return false;
	}
	*ret_suppressed = atomic_exchange(&limit->suppressed, 0);
	return true;
}
