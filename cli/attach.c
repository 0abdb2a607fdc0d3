/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standing for a process of the guest: see attach.h.
 *
 * One loop: an asynchronous client with an open Wait call, signals, and with a
 * master two byte streams:
 *
 *   our stdin ──► input buffer ──► master        master ──► our stdout
 *
 * It ends when Wait has answered and the master has hung up: the task server closes
 * the slave once it has drained the guest's output.
 */
#include "cli/attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/task-calls.h"
#include "client/interrupt.h"
#include "client/pty.h"

#define CHUNK 65536
/* How long a hung-up terminal is waited for after its process has ended. */
#define DRAIN_MS 5000
#define STATUS_KILLED (128 + SIGKILL)

struct attach {
	const struct attachment *is;
	struct loop *loop;
	struct task_calls calls;
	bool ended;
	unsigned status;
	int master;
	int own; /* our terminal, or -1 */
	bool raw;
	struct termios saved;
	struct source *master_source, *input_source;
	bool input_always; /* a file: epoll does not take it, and it is always readable */
	struct buffer input;
};

static void finish_if_done(struct attach *attach)
{
	if (attach->ended && attach->master < 0)
		loop_quit(attach->loop);
}

/* ---- the terminal's bytes ---- */

static void close_master(struct attach *attach)
{
	source_clear(&attach->master_source);
	source_clear(&attach->input_source);
	close_fdp(&attach->master);
	attach->master = -1;
	finish_if_done(attach);
}

/* Watches for input only while there is room for it. */
static void watch_input(struct attach *attach)
{
	const bool pending = buffer_length(&attach->input) > 0;

	source_set_events(attach->master_source,
			  EPOLLIN | (pending || attach->input_always ? (uint32_t)EPOLLOUT : 0));
	if (attach->input_source)
		source_set_events(attach->input_source, pending ? 0 : (uint32_t)EPOLLIN);
}

static void write_input(struct attach *attach)
{
	ssize_t n;

	if (buffer_length(&attach->input) == 0)
		return;
	n = write(attach->master, buffer_data(&attach->input), buffer_length(&attach->input));
	if (n > 0)
		buffer_consume(&attach->input, (size_t)n);
}

static void read_input(struct attach *attach)
{
	ssize_t n = read(STDIN_FILENO, buffer_reserve(&attach->input, CHUNK), CHUNK);

	if (n > 0) {
		buffer_commit(&attach->input, (size_t)n);
		write_input(attach);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		/* The end of our input is not the terminal's end. */
		source_clear(&attach->input_source);
		attach->input_always = false;
	}
}

static void on_input(void *data, uint32_t events)
{
	struct attach *attach = data;

	(void)events;
	if (buffer_length(&attach->input) == 0) {
		read_input(attach);
	} else {
		/* A hang-up, told without end: what is left is read as from a file. */
		source_clear(&attach->input_source);
		attach->input_always = true;
	}
	watch_input(attach);
}

/* False: nobody reads it. (Our stdout may be a terminal that another program has made
 * non-blocking.) */
static bool write_output(const uint8_t *bytes, size_t size)
{
	struct pollfd writable = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, size);

		if (n < 0 && errno == EAGAIN)
			(void)poll(&writable, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
	return true;
}

static void on_master(void *data, uint32_t events)
{
	struct attach *attach = data;
	uint8_t bytes[CHUNK];
	ssize_t n;

	if (events & EPOLLOUT) {
		write_input(attach);
		if (attach->input_always && buffer_length(&attach->input) == 0)
			read_input(attach);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = read(attach->master, bytes, sizeof(bytes));
		/* EIO: the last slave has gone.  The other way round, what nobody reads any
		 * more hangs up: the process learns of it, and its end is waited for. */
		if (n > 0 ? !write_output(bytes, (size_t)n)
			  : n == 0 || (errno != EAGAIN && errno != EINTR)) {
			close_master(attach);
			return;
		}
	}
	watch_input(attach);
}

