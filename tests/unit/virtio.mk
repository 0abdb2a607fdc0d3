VIRTIO_UNIT_TESTS = \
	tests/unit/test-virtio-blk \
	tests/unit/test-virtio-console \
	tests/unit/test-virtio-memory \
	tests/unit/test-virtio-mmio \
	tests/unit/test-virtio-queue \
	tests/unit/test-virtio-streams \
	tests/unit/test-virtio-vsock \
	tests/unit/test-virtio-vsock-rules
UNIT_TESTS += $(VIRTIO_UNIT_TESTS)
noinst_LIBRARIES += tests/unit/libvirtio-driver.a
tests_unit_libvirtio_driver_a_SOURCES = \
	tests/unit/virtio-driver.c tests/unit/virtio-driver.h \
	tests/unit/vsock-guest.c tests/unit/vsock-guest.h
VIRTIO_TEST_LIBS = tests/unit/libvirtio-driver.a tests/unit/libtest.a virtio/libvirtio.a $(BASE_TEST_LIBS)
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
