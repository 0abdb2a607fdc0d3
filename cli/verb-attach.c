/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `attach`: our streams become those of a detached container of an image, besides its log.
 *
 *   our stdin ──► ROOT/ID/input, a FIFO        the log ──► our stdout and stderr, from its end on
 *
 * The task server writes the log and reads the FIFO, so that neither waits for us, and any number
 * may be attached.  In a terminal the detach keys end it; else it ends with the container.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/detach-keys.h"
#include "cli/log-reader.h"
#include "cli/run-again.h"
#include "cli/run-output.h"
#include "cli/task-calls.h"
#include "cli/verb.h"
#include "client/handle.h"
#include "client/interrupt.h"
#include "client/pty.h"

#define CHUNK 4096
#define STATUS_KILLED (128 + SIGKILL)
/* Output of which no event tells: the log was made a moment ago, or its file system has none. */
#define LOOK_MS 1000

struct attach_options {
	bool no_stdin;
	const char *detach_keys, *sig_proxy;
};
#define FIELD(name) offsetof(struct attach_options, name)

static const struct option_def options[] = {
	{ "no-stdin", 0, OPTION_FLAG, FIELD(no_stdin), "do not attach our standard input" },
	{ "detach-keys", 0, OPTION_STRING, FIELD(detach_keys),
	  "keys that end it, of a container with a terminal (default: ctrl-p,ctrl-q)" },
	{ "sig-proxy", 0, OPTION_STRING, FIELD(sig_proxy),
	  "false: do not pass signals on to a container without a terminal (default: true)" },
	OPTION_END
};

struct attached {
	struct handle *handle;
	struct loop *loop;
	struct task_calls calls;
	bool has_terminal;
	struct detach_keys keys;
	int input, watch; /* the FIFO, or -1; inotify, or -1 */
	struct log_reader *log;
	char *log_path;
	int own; /* our terminal, in raw mode, or -1 */
	struct termios saved;
	struct source *stdin_source; /* NULL: a file, which epoll does not take */
	struct source *input_source;
	struct buffer pending; /* of our input, until the container takes it */
	struct error *error;
	unsigned status;
};

static void attached_done(struct attached *attached)
{
	task_calls_close(&attached->calls);
	loop_free(attached->loop);
	if (attached->own >= 0)
		(void)tcsetattr(attached->own, TCSADRAIN, &attached->saved);
	handle_free(attached->handle);
	close_fdp(&attached->input);
	close_fdp(&attached->watch);
	log_reader_free(attached->log);
	free(attached->log_path);
	error_free(attached->error);
	buffer_done(&attached->pending);
}

/* ---- output ---- */

static int write_record(void *data, const struct log_record *record, struct error **ret_error)
{
	(void)data;
	if (write_all(record->is_error ? STDERR_FILENO : STDOUT_FILENO, record->bytes,
		      record->size) < 0)
		return error_set_errno(ret_error, errno, "cannot write the output");
	return 0;
}

static void copy_output(struct attached *attached)
{
	if (!attached->error &&
	    log_reader_read(attached->log, write_record, NULL, &attached->error) < 0)
		loop_quit(attached->loop);
}

static void on_written(void *data, uint32_t events)
{
	struct attached *attached = data;
	char bytes[4096];

	(void)events;
	while (read(attached->watch, bytes, sizeof(bytes)) > 0)
		;
	copy_output(attached);
}

static void look_again(void *data)
{
	struct attached *attached = data;

	copy_output(attached);
	(void)loop_add_timer(attached->loop, LOOK_MS, "output", look_again, attached);
}

/* Of the directory: a log that is full is followed by another file. */
static int watch_output(struct attached *attached, struct error **ret_error)
{
	const char *path = attached->log_path;
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	struct source *source; /* the loop's */

	attached->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (attached->watch < 0 || inotify_add_watch(attached->watch, directory, IN_MODIFY) < 0)
		return error_set_errno(ret_error, errno, "cannot watch %s", directory);
	look_again(attached);
	return loop_add_io(attached->loop, attached->watch, EPOLLIN, "output", on_written, attached,
			   &source, ret_error);
}

