UNIT_TESTS += tests/unit/test-ttrpc-calls
TTRPC_TEST_LIBS = tests/unit/libtest.a ttrpc/libttrpc.a ttrpc/libproto.a base/libbase.a \
	$(YAJL_LIBS) $(PROTOBUF_C_LIBS)
tests_unit_test_ttrpc_calls_SOURCES = tests/unit/test-ttrpc-calls.c tests/unit/ttrpc-service.c \
	tests/unit/ttrpc-service.h
tests_unit_test_ttrpc_calls_LDADD = $(TTRPC_TEST_LIBS)
