# SPDX-License-Identifier: Apache-2.0
# Tests with real guests, in the lab (tests/lab/lab): not part of `make check`.
LAB_TESTS = $(wildcard $(srcdir)/tests/lab/*.test)
EXTRA_DIST += tests/lab/lab tests/lab/init.c tests/lab/tsc-khz.c tests/lab/check-lab tests/lab/run-tests \
	tests/lab/lib.sh tests/lab/containerd-lib.sh tests/lab/cri-client.py tests/lab/frames.py tests/lab/sandbox-client.py tests/lab/image-layout.py tests/lab/start-task.py tests/lab/wire.py \
	tests/lab/virtiofsd tests/lab/debian tests/lab/debian-archives tests/lab/debian-source tests/lab/fetch-containerd-client tests/lab/registry.py tests/lab/containerd-client.skip \
	tests/lab/fetch-runtime-suites tests/lab/runtime-suites.skip tests/lab/libmount.py \
	contrib/debian-packages-containerd contrib/debian-packages-suites $(LAB_TESTS:$(srcdir)/%=%) quickstart .ci/run

# What they run beside our programs.
LAB_HELPERS = tests/lab/caller tests/lab/inject tests/lab/fail-call tests/lab/posix-files tests/lab/lock-file tests/lab/hold-files tests/lab/read-ahead tests/lab/talk tests/lab/draw \
	tests/machine/test-probe $(MACHINE_TESTS) $(MACHINE_TESTS:=.guest) \
	tests/unit/unix-socket tests/unit/raw-calls tests/unit/test-virtio-net-vhost tests/unit/test-virtio-net-pairs-vhost tests/unit/test-agent-config \
	tests/unit/test-agent-pods tests/unit/test-agent-run tests/unit/test-agent-seccomp

check_PROGRAMS += tests/lab/caller tests/lab/inject tests/lab/fail-call tests/lab/posix-files tests/lab/lock-file tests/lab/hold-files tests/lab/read-ahead tests/lab/talk tests/lab/draw
tests_lab_caller_SOURCES = tests/lab/caller.c
tests_lab_caller_LDADD = base/libbase.a
tests_lab_inject_SOURCES = tests/lab/inject.c
tests_lab_inject_LDADD = base/libbase.a
tests_lab_fail_call_SOURCES = tests/lab/fail-call.c
tests_lab_fail_call_LDADD = base/libbase.a
tests_lab_hold_files_SOURCES = tests/lab/hold-files.c
tests_lab_hold_files_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
tests_lab_lock_file_SOURCES = tests/lab/lock-file.c
tests_lab_lock_file_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
tests_lab_posix_files_SOURCES = tests/lab/posix-files.c
tests_lab_posix_files_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
tests_lab_read_ahead_SOURCES = tests/lab/read-ahead.c
tests_lab_read_ahead_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
tests_lab_talk_SOURCES = tests/lab/talk.c
tests_lab_talk_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
# Of which the address is one of what it prints.
tests_lab_draw_SOURCES = tests/lab/draw.c
tests_lab_draw_CFLAGS = -std=gnu17 $(WARN_CFLAGS) -fPIE
tests_lab_draw_LDFLAGS = -static-pie

.PHONY: check-lab check-emulated
check-lab: all $(LAB_HELPERS)
	set -f; $(srcdir)/tests/lab/check-lab --build "$(abs_builddir)" $(LAB_PATTERN)
# The same tests on this machine, where guests run emulated: all but those that need
# KVM or a machine to themselves.
check-emulated: all $(LAB_HELPERS)
	set -f; $(srcdir)/tests/lab/check-lab --here --build "$(abs_builddir)" $(LAB_PATTERN)
# This tree in Debian 13: built there, with its unit tests and some of those with real guests
# (DEBIAN13_TESTS=few: only a few, all of them emulated).
.PHONY: check-debian13
check-debian13: all $(LAB_HELPERS)
	$(srcdir)/tests/lab/debian check "$(abs_builddir)" $(DEBIAN13_TESTS)
# containerd's own client tests, for containerd-client.test: built once, kept.
.PHONY: containerd-client
containerd-client:
	$(srcdir)/tests/lab/fetch-containerd-client "$${SUPERMACHINE_CACHE:-/var/cache/supermachine}/containerd-client"
# The suites of runc and crun, for runtime-suites.test: likewise.
.PHONY: runtime-suites
runtime-suites:
	$(srcdir)/tests/lab/fetch-runtime-suites "$${SUPERMACHINE_CACHE:-/var/cache/supermachine}/runtime-suites"
clean-local:
	-rm -rf tests/lab/results
