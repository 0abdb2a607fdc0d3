# SPDX-License-Identifier: Apache-2.0
# A unit test is tests/unit/test-NAME.c, one program; add its name here.
# tests/unit/test.h gives the checks. It exits 0, 77 (skipped, reason printed)
# or anything else (failed).
UNIT_TESTS =
noinst_LIBRARIES += tests/unit/libtest.a
tests_unit_libtest_a_SOURCES = tests/unit/test.c tests/unit/test.h \
	tests/unit/streams.c tests/unit/streams.h

include tests/unit/base.mk
include tests/unit/virtio.mk
include tests/unit/vmm.mk
include tests/unit/ttrpc.mk
include tests/unit/runtime-spec.mk
include tests/unit/rootfs.mk
include tests/unit/fuse.mk
include tests/unit/host.mk
include tests/unit/shim.mk
include tests/unit/agent.mk
include tests/machine/local.mk
include tests/lab/local.mk
include tests/fuzz/local.mk
include tests/bench/local.mk

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# Of ours, tests see this build tree alone: no variable that the caller has set, and nothing
# that is kept outside.
AM_TESTS_ENVIRONMENT = for name in $$(env | sed -n 's/^\(SUPERMACHINE_[A-Z_]*\)=.*/\1/p'); do \
	unset "$$name"; done; \
	SUPERMACHINE_CACHE=/dev/null/cache SUPERMACHINE_RUNTIME=/dev/null/runtime \
	SUPERMACHINE_STORE=/dev/null/store; \
	export SUPERMACHINE_CACHE SUPERMACHINE_RUNTIME SUPERMACHINE_STORE;

# With an installation in place: its programs use each other, and all tests still see the
# build tree alone.
EXTRA_DIST += tests/installed tests/skipped
installcheck-local:
	$(srcdir)/tests/installed "$(bindir)" "$(pkglibexecdir)" "$(pkgdatadir)" "$(sysconfdir)" \
		$(MAKE) check

# Checks of the source tree itself.
TREE_CHECKS = tests/unit/test-rooms tests/unit/test-circles tests/unit/test-devices \
	tests/unit/test-skipped tests/format tests/man tests/pod-annotations tests/quickstart \
	tests/fetch-cloud tests/other-prefix tests/systemd
EXTRA_DIST += tests/memory-calls.c
dist_check_SCRIPTS += $(TREE_CHECKS) tests/builds
TESTS += $(TREE_CHECKS)
EXTRA_DIST += .clang-format .shellcheckrc
