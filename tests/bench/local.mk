# SPDX-License-Identifier: Apache-2.0
# `make bench`: figures, never a verdict; see tests/bench/bench.
EXTRA_PROGRAMS = tests/bench/measure tests/bench/many-files tests/bench/traffic
CLEANFILES += tests/bench/measure tests/bench/many-files tests/bench/traffic
tests_bench_measure_SOURCES = tests/bench/measure.c
tests_bench_measure_LDADD = ttrpc/libttrpc.a protocol/libproto.a base/libbase.a $(PROTOBUF_C_LIBS) \
	$(YAJL_LIBS)
tests_bench_many_files_SOURCES = tests/bench/many-files.c
tests_bench_many_files_LDADD = base/libbase.a
tests_bench_many_files_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
tests_bench_traffic_SOURCES = tests/bench/traffic.c
tests_bench_traffic_LDADD = base/libbase.a
tests_bench_traffic_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
EXTRA_DIST += tests/bench/bench tests/bench/clones tests/bench/containerd tests/bench/emulated tests/bench/files tests/bench/images tests/bench/in-lab \
	tests/bench/lib.sh tests/bench/network tests/bench/pool

.PHONY: bench
bench:
	$(srcdir)/tests/bench/bench "$(abs_builddir)"
