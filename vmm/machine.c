/* SPDX-License-Identifier: Apache-2.0 */
/* The machine: see machine.h for its states. */
#include "vmm/machine.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/loop.h"
#include "protocol/control.h"
#include "vmm/control-server.h"
#include "vmm/device.h"
#include "vmm/engine.h"

enum machine_state {
	MACHINE_BUILT,
	MACHINE_RUNNING,
	MACHINE_PAUSING,
	MACHINE_PAUSED,
	MACHINE_STOPPING,
	MACHINE_STOPPED,
};

struct machine {
	struct vm_config *config;
	enum machine_state state;
	struct loop *loop;
	struct engine *engine;
	struct control *control; /* NULL: nobody holds a control socket */
	struct source *signals[3];
	bool finishing; /* ending is settled, the loop ends with it */
	struct ending ending;

	pthread_mutex_t lock; /* a leaf lock; guards the rest */
	bool guest_ended;
	enum guest_end guest_end;
	char *guest_message;
};

static const char *const state_names[] = {
	[MACHINE_BUILT] = "built",   [MACHINE_RUNNING] = "running",   [MACHINE_PAUSING] = "pausing",
	[MACHINE_PAUSED] = "paused", [MACHINE_STOPPING] = "stopping", [MACHINE_STOPPED] = "stopped",
};

static void set_state(struct machine *machine, enum machine_state state)
{
	static const unsigned allowed[] = {
		[MACHINE_BUILT] = 1 << MACHINE_RUNNING,
		[MACHINE_RUNNING] = 1 << MACHINE_PAUSING | 1 << MACHINE_STOPPING,
		[MACHINE_PAUSING] = 1 << MACHINE_PAUSED | 1 << MACHINE_STOPPING,
		[MACHINE_PAUSED] = 1 << MACHINE_RUNNING | 1 << MACHINE_STOPPING,
		[MACHINE_STOPPING] = 1 << MACHINE_STOPPED,
		[MACHINE_STOPPED] = 0,
	};

	assert(allowed[machine->state] & 1U << state);
	log_debug("machine: %s -> %s", state_names[machine->state], state_names[state]);
	machine->state = state;
}

int machine_new(struct vm_config *config, struct machine **ret_machine, struct error **ret_error)
{
	_cleanup_(machine_freep) struct machine *machine = xcalloc(1, sizeof(*machine));

	machine->config = config;
	(void)pthread_mutex_init(&machine->lock, NULL);
	if (loop_new(&machine->loop, ret_error) < 0)
		return -1;
	*ret_machine = TAKE_PTR(machine);
	return 0;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	engine_free(machine->engine);
	control_free(machine->control);
	for (size_t i = 0; i < ARRAY_SIZE(machine->signals); i++)
		source_remove(machine->signals[i]);
	loop_free(machine->loop);
	free(machine->guest_message);
	(void)pthread_mutex_destroy(&machine->lock);
	free(machine);
}

/* ---- how it ends ---- */

/* Any thread; the first report counts. */
static void on_guest_end(void *data, enum guest_end end, const char *message)
{
	struct machine *machine = data;

	(void)pthread_mutex_lock(&machine->lock);
	if (!machine->guest_ended) {
		machine->guest_ended = true;
		machine->guest_end = end;
		machine->guest_message = xstrdup(message);
	}
	(void)pthread_mutex_unlock(&machine->lock);
	engine_end(machine->engine);
}

/* The machine ends now, whatever its state; the first ending counts. */
static void finish(struct machine *machine, const struct ending *ending)
{
	if (machine->finishing)
		return;
	machine->finishing = true;
	machine->ending = *ending;
	if (machine->state == MACHINE_STOPPED) {
		loop_quit(machine->loop);
		return;
	}
	if (machine->state != MACHINE_STOPPING)
		set_state(machine, MACHINE_STOPPING);
	engine_end(machine->engine);
}

static void on_started(void *data)
{
	struct machine *machine = data;

	control_started(machine->control);
}

