# SPDX-License-Identifier: Apache-2.0
UNIT_TESTS += tests/unit/test-vmm-acpi tests/unit/test-vmm-bus tests/unit/test-vmm-config \
	tests/unit/test-vmm-device tests/unit/test-vmm-fds tests/unit/test-vmm-inherited \
	tests/unit/test-vmm-kernel
VMM_TEST_LIBS = tests/unit/libtest.a vmm/libvmm.a virtio/libvirtio.a rootfs/share/libshare.a \
	protocol/libprotocol.a base/libbase.a $(YAJL_LIBS)
tests_unit_test_vmm_acpi_SOURCES = tests/unit/test-vmm-acpi.c
tests_unit_test_vmm_acpi_LDADD = $(VMM_TEST_LIBS)
tests_unit_test_vmm_bus_SOURCES = tests/unit/test-vmm-bus.c
tests_unit_test_vmm_bus_LDADD = $(VMM_TEST_LIBS)
tests_unit_test_vmm_config_SOURCES = tests/unit/test-vmm-config.c
tests_unit_test_vmm_config_LDADD = $(VMM_TEST_LIBS)
tests_unit_test_vmm_device_SOURCES = tests/unit/test-vmm-device.c
tests_unit_test_vmm_device_LDADD = $(VMM_TEST_LIBS) $(SECCOMP_LIBS)
tests_unit_test_vmm_fds_SOURCES = tests/unit/test-vmm-fds.c
tests_unit_test_vmm_fds_LDADD = $(VMM_TEST_LIBS)
tests_unit_test_vmm_inherited_SOURCES = tests/unit/test-vmm-inherited.c
tests_unit_test_vmm_inherited_LDADD = $(VMM_TEST_LIBS)
tests_unit_test_vmm_kernel_SOURCES = tests/unit/test-vmm-kernel.c
tests_unit_test_vmm_kernel_LDADD = $(VMM_TEST_LIBS)
check_PROGRAMS += tests/unit/fake-qemu
tests_unit_fake_qemu_SOURCES = tests/unit/fake-qemu.c
tests_unit_fake_qemu_LDADD = base/libbase.a
UNIT_TESTS += tests/unit/test-vmm-ram
tests_unit_test_vmm_ram_SOURCES = tests/unit/test-vmm-ram.c
tests_unit_test_vmm_ram_LDADD = $(VMM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-vmm-changes
tests_unit_test_vmm_changes_SOURCES = tests/unit/test-vmm-changes.c
tests_unit_test_vmm_changes_LDADD = $(VMM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-vmm-template
tests_unit_test_vmm_template_SOURCES = tests/unit/test-vmm-template.c
tests_unit_test_vmm_template_LDADD = $(VMM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-vmm-qemu
tests_unit_test_vmm_qemu_SOURCES = tests/unit/test-vmm-qemu.c
tests_unit_test_vmm_qemu_LDADD = $(VMM_TEST_LIBS) $(SECCOMP_LIBS)
UNIT_TESTS += tests/unit/test-vmm-seccomp
tests_unit_test_vmm_seccomp_SOURCES = tests/unit/test-vmm-seccomp.c
tests_unit_test_vmm_seccomp_LDADD = $(VMM_TEST_LIBS) $(SECCOMP_LIBS)
UNIT_TESTS += tests/unit/test-vmm-snapshot
tests_unit_test_vmm_snapshot_SOURCES = tests/unit/test-vmm-snapshot.c
tests_unit_test_vmm_snapshot_LDADD = $(VMM_TEST_LIBS)
