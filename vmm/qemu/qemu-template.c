/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a template with QEMU: see qemu-template.h.
 *
 *   confine, cont ─► the console says that the agent is idle ─► stop, migrate ─► the state's end ─►
 * files
 *
 * QEMU's own migration writes the state, without the memory ("x-ignore-shared"), which is in a
 * file of ours.  All of it happens in a loop of its own, before that of the machine begins.
 */
#include "vmm/qemu/qemu-template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/qemu/qemu-command.h"
#include "vmm/qemu/qemu-output.h"
#include "vmm/qemu/qemu-process.h"
#include "vmm/qemu/qmp.h"
#include "vmm/ram.h"

struct maker {
	const struct vm_config *config;
	struct loop *loop;
	struct qemu_process process;
	struct qemu_output output;
	struct qmp *qmp;
	struct template_console *console;
	int monitor, state, ram_fd;
	struct source *process_source, *state_source;
	struct buffer state_bytes;
	bool state_ended, migrated;
	bool confined;
	bool done, rebooted;
	char *lost; /* why QEMU was killed */
	struct error *error;
};

static void finish(struct maker *maker, int code, const char *reason)
{
	if (!maker->done && reason)
		(void)error_set(&maker->error, code, "%s", reason);
	maker->done = true;
	loop_quit(maker->loop);
}

/* ---- QEMU ---- */

static void on_process_end(void *data, uint32_t events)
{
	struct maker *maker = data;
	_cleanup_free_ char *message = NULL;

	(void)events;
	source_clear(&maker->process_source);
	message = qemu_process_reap(&maker->process, maker->lost);
	finish(maker, EIO, message);
}

/* If it has ended, its status says more. */
static void on_lost(void *data, const char *reason)
{
	struct maker *maker = data;

	if (!maker->lost)
		maker->lost = xstrdup(reason);
	qemu_process_kill(&maker->process);
}

static void on_shutdown(struct maker *maker, const struct json_at *details)
{
	_cleanup_free_ char *reason = NULL;
	_cleanup_free_ char *message = NULL;

	(void)json_get_string(details, "reason", JSON_OPTIONAL, &reason, NULL);
	maker->rebooted = reason && strcmp(reason, "guest-reset") == 0;
	message = xasprintf("the guest ended (%s)", reason ? reason : "no reason given");
	finish(maker, EIO, message);
}

static void when_saved(struct maker *maker)
{
	if (maker->migrated && maker->state_ended)
		finish(maker, 0, NULL);
}

static void on_migration(struct maker *maker, const struct json_at *details)
{
	_cleanup_free_ char *status = NULL;

	(void)json_get_string(details, "status", JSON_OPTIONAL, &status, NULL);
	if (status && strcmp(status, "failed") == 0)
		finish(maker, EIO, "QEMU cannot save the machine's state");
	maker->migrated = maker->migrated || (status && strcmp(status, "completed") == 0);
	when_saved(maker);
}

static void on_event(void *data, const char *name, const struct json_at *details)
{
	struct maker *maker = data;

	if (strcmp(name, "SHUTDOWN") == 0)
		on_shutdown(maker, details);
	else if (strcmp(name, "GUEST_PANICKED") == 0)
		finish(maker, EIO, "the guest's kernel panicked");
	else if (strcmp(name, "MIGRATION") == 0)
		on_migration(maker, details);
}

/* The first time: QEMU has opened what it will. */
static void on_answered(void *data)
{
	struct maker *maker = data;

	if (maker->confined || maker->done)
		return;
	if (qemu_process_confine(&maker->process, &maker->error) < 0) {
		finish(maker, 0, NULL);
		return;
	}
	maker->confined = true;
	qmp_send(maker->qmp, "cont", NULL);
}

/* ---- its state ---- */

static void on_state(void *data, uint32_t events)
{
	struct maker *maker = data;

	(void)events;
	(void)template_receive(maker->state, &maker->state_bytes, &maker->state_ended);
	if (buffer_length(&maker->state_bytes) > TEMPLATE_STATE_MAX)
		finish(maker, EFBIG, "the machine's state is too large");
	if (!maker->state_ended)
		return;
	source_clear(&maker->state_source);
	when_saved(maker);
}

