UNIT_TESTS += tests/unit/test-spec tests/unit/test-state
RUNTIME_SPEC_TEST_LIBS = runtime-spec/libstate.a runtime-spec/libspec.a $(BASE_TEST_LIBS) $(CAP_LIBS)
tests_unit_test_spec_SOURCES = tests/unit/test-spec.c
tests_unit_test_spec_LDADD = tests/unit/libtest.a $(RUNTIME_SPEC_TEST_LIBS)
EXTRA_DIST += tests/unit/data/config-full.json tests/unit/data/config-runc.json
tests_unit_test_spec_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_DATA='"$(abs_srcdir)/tests/unit/data"'
tests_unit_test_state_SOURCES = tests/unit/test-state.c
tests_unit_test_state_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
