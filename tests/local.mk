# A unit test is tests/unit/test-NAME.c, one program; add its name here.
# tests/unit/test.h gives the checks. It exits 0, 77 (skipped, reason printed)
# or anything else (failed).
UNIT_TESTS =
noinst_LIBRARIES += tests/unit/libtest.a
tests_unit_libtest_a_SOURCES = tests/unit/test.c tests/unit/test.h

include tests/unit/base.mk
include tests/unit/virtio.mk
include tests/unit/vmm.mk
include tests/unit/ttrpc.mk
include tests/unit/runtime-spec.mk
include tests/unit/rootfs.mk
include tests/unit/fuse.mk
include tests/unit/shim.mk
include tests/unit/agent.mk
include tests/machine/local.mk
include tests/lab/local.mk
include tests/fuzz/local.mk
include tests/bench/local.mk

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# Checks of the source tree itself.
dist_check_SCRIPTS += tests/unit/test-rooms tests/format tests/man
TESTS += tests/unit/test-rooms tests/format tests/man
EXTRA_DIST += .clang-format
