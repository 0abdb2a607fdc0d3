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
	rootfs/tree.c rootfs/tree.h \
	rootfs/xattr.c
# What a program that uses librootfs.a links after it.
ROOTFS_LIBS = $(SQUASHFS_LIBS) $(CRYPTO_LIBS)
