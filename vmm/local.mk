# SPDX-License-Identifier: Apache-2.0
pkglibexec_PROGRAMS += supermachine-vmm
supermachine_vmm_SOURCES = vmm/main.c
supermachine_vmm_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
supermachine_vmm_LDADD = vmm/libvmm.a virtio/libvirtio.a rootfs/share/libshare.a \
	protocol/libprotocol.a base/libbase.a \
	$(STATIC_YAJL_LIBS) $(STATIC_SECCOMP_LIBS)

noinst_LIBRARIES += vmm/libvmm.a
vmm_libvmm_a_SOURCES = \
	vmm/arch.h \
	vmm/bus.c vmm/bus.h \
	vmm/control-server.c vmm/control-server.h \
	vmm/device.c vmm/device.h \
	vmm/devices.c vmm/devices.h \
	vmm/engine.c vmm/engine.h vmm/engines.c \
	vmm/guest-end.h \
	vmm/host-user.c vmm/host-user.h \
	vmm/image.c vmm/image.h \
	vmm/inherited.c vmm/inherited.h \
	vmm/jail.c vmm/jail.h vmm/jail-files.c vmm/jail-files.h \
	vmm/jail-user.c vmm/jail-user.h \
	vmm/kvm/kvm.c vmm/kvm/kvm.h \
	vmm/kvm/kvm-engine.c \
	vmm/kvm/kvm-machine.c vmm/kvm/kvm-machine.h \
	vmm/kvm/kvm-template.c vmm/kvm/kvm-template.h \
	vmm/machine.c vmm/machine.h \
	vmm/probe.h \
	vmm/qemu/qemu-command.c vmm/qemu/qemu-command.h \
	vmm/qemu/qemu-engine.c \
	vmm/qemu/qemu-keeper.c vmm/qemu/qemu-keeper.h \
	vmm/qemu/qemu-listener.c vmm/qemu/qemu-listener.h \
	vmm/qemu/qemu-output.c vmm/qemu/qemu-output.h \
	vmm/qemu/qemu-process.c vmm/qemu/qemu-process.h \
	vmm/qemu/qmp.c vmm/qemu/qmp.h \
	vmm/ram.c vmm/ram.h vmm/ram-save.c vmm/ram-written.c \
	vmm/ram-changes.c vmm/ram-changes.h \
	vmm/qemu/qemu-template.c vmm/qemu/qemu-template.h \
	vmm/save-files.h \
	vmm/seccomp.c vmm/seccomp.h \
	vmm/share.c vmm/share.h \
	vmm/snapshot.c vmm/snapshot.h \
	vmm/template.c vmm/template.h \
	vmm/template-make.c vmm/template-make.h \
	vmm/kvm/vcpus.c vmm/kvm/vcpus.h \
	vmm/x86_64/acpi.c vmm/x86_64/acpi.h \
	vmm/x86_64/aml.c vmm/x86_64/aml.h \
	vmm/x86_64/boot.c vmm/x86_64/boot.h \
	vmm/x86_64/bzimage.c \
	vmm/x86_64/cpuid.c vmm/x86_64/cpuid.h \
	vmm/x86_64/elf.c \
	vmm/x86_64/relocate.c vmm/x86_64/relocate.h \
	vmm/x86_64/emulated.c \
	vmm/x86_64/kernel.h \
	vmm/x86_64/layout.h \
	vmm/x86_64/memory.c \
	vmm/x86_64/platform.c \
	vmm/x86_64/probe.c \
	vmm/x86_64/state.c \
	vmm/x86_64/time.c \
	vmm/x86_64/vcpu.c