static void on_paused(void *data)
{
	struct machine *machine = data;

	if (machine->state != MACHINE_PAUSING)
		return; /* ended meanwhile */
	set_state(machine, MACHINE_PAUSED);
	control_paused(machine->control);
}

static struct ending guest_ending(enum guest_end end)
{
	static const int codes[] = {
		[GUEST_POWEROFF] = VMM_EXIT_OK,
		[GUEST_REBOOT] = VMM_EXIT_REBOOT,
		[GUEST_PANIC] = VMM_EXIT_PANIC,
		[GUEST_ERROR] = VMM_EXIT_ERROR,
	};

	return (struct ending){ .code = codes[end] };
}

static void on_linger_over(void *data)
{
	struct machine *machine = data;
	const struct ending ending = guest_ending(machine->guest_end);

	finish(machine, &ending);
}

/* The guest will not run again: nothing but this thread touches the machine. */
static void on_gone(void *data)
{
	struct machine *machine = data;
	struct ending ending;

	if (machine->state != MACHINE_STOPPING)
		set_state(machine, MACHINE_STOPPING);
	set_state(machine, MACHINE_STOPPED);
	if (machine->guest_end == GUEST_ERROR)
		log_error("%s", machine->guest_message);
	else if (machine->guest_message)
		log_warning("%s", machine->guest_message);
	if (machine->finishing) {
		loop_quit(machine->loop);
		return;
	}
	if (machine->control) {
		control_stopped(machine->control, machine->guest_end, machine->guest_message);
		(void)loop_add_timer(machine->loop, CONTROL_LINGER_MS, "linger", on_linger_over,
				     machine);
		return;
	}
	ending = guest_ending(machine->guest_end);
	finish(machine, &ending);
}

static void on_signal(void *data, const struct signalfd_siginfo *info)
{
	struct machine *machine = data;
	const struct ending ending = { .signal = (int)info->ssi_signo };

	finish(machine, &ending);
}

/* ---- what the control socket asks for ---- */

static const char *order_state(void *data)
{
	const struct machine *machine = data;

	if (machine->state == MACHINE_PAUSED)
		return "paused";
	return machine->state == MACHINE_STOPPED ? "stopped" : "running";
}

static int order_pause(void *data, struct error **ret_error)
{
	struct machine *machine = data;

	if (machine->state != MACHINE_RUNNING)
		return error_set(ret_error, EBUSY, "cannot pause: the machine is %s",
				 state_names[machine->state]);
	set_state(machine, MACHINE_PAUSING);
	engine_pause(machine->engine);
	return 0;
}

static int order_resume(void *data, struct error **ret_error)
{
	struct machine *machine = data;

	if (machine->state != MACHINE_PAUSED)
		return error_set(ret_error, EBUSY, "cannot resume: the machine is %s",
				 state_names[machine->state]);
	set_state(machine, MACHINE_RUNNING);
	engine_resume(machine->engine);
	return 0;
}

static int order_save(void *data, const struct save_files *files, struct error **ret_error)
{
	struct machine *machine = data;
	const bool may_run = files->state_fd < 0 && machine->state == MACHINE_RUNNING;

	if (machine->state != MACHINE_PAUSED && !may_run)
		return error_set(ret_error, EBUSY, "cannot save: the machine is %s, not paused",
				 state_names[machine->state]);
	return engine_save(machine->engine, files, ret_error);
}

static int order_note(void *data, struct error **ret_error)
{
	struct machine *machine = data;

	return engine_note(machine->engine, ret_error);
}

static int order_link(void *data, size_t index, bool up, struct error **ret_error)
{
	struct machine *machine = data;

	if (index >= machine->config->n_devices ||
	    !device_type(machine->config->devices[index].type)->set_link)
		return error_set(ret_error, EINVAL, "link: device %zu has none", index);
	engine_set_link(machine->engine, index, up);
	return 0;
}

