/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a container's output: what the task server writes is what is read, while files are
 * renamed beneath the reader; other lines in it are left out. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "cli/log-reader.h"
#include "cli/run-log.h"
#include "sandbox/stdio/output-log.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/output-log.XXXXXX", *path;

static void make_directory(void)
{
	memcpy(strrchr(directory, '.') + 1, "XXXXXX", 6);
	CHECK(mkdtemp(directory));
	path = xasprintf("%s/below/log", directory);
}

static void remove_directory(void)
{
	CHECK(remove_tree(directory, NULL) == 0);
	free(path);
}

/* What was read of each stream, and where lines began. */
struct got {
	struct buffer streams[2];
	size_t n_lines;
	uint64_t time_ns;
};

static int take(void *data, const struct log_record *record, struct error **ret_error)
{
	struct got *got = data;

	(void)ret_error;
	buffer_append(&got->streams[record->is_error], record->bytes, record->size);
	got->n_lines += record->begins;
	CHECK(record->time_ns >= got->time_ns);
	got->time_ns = record->time_ns;
	return 0;
}

static void check_got(struct got *got, const char *out, size_t n_out, const char *err)
{
	CHECK_INT(buffer_length(&got->streams[0]), n_out);
	CHECK(n_out == 0 || memcmp(buffer_data(&got->streams[0]), out, n_out) == 0);
	CHECK_INT(buffer_length(&got->streams[1]), strlen(err));
	CHECK(!err[0] || memcmp(buffer_data(&got->streams[1]), err, strlen(err)) == 0);
	buffer_done(&got->streams[0]);
	buffer_done(&got->streams[1]);
}

static struct output_log *open_log(const struct output_rule *rule)
{
	struct error *error = NULL;
	struct output_log *log = NULL;

	CHECK_OK(output_log_open(path, rule, &log, &error), &error);
	return log;
}

static struct log_reader *open_reader(const struct output_rule *rule)
{
	struct error *error = NULL;
	struct log_reader *reader = NULL;

	CHECK_OK(log_reader_open(path, rule, &reader, &error), &error);
	return reader;
}

static void put(struct output_log *log, enum output_stream stream, const char *text)
{
	CHECK(output_log_write(log, stream, text, strlen(text)) == 0);
}

/* ---- */

static void check_streams(enum output_format format)
{
	const struct output_rule rule = { .format = format, .max_files = 1 };
	static const char odd[] = "nul \0 quote \" slash \\ tab \t cr \r\n\n\x1b[0m \x7f\n";
	struct log_reader *reader;
	struct output_log *log;
	struct got got = { 0 };

	make_directory();
	log = open_log(&rule);
	reader = open_reader(&rule);
	put(log, OUTPUT_STDOUT, "one\ntwo\nthr");
	put(log, OUTPUT_STDERR, "error\n");
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	CHECK_INT(got.n_lines, 4);
	put(log, OUTPUT_STDOUT, "ee");
	put(log, OUTPUT_STDOUT, "\n");
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	CHECK_INT(got.n_lines, 4);
	check_got(&got, "one\ntwo\nthree\n", 14, "error\n");
	CHECK(output_log_write(log, OUTPUT_STDOUT, odd, sizeof(odd) - 1) == 0);
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	check_got(&got, odd, sizeof(odd) - 1, "");
	/* From the beginning, and only what comes. */
	log_reader_rewind(reader);
	got.time_ns = 0;
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	CHECK(buffer_length(&got.streams[0]) == 14 + sizeof(odd) - 1);
	buffer_done(&got.streams[0]);
	buffer_done(&got.streams[1]);
	log_reader_rewind(reader);
	log_reader_skip(reader);
	put(log, OUTPUT_STDERR, "last");
	output_log_close(log);
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	check_got(&got, "", 0, "last");
	log_reader_free(reader);
	remove_directory();
}

static void test_streams(void)
{
	check_streams(OUTPUT_K8S_FILE);
	check_streams(OUTPUT_JSON_FILE);
}

