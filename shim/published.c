/* Published sockets of a container: see published.h. */
#include "shim/published.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/relay.h"
#include "shim/stream.h"

#define CONNECTIONS_MAX 512
#define SOCKETS_DIRECTORY "sockets"

struct end;

/* OPENING: the stream to the guest is awaited; then the relay has both sockets. */
struct connection {
	struct end *end;
	int fd;
	struct stream *opening;
	struct relay *relay;
	struct connection *previous, *next;
};

/* The host's end of a socket. */
struct end {
	struct published *published;
	char *path;
	int listen_fd;
	struct source *source;
	size_t index; /* in the agent's list */
};

struct published {
	struct loop *loop;
	struct machine *machine;
	char *id, *directory;
	struct end *ends;
	size_t n;
	struct connection *connections;
	size_t n_connections;
};

static void connection_free(struct connection *connection)
{
	struct published *all = connection->end->published;

	if (connection->previous)
		connection->previous->next = connection->next;
	else
		all->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	all->n_connections--;
	stream_free(connection->opening);
	relay_free(connection->relay);
	close_fdp(&connection->fd);
	free(connection);
}

void published_free(struct published *published)
{
	if (!published)
		return;
	while (published->connections)
		connection_free(published->connections);
	for (size_t i = 0; i < published->n; i++) {
		struct end *end = &published->ends[i];

		source_remove(end->source);
		if (end->listen_fd >= 0)
			(void)unlink(end->path);
		close_fdp(&end->listen_fd);
		free(end->path);
	}
	if (published->directory)
		(void)rmdir(published->directory);
	free(published->directory);
	free(published->ends);
	free(published->id);
	free(published);
}

static void relay_ended(void *data)
{
	struct connection *connection = data;

	connection->relay = NULL;
	connection_free(connection);
}

static void opened(void *data, int fd, uint32_t port, const struct error *error)
{
	struct connection *connection = data;
	struct published *all = connection->end->published;
	_cleanup_free_ char *line = xasprintf("%zu %s\n", connection->end->index, all->id);

	(void)port;
	connection->opening = NULL;
	if (error) {
		log_debug("%s", error->message);
		connection_free(connection);
		return;
	}
	/* A line fits an empty buffer, or there is nobody to send it to. */
	if (send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		(void)close(fd);
		connection_free(connection);
		return;
	}
	connection->relay =
	    relay_new(all->loop, TAKE_FD(connection->fd), fd, relay_ended, connection);
}

static void on_listen(void *data, uint32_t events)
{
	_cleanup_error_ struct error *error = NULL;
	struct end *end = data;
	struct published *all = end->published;
	int fd = accept4(end->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *connection;

	(void)events;
	if (fd < 0)
		return;
	if (all->n_connections == CONNECTIONS_MAX) {
		(void)close(fd);
		return;
	}
	connection = xcalloc(1, sizeof(*connection));
	connection->end = end;
	connection->fd = fd;
	connection->next = all->connections;
	if (all->connections)
		all->connections->previous = connection;
	all->connections = connection;
	all->n_connections++;
	if (stream_new(all->loop, all->machine, STREAM_PUBLISHED_PORT, opened, connection,
		       &connection->opening, &error) < 0) {
		log_debug("%s", error->message);
		connection_free(connection);
	}
}

static int end_open(struct published *all, const char *name, size_t index, struct error **ret_error)
{
	struct end *end = &all->ends[all->n++];

	end->published = all;
	end->index = index;
	end->path = xasprintf("%s/%s", all->directory, name);
	/* A server that was killed may have left it behind. */
	(void)unlink(end->path);
	end->listen_fd = unix_listen(end->path, 0600, ret_error);
	if (end->listen_fd < 0)
		return -1;
	return loop_add_io(all->loop, end->listen_fd, EPOLLIN, "published listener", on_listen, end,
			   &end->source, ret_error);
}

int published_new(struct loop *loop, struct machine *machine, const char *directory, const char *id,
		  const struct plan_files *files, struct published **ret_published,
		  struct error **ret_error)
{
	_cleanup_(published_freep) struct published *all = NULL;

	*ret_published = NULL;
	if (files->n_published == 0)
		return 0;
	all = xcalloc(1, sizeof(*all));
	all->loop = loop;
	all->machine = machine;
	all->id = xstrdup(id);
	all->directory = xasprintf("%s/" SOCKETS_DIRECTORY, directory);
	all->ends = xcalloc(files->n_published, sizeof(all->ends[0]));
	if (make_directories(all->directory, 0700, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < files->n_published; i++)
		if (end_open(all, files->published[i].name, i, ret_error) < 0)
			return -1;
	*ret_published = TAKE_PTR(all);
	return 0;
}