static int save_state(struct maker *maker, struct error **ret_error)
{
	_cleanup_close_ int writing = -1;

	if (pipe_open(&maker->state, &writing, ret_error) < 0)
		return -1;
	if (set_nonblocking(maker->state, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set up a pipe");
	if (loop_add_io(maker->loop, maker->state, EPOLLIN, "template state", on_state, maker,
			&maker->state_source, ret_error) < 0)
		return -1;
	qmp_send(maker->qmp, "stop", NULL);
	qmp_send(maker->qmp, "migrate-set-capabilities", QMP_MIGRATION_CAPABILITIES);
	qmp_send_fd(maker->qmp, "getfd", "{\"fdname\":\"state\"}", writing);
	qmp_send(maker->qmp, "migrate", "{\"uri\":\"fd:state\"}");
	return 0;
}

static void on_idle(void *data)
{
	struct maker *maker = data;

	if (save_state(maker, &maker->error) < 0)
		finish(maker, 0, NULL);
}

static void on_refused(void *data, const char *reason)
{
	finish(data, EOPNOTSUPP, reason);
}

static void overdue(void *data)
{
	finish(data, ETIMEDOUT, "the guest did not boot in time");
}

/* ---- one machine ---- */

/* QEMU's own; the output of a console is ours to read. */
static int add_devices(struct maker *maker, struct qemu_command *command, struct error **ret_error)
{
	const struct template_console_events events = { .idle = on_idle,
							.refused = on_refused,
							.data = maker };

	for (unsigned i = 0; i < maker->config->n_devices; i++) {
		enum vm_device_type type = maker->config->devices[i].type;
		int output = -1;

		if (!qemu_has_device(type))
			continue;
		if (type == VM_DEVICE_CONSOLE && !maker->console &&
		    template_console_new(maker->loop, &events, &output, &maker->console,
					 ret_error) < 0)
			return -1;
		if (qemu_command_add_device(command, maker->config, i, output, ret_error) < 0)
			return -1;
	}
	if (!maker->console)
		return error_set(ret_error, EOPNOTSUPP, "the machine has no console");
	return 0;
}

static int start(struct maker *maker, const char *program, const struct images *images,
		 struct error **ret_error)
{
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	struct qemu_machine machine = { .program = program,
					.config = maker->config,
					.beginning = QEMU_BOOTS_TEMPLATE,
					.images = images };
	_cleanup_close_ int log_fd = -1;

	if (ram_file_new(maker->config->memory_mib << 20, &maker->ram_fd, ret_error) < 0 ||
	    qemu_output_open(&maker->output, maker->loop, &log_fd, ret_error) < 0 ||
	    unix_pair(&maker->monitor, &machine.monitor, ret_error) < 0)
		return -1;
	machine.log_fd = TAKE_FD(log_fd);
	machine.ram_fd = maker->ram_fd;
	if (qemu_command_new(&machine, &command, ret_error) < 0 ||
	    add_devices(maker, command, ret_error) < 0)
		return -1;
	return qemu_process_start(command, &maker->process, ret_error);
}

static int watch(struct maker *maker, struct error **ret_error)
{
	const struct qmp_events events = {
		.event = on_event, .idle = on_answered, .lost = on_lost, .data = maker
	};

	if (loop_add_io(maker->loop, maker->process.pidfd, EPOLLIN, "qemu process", on_process_end,
			maker, &maker->process_source, ret_error) < 0 ||
	    qmp_new(TAKE_FD(maker->monitor), maker->loop, &events, &maker->qmp, ret_error) < 0)
		return -1;
	(void)loop_add_timer(maker->loop, TEMPLATE_TIMEOUT_MS, "template", overdue, maker);
	return 0;
}

static void maker_done(struct maker *maker)
{
	source_clear(&maker->process_source);
	template_console_free(maker->console);
	source_clear(&maker->state_source);
	qmp_free(maker->qmp);
	if (maker->process.pid > 0) {
		qemu_process_kill(&maker->process);
		free(qemu_process_reap(&maker->process, NULL));
	}
	qemu_output_close(&maker->output);
	loop_free(maker->loop);
	close_fdp(&maker->monitor);
	close_fdp(&maker->state);
	close_fdp(&maker->ram_fd);
	buffer_done(&maker->state_bytes);
	error_free(maker->error);
	free(maker->lost);
}

static int write_files(struct maker *maker, struct template_store *store, struct error **ret_error)
{
	_cleanup_template_ struct template draft = TEMPLATE_NONE;

	if (template_begin(store, &draft, ret_error) < 0 ||
	    template_save_ram(maker->ram_fd, draft.ram_fd, ret_error) < 0 ||
	    template_save_state(&maker->state_bytes, draft.state_fd, ret_error) < 0)
		return -1;
	return template_publish(store, ret_error);
}

static int make(const struct template_recipe *recipe, struct template_store *store,
		bool *ret_rebooted, struct error **ret_error)
{
	_cleanup_(maker_done) struct maker maker = { .config = recipe->config,
						     .process = QEMU_PROCESS_NONE,
						     .output = QEMU_OUTPUT_NONE,
						     .monitor = -1,
						     .state = -1,
						     .ram_fd = -1 };

	*ret_rebooted = false;
	if (loop_new(&maker.loop, ret_error) < 0 ||
	    start(&maker, recipe->data, recipe->images, ret_error) < 0 ||
	    watch(&maker, ret_error) < 0)
		return -1;
	loop_run(maker.loop);
	*ret_rebooted = maker.rebooted;
	if (maker.error) {
		*ret_error = TAKE_PTR(maker.error);
		return -1;
	}
	return write_files(&maker, store, ret_error);
}

/* ---- the key ---- */

/* Of its devices those that are QEMU's.  NULL: which file QEMU is cannot be told. */
static char *engine_key(int program_fd, const struct vm_config *config)
{
	char *key = template_key_file("qemu", program_fd);

	for (size_t i = 0; key && i < config->n_devices; i++) {
		_cleanup_free_ char *shorter = NULL;

		if (!qemu_has_device(config->devices[i].type))
			continue;
		shorter = key;
		key = xasprintf("%sdevice %s\n", shorter, vm_device_name(config->devices[i].type));
	}
	return key;
}

int qemu_template_get(const char *program, const struct vm_config *config,
		      const struct images *images, struct template *ret_template,
		      struct error **ret_error)
{
	_cleanup_close_ int program_fd = open(program, O_PATH | O_CLOEXEC);
	_cleanup_free_ char *engine = engine_key(program_fd, config);
	const struct template_recipe recipe = {
		.config = config, .images = images, .engine = engine, .make = make, .data = program
	};

	return template_get(&recipe, ret_template, ret_error);
}
