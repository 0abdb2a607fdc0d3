/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the log of a container's output: see log-reader.h.
 *
 * Files are renamed while they are read: what is open stays what it was.  At the end of the newest
 * one that is open, PATH is asked whether it is that file still; if not, those that came after it
 * are opened, and found by their inodes.
 */
#include "cli/log-reader.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/io.h"

#define CHUNK 65536
/* Of a record: the task server writes at most 64 KiB of output into one, of which JSON makes six
 * times as much. */
#define RECORD_MAX (1u << 20)

struct log_reader {
	char *path;
	struct output_rule rule;
	int fds[OUTPUT_FILES_MAX]; /* oldest first */
	size_t n_fds, at;	   /* at: the one that is being read */
	struct buffer pending;	   /* of it: not yet a whole record */
	bool goes_on[2];	   /* the last record of stdout, of stderr, had no newline */
};

/* ---- files ---- */

static void close_files(struct log_reader *reader)
{
	for (size_t i = 0; i < reader->n_fds; i++)
		(void)close(reader->fds[i]);
	reader->n_fds = reader->at = 0;
	buffer_done(&reader->pending);
}

void log_reader_free(struct log_reader *reader)
{
	if (!reader)
		return;
	close_files(reader);
	free(reader->path);
	free(reader);
}

static bool is_same(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Those newer than the last one (NULL: all there are), oldest first.  From the newest back: one
 * that is renamed meanwhile is found twice, and none is missed. */
static size_t open_newer(const struct log_reader *reader, const struct stat *last, int *ret_fds)
{
	struct stat previous = { 0 };
	size_t n = 0;

	for (uint32_t i = 0; i < OUTPUT_FILES_MAX && n < reader->rule.max_files; i++) {
		_cleanup_free_ char *path = output_log_path(reader->path, i);
		_cleanup_close_ int fd = open_regular_file(AT_FDCWD, path, 0);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0 || (last && is_same(&st, last)))
			break;
		if (n > 0 && is_same(&st, &previous))
			continue;
		previous = st;
		ret_fds[n++] = TAKE_FD(fd);
	}
	for (size_t i = 0; i < n / 2; i++) {
		const int fd = ret_fds[i];

		ret_fds[i] = ret_fds[n - 1 - i];
		ret_fds[n - 1 - i] = fd;
	}
	return n;
}

int log_reader_open(const char *path, const struct output_rule *rule,
		    struct log_reader **ret_reader, struct error **ret_error)
{
	struct log_reader *reader = xcalloc(1, sizeof(*reader));

	reader->path = xstrdup(path);
	reader->rule = *rule;
	reader->n_fds = open_newer(reader, NULL, reader->fds);
	if (reader->n_fds == 0) {
		log_reader_free(reader);
		return error_set_errno(ret_error, errno, "cannot open the log %s", path);
	}
	*ret_reader = reader;
	return 0;
}

void log_reader_rewind(struct log_reader *reader)
{
	for (size_t i = 0; i < reader->n_fds; i++)
		(void)lseek(reader->fds[i], 0, SEEK_SET);
	reader->at = 0;
	reader->goes_on[0] = reader->goes_on[1] = false;
	buffer_done(&reader->pending);
}

void log_reader_skip(struct log_reader *reader)
{
	for (size_t i = 0; i < reader->n_fds; i++)
		(void)lseek(reader->fds[i], 0, SEEK_END);
	reader->at = reader->n_fds - 1;
	buffer_done(&reader->pending);
}

/* ---- records ---- */

static int parse_fraction(const char **at, uint64_t *ret_ns)
{
	uint64_t unit = NS_PER_SECOND;

	*ret_ns = 0;
	if (**at != '.')
		return 0;
	if (!isdigit((unsigned char)*++*at))
		return -1;
	for (; isdigit((unsigned char)**at); ++*at) {
		unit /= 10;
		*ret_ns += unit * (uint64_t)(**at - '0');
	}
	return 0;
}

