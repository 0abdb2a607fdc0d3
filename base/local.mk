noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/alloc.c base/alloc.h \
	base/buffer.c base/buffer.h \
	base/capture.c base/capture.h \
	base/checked.h \
	base/cleanup.h \
	base/clock.c base/clock.h \
	base/daemon.c base/daemon.h \
	base/error.c base/error.h \
	base/go-error.c base/go-error.h \
	base/io.c base/io.h base/unix.c \
	base/json-read.c base/json-write.c base/json.h \
	base/log.c base/log.h \
	base/loop.c base/loop.h \
	base/paths.c base/paths.h \
	base/process.c base/process.h \
	base/relay.c base/relay.h
