/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for the host's unix sockets: see sockets.h. */
#include "agent/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/doorman.h"
#include "base/io.h"

/* Its handshake is the host's answer to our connection, whose first bytes are the key. */
struct local_program {
	struct visitor visitor;
	int host_fd;
};

struct sockets {
	char *directory;
	struct doorman *doorman;
};

void sockets_free(struct sockets *sockets)
{
	if (!sockets)
		return;
	doorman_free(sockets->doorman);
	(void)rmdir(sockets->directory);
	free(sockets->directory);
	free(sockets);
}

static void program_leaves(struct visitor *visitor)
{
	close_fdp(&((struct local_program *)visitor)->host_fd);
}

/* Connected, or refused. */
static void dialled(struct visitor *visitor)
{
	struct local_program *program = (struct local_program *)visitor;
	const struct host_socket *host = visitor->door;

	/* A key fits an empty buffer, or there is nobody to send it to. */
	if (!socket_is_connected(program->host_fd) ||
	    send(program->host_fd, host->key, host->key_size, MSG_DONTWAIT | MSG_NOSIGNAL) !=
		(ssize_t)host->key_size)
		visitor_refuse(visitor);
	else
		visitor_join(visitor, TAKE_FD(program->host_fd));
}

static void dial(struct visitor *visitor)
{
	struct local_program *program = (struct local_program *)visitor;
	const struct agent *agent = doorman_data(visitor->doorman);
	const struct host_socket *host = visitor->door;

	program->host_fd = agent->dial(agent->dial_data, host->port);
	if (program->host_fd < 0)
		visitor_refuse(visitor);
	else
		visitor_watch(visitor, program->host_fd, EPOLLOUT, dialled);
}

static int listen_in_place(struct sockets *all, struct mount_source *source,
			   struct error **ret_error)
{
	struct host_socket *host = &source->socket;

	free(source->name);
	source->name = xasprintf("%s/%u", all->directory, source->mount);
	if (doorman_listen(all->doorman, source->name, host->mode, host, ret_error) < 0)
		return -1;
	if (chown(source->name, host->uid, host->gid) < 0 || chmod(source->name, host->mode) < 0)
		return error_set_errno(ret_error, errno, "cannot set the owner of %s",
				       source->name);
	return 0;
}

int sockets_new(struct agent *agent, const char *id, struct files *files,
		struct sockets **ret_sockets, struct error **ret_error)
{
	const struct doorman_setup setup = { .visitor_size = sizeof(struct local_program),
					     .came = dial,
					     .leaves = program_leaves,
					     .data = agent };
	_cleanup_(sockets_freep) struct sockets *all = NULL;
	size_t n = 0;

	for (size_t i = 0; i < files->n_sources; i++)
		n += files->sources[i].kind == SOURCE_SOCKET;
	*ret_sockets = NULL;
	if (n == 0)
		return 0;
	all = xcalloc(1, sizeof(*all));
	all->doorman = doorman_new(agent->loop, &setup);
	all->directory = xasprintf("%s/%s", agent->config.socket_dir, id);
	if (make_directories(all->directory, 0700, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < files->n_sources; i++)
		if (files->sources[i].kind == SOURCE_SOCKET &&
		    listen_in_place(all, &files->sources[i], ret_error) < 0)
			return -1;
	*ret_sockets = TAKE_PTR(all);
	return 0;
}
