/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a container's task server: see server.h. */
#include "client/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/daemon.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/process.h"
#include "client/caller.h"

#define SERVER_PROGRAM "containerd-shim-supermachine-v1"
#define LAST_WORDS_MAX 600

static const char **server_arguments(const struct handle *handle, const struct client *client,
				     const char *log, const char *oom_namespace)
{
	const char *const words[] = { SERVER_PROGRAM, "serve", "--root",
				      handle->root,   "--id",  handle->id };
	const char **argv = xcalloc(ARRAY_SIZE(words) + 8, sizeof(*argv));
	size_t n = 0;

	for (; n < ARRAY_SIZE(words); n++)
		argv[n] = words[n];
	if (client->debug)
		argv[n++] = "--debug";
	if (log) {
		argv[n++] = "--log";
		argv[n++] = log;
	}
	if (client->log_format) {
		argv[n++] = "--log-format";
		argv[n++] = client->log_format;
	}
	if (oom_namespace) {
		argv[n++] = "--oom-namespace";
		argv[n++] = oom_namespace;
	}
	return argv;
}

/* `delete` finds the server by the state. */
static int note(pid_t pid, void *context, struct error **ret_error)
{
	struct handle *handle = context;

	handle->state->server_pid = pid;
	if (process_identify(pid, &handle->state->server_start, ret_error) < 0)
		return -1;
	return state_save(handle->root, handle->state, ret_error);
}

static int spawn(struct handle *handle, const char *program, const char **argv, int listen,
		 struct error **ret_error)
{
	_cleanup_free_ char *log_path = state_path(handle->root, handle->id, "server.log");
	_cleanup_close_ int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	const struct daemon_setup setup = { .program = program,
					    .argv = argv,
					    .directory = handle->state->bundle,
					    .listen_fd = listen,
					    .log_fd = log,
					    .note = note,
					    .context = handle };

	if (log < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", log_path);
	return daemon_start(&setup, ret_error);
}

int server_start(struct handle *handle, const struct client *client, struct error **ret_error)
{
	_cleanup_free_ char *socket_path = state_path(handle->root, handle->id, "task.sock");
	_cleanup_free_ char *log = client->log ? realpath(client->log, NULL) : NULL;
	_cleanup_free_ char *oom_namespace =
	    caller_oom_namespace(handle->root, handle->state->bundle);
	_cleanup_free_ const char **argv = NULL;
	_cleanup_free_ char *program = NULL;
	_cleanup_close_ int listen = -1;

	if (paths_find_program(SERVER_PROGRAM, &program, ret_error) < 0)
		return -1;
	listen = unix_listen(socket_path, 0600, ret_error);
	if (listen < 0)
		return -1;
	argv = server_arguments(handle, client, log, oom_namespace);
	if (spawn(handle, program, argv, listen, ret_error) < 0)
		return -1;
	/* From here on only the server listens: if it dies, the call fails. */
	handle->server_fd = handle_connect(handle, ret_error);
	return handle->server_fd < 0 ? -1 : 0;
}

char *server_last_words(const struct handle *handle)
{
	_cleanup_free_ char *path = state_path(handle->root, handle->id, "server.log");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[LAST_WORDS_MAX + 1];
	char *words = text, *newline;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size > LAST_WORDS_MAX)
		(void)lseek(fd, -LAST_WORDS_MAX, SEEK_END);
	n = read_all(fd, text, LAST_WORDS_MAX);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	/* Not the rest of a line whose beginning was cut off. */
	newline = strchr(text, '\n');
	if (st.st_size > LAST_WORDS_MAX && newline)
		words = newline + 1;
	return xstrdup(words);
}
