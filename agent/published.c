/* The host's connections to containers' sockets: see published.h. */
#include "agent/published.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/container.h"
#include "agent/inroot.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/relay.h"

#define CONNECTIONS_MAX 512
#define REQUEST_MAX 1100 /* an index and an id */
#define LINE_TIMEOUT_MS 10000

/* The line is awaited; then the relay has the socket. */
struct connection {
	struct published *published;
	int fd;
	char line[REQUEST_MAX];
	size_t length;
	struct source *source, *timer;
	struct relay *relay;
	struct connection *previous, *next;
};

struct published {
	struct agent *agent;
	struct connection *connections;
	size_t n_connections;
};

static void connection_free(struct connection *connection)
{
	struct published *all = connection->published;

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

struct published *published_new(struct agent *agent)
{
	struct published *published = xcalloc(1, sizeof(*published));

	published->agent = agent;
	return published;
}

void published_free(struct published *published)
{
	if (!published)
		return;
	while (published->connections)
		connection_free(published->connections);
	free(published);
}

static void relay_ended(void *data)
{
	struct connection *connection = data;

	connection->relay = NULL;
	connection_free(connection);
}

static void line_overdue(void *data)
{
	struct connection *connection = data;

	connection->timer = NULL;
	connection_free(connection);
}

/* A connection to the socket at path in the container, or -1. */
static int connect_inside(const struct container *container, const char *path)
{
	_cleanup_free_ char *root = xasprintf("/proc/%d/root", (int)container->init->pid);
	_cleanup_close_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = root_fd < 0 ? -1 : inroot_open(root_fd, path, O_PATH, 0);
	char target[FD_PATH_SIZE];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
		return -1;
	return unix_connect_nonblocking(fd_path(fd, target), NULL);
}

/* What "INDEX ID" names. */
static int connect_named(const struct published *published, const char *line)
{
	const struct container *container;
	unsigned long index;
	char *end;

	if (line[0] < '0' || line[0] > '9')
		return -1;
	errno = 0;
	index = strtoul(line, &end, 10);
	if (errno != 0 || *end != ' ')
		return -1;
	container = container_find(published->agent, end + 1);
	if (!container || index >= container->files->n_published || container->init->pid <= 0 ||
	    container->init->state == PROCESS_STOPPED)
		return -1;
	return connect_inside(container, container->files->published[index]);
}

/* Byte by byte: what follows the line belongs to the stream.  1: it is whole, 0: more
 * is to come, -1: it is none. */
static int read_line(struct connection *connection)
{
	while (connection->length < sizeof(connection->line)) {
		char *byte = &connection->line[connection->length];
		ssize_t n = recv(connection->fd, byte, 1, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		if (*byte == '\n') {
			*byte = '\0';
			return 1;
		}
		connection->length++;
	}
	return -1;
}

static void readable(void *data, uint32_t events)
{
	struct connection *connection = data;
	int result = read_line(connection), target = -1;

	(void)events;
	if (result == 0)
		return;
	if (result > 0)
		target = connect_named(connection->published, connection->line);
	if (target < 0) {
		connection_free(connection);
		return;
	}
	source_clear(&connection->source);
	source_clear(&connection->timer);
	connection->relay = relay_new(connection->published->agent->loop, TAKE_FD(connection->fd),
				      target, relay_ended, connection);
}

void published_accept(struct published *published, int fd)
{
	struct loop *loop = published->agent->loop;
	struct connection *connection;

	if (published->n_connections == CONNECTIONS_MAX) {
		(void)close(fd);
		return;
	}
	connection = xcalloc(1, sizeof(*connection));
	connection->published = published;
	connection->fd = fd;
	connection->next = published->connections;
	if (published->connections)
		published->connections->previous = connection;
	published->connections = connection;
	published->n_connections++;
	connection->timer =
	    loop_add_timer(loop, LINE_TIMEOUT_MS, "published", line_overdue, connection);
	if (loop_add_io(loop, fd, EPOLLIN, "published", readable, connection, &connection->source,
			NULL) < 0)
		connection_free(connection);
}
