UNIT_TESTS += tests/unit/test-base tests/unit/test-json tests/unit/test-loop
BASE_TEST_LIBS = tests/unit/libtest.a base/libbase.a $(YAJL_LIBS)
tests_unit_test_base_SOURCES = tests/unit/test-base.c
tests_unit_test_base_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_json_SOURCES = tests/unit/test-json.c
tests_unit_test_json_LDADD = $(BASE_TEST_LIBS)
tests_unit_test_loop_SOURCES = tests/unit/test-loop.c
tests_unit_test_loop_LDADD = $(BASE_TEST_LIBS)
