/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's virtual machine: see kvm.h. */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"

struct extension {
	int number;
	const char *name;
};

#define EXTENSION(name)                                                                            \
	{                                                                                          \
		name, #name                                                                        \
	}
static const struct extension required[] = {
	EXTENSION(KVM_CAP_USER_MEMORY),	   EXTENSION(KVM_CAP_IRQCHIP),
	EXTENSION(KVM_CAP_IRQFD),	   EXTENSION(KVM_CAP_IOEVENTFD),
	EXTENSION(KVM_CAP_IMMEDIATE_EXIT), EXTENSION(KVM_CAP_MP_STATE),
#ifdef __x86_64__
	EXTENSION(KVM_CAP_EXT_CPUID),	   EXTENSION(KVM_CAP_SET_TSS_ADDR),
#endif
};

static int open_device(int *ret_fd, struct error **ret_error)
{
	int fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
	int code = errno;

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (code == ENOENT || code == ENXIO || code == ENODEV)
		return error_set(ret_error, code,
				 "this machine offers no KVM: there is no " KVM_DEVICE
				 " (is virtualization enabled in the firmware, and the "
				 "module kvm_intel or kvm_amd loaded?)");
	if (code == EACCES || code == EPERM)
		return error_set(ret_error, code,
				 "not permitted to use " KVM_DEVICE
				 " (is this user in the group kvm?)");
	return error_set_errno(ret_error, code, "cannot open " KVM_DEVICE);
}

static int check_extensions(int fd, uint32_t vcpus, struct error **ret_error)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);
	int most;

	if (version != KVM_API_VERSION)
		return error_set(ret_error, ENOTSUP, KVM_DEVICE " speaks API version %d, not %d",
				 version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, required[i].number) <= 0)
			return error_set(ret_error, ENOTSUP, "this KVM lacks %s", required[i].name);
	most = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (most > 0 && vcpus > (uint32_t)most)
		return error_set(ret_error, EINVAL,
				 "%u vCPUs are too many for this KVM: at most %d", vcpus, most);
	return 0;
}

static int create_vm(int fd, int *ret_fd, struct error **ret_error)
{
	int vm_fd;

	do
		vm_fd = ioctl(fd, KVM_CREATE_VM, 0);
	while (vm_fd < 0 && errno == EINTR);
	if (vm_fd < 0 && errno == EBUSY)
		return error_set(ret_error, EBUSY,
				 "KVM cannot make a virtual machine: another hypervisor uses the "
				 "processor's virtualization");
	if (vm_fd < 0)
		return error_set_errno(ret_error, errno, "KVM cannot make a virtual machine");
	*ret_fd = vm_fd;
	return 0;
}

int kvm_open(uint32_t vcpus, struct kvm *ret_kvm, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	int run_size, vm_fd = -1;

	if (open_device(&fd, ret_error) < 0 || check_extensions(fd, vcpus, ret_error) < 0)
		return -1;
	run_size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_size < (int)sizeof(struct kvm_run))
		return error_set(ret_error, ENOTSUP, "this KVM's vCPU mapping is only %d bytes",
				 run_size);
	if (create_vm(fd, &vm_fd, ret_error) < 0)
		return -1;
	*ret_kvm = (struct kvm){
		.system_fd = TAKE_FD(fd),
		.vm_fd = vm_fd,
		.run_size = (size_t)run_size,
	};
	return 0;
}

void kvm_close_system(struct kvm *kvm)
{
	close_fdp(&kvm->system_fd);
	kvm->system_fd = -1;
}

void kvm_close(struct kvm *kvm)
{
	kvm_close_system(kvm);
	close_fdp(&kvm->vm_fd);
	kvm->vm_fd = -1;
}

int kvm_add_region(struct kvm *kvm, const struct mem_region *region, struct error **ret_error)
{
	struct kvm_userspace_memory_region slot = {
		.slot = kvm->n_slots,
		.guest_phys_addr = region->base,
		.memory_size = region->size,
		.userspace_addr = (uintptr_t)region->hva,
	};

	if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return error_set_errno(
		    ret_error, errno, "KVM refuses %llu MiB of guest memory at 0x%llx",
		    (unsigned long long)region->size >> 20, (unsigned long long)region->base);
	kvm->n_slots++;
	return 0;
}

int kvm_add_memory(struct kvm *kvm, const struct guest_memory *memory, struct error **ret_error)
{
	for (size_t i = 0; i < memory->n_regions; i++)
		if (kvm_add_region(kvm, &memory->regions[i], ret_error) < 0)
			return -1;
	return 0;
}

int kvm_create_irqchip(struct kvm *kvm, struct error **ret_error)
{
	if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set_errno(ret_error, errno, "KVM cannot make an interrupt controller");
	return 0;
}

int kvm_add_ioeventfd(struct kvm *kvm, gpa_t gpa, uint32_t value, int fd, struct error **ret_error)
{
	struct kvm_ioeventfd ioeventfd = {
		.addr = gpa,
		.len = sizeof(value),
		.datamatch = value,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
		.fd = fd,
	};

	if (ioctl(kvm->vm_fd, KVM_IOEVENTFD, &ioeventfd) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses an ioeventfd at 0x%llx",
				       (unsigned long long)gpa);
	return 0;
}

int kvm_add_irqfd(struct kvm *kvm, uint32_t gsi, int fd, struct error **ret_error)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = gsi };

	if (ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd) < 0)
		return error_set_errno(ret_error, errno, "KVM refuses an irqfd for interrupt %u",
				       gsi);
	return 0;
}
