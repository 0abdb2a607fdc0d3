# Tests with real guests, in the lab (tests/lab/lab): not part of `make check`.
LAB_TESTS = $(wildcard $(srcdir)/tests/lab/*.test)
EXTRA_DIST += tests/lab/lab tests/lab/init.c tests/lab/tsc-khz.c tests/lab/check-lab tests/lab/run-tests \
	tests/lab/lib.sh $(LAB_TESTS:$(srcdir)/%=%) quickstart .ci/run

check_PROGRAMS += tests/lab/caller
tests_lab_caller_SOURCES = tests/lab/caller.c
tests_lab_caller_LDADD = base/libbase.a

.PHONY: check-lab
check-lab: all tests/lab/caller tests/machine/test-probe tests/unit/unix-socket
	set -f; $(srcdir)/tests/lab/check-lab --build "$(abs_builddir)" $(LAB_PATTERN)
# The same tests on this machine, where guests run emulated: all but those that need
# KVM or a machine to themselves.
.PHONY: check-emulated
check-emulated: all tests/lab/caller
	set -f; $(srcdir)/tests/lab/check-lab --here --build "$(abs_builddir)" $(LAB_PATTERN)
clean-local:
	-rm -rf tests/lab/results
