/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest in QEMU's translator, where there is no usable KVM: see engine.h.
 *
 * QEMU emulates processors, interrupt controllers, memory and the devices that
 * hold nothing of ours.  Our own devices stay in this process, each behind a
 * vhost-user transport whose other end QEMU inherited.  The guest is steered and
 * watched through the monitor (qmp.h).
 *
 * QEMU is started with its vCPUs stopped, and boots the guest or takes a template's
 * state over; "cont" starts them, and again after a "stop".  Commands are answered in
 * order, so what is due can be told once none is under way.
 *
 * Its end is the process's end: however the guest ends, QEMU is killed, and
 * gone() follows once it is reaped.  A monitor or a transport that is lost while
 * QEMU lives is an end too: without either the guest hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "virtio/vhost-user.h"
#include "vmm/device.h"
#include "vmm/engine.h"
#include "vmm/qemu/qemu-command.h"
#include "vmm/qemu/qemu-listener.h"
#include "vmm/qemu/qemu-output.h"
#include "vmm/qemu/qemu-process.h"
#include "vmm/qemu/qemu-template.h"
#include "vmm/qemu/qmp.h"
#include "vmm/ram.h"

/* A device behind a netdev, to which QEMU connects by itself. */
struct netdev {
	struct qemu_engine *qemu;
	size_t index; /* in the configuration */
	struct virtio_device *device;
	int listener;	 /* -1: QEMU has connected, and the device is its transport's */
	bool link_is_up; /* as far as QEMU knows */
};

struct qemu_engine {
	struct engine engine;
	const struct vm_config *config;
	struct loop *loop;
	struct engine_events events;
	struct qemu_process process;
	struct qemu_output output;
	struct source *process_source;
	struct qmp *qmp;
	int monitor; /* the client's end, until there is a client */
	int state;   /* where QEMU finds the state that it is to take over; -1: none, or done */
	struct vhost_user *transports[VM_DEVICES_MAX];
	size_t n_transports;
	struct netdev netdevs[VM_DEVICES_MAX];
	size_t n_netdevs;
	struct device_maker *maker;
	bool confined;		   /* QEMU has lost the host's files */
	bool running;		   /* told to run, once at least */
	bool pause_wanted;	   /* before that */
	bool start_due, pause_due; /* to be told */
	bool ended;		   /* told so */
	bool ordered;		   /* to end */
	char *lost;		   /* why it was killed, before any order */
};

/* ---- how it ends ---- */

static void end_guest(struct qemu_engine *qemu, enum guest_end end, const char *message)
{
	if (qemu->ended)
		return;
	qemu->ended = true;
	qemu_output_drain(&qemu->output);
	qemu->events.ended(qemu->events.data, end, message);
}

static void on_process_end(void *data, uint32_t events)
{
	struct qemu_engine *qemu = data;
	_cleanup_free_ char *message = NULL;

	(void)events;
	source_clear(&qemu->process_source);
	message = qemu_process_reap(&qemu->process, qemu->lost);
	qemu_output_close(&qemu->output);
	log_debug("%s", message);
	if (qemu->lost || !qemu->ordered)
		end_guest(qemu, GUEST_ERROR, message);
	qemu->events.gone(qemu->events.data);
}

/* The monitor or a transport.  A QEMU that is on its way out closes its sockets
 * first, and its status says more; one that lives on is of no use. */
static void on_lost(void *data, const char *reason)
{
	struct qemu_engine *qemu = data;

	if (qemu->ended || qemu->ordered || qemu->lost)
		return;
	qemu->lost = xstrdup(reason);
	qemu_process_kill(&qemu->process);
}

/* ---- the monitor ---- */

/* QEMU's qapi/run-state.json, ShutdownCause */
static const struct {
	const char *reason;
	enum guest_end end;
	const char *message;
} shutdown_reasons[] = {
	{ "guest-shutdown", GUEST_POWEROFF, NULL },
	{ "guest-reset", GUEST_REBOOT, NULL },
	{ "guest-panic", GUEST_PANIC, "the guest's kernel panicked" },
};

