# The task server; main.c apart, so that unit tests link the rest.
bin_PROGRAMS += containerd-shim-supermachine-v1
noinst_LIBRARIES += shim/libshim.a
shim_libshim_a_SOURCES = \
	shim/agent-client.c shim/agent-client.h \
	shim/agent-files.c shim/agent-files.h \
	shim/containerd.c shim/containerd.h \
	shim/containerd-delete.c \
	shim/containerd-home.c \
	shim/containerd-info.c \
	shim/containerd-options.c \
	shim/containerd-start.c \
	shim/container.c shim/container.h \
	shim/control.c \
	shim/create.c \
	shim/delete.c \
	shim/events.c shim/events.h \
	shim/exit.c \
	shim/flags.c shim/flags.h \
	shim/forward.c shim/forward.h \
	shim/hooks.c shim/hooks.h \
	shim/loop-device.c shim/loop-device.h \
	shim/logger.c shim/logger.h \
	shim/machine.c shim/machine.h shim/machine-spawn.c \
	shim/mounts.c shim/mounts.h \
	shim/oom.c \
	shim/plan.c shim/plan.h shim/plan-check.c shim/plan-pod.c shim/plan-shared.c shim/plan-files.c shim/plan-files.h \
	shim/plan-cache.c shim/plan-volumes.c \
	shim/published.c shim/published.h \
	shim/pump.c shim/pump.h \
	shim/sandbox.c shim/sandbox.h \
	shim/serve.c shim/serve.h \
	shim/server.c shim/server.h \
	shim/start.c \
	shim/stdio.c shim/stdio.h shim/stdio-open.c \
	shim/stream.c shim/stream.h \
	shim/task.c shim/task.h shim/task-events.c shim/task-events.h \
	shim/terminal.c shim/terminal.h
SHIM_ARCHIVES = shim/libshim.a rootfs/librootfs.a runtime-spec/libhost.a vmm/libvmm.a \
	runtime-spec/libstate.a runtime-spec/libspec.a ttrpc/libttrpc.a ttrpc/libproto.a base/libbase.a
containerd_shim_supermachine_v1_SOURCES = shim/main.c
containerd_shim_supermachine_v1_LDADD = $(SHIM_ARCHIVES) $(STATIC_CAP_LIBS) $(STATIC_YAJL_LIBS) \
	$(STATIC_PROTOBUF_C_LIBS) $(STATIC_CRYPTO_LIBS)
containerd_shim_supermachine_v1_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
