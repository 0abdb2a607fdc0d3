# SPDX-License-Identifier: Apache-2.0
# The contracts between the programs. libprotocol.a: what needs base alone; libproto.a: the
# messages of ttrpc, which need protobuf-c.
noinst_LIBRARIES += protocol/libprotocol.a protocol/libproto.a
protocol_libprotocol_a_SOURCES = \
	protocol/agent.h \
	protocol/control.h \
	protocol/output-log.c protocol/output-log.h \
	protocol/probe.h \
	protocol/vm-config.c protocol/vm-config.h \
	protocol/vm-device.c protocol/vm-device.h \
	protocol/vm-fds.c protocol/vm-fds.h \
	protocol/vm-field.c protocol/vm-field.h

PROTO_FILES = protocol/ttrpc.proto protocol/task.proto protocol/sandbox.proto protocol/agent.proto \
	protocol/events.proto protocol/shim.proto protocol/sandbox-api.proto protocol/cri.proto \
	protocol/criu-stats.proto
PROTO_GENERATED = $(PROTO_FILES:.proto=.pb-c.c) $(PROTO_FILES:.proto=.pb-c.h)
EXTRA_DIST += $(PROTO_FILES)
BUILT_SOURCES += $(PROTO_GENERATED)
CLEANFILES += $(PROTO_GENERATED)

nodist_protocol_libproto_a_SOURCES = $(PROTO_GENERATED)
# Generated code is not held to the project's warnings.
protocol_libproto_a_CFLAGS = -std=gnu17 $(SANITIZE_FLAGS)

SUFFIXES = .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(PROTOC_C) --proto_path=$(srcdir) --c_out=$(builddir) $<
.pb-c.c.pb-c.h:
	@test -f $@
