/*
 * Making a template with QEMU: see qemu-template.h.
 *
 *   cont ─► the console says that the agent is idle ─► stop, migrate ─► the state's end ─► files
 *
 * QEMU's own migration writes the state, without the memory ("x-ignore-shared"), which is in a
 * file of ours.  All of it happens in a loop of its own, before that of the machine begins.
 */
#include "vmm/qemu-template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/qemu-command.h"
#include "vmm/qemu-process.h"
#include "vmm/qmp.h"
#include "vmm/ram.h"

/* agent/template.c */
#define IDLE "supermachine-template: idle"
#define REFUSED "supermachine-template: refused: "

/* A machine that takes longer is given up by whoever waits for this one, most likely. */
#define MAKE_TIMEOUT_MS 600000
/* As shim/create.c: a kernel that has measured its timer wrongly reboots. */
#define BOOTS_MAX 12
#define CONSOLE_MAX (64u << 10)

struct maker {
	const struct vm_config *config;
	struct loop *loop;
	struct qemu_process process;
	struct qmp *qmp;
	int monitor, console, state, ram_fd;
	struct source *process_source, *console_source, *state_source;
	struct buffer console_text, state_bytes;
	bool idle, state_ended, migrated;
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

static void on_idle(void *data)
{
	(void)data;
}

/* ---- what comes from the guest and of its state ---- */

/* Appends what has come; false: nothing, for now; *ret_ended: nothing more will. */
static bool receive(int fd, struct buffer *buffer, bool *ret_ended)
{
	ssize_t n = read(fd, buffer_reserve(buffer, 65536), 65536);

	*ret_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n > 0)
		buffer_commit(buffer, (size_t)n);
	return n > 0;
}

