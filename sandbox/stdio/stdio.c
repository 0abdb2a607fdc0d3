/* SPDX-License-Identifier: Apache-2.0 */
/* The stdio of one task: see stdio.h. */
#include "sandbox/stdio/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/pump.h"
#include "sandbox/stdio/logger.h"
#include "sandbox/stdio/output-log.h"
#include "sandbox/stdio/preserved.h"
#include "sandbox/stdio/stream.h"

#define FILE_SCHEME "file://" /* and an absolute path */

struct channel {
	struct stdio *stdio;
	int host;  /* the host's side; -1: null I/O, the log, or moved into the pump */
	int guest; /* the stream; -1: none yet, or moved into the pump */
	uint32_t port;
	struct stream *opening;
	struct pump *pump;
	bool is_logged; /* it is written to the log */
};

struct stdio {
	struct loop *loop;
	bool terminal;
	bool draining, hung_up;
	bool stdin_closed;	  /* CloseIO came before the start */
	struct stdio_saved saved; /* taken up */
	int tty;		  /* of an "fd:N" terminal */
	int stdin_hold;		  /* a write end of the stdin FIFO */
	struct vmm *vmm;	  /* since it is connected */
	struct preserved *preserved;
	struct output_log *log; /* NULL: none */
	struct logger *logger;
	bool logger_ready; /* or there is none */
	struct channel channels[STDIO_COUNT];
	stdio_fn connected;
	void *connected_data;
	stdio_fn drained;
	void *drained_data;
	struct source *timer; /* the drain's limit, or its end on the next round */
};

/* Of the host's side. */
static bool has_end(const struct channel *channel)
{
	return channel->host >= 0 || channel->is_logged;
}

static void close_channel(struct channel *channel)
{
	stream_free(channel->opening);
	pump_free(channel->pump);
	close_fdp(&channel->host);
	close_fdp(&channel->guest);
	channel->opening = NULL;
	channel->pump = NULL;
	channel->host = channel->guest = -1;
}

void stdio_free(struct stdio *stdio)
{
	if (!stdio)
		return;
	for (size_t i = 0; i < STDIO_COUNT; i++)
		close_channel(&stdio->channels[i]);
	preserved_free(stdio->preserved);
	source_remove(stdio->timer);
	logger_free(stdio->logger);
	output_log_close(stdio->log);
	stdio_saved_done(&stdio->saved);
	close_fdp(&stdio->tty);
	close_fdp(&stdio->stdin_hold);
	free(stdio);
}

static bool is_logger(const char *name)
{
	return strncmp(name, LOGGER_SCHEME, strlen(LOGGER_SCHEME)) == 0;
}

/* As containerd: stdout's name is that of the program for both.  A terminal has
 * nothing for stderr. */
static int open_logger(struct stdio *stdio, const struct stdio_names *names,
		       struct error **ret_error)
{
	const struct logger_setup setup = { .uri = names->names[STDIO_OUT],
					    .id = names->id,
					    .namespace = names->namespace };
	const char *err_name = names->names[STDIO_ERR];
	_cleanup_close_ int err = -1;

	if (err_name[0] && strcmp(err_name, setup.uri) != 0)
		return error_set(ret_error, EINVAL,
				 "stderr by \"%s\": a logging program takes stdout and stderr, and "
				 "stdout is \"%s\"",
				 err_name, setup.uri);
	if (logger_start(stdio->loop, &setup, &stdio->logger, &stdio->channels[STDIO_OUT].host,
			 &err, ret_error) < 0)
		return -1;
	stdio->logger_ready = false;
	if (!names->terminal)
		stdio->channels[STDIO_ERR].host = TAKE_FD(err);
	return 0;
}

/* One file for both, which is opened once. */
static int open_log(struct stdio *stdio, const struct stdio_names *names, enum stdio_stream stream,
		    struct error **ret_error)
{
	const char *uri = names->names[stream];

