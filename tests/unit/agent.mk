# SPDX-License-Identifier: Apache-2.0
AGENT_TESTS = tests/unit/test-agent-config tests/unit/test-agent-files \
	tests/unit/test-agent-filter tests/unit/test-agent-modprobe tests/unit/test-agent-network \
	tests/unit/test-agent-network-calls \
	tests/unit/test-agent-parts tests/unit/test-agent-pods tests/unit/test-agent-run \
	tests/unit/test-agent-seccomp
UNIT_TESTS += $(AGENT_TESTS)
AGENT_TEST_LIBS = tests/unit/libtest.a $(AGENT_LIBS) $(YAJL_LIBS) $(PROTOBUF_C_LIBS) \
	$(SECCOMP_LIBS) $(CAP_LIBS) $(NETLINK_LIBS)
AGENT_RIG = tests/unit/agent-rig.c tests/unit/agent-rig-machine.c \
	tests/unit/agent-rig-process.c tests/unit/agent-rig.h
tests_unit_test_agent_run_SOURCES = tests/unit/test-agent-run.c $(AGENT_RIG)
tests_unit_test_agent_run_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_config_SOURCES = tests/unit/test-agent-config.c $(AGENT_RIG)
tests_unit_test_agent_config_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_parts_SOURCES = tests/unit/test-agent-parts.c
tests_unit_test_agent_parts_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_filter_SOURCES = tests/unit/test-agent-filter.c
tests_unit_test_agent_filter_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_files_SOURCES = tests/unit/test-agent-files.c $(AGENT_RIG)
tests_unit_test_agent_files_LDADD = $(AGENT_TEST_LIBS)
check_PROGRAMS += tests/unit/unix-socket
tests_unit_unix_socket_SOURCES = tests/unit/unix-socket.c
# For containers, which have no libraries: never with a sanitizer.
tests_unit_unix_socket_CFLAGS = -std=gnu17 $(WARN_CFLAGS)
tests_unit_unix_socket_LDFLAGS = -static
check_PROGRAMS += tests/unit/raw-calls
tests_unit_raw_calls_SOURCES = tests/unit/raw-calls.c
tests_unit_raw_calls_CFLAGS = -std=gnu17 $(WARN_CFLAGS)
tests_unit_raw_calls_LDFLAGS = -static -nostdlib
tests_unit_test_agent_seccomp_SOURCES = tests/unit/test-agent-seccomp.c $(AGENT_RIG)
tests_unit_test_agent_seccomp_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_pods_SOURCES = tests/unit/test-agent-pods.c $(AGENT_RIG)
tests_unit_test_agent_pods_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_modprobe_SOURCES = tests/unit/test-agent-modprobe.c
tests_unit_test_agent_modprobe_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_network_SOURCES = tests/unit/test-agent-network.c tests/unit/network-rig.c \
	tests/unit/network-rig.h
tests_unit_test_agent_network_LDADD = $(AGENT_TEST_LIBS)
tests_unit_test_agent_network_calls_SOURCES = tests/unit/test-agent-network-calls.c \
	tests/unit/network-rig.c tests/unit/network-rig.h $(AGENT_RIG)
tests_unit_test_agent_network_calls_LDADD = $(AGENT_TEST_LIBS)
