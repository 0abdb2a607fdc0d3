/* SPDX-License-Identifier: Apache-2.0 */
/* The guest on KVM (engine.h): a machine that goes on from a template, or boots. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "vmm/device.h"
#include "vmm/engine.h"
#include "vmm/kvm/kvm-machine.h"
#include "vmm/kvm/kvm-template.h"
#include "vmm/ram.h"

/* *ret_bytes (caller frees) is what *ret_state is in. */
static int read_state(const struct template *files, char **ret_bytes, struct snapshot *ret_state,
		      struct error **ret_error)
{
	size_t size;

	if (read_file_fd(files->state_fd, "the machine's state", VM_STATE_MAX, ret_bytes, &size,
			 ret_error) < 0)
		return -1;
	return snapshot_open(*ret_bytes, size, ret_state, ret_error);
}

/* The machine that the document says this one was: there is no other way to begin. */
static int open_state(const struct vm_config *config, struct template *files, char **ret_bytes,
		      struct snapshot *ret_state, struct error **ret_error)
{
	if (device_open_file(&config->state, O_RDONLY, &files->state_fd, ret_error) < 0 ||
	    device_open_file(&config->state_ram, O_RDONLY, &files->ram_fd, ret_error) < 0)
		return -1;
	return read_state(files, ret_bytes, ret_state, ret_error);
}

static void close_changes(struct kvm_machine *machine)
{
	for (; machine->n_changes > 0; machine->n_changes--)
		close_fdp(&machine->changes[machine->n_changes - 1]);
}

static int open_changes(struct kvm_machine *machine, struct error **ret_error)
{
	const struct vm_config *config = machine->config;

	for (; machine->n_changes < config->n_state_changes; machine->n_changes++)
		if (device_open_file(&config->state_changes[machine->n_changes], O_RDONLY,
				     &machine->changes[machine->n_changes], ret_error) < 0)
			return -1;
	return 0;
}

/* The template, if there can be one: what stands in its way does not stand in the guest's. */
static bool find_state(const struct vm_config *config, const struct images *images,
		       struct template *template, char **ret_bytes, struct snapshot *ret_state)
{
	_cleanup_error_ struct error *error = NULL;

	if (!config->templates)
		return false;
	if (kvm_template_get(config, images, template, &error) == 0) {
		if (ram_check_file(config->memory_mib << 20, 0, template->ram_fd, &error) == 0 &&
		    read_state(template, ret_bytes, ret_state, &error) == 0)
			return true;
		kvm_template_discard(config, images);
	}
	if (error->code == EOPNOTSUPP)
		log_debug("no template: %s", error->message);
	else
		log_warning("no template (%s): booting the guest", error->message);
	return false;
}

int kvm_engine_new(const struct vm_config *config, struct loop *loop,
		   const struct engine_events *events, struct engine **ret_engine,
		   struct error **ret_error)
{
	_cleanup_(images_close) struct images images = { 0 };
	_cleanup_template_ struct template template = TEMPLATE_NONE;
	_cleanup_free_ char *bytes = NULL;
	_cleanup_(close_changes) struct kvm_machine machine = {
		.config = config, .loop = loop, .events = *events, .images = &images
	};
	struct snapshot state;

	if (images_open(config, &images, ret_error) < 0)
		return -1;
	if (vm_file_is_set(&config->state)) {
		if (open_state(config, &template, &bytes, &state, ret_error) < 0 ||
		    open_changes(&machine, ret_error) < 0)
			return -1;
		machine.beginning = KVM_GOES_ON;
	} else if (find_state(config, &images, &template, &bytes, &state)) {
		machine.beginning = KVM_RESUMES;
	} else if (config->pooled) {
		return error_set(ret_error, ENOENT, "a machine cannot wait without a template");
	}
	if (machine.beginning != KVM_BOOTS) {
		machine.ram_fd = template.ram_fd;
		machine.written_fd = template.written_fd;
		machine.state = &state;
	}
	return kvm_machine_new(&machine, ret_engine, ret_error);
}
