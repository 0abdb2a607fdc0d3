# SPDX-License-Identifier: Apache-2.0
# A machine test is tests/machine/test-NAME.c, compiled twice: the host half with
# the harness, and (with -DGUEST) the guest half, a kernel of its own.  It needs
# /dev/kvm and skips where there is none.
MACHINE_TESTS = \
	tests/machine/test-control \
	tests/machine/test-memory \
	tests/machine/test-power \
	tests/machine/test-smp \
	tests/machine/test-state \
	tests/machine/test-template \
	tests/machine/test-virtio \
	tests/machine/test-wild

noinst_LIBRARIES += tests/machine/libharness.a
tests_machine_libharness_a_SOURCES = tests/machine/harness.c tests/machine/harness.h
MACHINE_LIBS = tests/machine/libharness.a tests/unit/libtest.a vmm/libvmm.a protocol/libprotocol.a base/libbase.a \
	$(YAJL_LIBS)

# Ring 0 without a library; what a KVM that emulates ring 0 can run.
CPPFLAGS_GUEST = $(AM_CPPFLAGS) -DGUEST -U_FORTIFY_SOURCE
CFLAGS_GUEST = -std=gnu17 $(WARN_CFLAGS) -O1 -ffreestanding -fno-stack-protector -fcf-protection=none \
	-fno-pie -mgeneral-regs-only -mno-popcnt -mno-red-zone -fno-asynchronous-unwind-tables
LDFLAGS_GUEST = -static -nostdlib -Wl,--build-id=none -Wl,-Ttext-segment=0x200000 \
	-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments
SOURCES_GUEST = tests/machine/guest.c tests/machine/guest.h tests/machine/guest-virtio.h

# What the probe says of this machine's KVM; its guest is its own.
check_PROGRAMS += tests/machine/test-probe
TESTS += tests/machine/test-probe
tests_machine_test_probe_SOURCES = tests/machine/test-probe.c
tests_machine_test_probe_LDADD = tests/unit/libtest.a vmm/libvmm.a virtio/libvirtio.a \
	protocol/libprotocol.a base/libbase.a $(YAJL_LIBS)

check_PROGRAMS += $(MACHINE_TESTS) $(MACHINE_TESTS:=.guest)
TESTS += $(MACHINE_TESTS)

tests_machine_test_control_SOURCES = tests/machine/test-control.c
tests_machine_test_control_LDADD = $(MACHINE_LIBS)
tests_machine_test_control_guest_SOURCES = tests/machine/test-control.c $(SOURCES_GUEST)
tests_machine_test_control_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_control_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_control_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_memory_SOURCES = tests/machine/test-memory.c
tests_machine_test_memory_LDADD = $(MACHINE_LIBS)
tests_machine_test_memory_guest_SOURCES = tests/machine/test-memory.c $(SOURCES_GUEST)
tests_machine_test_memory_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_memory_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_memory_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_power_SOURCES = tests/machine/test-power.c
tests_machine_test_power_LDADD = $(MACHINE_LIBS)
tests_machine_test_power_guest_SOURCES = tests/machine/test-power.c $(SOURCES_GUEST)
tests_machine_test_power_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_power_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_power_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_smp_SOURCES = tests/machine/test-smp.c
tests_machine_test_smp_LDADD = $(MACHINE_LIBS)
tests_machine_test_smp_guest_SOURCES = tests/machine/test-smp.c $(SOURCES_GUEST)
tests_machine_test_smp_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_smp_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_smp_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_state_SOURCES = tests/machine/test-state.c
tests_machine_test_state_LDADD = $(MACHINE_LIBS)
tests_machine_test_state_guest_SOURCES = tests/machine/test-state.c $(SOURCES_GUEST)
tests_machine_test_state_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_state_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_state_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_template_SOURCES = tests/machine/test-template.c
tests_machine_test_template_LDADD = $(MACHINE_LIBS)
tests_machine_test_template_guest_SOURCES = tests/machine/test-template.c $(SOURCES_GUEST)
tests_machine_test_template_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_template_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_template_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_virtio_SOURCES = tests/machine/test-virtio.c
tests_machine_test_virtio_LDADD = $(MACHINE_LIBS)
tests_machine_test_virtio_guest_SOURCES = tests/machine/test-virtio.c $(SOURCES_GUEST)
tests_machine_test_virtio_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_virtio_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_virtio_guest_LDFLAGS = $(LDFLAGS_GUEST)

tests_machine_test_wild_SOURCES = tests/machine/test-wild.c
tests_machine_test_wild_LDADD = $(MACHINE_LIBS)
tests_machine_test_wild_guest_SOURCES = tests/machine/test-wild.c $(SOURCES_GUEST)
tests_machine_test_wild_guest_CPPFLAGS = $(CPPFLAGS_GUEST)
tests_machine_test_wild_guest_CFLAGS = $(CFLAGS_GUEST)
tests_machine_test_wild_guest_LDFLAGS = $(LDFLAGS_GUEST)
