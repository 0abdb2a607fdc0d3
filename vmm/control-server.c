/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: see control.h.
 *
 * Requests are answered in order.  While a pause waits for the vCPUs nothing
 * more is read from the buffer; the socket is still watched, so that its end is
 * seen.
 */
#include "vmm/control-server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "protocol/control.h"
#include "protocol/vm-config.h"

#define INPUT_MAX (16 * CONTROL_LINE_MAX)
#define OUTPUT_MAX (256 << 10) /* answers that nobody reads */

struct control {
	int fd;
	struct control_orders orders;
	struct source *source;
	struct buffer input;
	struct buffer output;
	bool pausing; /* the answer to a pause is due */
	/* Those that came last, for the next request that wants any. */
	int fds[FD_PASS_MAX];
	size_t n_fds;
};

static void close_fds(struct control *control)
{
	for (size_t i = 0; i < control->n_fds; i++)
		close_fdp(&control->fds[i]);
	control->n_fds = 0;
}

static void control_lost(struct control *control, const char *why)
{
	const struct ending ending = { .code = VMM_EXIT_ORPHANED };

	log_info("control socket: %s", why);
	source_clear(&control->source);
	control->orders.finish(control->orders.data, &ending);
}

static void flush(struct control *control)
{
	while (control->source && buffer_length(&control->output) > 0) {
		ssize_t n = send(control->fd, buffer_data(&control->output),
				 buffer_length(&control->output), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			source_set_events(control->source, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) {
			control_lost(control, strerror(errno));
			return;
		}
		buffer_consume(&control->output, (size_t)n);
	}
	if (control->source)
		source_set_events(control->source, EPOLLIN);
}

/* Finishes the object and queues it as a line. */
static void send_line(struct control *control, struct json_writer *writer)
{
	_cleanup_free_ char *line = NULL;
	size_t size;

	json_end_object(writer);
	line = json_writer_finish(writer, &size);
	if (!control->source)
		return;
	if (buffer_length(&control->output) + size > OUTPUT_MAX) {
		control_lost(control, "its peer does not read");
		return;
	}
	buffer_append(&control->output, line, size);
	buffer_append(&control->output, "\n", 1);
	flush(control);
}

static struct json_writer *begin_answer(void)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_bool(writer, "ok", true);
	return writer;
}

static void send_error(struct control *control, const struct error *error)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "error", error->message);
	send_line(control, writer);
}

/* ---- requests ---- */

static int do_ping(struct control *control, const struct json_at *request, struct error **ret_error)
{
	struct json_writer *writer = begin_answer();

	(void)request, (void)ret_error;
	json_put_int64(writer, "pid", getpid());
	send_line(control, writer);
	return 0;
}

static int do_pause(struct control *control, const struct json_at *request,
		    struct error **ret_error)
{
	(void)request;
	if (control->orders.pause(control->orders.data, ret_error) < 0)
		return -1;
	control->pausing = true;
	return 0;
}

