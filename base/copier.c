/* SPDX-License-Identifier: Apache-2.0 */
/* One direction between two descriptors: see copier.h. */
#include "base/copier.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPIER_CHUNK (64U << 10)
#define COPIER_ROUNDS 8 /* chunks in a row before other descriptors get their turn */

static struct copier_end end_of(int fd)
{
	struct stat st;

	return (struct copier_end){ .fd = fd,
				    .is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) };
}

void copier_init(struct copier *copier, int from, int to)
{
	*copier = (struct copier){ .from = end_of(from), .to = end_of(to) };
}

void copier_done(struct copier *copier)
{
	buffer_done(&copier->pending);
}

void copier_sink(struct copier *copier, copier_sink_fn function, void *data)
{
	copier->sink = function;
	copier->sink_data = data;
}

static ssize_t end_read(const struct copier_end *end, void *bytes, size_t size)
{
	return end->is_socket ? recv(end->fd, bytes, size, MSG_DONTWAIT)
			      : read(end->fd, bytes, size);
}

static ssize_t end_write(const struct copier_end *end, const void *bytes, size_t size)
{
	return end->is_socket ? send(end->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(end->fd, bytes, size);
}

/* Fills a chunk.  A pty gives no more than a page at once, and each write may be a packet to
 * another machine: so it reads until there is nothing more.  False: the source has to be
 * waited for. */
static bool fill(struct copier *copier)
{
	uint8_t *bytes = buffer_reserve(&copier->pending, COPIER_CHUNK);
	size_t size = 0;
	ssize_t n;

	do {
		n = end_read(&copier->from, bytes + size, COPIER_CHUNK - size);
		if (n > 0)
			size += (size_t)n;
	} while (size < COPIER_CHUNK && (n > 0 || (n < 0 && errno == EINTR)));
	if (n < 0 && errno != EAGAIN)
		copier->failed = true;
	copier->ended = n == 0 || copier->failed;
	buffer_commit(&copier->pending, size);
	return n >= 0;
}

static ssize_t write_pending(const struct copier *copier)
{
	const void *bytes = buffer_data(&copier->pending);
	const size_t size = buffer_length(&copier->pending);

	if (!copier->sink)
		return end_write(&copier->to, bytes, size);
	return copier->sink(copier->sink_data, bytes, size) < 0 ? -1 : (ssize_t)size;
}

/* Writes what the sink takes. */
static void flush(struct copier *copier)
{
	while (buffer_length(&copier->pending) > 0 && !copier->broken) {
		const ssize_t n = write_pending(copier);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			copier->code = errno;
			copier->broken = errno != EAGAIN;
			return;
		}
		buffer_consume(&copier->pending, (size_t)n);
	}
}

void copier_run(struct copier *copier)
{
	bool readable = true;

	if (copier->over)
		return;
	for (int round = 0; round < COPIER_ROUNDS && !copier->broken; round++) {
		flush(copier);
		if (copier->ended || !readable || buffer_length(&copier->pending) > 0)
			break;
		readable = fill(copier);
	}
	if (buffer_length(&copier->pending) > 0 || copier->broken)
		return;
	buffer_done(&copier->pending);
	if (!copier->ended)
		return;
	copier->over = true;
	/* The socket may have another holder (a terminal's stream has two pumps): closing alone
	 * would not tell the peer. */
	if (copier->to.is_socket)
		(void)shutdown(copier->to.fd, SHUT_WR);
}

void copier_give_up(struct copier *copier)
{
	buffer_done(&copier->pending);
	copier->broken = false;
	copier->ended = copier->over = true;
	if (copier->from.is_socket)
		(void)shutdown(copier->from.fd, SHUT_RD);
}
