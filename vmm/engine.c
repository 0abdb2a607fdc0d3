/* SPDX-License-Identifier: Apache-2.0 */
/* The engines' calls: see engine.h. */
#include "vmm/engine.h"

#include <errno.h>

#include "vmm/arch.h"

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

int engine_save(struct engine *engine, const struct save_files *files, struct error **ret_error)
{
	if (!engine->ops->save)
		return error_set(ret_error, EOPNOTSUPP,
				 "an emulated machine cannot be saved: checkpoint needs KVM");
	return engine->ops->save(engine, files, ret_error);
}

int engine_note(struct engine *engine, struct error **ret_error)
{
	return engine->ops->note ? engine->ops->note(engine, ret_error) : 0;
}

void engine_set_link(struct engine *engine, size_t index, bool up)
{
	engine->ops->set_link(engine, index, up);
}

int engine_grow(struct engine *engine, uint64_t size, struct error **ret_error)
{
	if (!engine->ops->grow)
		return error_set(ret_error, EOPNOTSUPP,
				 "the memory of an emulated machine cannot grow");
	return engine->ops->grow(engine, size, ret_error);
}

int engine_plug(struct engine *engine, size_t index, struct error **ret_error)
{
	if (!engine->ops->plug)
		return error_set(ret_error, EOPNOTSUPP, "an emulated machine gets no more devices");
	return engine->ops->plug(engine, index, ret_error);
}

int engine_add_vcpu(struct engine *engine, struct error **ret_error)
{
	if (!engine->ops->add_vcpu)
		return error_set(ret_error, EOPNOTSUPP, "an emulated machine gets no more vCPUs");
	return engine->ops->add_vcpu(engine, ret_error);
}

void engine_end(struct engine *engine)
{
	engine->ops->end(engine);
}

int engine_load(const struct vm_config *config, const struct images *images, size_t n_slots,
		const struct guest_memory *memory, gpa_t *ret_entry, struct error **ret_error)
{
	const struct arch_boot boot = {
		.kernel = &images->kernel,
		.initramfs = images->initramfs,
		.n_initramfs = config->n_initramfs,
		.cmdline = config->cmdline ? config->cmdline : "",
		.vcpus = config->vcpus,
		.max_vcpus = vm_config_max_vcpus(config),
		.n_slots = (uint32_t)n_slots,
	};

	return arch_load(&boot, memory, ret_entry, ret_error);
}
