/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device, one port: virtio 1.2 §5.3.
 *
 * A guest kernel waits for its console with interrupts off, so its output is
 * always taken at once.  What the host side cannot take now is kept, up to 64
 * KiB, and written when it can; what goes beyond is dropped and the number of
 * bytes logged.  Output is never waited for.  The log takes everything at once, and
 * sees to it that it stays small enough (base/log-file.h).
 *
 * The output may be a terminal or a pipe that other processes write to as well;
 * so it is opened anew to be non-blocking where that is possible, and only
 * where it is not (a socket, which needs no flag, apart) the description shared
 * with them is changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <stdio.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/io.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define CONSOLE_QUEUE_SIZE 64
#define CONSOLE_PENDING_MAX (64U * 1024)

enum { RECEIVE_QUEUE, TRANSMIT_QUEUE, N_QUEUES };

struct console {
	struct virtio_device device;
	int output_fd; /* -1: the log */
	int input_fd;  /* -1: none, or at its end */
	bool output_is_socket;
	struct source *output_source; /* while pending is not empty */
	struct source *input_source;  /* while the driver has buffers for input */
	bool wants_input;	      /* input_source should exist */
	struct buffer pending;	      /* output not yet written */
	struct ratelimit drops;
	uint64_t dropped; /* since the last log line */
	struct chain chain;
};

static void on_output(void *data, uint32_t events);
static void on_input(void *data, uint32_t events);

/* ---- output ---- */