static void on_state(void *data, uint32_t events)
{
	struct maker *maker = data;

	(void)events;
	(void)receive(maker->state, &maker->state_bytes, &maker->state_ended);
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
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pipe");
	maker->state = ends[0];
	writing = ends[1];
	if (set_nonblocking(maker->state, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set a pipe up");
	if (loop_add_io(maker->loop, maker->state, EPOLLIN, "template state", on_state, maker,
			&maker->state_source, ret_error) < 0)
		return -1;
	qmp_send(maker->qmp, "stop", NULL);
	qmp_send(maker->qmp, "migrate-set-capabilities", QMP_MIGRATION_CAPABILITIES);
	qmp_send_fd(maker->qmp, "getfd", "{\"fdname\":\"state\"}", writing);
	qmp_send(maker->qmp, "migrate", "{\"uri\":\"fd:state\"}");
	return 0;
}

/* The line behind the words, if it has come whole. */
static char *line_behind(const char *text, const char *words)
{
	const char *found = strstr(text, words);
	const char *start = found ? found + strlen(words) : NULL;

	return start && start[strcspn(start, "\r\n")] ? xstrndup(start, strcspn(start, "\r\n"))
						      : NULL;
}

static void read_console(struct maker *maker)
{
	struct buffer *text = &maker->console_text;
	_cleanup_free_ char *idle = NULL;
	_cleanup_free_ char *refused = NULL;
	_cleanup_free_ char *copy = NULL;

	if (buffer_length(text) > CONSOLE_MAX)
		buffer_consume(text, buffer_length(text) - CONSOLE_MAX);
	copy = xstrndup((const char *)buffer_data(text), buffer_length(text));
	idle = line_behind(copy, IDLE);
	refused = line_behind(copy, REFUSED);
	if (refused)
		finish(maker, EOPNOTSUPP, refused);
	if (!idle || maker->idle)
		return;
	maker->idle = true;
	if (save_state(maker, &maker->error) < 0)
		finish(maker, 0, NULL);
}

static void on_console(void *data, uint32_t events)
{
	struct maker *maker = data;
	bool ended;

	(void)events;
	if (receive(maker->console, &maker->console_text, &ended))
		read_console(maker);
	if (ended)
		source_clear(&maker->console_source);
}

static void overdue(void *data)
{
	finish(data, ETIMEDOUT, "the guest does not come up");
}

/* ---- one machine ---- */

/* QEMU's own; the output of a console is ours to read. */
static int add_devices(struct maker *maker, struct qemu_command *command, struct error **ret_error)
{
	for (unsigned i = 0; i < maker->config->n_devices; i++) {
		enum vm_device_type type = maker->config->devices[i].type;
		int output = -1;

		if (!qemu_has_device(type))
			continue;
		if (type == VM_DEVICE_CONSOLE && maker->console < 0) {
			if (unix_pair(&maker->console, &output, ret_error) < 0)
				return -1;
			if (set_nonblocking(maker->console, true) < 0)
				return error_set_errno(ret_error, errno, "the guest's console");
		}
		if (qemu_command_add_device(command, maker->config, i, output, ret_error) < 0)
			return -1;
	}
	if (maker->console < 0)
		return error_set(ret_error, EOPNOTSUPP, "a machine without a console");
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
	const int log_fd = maker->config->log_fd >= 0 ? maker->config->log_fd : STDERR_FILENO;

	if (ram_file_new(maker->config->memory_mib << 20, &maker->ram_fd, ret_error) < 0 ||
	    unix_pair(&maker->monitor, &machine.monitor, ret_error) < 0)
		return -1;
	machine.ram_fd = maker->ram_fd;
	if (qemu_command_new(&machine, &command, ret_error) < 0 ||
	    add_devices(maker, command, ret_error) < 0)
		return -1;
	return qemu_process_start(command, log_fd, &maker->process, ret_error);
}

static int watch(struct maker *maker, struct error **ret_error)
{
	const struct qmp_events events = {
		.event = on_event, .idle = on_idle, .lost = on_lost, .data = maker
	};

	if (loop_add_io(maker->loop, maker->process.pidfd, EPOLLIN, "qemu process", on_process_end,
			maker, &maker->process_source, ret_error) < 0 ||
	    loop_add_io(maker->loop, maker->console, EPOLLIN, "template console", on_console, maker,
			&maker->console_source, ret_error) < 0 ||
	    qmp_new(TAKE_FD(maker->monitor), maker->loop, &events, &maker->qmp, ret_error) < 0)
		return -1;
	(void)loop_add_timer(maker->loop, MAKE_TIMEOUT_MS, "template", overdue, maker);
	return 0;
}

static void maker_done(struct maker *maker)
{
	source_clear(&maker->process_source);
	source_clear(&maker->console_source);
	source_clear(&maker->state_source);
	qmp_free(maker->qmp);
	loop_free(maker->loop);
	if (maker->process.pid > 0) {
		qemu_process_kill(&maker->process);
		free(qemu_process_reap(&maker->process, NULL));
	}
	close_fdp(&maker->monitor);
	close_fdp(&maker->console);
	close_fdp(&maker->state);
	close_fdp(&maker->ram_fd);
	buffer_done(&maker->console_text);
	buffer_done(&maker->state_bytes);
	error_free(maker->error);
	free(maker->lost);
}

static int write_files(struct maker *maker, struct template_store *store, struct error **ret_error)
{
	_cleanup_template_ struct template draft = TEMPLATE_NONE;

	if (template_begin(store, &draft, ret_error) < 0 ||
	    template_save_ram(maker->ram_fd, draft.ram_fd, ret_error) < 0)
		return -1;
	if (write_all(draft.state_fd, buffer_data(&maker->state_bytes),
		      buffer_length(&maker->state_bytes)) < 0)
		return error_set_errno(ret_error, errno, "cannot keep the machine's state");
	return template_publish(store, ret_error);
}

/* *ret_rebooted: another attempt may succeed. */
static int make(const char *program, const struct vm_config *config, const struct images *images,
		struct template_store *store, bool *ret_rebooted, struct error **ret_error)
{
	_cleanup_(maker_done) struct maker maker = { .config = config,
						     .process = { .pidfd = -1 },
						     .monitor = -1,
						     .console = -1,
						     .state = -1,
						     .ram_fd = -1 };

	*ret_rebooted = false;
	if (loop_new(&maker.loop, ret_error) < 0 || start(&maker, program, images, ret_error) < 0 ||
	    watch(&maker, ret_error) < 0)
		return -1;
	qmp_send(maker.qmp, "cont", NULL);
	loop_run(maker.loop);
	*ret_rebooted = maker.rebooted;
	if (maker.error) {
		*ret_error = TAKE_PTR(maker.error);
		return -1;
	}
	return write_files(&maker, store, ret_error);
}

/* ---- the key ---- */

/* All that the guest is made of, but for ours of its devices, which it has yet to see. */
static char *make_key(int program_fd, const struct vm_config *config, const struct images *images)
{
	_cleanup_free_ char *head = template_key_head();
	_cleanup_free_ char *qemu = template_key_file("qemu", program_fd);
	_cleanup_free_ char *kernel = template_key_file("kernel", images->kernel.fd);
	char *key = xasprintf("%s%s%scmdline %s\nvcpus %u\nmemory %llu\n", head, qemu, kernel,
			      config->cmdline ? config->cmdline : "", config->vcpus,
			      (unsigned long long)config->memory_mib);

	for (size_t i = 0; i < config->n_initramfs; i++) {
		_cleanup_free_ char *file = template_key_file("initramfs", images->initramfs[i].fd);
		_cleanup_free_ char *shorter = key;

		key = xasprintf("%s%s", shorter, file);
	}
	for (size_t i = 0; i < config->n_devices; i++) {
		_cleanup_free_ char *shorter = NULL;

		if (!qemu_has_device(config->devices[i].type))
			continue;
		shorter = key;
		key = xasprintf("%sdevice %d\n", shorter, (int)config->devices[i].type);
	}
	return key;
}

/* Locked. */
static int find_or_make(const char *program, const struct vm_config *config,
			const struct images *images, struct template_store *store,
			struct template *ret_template, struct error **ret_error)
{
	struct error *error = NULL;
	bool rebooted = true;

	/* Somebody may have made it while we waited. */
	if (template_find(store, ret_template, &error) == 0)
		return 0;
	if (error->code != ENOENT) {
		*ret_error = error;
		return -1;
	}
	log_info("making a template of this machine, for others to start from");
	for (unsigned boots = 0; error && rebooted && boots < BOOTS_MAX; boots++) {
		if (boots > 0)
			log_warning("the guest of a template rebooted before it was idle: starting "
				    "it again (%u of at most %d times)",
				    boots, BOOTS_MAX - 1);
		error_free(TAKE_PTR(error));
		(void)make(program, config, images, store, &rebooted, &error);
	}
	if (!error)
		return template_find(store, ret_template, ret_error);
	if (error->code == EOPNOTSUPP)
		(void)template_refuse(store, error->message, NULL);
	else
		template_give_up(store);
	*ret_error = error;
	return -1;
}

/* -1 in any case. */
static int refuse(struct template_store *store, const char *reason, struct error **ret_error)
{
	if (template_lock(store, ret_error) < 0 || template_refuse(store, reason, ret_error) < 0)
		return -1;
	return error_set(ret_error, EOPNOTSUPP, "%s", reason);
}

int qemu_template_get(const char *program, const struct vm_config *config,
		      const struct images *images, struct template *ret_template,
		      struct error **ret_error)
{
	_cleanup_(template_store_freep) struct template_store *store = NULL;
	_cleanup_close_ int program_fd = open(program, O_PATH | O_CLOEXEC);
	_cleanup_free_ char *key = make_key(program_fd, config, images);
	_cleanup_error_ struct error *error = NULL;

	if (template_store_new(config->templates, key, &store, ret_error) < 0)
		return -1;
	if (config->template_failed)
		return refuse(store, "a machine did not go on from it", ret_error);
	if (template_find(store, ret_template, &error) == 0)
		return 0;
	if (error->code != ENOENT) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (template_lock(store, ret_error) < 0)
		return -1;
	return find_or_make(program, config, images, store, ret_template, ret_error);
}
