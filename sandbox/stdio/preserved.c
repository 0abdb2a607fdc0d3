/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors beside stdio: see preserved.h. */
#include "sandbox/stdio/preserved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/pump.h"
#include "host/descriptors.h"
#include "sandbox/sockets/published.h"
#include "sandbox/stdio/stdio.h"
#include "sandbox/stdio/stream.h"

struct channel {
	struct preserved *preserved;
	Agent__Descriptor__Kind kind;
	int host;  /* -1: moved into the last pump */
	int guest; /* the stream; -1: none yet, or moved as well */
	uint32_t port;
	struct stream *opening;
	struct pump *in, *out; /* for the process, from it */
};

struct preserved {
	struct loop *loop;
	char *whose;
	struct published *listeners;
	struct channel channels[AGENT_DESCRIPTORS_MAX];
	size_t n;
	preserved_fn connected, ended;
	void *connected_data, *ended_data;
};

static bool is_input(const struct channel *channel)
{
	return channel->kind == AGENT__DESCRIPTOR__KIND__INPUT ||
	       channel->kind == AGENT__DESCRIPTOR__KIND__BOTH_WAYS;
}

static bool is_output(const struct channel *channel)
{
	return channel->kind == AGENT__DESCRIPTOR__KIND__OUTPUT ||
	       channel->kind == AGENT__DESCRIPTOR__KIND__BOTH_WAYS;
}

void preserved_free(struct preserved *preserved)
{
	if (!preserved)
		return;
	published_free(preserved->listeners);
	for (size_t i = 0; i < preserved->n; i++) {
		struct channel *channel = &preserved->channels[i];

		stream_free(channel->opening);
		pump_free(channel->in);
		pump_free(channel->out);
		close_fdp(&channel->host);
		close_fdp(&channel->guest);
	}
	free(preserved->whose);
	free(preserved);
}
DEFINE_CLEANUP(struct preserved, preserved_free)

/* What may block is opened anew (stdio-open.c), as it is: a FIFO that is open both ways has a
 * reader for as long as the process has it. */
static int open_host(struct channel *channel, int fd, struct error **ret_error)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		channel->host = stdio_reopen(fd, fcntl(fd, F_GETFL) & O_ACCMODE);
	else
		channel->host = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (channel->host < 0)
		return error_set_errno(ret_error, errno, "a descriptor beside stdio");
	return 0;
}

static int add(struct preserved *preserved, int fd, struct error **ret_error)
{
	struct channel *channel = &preserved->channels[preserved->n];
	const int number = STDERR_FILENO + 1 + (int)preserved->n;

	if (preserved->n == AGENT_DESCRIPTORS_MAX)
		return error_set(ret_error, E2BIG, "more than %d descriptors beside stdio",
				 AGENT_DESCRIPTORS_MAX);
	if (descriptor_kind(fd, number, &channel->kind, ret_error) < 0)
		return -1;
	channel->preserved = preserved;
	channel->host = channel->guest = -1;
	preserved->n++;
	return channel->kind == AGENT__DESCRIPTOR__KIND__NOTHING
		   ? 0
		   : open_host(channel, fd, ret_error);
}

int preserved_new(struct loop *loop, struct ttrpc_call *call, size_t first, const char *whose,
		  struct preserved **ret_preserved, struct error **ret_error)
{
	_cleanup_(preserved_freep) struct preserved *preserved = NULL;
	const size_t n = call ? ttrpc_call_fds(call) : 0;

	if (n <= first)
		return 0;
	preserved = xcalloc(1, sizeof(*preserved));
	preserved->loop = loop;
	preserved->whose = xstrdup(whose);
	for (size_t i = first; i < n; i++) {
		_cleanup_close_ int fd = ttrpc_call_take_fd(call, i);

		if (add(preserved, fd, ret_error) < 0)
			return -1;
	}
	*ret_preserved = TAKE_PTR(preserved);
	return 0;
}

/* ---- connecting ---- */

bool preserved_is_connected(const struct preserved *preserved)
{
	for (size_t i = 0; preserved && i < preserved->n; i++)
		if (preserved->channels[i].opening)
			return false;
	return true;
}

