noinst_LIBRARIES += rootfs/librootfs.a
rootfs_librootfs_a_CPPFLAGS = $(AM_CPPFLAGS) $(SQUASHFS_CFLAGS) $(CRYPTO_CFLAGS)
rootfs_librootfs_a_SOURCES = \
	rootfs/cache.c rootfs/cache.h \
	rootfs/image.c rootfs/image.h rootfs/image-parts.h \
	rootfs/image-data.c \
	rootfs/image-file.c rootfs/image-file.h \
	rootfs/image-meta.c \
	rootfs/key.c \
	rootfs/layer.c rootfs/layer.h \
	rootfs/scan.c rootfs/scan.h \
	rootfs/stage.c rootfs/stage.h \
	rootfs/tree.c rootfs/tree.h \
	rootfs/volume.c rootfs/volume.h \
	rootfs/xattr.c
# What a program that uses librootfs.a links after it.
ROOTFS_LIBS = $(SQUASHFS_LIBS) $(CRYPTO_LIBS)

# The FUSE server: apart, for the VMM links it statically and needs nothing else of this room.
noinst_LIBRARIES += rootfs/libfuse.a
rootfs_libfuse_a_SOURCES = \
	rootfs/fuse.h rootfs/fuse-parts.h \
	rootfs/fuse-attr.c \
	rootfs/fuse-dir.c \
	rootfs/fuse-file.c \
	rootfs/fuse-fresh.c \
	rootfs/fuse-handle.c \
	rootfs/fuse-lock.c \
	rootfs/fuse-node.c \
	rootfs/fuse-open.c \
	rootfs/fuse-serve.c \
	rootfs/fuse-server.c \
	rootfs/fuse-table.c \
	rootfs/fuse-thread.c \
	rootfs/fuse-tree.c \
	rootfs/fuse-xattr.c
