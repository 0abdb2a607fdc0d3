# SPDX-License-Identifier: Apache-2.0
# What the OCI specification says. Linked into the static programs too: base, yajl and (for
# names) libcap only; libm for cgroup-terms.c.
noinst_LIBRARIES += runtime-spec/libspec.a
runtime_spec_libspec_a_SOURCES = \
	runtime-spec/cgroup-terms.c runtime-spec/cgroup-terms.h runtime-spec/cgroup-terms-path.c \
	runtime-spec/cpu-list.c runtime-spec/cpu-list.h \
	runtime-spec/features.c runtime-spec/features.h \
	runtime-spec/machine-options.c runtime-spec/machine-options.h \
	runtime-spec/exec-tool.c runtime-spec/exec-tool.h \
	runtime-spec/named-user.c runtime-spec/named-user.h \
	runtime-spec/mount-options.c runtime-spec/mount-options.h \
	runtime-spec/proc-mount.c runtime-spec/proc-mount.h \
	runtime-spec/spec.c runtime-spec/spec.h \
	runtime-spec/spec-hooks.c \
	runtime-spec/spec-internal.h \
	runtime-spec/spec-linux.c \
	runtime-spec/spec-process.c \
	runtime-spec/spec-read.c \
	runtime-spec/spec-resources.c \
	runtime-spec/spec-scheduling.c \
	runtime-spec/spec-seccomp.c \
	runtime-spec/spec-vm.c \
	runtime-spec/spec-words.h \
	runtime-spec/state.c runtime-spec/state.h