/* ---- input ---- */

static void end_input(struct attached *attached)
{
	/* That ours has ended says nothing of the container's, which others may give more. */
	source_clear(&attached->stdin_source);
	source_clear(&attached->input_source);
	close_fdp(&attached->input);
	attached->input = -1;
}

static void detach(struct attached *attached)
{
	(void)error_set(&attached->error, ECANCELED, "read escape sequence");
	loop_quit(attached->loop);
}

static void read_later(struct attached *attached);

/* Reads more once the container has taken what there is. */
static void write_pending(struct attached *attached)
{
	struct buffer *pending = &attached->pending;
	ssize_t n;

	if (buffer_length(pending) > 0) {
		n = write(attached->input, buffer_data(pending), buffer_length(pending));
		if (n > 0)
			buffer_consume(pending, (size_t)n);
		/* It has closed its input, or has ended. */
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return end_input(attached);
	}
	source_set_events(attached->input_source, buffer_length(pending) > 0 ? EPOLLOUT : 0);
	if (attached->stdin_source)
		source_set_events(attached->stdin_source,
				  buffer_length(pending) > 0 ? 0 : (uint32_t)EPOLLIN);
	else if (buffer_length(pending) == 0)
		read_later(attached);
}

static void on_stdin(void *data, uint32_t events)
{
	struct attached *attached = data;
	char bytes[CHUNK];
	const ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	char *to;
	bool detached = false;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return end_input(attached);
	to = (char *)buffer_reserve(&attached->pending, CHUNK + DETACH_KEYS_MAX);
	if (attached->has_terminal) {
		buffer_commit(&attached->pending,
			      detach_keys_pass(&attached->keys, bytes, (size_t)n, to, &detached));
	} else {
		memcpy(to, bytes, (size_t)n);
		buffer_commit(&attached->pending, (size_t)n);
	}
	write_pending(attached);
	if (detached)
		detach(attached);
}

static void read_from_file(void *data)
{
	on_stdin(data, EPOLLIN);
}

static void read_later(struct attached *attached)
{
	(void)loop_add_timer(attached->loop, 0, "stdin", read_from_file, attached);
}

static void on_input(void *data, uint32_t events)
{
	struct attached *attached = data;

	/* Nobody reads it any more. */
	if (events & EPOLLERR)
		end_input(attached);
	else if (events & EPOLLOUT)
		write_pending(attached);
}

static void resize_now(const struct attached *attached, uint32_t width, uint32_t height)
{
	Task__ResizePtyRequest request = TASK__RESIZE_PTY_REQUEST__INIT;

	request.id = attached->handle->id;
	request.width = width;
	request.height = height;
	(void)handle_call(attached->handle, "ResizePty", &request.base, &task__empty__descriptor,
			  CALL_TIMEOUT_MS, NULL, NULL);
}

/* As docker: of another size for a moment, so that a program that fills its screen draws it.  What
 * is typed comes after it. */
