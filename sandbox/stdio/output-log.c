/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the log of a container's output: see output-log.h. */
#include "sandbox/stdio/output-log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/utf8.h"

/* Records are written together, of so many bytes at least, unless a file is to have fewer. */
#define BLOCK (64u << 10)
#define CHARACTER_MAX 4
/* What a byte that is not text becomes. */
#define REPLACEMENT "\\ufffd"

struct output_log {
	char *path;
	struct output_rule rule;
	int fd;
	uint64_t size;
	/* Of json-file, which has characters, not bytes: the beginning of one. */
	struct {
		char bytes[CHARACTER_MAX];
		size_t n;
	} cut[OUTPUT_STREAMS];
};

/* ---- files ---- */

static int open_newest(struct output_log *log)
{
	const int fd = open(
	    log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0)
		return -1;
	close_fdp(&log->fd);
	log->fd = fd;
	if (fstat(fd, &st) < 0)
		return -1;
	log->size = (uint64_t)st.st_size;
	if (S_ISREG(st.st_mode))
		return 0;
	errno = EINVAL;
	return -1;
}

/* From the oldest on.  Those who read the one that is removed have it open. */
static int rotate(struct output_log *log)
{
	for (uint32_t n = log->rule.max_files - 1; n > 0; n--) {
		_cleanup_free_ char *from = output_log_path(log->path, n - 1);
		_cleanup_free_ char *to = output_log_path(log->path, n);

		if (rename(from, to) < 0 && errno != ENOENT)
			return -1;
	}
	if (log->rule.max_files == 1 && unlink(log->path) < 0 && errno != ENOENT)
		return -1;
	return open_newest(log);
}

/* Empties the block. */
static int flush(struct output_log *log, struct buffer *block)
{
	const size_t size = buffer_length(block);

	if (size == 0)
		return 0;
	if (log->rule.max_size > 0 && log->size > 0 && log->size + size > log->rule.max_size &&
	    rotate(log) < 0)
		return -1;
	if (write_all(log->fd, buffer_data(block), size) < 0)
		return -1;
	log->size += size;
	buffer_consume(block, size);
	return 0;
}

/* ---- records ---- */

static const char *stream_name(enum output_stream stream)
{
	return stream == OUTPUT_STDOUT ? "stdout" : "stderr";
}

static void append_text(struct buffer *block, const char *text)
{
	buffer_append(block, text, strlen(text));
}

static void append_k8s(struct buffer *block, enum output_stream stream, const char *time,
		       const char *bytes, size_t size)
{
	const bool is_whole = bytes[size - 1] == '\n';

	append_text(block, time);
	buffer_append(block, " ", 1);
	append_text(block, stream_name(stream));
	append_text(block, is_whole ? " F " : " P ");
	buffer_append(block, bytes, size - is_whole);
	buffer_append(block, "\n", 1);
}

/* One character as JSON has it; its size in the text. */
static size_t append_character(struct buffer *block, const char *at, size_t left)
{
	static const char named[] = "\"\"\\\\\nn\rr\tt";
	const size_t size = utf8_size(at, left);
	char escape[8];

	if (size == 0) {
		append_text(block, REPLACEMENT);
		return 1;
	}
	if (size > 1) {
		buffer_append(block, at, size);
		return size;
	}
	for (size_t i = 0; i + 1 < sizeof(named); i += 2)
		if (at[0] == named[i]) {
			(void)snprintf(escape, sizeof(escape), "\\%c", named[i + 1]);
			append_text(block, escape);
			return 1;
		}
	if ((unsigned char)at[0] >= ' ') {
		buffer_append(block, at, 1);
		return 1;
	}
	(void)snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)at[0]);
	append_text(block, escape);
	return 1;
}

static void append_json(struct buffer *block, enum output_stream stream, const char *time,
			const char *bytes, size_t size)
{
	append_text(block, "{\"log\":\"");
	while (size > 0) {
		const size_t n = append_character(block, bytes, size);

		bytes += n;
		size -= n;
	}
	append_text(block, "\",\"stream\":\"");
	append_text(block, stream_name(stream));
	append_text(block, "\",\"time\":\"");
	append_text(block, time);
	append_text(block, "\"}\n");
}

/* How many bytes at the end begin a character whose rest is still to come. */
static size_t cut_off(const char *bytes, size_t size)
{
	for (size_t n = 1; n < CHARACTER_MAX && n <= size; n++)
		if (utf8_is_cut(bytes + size - n, n))
			return n;
	return 0;
}

/* A record for each line, and for the beginning of one at the end. */
static int write_lines(struct output_log *log, enum output_stream stream, const char *bytes,
		       size_t size)
{
	const uint64_t most = log->rule.max_size;
	const uint64_t at_once = most > 0 && most < BLOCK ? most : BLOCK;
	_cleanup_(buffer_done) struct buffer block = { 0 };
	char time[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_realtime_ns(), time);
	while (size > 0) {
		const char *newline = memchr(bytes, '\n', size);
		const size_t n = newline ? (size_t)(newline - bytes) + 1 : size;

		if (log->rule.format == OUTPUT_K8S_FILE)
			append_k8s(&block, stream, time, bytes, n);
		else
			append_json(&block, stream, time, bytes, n);
		bytes += n;
		size -= n;
		if (buffer_length(&block) >= at_once && flush(log, &block) < 0)
			return -1;
	}
	return flush(log, &block);
}

/* With what the last ones left, and without what these leave. */
static int write_characters(struct output_log *log, enum output_stream stream, const char *bytes,
			    size_t size)
{
	const size_t before = log->cut[stream].n;
	_cleanup_free_ char *all = xmalloc(before + size);

	memcpy(all, log->cut[stream].bytes, before);
	memcpy(all + before, bytes, size);
	size += before;
	log->cut[stream].n = cut_off(all, size);
	size -= log->cut[stream].n;
	memcpy(log->cut[stream].bytes, all + size, log->cut[stream].n);
	return write_lines(log, stream, all, size);
}

int output_log_write(struct output_log *log, enum output_stream stream, const void *bytes,
		     size_t size)
{
	return log->rule.format == OUTPUT_JSON_FILE ? write_characters(log, stream, bytes, size)
						    : write_lines(log, stream, bytes, size);
}

/* ---- */

int output_log_open(const char *path, const struct output_rule *rule, struct output_log **ret_log,
		    struct error **ret_error)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	struct output_log *log;

	if (path[0] != '/' || rule->max_files == 0 || rule->max_files > OUTPUT_FILES_MAX ||
	    rule->format == OUTPUT_RAW)
		return error_set(ret_error, EINVAL, "the log %s: not a rule for it", path);
	if (directory[0] && make_directories(directory, 0755, ret_error) < 0)
		return -1;
	log = xcalloc(1, sizeof(*log));
	log->path = xstrdup(path);
	log->rule = *rule;
	log->fd = -1;
	if (open_newest(log) < 0) {
		(void)error_set_errno(ret_error, errno, "cannot open the log %s", path);
		output_log_close(log);
		return -1;
	}
	*ret_log = log;
	return 0;
}

void output_log_close(struct output_log *log)
{
	if (!log)
		return;
	for (enum output_stream i = 0; i < OUTPUT_STREAMS; i++)
		if (log->cut[i].n > 0)
			(void)write_lines(log, i, log->cut[i].bytes, log->cut[i].n);
	close_fdp(&log->fd);
	free(log->path);
	free(log);
}
