# Link order: ttrpc/libttrpc.a ttrpc/libproto.a base/libbase.a, then protobuf-c.
noinst_LIBRARIES += ttrpc/libttrpc.a ttrpc/libproto.a
ttrpc_libttrpc_a_SOURCES = \
	ttrpc/any.c ttrpc/any.h \
	ttrpc/call.c \
	ttrpc/client.c \
	ttrpc/codes.c \
	ttrpc/connection.c ttrpc/connection.h \
	ttrpc/frame.c ttrpc/frame.h \
	ttrpc/message.c ttrpc/message.h \
	ttrpc/server.c ttrpc/server.h \
	ttrpc/sync.c \
	ttrpc/ttrpc.h

PROTO_FILES = ttrpc/ttrpc.proto ttrpc/task.proto ttrpc/sandbox.proto ttrpc/agent.proto \
	ttrpc/events.proto ttrpc/shim.proto
PROTO_GENERATED = $(PROTO_FILES:.proto=.pb-c.c) $(PROTO_FILES:.proto=.pb-c.h)
EXTRA_DIST += $(PROTO_FILES)
BUILT_SOURCES += $(PROTO_GENERATED)
CLEANFILES += $(PROTO_GENERATED)

nodist_ttrpc_libproto_a_SOURCES = $(PROTO_GENERATED)
# Generated code is not held to the project's warnings.
ttrpc_libproto_a_CFLAGS = -std=gnu17 $(SANITIZE_FLAGS)

SUFFIXES = .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(PROTOC_C) --proto_path=$(srcdir) --c_out=$(builddir) $<
.pb-c.c.pb-c.h:
	@test -f $@
