/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a unit test program: see test.h. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each case runs in a child, so that one failure does not hide the others. */
static int run_case(const struct test_case *test)
{
	pid_t pid;
	int status;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		test->run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status)) {
		printf("%s: killed by signal %d\n", test->name, WTERMSIG(status));
		return 1;
	}
	return WEXITSTATUS(status);
}

static bool wanted(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 1;
}

int test_main(int argc, char **argv, const struct test_case *cases, size_t n_cases)
{
	int passed = 0, failed = 0, skipped = 0;

	for (size_t i = 0; i < n_cases; i++) {
		int status;

		if (!wanted(argc, argv, cases[i].name))
			continue;
		status = run_case(&cases[i]);
		/* (tests/skipped reads this, from whatever log the program writes to.) */
		printf("%s %s: %s\n",
		       status == 0    ? "ok"
		       : status == 77 ? "skip"
				      : "FAIL",
		       program_invocation_short_name, cases[i].name);
		passed += status == 0;
		skipped += status == 77;
		failed += status != 0 && status != 77;
	}
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	if (failed > 0 || passed + skipped == 0)
		return 1;
	return passed == 0 ? 77 : 0;
}

void test_leave_fds(size_t n)
{
	const struct rlimit limit = { 256, 256 };
	int fds[256];
	size_t opened = 0;

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		test_fail(__FILE__, __LINE__, "cannot limit descriptors");
	while ((fds[opened] = dup(STDERR_FILENO)) >= 0)
		opened++;
	while (n-- > 0 && opened > 0)
		(void)close(fds[--opened]);
}

void test_skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	exit(77);
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("%s:%d: ", file, line);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

void test_check_int(const char *file, int line, const char *what, long long got, long long value)
{
	if (got != value)
		test_fail(file, line, "%s is %lld (0x%llx), not %lld (0x%llx)", what, got, got,
			  value, value);
}

void test_check_string(const char *file, int line, const char *what, const char *got,
		       const char *value)
{
	if (!got || !value ? got != value : strcmp(got, value) != 0)
		test_fail(file, line, "%s is \"%s\", not \"%s\"", what, got ? got : "(null)",
			  value ? value : "(null)");
}

void test_check_error(const char *file, int line, int result, struct error **error,
		      const char *part)
{
	if (result >= 0)
		test_fail(file, line, "succeeded, but should fail with \"%s\"", part);
	if (!*error)
		test_fail(file, line, "failed without an error object");
	if (!strstr((*error)->message, part))
		test_fail(file, line, "failed with \"%s\", not \"%s\"", (*error)->message, part);
	error_free(*error);
	*error = NULL;
}

void test_check_ok(const char *file, int line, int result, struct error **error)
{
	if (result < 0)
		test_fail(file, line, "failed: %s", *error ? (*error)->message : "(no error)");
	if (*error)
		test_fail(file, line, "succeeded, but stored \"%s\"", (*error)->message);
}
