/* SPDX-License-Identifier: Apache-2.0 */
/* A logging program: see logger.h. */
#include "sandbox/stdio/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/log.h"

/* The program's descriptors. */
enum { LOGGER_OUT_FD = 3, LOGGER_ERR_FD, LOGGER_READY_FD, LOGGER_FDS_END };

#define READY_TIMEOUT_MS 60000
/* One that sees the end of its input ends by itself; SIGTERM would cost what it
 * has not written yet. */
#define EOF_GRACE_MS 1000
/* containerd gives it as much from SIGTERM on. */
#define TERM_GRACE_MS 12000

struct logger {
	struct loop *loop;
	char *path;
	pid_t pid;
	int pidfd, ready_fd;
	struct source *ready_source, *pid_source, *timer;
	logger_fn ready, ended;
	void *ready_data, *ended_data;
};

static void logger_close(struct logger *logger)
{
	source_remove(logger->ready_source);
	source_remove(logger->pid_source);
	source_remove(logger->timer);
	close_fdp(&logger->ready_fd);
	close_fdp(&logger->pidfd);
	free(logger->path);
	free(logger);
}

void logger_free(struct logger *logger)
{
	if (!logger)
		return;
	if (logger->pid > 0) {
		(void)kill(logger->pid, SIGKILL);
		while (waitpid(logger->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	logger_close(logger);
}

/* ---- readiness ---- */

static void ready(void *data, uint32_t events)
{
	struct logger *logger = data;
	logger_fn function = logger->ready;
	char byte;

	(void)events;
	/* A byte or the end, it is the same. */
	if (read(logger->ready_fd, &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	source_clear(&logger->timer);
	source_clear(&logger->ready_source);
	close_fdp(&logger->ready_fd);
	logger->ready_fd = -1;
	function(logger->ready_data, NULL);
}

static void ready_overdue(void *data)
{
	struct logger *logger = data;
	_cleanup_error_ struct error *error = NULL;

	logger->timer = NULL;
	source_clear(&logger->ready_source);
	(void)error_set(&error, ETIMEDOUT,
			"the logging program %s is not ready: it has neither written to nor closed "
			"its descriptor %d",
			logger->path, LOGGER_READY_FD);
	logger->ready(logger->ready_data, error);
}

void logger_wait_ready(struct logger *logger, logger_fn function, void *data)
{
	logger->ready = function;
	logger->ready_data = data;
	logger->timer =
	    loop_add_timer(logger->loop, READY_TIMEOUT_MS, "logger ready", ready_overdue, logger);
	if (loop_add_io(logger->loop, logger->ready_fd, EPOLLIN, "logger ready", ready, logger,
			&logger->ready_source, NULL) < 0) {
		source_clear(&logger->timer);
		logger->timer =
		    loop_add_timer(logger->loop, 0, "logger ready", ready_overdue, logger);
	}
}

/* ---- the end ---- */

static void ended(struct logger *logger)
{
	logger_fn function = logger->ended;
	void *data = logger->ended_data;
	int status = 0;

	if (waitpid(logger->pid, &status, 0) == logger->pid && status != 0)
		log_debug("%s ended with wait status %#x", logger->path, (unsigned)status);
	logger->pid = 0;
	function(data, NULL);
}

static void process_ended(void *data, uint32_t events)
{
	(void)events;
	ended(data);
}

static void term_overdue(void *data)
{
	struct logger *logger = data;

	logger->timer = NULL;
	log_warning("%s does not end: killing it", logger->path);
	(void)kill(logger->pid, SIGKILL);
}

static void eof_overdue(void *data)
{
	struct logger *logger = data;

	(void)kill(logger->pid, SIGTERM);
	logger->timer =
	    loop_add_timer(logger->loop, TERM_GRACE_MS, "logger end", term_overdue, logger);
}

static void kill_and_end(void *data)
{
	struct logger *logger = data;

	logger->timer = NULL;
	(void)kill(logger->pid, SIGKILL);
	ended(logger);
}

void logger_end(struct logger *logger, logger_fn function, void *data)
{
	source_clear(&logger->timer);
	logger->ended = function;
	logger->ended_data = data;
	if (loop_add_io(logger->loop, logger->pidfd, EPOLLIN, "logger end", process_ended, logger,
			&logger->pid_source, NULL) < 0)
		logger->timer = loop_add_timer(logger->loop, 0, "logger end", kill_and_end, logger);
	else
		logger->timer =
		    loop_add_timer(logger->loop, EOF_GRACE_MS, "logger end", eof_overdue, logger);
}

/* ---- the start ---- */

/* A part of the URI without its percent signs (RFC 3986 §2.1) and, in a query, with
 * blanks for its plus signs; -1 for one that cannot be read, or has a NUL in it. */
static int decode(const char *text, size_t length, bool query, char **ret_text)
{
	_cleanup_free_ char *decoded = xmalloc(length + 1);
	size_t n = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '%') {
			if (length - i < 3 || hex_digit(text[i + 1]) < 0 ||
			    hex_digit(text[i + 2]) < 0)
				return -1;
			c = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
			i += 2;
			if (c == '\0')
				return -1;
		} else if (query && c == '+') {
			c = ' ';
		}
		decoded[n++] = c;
	}
	decoded[n] = '\0';
	*ret_text = TAKE_PTR(decoded);
	return 0;
}

static bool has_key(char *const *argv, const char *key)
{
	for (size_t i = 1; i < strv_length(argv); i += 2)
		if (strcmp(argv[i], key) == 0)
			return true;
	return false;
}

/* "k=v&flag" appended as "k", "v", "flag", ""; as containerd does, of a key that is
 * there twice only the first. */
static int add_query(const char *query, size_t length, char ***argv)
{
	const char *end = query + length;

	while (query < end) {
		const char *amp = memchr(query, '&', (size_t)(end - query));
		const char *stop = amp ? amp : end;
		const char *equals = memchr(query, '=', (size_t)(stop - query));
		const char *key_end = equals ? equals : stop;
		const char *value = equals ? equals + 1 : stop;
		_cleanup_free_ char *key_text = NULL;
		_cleanup_free_ char *value_text = NULL;

		if (decode(query, (size_t)(key_end - query), true, &key_text) < 0 ||
		    decode(value, (size_t)(stop - value), true, &value_text) < 0)
			return -1;
		if (stop > query && !has_key(*argv, key_text)) {
			strv_append(argv, key_text);
			strv_append(argv, value_text);
		}
		query = stop + 1;
	}
	return 0;
}

static int parse_uri(const char *uri, char ***ret_argv, struct error **ret_error)
{
	const char *path = uri + strlen(LOGGER_SCHEME);
	size_t length = strcspn(path, "?#");
	_cleanup_strv_ char **argv = NULL;
	_cleanup_free_ char *program = NULL;

	if (path[0] != '/' || decode(path, length, false, &program) < 0)
		return error_set(ret_error, EINVAL,
				 "\"%s\": not of the form binary:///path/of/program?key=value",
				 uri);
	strv_append(&argv, program);
	if (path[length] == '?' &&
	    add_query(path + length + 1, strcspn(path + length + 1, "#"), &argv) < 0)
		return error_set(ret_error, EINVAL, "\"%s\": its query cannot be read", uri);
	*ret_argv = TAKE_PTR(argv);
	return 0;
}

struct pipes {
	int ends[3][2]; /* stdout, stderr, ready; [0] is read */
};

static void close_pipes(struct pipes *pipes)
{
	for (size_t i = 0; i < 3; i++) {
		close_fdp(&pipes->ends[i][0]);
		close_fdp(&pipes->ends[i][1]);
	}
}

/* All of them above the numbers that they are to have in the program. */
static int make_pipes(struct pipes *pipes, struct error **ret_error)
{
	for (size_t i = 0; i < 3; i++) {
		if (pipe_open(&pipes->ends[i][0], &pipes->ends[i][1], ret_error) < 0)
			return -1;
		for (size_t k = 0; k < 2; k++) {
			int fd = pipes->ends[i][k];
			int moved = fcntl(fd, F_DUPFD_CLOEXEC, LOGGER_FDS_END);

			if (moved < 0)
				return error_set_errno(ret_error, errno, "cannot make a pipe");
			(void)close(fd);
			pipes->ends[i][k] = moved;
		}
	}
	return 0;
}

/* 0 or an errno value. */
static int set_up(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes,
		  const struct pipes *pipes)
{
	sigset_t signals;
	int code = 0;

	for (int fd = 0; fd < 3 && !code; fd++)
		code = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
	if (!code)
		code = posix_spawn_file_actions_adddup2(actions, pipes->ends[0][0], LOGGER_OUT_FD);
	if (!code)
		code = posix_spawn_file_actions_adddup2(actions, pipes->ends[1][0], LOGGER_ERR_FD);
	if (!code)
		code =
		    posix_spawn_file_actions_adddup2(actions, pipes->ends[2][1], LOGGER_READY_FD);
	if (!code)
		code = posix_spawn_file_actions_addclosefrom_np(actions, LOGGER_FDS_END);
	if (code)
		return code;
	/* The loop blocks signals, and SIGPIPE is ignored: not so in the program. */
	(void)sigemptyset(&signals);
	(void)posix_spawnattr_setsigmask(attributes, &signals);
	(void)sigfillset(&signals);
	(void)posix_spawnattr_setsigdefault(attributes, &signals);
	return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(char **argv, char **env, const struct pipes *pipes, pid_t *ret_pid,
		 struct error **ret_error)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	code = set_up(&actions, &attributes, pipes);
	if (!code)
		code = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, env);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (code)
		return error_set_errno(ret_error, code, "cannot run the logging program %s",
				       argv[0]);
	return 0;
}

int logger_start(struct loop *loop, const struct logger_setup *setup, struct logger **ret_logger,
		 int *ret_out, int *ret_err, struct error **ret_error)
{
	_cleanup_(close_pipes) struct pipes pipes = { { { -1, -1 }, { -1, -1 }, { -1, -1 } } };
	_cleanup_(logger_freep) struct logger *logger = xcalloc(1, sizeof(*logger));
	_cleanup_free_ char *id = xasprintf("CONTAINER_ID=%s", setup->id);
	_cleanup_free_ char *namespace = xasprintf("CONTAINER_NAMESPACE=%s", setup->namespace);
	char *env[] = { id, namespace, NULL };
	_cleanup_strv_ char **argv = NULL;

	logger->loop = loop;
	logger->pidfd = logger->ready_fd = -1;
	if (parse_uri(setup->uri, &argv, ret_error) < 0 || make_pipes(&pipes, ret_error) < 0 ||
	    spawn(argv, env, &pipes, &logger->pid, ret_error) < 0)
		return -1;
	logger->path = xstrdup(argv[0]);
	logger->pidfd = pidfd_open(logger->pid, 0);
	if (logger->pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot watch process %d", logger->pid);
	for (size_t i = 0; i < 2; i++)
		if (set_nonblocking(pipes.ends[i][1], true) < 0)
			return error_set_errno(ret_error, errno, "cannot set O_NONBLOCK on a pipe");
	if (set_nonblocking(pipes.ends[2][0], true) < 0)
		return error_set_errno(ret_error, errno, "cannot set O_NONBLOCK on a pipe");
	logger->ready_fd = TAKE_FD(pipes.ends[2][0]);
	*ret_out = TAKE_FD(pipes.ends[0][1]);
	*ret_err = TAKE_FD(pipes.ends[1][1]);
	*ret_logger = TAKE_PTR(logger);
	return 0;
}