/* JSON has characters: one that comes in two parts is whole, one that is wrong is replaced. */
static void test_characters(void)
{
	const struct output_rule rule = { .format = OUTPUT_JSON_FILE, .max_files = 1 };
	static const char *const parts[] = { "caf\xc3", "\xa9 \xe2\x82",     "\xac\n",	"\xff|\xc3",
					     "(\n",	"\xf0\x9f\x98\x80|", "\xe2\x82" };
	static const char wanted[] =
	    "caf\xc3\xa9 \xe2\x82\xac\n\xef\xbf\xbd|\xef\xbf\xbd(\n\xf0\x9f\x98\x80|"
	    "\xef\xbf\xbd\xef\xbf\xbd";
	struct output_log *log;
	struct log_reader *reader;
	struct got got = { 0 };

	make_directory();
	log = open_log(&rule);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		put(log, OUTPUT_STDOUT, parts[i]);
	output_log_close(log);
	reader = open_reader(&rule);
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	check_got(&got, wanted, sizeof(wanted) - 1, "");
	log_reader_free(reader);
	remove_directory();
}

static uint64_t size_of(uint32_t n)
{
	_cleanup_free_ char *name = output_log_path(path, n);
	struct stat st;

	return stat(name, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* A reader that keeps up has all of it; the files stay within their bounds; the oldest go. */
static void check_rotation(uint32_t max_files)
{
	const struct output_rule rule = { .format = OUTPUT_K8S_FILE,
					  .max_size = 4096,
					  .max_files = max_files };
	struct output_log *log;
	struct log_reader *reader, *late;
	struct got got = { 0 }, end = { 0 };
	struct buffer all = { 0 };

	make_directory();
	log = open_log(&rule);
	reader = open_reader(&rule);
	for (int i = 0; i < 2000; i++) {
		_cleanup_free_ char *line = xasprintf("line %d%s", i, i % 7 ? "\n" : "");

		put(log, OUTPUT_STDOUT, line);
		buffer_append(&all, line, strlen(line));
		if (i % 20 == 0)
			CHECK(log_reader_read(reader, take, &got, NULL) == 0);
		/* It is opened again by another run. */
		if (i == 1000) {
			output_log_close(log);
			log = open_log(&rule);
		}
	}
	for (uint32_t n = 0; n < max_files; n++)
		CHECK(size_of(n) > 0 && size_of(n) <= rule.max_size);
	CHECK_INT(size_of(max_files), 0);
	CHECK(log_reader_read(reader, take, &got, NULL) == 0);
	late = open_reader(&rule);
	CHECK(log_reader_read(late, take, &end, NULL) == 0);
	CHECK(buffer_length(&end.streams[0]) > 400 * (max_files - 1));
	CHECK(memcmp(buffer_data(&end.streams[0]),
		     buffer_data(&all) + buffer_length(&all) - buffer_length(&end.streams[0]),
		     buffer_length(&end.streams[0])) == 0);
	check_got(&got, (const char *)buffer_data(&all), buffer_length(&all), "");
	buffer_done(&end.streams[0]);
	buffer_done(&all);
	log_reader_free(reader);
	log_reader_free(late);
	output_log_close(log);
	remove_directory();
}

static void test_rotation(void)
{
	check_rotation(1);
	check_rotation(2);
	check_rotation(5);
}

/* What is not a record says nothing. */
static void test_others(void)
{
	static const char k8s[] =
	    "hello\n\n2026-01-02T03:04:05Z stdin F x\n"
	    "2026-13-02T03:04:05Z stdout F x\n2026-01-02T03:04:05Z stdout G x\n"
	    "2026-01-02T03:04:05.5+01:00 stdout F good\n"
	    "2026-01-02T03:04:05Z stdout F\n2026-01-02T03:04:05Z stderr P cut";
	static const char json[] =
	    "{}\n{\"log\":\"x\n{\"log\":\"\\u12\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:"
	    "04:05Z\"}\n"
	    "{\"log\":\"\\x\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
	    "{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
	    "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"\"}\n"
	    "{\"log\":\"good\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T02:04:05.5Z\"}\n"
	    "{\"log\":\"\\";
	const struct {
		enum output_format format;
		const char *text;
	} logs[] = { { OUTPUT_K8S_FILE, k8s }, { OUTPUT_JSON_FILE, json } };

	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		const struct output_rule rule = { .format = logs[i].format, .max_files = 1 };
		struct log_reader *reader;
		struct got got = { 0 };

		make_directory();
		output_log_close(open_log(&rule));
		CHECK(write_file(path, logs[i].text, NULL) == 0);
		reader = open_reader(&rule);
		CHECK(log_reader_read(reader, take, &got, NULL) == 0);
		check_got(&got, "good\n", 5, "");
		CHECK_INT(got.time_ns, UINT64_C(1767319445500000000));
		log_reader_free(reader);
		remove_directory();
	}
}

static void test_times(void)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} good[] = { { "1970-01-01", 0 },
		     { "2026-01-02T03:04", 1767323040 },
		     { "2026-01-02T03:04:05", 1767323045 },
		     { "2026-01-02T03:04:05-02:30", 1767332045 } };
	static const char *const bad[] = { "",
					   "42",
					   "10m",
					   "1969-01-01",
					   "2026-01-02T03:04:05.Z",
					   "2026-01-02X",
					   "2026-01-02T03:04:05+1:00" };
	uint64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK(log_time_parse(good[i].text, &ns) == 0);
		CHECK_INT(ns / 1000000000, good[i].seconds);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(log_time_parse(bad[i], &ns) < 0);
}

