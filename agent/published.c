/* SPDX-License-Identifier: Apache-2.0 */
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
#include "base/doorman.h"
#include "base/io.h"

#define REQUEST_MAX 2200 /* an index and two ids */

/* Its handshake is a line. */
struct host_program {
	struct visitor visitor;
	char line[REQUEST_MAX];
	size_t length;
};

/* A connection to the socket at path in the container, or -1. */
static int connect_inside(const struct agent_container *container, const char *path)
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

/* "ID/EXEC_ID": no id has a slash. */
static int connect_to_process(const struct agent *agent, char *name, size_t index)
{
	char *slash = strchr(name, '/');
	const struct agent_container *container;
	const struct process *process;

	*slash = '\0';
	container = agent_container_find(agent, name);
	process = container ? agent_container_find_process(container, slash + 1) : NULL;
	return process ? descriptors_connect(process->descriptors, index) : -1;
}

/* What "INDEX ID" or "INDEX ID/EXEC_ID" names. */
static int connect_named(const struct agent *agent, char *line)
{
	const struct agent_container *container;
	unsigned long index;
	char *end;

	if (line[0] < '0' || line[0] > '9')
		return -1;
	errno = 0;
	index = strtoul(line, &end, 10);
	if (errno != 0 || *end != ' ')
		return -1;
	if (strchr(end + 1, '/'))
		return connect_to_process(agent, end + 1, index);
	container = agent_container_find(agent, end + 1);
	if (!container || index >= container->files->n_published || container->init->pid <= 0 ||
	    container->init->state == PROCESS_STOPPED)
		return -1;
	return connect_inside(container, container->files->published[index]);
}

/* Byte by byte: what follows the line belongs to the stream.  1: it is whole, 0: more
 * is to come, -1: it is none. */
static int read_line(struct host_program *program)
{
	while (program->length < sizeof(program->line)) {
		char *byte = &program->line[program->length];
		ssize_t n = recv(program->visitor.fd, byte, 1, MSG_DONTWAIT);

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
		program->length++;
	}
	return -1;
}

static void line_ready(struct visitor *visitor)
{
	struct host_program *program = (struct host_program *)visitor;
	int result = read_line(program), target = -1;

	if (result == 0)
		return;
	if (result > 0)
		target = connect_named(doorman_data(visitor->doorman), program->line);
	if (target < 0)
		visitor_refuse(visitor);
	else
		visitor_join(visitor, target);
}

static void await_line(struct visitor *visitor)
{
	visitor_watch(visitor, visitor->fd, EPOLLIN, line_ready);
}

struct doorman *published_doorman_new(struct agent *agent)
{
	const struct doorman_setup setup = { .visitor_size = sizeof(struct host_program),
					     .came = await_line,
					     .data = agent };

	return doorman_new(agent->loop, &setup);
}
