# SPDX-License-Identifier: Apache-2.0
UNIT_TESTS += tests/unit/test-spec tests/unit/test-state tests/unit/test-verbs
RUNTIME_SPEC_TEST_LIBS = cli/libcli.a client/libclient.a host/libhost.a \
	runtime-spec/libspec.a \
	$(TTRPC_TEST_LIBS) $(CAP_LIBS)
EXTRA_DIST += tests/unit/data/config-full.json tests/unit/data/config-runc.json
tests_unit_test_spec_SOURCES = tests/unit/test-spec.c
tests_unit_test_spec_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_test_spec_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_DATA='"$(abs_srcdir)/tests/unit/data"'
tests_unit_test_state_SOURCES = tests/unit/test-state.c
tests_unit_test_state_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_test_verbs_SOURCES = tests/unit/test-verbs.c
tests_unit_test_verbs_LDADD = $(RUNTIME_SPEC_TEST_LIBS)

# (Here for the libraries.)
UNIT_TESTS += tests/unit/test-network-options tests/unit/test-passt tests/unit/test-fork-files
tests_unit_test_fork_files_SOURCES = tests/unit/test-fork-files.c
tests_unit_test_fork_files_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_test_network_options_SOURCES = tests/unit/test-network-options.c
tests_unit_test_network_options_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_test_passt_SOURCES = tests/unit/test-passt.c
tests_unit_test_passt_LDADD = $(RUNTIME_SPEC_TEST_LIBS)

# The command line against a task server without a machine.
check_PROGRAMS += tests/unit/fake-task-server tests/unit/console-receiver
tests_unit_fake_task_server_SOURCES = tests/unit/fake-task-server.c
tests_unit_fake_task_server_LDADD = $(RUNTIME_SPEC_TEST_LIBS)
tests_unit_console_receiver_SOURCES = tests/unit/console-receiver.c
tests_unit_console_receiver_LDADD = base/libbase.a $(YAJL_LIBS)
TESTS += tests/unit/test-cli.sh
dist_check_SCRIPTS += tests/unit/test-cli.sh