static void redraw(const struct attached *attached)
{
	struct winsize size;

	if (attached->own < 0 || ioctl(attached->own, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return;
	resize_now(attached, size.ws_col + 1U, size.ws_row + 1U);
	resize_now(attached, size.ws_col, size.ws_row);
}

/* The task server has both of its ends open while the container runs. */
static int open_input(struct attached *attached, const char *root, struct error **ret_error)
{
	_cleanup_free_ char *path = state_path(root, attached->handle->id, RUN_INPUT_FILE);

	attached->input = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (attached->input < 0 && (errno == ENOENT || errno == ENXIO))
		return 0; /* it was made without --interactive, or has closed it */
	if (attached->input < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	if (attached->has_terminal && !isatty(STDIN_FILENO))
		return error_set(ret_error, ENOTTY, "the input device is not a TTY");
	(void)signal(SIGPIPE, SIG_IGN);
	if (attached->has_terminal && pty_raw(STDIN_FILENO, &attached->saved) == 0)
		attached->own = STDIN_FILENO;
	redraw(attached);
	if (loop_add_io(attached->loop, attached->input, 0, "input", on_input, attached,
			&attached->input_source, ret_error) < 0)
		return -1;
	if (loop_add_io(attached->loop, STDIN_FILENO, EPOLLIN, "stdin", on_stdin, attached,
			&attached->stdin_source, NULL) < 0)
		read_later(attached);
	return 0;
}

/* ---- calls ---- */

static void on_wait(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct attached *attached = data;

	attached->status =
	    error ? STATUS_KILLED : ((const Task__WaitResponse *)response)->exit_status;
	copy_output(attached);
	loop_quit(attached->loop);
}

static void on_resized(void *data, const struct signalfd_siginfo *info)
{
	struct attached *attached = data;
	struct winsize size;

	(void)info;
	if (attached->own >= 0 && ioctl(attached->own, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		task_calls_resize(&attached->calls, &size);
}

static void on_signal(void *data, const struct signalfd_siginfo *info)
{
	const struct attached *attached = data;

	task_calls_kill(&attached->calls, info->ssi_signo);
}

static int watch_signals(struct attached *attached, bool are_passed_on, struct error **ret_error)
{
	struct source *source; /* the loop's */
	size_t n;
	const int *passed = interrupt_signals(&n);

	for (size_t i = 0; are_passed_on && i < n; i++)
		if (loop_add_signal(attached->loop, passed[i], "signal", on_signal, attached,
				    &source, ret_error) < 0)
			return -1;
	return loop_add_signal(attached->loop, SIGWINCH, "resize", on_resized, attached, &source,
			       ret_error);
}

/* ---- */

static int look(struct attached *attached, struct error **ret_error)
{
	Task__StateRequest request = TASK__STATE_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	enum container_status status;

	if (handle_status(attached->handle, &status, ret_error) < 0)
		return -1;
	if (status != STATUS_RUNNING)
		return error_set(
		    ret_error, EBUSY, "You cannot attach to a %s container, %s it first",
		    container_status_name(status), status == STATUS_PAUSED ? "unpause" : "start");
	request.id = attached->handle->id;
	if (handle_call(attached->handle, "State", &request.base, &task__state_response__descriptor,
			CALL_TIMEOUT_MS, &message, ret_error) < 0)
		return -1;
	attached->has_terminal = ((const Task__StateResponse *)message)->terminal;
	protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct attach_options *values = command->options;
	const char *root = command->globals->client.root, *id = command->args[0];
	_cleanup_(attached_done) struct attached attached = { .input = -1, .watch = -1, .own = -1 };
	bool proxy = true;

	if (values->sig_proxy &&
	    options_bool("sig-proxy", values->sig_proxy, &proxy, ret_error) < 0)
		return -1;
	if (detach_keys_read(values->detach_keys, &attached.keys, ret_error) < 0 ||
	    handle_open(root, id, &attached.handle, ret_error) < 0 ||
	    look(&attached, ret_error) < 0 ||
	    run_again_reader(&command->globals->client, id, &attached.log_path, &attached.log,
			     ret_error) < 0)
		return -1;
	log_reader_skip(attached.log);
	if (loop_new(&attached.loop, ret_error) < 0 ||
	    watch_signals(&attached, proxy && !attached.has_terminal, ret_error) < 0 ||
	    task_calls_open(attached.handle, "", attached.loop, &attached.calls, ret_error) < 0)
		return -1;
	task_calls_wait(&attached.calls, on_wait, &attached);
	if (watch_output(&attached, ret_error) < 0 ||
	    (!values->no_stdin && open_input(&attached, root, ret_error) < 0))
		return -1;
	loop_run(attached.loop);
	if (!attached.error)
		return (int)attached.status;
	*ret_error = TAKE_PTR(attached.error);
	return -1;
}

const struct verb verb_attach = {
	.name = "attach",
	.arguments = "<container-id>",
	.summary = "attach our streams to a detached container of an image",
	.options = options,
	.options_size = sizeof(struct attach_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
