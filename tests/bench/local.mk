# `make bench`: figures, never a verdict; see tests/bench/bench.
EXTRA_PROGRAMS = tests/bench/measure
CLEANFILES += tests/bench/measure
tests_bench_measure_SOURCES = tests/bench/measure.c
tests_bench_measure_LDADD = ttrpc/libttrpc.a ttrpc/libproto.a base/libbase.a $(PROTOBUF_C_LIBS) \
	$(YAJL_LIBS)
EXTRA_DIST += tests/bench/bench tests/bench/containerd tests/bench/emulated tests/bench/in-lab

.PHONY: bench
bench: all tests/bench/measure$(EXEEXT)
	$(srcdir)/tests/bench/bench --build "$(abs_builddir)"
