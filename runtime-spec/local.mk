# Linked into the static programs too: base, yajl and (for names) libcap only.
noinst_LIBRARIES += runtime-spec/libspec.a runtime-spec/libstate.a
runtime_spec_libspec_a_SOURCES = \
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
