# SPDX-License-Identifier: Apache-2.0
# The agent, guest PID 1, and the initramfs that it lives in.
noinst_LIBRARIES += agent/libagent.a
agent_libagent_a_SOURCES = \
	agent/agent.c agent/agent.h \
	agent/boot.c agent/boot.h \
	agent/calls.c agent/calls.h \
	agent/cgroup.c agent/cgroup-devices.c agent/cgroup-limits.c agent/cgroup.h \
	agent/channel.c agent/channel.h \
	agent/container.c agent/container.h \
	agent/copy-tree.c \
	agent/cpuset.c agent/cpuset.h \
	agent/descriptors.c agent/descriptors.h \
	agent/device-program.c agent/device-program.h \
	agent/devices.c agent/devices.h \
	agent/disk.c agent/disk.h \
	agent/files.c agent/files.h \
	agent/hooks.c agent/hooks.h \
	agent/host-link.c agent/host-link.h \
	agent/identity.c agent/identity.h \
	agent/init.c agent/init.h \
	agent/inroot.c agent/inroot.h \
	agent/kernel-settings.c agent/kernel-settings.h \
	agent/masks.c \
	agent/memory.c agent/memory.h \
	agent/modprobe.c agent/modprobe.h \
	agent/mount-place.c agent/mount-place.h \
	agent/mounts.c agent/mounts.h \
	agent/netlink.c agent/netlink.h \
	agent/network.c agent/network.h \
	agent/network-links.c agent/network-links.h \
	agent/network-object.c agent/network-object.h \
	agent/network-objects.c agent/network-objects.h \
	agent/network-text.c \
	agent/oom.c \
	agent/privileges.c agent/privileges.h \
	agent/process.c agent/process.h \
	agent/processes.c \
	agent/processors.c agent/processors.h \
	agent/program.c agent/program.h \
	agent/published.c agent/published.h \
	agent/root.c agent/root.h agent/share.c agent/share.h \
	agent/scheduling.c agent/scheduling.h \
	agent/seccomp.c agent/seccomp.h \
	agent/service.c \
	agent/setup.c agent/setup.h \
	agent/setup-become.c \
	agent/setup-clone.c \
	agent/setup-init.c \
	agent/names.c agent/names.h \
	agent/names-program.c agent/names-program.h \
	agent/sockets.c agent/sockets.h \
	agent/sources.c agent/sources.h \
	agent/stats.c \
	agent/stdio.c agent/stdio.h \
	agent/template.c agent/template.h \
	agent/terminal.c agent/terminal.h \
	agent/time-namespace.c agent/time-namespace.h \
	agent/timer.c agent/timer.h
if HAVE_SECCOMP
agent_libagent_a_SOURCES += agent/seccomp-newer.c agent/seccomp-newer.h
endif

AGENT_LIBS = agent/libagent.a runtime-spec/libspec.a ttrpc/libttrpc.a protocol/libproto.a \
	base/libbase.a -lm -lresolv

noinst_PROGRAMS += supermachine-agent
supermachine_agent_SOURCES = agent/main.c $(NO_NAMES)
supermachine_agent_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC) $(LINK_NO_NAMES)
supermachine_agent_LDADD = $(AGENT_LIBS) $(STATIC_YAJL_LIBS) $(STATIC_PROTOBUF_C_LIBS) \
	$(STATIC_SECCOMP_LIBS) $(STATIC_CAP_LIBS) $(STATIC_NETLINK_LIBS)

# Reproducible: fixed names, order, owners, modes and times. It holds no device
# nodes, so that no privilege is needed: the agent mounts devtmpfs.
INITRAMFS_DIRS = dev modules proc run share stage sys sysroot
initramfs.cpio: supermachine-agent$(EXEEXT)
	$(AM_V_GEN)rm -rf agent/initramfs && $(MKDIR_P) agent/initramfs && \
	$(INSTALL) -s -m 755 supermachine-agent$(EXEEXT) agent/initramfs/init && \
	( cd agent/initramfs && mkdir -m 755 $(INITRAMFS_DIRS) && \
	  touch -h -d @0 init $(INITRAMFS_DIRS) && \
	  printf '%s\n' init $(INITRAMFS_DIRS) | LC_ALL=C sort | \
	  $(CPIO) -o -H newc --quiet --reproducible -R 0:0 ) >$@.new && mv $@.new $@
pkgdata_DATA += initramfs.cpio
CLEANFILES += initramfs.cpio initramfs.cpio.new
clean-local: clean-initramfs
.PHONY: clean-initramfs
clean-initramfs:
	rm -rf agent/initramfs