	stdio->channels[stream].is_logged = true;
	if (strncmp(uri, FILE_SCHEME, strlen(FILE_SCHEME)) != 0 ||
	    strcmp(uri, names->names[STDIO_OUT]) != 0)
		return error_set(ret_error, EINVAL,
				 "output by \"%s\": a log is one " FILE_SCHEME "path", uri);
	return stdio->log
		   ? 0
		   : output_log_open(uri + strlen(FILE_SCHEME), names->log, &stdio->log, ret_error);
}

static int open_output(struct stdio *stdio, struct ttrpc_call *call,
		       const struct stdio_names *names, enum stdio_stream stream,
		       struct error **ret_error)
{
	if (names->log && names->names[stream][0])
		return open_log(stdio, names, stream, ret_error);
	if (is_logger(names->names[STDIO_OUT]))
		return stream == STDIO_OUT ? open_logger(stdio, names, ret_error) : 0;
	return stdio_open(call, names->names[stream], stream, false, &stdio->channels[stream].host,
			  ret_error);
}

static int open_terminal(struct stdio *stdio, struct ttrpc_call *call,
			 const struct stdio_names *names, struct error **ret_error)
{
	struct channel *in = &stdio->channels[STDIO_IN];
	struct channel *out = &stdio->channels[STDIO_OUT];
	bool passed = strncmp(names->names[STDIO_IN], "fd:", 3) == 0;

	if (stdio_open(call, names->names[STDIO_IN], STDIO_IN, passed, &in->host, ret_error) < 0)
		return -1;
	if (passed) {
		out->host = fcntl(in->host, F_DUPFD_CLOEXEC, 0);
		stdio->tty = fcntl(in->host, F_DUPFD_CLOEXEC, 0);
	} else {
		if (open_output(stdio, call, names, STDIO_OUT, ret_error) < 0)
			return -1;
		/* The guest's terminal is read by somebody in any case. */
		if (!has_end(out))
			out->host = open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	if (!has_end(out) || (passed && stdio->tty < 0))
		return error_set_errno(ret_error, errno, "cannot open the terminal");
	return 0;
}

static int open_names(struct stdio *stdio, struct ttrpc_call *call, const struct stdio_names *names,
		      struct error **ret_error)
{
	if (names->terminal)
		return open_terminal(stdio, call, names, ret_error);
	if (stdio_open(call, names->names[STDIO_IN], STDIO_IN, false,
		       &stdio->channels[STDIO_IN].host, ret_error) < 0 ||
	    open_output(stdio, call, names, STDIO_OUT, ret_error) < 0)
		return -1;
	return open_output(stdio, call, names, STDIO_ERR, ret_error);
}

/* Those that the names do not speak of. */
static int open_preserved(struct stdio *stdio, struct ttrpc_call *call,
			  const struct stdio_names *names, struct error **ret_error)
{
	size_t first = 0;

	for (size_t i = 0; i < STDIO_COUNT; i++)
		first += strncmp(names->names[i], "fd:", 3) == 0;
	return preserved_new(stdio->loop, call, first, names->whose, &stdio->preserved, ret_error);
}

int stdio_new(struct loop *loop, struct ttrpc_call *call, const struct stdio_names *names,
	      struct stdio **ret_stdio, struct error **ret_error)
{
	_cleanup_(stdio_freep) struct stdio *stdio = xcalloc(1, sizeof(*stdio));

	stdio->loop = loop;
	stdio->terminal = names->terminal;
	stdio->tty = stdio->stdin_hold = -1;
	stdio->logger_ready = true;
	for (size_t i = 0; i < STDIO_COUNT; i++) {
		stdio->channels[i].stdio = stdio;
		stdio->channels[i].host = stdio->channels[i].guest = -1;
	}
	if (open_names(stdio, call, names, ret_error) < 0 ||
	    open_preserved(stdio, call, names, ret_error) < 0)
		return -1;
	*ret_stdio = TAKE_PTR(stdio);
	return 0;
}

/* ---- connecting ---- */

static void connect_done(struct stdio *stdio, const struct error *error)
{
	stdio_fn function = stdio->connected;

	if (!function ||
	    (!error && (!stdio->logger_ready || !preserved_is_connected(stdio->preserved))))
		return;
	for (size_t i = 0; !error && i < STDIO_COUNT; i++)
		if (stdio->channels[i].opening)
			return;
	source_clear(&stdio->timer);
	stdio->connected = NULL;
	function(stdio->connected_data, error);
}

static void stream_opened(void *data, int fd, uint32_t port, const struct error *error)
{
	struct channel *channel = data;

	channel->opening = NULL;
	channel->guest = fd;
	channel->port = port;
	connect_done(channel->stdio, error);
}

static void logger_is_ready(void *data, const struct error *error)
{
	struct stdio *stdio = data;

	stdio->logger_ready = !error;
	connect_done(stdio, error);
}

static void preserved_connected(void *data, const struct error *error)
{
	connect_done(data, error);
}

static void nothing_to_connect(void *data)
{
	struct stdio *stdio = data;

	stdio->timer = NULL;
	connect_done(stdio, NULL);
}

/* Until all streams that have been asked for are open, and the output's reader is ready. */
static void wait_connected(struct stdio *stdio, stdio_fn function, void *data)
{
	stdio->connected = function;
	stdio->connected_data = data;
	if (stdio->logger)
		logger_wait_ready(stdio->logger, logger_is_ready, stdio);
	stdio->timer = loop_add_timer(stdio->loop, 0, "stdio", nothing_to_connect, stdio);
}

/* With a terminal there is one stream, kept with stdout. */
static bool needs_stream(const struct stdio *stdio, enum stdio_stream stream)
{
	return stdio->terminal ? stream == STDIO_OUT : has_end(&stdio->channels[stream]);
}

int stdio_connect(struct stdio *stdio, struct vmm *vmm, stdio_fn function, void *data,
		  struct error **ret_error)
{
	for (enum stdio_stream i = 0; i < STDIO_COUNT; i++) {
		struct channel *channel = &stdio->channels[i];

		if (needs_stream(stdio, i) &&
		    stream_new(stdio->loop, vmm, AGENT_STDIO_PORT, stream_opened, channel,
			       &channel->opening, ret_error) < 0)
			return -1;
	}
	if (preserved_connect(stdio->preserved, vmm, preserved_connected, stdio, ret_error) < 0)
		return -1;
	stdio->vmm = vmm;
	wait_connected(stdio, function, data);
	return 0;
}

/* ---- of a saved machine ---- */

void stdio_saved_done(struct stdio_saved *saved)
{
	free(saved->pending);
	saved->pending = NULL;
	saved->n_pending = 0;
}

void stdio_hold(struct stdio *stdio, bool hold)
{
	if (stdio->channels[STDIO_IN].pump)
		pump_hold(stdio->channels[STDIO_IN].pump, hold);
}

void stdio_save(const struct stdio *stdio, struct stdio_saved *ret_saved)
{
	const struct channel *in = &stdio->channels[STDIO_IN];
	const struct buffer *pending = in->pump ? pump_pending(in->pump) : NULL;

	*ret_saved = (struct stdio_saved){ 0 };
	for (size_t i = 0; i < STDIO_COUNT; i++)
		ret_saved->ports[i] = stdio->channels[i].port;
	ret_saved->input_ended = !in->pump;
	if (pending && buffer_length(pending) > 0) {
		ret_saved->n_pending = buffer_length(pending);
		ret_saved->pending = xmemdup(buffer_data(pending), ret_saved->n_pending);
	}
}

/* What came before is first.  (The socket is empty, and takes it.) */
static void begin_input(struct stdio *stdio, int fd)
{
	const struct stdio_saved *saved = &stdio->saved;
	const ssize_t size = (ssize_t)saved->n_pending;

	if (size > 0 && send(fd, saved->pending, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) != size)
		log_warning("a part of the container's input is lost");
	if (saved->input_ended || stdio->channels[STDIO_IN].host < 0)
		(void)shutdown(fd, SHUT_WR);
}

static void stream_taken_up(void *data, int fd, uint32_t port, const struct error *error)
{
	struct channel *channel = data;
	struct stdio *stdio = channel->stdio;
	const bool is_input = stdio->terminal || channel == &stdio->channels[STDIO_IN];

	channel->opening = NULL;
	/* It has ended, and all of it had been read. */
	if (error && error->code == ECONNREFUSED)
		error = NULL;
	if (fd >= 0 && is_input)
		begin_input(stdio, fd);
	channel->guest = fd;
	channel->port = fd < 0 ? 0 : port;
	connect_done(stdio, error);
}

int stdio_take_up(struct stdio *stdio, struct vmm *vmm, const struct stdio_saved *saved,
		  stdio_fn function, void *data, struct error **ret_error)
{
	stdio->saved = *saved;
	stdio->saved.pending =
	    saved->n_pending > 0 ? xmemdup(saved->pending, saved->n_pending) : NULL;
	for (enum stdio_stream i = 0; i < STDIO_COUNT; i++) {
		struct channel *channel = &stdio->channels[i];

		if (!saved->ports[i])
			continue;
		/* (A terminal's input ends where nobody gives any.) */
		if (i != STDIO_IN && !has_end(channel))
			channel->host = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (stream_take_up(stdio->loop, vmm, saved->ports[i], AGENT_STDIO_PORT,
				   stream_taken_up, channel, &channel->opening, ret_error) < 0)
			return -1;
	}
	wait_connected(stdio, function, data);
	return 0;
}

const struct preserved *stdio_preserved(const struct stdio *stdio)
{
	return stdio->preserved;
}

uint32_t stdio_port(const struct stdio *stdio, enum stdio_stream stream)
{
	return stdio->channels[stream].port;
}

/* ---- bytes flow ---- */

static void logger_ended(void *data, const struct error *error)
{
	struct stdio *stdio = data;

	stdio->drained(stdio->drained_data, error);
}

static void drain_done(void *data)
{
	struct stdio *stdio = data;

	stdio->timer = NULL;
	for (size_t i = 0; i < STDIO_COUNT; i++)
		close_channel(&stdio->channels[i]);
	preserved_free(TAKE_PTR(stdio->preserved));
	output_log_close(TAKE_PTR(stdio->log));
	if (stdio->logger)
		logger_end(stdio->logger, logger_ended, stdio);
	else
		stdio->drained(stdio->drained_data, NULL);
}

static void check_drained(struct stdio *stdio)
{
	if (!stdio->draining || stdio->channels[STDIO_OUT].pump ||
	    stdio->channels[STDIO_ERR].pump || !preserved_is_drained(stdio->preserved))
		return;
	source_clear(&stdio->timer);
	stdio->timer = loop_add_timer(stdio->loop, 0, "stdio drained", drain_done, stdio);
}

void stdio_hang_up(struct stdio *stdio)
{
	if (stdio->tty < 0 || stdio->hung_up)
		return;
	/* Both pumps hold the one stream; when the last holder lets go, the agent
	 * closes the guest's terminal. */
	stdio->hung_up = true;
	close_channel(&stdio->channels[STDIO_IN]);
	close_channel(&stdio->channels[STDIO_OUT]);
	check_drained(stdio);
}

static void pump_ended(void *data, bool broken)
{
	struct channel *channel = data;
	struct stdio *stdio = channel->stdio;
	bool input = channel == &stdio->channels[STDIO_IN];

	channel->pump = NULL;
	if (input && stdio->stdin_hold >= 0) {
		(void)close(stdio->stdin_hold);
		stdio->stdin_hold = -1;
	}
	/* The end of a terminal's input, and an output that nobody takes, are the
	 * two ways in which a tty says that its master is gone. */
	if (input != broken)
		stdio_hang_up(stdio);
	check_drained(stdio);
}

static int write_log(void *data, const void *bytes, size_t size)
{
	const struct channel *channel = data;
	const struct stdio *stdio = channel->stdio;
	const bool is_error = channel == &stdio->channels[STDIO_ERR];

	return output_log_write(stdio->log, is_error ? OUTPUT_STDERR : OUTPUT_STDOUT, bytes, size);
}

static void start_channel(struct channel *channel, bool input)
{
	const struct pump_setup setup = {
		.from = input ? TAKE_FD(channel->host) : TAKE_FD(channel->guest),
		.to = input ? TAKE_FD(channel->guest) : TAKE_FD(channel->host),
		.watches_reader = true,
		.sink = channel->is_logged ? write_log : NULL,
		.sink_data = channel,
		.function = pump_ended,
		.data = channel,
	};

	channel->pump = pump_new(channel->stdio->loop, &setup);
}

void stdio_start(struct stdio *stdio)
{
	struct channel *in = &stdio->channels[STDIO_IN];

	if (stdio->terminal && in->host >= 0) {
		in->guest = fcntl(stdio->channels[STDIO_OUT].guest, F_DUPFD_CLOEXEC, 0);
		if (in->guest < 0)
			log_warning("no descriptor left for the terminal's input");
	}
	for (enum stdio_stream i = STDIO_OUT; i < STDIO_COUNT; i++)
		if (has_end(&stdio->channels[i]) && stdio->channels[i].guest >= 0)
			start_channel(&stdio->channels[i], false);
	preserved_start(stdio->preserved, stdio->vmm);
}

void stdio_start_input(struct stdio *stdio)
{
	struct channel *in = &stdio->channels[STDIO_IN];
	_cleanup_error_ struct error *error = NULL;

	if (!stdio->draining)
		preserved_start_input(stdio->preserved);
	/* A Start that is tried again. */
	if (in->host < 0 || in->guest < 0 || stdio->draining || stdio->saved.input_ended)
		return;
	if (stdio_open_stdin(&in->host, &stdio->stdin_hold, &error) < 0) {
		log_warning("%s", error->message);
		close_channel(in);
		return;
	}
	start_channel(in, true);
	if (stdio->stdin_closed)
		stdio_close_stdin(stdio);
}

void stdio_close_stdin(struct stdio *stdio)
{
	struct channel *in = &stdio->channels[STDIO_IN];

	/* A FIFO ends by itself, after what is in it, once no writer is left. */
	if (stdio->stdin_hold >= 0) {
		(void)close(stdio->stdin_hold);
		stdio->stdin_hold = -1;
	} else if (in->pump) {
		pump_end_input(in->pump);
	} else {
		stdio->stdin_closed = true;
	}
}

static void drain_overdue(void *data)
{
	struct stdio *stdio = data;

	log_debug("a task's output was not read in time");
	drain_done(stdio);
}

static void preserved_ended(void *data, const struct error *error)
{
	(void)error;
	check_drained(data);
}

void stdio_drain(struct stdio *stdio, uint64_t timeout_ms, stdio_fn function, void *data)
{
	stdio->drained = function;
	stdio->drained_data = data;
	stdio->draining = true;
	preserved_on_end(stdio->preserved, preserved_ended, stdio);
	close_channel(&stdio->channels[STDIO_IN]);
	stdio->timer = loop_add_timer(stdio->loop, timeout_ms, "stdio drain", drain_overdue, stdio);
	check_drained(stdio);
}

int stdio_tty(const struct stdio *stdio)
{
	return stdio->tty;
}
