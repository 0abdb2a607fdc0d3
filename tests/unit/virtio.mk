UNIT_TESTS += tests/unit/test-virtio-memory
VIRTIO_TEST_LIBS = virtio/libvirtio.a $(BASE_TEST_LIBS)
tests_unit_test_virtio_memory_SOURCES = tests/unit/test-virtio-memory.c
tests_unit_test_virtio_memory_LDADD = $(VIRTIO_TEST_LIBS)
