UNIT_TESTS += tests/unit/test-shim-tasks
check_PROGRAMS += tests/unit/fake-vmm
SHIM_TEST_LIBS = tests/unit/libtest.a $(SHIM_ARCHIVES) $(CAP_LIBS) $(YAJL_LIBS) $(PROTOBUF_C_LIBS)
SHIM_RIG = tests/unit/shim-rig.c tests/unit/shim-rig.h
tests_unit_fake_vmm_SOURCES = tests/unit/fake-vmm.c
tests_unit_fake_vmm_LDADD = $(SHIM_TEST_LIBS)
tests_unit_test_shim_tasks_SOURCES = tests/unit/test-shim-tasks.c $(SHIM_RIG)
tests_unit_test_shim_tasks_LDADD = $(SHIM_TEST_LIBS)
