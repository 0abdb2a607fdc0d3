/* Stand-ins for the host's unix sockets: see sockets.h. */
#include "agent/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/relay.h"

#define CONNECTIONS_MAX 512
#define CONNECT_TIMEOUT_MS 20000

struct stand_in;

/* DIALLING: both sockets are ours, the host's answer awaited.  Then the relay has
 * them. */
struct connection {
	struct stand_in *stand_in;
	int local_fd, host_fd;
	struct source *source, *timer;
	struct relay *relay;
	struct connection *previous, *next;
};

struct stand_in {
	struct sockets *sockets;
	const struct host_socket *host;
	const char *path; /* the source's */
	int listen_fd;
	struct source *source;
};

struct sockets {
	struct agent *agent;
	char *directory;
	struct stand_in *stand_ins;
	size_t n;
	struct connection *connections;
	size_t n_connections;
};

static void connection_free(struct connection *connection)
{
	struct sockets *all = connection->stand_in->sockets;

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
	close_fdp(&connection->local_fd);
	close_fdp(&connection->host_fd);
	free(connection);
}

void sockets_free(struct sockets *sockets)
{
	if (!sockets)
		return;
	while (sockets->connections)
		connection_free(sockets->connections);
	for (size_t i = 0; i < sockets->n; i++) {
		struct stand_in *stand_in = &sockets->stand_ins[i];

		source_remove(stand_in->source);
		if (stand_in->listen_fd >= 0)
			(void)unlink(stand_in->path);
		close_fdp(&stand_in->listen_fd);
	}
	(void)rmdir(sockets->directory);
	free(sockets->stand_ins);
	free(sockets->directory);
	free(sockets);
}

static void relay_ended(void *data)
{
	struct connection *connection = data;

	connection->relay = NULL;
	connection_free(connection);
}

static void dial_overdue(void *data)
{
	struct connection *connection = data;

	connection->timer = NULL;
	connection_free(connection);
}

/* Connected, or refused. */
static void dialled(void *data, uint32_t events)
{
	struct connection *connection = data;
	const struct host_socket *host = connection->stand_in->host;
	socklen_t size = sizeof(int);
	int code = 0;

	(void)events;
	/* A key fits an empty buffer, or there is nobody to send it to. */
	if (getsockopt(connection->host_fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 || code != 0 ||
	    send(connection->host_fd, host->key, host->key_size, MSG_DONTWAIT | MSG_NOSIGNAL) !=
		(ssize_t)host->key_size) {
		connection_free(connection);
		return;
	}
	source_clear(&connection->source);
	source_clear(&connection->timer);
	connection->relay =
	    relay_new(connection->stand_in->sockets->agent->loop, TAKE_FD(connection->local_fd),
		      TAKE_FD(connection->host_fd), relay_ended, connection);
}

static void accepted(struct stand_in *stand_in, int fd)
{
	struct connection *connection = xcalloc(1, sizeof(*connection));
	struct sockets *all = stand_in->sockets;
	struct agent *agent = all->agent;

	connection->stand_in = stand_in;
	connection->local_fd = fd;
	connection->host_fd = agent->dial(agent->dial_data, stand_in->host->port);
	connection->next = all->connections;
	if (all->connections)
		all->connections->previous = connection;
	all->connections = connection;
	all->n_connections++;
	if (connection->host_fd < 0 ||
	    loop_add_io(agent->loop, connection->host_fd, EPOLLOUT, "dial socket", dialled,
			connection, &connection->source, NULL) < 0) {
		connection_free(connection);
		return;
	}
	connection->timer = loop_add_timer(agent->loop, CONNECT_TIMEOUT_MS, "dial socket",
					   dial_overdue, connection);
}

static void on_listen(void *data, uint32_t events)
{
	struct stand_in *stand_in = data;
	int fd = accept4(stand_in->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (stand_in->sockets->n_connections == CONNECTIONS_MAX) {
		(void)close(fd);
		return;
	}
	accepted(stand_in, fd);
}

static int listen_in_place(struct sockets *all, struct mount_source *source, size_t index,
			   struct error **ret_error)
{
	struct stand_in *stand_in = &all->stand_ins[index];

	free(source->name);
	source->name = xasprintf("%s/%u", all->directory, source->mount);
	stand_in->sockets = all;
	stand_in->host = &source->socket;
	stand_in->path = source->name;
	stand_in->listen_fd = unix_listen(source->name, source->socket.mode, ret_error);
	all->n++;
	if (stand_in->listen_fd < 0)
		return -1;
	if (chown(source->name, source->socket.uid, source->socket.gid) < 0 ||
	    chmod(source->name, source->socket.mode) < 0)
		return error_set_errno(ret_error, errno, "cannot set the owner of %s",
				       source->name);
	return loop_add_io(all->agent->loop, stand_in->listen_fd, EPOLLIN, "stand-in", on_listen,
			   stand_in, &stand_in->source, ret_error);
}

int sockets_new(struct agent *agent, const char *id, struct files *files,
		struct sockets **ret_sockets, struct error **ret_error)
{
	_cleanup_(sockets_freep) struct sockets *all = NULL;
	size_t n = 0;

	for (size_t i = 0; i < files->n_sources; i++)
		n += files->sources[i].kind == SOURCE_SOCKET;
	*ret_sockets = NULL;
	if (n == 0)
		return 0;
	all = xcalloc(1, sizeof(*all));
	all->agent = agent;
	all->stand_ins = xcalloc(n, sizeof(all->stand_ins[0]));
	all->directory = xasprintf("%s/%s", agent->config.socket_dir, id);
	if (make_directories(all->directory, 0700, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < files->n_sources; i++)
		if (files->sources[i].kind == SOURCE_SOCKET &&
		    listen_in_place(all, &files->sources[i], all->n, ret_error) < 0)
			return -1;
	*ret_sockets = TAKE_PTR(all);
	return 0;
}
