/* Forwarding the host's unix sockets: see forward.h. */
#include "shim/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/relay.h"
#include "shim/machine.h"

#define CONNECTIONS_MAX 512
/* The agent sends the key at once. */
#define KEY_TIMEOUT_MS 10000

struct forward;

/* GREETING: fd is ours, the key awaited.  Then the relay has both sockets. */
struct connection {
	struct forward *forward;
	int fd;
	uint8_t key[PLAN_SOCKET_KEY_SIZE];
	size_t length;
	struct source *source, *timer;
	struct relay *relay;
	struct connection *previous, *next;
};

struct forward {
	struct forwards *forwards;
	char *path; /* where the VMM connects to */
	int listen_fd;
	struct source *source;
	int target_fd; /* O_PATH */
	uint8_t key[PLAN_SOCKET_KEY_SIZE];
};

struct forwards {
	struct loop *loop;
	struct forward *forwards;
	size_t n;
	struct connection *connections;
	size_t n_connections;
	bool warned;
};

/* A guest may do this as often as it likes: it is said once. */
static void warn_once(struct forwards *all, const char *what)
{
	if (!all->warned)
		log_warning("a connection to a unix socket of the host was closed: %s", what);
	all->warned = true;
}

static void connection_free(struct connection *connection)
{
	struct forwards *all = connection->forward->forwards;

	if (connection->previous)
		connection->previous->next = connection->next;
	else
		all->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	all->n_connections--;
	source_remove(connection->source);
	source_remove(connection->timer);
	relay_free(connection->relay);
	close_fdp(&connection->fd);
	free(connection);
}

void forwards_free(struct forwards *forwards)
{
	if (!forwards)
		return;
	while (forwards->connections)
		connection_free(forwards->connections);
	for (size_t i = 0; i < forwards->n; i++) {
		struct forward *forward = &forwards->forwards[i];

		source_remove(forward->source);
		if (forward->listen_fd >= 0)
			(void)unlink(forward->path);
		close_fdp(&forward->listen_fd);
		close_fdp(&forward->target_fd);
		free(forward->path);
	}
	free(forwards->forwards);
	free(forwards);
}

static void relay_ended(void *data)
{
	struct connection *connection = data;

	connection->relay = NULL;
	connection_free(connection);
}

static void key_overdue(void *data)
{
	struct connection *connection = data;

	connection->timer = NULL;
	warn_once(connection->forward->forwards, "one without its key");
	connection_free(connection);
}

static bool key_matches(const struct connection *connection)
{
	uint8_t difference = 0;

	/* No earlier for a key that is half right. */
	for (size_t i = 0; i < sizeof(connection->key); i++)
		difference |= connection->key[i] ^ connection->forward->key[i];
	return difference == 0;
}

/* The target as a path, since connect(2) takes no descriptor. */
static int connect_target(const struct forward *forward, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", forward->target_fd);

	return unix_connect_nonblocking(path, ret_error);
}

static void key_ready(void *data, uint32_t events)
{
	_cleanup_error_ struct error *error = NULL;
	struct connection *connection = data;
	struct forwards *all = connection->forward->forwards;
	ssize_t n = recv(connection->fd, connection->key + connection->length,
			 sizeof(connection->key) - connection->length, MSG_DONTWAIT);
	int target;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		connection->length += (size_t)n;
	if (n > 0 && connection->length < sizeof(connection->key))
		return;
	if (n <= 0 || !key_matches(connection)) {
		warn_once(all, "one without the right key");
		connection_free(connection);
		return;
	}
	source_clear(&connection->source);
	source_clear(&connection->timer);
	target = connect_target(connection->forward, &error);
	if (target < 0) {
		/* The program in the guest sees its connection end at once. */
		log_debug("%s", error->message);
		connection_free(connection);
		return;
	}
	connection->relay =
	    relay_new(all->loop, TAKE_FD(connection->fd), target, relay_ended, connection);
}

static void accepted(struct forward *forward, int fd)
{
	struct forwards *all = forward->forwards;
	struct connection *connection = xcalloc(1, sizeof(*connection));

	connection->forward = forward;
	connection->fd = fd;
	connection->next = all->connections;
	if (all->connections)
		all->connections->previous = connection;
	all->connections = connection;
	all->n_connections++;
	connection->timer =
	    loop_add_timer(all->loop, KEY_TIMEOUT_MS, "forward key", key_overdue, connection);
	if (loop_add_io(all->loop, fd, EPOLLIN, "forward key", key_ready, connection,
			&connection->source, NULL) < 0)
		connection_free(connection);
}

static void on_listen(void *data, uint32_t events)
{
	struct forward *forward = data;
	int fd = accept4(forward->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (forward->forwards->n_connections == CONNECTIONS_MAX) {
		warn_once(forward->forwards, "too many at once");
		(void)close(fd);
		return;
	}
	accepted(forward, fd);
}

static int forward_open(struct forwards *all, const char *directory,
			const struct plan_socket *socket, struct forward *forward,
			struct error **ret_error)
{
	forward->forwards = all;
	forward->listen_fd = -1;
	forward->path = machine_port_path(directory, socket->port);
	memcpy(forward->key, socket->key, sizeof(forward->key));
	forward->target_fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
	if (forward->target_fd < 0)
		return error_set_errno(ret_error, errno, "cannot keep a socket");
	/* A server that was killed may have left it behind. */
	(void)unlink(forward->path);
	forward->listen_fd = unix_listen(forward->path, 0600, ret_error);
	if (forward->listen_fd < 0)
		return -1;
	return loop_add_io(all->loop, forward->listen_fd, EPOLLIN, "forward listener", on_listen,
			   forward, &forward->source, ret_error);
}

int forwards_new(struct loop *loop, const char *directory, const struct plan_files *files,
		 struct forwards **ret_forwards, struct error **ret_error)
{
	_cleanup_(forwards_freep) struct forwards *all = NULL;

	if (files->n_sockets == 0) {
		*ret_forwards = NULL;
		return 0;
	}
	all = xcalloc(1, sizeof(*all));
	all->loop = loop;
	all->forwards = xcalloc(files->n_sockets, sizeof(all->forwards[0]));
	for (size_t i = 0; i < files->n_sockets; i++) {
		all->n++;
		if (forward_open(all, directory, &files->sockets[i], &all->forwards[i], ret_error) <
		    0)
			return -1;
	}
	*ret_forwards = TAKE_PTR(all);
	return 0;
}
