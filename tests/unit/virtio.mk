# SPDX-License-Identifier: Apache-2.0
# Devices are tested behind both transports: test-virtio-NAME behind virtio-mmio,
# test-vhost-NAME, from the same source, behind vhost-user.
VIRTIO_UNIT_TESTS = \
	tests/unit/test-vhost-blk \
	tests/unit/test-vhost-console \
	tests/unit/test-vhost-fs \
	tests/unit/test-vhost-net \
	tests/unit/test-vhost-net-pairs \
	tests/unit/test-vhost-net-tap \
	tests/unit/test-vhost-streams \
	tests/unit/test-vhost-user \
	tests/unit/test-vhost-malformed \
	tests/unit/test-vhost-pause \
	tests/unit/test-vhost-vsock \
	tests/unit/test-vhost-vsock-rules \
	tests/unit/test-virtio-blk \
	tests/unit/test-virtio-console \
	tests/unit/test-virtio-fs \
	tests/unit/test-virtio-lanes \
	tests/unit/test-virtio-mem \
	tests/unit/test-virtio-memory \
	tests/unit/test-virtio-mmio \
	tests/unit/test-virtio-net \
	tests/unit/test-virtio-net-pairs \
	tests/unit/test-virtio-net-pairs-vhost \
	tests/unit/test-virtio-net-tap \
	tests/unit/test-virtio-net-vhost \
	tests/unit/test-virtio-queue \
	tests/unit/test-virtio-state \
	tests/unit/test-virtio-streams \
	tests/unit/test-virtio-vsock \
	tests/unit/test-virtio-vsock-rules
UNIT_TESTS += $(VIRTIO_UNIT_TESTS)
noinst_LIBRARIES += tests/unit/libmmio-driver.a tests/unit/libvhost-driver.a
VIRTIO_DRIVER_SOURCES = \
	tests/unit/fake-device.c tests/unit/fake-device.h \
	tests/unit/net-guest.c tests/unit/net-guest.h \
	tests/unit/virtio-driver.c tests/unit/virtio-driver.h \
	tests/unit/vsock-guest.c tests/unit/vsock-guest.h
tests_unit_libmmio_driver_a_SOURCES = $(VIRTIO_DRIVER_SOURCES) tests/unit/virtio-driver-mmio.c
tests_unit_libvhost_driver_a_SOURCES = $(VIRTIO_DRIVER_SOURCES) tests/unit/virtio-driver-vhost.c \
	tests/unit/vhost-fixture.c tests/unit/vhost-fixture.h \
	tests/unit/vhost-frontend.c tests/unit/vhost-frontend.h
VIRTIO_TEST_LIBS = tests/unit/libmmio-driver.a tests/unit/libtest.a virtio/libvirtio.a $(BASE_TEST_LIBS)
VHOST_TEST_LIBS = tests/unit/libvhost-driver.a tests/unit/libtest.a virtio/libvirtio.a $(BASE_TEST_LIBS)
tests_unit_test_virtio_state_SOURCES = tests/unit/test-virtio-state.c
tests_unit_test_virtio_state_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_mem_SOURCES = tests/unit/test-virtio-mem.c
tests_unit_test_virtio_mem_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_memory_SOURCES = tests/unit/test-virtio-memory.c
tests_unit_test_virtio_memory_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_mmio_SOURCES = tests/unit/test-virtio-mmio.c
tests_unit_test_virtio_mmio_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_queue_SOURCES = tests/unit/test-virtio-queue.c
tests_unit_test_virtio_queue_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_blk_SOURCES = tests/unit/test-virtio-blk.c
tests_unit_test_virtio_blk_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_vsock_SOURCES = tests/unit/test-virtio-vsock.c
tests_unit_test_virtio_vsock_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_streams_SOURCES = tests/unit/test-virtio-streams.c
tests_unit_test_virtio_streams_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_vsock_rules_SOURCES = tests/unit/test-virtio-vsock-rules.c
tests_unit_test_virtio_vsock_rules_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_console_SOURCES = tests/unit/test-virtio-console.c
tests_unit_test_virtio_console_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_vhost_blk_SOURCES = tests/unit/test-virtio-blk.c
tests_unit_test_vhost_blk_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_vsock_SOURCES = tests/unit/test-virtio-vsock.c
tests_unit_test_vhost_vsock_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_streams_SOURCES = tests/unit/test-virtio-streams.c
tests_unit_test_vhost_streams_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_vsock_rules_SOURCES = tests/unit/test-virtio-vsock-rules.c
tests_unit_test_vhost_vsock_rules_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_console_SOURCES = tests/unit/test-virtio-console.c
tests_unit_test_vhost_console_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_user_SOURCES = tests/unit/test-vhost-user.c
tests_unit_test_vhost_user_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_malformed_SOURCES = tests/unit/test-vhost-malformed.c
tests_unit_test_vhost_malformed_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_pause_SOURCES = tests/unit/test-vhost-pause.c
tests_unit_test_vhost_pause_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_virtio_fs_SOURCES = tests/unit/test-virtio-fs.c
tests_unit_test_virtio_fs_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_lanes_SOURCES = tests/unit/test-virtio-lanes.c
tests_unit_test_virtio_lanes_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_vhost_fs_SOURCES = tests/unit/test-virtio-fs.c
tests_unit_test_vhost_fs_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_virtio_net_SOURCES = tests/unit/test-virtio-net.c
tests_unit_test_virtio_net_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_net_tap_SOURCES = tests/unit/test-virtio-net-tap.c
tests_unit_test_virtio_net_tap_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_net_vhost_SOURCES = tests/unit/test-virtio-net-tap.c
tests_unit_test_virtio_net_vhost_CPPFLAGS = $(AM_CPPFLAGS) -DWITH_VHOST
tests_unit_test_virtio_net_vhost_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_vhost_net_SOURCES = tests/unit/test-virtio-net.c
tests_unit_test_vhost_net_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_vhost_net_tap_SOURCES = tests/unit/test-virtio-net-tap.c
tests_unit_test_vhost_net_tap_LDADD = $(VHOST_TEST_LIBS)
tests_unit_test_virtio_net_pairs_SOURCES = tests/unit/test-virtio-net-pairs.c
tests_unit_test_virtio_net_pairs_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_virtio_net_pairs_vhost_SOURCES = tests/unit/test-virtio-net-pairs.c
tests_unit_test_virtio_net_pairs_vhost_CPPFLAGS = $(AM_CPPFLAGS) -DWITH_VHOST
tests_unit_test_virtio_net_pairs_vhost_LDADD = $(VIRTIO_TEST_LIBS)
tests_unit_test_vhost_net_pairs_SOURCES = tests/unit/test-virtio-net-pairs.c
tests_unit_test_vhost_net_pairs_CPPFLAGS = $(AM_CPPFLAGS) -DWITH_VHOST_USER
tests_unit_test_vhost_net_pairs_LDADD = $(VHOST_TEST_LIBS)