/* Takes all of it. */
static size_t write_log(const struct iovec *iov, unsigned n_iov)
{
	size_t n = 0;

	for (unsigned i = 0; i < n_iov; i++) {
		log_put(iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	return n;
}

/* Writes what can be written now; the rest of the errors mean the output is
 * gone, and the guest's bytes with it. */
static size_t write_some(struct console *console, const struct iovec *iov, unsigned n_iov)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov };
	ssize_t n;

	if (console->output_fd < 0)
		return write_log(iov, n_iov);
	do {
		n = console->output_is_socket
			? sendmsg(console->output_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
			: writev(console->output_fd, iov, (int)n_iov);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? 0 : (size_t)n;
}

static void note_dropped(struct console *console, size_t n)
{
	uint32_t suppressed;

	console->dropped += n;
	if (n > 0 && ratelimit_pass(&console->drops, &suppressed)) {
		log_warning("console: output too slow, %llu bytes dropped",
			    (unsigned long long)console->dropped);
		console->dropped = 0;
	}
}

static void watch_output(struct console *console)
{
	if (buffer_length(&console->pending) == 0) {
		source_clear(&console->output_source);
		buffer_done(&console->pending);
	} else if (!console->output_source &&
		   loop_add_io(console->device.loop, console->output_fd, EPOLLOUT, "console-output",
			       on_output, console, &console->output_source, NULL) < 0) {
		/* A file cannot be watched: it took what it could. */
		note_dropped(console, buffer_length(&console->pending));
		buffer_done(&console->pending);
	}
}

static void on_output(void *data, uint32_t events)
{
	struct console *console = data;
	struct iovec iov;

	(void)pthread_mutex_lock(&console->device.lock);
	iov = (struct iovec){ .iov_base = buffer_data(&console->pending),
			      .iov_len = buffer_length(&console->pending) };
	buffer_consume(&console->pending, write_some(console, &iov, 1));
	if (events & (EPOLLERR | EPOLLHUP)) {
		note_dropped(console, buffer_length(&console->pending));
		buffer_done(&console->pending);
	}
	watch_output(console);
	(void)pthread_mutex_unlock(&console->device.lock);
}

static enum serve_result transmit(struct virtio_device *device, struct chain *chain,
				  uint32_t *ret_written, struct error **ret_error)
{
	struct console *console = (struct console *)device;
	struct iovec *iov = chain->iov;
	unsigned n_iov = chain->n_out;

	(void)ret_written;
	if (chain->n_in > 0)
		return error_set(ret_error, EPROTO, "output buffer that is not read-only");
	if (buffer_length(&console->pending) == 0)
		iov_advance(&iov, &n_iov, write_some(console, iov, n_iov));
	for (; n_iov > 0; iov++, n_iov--) {
		size_t room = CONSOLE_PENDING_MAX - buffer_length(&console->pending);
		size_t n = MIN(room, iov->iov_len);

		buffer_append(&console->pending, iov->iov_base, n);
		note_dropped(console, iov->iov_len - n);
	}
	watch_output(console);
	return SERVE_DONE;
}

/* ---- input ---- */

static void close_input(struct console *console)
{
	source_clear(&console->input_source);
	close_fdp(&console->input_fd);
	console->input_fd = -1;
}

static void watch_input(struct console *console)
{
	if (!console->wants_input || console->input_fd < 0)
		source_clear(&console->input_source);
	else if (!console->input_source &&
		 loop_add_io(console->device.loop, console->input_fd, EPOLLIN, "console-input",
			     on_input, console, &console->input_source, NULL) < 0)
		close_input(console); /* /dev/null, a file: no input */
}

/* One read(2) for one event: it does not block. */
static enum serve_result receive(struct virtio_device *device, struct chain *chain,
				 uint32_t *ret_written, struct error **ret_error)
{
	struct console *console = (struct console *)device;
	ssize_t n;

	if (chain->n_out > 0)
		return error_set(ret_error, EPROTO, "input buffer that is not write-only");
	n = readv(console->input_fd, chain->iov, (int)chain->n_in);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return SERVE_LATER;
	if (n <= 0) {
		close_input(console);
		return SERVE_LATER;
	}
	*ret_written = (uint32_t)n;
	return SERVE_DONE;
}

static int receive_one(struct console *console, struct error **ret_error)
{
	struct virtio_device *device = &console->device;
	struct virtq *vq = &device->queues[RECEIVE_QUEUE];
	uint32_t written = 0;
	int r = virtq_pop(vq, &console->chain, ret_error);

	if (r <= 0) {
		/* No buffer: not to be asked again before the next kick. */
		console->wants_input = r == 0 && virtq_enable_kicks(vq);
		watch_input(console);
		return r;
	}
	r = receive(device, &console->chain, &written, ret_error);
	if (r == SERVE_DONE)
		virtq_push(vq, console->chain.head, written);
	else if (r == SERVE_LATER)
		virtq_unpop(vq, 1);
	if (virtq_should_notify(vq))
		device->interrupt(device, RECEIVE_QUEUE);
	return r < 0 ? -1 : 0;
}

static void on_input(void *data, uint32_t events)
{
	struct console *console = data;
	struct virtio_device *device = &console->device;
	_cleanup_error_ struct error *error = NULL;

	(void)events;
	(void)pthread_mutex_lock(&device->lock);
	if (!device->active || atomic_load(&device->broken)) {
		console->wants_input = false;
		watch_input(console);
	} else if (receive_one(console, &error) < 0) {
		virtio_device_fault(device, error);
	}
	(void)pthread_mutex_unlock(&device->lock);
}

/* ---- the device ---- */

static int console_kick(struct virtio_device *device, unsigned queue, struct error **ret_error)
{
	struct console *console = (struct console *)device;

	if (queue == TRANSMIT_QUEUE)
		return virtio_device_serve(device, queue, &console->chain, transmit, ret_error);
	console->wants_input = true;
	watch_input(console);
	return 0;
}

/* After a reset input waits for the next driver; output goes on. */
static void console_sync(struct virtio_device *device)
{
	struct console *console = (struct console *)device;

	if (!device->active)
		console->wants_input = false;
	watch_input(console);
}

static void console_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
				uint32_t size)
{
	/* No feature that would give a field a meaning is offered. */
	(void)device;
	(void)offset;
	memset(ret_bytes, 0, size);
}

/* Output that the host has not taken; it is the guest's last words, however it goes on. */
static int console_save(struct virtio_device *device, struct buffer *state,
			struct error **ret_error)
{
	const struct console *console = (const struct console *)device;

	(void)ret_error;
	if (buffer_length(&console->pending) > 0)
		buffer_append(state, buffer_data(&console->pending),
			      buffer_length(&console->pending));
	return 0;
}

static int console_load(struct virtio_device *device, struct packed *state,
			struct error **ret_error)
{
	struct console *console = (struct console *)device;
	struct iovec output = { .iov_base = (void *)state->at, .iov_len = state->left };
	size_t written;

	if (state->left > CONSOLE_PENDING_MAX)
		return error_set(ret_error, EINVAL,
				 "%zu bytes of output are more than there can be", state->left);
	if (state->left == 0)
		return 0;
	written = write_some(console, &output, 1);
	buffer_append(&console->pending, state->at + written, state->left - written);
	(void)packed_view(state, state->left);
	watch_output(console);
	return 0;
}

static void console_free(struct virtio_device *device)
{
	struct console *console = (struct console *)device;

	source_remove(console->output_source);
	source_remove(console->input_source);
	buffer_done(&console->pending);
	close_fdp(&console->output_fd);
	close_fdp(&console->input_fd);
	virtio_device_done(device);
	free(console);
}

static const struct virtio_device_ops console_ops = {
	.config_read = console_config_read,
	.kick = console_kick,
	.sync = console_sync,
	.save = console_save,
	.load = console_load,
	.free = console_free,
};

/* Makes the output non-blocking: see the file's head. */
static int open_output(struct console *console, int fd, struct error **ret_error)
{
	char path[64];
	struct stat status;
	int own;

	console->output_fd = fd;
	if (fd < 0)
		return 0;
	if (fstat(fd, &status) < 0)
		return error_set_errno(ret_error, errno, "console output");
	console->output_is_socket = S_ISSOCK(status.st_mode);
	if (console->output_is_socket || S_ISREG(status.st_mode))
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0) {
		(void)close(fd);
		console->output_fd = own;
	} else if (set_nonblocking(fd, true) < 0) {
		return error_set_errno(ret_error, errno, "console output");
	}
	return 0;
}

int console_new(const struct console_options *options, struct virtio_device **ret_device,
		struct error **ret_error)
{
	struct console *console = xcalloc(1, sizeof(*console));

	console->device.ops = &console_ops;
	console->device.name = "console";
	console->device.type = VIRTIO_ID_CONSOLE;
	console->device.n_queues = N_QUEUES;
	console->device.queue_size_max = CONSOLE_QUEUE_SIZE;
	console->device.config_size = sizeof(struct virtio_console_config);
	virtio_device_init(&console->device);
	console->input_fd = options->input_fd;
	if (open_output(console, options->output_fd, ret_error) < 0) {
		console_free(&console->device);
		return -1;
	}
	*ret_device = &console->device;
	return 0;
}
