pkglibexec_PROGRAMS += supermachine-vmm
supermachine_vmm_SOURCES = vmm/main.c
supermachine_vmm_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC)
supermachine_vmm_LDADD = vmm/libvmm.a virtio/libvirtio.a rootfs/libfuse.a \
	base/libbase.a \
	$(STATIC_YAJL_LIBS) $(STATIC_SECCOMP_LIBS)

noinst_LIBRARIES += vmm/libvmm.a
vmm_libvmm_a_SOURCES = \
	vmm/arch.h \
	vmm/bus.c vmm/bus.h \
	vmm/control-server.c vmm/control-server.h \
	vmm/control.h \
	vmm/device.c vmm/device.h \
	vmm/devices.c vmm/devices.h \
	vmm/engine.c vmm/engine.h \
	vmm/guest-end.h \
	vmm/image.c vmm/image.h \
	vmm/jail.c vmm/jail.h \
	vmm/kvm.c vmm/kvm.h \
	vmm/kvm-engine.c \
	vmm/machine.c vmm/machine.h \
	vmm/probe.h \
	vmm/qemu-command.c vmm/qemu-command.h \
	vmm/qemu-engine.c \
	vmm/qemu-process.c vmm/qemu-process.h \
	vmm/qmp.c vmm/qmp.h \
	vmm/ram.c vmm/ram.h \
	vmm/qemu-template.c vmm/qemu-template.h \
	vmm/seccomp.c vmm/seccomp.h \
	vmm/share.c vmm/share.h \
	vmm/template.c vmm/template.h \
	vmm/vcpus.c vmm/vcpus.h \
	vmm/vm-config.c vmm/vm-config.h \
	vmm/x86_64/acpi.c vmm/x86_64/acpi.h \
	vmm/x86_64/aml.c vmm/x86_64/aml.h \
	vmm/x86_64/boot.c vmm/x86_64/boot.h \
	vmm/x86_64/bzimage.c \
	vmm/x86_64/cpuid.c vmm/x86_64/cpuid.h \
	vmm/x86_64/elf.c \
	vmm/x86_64/emulated.c \
	vmm/x86_64/kernel.h \
	vmm/x86_64/layout.h \
	vmm/x86_64/memory.c \
	vmm/x86_64/platform.c \
	vmm/x86_64/probe.c \
	vmm/x86_64/vcpu.c