static void on_shutdown(struct qemu_engine *qemu, const struct json_at *details)
{
	_cleanup_free_ char *reason = NULL;
	_cleanup_free_ char *message = NULL;

	if (json_get_string(details, "reason", JSON_OPTIONAL, &reason, NULL) == 0 && reason)
		for (size_t i = 0; i < ARRAY_SIZE(shutdown_reasons); i++)
			if (strcmp(reason, shutdown_reasons[i].reason) == 0) {
				end_guest(qemu, shutdown_reasons[i].end,
					  shutdown_reasons[i].message);
				return;
			}
	message = xasprintf("QEMU shuts down (%s)", reason ? reason : "for no reason given");
	end_guest(qemu, GUEST_ERROR, message);
}

static enum vm_device_type type_of(const struct netdev *netdev)
{
	return netdev->qemu->config->devices[netdev->index].type;
}

/* Its configuration space is QEMU's, which has to be told what changes in ours. */
static void tell_link(void *data)
{
	struct netdev *netdev = data;
	bool up = device_type(type_of(netdev))->qemu.link_is_up(netdev->device);
	_cleanup_free_ char *arguments =
	    xasprintf("{\"name\":\"netdev%zu\",\"up\":%s}", netdev->index, up ? "true" : "false");

	if (up != netdev->link_is_up && netdev->qemu->qmp)
		qmp_send(netdev->qemu->qmp, "set_link", arguments);
	netdev->link_is_up = up;
}

static void stop(struct qemu_engine *qemu)
{
	qemu->pause_due = true;
	qmp_send(qemu->qmp, "stop", NULL);
}

static void run(struct qemu_engine *qemu)
{
	for (size_t i = 0; i < qemu->n_netdevs; i++)
		if (qemu->netdevs[i].listener < 0)
			tell_link(&qemu->netdevs[i]);
	qemu->start_due = qemu->running = true;
	qmp_send(qemu->qmp, "cont", NULL);
	if (qemu->pause_wanted)
		stop(qemu);
}

/* QEMU 7.2 takes no state over while it has a device whose own state it could not: those
 * of vhost-user.  Ours had none when the template was made; so they come when it is there.
 * Those behind a netdev are QEMU's own, of which it could take state over, so they stay.
 * (Realized twice, its virtio-net believes that it has twice as many queues.) */
static void realize_devices(struct qemu_engine *qemu, bool realized)
{
	for (size_t i = 0; i < qemu->config->n_devices; i++) {
		const enum vm_device_type type = qemu->config->devices[i].type;
		_cleanup_free_ char *arguments = NULL;

		if (qemu_has_device(type) || device_type(type)->qemu.netdev)
			continue;
		arguments = xasprintf("{\"path\":\"/machine/peripheral/device%zu\","
				      "\"property\":\"realized\",\"value\":%s}",
				      i, realized ? "true" : "false");
		qmp_send(qemu->qmp, "qom-set", arguments);
	}
}

static void take_state_over(struct qemu_engine *qemu)
{
	_cleanup_free_ char *from = xasprintf("{\"uri\":\"fd:%d\"}", qemu->state);

	realize_devices(qemu, false);
	qmp_send(qemu->qmp, "migrate-set-capabilities", QMP_MIGRATION_CAPABILITIES);
	qmp_send(qemu->qmp, "migrate-incoming", from);
}

/* QEMU's qapi/migration.json, MigrationStatus.  (It ends if it fails.) */
static void on_migration(struct qemu_engine *qemu, const struct json_at *details)
{
	_cleanup_free_ char *status = NULL;

	(void)json_get_string(details, "status", JSON_OPTIONAL, &status, NULL);
	if (qemu->state < 0 || !status || strcmp(status, "completed") != 0)
		return;
	qemu->state = -1;
	realize_devices(qemu, true);
	run(qemu);
}

