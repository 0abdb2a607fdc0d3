# SPDX-License-Identifier: Apache-2.0
FUSE_TESTS = tests/unit/test-fuse tests/unit/test-fuse-dir tests/unit/test-fuse-hostile \
	tests/unit/test-fuse-fresh tests/unit/test-fuse-life tests/unit/test-fuse-staged \
	tests/unit/test-fuse-state tests/unit/test-fuse-threads tests/unit/test-fuse-race
UNIT_TESTS += $(FUSE_TESTS)
noinst_LIBRARIES += tests/unit/libfuse-client.a
tests_unit_libfuse_client_a_SOURCES = tests/unit/fuse-client.c tests/unit/fuse-client.h
FUSE_TEST_LIBS = tests/unit/libfuse-client.a tests/unit/libtest.a rootfs/share/libshare.a \
	base/libbase.a $(YAJL_LIBS)
tests_unit_test_fuse_SOURCES = tests/unit/test-fuse.c
tests_unit_test_fuse_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_fresh_SOURCES = tests/unit/test-fuse-fresh.c
tests_unit_test_fuse_fresh_LDADD = $(FUSE_TEST_LIBS)
# The test's own clocks.
tests_unit_test_fuse_fresh_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_monotonic_ns \
	-Wl,--wrap=clock_realtime_ns
tests_unit_test_fuse_hostile_SOURCES = tests/unit/test-fuse-hostile.c
tests_unit_test_fuse_hostile_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_life_SOURCES = tests/unit/test-fuse-life.c
tests_unit_test_fuse_life_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_dir_SOURCES = tests/unit/test-fuse-dir.c
tests_unit_test_fuse_dir_LDADD = $(FUSE_TEST_LIBS)
# (What the server opens is looked at.)
tests_unit_test_fuse_race_SOURCES = tests/unit/test-fuse-race.c
tests_unit_test_fuse_race_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_race_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=open,--wrap=openat
tests_unit_test_fuse_staged_SOURCES = tests/unit/test-fuse-staged.c
tests_unit_test_fuse_staged_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_state_SOURCES = tests/unit/test-fuse-state.c
tests_unit_test_fuse_state_LDADD = $(FUSE_TEST_LIBS)
tests_unit_test_fuse_threads_SOURCES = tests/unit/test-fuse-threads.c
tests_unit_test_fuse_threads_LDADD = $(FUSE_TEST_LIBS)
