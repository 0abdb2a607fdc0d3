/*
 * The guest on KVM: see engine.h.  Memory slots, kernel, vCPUs and devices are
 * made in this order; the vCPUs' threads do the rest.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/devices.h"
#include "vmm/engine.h"
#include "vmm/image.h"
#include "vmm/kvm.h"
#include "vmm/ram.h"
#include "vmm/vcpus.h"

struct kvm_engine {
	struct engine engine;
	const struct vm_config *config;
	struct loop *loop;
	struct engine_events events;
	struct kvm kvm;
	struct ram ram;
	struct guest_memory memory;
	struct bus ports;
	struct bus mmio;
	gpa_t entry;
	struct platform *platform;
	struct vcpus *vcpus;
	struct devices *devices;
};

static int add_memory(struct kvm_engine *kvm, struct error **ret_error)
{
	if (ram_map(kvm->config->memory_mib << 20, &kvm->memory, &kvm->ram, ret_error) < 0)
		return -1;
	return kvm_add_memory(&kvm->kvm, &kvm->memory, ret_error);
}

static int load_kernel(struct kvm_engine *kvm, struct error **ret_error)
{
	struct images images = { 0 };
	int result = images_open(kvm->config, &images, ret_error);

	if (result == 0)
		result = engine_load(kvm->config, &images, &kvm->memory, &kvm->entry, ret_error);
	images_close(&images);
	return result;
}

static int add_vcpus(struct kvm_engine *kvm, struct error **ret_error)
{
	_cleanup_(arch_cpu_freep) struct arch_cpu *cpu = NULL;
	const struct vcpus_options options = {
		.count = kvm->config->vcpus,
		.ports = &kvm->ports,
		.mmio = &kvm->mmio,
		.loop = kvm->loop,
		.ended = kvm->events.ended,
		.paused = kvm->events.paused,
		.gone = kvm->events.gone,
		.data = kvm->events.data,
	};

	if (arch_init_vm(&kvm->kvm, ret_error) < 0 ||
	    kvm_create_irqchip(&kvm->kvm, ret_error) < 0 ||
	    arch_cpu_new(&kvm->kvm, options.count, &cpu, ret_error) < 0 ||
	    vcpus_new(&kvm->kvm, &options, &kvm->vcpus, ret_error) < 0)
		return -1;
	for (uint32_t i = 0; i < options.count; i++)
		if (arch_init_vcpu(cpu, vcpus_fd(kvm->vcpus, i), i, kvm->entry, ret_error) < 0)
			return -1;
	kvm_close_system(&kvm->kvm);
	return 0;
}

static int add_devices(struct kvm_engine *kvm, struct error **ret_error)
{
	const struct devices_host host = {
		.kvm = &kvm->kvm,
		.mmio = &kvm->mmio,
		.memory = &kvm->memory,
		.loop = kvm->loop,
	};

	if (platform_new(&kvm->ports, kvm->config->serial_fd, kvm->events.ended, kvm->events.data,
			 &kvm->platform, ret_error) < 0)
		return -1;
	return devices_new(kvm->config, &host, &kvm->devices, ret_error);
}

static int kvm_start(struct engine *engine, struct error **ret_error)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	kvm->events.started(kvm->events.data);
	return vcpus_start(kvm->vcpus, ret_error);
}

static void kvm_pause(struct engine *engine)
{
	vcpus_pause(((struct kvm_engine *)engine)->vcpus);
}

static void kvm_resume(struct engine *engine)
{
	vcpus_resume(((struct kvm_engine *)engine)->vcpus);
}

static void kvm_end(struct engine *engine)
{
	vcpus_end(((struct kvm_engine *)engine)->vcpus);
}

static void kvm_free(struct engine *engine)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	vcpus_free(kvm->vcpus);
	devices_free(kvm->devices);
	platform_free(kvm->platform);
	kvm_close(&kvm->kvm);
	ram_unmap(&kvm->ram);
	free(kvm);
}

static const struct engine_ops kvm_engine_ops = {
	.start = kvm_start,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.end = kvm_end,
	.free = kvm_free,
};

int kvm_engine_new(const struct vm_config *config, struct loop *loop,
		   const struct engine_events *events, struct engine **ret_engine,
		   struct error **ret_error)
{
	_cleanup_(engine_freep) struct engine *engine = xcalloc(1, sizeof(struct kvm_engine));
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	engine->ops = &kvm_engine_ops;
	kvm->config = config;
	kvm->loop = loop;
	kvm->events = *events;
	kvm->kvm = (struct kvm){ .system_fd = -1, .vm_fd = -1 };
	if (kvm_open(config->vcpus, &kvm->kvm, ret_error) < 0 || add_memory(kvm, ret_error) < 0 ||
	    load_kernel(kvm, ret_error) < 0 || add_vcpus(kvm, ret_error) < 0 ||
	    add_devices(kvm, ret_error) < 0)
		return -1;
	*ret_engine = TAKE_PTR(engine);
	return 0;
}
