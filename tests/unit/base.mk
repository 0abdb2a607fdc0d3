# SPDX-License-Identifier: Apache-2.0
UNIT_TESTS += tests/unit/test-base tests/unit/test-json tests/unit/test-log-file tests/unit/test-loop \
	tests/unit/test-pump tests/unit/test-doorman tests/unit/test-tar
BASE_TEST_LIBS = tests/unit/libtest.a base/libbase.a $(YAJL_LIBS)
tests_unit_test_base_SOURCES = tests/unit/test-base.c
tests_unit_test_base_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_json_SOURCES = tests/unit/test-json.c
tests_unit_test_json_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_log_file_SOURCES = tests/unit/test-log-file.c
tests_unit_test_log_file_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_loop_SOURCES = tests/unit/test-loop.c
tests_unit_test_loop_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_pump_SOURCES = tests/unit/test-pump.c
tests_unit_test_pump_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_doorman_SOURCES = tests/unit/test-doorman.c
tests_unit_test_doorman_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_tar_SOURCES = tests/unit/test-tar.c
tests_unit_test_tar_LDADD = $(BASE_TEST_LIBS)
