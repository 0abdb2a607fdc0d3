/* SPDX-License-Identifier: Apache-2.0 */
/* The engines there are: see engine.h. */
#include <errno.h>

#include "vmm/arch.h"
#include "vmm/engine.h"

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

const struct seccomp_call *engine_pool_calls(const struct vm_config *config)
{
	return config->pooled ? arch_pool_calls : NULL;
}

const struct seccomp_call *engine_vcpu_calls(const struct vm_config *config)
{
	return vm_config_max_vcpus(config) > config->vcpus ? arch_vcpu_calls : NULL;
}

const struct seccomp_call *engine_save_calls(const struct vm_config *config)
{
	return config->accel == VM_ACCEL_KVM ? arch_save_calls : NULL;
}