static int order_memory(void *data, uint64_t mib, struct error **ret_error)
{
	struct machine *machine = data;

	if (machine->state != MACHINE_RUNNING)
		return error_set(ret_error, EBUSY, "cannot change the memory: the machine is %s",
				 state_names[machine->state]);
	return engine_grow(machine->engine, mib << 20, ret_error);
}

static int order_enter(void *data, int directory_fd, struct error **ret_error)
{
	const struct machine *machine = data;

	if (!machine->config->pooled)
		return error_set(ret_error, EINVAL, "enter: the machine is not pooled");
	if (fchdir(directory_fd) < 0)
		return error_set_errno(ret_error, errno, "enter");
	return 0;
}

static int order_plug(void *data, const struct vm_device *device, struct error **ret_error)
{
	struct machine *machine = data;
	struct vm_config *config = machine->config;

	if (!config->pooled || machine->state != MACHINE_PAUSED)
		return error_set(ret_error, EBUSY, "plug: the machine is %s%s",
				 state_names[machine->state], config->pooled ? "" : ", not pooled");
	if (!device_type(device->type)->late_calls || config->n_devices == VM_DEVICES_MAX)
		return error_set(ret_error, EINVAL, "plug: a %s cannot come, or there are too many",
				 vm_device_name(device->type));
	config->devices[config->n_devices++] = *device;
	return engine_plug(machine->engine, config->n_devices - 1, ret_error);
}

/* One after the other: those that have come stay, if a later one cannot. */
static int order_vcpus(void *data, uint32_t count, struct error **ret_error)
{
	struct machine *machine = data;
	struct vm_config *config = machine->config;
	int r = 0;

	if (machine->state != MACHINE_RUNNING)
		return error_set(ret_error, EBUSY, "vcpus: the machine is %s",
				 state_names[machine->state]);
	if (count > vm_config_max_vcpus(config))
		return error_set(ret_error, EINVAL, "vcpus: %u are more than the machine's %u",
				 count, vm_config_max_vcpus(config));
	for (; r == 0 && config->vcpus < count; config->vcpus += r == 0)
		r = engine_add_vcpu(machine->engine, ret_error);
	return r;
}

static void order_finish(void *data, const struct ending *ending)
{
	finish(data, ending);
}

static int take_orders(struct machine *machine, struct error **ret_error)
{
	const struct control_orders orders = { .pause = order_pause,
					       .resume = order_resume,
					       .save = order_save,
					       .note = order_note,
					       .link = order_link,
					       .memory = order_memory,
					       .enter = order_enter,
					       .plug = order_plug,
					       .vcpus = order_vcpus,
					       .state = order_state,
					       .finish = order_finish,
					       .data = machine };

	return control_new(machine->config->control_fd, &orders, machine->loop, &machine->control,
			   ret_error);
}

/* ---- building, and running ---- */

int machine_build(struct machine *machine, struct error **ret_error)
{
	static const int ending_signals[] = { SIGTERM, SIGINT, SIGHUP };
	const struct engine_events events = {
		.ended = on_guest_end,
		.started = on_started,
		.paused = on_paused,
		.gone = on_gone,
		.data = machine,
	};

	_Static_assert(ARRAY_SIZE(ending_signals) == ARRAY_SIZE(machine->signals), "one each");
	if (engine_new(machine->config, machine->loop, &events, &machine->engine, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(ending_signals); i++)
		if (loop_add_signal(machine->loop, ending_signals[i], "signal", on_signal, machine,
				    &machine->signals[i], ret_error) < 0)
			return -1;
	return machine->config->control_fd < 0 ? 0 : take_orders(machine, ret_error);
}

int machine_run(struct machine *machine, struct ending *ret_ending, struct error **ret_error)
{
	set_state(machine, MACHINE_RUNNING);
	if (engine_start(machine->engine, ret_error) < 0)
		return -1;
	loop_run(machine->loop);
	/* The guest's last kicks (its last words on the console) may still wait. */
	loop_step(machine->loop, 0);
	*ret_ending = machine->ending;
	return 0;
}
