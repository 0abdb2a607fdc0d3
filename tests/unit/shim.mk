# SPDX-License-Identifier: Apache-2.0
UNIT_TESTS += tests/unit/test-shim-tasks
check_PROGRAMS += tests/unit/fake-vmm
SHIM_TEST_LIBS = tests/unit/libtest.a $(SHIM_ARCHIVES) $(CAP_LIBS) $(YAJL_LIBS) $(PROTOBUF_C_LIBS) $(CRYPTO_LIBS) \
	$(NETLINK_LIBS)
SHIM_RIG = tests/unit/shim-rig.c tests/unit/shim-rig.h
tests_unit_fake_vmm_SOURCES = tests/unit/fake-vmm.c
tests_unit_fake_vmm_LDADD = vmm/libvmm.a $(SHIM_TEST_LIBS)
tests_unit_test_shim_tasks_SOURCES = tests/unit/test-shim-tasks.c $(SHIM_RIG)
tests_unit_test_shim_tasks_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-stdio tests/unit/test-shim-failures
tests_unit_test_shim_stdio_SOURCES = tests/unit/test-shim-stdio.c $(SHIM_RIG)
tests_unit_test_shim_stdio_LDADD = $(SHIM_TEST_LIBS)
tests_unit_test_shim_failures_SOURCES = tests/unit/test-shim-failures.c $(SHIM_RIG)
tests_unit_test_shim_failures_LDADD = $(SHIM_TEST_LIBS)
# (Here for fake-vmm, which answers for KVM.)
UNIT_TESTS += tests/unit/test-accel tests/unit/test-check
tests_unit_test_accel_SOURCES = tests/unit/test-accel.c
tests_unit_test_accel_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_test_check_SOURCES = tests/unit/test-check.c
tests_unit_test_check_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-accel
tests_unit_test_shim_accel_SOURCES = tests/unit/test-shim-accel.c $(SHIM_RIG)
tests_unit_test_shim_accel_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-plan
tests_unit_test_shim_plan_SOURCES = tests/unit/test-shim-plan.c
tests_unit_test_shim_plan_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-files
tests_unit_test_shim_files_SOURCES = tests/unit/test-shim-files.c
tests_unit_test_shim_files_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-forward
tests_unit_test_shim_forward_SOURCES = tests/unit/test-shim-forward.c
tests_unit_test_shim_forward_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-events
tests_unit_test_shim_events_SOURCES = tests/unit/test-shim-events.c tests/unit/event-sink.c \
	tests/unit/event-sink.h $(SHIM_RIG)
tests_unit_test_shim_events_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-logger
tests_unit_test_shim_logger_SOURCES = tests/unit/test-shim-logger.c $(SHIM_RIG)
tests_unit_test_shim_logger_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-pods
tests_unit_test_shim_pods_SOURCES = tests/unit/test-shim-pods.c tests/unit/event-sink.c \
	tests/unit/event-sink.h $(SHIM_RIG)
tests_unit_test_shim_pods_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-sandbox
tests_unit_test_shim_sandbox_SOURCES = tests/unit/test-shim-sandbox.c $(SHIM_RIG)
tests_unit_test_shim_sandbox_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-door
tests_unit_test_shim_door_SOURCES = tests/unit/test-shim-door.c
tests_unit_test_shim_door_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-mounts
tests_unit_test_shim_mounts_SOURCES = tests/unit/test-shim-mounts.c
tests_unit_test_shim_mounts_LDADD = $(SHIM_TEST_LIBS)
UNIT_TESTS += tests/unit/test-shim-network
tests_unit_test_shim_network_SOURCES = tests/unit/test-shim-network.c $(SHIM_RIG)
tests_unit_test_shim_network_LDADD = $(SHIM_TEST_LIBS)
