# SPDX-License-Identifier: Apache-2.0
# What the host gives a container's machine: for the verbs and for the task server.
noinst_LIBRARIES += host/libhost.a
host_libhost_a_SOURCES = \
	host/accel.c host/accel.h \
	host/allow.c host/allow.h \
	host/beneath.c host/beneath.h \
	host/descriptors.c host/descriptors.h \
	host/cgroup-check.c host/cgroup-check.h \
	host/cgroup-place.c host/cgroup-place.h host/cgroup-remove.c \
	host/cgroup-scope.c host/cgroup-scope.h \
	host/cgroup-values.c host/cgroup-values.h \
	host/hosts-file.c host/hosts-file.h \
	host/id-map.c host/id-map.h \
	host/kernel.c host/kernel.h \
	host/kvm-answer.c host/kvm-answer.h host/kvm-ask.c host/kvm-memory.c \
	host/loop-device.c host/loop-device.h \
	host/mounts.c host/mounts.h \
	host/network.c host/network.h \
	host/network-join.c host/network-join.h \
	host/network-links.c host/network-links.h \
	host/network-options.c host/network-options.h \
	host/network-place.c \
	host/network-settings.c host/network-settings.h \
	host/own-namespaces.c host/own-namespaces.h \
	host/passt.c host/passt.h host/passt-view.c \
	host/pool.c host/pool.h \
	host/root.c host/root.h \
	host/runtime-file.c host/runtime-file.h \
	host/settings.c host/settings.h \
	host/stage.c host/stage.h \
	host/tap.c host/tap.h \
	host/volume.c host/volume.h \
	host/volumes.c host/volumes.h