static void on_event(void *data, const char *name, const struct json_at *details)
{
	struct qemu_engine *qemu = data;

	log_debug("qmp: event %s", name);
	if (strcmp(name, "MIGRATION") == 0)
		on_migration(qemu, details);
	if (strcmp(name, "SHUTDOWN") == 0)
		on_shutdown(qemu, details);
	else if (strcmp(name, "GUEST_PANICKED") == 0)
		end_guest(qemu, GUEST_PANIC, "the guest's kernel panicked");
}

/* The monitor's first answer: QEMU has opened what it will, and no guest runs. */
static void begin(struct qemu_engine *qemu)
{
	_cleanup_error_ struct error *error = NULL;

	if (qemu_process_confine(&qemu->process, &error) < 0) {
		on_lost(qemu, error->message);
		return;
	}
	qemu->confined = true;
	if (qemu->state >= 0)
		take_state_over(qemu);
	else
		run(qemu);
}

static void on_idle(void *data)
{
	struct qemu_engine *qemu = data;
	bool started = qemu->start_due, paused = qemu->pause_due;

	if (!qemu->confined) {
		begin(qemu);
		return;
	}
	qemu->start_due = qemu->pause_due = false;
	if (started)
		qemu->events.started(qemu->events.data);
	if (paused)
		qemu->events.paused(qemu->events.data);
}

/* ---- the engine's calls ---- */

static int qemu_start(struct engine *engine, struct error **ret_error)
{
	struct qemu_engine *qemu = (struct qemu_engine *)engine;
	const struct qmp_events events = {
		.event = on_event,
		.idle = on_idle,
		.lost = on_lost,
		.data = qemu,
	};

	if (loop_add_io(qemu->loop, qemu->process.pidfd, EPOLLIN, "qemu process", on_process_end,
			qemu, &qemu->process_source, ret_error) < 0 ||
	    qmp_new(TAKE_FD(qemu->monitor), qemu->loop, &events, &qemu->qmp, ret_error) < 0)
		return -1;
	return 0;
}

static void qemu_pause(struct engine *engine)
{
	struct qemu_engine *qemu = (struct qemu_engine *)engine;

	if (qemu->running)
		stop(qemu);
	else
		qemu->pause_wanted = true;
}

static void qemu_resume(struct engine *engine)
{
	qmp_send(((struct qemu_engine *)engine)->qmp, "cont", NULL);
}

static void qemu_end(struct engine *engine)
{
	struct qemu_engine *qemu = (struct qemu_engine *)engine;

	qemu->ordered = true;
	qemu_process_kill(&qemu->process);
}

static void qemu_free(struct engine *engine)
{
	struct qemu_engine *qemu = (struct qemu_engine *)engine;

	source_remove(qemu->process_source);
	qmp_free(qemu->qmp);
	close_fdp(&qemu->monitor);
	for (size_t i = 0; i < qemu->n_transports; i++)
		vhost_user_free(qemu->transports[i]);
	for (size_t i = 0; i < qemu->n_netdevs; i++) {
		if (qemu->netdevs[i].listener >= 0)
			qemu->netdevs[i].device->ops->free(qemu->netdevs[i].device);
		close_fdp(&qemu->netdevs[i].listener);
	}
	device_maker_free(qemu->maker);
	if (qemu->process.pid > 0) {
		qemu_process_kill(&qemu->process);
		free(qemu_process_reap(&qemu->process, NULL));
	}
	qemu_output_close(&qemu->output);
	free(qemu->lost);
	free(qemu);
}

/* (Before its driver is there, the device itself tells nobody.) */
static void qemu_set_link(struct engine *engine, size_t index, bool up)
{
	struct qemu_engine *qemu = (struct qemu_engine *)engine;

	for (size_t i = 0; i < qemu->n_netdevs; i++) {
		struct netdev *netdev = &qemu->netdevs[i];

		if (netdev->index != index)
			continue;
		device_type(type_of(netdev))->set_link(netdev->device, up);
		tell_link(netdev);
	}
}

