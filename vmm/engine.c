/* The engines' calls: see engine.h. */
#include "vmm/engine.h"

#include <errno.h>

#include "vmm/arch.h"

int engine_new(const struct vm_config *config, struct loop *loop,
	       const struct engine_events *events, struct engine **ret_engine,
	       struct error **ret_error)
{
	switch (config->accel) {
	case VM_ACCEL_KVM:
		return kvm_engine_new(config, loop, events, ret_engine, ret_error);
	case VM_ACCEL_TCG:
		return qemu_engine_new(config, loop, events, ret_engine, ret_error);
	}
	return error_set(ret_error, EINVAL, "unknown accelerator");
}

void engine_free(struct engine *engine)
{
	if (engine)
		engine->ops->free(engine);
}

int engine_start(struct engine *engine, struct error **ret_error)
{
	return engine->ops->start(engine, ret_error);
}

void engine_pause(struct engine *engine)
{
	engine->ops->pause(engine);
}

void engine_resume(struct engine *engine)
{
	engine->ops->resume(engine);
}

void engine_end(struct engine *engine)
{
	engine->ops->end(engine);
}

int engine_load(const struct vm_config *config, const struct images *images,
		const struct guest_memory *memory, gpa_t *ret_entry, struct error **ret_error)
{
	const struct arch_boot boot = {
		.kernel = &images->kernel,
		.initramfs = images->initramfs,
		.n_initramfs = config->n_initramfs,
		.cmdline = config->cmdline ? config->cmdline : "",
		.vcpus = config->vcpus,
		.n_devices = (uint32_t)config->n_devices,
	};

	return arch_load(&boot, memory, ret_entry, ret_error);
}
