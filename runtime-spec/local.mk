# Linked into the static programs too: base, yajl and (for names) libcap only.
noinst_LIBRARIES += runtime-spec/libspec.a runtime-spec/libstate.a
runtime_spec_libspec_a_SOURCES = \
	runtime-spec/mount-options.c runtime-spec/mount-options.h \
	runtime-spec/parse.c runtime-spec/parse.h \
	runtime-spec/features.c runtime-spec/features.h \
	runtime-spec/spec.c runtime-spec/spec.h \
	runtime-spec/spec-hooks.c \
	runtime-spec/spec-internal.h \
	runtime-spec/spec-linux.c \
	runtime-spec/spec-process.c \
	runtime-spec/spec-read.c \
	runtime-spec/spec-resources.c \
	runtime-spec/spec-seccomp.c \
	runtime-spec/spec-vm.c \
	runtime-spec/spec-words.h
runtime_spec_libstate_a_SOURCES = runtime-spec/state.c runtime-spec/state.h

# What the host gives a container's machine: for the verbs and for the task server.
noinst_LIBRARIES += runtime-spec/libhost.a
runtime_spec_libhost_a_SOURCES = \
	runtime-spec/accel.c runtime-spec/accel.h \
	runtime-spec/kernel.c runtime-spec/kernel.h \
	runtime-spec/kvm-answer.c runtime-spec/kvm-answer.h runtime-spec/kvm-memory.c \
	runtime-spec/machine-options.c runtime-spec/machine-options.h \
	runtime-spec/settings.c runtime-spec/settings.h

# The verbs, apart from main() so that tests can link their parts.
noinst_LIBRARIES += runtime-spec/libverbs.a
runtime_spec_libverbs_a_SOURCES = \
	runtime-spec/attach.c runtime-spec/attach.h \
	runtime-spec/check.c runtime-spec/check.h \
	runtime-spec/check-guest.c runtime-spec/check-host.c runtime-spec/check-kvm.c \
	runtime-spec/container.c runtime-spec/container.h \
	runtime-spec/create.c runtime-spec/create.h \
	runtime-spec/delete.h \
	runtime-spec/exec-process.c runtime-spec/exec-process.h \
	runtime-spec/options.c runtime-spec/options.h \
	runtime-spec/server.c runtime-spec/server.h \
	runtime-spec/stats.c runtime-spec/stats.h \
	runtime-spec/table.c runtime-spec/table.h \
	runtime-spec/terminal.c runtime-spec/terminal.h \
	runtime-spec/update-resources.c runtime-spec/update-resources.h \
	runtime-spec/verb.h \
	runtime-spec/verb-check.c \
	runtime-spec/verb-checkpoint.c \
	runtime-spec/verb-delete.c \
	runtime-spec/verb-events.c \
	runtime-spec/verb-exec.c \
	runtime-spec/verb-features.c \
	runtime-spec/verb-list.c \
	runtime-spec/verb-ps.c \
	runtime-spec/verb-run.c \
	runtime-spec/verb-spec.c \
	runtime-spec/verb-state.c \
	runtime-spec/verb-update.c

bin_PROGRAMS += supermachine
supermachine_SOURCES = runtime-spec/main.c
supermachine_LDADD = runtime-spec/libverbs.a runtime-spec/libhost.a vmm/libvmm.a \
	runtime-spec/libstate.a runtime-spec/libspec.a rootfs/librootfs.a ttrpc/libttrpc.a ttrpc/libproto.a base/libbase.a \
	$(ROOTFS_LIBS) $(PROTOBUF_C_LIBS) $(YAJL_LIBS) $(CAP_LIBS)