static const struct engine_ops qemu_engine_ops = {
	.start = qemu_start,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.set_link = qemu_set_link,
	.end = qemu_end,
	.free = qemu_free,
};

/* ---- building ---- */

/* device and socket become the engine's. */
static int add_transport(struct qemu_engine *qemu, struct virtio_device *device, int socket,
			 struct error **ret_error)
{
	if (vhost_user_new(device, socket, qemu->loop, on_lost, qemu,
			   &qemu->transports[qemu->n_transports], ret_error) < 0)
		return -1;
	qemu->n_transports++;
	return 0;
}

/* A device of ours with its transport, or with the promise of one; returns what is QEMU's
 * of its socket. */
static int add_device(struct qemu_engine *qemu, size_t index, int *ret_socket,
		      struct error **ret_error)
{
	const struct vm_device *config = &qemu->config->devices[index];
	_cleanup_close_ int qemus = -1;
	struct virtio_device *device;
	int ours = -1;
	int r;

	if (device_new(qemu->maker, config, &device, ret_error) < 0)
		return -1;
	if (device_type(config->type)->qemu.netdev)
		r = qemu_listener_new(&ours, &qemus, ret_error);
	else
		r = unix_pair(&ours, &qemus, ret_error);
	if (r < 0) {
		device->ops->free(device);
		return -1;
	}
	if (device_type(config->type)->qemu.netdev) {
		qemu->netdevs[qemu->n_netdevs++] = (struct netdev){ .qemu = qemu,
								    .index = index,
								    .device = device,
								    .listener = ours,
								    .link_is_up = true };
	} else if (add_transport(qemu, device, ours, ret_error) < 0) {
		return -1;
	}
	*ret_socket = TAKE_FD(qemus);
	return 0;
}

/* It does so before it does anything else.  If it ends instead, its status says more. */
static int await_connections(struct qemu_engine *qemu, struct error **ret_error)
{
	for (size_t i = 0; i < qemu->n_netdevs; i++) {
		struct netdev *netdev = &qemu->netdevs[i];
		int socket = -1;
		int r =
		    qemu_listener_accept(netdev->listener, qemu->process.pidfd, &socket, ret_error);

		if (r <= 0)
			return r;
		close_fdp(&netdev->listener);
		netdev->listener = -1;
		if (add_transport(qemu, netdev->device, socket, ret_error) < 0)
			return -1;
		vhost_user_on_change(qemu->transports[qemu->n_transports - 1], tell_link, netdev);
	}
	return 0;
}

static int add_devices(struct qemu_engine *qemu, struct qemu_command *command,
		       struct error **ret_error)
{
	for (size_t i = 0; i < qemu->config->n_devices; i++) {
		const struct vm_device *device = &qemu->config->devices[i];
		int socket = -1;

		if ((!qemu_has_device(device->type) &&
		     add_device(qemu, i, &socket, ret_error) < 0) ||
		    qemu_command_add_device(command, qemu->config, (unsigned)i, socket, ret_error) <
			0)
			return error_wrap(ret_error, "device %zu", i);
	}
	return 0;
}

/* QEMU loads these files by itself, and starts a guest that they do not fit into:
 * so they are loaded here as well, which checks all there is to check, into memory
 * that is thrown away. */
static int check_images(const struct vm_config *config, const struct images *images,
			struct error **ret_error)
{
	struct guest_memory memory = { 0 };
	struct ram ram;
	gpa_t entry;
	int r;

	if (ram_map(config->memory_mib << 20, 0, &memory, &ram, ret_error) < 0)
		return -1;
	r = engine_load(config, images, config->n_devices, &memory, &entry, ret_error);
	ram_unmap(&ram);
	return r;
}

/* A template, if there can be one: what stands in its way does not stand in the guest's. */
static void find_template(const struct qemu_engine *qemu, const char *program,
			  const struct images *images, struct template *template)
{
	_cleanup_error_ struct error *error = NULL;

	if (!qemu->config->templates ||
	    qemu_template_get(program, qemu->config, images, template, &error) == 0)
		return;
	if (error->code == EOPNOTSUPP)
		log_debug("no template: %s", error->message);
	else
		log_warning("no template (%s): booting the guest", error->message);
}

