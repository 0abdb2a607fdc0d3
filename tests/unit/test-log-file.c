/* SPDX-License-Identifier: Apache-2.0 */
/* base/log-file: a file that keeps what was written last. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/log-file.h"
#include "tests/unit/test.h"

#define SIZE_MAX_KEPT 8192
#define GONE "[earlier output was discarded]\n"

struct fixture {
	char path[64];
	int fd;
	struct log_file *file;
	char *got;
	size_t n_got;
};

static void open_file(struct fixture *f, size_t size_max)
{
	struct error *error = NULL;

	f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	CHECK(f->fd >= 0);
	CHECK_OK(log_file_new(f->fd, size_max, &f->file, &error), &error);
}

static void close_file(struct fixture *f)
{
	log_file_free(f->file);
	(void)close(f->fd);
}

static void fixture_init(struct fixture *f)
{
	int fd;

	*f = (struct fixture){ .path = "/tmp/test-log-file.XXXXXX" };
	fd = mkstemp(f->path);
	CHECK(fd >= 0);
	(void)close(fd);
	open_file(f, SIZE_MAX_KEPT);
}

static void fixture_done(struct fixture *f)
{
	close_file(f);
	(void)unlink(f->path);
	free(f->got);
}

static void look(struct fixture *f)
{
	struct error *error = NULL;

	free(f->got);
	CHECK_OK(read_file(f->path, 1 << 20, &f->got, &f->n_got, &error), &error);
}

/* The file is the end of what was written, behind a line if that is not all: never larger
 * than it may be, and never less than half of that. */
static void check_end(struct fixture *f, const char *all, size_t n)
{
	const size_t mark = sizeof(GONE) - 1;

	look(f);
	CHECK(f->n_got <= SIZE_MAX_KEPT);
	if (n == f->n_got && memcmp(f->got, all, n) == 0)
		return;
	CHECK(f->n_got >= SIZE_MAX_KEPT / 2 - 1);
	CHECK(strncmp(f->got, GONE, mark) == 0);
	CHECK(f->n_got - mark <= n);
	CHECK(memcmp(f->got + mark, all + n - (f->n_got - mark), f->n_got - mark) == 0);
}

static void test_sizes(void)
{
	static const size_t sizes[] = { 0,
					1,
					100,
					SIZE_MAX_KEPT / 2 - 1,
					SIZE_MAX_KEPT / 2,
					SIZE_MAX_KEPT / 2 + 1,
					SIZE_MAX_KEPT - 1,
					SIZE_MAX_KEPT,
					SIZE_MAX_KEPT + 1,
					10 * SIZE_MAX_KEPT };
	_cleanup_free_ char *all = xcalloc(1, 1 << 20);
	struct fixture f;
	size_t n = 0;

	fixture_init(&f);
	for (size_t i = 0; i < 1 << 20; i++)
		all[i] = (char)('a' + (i ^ i >> 8) % 26);
	/* Each size behind each other. */
	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(sizes) * 2; i++) {
		size_t k = i % 2 ? i / 2 / ARRAY_SIZE(sizes) : i / 2 % ARRAY_SIZE(sizes);

		if (n + sizes[k] > 1 << 20)
			n = 0, fixture_done(&f), fixture_init(&f);
		log_file_write(f.file, all + n, sizes[k]);
		n += sizes[k];
		check_end(&f, all, n);
	}
	fixture_done(&f);
}

