/* base: errors, allocation, buffers, checked arithmetic, files, unix sockets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/unit/test.h"

static void test_error(void)
{
	_cleanup_error_ struct error *error = NULL;

	CHECK_INT(error_set_errno(&error, ENOENT, "cannot open %s", "x"), -1);
	CHECK_INT(error->code, ENOENT);
	CHECK_STRING(error->message, "cannot open x: No such file or directory");
	CHECK_INT(error_wrap(&error, "container %d", 3), -1);
	CHECK_STRING(error->message, "container 3: cannot open x: No such file or directory");
	CHECK_INT(error_set(NULL, EINVAL, "nobody listens"), -1);
}

static void test_buffer(void)
{
	struct buffer buffer = { 0 };
	uint8_t expected = 0;

	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 37; i++) {
			uint8_t byte = (uint8_t)(round * 37 + i);

			buffer_append(&buffer, &byte, 1);
		}
		while (buffer_length(&buffer) > 20) {
			CHECK_INT(*buffer_data(&buffer), expected++);
			buffer_consume(&buffer, 1);
		}
	}
	CHECK_INT(buffer_length(&buffer), 20);
	buffer_done(&buffer);
	CHECK_INT(buffer_length(&buffer), 0);
}

static void test_checked(void)
{
	uint64_t sum;
	uint32_t product;

	CHECK(checked_add(UINT64_MAX, 1, &sum));
	CHECK(!checked_add(UINT64_MAX - 1, 1, &sum));
	CHECK(sum == UINT64_MAX);
	CHECK(checked_mul(65536u, 65536u, &product));
	CHECK(checked_sub(1u, 2u, &product));
}

static char *temporary_directory(void)
{
	char *path = xstrdup("/tmp/test-base.XXXXXX");

	CHECK(mkdtemp(path));
	return path;
}

static void test_files(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *deep = xasprintf("%s/a/b/c", directory);
	_cleanup_free_ char *file = xasprintf("%s/f", deep);
	_cleanup_free_ char *text = NULL;
	size_t size;
	struct stat st;

	CHECK_OK(make_directories(deep, 0700, &error), &error);
	CHECK_OK(make_directories(deep, 0700, &error), &error);
	CHECK_OK(write_file_atomic(file, "hello", 5, 0640, &error), &error);
	CHECK_OK(read_file(file, 5, &text, &size, &error), &error);
	CHECK_INT(size, 5);
	CHECK_STRING(text, "hello");
	CHECK(stat(file, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_ERROR(read_file(file, 4, &text, &size, &error), &error, "larger than 4 bytes");
	CHECK_ERROR(make_directories(file, 0700, &error) == 0
			? read_file(deep, 9, &text, NULL, &error)
			: -1,
		    &error, "cannot");
	CHECK_OK(remove_tree(directory, &error), &error);
	CHECK(access(directory, F_OK) < 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_unix_long_path(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *deep = xasprintf("%s/%0100d", directory, 7);
	_cleanup_free_ char *path = xasprintf("%s/socket", deep);
	_cleanup_close_ int listener = -1, client = -1, server = -1;

	CHECK_OK(make_directories(deep, 0700, &error), &error);
	listener = unix_listen(path, 0600, &error);
	CHECK_OK(listener, &error);
	client = unix_connect(path, &error);
	CHECK_OK(client, &error);
	server = accept(listener, NULL, NULL);
	CHECK(server >= 0);
	CHECK_ERROR(unix_connect(deep, &error), &error, "cannot connect");
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_pass_fds(void)
{
	int pair[2], pipe_fds[2], fds[FD_PASS_MAX];
	size_t n = 0;
	char byte = 0;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipe_fds) == 0);
	CHECK_INT(send_with_fds(pair[0], "x", 1, pipe_fds, 2), 1);
	CHECK_INT(recv_with_fds(pair[1], &byte, 1, fds, &n), 1);
	CHECK_INT(n, 2);
	CHECK(write(fds[1], "y", 1) == 1 && read(fds[0], &byte, 1) == 1);
	CHECK_INT(byte, 'y');
	CHECK(fds[0] != pipe_fds[0]);
}

static void test_ratelimit(void)
{
	struct ratelimit limit = { 0 };
	uint32_t suppressed = 9;

	CHECK(ratelimit_pass(&limit, &suppressed));
	CHECK_INT(suppressed, 0);
	CHECK(!ratelimit_pass(&limit, &suppressed));
	CHECK(!ratelimit_pass(&limit, &suppressed));
	limit.next_ns = 0;
	CHECK(ratelimit_pass(&limit, &suppressed));
	CHECK_INT(suppressed, 2);
}

static void test_rfc3339(void)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(UINT64_C(1767323045678901234), text);
	CHECK_STRING(text, "2026-01-02T03:04:05.678901234Z");
}

static void test_log_forms(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *directory = temporary_directory();
	_cleanup_free_ char *path = xasprintf("%s/log", directory);
	_cleanup_free_ char *text = NULL;

	CHECK_OK(log_open(path, &error), &error);
	log_set_format(LOG_FORMAT_JSON);
	log_error("a \"quoted\"\nline");
	log_debug("not shown");
	CHECK_OK(read_file(path, 1000, &text, NULL, &error), &error);
	CHECK(strstr(text, "{\"level\":\"error\",\"msg\":\"a \\\"quoted\\\"\\nline\",\"time\":\""));
	CHECK(!strstr(text, "not shown"));
	log_set_format(LOG_FORMAT_TEXT);
	log_error("a \"quoted\" \\\nli\rne");
	free(TAKE_PTR(text));
	CHECK_OK(read_file(path, 1000, &text, NULL, &error), &error);
	CHECK(strstr(text, "Z\" level=error msg=\"a \\\"quoted\\\" \\\\\\nli ne\"\n"));
	CHECK_OK(remove_tree(directory, &error), &error);
}

static const struct test_case cases[] = {
	{ "error", test_error },
	{ "buffer", test_buffer },
	{ "checked", test_checked },
	{ "files", test_files },
	{ "unix long path", test_unix_long_path },
	{ "pass fds", test_pass_fds },
	{ "ratelimit", test_ratelimit },
	{ "rfc3339", test_rfc3339 },
	{ "log forms", test_log_forms },
};

TEST_MAIN(cases)
