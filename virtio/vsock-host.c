/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that begin on the host: a client of the unix socket writes
 * "CONNECT port\n", reads "OK host_port\n" once the guest has accepted, and has
 * a stream from then on.  "RESUME host_port port\n" takes up one that the machine had
 * when it was saved.  Bytes behind the line belong to the stream, so the
 * line is looked at before it is taken from the socket.
 *
 * Here too: the one timer, which ends what takes too long and resumes listening
 * when that had to stop for lack of descriptors or connections.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "virtio/vsock.h"

#define GREETING_TIMEOUT_MS 5000
#define REQUEST_TIMEOUT_MS 20000
#define ACCEPTS_MAX 32	/* a round: other devices wait meanwhile */
#define GREETING_MAX 29 /* "RESUME 4294967294 4294967294\n" */
/* Ports of host clients: high, so that they are told from services at a glance,
 * and taken in turn, so that one is not used again soon (nor, as the first is
 * random, after a restore). */
#define HOST_PORT_FIRST (1U << 30)
#define HOST_PORT_MASK (HOST_PORT_FIRST - 1)

/* ---- accepting ---- */

static void on_listen(void *data, uint32_t events)
{
	struct vsock *vsock = data;

	(void)events;
	(void)pthread_mutex_lock(&vsock->device.lock);
	for (int i = 0; i < ACCEPTS_MAX && vsock->device.active; i++) {
		struct conn *conn;
		int fd = -1;

		if (vsock->n_conns < VSOCK_CONNS_MAX)
			fd = accept4(vsock->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (vsock->n_conns == VSOCK_CONNS_MAX ||
			       (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED))) {
			/* Out of something: the backlog waits for the next tick. */
			source_clear(&vsock->listen_source);
			vsock_start_timer(vsock);
		}
		if (fd < 0)
			break;
		conn = conn_new(vsock, fd, CONN_GREETING);
		if (conn)
			conn_set_deadline(conn, GREETING_TIMEOUT_MS);
	}
	vsock->parts->work(vsock);
	(void)pthread_mutex_unlock(&vsock->device.lock);
}

void vsock_listen_update(struct vsock *vsock)
{
	if (!vsock->device.active)
		source_clear(&vsock->listen_source);
	else if (!vsock->listen_source && vsock->n_conns < VSOCK_CONNS_MAX)
		(void)loop_add_io(vsock->device.loop, vsock->listen_fd, EPOLLIN, "vsock-listen",
				  on_listen, vsock, &vsock->listen_source, NULL);
}

/* ---- the greeting ---- */

static uint32_t take_host_port(struct vsock *vsock, uint32_t guest_port)
{
	uint32_t port;

	do {
		port = HOST_PORT_FIRST | (vsock->next_host_port++ & HOST_PORT_MASK);
	} while (conn_find(vsock, port, guest_port));
	return port;
}

/* A decimal port, behind it `end`; *at is then behind that. */
static bool parse_port(const char **at, char end, uint32_t *ret_port)
{
	unsigned long long port;
	char *behind;

	if (**at < '0' || **at > '9')
		return false;
	port = strtoull(*at, &behind, 10);
	if (*behind != end || port >= VSOCK_PORT_ANY)
		return false;
	*at = behind + 1;
	*ret_port = (uint32_t)port;
	return true;
}

static bool skip_word(const char **at, const char *word)
{
	if (strncmp(*at, word, strlen(word)) != 0)
		return false;
	*at += strlen(word);
	return true;
}

struct greeting {
	bool resume;
	uint32_t host_port, port;
};

/* One of the two lines, nothing else; line is NUL-terminated. */
static bool parse_greeting(const char *line, struct greeting *ret_greeting)
{
	ret_greeting->resume = skip_word(&line, "RESUME ");
	if (!ret_greeting->resume)
		return skip_word(&line, "CONNECT ") && parse_port(&line, '\n', &ret_greeting->port);
	return parse_port(&line, ' ', &ret_greeting->host_port) &&
	       parse_port(&line, '\n', &ret_greeting->port);
}

/* The socket's buffer is empty: a line always fits unless the client is gone. */
static bool say_ok(int fd, uint32_t host_port)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %u\n", host_port);

	return send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

/* The client's socket becomes the parked connection's. */
static void take_up(struct conn *client, const struct greeting *greeting)
{
	struct conn *conn = conn_find_parked(client->vsock, greeting->host_port, greeting->port);

	if (conn && say_ok(client->fd, greeting->host_port)) {
		source_clear(&client->source);
		conn_attach(conn, TAKE_FD(client->fd));
	}
	conn_kill(client);
}

void conn_greet(struct conn *conn)
{
	char line[GREETING_MAX + 1];
	ssize_t n = recv(conn->fd, line, GREETING_MAX, MSG_PEEK | MSG_DONTWAIT);
	char *newline = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
	struct greeting greeting;

	if (!newline) {
		/* More of it may come; not after its end, nor without a limit. */
		if (n == 0 || n == GREETING_MAX || (n < 0 && errno != EAGAIN && errno != EINTR))
			conn_kill(conn);
		return;
	}
	newline[1] = '\0';
	if (!parse_greeting(line, &greeting) || recv(conn->fd, line, (size_t)(newline + 1 - line),
						     MSG_DONTWAIT) != newline + 1 - line) {
		conn_kill(conn);
		return;
	}
	if (greeting.resume) {
		take_up(conn, &greeting);
		return;
	}
	conn->by_host = true;
	conn_set_state(conn, CONN_REQUESTED);
	conn_bind(conn, take_host_port(conn->vsock, greeting.port), greeting.port);
	conn->owed |= OWED_REQUEST;
	conn_set_deadline(conn, REQUEST_TIMEOUT_MS);
}

void conn_welcome(struct conn *conn)
{
	conn->ticks_left = 0;
	if (say_ok(conn->fd, conn->host_port))
		conn_set_state(conn, CONN_ESTABLISHED);
	else
		conn_reset(conn);
}

/* ---- the timer ---- */

static void expire(struct conn *conn)
{
	conn->ticks_left = 0;
	if (conn->state == CONN_GREETING || conn->state == CONN_DRAINING)
		conn_kill(conn);
	else if (conn->state == CONN_REQUESTED || conn->state == CONN_ESTABLISHED)
		conn_reset(conn);
}

void vsock_tick(void *data)
{
	struct vsock *vsock = data;
	bool again = false;
	struct conn *next;

	vsock->timer = NULL;
	(void)pthread_mutex_lock(&vsock->device.lock);
	if (vsock->saved) {
		(void)pthread_mutex_unlock(&vsock->device.lock);
		return; /* vsock_resume() */
	}
	for (struct conn *conn = vsock->conns; conn; conn = next) {
		next = conn->next;
		if (conn->ticks_left > 0 && --conn->ticks_left == 0)
			expire(conn);
		else
			again |= conn->ticks_left > 0;
	}
	vsock->parts->work(vsock);
	vsock_listen_update(vsock);
	if (again || (vsock->device.active && !vsock->listen_source))
		vsock_start_timer(vsock);
	(void)pthread_mutex_unlock(&vsock->device.lock);
}
