# SPDX-License-Identifier: Apache-2.0
UNIT_TESTS += tests/unit/test-network tests/unit/test-settings
tests_unit_test_network_SOURCES = tests/unit/test-network.c
tests_unit_test_network_LDADD = tests/unit/libtest.a host/libhost.a base/libbase.a $(NETLINK_LIBS) \
	$(YAJL_LIBS)
tests_unit_test_settings_SOURCES = tests/unit/test-settings.c
tests_unit_test_settings_LDADD = tests/unit/libtest.a host/libhost.a runtime-spec/libspec.a \
	protocol/libprotocol.a base/libbase.a $(YAJL_LIBS) $(CAP_LIBS)
UNIT_TESTS += tests/unit/test-volumes
tests_unit_test_volumes_SOURCES = tests/unit/test-volumes.c
tests_unit_test_volumes_LDADD = tests/unit/libtest.a host/libhost.a base/libbase.a $(YAJL_LIBS)
UNIT_TESTS += tests/unit/test-descriptors
tests_unit_test_descriptors_SOURCES = tests/unit/test-descriptors.c
tests_unit_test_descriptors_LDADD = tests/unit/libtest.a host/libhost.a base/libbase.a
UNIT_TESTS += tests/unit/test-cgroup-place
tests_unit_test_cgroup_place_SOURCES = tests/unit/test-cgroup-place.c
tests_unit_test_cgroup_place_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fstatfs
tests_unit_test_cgroup_place_LDADD = tests/unit/libtest.a host/libhost.a runtime-spec/libspec.a \
	protocol/libproto.a base/libbase.a $(YAJL_LIBS) $(PROTOBUF_C_LIBS) -lm
UNIT_TESTS += tests/unit/test-cgroup-scope
tests_unit_test_cgroup_scope_SOURCES = tests/unit/test-cgroup-scope.c
tests_unit_test_cgroup_scope_LDADD = tests/unit/libtest.a host/libhost.a base/libbase.a $(YAJL_LIBS)