static int connect_terminal(struct attach *attach, struct error **ret_error)
{
	attach->own = pty_own();
	if (attach->master < 0)
		return 0;
	(void)signal(SIGPIPE, SIG_IGN); /* write_output() tells */
	if (attach->own >= 0 && pty_raw(attach->own, &attach->saved) == 0)
		attach->raw = true;
	if (set_nonblocking(attach->master, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set up the terminal");
	if (loop_add_io(attach->loop, attach->master, EPOLLIN, "terminal", on_master, attach,
			&attach->master_source, ret_error) < 0)
		return -1;
	if (loop_add_io(attach->loop, STDIN_FILENO, EPOLLIN, "stdin", on_input, attach,
			&attach->input_source, NULL) < 0)
		attach->input_always = true;
	watch_input(attach);
	return 0;
}

/* ---- calls ---- */

static void on_drain_timeout(void *data)
{
	struct attach *attach = data;

	close_master(attach);
}

static void on_wait(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct attach *attach = data;

	attach->ended = true;
	if (response) {
		attach->status = ((const Task__WaitResponse *)response)->exit_status;
	} else {
		log_error("container %s: lost its task server: %s", attach->is->handle->id,
			  error->message);
		attach->status = STATUS_KILLED;
	}
	if (attach->master >= 0)
		(void)loop_add_timer(attach->loop, DRAIN_MS, "drain", on_drain_timeout, attach);
	finish_if_done(attach);
}

static void on_signal(void *data, const struct signalfd_siginfo *info)
{
	struct attach *attach = data;

	/* A proxy that leads its terminal's session is told when that hangs up; the
	 * guest's process learns it through its own terminal. */
	if (info->ssi_signo == SIGHUP && attach->is->slave >= 0)
		return;
	task_calls_kill(&attach->calls, info->ssi_signo);
}

/* For init the task server leads the slave's session and follows its size. */
static void on_resized(void *data, const struct signalfd_siginfo *info)
{
	struct attach *attach = data;
	const int from = attach->is->slave >= 0 ? attach->is->slave : attach->own;
	struct winsize size;

	(void)info;
	if (from < 0 || ioctl(from, TIOCGWINSZ, &size) < 0)
		return;
	if (attach->master >= 0)
		(void)ioctl(attach->master, TIOCSWINSZ, &size);
	if (attach->is->exec_id[0] != '\0')
		task_calls_resize(&attach->calls, &size);
}

static int watch_signals(struct attach *attach, struct error **ret_error)
{
	struct source *source; /* the loop's, until it is freed */
	size_t n;
	const int *forwarded = interrupt_signals(&n);

	for (size_t i = 0; i < n; i++)
		if (loop_add_signal(attach->loop, forwarded[i], "signal", on_signal, attach,
				    &source, ret_error) < 0)
			return -1;
	if (attach->is->master < 0 && attach->is->slave < 0)
		return 0;
	return loop_add_signal(attach->loop, SIGWINCH, "resize", on_resized, attach, &source,
			       ret_error);
}

static int run(struct attach *attach, struct error **ret_error)
{
	if (loop_new(&attach->loop, ret_error) < 0 || watch_signals(attach, ret_error) < 0 ||
	    task_calls_open(attach->is->handle, attach->is->exec_id, attach->loop, &attach->calls,
			    ret_error) < 0)
		return -1;
	if (attach->is->start && attach->is->start(attach->is->data, ret_error) < 0)
		return -1;
	if (connect_terminal(attach, ret_error) < 0)
		return -1;
	task_calls_wait(&attach->calls, on_wait, attach);
	/* A size that changed while the process was being started. */
	if (attach->is->slave >= 0 || attach->master >= 0)
		on_resized(attach, NULL);
	loop_run(attach->loop);
	return 0;
}

int attach_run(const struct attachment *attachment, unsigned *ret_status, struct error **ret_error)
{
	struct attach attach = { .is = attachment, .master = attachment->master, .own = -1 };
	const int result = run(&attach, ret_error);

	task_calls_close(&attach.calls);
	loop_free(attach.loop);
	if (attach.raw)
		(void)tcsetattr(attach.own, TCSADRAIN, &attach.saved);
	close_fdp(&attach.master);
	buffer_done(&attach.input);
	if (result == 0)
		*ret_status = attach.status;
	return result;
}