static void stream_opened(void *data, int fd, uint32_t port, const struct error *error)
{
	struct channel *channel = data;
	struct preserved *preserved = channel->preserved;
	preserved_fn function = preserved->connected;

	channel->opening = NULL;
	channel->guest = fd;
	channel->port = port;
	if (!function || (!error && !preserved_is_connected(preserved)))
		return;
	preserved->connected = NULL;
	function(preserved->connected_data, error);
}

int preserved_connect(struct preserved *preserved, struct vmm *vmm, preserved_fn function,
		      void *data, struct error **ret_error)
{
	if (!preserved)
		return 0;
	preserved->connected = function;
	preserved->connected_data = data;
	for (size_t i = 0; i < preserved->n; i++) {
		struct channel *channel = &preserved->channels[i];

		if ((is_input(channel) || is_output(channel)) &&
		    stream_new(preserved->loop, vmm, AGENT_STDIO_PORT, stream_opened, channel,
			       &channel->opening, ret_error) < 0)
			return -1;
	}
	return 0;
}

size_t preserved_list(const struct preserved *preserved, struct preserved_list *ret_list)
{
	const size_t n = preserved ? preserved->n : 0;

	for (size_t i = 0; i < n; i++) {
		Agent__Descriptor *descriptor = ret_list->pointers[i] = &ret_list->descriptors[i];

		agent__descriptor__init(descriptor);
		descriptor->kind = preserved->channels[i].kind;
		descriptor->port = preserved->channels[i].port;
	}
	return n;
}

/* ---- bytes flow ---- */

static void input_ended(void *data, bool broken)
{
	struct channel *channel = data;

	(void)broken;
	channel->in = NULL;
}

static void output_ended(void *data, bool broken)
{
	struct channel *channel = data;
	struct preserved *preserved = channel->preserved;

	(void)broken;
	channel->out = NULL;
	if (preserved->ended)
		preserved->ended(preserved->ended_data, NULL);
}

/* The last pump of a channel gets its descriptors, an earlier one copies of them. */
static int give(int *fd, bool last)
{
	return last ? TAKE_FD(*fd) : fcntl(*fd, F_DUPFD_CLOEXEC, 0);
}

static struct pump *start(struct channel *channel, bool input, bool last)
{
	const int host = give(&channel->host, last), guest = give(&channel->guest, last);
	const struct pump_setup setup = { .from = input ? host : guest,
					  .to = input ? guest : host,
					  .watches_reader = true,
					  .function = input ? input_ended : output_ended,
					  .data = channel };

	if (host >= 0 && guest >= 0)
		return pump_new(channel->preserved->loop, &setup);
	log_warning("no descriptor left for a stream beside stdio");
	if (host >= 0)
		(void)close(host);
	if (guest >= 0)
		(void)close(guest);
	return NULL;
}

static void listen_on(struct preserved *preserved, struct vmm *vmm, size_t index)
{
	_cleanup_error_ struct error *error = NULL;

	if (!preserved->listeners)
		preserved->listeners = published_new(preserved->loop, vmm);
	if (published_serve(preserved->listeners, TAKE_FD(preserved->channels[index].host), index,
			    preserved->whose, &error) < 0)
		log_warning("%s", error->message);
}

void preserved_start(struct preserved *preserved, struct vmm *vmm)
{
	for (size_t i = 0; preserved && i < preserved->n; i++) {
		struct channel *channel = &preserved->channels[i];

		if (channel->kind == AGENT__DESCRIPTOR__KIND__LISTENER)
			listen_on(preserved, vmm, i);
		else if (is_output(channel))
			channel->out = start(channel, false, !is_input(channel));
	}
}

void preserved_start_input(struct preserved *preserved)
{
	for (size_t i = 0; preserved && i < preserved->n; i++) {
		struct channel *channel = &preserved->channels[i];

		/* (A Start that is tried again finds it started.) */
		if (is_input(channel) && channel->host >= 0)
			channel->in = start(channel, true, true);
	}
}

bool preserved_is_drained(const struct preserved *preserved)
{
	for (size_t i = 0; preserved && i < preserved->n; i++)
		if (preserved->channels[i].out)
			return false;
	return true;
}

void preserved_on_end(struct preserved *preserved, preserved_fn function, void *data)
{
	if (!preserved)
		return;
	preserved->ended = function;
	preserved->ended_data = data;
}