static int do_resume(struct control *control, const struct json_at *request,
		     struct error **ret_error)
{
	(void)request;
	if (control->orders.resume(control->orders.data, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int check_empty(int fd, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "save: a descriptor");
	if (st.st_size != 0)
		return error_set(ret_error, EINVAL, "save: the files must be empty");
	return 0;
}

/* Of the descriptors, the first n_targets are to be written to. */
static int save(struct control *control, const char *op, size_t n_targets, struct error **ret_error)
{
	const int *fds = control->fds;
	const struct save_files files = {
		.state_fd = n_targets > 1 ? fds[0] : -1,
		.ram_fd = fds[n_targets - 1],
		.past_fds = fds + n_targets,
		.n_past = control->n_fds - n_targets,
	};
	int r = 0;

	if (control->n_fds < n_targets)
		return error_set(ret_error, EINVAL, "%s needs %zu descriptors, not %zu", op,
				 n_targets, control->n_fds);
	/* What was in them would be taken for the machine's. */
	for (size_t i = 0; i < n_targets && r == 0; i++)
		r = check_empty(fds[i], ret_error);
	if (r == 0)
		r = control->orders.save(control->orders.data, &files, ret_error);
	close_fds(control);
	if (r == 0)
		send_line(control, begin_answer());
	return r;
}

static int do_save(struct control *control, const struct json_at *request, struct error **ret_error)
{
	(void)request;
	return save(control, "save", 2, ret_error);
}

static int do_save_memory(struct control *control, const struct json_at *request,
			  struct error **ret_error)
{
	(void)request;
	return save(control, "save_memory", 1, ret_error);
}

static int do_note(struct control *control, const struct json_at *request, struct error **ret_error)
{
	(void)request;
	if (control->orders.note(control->orders.data, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int do_link(struct control *control, const struct json_at *request, struct error **ret_error)
{
	uint64_t index = 0;
	bool up = false;

	if (json_get_uint64(request, "device", JSON_REQUIRED, VM_DEVICES_MAX, &index, ret_error) <
		0 ||
	    json_get_bool(request, "up", JSON_REQUIRED, &up, ret_error) < 0 ||
	    control->orders.link(control->orders.data, index, up, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int do_memory(struct control *control, const struct json_at *request,
		     struct error **ret_error)
{
	uint64_t mib = 0;

	if (json_get_uint64(request, "mib", JSON_REQUIRED, VM_MEM_MIB_MAX, &mib, ret_error) < 0 ||
	    control->orders.memory(control->orders.data, mib, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int do_enter(struct control *control, const struct json_at *request,
		    struct error **ret_error)
{
	int r = 0;

	(void)request;
	if (control->n_fds != 1)
		return error_set(ret_error, EINVAL, "enter needs a descriptor, not %zu",
				 control->n_fds);
	r = control->orders.enter(control->orders.data, control->fds[0], ret_error);
	close_fds(control);
	if (r == 0)
		send_line(control, begin_answer());
	return r;
}

static int do_plug(struct control *control, const struct json_at *request, struct error **ret_error)
{
	struct vm_device device;
	struct json_at at;
	int r;

	if (json_member(request, "device", JSON_REQUIRED, &at, ret_error) < 0)
		return -1;
	r = vm_device_read(&at, &device, NULL, 0, ret_error);
	if (r == 0)
		r = vm_fields_take_fds(vm_device_fields(device.type), &device, control->fds,
				       control->n_fds, ret_error);
	close_fds(control);
	if (r < 0) {
		vm_device_done(&device);
		return -1;
	}
	if (control->orders.plug(control->orders.data, &device, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int do_vcpus(struct control *control, const struct json_at *request,
		    struct error **ret_error)
{
	uint64_t count = 0;

	if (json_get_uint64(request, "count", JSON_REQUIRED, VM_VCPUS_MAX, &count, ret_error) < 0 ||
	    control->orders.vcpus(control->orders.data, (uint32_t)count, ret_error) < 0)
		return -1;
	send_line(control, begin_answer());
	return 0;
}

static int do_status(struct control *control, const struct json_at *request,
		     struct error **ret_error)
{
	struct json_writer *writer = begin_answer();

	(void)request, (void)ret_error;
	json_put_string(writer, "state", control->orders.state(control->orders.data));
	send_line(control, writer);
	return 0;
}

static int finish(struct control *control, const struct ending *ending)
{
	send_line(control, begin_answer());
	control->orders.finish(control->orders.data, ending);
	return 0;
}

static int do_stop(struct control *control, const struct json_at *request, struct error **ret_error)
{
	const struct ending ending = { .code = VMM_EXIT_OK };

	(void)request, (void)ret_error;
	return finish(control, &ending);
}

static int do_exit(struct control *control, const struct json_at *request, struct error **ret_error)
{
	int64_t code = -1, signal = -1;

	if (json_get_int64(request, "code", JSON_OPTIONAL, 0, 255, &code, ret_error) < 0 ||
	    json_get_int64(request, "signal", JSON_OPTIONAL, 1, SIGRTMAX, &signal, ret_error) < 0)
		return -1;
	if ((code < 0) == (signal < 0))
		return error_set(ret_error, EINVAL, "exit needs either \"code\" or \"signal\"");
	return finish(control, &(struct ending){
				   .code = code < 0 ? 128 + (int)signal : (int)code,
				   .signal = signal < 0 ? 0 : (int)signal,
			       });
}

static const struct {
	const char *name;
	int (*run)(struct control *control, const struct json_at *request,
		   struct error **ret_error);
} operations[] = {
	{ "ping", do_ping },	 { "pause", do_pause },
	{ "resume", do_resume }, { "status", do_status },
	{ "stop", do_stop },	 { "exit", do_exit },
	{ "save", do_save },	 { "note", do_note },
	{ "link", do_link },	 { "save_memory", do_save_memory },
	{ "enter", do_enter },	 { "plug", do_plug },
	{ "memory", do_memory }, { "vcpus", do_vcpus },
};

static int run_request(struct control *control, const char *line, size_t size,
		       struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *name = NULL;
	struct json_at request;

	if (json_parse(line, size, "request", &value, ret_error) < 0)
		return -1;
	request = json_root(value);
	if (json_get_string(&request, "op", JSON_REQUIRED, &name, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return operations[i].run(control, &request, ret_error);
	return error_set(ret_error, EINVAL, "unknown op \"%s\"", name);
}

static void run_line(struct control *control, const char *line, size_t size)
{
	_cleanup_error_ struct error *error = NULL;

	if (run_request(control, line, size, &error) < 0)
		send_error(control, error);
}

static void run_lines(struct control *control)
{
	while (control->source && !control->pausing) {
		size_t length = buffer_length(&control->input);
		const char *start = (const char *)buffer_data(&control->input);
		const char *end = length > 0 ? memchr(start, '\n', length) : NULL;

		if (end ? end - start > CONTROL_LINE_MAX : length > CONTROL_LINE_MAX) {
			control_lost(control, "a line is too long");
			return;
		}
		if (!end)
			return;
		run_line(control, start, (size_t)(end - start));
		buffer_consume(&control->input, (size_t)(end - start) + 1);
	}
}

/* There is something: this does not wait. */
static ssize_t receive(struct control *control)
{
	int fds[FD_PASS_MAX];
	size_t n_fds;
	ssize_t n = recv_with_fds(control->fd, buffer_reserve(&control->input, CONTROL_LINE_MAX),
				  CONTROL_LINE_MAX, fds, &n_fds);

	if (n < 0 || n_fds == 0)
		return n;
	close_fds(control);
	(void)memcpy(control->fds, fds, n_fds * sizeof(fds[0]));
	control->n_fds = n_fds;
	return n;
}

static void on_socket(void *data, uint32_t events)
{
	struct control *control = data;
	ssize_t n;

	if (events & EPOLLOUT)
		flush(control);
	if (!control->source || !(events & ~(uint32_t)EPOLLOUT))
		return;
	if (buffer_length(&control->input) >= INPUT_MAX) {
		control_lost(control, "its peer does not wait for answers");
		return;
	}
	n = receive(control);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		control_lost(control, n == 0 ? "closed by its peer" : strerror(errno));
		return;
	}
	buffer_commit(&control->input, (size_t)n);
	run_lines(control);
}

int control_new(int fd, const struct control_orders *orders, struct loop *loop,
		struct control **ret_control, struct error **ret_error)
{
	_cleanup_(control_freep) struct control *control = xcalloc(1, sizeof(*control));
	int type = 0;
	socklen_t size = sizeof(type);

	control->fd = fd;
	control->orders = *orders;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return error_set_errno(ret_error, errno, "control descriptor %d", fd);
	if (type != SOCK_STREAM)
		return error_set(ret_error, EINVAL, "control descriptor %d is not a stream socket",
				 fd);
	if (set_cloexec(fd, true) < 0 || loop_add_io(loop, fd, EPOLLIN, "control", on_socket,
						     control, &control->source, ret_error) < 0)
		return error_wrap(ret_error, "control descriptor %d", fd);
	*ret_control = TAKE_PTR(control);
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	source_remove(control->source);
	buffer_done(&control->input);
	buffer_done(&control->output);
	close_fds(control);
	close_fdp(&control->fd);
	free(control);
}

/* ---- events ---- */

static struct json_writer *begin_event(const char *name)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "event", name);
	return writer;
}

void control_started(struct control *control)
{
	if (control)
		send_line(control, begin_event("started"));
}

void control_paused(struct control *control)
{
	if (!control || !control->pausing)
		return;
	control->pausing = false;
	send_line(control, begin_answer());
	run_lines(control);
}

void control_stopped(struct control *control, enum guest_end end, const char *message)
{
	static const char *const reasons[] = {
		[GUEST_POWEROFF] = "poweroff",
		[GUEST_REBOOT] = "reboot",
		[GUEST_PANIC] = "panic",
		[GUEST_ERROR] = "error",
	};
	struct json_writer *writer;

	if (!control)
		return;
	if (control->pausing) {
		_cleanup_error_ struct error *error = NULL;

		control->pausing = false;
		(void)error_set(&error, ESRCH, "cannot pause: the guest has ended");
		send_error(control, error);
	}
	writer = begin_event("stopped");
	json_put_string(writer, "reason", reasons[end]);
	json_put_string(writer, "message", message ? message : "");
	send_line(control, writer);
	run_lines(control);
}
