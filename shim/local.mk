# SPDX-License-Identifier: Apache-2.0
# containerd's view of the task server; main.c apart, so that unit tests link the rest.
bin_PROGRAMS += containerd-shim-supermachine-v1
noinst_LIBRARIES += shim/libshim.a
shim_libshim_a_SOURCES = \
	shim/containerd.c shim/containerd.h \
	shim/containerd-delete.c \
	shim/containerd-home.c \
	shim/containerd-info.c \
	shim/containerd-options.c \
	shim/containerd-start.c \
	shim/events.c shim/events.h \
	shim/flags.c shim/flags.h \
	shim/pool-process.c shim/pool-process.h \
	shim/sandbox-service.c shim/sandbox-service.h \
	shim/serve.c shim/serve.h \
	shim/server.c shim/server.h
SHIM_ARCHIVES = shim/libshim.a sandbox/libsandbox.a host/libhost.a runtime-spec/libspec.a \
	ttrpc/libttrpc.a protocol/libproto.a protocol/libprotocol.a base/libbase.a -lm
containerd_shim_supermachine_v1_SOURCES = shim/main.c $(NO_NAMES)
containerd_shim_supermachine_v1_LDADD = $(SHIM_ARCHIVES) $(STATIC_CAP_LIBS) $(STATIC_YAJL_LIBS) \
	$(STATIC_PROTOBUF_C_LIBS) $(STATIC_CRYPTO_LIBS) $(STATIC_NETLINK_LIBS)
containerd_shim_supermachine_v1_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC) $(LINK_NO_NAMES)
