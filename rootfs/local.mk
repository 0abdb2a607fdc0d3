# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += rootfs/image/libimage.a
rootfs_image_libimage_a_SOURCES = \
	rootfs/image/cache.c rootfs/image/cache.h \
	rootfs/image/image.c rootfs/image/image.h rootfs/image/image-parts.h \
	rootfs/image/conversation.c rootfs/image/conversation.h \
	rootfs/image/digest.c rootfs/image/digest.h \
	rootfs/image/image-data.c \
	rootfs/image/image-error.c \
	rootfs/image/image-file.c rootfs/image/image-file.h \
	rootfs/image/image-meta.c \
	rootfs/image/image-config.c rootfs/image/image-config.h \
	rootfs/image/key.c \
	rootfs/image/layer-read.c rootfs/image/layer-read.h rootfs/image/layer-reader.h \
	rootfs/image/layer.c rootfs/image/layer.h \
	rootfs/image/manifest.c rootfs/image/manifest.h \
	rootfs/image/pull.c rootfs/image/pull.h \
	rootfs/image/reference.c rootfs/image/reference.h \
	rootfs/image/scan.c rootfs/image/scan.h \
	rootfs/image/store.c rootfs/image/store.h rootfs/image/store-parts.h \
	rootfs/image/store-collect.c \
	rootfs/image/store-find.c \
	rootfs/image/store-names.c \
	rootfs/image/tree.c rootfs/image/tree.h \
	rootfs/image/xattr.c
if HAVE_IMAGES
rootfs_image_libimage_a_SOURCES += \
	rootfs/image/unpack.c rootfs/image/unpack.h rootfs/image/unpack-parts.h \
	rootfs/image/unpack-entry.c \
	rootfs/image/unpack-finish.c \
	rootfs/image/unpack-stream.c \
	rootfs/image/unpack-tree.c
endif
# What a program that uses libimage.a links after it.
IMAGE_LIBS = $(SQUASHFS_LIBS) $(CRYPTO_LIBS)

# The registry client: apart, for the static programs do not link libcurl.
if HAVE_IMAGES
noinst_LIBRARIES += rootfs/registry/libregistry.a
rootfs_registry_libregistry_a_SOURCES = \
	rootfs/registry/action-import.c rootfs/registry/action-load.c rootfs/registry/action-save.c \
	rootfs/registry/action-pull.c rootfs/registry/actions.h \
	rootfs/registry/blob.c rootfs/registry/blob.h \
	rootfs/registry/challenge.c rootfs/registry/challenge.h \
	rootfs/registry/credentials.c rootfs/registry/credentials.h \
	rootfs/registry/docker-v1.c rootfs/registry/docker-v1.h \
	rootfs/registry/fetch.c rootfs/registry/fetch.h \
	rootfs/registry/hosts.c rootfs/registry/hosts.h \
	rootfs/registry/http.c rootfs/registry/http.h \
	rootfs/registry/layer-tar.c rootfs/registry/layer-tar.h \
	rootfs/registry/layers.c rootfs/registry/layers.h \
	rootfs/registry/layout.c rootfs/registry/layout.h \
	rootfs/registry/progress.c rootfs/registry/progress.h \
	rootfs/registry/registry.c rootfs/registry/registry-parts.h \
	rootfs/registry/sources.c rootfs/registry/sources.h \
	rootfs/registry/toml.c rootfs/registry/toml.h
REGISTRY_LIBS = $(CURL_LIBS) $(ARCHIVE_LIBS) $(IMAGE_LIBS)

# Linked dynamically: of libcurl, Debian has no static library that could be used.
pkglibexec_PROGRAMS += supermachine-images
supermachine_images_SOURCES = rootfs/registry/main.c
supermachine_images_LDADD = rootfs/registry/libregistry.a rootfs/image/libimage.a base/libbase.a \
	$(REGISTRY_LIBS) $(YAJL_LIBS)
endif

# The FUSE server: apart, for the VMM links it statically and needs nothing else of this room.
noinst_LIBRARIES += rootfs/share/libshare.a
rootfs_share_libshare_a_SOURCES = \
	rootfs/share/fuse.h rootfs/share/fuse-parts.h \
	rootfs/share/fuse-attr.c \
	rootfs/share/fuse-dir.c \
	rootfs/share/fuse-fd.c \
	rootfs/share/fuse-file.c \
	rootfs/share/fuse-fresh.c \
	rootfs/share/fuse-handle.c \
	rootfs/share/fuse-lock.c \
	rootfs/share/fuse-node.c \
	rootfs/share/fuse-open.c \
	rootfs/share/fuse-owner.c \
	rootfs/share/fuse-serve.c \
	rootfs/share/fuse-server.c \
	rootfs/share/fuse-state.c \
	rootfs/share/fuse-table.c \
	rootfs/share/fuse-thread.c \
	rootfs/share/fuse-tree.c \
	rootfs/share/fuse-xattr.c