/* A file is full before anything goes, and goes on where another process left it. */
static void test_goes_on(void)
{
	_cleanup_free_ char *all = xcalloc(1, 4 * SIZE_MAX_KEPT);
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	memset(all, 'x', 4 * SIZE_MAX_KEPT);
	log_file_write(f.file, all, 4000);
	close_file(&f);
	open_file(&f, SIZE_MAX_KEPT);
	log_file_write(f.file, all, SIZE_MAX_KEPT - 4000);
	look(&f);
	CHECK_INT(f.n_got, SIZE_MAX_KEPT);
	CHECK(f.got[0] == 'x');
	log_file_write(f.file, "y", 1);
	look(&f);
	CHECK_INT(f.n_got, SIZE_MAX_KEPT / 2);
	CHECK(strncmp(f.got, GONE, sizeof(GONE) - 1) == 0 && f.got[f.n_got - 1] == 'y');
	close_file(&f);
	/* One that is too large already. */
	CHECK_OK(write_file_atomic(f.path, all, 4 * SIZE_MAX_KEPT, 0600, &error), &error);
	open_file(&f, SIZE_MAX_KEPT);
	log_file_write(f.file, "z", 1);
	look(&f);
	CHECK(f.n_got <= SIZE_MAX_KEPT && f.got[f.n_got - 1] == 'z');
	/* One that somebody has emptied. */
	CHECK(truncate(f.path, 0) == 0);
	log_file_write(f.file, all, SIZE_MAX_KEPT / 2);
	look(&f);
	CHECK(f.n_got >= SIZE_MAX_KEPT / 2 && f.n_got <= SIZE_MAX_KEPT);
	fixture_done(&f);
}

