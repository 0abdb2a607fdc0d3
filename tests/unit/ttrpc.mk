# SPDX-License-Identifier: Apache-2.0
TTRPC_TESTS = tests/unit/test-ttrpc-frame tests/unit/test-ttrpc-server \
	tests/unit/test-ttrpc-bounds tests/unit/test-ttrpc-client tests/unit/test-ttrpc-calls \
	tests/unit/test-ttrpc-golden
UNIT_TESTS += $(TTRPC_TESTS)
TTRPC_TEST_LIBS = tests/unit/libtest.a ttrpc/libttrpc.a protocol/libproto.a protocol/libprotocol.a base/libbase.a \
	$(YAJL_LIBS) $(PROTOBUF_C_LIBS)
TTRPC_TEST_SERVICE = tests/unit/ttrpc-service.c tests/unit/ttrpc-service.h
TTRPC_TEST_PEER = $(TTRPC_TEST_SERVICE) tests/unit/ttrpc-peer.c tests/unit/ttrpc-peer.h
tests_unit_test_ttrpc_frame_SOURCES = tests/unit/test-ttrpc-frame.c
tests_unit_test_ttrpc_frame_LDADD = $(TTRPC_TEST_LIBS)
tests_unit_test_ttrpc_server_SOURCES = tests/unit/test-ttrpc-server.c $(TTRPC_TEST_PEER)
tests_unit_test_ttrpc_server_LDADD = $(TTRPC_TEST_LIBS)
tests_unit_test_ttrpc_bounds_SOURCES = tests/unit/test-ttrpc-bounds.c $(TTRPC_TEST_PEER)
tests_unit_test_ttrpc_bounds_LDADD = $(TTRPC_TEST_LIBS)
tests_unit_test_ttrpc_client_SOURCES = tests/unit/test-ttrpc-client.c
tests_unit_test_ttrpc_client_LDADD = $(TTRPC_TEST_LIBS)
tests_unit_test_ttrpc_calls_SOURCES = tests/unit/test-ttrpc-calls.c $(TTRPC_TEST_SERVICE)
tests_unit_test_ttrpc_calls_LDADD = $(TTRPC_TEST_LIBS)
EXTRA_DIST += tests/unit/data/ttrpc/task.frames tests/unit/data/ttrpc/events.frames
tests_unit_test_ttrpc_golden_SOURCES = tests/unit/test-ttrpc-golden.c
tests_unit_test_ttrpc_golden_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTEST_DATA='"$(abs_srcdir)/tests/unit/data/ttrpc"'
tests_unit_test_ttrpc_golden_LDADD = $(TTRPC_TEST_LIBS)