/* ---- options ---- */

static int read_options(const char *driver, const char *const *opts, bool detach,
			struct run_log *ret_log, struct error **ret_error)
{
	const struct run_options options = { .create.detach = detach,
					     .log_driver = driver,
					     .log_opts = (const char **)opts };

	return run_log_read(&options, "/root", "id", ret_log, ret_error);
}

static void test_options(void)
{
	static const char *const all[] = { "max-size=10k", "max-file=3", "path=/log", NULL };
	static const struct {
		const char *driver, *option, *why;
	} bad[] = { { "journald", NULL, "--log-driver journald is not supported: known are" },
		    { "", NULL, "is not supported" },
		    { NULL, "max-size=1", "max-size=1: must be at least 1024 bytes" },
		    { NULL, "max-size=x", "--log-opt max-size=x: max-size: " },
		    { NULL, "max-file=0", "must be a number from 1 to 100" },
		    { NULL, "path=log", "must be an absolute path" },
		    { NULL, "tag=x", "unknown log opt 'tag'" },
		    { NULL, "tag", "must be NAME=VALUE" } };
	struct error *error = NULL;
	struct run_log log;

	CHECK_OK(read_options(NULL, NULL, true, &log, &error), &error);
	CHECK_STRING(log.path, "/root/id/output.log");
	CHECK(log.rule.format == OUTPUT_K8S_FILE && log.rule.max_files == 2 &&
	      log.rule.max_size == 2 << 20);
	run_log_done(&log);
	CHECK_OK(read_options("json-file", all, true, &log, &error), &error);
	CHECK_STRING(log.path, "/log");
	CHECK(log.rule.format == OUTPUT_JSON_FILE && log.rule.max_files == 3 &&
	      log.rule.max_size == 10240);
	run_log_done(&log);
	for (size_t i = 0; i < 2; i++) {
		CHECK_OK(read_options("none", NULL, i > 0, &log, &error), &error);
		CHECK(!log.path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *const opts[] = { bad[i].option, NULL };

		CHECK_ERROR(
		    read_options(bad[i].driver, bad[i].option ? opts : NULL, true, &log, &error),
		    &error, bad[i].why);
	}
	CHECK_ERROR(read_options("json-file", NULL, false, &log, &error), &error, "with -d");
	CHECK_ERROR(read_options(NULL, all, false, &log, &error), &error, "with -d");
}

static const struct test_case cases[] = {
	{ "streams", test_streams },   { "characters", test_characters },
	{ "rotation", test_rotation }, { "others", test_others },
	{ "times", test_times },       { "options", test_options },
};

TEST_MAIN(cases)
