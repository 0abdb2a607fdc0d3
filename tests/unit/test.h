/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of a unit test program: a table of cases, run in order; a failed
 * check prints where and what and ends the case's program with status 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The memory of a sanitizer's build, and its time, say nothing. */
#ifdef __has_feature
#define TEST_HAS_FEATURE(name) __has_feature(name)
#else
#define TEST_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    TEST_HAS_FEATURE(address_sanitizer) || TEST_HAS_FEATURE(memory_sanitizer) ||                   \
    TEST_HAS_FEATURE(thread_sanitizer)
#define TEST_SANITIZED true
#else
#define TEST_SANITIZED false
#endif

struct test_case {
	const char *name;
	void (*run)(void);
};

/* Runs every case, or those named on the command line; prints one line each and
 * a closing "N passed, N failed". Returns the exit status. */
int test_main(int argc, char **argv, const struct test_case *cases, size_t n_cases);

/* From now on the case can open n descriptors and no more. */
void test_leave_fds(size_t n);

/* Ends the program as skipped (77) with the reason. */
void test_skip(const char *reason) __attribute__((noreturn));

void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void test_check_int(const char *file, int line, const char *what, long long got, long long wanted);
void test_check_string(const char *file, int line, const char *what, const char *got,
		       const char *wanted);
/* The call failed (result < 0) with an error whose message contains `part`;
 * frees and clears *error. */
void test_check_error(const char *file, int line, int result, struct error **error,
		      const char *part);
void test_check_ok(const char *file, int line, int result, struct error **error);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			test_fail(__FILE__, __LINE__, "%s", #condition);                           \
	} while (0)
#define CHECK_INT(got, wanted)                                                                     \
	test_check_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(wanted))
#define CHECK_STRING(got, wanted) test_check_string(__FILE__, __LINE__, #got, (got), (wanted))
#define CHECK_ERROR(result, error, part)                                                           \
	test_check_error(__FILE__, __LINE__, (result), (error), (part))
#define CHECK_OK(result, error) test_check_ok(__FILE__, __LINE__, (result), (error))

#define TEST_MAIN(cases)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return test_main(argc, argv, (cases), sizeof(cases) / sizeof((cases)[0]));         \
	}
