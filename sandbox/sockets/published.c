/* SPDX-License-Identifier: Apache-2.0 */
/* Published sockets of a container: see published.h. */
#include "sandbox/sockets/published.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/doorman.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/stdio/stream.h"

#define SOCKETS_DIRECTORY "sockets"

/* Its handshake is the stream to the guest, in whose first line we say what is wanted. */
struct host_program {
	struct visitor visitor;
	struct stream *opening;
};

struct published {
	struct loop *loop;
	struct vmm *vmm;
	char *directory;
	struct doorman *doorman;
	char **lines; /* of the doors: what the agent is told first */
};

void published_free(struct published *published)
{
	if (!published)
		return;
	doorman_free(published->doorman);
	if (published->directory)
		(void)rmdir(published->directory);
	free(published->directory);
	strv_free(published->lines);
	free(published);
}

static void program_leaves(struct visitor *visitor)
{
	stream_free(((struct host_program *)visitor)->opening);
}

static void opened(void *data, int fd, uint32_t port, const struct error *error)
{
	struct host_program *program = data;
	const char *line = program->visitor.door;

	(void)port;
	program->opening = NULL;
	if (error) {
		log_debug("%s", error->message);
		visitor_refuse(&program->visitor);
		return;
	}
	/* A line fits an empty buffer, or there is nobody to send it to. */
	if (send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		(void)close(fd);
		visitor_refuse(&program->visitor);
		return;
	}
	visitor_join(&program->visitor, fd);
}

static void open_stream(struct visitor *visitor)
{
	struct host_program *program = (struct host_program *)visitor;
	const struct published *all = doorman_data(visitor->doorman);
	_cleanup_error_ struct error *error = NULL;

	if (stream_new(all->loop, all->vmm, AGENT_PUBLISHED_PORT, opened, program,
		       &program->opening, &error) < 0) {
		log_debug("%s", error->message);
		visitor_refuse(visitor);
	}
}

struct published *published_new(struct loop *loop, struct vmm *vmm)
{
	struct published *all = xcalloc(1, sizeof(*all));
	const struct doorman_setup setup = { .visitor_size = sizeof(struct host_program),
					     .came = open_stream,
					     .leaves = program_leaves,
					     .data = all };

	all->loop = loop;
	all->vmm = vmm;
	all->doorman = doorman_new(loop, &setup);
	return all;
}

/* The doors keep the texts, which stay where they are. */
static char *add_line(struct published *all, size_t index, const char *whose)
{
	_cleanup_free_ char *line = xasprintf("%zu %s\n", index, whose);

	strv_append(&all->lines, line);
	return all->lines[strv_length(all->lines) - 1];
}

int published_serve(struct published *published, int fd, size_t index, const char *whose,
		    struct error **ret_error)
{
	return doorman_serve(published->doorman, fd, add_line(published, index, whose), ret_error);
}

int published_new_files(struct loop *loop, struct vmm *vmm, const char *directory, const char *id,
			const struct plan_files *files, struct published **ret_published,
			struct error **ret_error)
{
	_cleanup_(published_freep) struct published *all = NULL;

	*ret_published = NULL;
	if (files->n_published == 0)
		return 0;
	all = published_new(loop, vmm);
	all->directory = xasprintf("%s/" SOCKETS_DIRECTORY, directory);
	if (make_directories(all->directory, 0700, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < files->n_published; i++) {
		_cleanup_free_ char *path =
		    xasprintf("%s/%s", all->directory, files->published[i].name);

		if (doorman_listen(all->doorman, path, 0600, add_line(all, i, id), ret_error) < 0)
			return -1;
	}
	*ret_published = TAKE_PTR(all);
	return 0;
}