/* "Z", "+01:00", or nothing. */
static int parse_offset(const char *at, int64_t *ret_seconds)
{
	const int sign = at[0] == '-' ? -1 : 1;
	unsigned hours, minutes;

	*ret_seconds = 0;
	if (at[0] == '\0' || strcmp(at, "Z") == 0)
		return 0;
	if ((at[0] != '+' && at[0] != '-') || strlen(at) != strlen("+00:00") || at[3] != ':' ||
	    !isdigit((unsigned char)at[1]) || !isdigit((unsigned char)at[2]) ||
	    !isdigit((unsigned char)at[4]) || !isdigit((unsigned char)at[5]))
		return -1;
	hours = (unsigned)(at[1] - '0') * 10 + (unsigned)(at[2] - '0');
	minutes = (unsigned)(at[4] - '0') * 10 + (unsigned)(at[5] - '0');
	*ret_seconds = sign * (int64_t)(hours * 3600 + minutes * 60);
	return 0;
}

int log_time_parse(const char *text, uint64_t *ret_ns)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };
	struct tm tm;
	const char *at = NULL;
	uint64_t ns;
	int64_t seconds, offset;

	for (size_t i = 0; i < ARRAY_SIZE(forms) && !at; i++) {
		tm = (struct tm){ 0 };
		at = strptime(text, forms[i], &tm);
	}
	if (!at || parse_fraction(&at, &ns) < 0 || parse_offset(at, &offset) < 0)
		return -1;
	seconds = timegm(&tm) - offset;
	if (seconds < 0)
		return -1;
	*ret_ns = (uint64_t)seconds < UINT64_MAX / NS_PER_SECOND
		      ? (uint64_t)seconds * NS_PER_SECOND + ns
		      : UINT64_MAX;
	return 0;
}

static int parse_stream(const char *word, size_t size, bool *ret_is_error)
{
	*ret_is_error = size == 6 && memcmp(word, "stderr", 6) == 0;
	return *ret_is_error || (size == 6 && memcmp(word, "stdout", 6) == 0) ? 0 : -1;
}

/* "TIME STREAM TAG text\n", of which the text gets to be the record: with the newline if the tag
 * says so, and it is not written without one.  -1: it is not one. */
static int parse_k8s(char *line, size_t size, struct log_record *record)
{
	char *words[3], *at = line;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		char *blank = memchr(at, ' ', size - (size_t)(at - line));

		if (!blank)
			return -1;
		words[i] = at;
		*blank = '\0';
		at = blank + 1;
	}
	if (log_time_parse(words[0], &record->time_ns) < 0 ||
	    parse_stream(words[1], strlen(words[1]), &record->is_error) < 0 ||
	    (strcmp(words[2], "F") != 0 && strcmp(words[2], "P") != 0))
		return -1;
	record->bytes = at;
	record->size = size - (size_t)(at - line) - (words[2][0] == 'P');
	return 0;
}

/* "\uXXXX", of those that the task server writes: below U+0080, or U+FFFD.  How many bytes. */
static size_t put_code(char *to, const char *digits)
{
	unsigned code = 0;

	for (int i = 0; i < 4; i++) {
		if (hex_digit(digits[i]) < 0)
			return 0;
		code = code << 4 | (unsigned)hex_digit(digits[i]);
	}
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	memcpy(to, "\xef\xbf\xbd", 3);
	return 3;
}

/* A JSON string from behind its first quotation mark on, in place: no escape is shorter than what
 * it means.  Returns what is behind it, or NULL. */
static char *unescape(char *at, const char *end, size_t *ret_size)
{
	static const char named[] = "\"\"\\\\//n\nr\rt\tb\bf\f";
	char *const begin = at, *to = at;

	while (at < end && *at != '"') {
		size_t i = 0;

		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		if (end - at >= 6 && at[1] == 'u') {
			const size_t n = put_code(to, at + 2);

			if (n == 0)
				return NULL;
			to += n;
			at += 6;
			continue;
		}
		while (i + 1 < sizeof(named) && (end - at < 2 || named[i] != at[1]))
			i += 2;
		if (i + 1 >= sizeof(named))
			return NULL;
		*to++ = named[i + 1];
		at += 2;
	}
	*ret_size = (size_t)(to - begin);
	return at < end ? at + 1 : NULL;
}

