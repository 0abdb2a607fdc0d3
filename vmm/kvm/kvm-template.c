/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a template on KVM: see kvm-template.h.
 *
 *   start ─► the console says that the agent is idle ─► pause ─► save ─► files
 *
 * All of it happens in a loop of its own, before that of the machine begins.
 */
#include "vmm/kvm/kvm-template.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/loop.h"
#include "protocol/agent.h"
#include "vmm/kvm/kvm-machine.h"

struct maker {
	struct vm_config config; /* of which the cmdline is this one's own */
	struct loop *loop;
	struct engine *engine;
	struct template_console *console;
	struct buffer state;  /* empty: it has not been saved */
	char *_Atomic ending; /* why the guest cannot go on: the first reason that is given */
	struct error *error;
};

/* Nothing more to do: saved, or an error. */
static void finish(struct maker *maker)
{
	loop_quit(maker->loop);
}

/* ---- what the engine tells ---- */

/* Any thread. */
static void on_guest_end(void *data, enum guest_end end, const char *message)
{
	struct maker *maker = data;
	char *text = xstrdup(message ? message : "the guest ended");
	char *none = NULL;

	(void)end;
	if (!atomic_compare_exchange_strong(&maker->ending, &none, text))
		free(text);
	engine_end(maker->engine);
}

static void on_started(void *data)
{
	(void)data;
}

static void on_paused(void *data)
{
	struct maker *maker = data;

	(void)kvm_machine_save(maker->engine, &maker->state, &maker->error);
	finish(maker);
}

static void on_gone(void *data)
{
	struct maker *maker = data;
	const char *ending = atomic_load(&maker->ending);

	if (buffer_length(&maker->state) == 0 && !maker->error)
		(void)error_set(&maker->error, EIO, "%s", ending ? ending : "the guest ended");
	finish(maker);
}

/* ---- what the guest says ---- */

static void on_idle(void *data)
{
	struct maker *maker = data;

	engine_pause(maker->engine);
}

static void on_refused(void *data, const char *reason)
{
	struct maker *maker = data;

	if (!maker->error)
		(void)error_set(&maker->error, EOPNOTSUPP, "%s", reason);
	finish(maker);
}

static void overdue(void *data)
{
	struct maker *maker = data;

	(void)error_set(&maker->error, ETIMEDOUT, "the guest did not boot in time");
	finish(maker);
}

/* ---- one machine ---- */

/* The same machine, with a console alone. */
static void make_config(const struct vm_config *config, int output, struct vm_config *ret_config)
{
	*ret_config = *config;
	ret_config->cmdline =
	    xasprintf("%s " TEMPLATE_PARAMETER, config->cmdline ? config->cmdline : "");
	ret_config->n_devices = 1;
	ret_config->devices[0].console.output = (struct vm_file){ .fd = output };
}

static int start(struct maker *maker, const struct template_recipe *recipe,
		 struct error **ret_error)
{
	const struct template_console_events events = { .idle = on_idle,
							.refused = on_refused,
							.data = maker };
	struct kvm_machine machine = {
		.config = &maker->config,
		.events = { on_guest_end, on_started, on_paused, on_gone, maker },
		.images = recipe->images,
	};
	int output;

	if (loop_new(&maker->loop, ret_error) < 0 ||
	    template_console_new(maker->loop, &events, &output, &maker->console, ret_error) < 0)
		return -1;
	make_config(recipe->config, output, &maker->config);
	machine.loop = maker->loop;
	if (kvm_machine_new(&machine, &maker->engine, ret_error) < 0)
		return -1;
	(void)loop_add_timer(maker->loop, TEMPLATE_TIMEOUT_MS, "template", overdue, maker);
	return engine_start(maker->engine, ret_error);
}

static void maker_done(struct maker *maker)
{
	engine_free(maker->engine);
	template_console_free(maker->console);
	loop_free(maker->loop);
	buffer_done(&maker->state);
	free(maker->config.cmdline);
	free(atomic_load(&maker->ending));
	error_free(maker->error);
}

static int write_files(const struct maker *maker, struct template_store *store,
		       struct error **ret_error)
{
	_cleanup_template_ struct template draft = TEMPLATE_NONE;

	if (template_begin(store, &draft, ret_error) < 0 ||
	    kvm_machine_save_ram(maker->engine, draft.ram_fd, ret_error) < 0 ||
	    template_save_state(&maker->state, draft.state_fd, ret_error) < 0 ||
	    template_add_written(store, ret_error) < 0)
		return -1;
	return template_publish(store, ret_error);
}

static int make(const struct template_recipe *recipe, struct template_store *store,
		bool *ret_rebooted, struct error **ret_error)
{
	_cleanup_(maker_done) struct maker maker = { 0 };

	*ret_rebooted = false;
	if (start(&maker, recipe, ret_error) < 0)
		return -1;
	loop_run(maker.loop);
	if (maker.error) {
		*ret_error = TAKE_PTR(maker.error);
		return -1;
	}
	return write_files(&maker, store, ret_error);
}

static struct template_recipe recipe_of(const struct vm_config *config, const struct images *images)
{
	return (struct template_recipe){
		.config = config, .images = images, .engine = "kvm\n", .make = make
	};
}

int kvm_template_get(const struct vm_config *config, const struct images *images,
		     struct template *ret_template, struct error **ret_error)
{
	const struct template_recipe recipe = recipe_of(config, images);

	if (config->n_devices == 0 || config->devices[0].type != VM_DEVICE_CONSOLE)
		return error_set(ret_error, EOPNOTSUPP,
				 "the machine's first device is not a console");
	return template_get(&recipe, ret_template, ret_error);
}

void kvm_template_discard(const struct vm_config *config, const struct images *images)
{
	const struct template_recipe recipe = recipe_of(config, images);

	template_discard(&recipe);
}