/* The state in a pipe that has room for all of it: QEMU reads it when it is told to. */
static int give_state(struct qemu_engine *qemu, const struct template *template,
		      struct qemu_command *command, struct error **ret_error)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int writing = -1;
	size_t size;
	int reading;

	if (read_file_fd(template->state_fd, "the template's state", TEMPLATE_STATE_MAX, &bytes,
			 &size, ret_error) < 0)
		return -1;
	if (pipe_open(&reading, &writing, ret_error) < 0)
		return -1;
	qemu->state = qemu_command_give(command, reading);
	if (fcntl(writing, F_SETPIPE_SZ, (int)size) < 0 || set_nonblocking(writing, true) < 0 ||
	    write_all(writing, bytes, size) < 0)
		return error_set_errno(ret_error, errno, "cannot write QEMU's state (%zu bytes)",
				       size);
	return 0;
}

static int build(struct qemu_engine *qemu, struct error **ret_error)
{
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	_cleanup_(images_close) struct images images = { 0 };
	_cleanup_template_ struct template template = TEMPLATE_NONE;
	_cleanup_free_ char *program = NULL;
	_cleanup_close_ int ram_fd = -1, log_fd = -1;
	struct qemu_machine machine = { .config = qemu->config, .images = &images };

	if (paths_find_qemu(&program, ret_error) < 0 ||
	    images_open(qemu->config, &images, ret_error) < 0)
		return -1;
	find_template(qemu, program, &images, &template);
	if (ram_file_new(qemu->config->memory_mib << 20, &ram_fd, ret_error) < 0 ||
	    qemu_output_open(&qemu->output, qemu->loop, &log_fd, ret_error) < 0 ||
	    unix_pair(&qemu->monitor, &machine.monitor, ret_error) < 0)
		return -1;
	machine.log_fd = TAKE_FD(log_fd);
	machine.program = program;
	machine.ram_fd = ram_fd;
	machine.beginning = template.state_fd >= 0 ? QEMU_RESUMES : QEMU_BOOTS;
	if (qemu_command_new(&machine, &command, ret_error) < 0 ||
	    device_maker_new(qemu->config, &qemu->maker, ret_error) < 0 ||
	    add_devices(qemu, command, ret_error) < 0)
		return -1;
	if (machine.beginning == QEMU_RESUMES &&
	    give_state(qemu, &template, command, ret_error) < 0)
		return -1;
	if (qemu_process_start(command, &qemu->process, ret_error) < 0)
		return -1;
	/* Now, while QEMU gets ready on another processor. */
	if ((machine.beginning == QEMU_RESUMES
		 ? template_load_ram(template.ram_fd, ram_fd, ret_error)
		 : check_images(qemu->config, &images, ret_error)) < 0)
		return -1;
	return await_connections(qemu, ret_error);
}

int qemu_engine_new(const struct vm_config *config, struct loop *loop,
		    const struct engine_events *events, struct engine **ret_engine,
		    struct error **ret_error)
{
	_cleanup_(engine_freep) struct engine *engine = xcalloc(1, sizeof(struct qemu_engine));
	struct qemu_engine *qemu = (struct qemu_engine *)engine;
	uint64_t room;
	size_t index;

	if (device_find_room(config, &index, &room))
		return error_set(ret_error, EOPNOTSUPP,
				 "devices[%zu]: the memory of an emulated machine cannot grow",
				 index);
	engine->ops = &qemu_engine_ops;
	qemu->config = config;
	qemu->loop = loop;
	qemu->events = *events;
	qemu->monitor = qemu->state = -1;
	qemu->process = QEMU_PROCESS_NONE;
	qemu->output = QEMU_OUTPUT_NONE;
	if (build(qemu, ret_error) < 0)
		return -1;
	*ret_engine = TAKE_PTR(engine);
	return 0;
}
