/* SPDX-License-Identifier: Apache-2.0 */
/* Those who ask the pool: see pool-door.h. */
#include "sandbox/pool-door.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/listener.h"
#include "base/log.h"

#define CLIENTS_MAX 64
/* A request comes at once, and a machine's directory is taken over at once. */
#define CLIENT_PATIENCE_MS 10000

struct client {
	struct client *next;
	struct pool_door *door;
	int fd;
	struct buffer line;
	char *directory; /* of a machine that it has taken; to be removed when it is gone */
	struct source *source, *timer;
};

struct pool_door {
	struct loop *loop;
	struct pool_door_events events;
	char *path;
	struct listener *listener;
	struct client *clients;
	size_t n_clients;
};

static void client_free(struct client *client)
{
	struct client **at = &client->door->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	client->door->n_clients--;
	source_remove(client->source);
	source_remove(client->timer);
	buffer_done(&client->line);
	if (client->directory)
		(void)remove_tree(client->directory, NULL);
	free(client->directory);
	close_fdp(&client->fd);
	free(client);
}

/* Finishes the object.  The socket's buffer is empty: what does not fit goes to nobody. */
static bool answer(const struct client *client, struct json_writer *writer, const int *fds,
		   size_t n_fds)
{
	_cleanup_free_ char *text = NULL, *line = NULL;

	json_end_object(writer);
	text = json_writer_finish(writer, NULL);
	line = xasprintf("%s\n", text);
	return send_with_fds(client->fd, line, strlen(line), fds, n_fds) == (ssize_t)strlen(line);
}

static struct json_writer *begin_answer(void)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	return writer;
}

static void refuse(const struct client *client, const char *why)
{
	struct json_writer *writer = begin_answer();

	json_put_string(writer, "error", why);
	(void)answer(client, writer, NULL, 0);
}

static void answer_status(const struct client *client)
{
	const struct pool_door_events *events = &client->door->events;
	struct json_writer *writer = begin_answer();
	struct pool_status status;

	events->status(events->data, &status);
	json_put_uint64(writer, "wanted", status.wanted);
	json_put_key(writer, "pids");
	json_begin_array(writer);
	for (size_t i = 0; i < status.n_pids; i++)
		json_put_uint64(writer, NULL, (uint64_t)status.pids[i]);
	json_end_array(writer);
	(void)answer(client, writer, NULL, 0);
}

/* The machine is the client's then, or nobody's: it ends with its control socket. */
static void take(struct client *client, const char *kind)
{
	const struct pool_door_events *events = &client->door->events;
	struct json_writer *writer;
	struct pool_given given;

	if (!events->take(events->data, kind, &given)) {
		refuse(client, "no machine of this kind waits");
		return;
	}
	writer = begin_answer();
	json_put_uint64(writer, "pid", (uint64_t)given.pid);
	if (!answer(client, writer, given.fds, POOL_FDS))
		log_debug("a machine was asked for by somebody who has gone");
	for (size_t i = 0; i < POOL_FDS; i++)
		close_fdp(&given.fds[i]);
	client->directory = given.directory;
}

static void run_request(struct client *client, const char *line, size_t size)
{
	_cleanup_free_ char *operation = NULL, *version = NULL, *kind = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(line, size, "the request", &value, &error) < 0) {
		refuse(client, error->message);
		return;
	}
	root = json_root(value);
	if (json_get_string(&root, "op", JSON_REQUIRED, &operation, &error) < 0 ||
	    json_get_string(&root, "version", JSON_REQUIRED, &version, &error) < 0 ||
	    json_get_string(&root, "kind", JSON_OPTIONAL, &kind, &error) < 0)
		refuse(client, error->message);
	else if (strcmp(version, PACKAGE_VERSION) != 0)
		refuse(client, "the pool is of version " PACKAGE_VERSION ": restart it");
	else if (strcmp(operation, "take") == 0 && kind)
		take(client, kind);
	else if (strcmp(operation, "status") == 0)
		answer_status(client);
	else
		refuse(client, "there is no such operation");
}

static void client_ready(void *data, uint32_t events)
{
	struct client *client = data;
	const uint8_t *end;
	ssize_t n;

	(void)events;
	n = recv(client->fd, buffer_reserve(&client->line, POOL_LINE_MAX), POOL_LINE_MAX,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buffer_commit(&client->line, (size_t)n);
	/* One request, and then its end. */
	if (n <= 0 || client->directory || buffer_length(&client->line) > POOL_LINE_MAX) {
		client_free(client);
		return;
	}
	end = memchr(buffer_data(&client->line), '\n', buffer_length(&client->line));
	if (!end)
		return;
	run_request(client, (const char *)buffer_data(&client->line),
		    (size_t)(end - buffer_data(&client->line)));
	buffer_consume(&client->line, buffer_length(&client->line));
}

static void client_overdue(void *data)
{
	struct client *client = data;

	client->timer = NULL;
	client_free(client);
}

static void on_client(void *data, int fd)
{
	struct pool_door *door = data;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	struct client *client;

	if (door->n_clients == CLIENTS_MAX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
		(void)close(fd);
		return;
	}
	client = xcalloc(1, sizeof(*client));
	client->door = door;
	client->fd = fd;
	client->next = door->clients;
	door->clients = client;
	door->n_clients++;
	client->timer =
	    loop_add_timer(door->loop, CLIENT_PATIENCE_MS, "pool client", client_overdue, client);
	if (loop_add_io(door->loop, fd, EPOLLIN, "pool client", client_ready, client,
			&client->source, NULL) < 0)
		client_free(client);
}

int pool_door_new(struct loop *loop, const char *directory, const struct pool_door_events *events,
		  struct pool_door **ret_door, struct error **ret_error)
{
	_cleanup_(pool_door_freep) struct pool_door *door = xcalloc(1, sizeof(*door));
	int fd;

	door->loop = loop;
	door->events = *events;
	door->path = xasprintf("%s/" POOL_SOCKET, directory);
	fd = unix_listen(door->path, 0600, ret_error);
	if (fd < 0 ||
	    listener_new(loop, fd, "pool", on_client, door, &door->listener, ret_error) < 0)
		return -1;
	*ret_door = TAKE_PTR(door);
	return 0;
}

void pool_door_free(struct pool_door *door)
{
	if (!door)
		return;
	while (door->clients)
		client_free(door->clients);
	listener_free(door->listener);
	(void)unlink(door->path);
	free(door->path);
	free(door);
}