/* Writes that fail in the middle are counted: the bound holds when there is room again. */
static void test_no_room(void)
{
	static char bytes[3000];
	struct rlimit unlimited, limit;
	struct fixture f;

	fixture_init(&f);
	memset(bytes, 'x', sizeof(bytes));
	CHECK(getrlimit(RLIMIT_FSIZE, &unlimited) == 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	limit = unlimited;
	for (limit.rlim_cur = 1000; limit.rlim_cur < 8000; limit.rlim_cur += 1000) {
		CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		log_file_write(f.file, bytes, sizeof(bytes));
		CHECK(setrlimit(RLIMIT_FSIZE, &unlimited) == 0);
		look(&f);
		CHECK(f.n_got <= limit.rlim_cur);
	}
	log_file_write(f.file, bytes, sizeof(bytes));
	log_file_write(f.file, "end", 3);
	look(&f);
	CHECK(f.n_got <= SIZE_MAX_KEPT);
	CHECK_STRING(f.got + f.n_got - 3, "end");
	(void)signal(SIGXFSZ, SIG_DFL);
	fixture_done(&f);
}

static void *write_lines(void *data)
{
	for (int i = 0; i < 2000; i++)
		log_file_write(data, "a line of some thread.\n", 23);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[4];
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		CHECK(pthread_create(&threads[i], NULL, write_lines, f.file) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	look(&f);
	CHECK(f.n_got <= SIZE_MAX_KEPT && f.n_got >= SIZE_MAX_KEPT / 2 - 1);
	/* Whole lines, but for the first. */
	for (const char *at = f.got + f.n_got; at - f.got > 23 + (int)sizeof(GONE) + 23; at -= 23)
		CHECK(memcmp(at - 23, "a line of some thread.\n", 23) == 0);
	fixture_done(&f);
}

static void test_refused(void)
{
	struct log_file *file = NULL;
	struct error *error = NULL;
	struct fixture f;
	int fds[2];

	fixture_init(&f);
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	CHECK_ERROR(log_file_new(fds[1], SIZE_MAX_KEPT, &file, &error), &error, "cannot");
	CHECK_ERROR(log_file_new(f.fd, LOG_FILE_SIZE_MIN - 1, &file, &error), &error, "4095");
	CHECK_ERROR(log_file_new(999, SIZE_MAX_KEPT, &file, &error), &error, "cannot open");
	CHECK(!file);
	fixture_done(&f);
}

/* The log itself, with what others write into it. */
static void test_log(void)
{
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	log_set_fd(f.fd);
	CHECK_OK(log_keep_end(SIZE_MAX_KEPT, &error), &error);
	for (int i = 0; i < 1000; i++) {
		log_error("line %d", i);
		log_put("raw\n", 4);
	}
	log_set_fd(STDERR_FILENO);
	look(&f);
	CHECK(f.n_got <= SIZE_MAX_KEPT && f.n_got >= SIZE_MAX_KEPT / 2 - 1);
	CHECK(strstr(f.got, "line 999\"\n> raw\n") && !strstr(f.got, "line 1\""));
	/* It is not the log any more. */
	log_put("", 0);
	fixture_done(&f);
}

/* What others say cannot be taken for what we say, and does nothing to a terminal. */
static void test_others(void)
{
	static const char forged[] =
	    "time=\"2026-11-29T00:00:00Z\" level=error msg=\"all is lost\"\n";
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	log_set_fd(f.fd);
	CHECK_OK(log_keep_end(SIZE_MAX_KEPT, &error), &error);
	log_put(forged, sizeof(forged) - 1);
	/* Whatever the pieces. */
	for (size_t i = 0; i < sizeof(forged) - 1; i++)
		log_put(forged + i, 1);
	log_put("\x1b]0;title\a\x9b\x7f\tup\r\n", 17);
	log_put("\n\rtime=\r", 8);
	/* An unfinished line does not swallow one of ours. */
	log_error("ours");
	log_put("{\"level\":\"error\"}", 17);
	log_error("c1 \xc2\x9b[31m, del \x7f, tab\t, \xc3\xa4");
	log_put("more", 4);
	log_set_fd(STDERR_FILENO);
	look(&f);
	CHECK(strncmp(f.got, "> time=\"2026", 12) == 0);
	CHECK(!strstr(f.got, "\ntime=\"2026-11-29T00:00:00Z"));
	CHECK(strstr(f.got, "lost\"\n> time="));
	CHECK(strstr(f.got, "\n>  ]0;title   \tup\n> \n> time=\ntime=\""));
	CHECK(strstr(f.got, "msg=\"ours\"\n> {\"level\":\"error\"}\ntime=\""));
	CHECK(strstr(f.got, "c1  [31m, del  , tab , \xc3\xa4\"\n> more"));
	fixture_done(&f);
}

/* Of more than anybody says at once, the end: a guest's buffer may claim gigabytes. */
static void test_huge(void)
{
	static const char begin[] = "> unfinished\n[the beginning was discarded]\n> xxx";
	_cleanup_free_ char *bytes = xmalloc(300000);
	struct fixture f;

	fixture_init(&f);
	log_set_fd(f.fd);
	memset(bytes, 'x', 300000);
	memcpy(bytes + 300000 - 8, "the end\n", 8);
	log_put("unfinished", 10);
	log_put(bytes, 300000);
	log_error("ours");
	log_set_fd(STDERR_FILENO);
	look(&f);
	CHECK(f.n_got > 65536 && f.n_got < 65536 + 200);
	CHECK(strncmp(f.got, begin, strlen(begin)) == 0);
	CHECK(strstr(f.got, "xthe end\ntime=\""));
	fixture_done(&f);
}

/* A file that others write to as well is not cut. */
static void test_limit(void)
{
	struct fixture f;
	size_t n = 0;

	fixture_init(&f);
	log_set_fd(f.fd);
	log_limit(SIZE_MAX_KEPT);
	for (int i = 0; i < 1000; i++)
		log_error("line %d", i);
	log_set_fd(STDERR_FILENO);
	log_limit(SIZE_MAX);
	look(&f);
	CHECK(strstr(f.got, "line 0\"") && !strstr(f.got, "line 999\""));
	for (const char *at = f.got; (at = strstr(at, "the log is full")); at++)
		n++;
	CHECK_INT(n, 1);
	CHECK(f.n_got > SIZE_MAX_KEPT - 100 && f.n_got < SIZE_MAX_KEPT + 100);
	fixture_done(&f);
}

static const struct test_case cases[] = {
	{ "limit", test_limit },     { "others", test_others },	  { "sizes", test_sizes },
	{ "goes on", test_goes_on }, { "no room", test_no_room }, { "threads", test_threads },
	{ "refused", test_refused }, { "log", test_log },	  { "huge", test_huge },
};

TEST_MAIN(cases)
