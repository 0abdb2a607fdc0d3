# SPDX-License-Identifier: Apache-2.0
ROOTFS_TESTS = tests/unit/test-rootfs-cache tests/unit/test-rootfs-image tests/unit/test-rootfs-race \
	tests/unit/test-rootfs-stage
UNIT_TESTS += $(ROOTFS_TESTS)
ROOTFS_TEST_FRAME = tests/unit/rootfs-tree.c tests/unit/rootfs-tree.h
ROOTFS_TEST_LIBS = tests/unit/libtest.a rootfs/image/libimage.a host/libhost.a runtime-spec/libspec.a base/libbase.a \
	$(IMAGE_LIBS) $(YAJL_LIBS) $(CAP_LIBS)
tests_unit_test_rootfs_cache_SOURCES = tests/unit/test-rootfs-cache.c $(ROOTFS_TEST_FRAME)
tests_unit_test_rootfs_cache_LDADD = $(ROOTFS_TEST_LIBS)
tests_unit_test_rootfs_image_SOURCES = tests/unit/test-rootfs-image.c $(ROOTFS_TEST_FRAME)
tests_unit_test_rootfs_image_LDADD = $(ROOTFS_TEST_LIBS)
tests_unit_test_rootfs_race_SOURCES = tests/unit/test-rootfs-race.c $(ROOTFS_TEST_FRAME)
tests_unit_test_rootfs_race_LDADD = $(ROOTFS_TEST_LIBS)
tests_unit_test_rootfs_stage_SOURCES = tests/unit/test-rootfs-stage.c
tests_unit_test_rootfs_stage_LDADD = $(ROOTFS_TEST_LIBS)

UNIT_TESTS += tests/unit/test-image-names tests/unit/test-image-store
tests_unit_test_image_names_SOURCES = tests/unit/test-image-names.c
tests_unit_test_image_names_LDADD = $(ROOTFS_TEST_LIBS)
tests_unit_test_image_store_SOURCES = tests/unit/test-image-store.c
tests_unit_test_image_store_LDADD = $(ROOTFS_TEST_LIBS)

UNIT_TESTS += tests/unit/test-image-config
tests_unit_test_image_config_SOURCES = tests/unit/test-image-config.c
tests_unit_test_image_config_LDADD = $(ROOTFS_TEST_LIBS)

# `run` of an image.
UNIT_TESTS += tests/unit/test-run-image
tests_unit_test_run_image_SOURCES = tests/unit/test-run-image.c
tests_unit_test_run_image_LDADD = cli/libcli.a client/libclient.a $(TTRPC_TEST_LIBS) $(ROOTFS_TEST_LIBS)

if HAVE_IMAGES
UNIT_TESTS += tests/unit/test-registry-auth tests/unit/test-registry-fetch tests/unit/test-registry-sources
REGISTRY_TEST_LIBS = tests/unit/libtest.a rootfs/registry/libregistry.a rootfs/image/libimage.a \
	base/libbase.a $(REGISTRY_LIBS) $(YAJL_LIBS)
tests_unit_test_registry_auth_SOURCES = tests/unit/test-registry-auth.c
tests_unit_test_registry_auth_LDADD = $(REGISTRY_TEST_LIBS)
tests_unit_test_registry_fetch_SOURCES = tests/unit/test-registry-fetch.c \
	tests/unit/fake-registry.c tests/unit/fake-registry.h
tests_unit_test_registry_fetch_LDADD = $(REGISTRY_TEST_LIBS)
UNIT_TESTS += tests/unit/test-registry-ranges
tests_unit_test_registry_ranges_SOURCES = tests/unit/test-registry-ranges.c \
	tests/unit/fake-registry.c tests/unit/fake-registry.h
tests_unit_test_registry_ranges_LDADD = $(REGISTRY_TEST_LIBS)
tests_unit_test_registry_sources_SOURCES = tests/unit/test-registry-sources.c
tests_unit_test_registry_sources_LDADD = $(REGISTRY_TEST_LIBS)

UNIT_TESTS += tests/unit/test-image-unpack tests/unit/test-image-user
tests_unit_test_image_unpack_SOURCES = tests/unit/test-image-unpack.c tests/unit/tar-maker.c tests/unit/tar-maker.h \
	$(ROOTFS_TEST_FRAME)
tests_unit_test_image_unpack_LDADD = $(ROOTFS_TEST_LIBS) $(ARCHIVE_LIBS)
tests_unit_test_image_user_SOURCES = tests/unit/test-image-user.c tests/unit/tar-maker.c tests/unit/tar-maker.h
tests_unit_test_image_user_LDADD = runtime-spec/libspec.a $(ROOTFS_TEST_LIBS) $(ARCHIVE_LIBS) $(CAP_LIBS)
endif
TESTS += tests/unit/test-images.sh
dist_check_SCRIPTS += tests/unit/test-images.sh tests/unit/registry-proxy.py
