# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/alloc.c base/alloc.h \
	base/buffer.c base/buffer.h \
	base/capture.c base/capture.h \
	base/checked.h \
	base/child.c base/child.h \
	base/cleanup.h \
	base/clone-file.c base/clone-file.h \
	base/clock.c base/clock.h \
	base/copier.c base/copier.h \
	base/daemon.c base/daemon.h \
	base/user.c base/user.h \
	base/doorman.c base/doorman.h \
	base/error.c base/error.h \
	base/fnv.h \
	base/go-error.c base/go-error.h \
	base/hex.c base/hex.h \
	base/io.c base/io.h base/unix.c \
	base/iov.c base/iov.h \
	base/json-read.c base/json-write.c base/json.h \
	base/listener.c base/listener.h \
	base/log.c base/log.h \
	base/log-file.c base/log-file.h \
	base/loop.c base/loop.h \
	base/netns.c base/netns.h \
	base/parse.c base/parse.h \
	base/paths.c base/paths.h \
	base/plain.c base/plain.h \
	base/landlock.c base/landlock.h base/process.c base/process.h \
	base/pump.c base/pump.h \
	base/random.c base/random.h \
	base/rtnetlink.c base/rtnetlink.h \
	base/tar.c base/tar-changes.c base/tar-pack.c base/tar-packer.h base/tar-unpack.c base/tar.h \
	base/utf8.c base/utf8.h \
	base/packed.h