/* {"log":"text","stream":"…","time":"…"}, as the task server writes it. */
static int parse_json(char *line, size_t size, struct log_record *record)
{
	static const char *const before[] = { "{\"log\":\"", ",\"stream\":\"", ",\"time\":\"" };
	const char *texts[ARRAY_SIZE(before)];
	size_t sizes[ARRAY_SIZE(before)];
	char *at = line;

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		const size_t n = strlen(before[i]);

		if ((size_t)(line + size - at) < n || memcmp(at, before[i], n) != 0)
			return -1;
		texts[i] = at + n;
		at = unescape(at + n, line + size, &sizes[i]);
		if (!at)
			return -1;
	}
	*(at - 1) = '\0'; /* for the time */
	record->bytes = texts[0];
	record->size = sizes[0];
	return parse_stream(texts[1], sizes[1], &record->is_error) < 0 ||
		       log_time_parse(texts[2], &record->time_ns) < 0
		   ? -1
		   : 0;
}

/* A line with its newline. */
static int tell(struct log_reader *reader, char *line, size_t size, log_fn function, void *data,
		struct error **ret_error)
{
	struct log_record record = { 0 };
	bool *goes_on;

	if ((reader->rule.format == OUTPUT_K8S_FILE ? parse_k8s(line, size, &record)
						    : parse_json(line, size, &record)) < 0)
		return 0;
	goes_on = &reader->goes_on[record.is_error];
	record.begins = !*goes_on;
	*goes_on = record.size == 0 || record.bytes[record.size - 1] != '\n';
	return function(data, &record, ret_error);
}

static int tell_pending(struct log_reader *reader, log_fn function, void *data,
			struct error **ret_error)
{
	struct buffer *pending = &reader->pending;
	char *newline;

	while (buffer_length(pending) > 0 &&
	       (newline = memchr(buffer_data(pending), '\n', buffer_length(pending)))) {
		char *line = (char *)buffer_data(pending);
		const size_t size = (size_t)(newline - line) + 1;

		if (tell(reader, line, size, function, data, ret_error) < 0)
			return -1;
		buffer_consume(pending, size);
	}
	/* What ends so is not a record. */
	if (buffer_length(pending) > RECORD_MAX)
		buffer_consume(pending, buffer_length(pending));
	return 0;
}

/* To the end of the file that is being read. */
static int read_file_on(struct log_reader *reader, log_fn function, void *data,
			struct error **ret_error)
{
	ssize_t n;

	while ((n = read(reader->fds[reader->at], buffer_reserve(&reader->pending, CHUNK),
			 CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(ret_error, errno, "cannot read the log %s",
					       reader->path);
		buffer_commit(&reader->pending, (size_t)n);
		if (tell_pending(reader, function, data, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* Nothing is written to the last one any more: it has been read, but maybe for what came before it
 * was renamed. */
static bool has_newer(const struct log_reader *reader, struct stat *ret_last)
{
	struct stat newest;

	return fstat(reader->fds[reader->n_fds - 1], ret_last) == 0 &&
	       stat(reader->path, &newest) == 0 && !is_same(ret_last, &newest);
}

int log_reader_read(struct log_reader *reader, log_fn function, void *data,
		    struct error **ret_error)
{
	int fds[OUTPUT_FILES_MAX];
	struct stat last;
	size_t n;

	for (;;) {
		/* Asked before it is read to its end. */
		const bool is_last = reader->at + 1 == reader->n_fds;
		const bool is_renamed = is_last && has_newer(reader, &last);

		if (read_file_on(reader, function, data, ret_error) < 0)
			return -1;
		if (is_last && !is_renamed)
			return 0;
		buffer_done(&reader->pending); /* nobody ends it any more */
		if (!is_last) {
			reader->at++;
			continue;
		}
		n = open_newer(reader, &last, fds);
		if (n == 0)
			return 0;
		close_files(reader);
		memcpy(reader->fds, fds, n * sizeof(*fds));
		reader->n_fds = n;
	}
}
