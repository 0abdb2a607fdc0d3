/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the pool: see pool.h. */
#include "host/pool.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/paths.h"

/* A start does without a pool that is stopped, or busy. */
#define PATIENCE_US 250000

void pool_machine_done(struct pool_machine *machine)
{
	close_fdp(&machine->control);
	close_fdp(&machine->pidfd);
	close_fdp(&machine->agent);
	close_fdp(&machine->stage);
	close_fdp(&machine->directory);
	close_fdp(&machine->pool);
	*machine = POOL_MACHINE_NONE;
}

char *pool_directory(void)
{
	_cleanup_free_ char *runtime = paths_runtime();

	return xasprintf("%s/@pool", runtime);
}

char *pool_socket(void)
{
	_cleanup_free_ char *directory = pool_directory();

	return xasprintf("%s/" POOL_SOCKET, directory);
}

static int connect_pool(struct error **ret_error)
{
	const struct timeval patience = { .tv_usec = PATIENCE_US };
	_cleanup_free_ char *path = pool_socket();
	_cleanup_close_ int fd = unix_connect_nonblocking(path, ret_error);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
		return error_set(ret_error, EPERM, "%s is user %u's", path, peer.uid);
	if (set_nonblocking(fd, false) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return error_set_errno(ret_error, errno, "%s", path);
	return TAKE_FD(fd);
}

static char *write_request(const char *operation, const char *kind)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_object(writer);
	json_put_string(writer, "op", operation);
	json_put_string(writer, "version", PACKAGE_VERSION);
	if (kind)
		json_put_string(writer, "kind", kind);
	json_end_object(writer);
	text = json_writer_finish(writer, NULL);
	return xasprintf("%s\n", text);
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

/* The answer; fds (room for FD_PASS_MAX) come with its first bytes, and are closed on failure. */
static int ask(int socket, const char *request, yajl_val *ret_answer, int *ret_fds, size_t *ret_n,
	       struct error **ret_error)
{
	_cleanup_free_ char *line = xcalloc(1, POOL_LINE_MAX + 1), *failure = NULL;
	_cleanup_json_ yajl_val answer = NULL;
	struct json_at root;
	size_t size = 0;
	ssize_t n;

	*ret_n = 0;
	if (write_all(socket, request, strlen(request)) < 0)
		return error_set_errno(ret_error, errno, "cannot ask the pool");
	n = recv_with_fds(socket, line, POOL_LINE_MAX, ret_fds, ret_n);
	for (; n > 0; n = read(socket, line + size, POOL_LINE_MAX - size)) {
		size += (size_t)n;
		if (line[size - 1] == '\n' || size == POOL_LINE_MAX)
			break;
	}
	if (n <= 0)
		(void)error_set_errno(ret_error, n < 0 ? errno : ECONNRESET,
				      "the pool does not answer");
	else if (json_parse(line, size, "the pool's answer", &answer, ret_error) == 0) {
		root = json_root(answer);
		if (json_get_string(&root, "error", JSON_OPTIONAL, &failure, ret_error) == 0 &&
		    !failure) {
			*ret_answer = TAKE_PTR(answer);
			return 0;
		}
		if (failure)
			(void)error_set(ret_error, ENOENT, "%s", failure);
	}
	close_all(ret_fds, *ret_n);
	return -1;
}

int pool_take(const char *kind, struct pool_machine *ret_machine, struct error **ret_error)
{
	_cleanup_free_ char *request = write_request("take", kind);
	_cleanup_close_ int socket = connect_pool(ret_error);
	_cleanup_json_ yajl_val answer = NULL;
	int fds[FD_PASS_MAX];
	uint64_t pid = 0;
	struct json_at root;
	size_t n;

	if (socket < 0 || ask(socket, request, &answer, fds, &n, ret_error) < 0)
		return -1;
	root = json_root(answer);
	if (json_get_uint64(&root, "pid", JSON_REQUIRED, INT_MAX, &pid, ret_error) < 0) {
		close_all(fds, n);
		return -1;
	}
	if (n != POOL_FDS || pid < 1) {
		close_all(fds, n);
		return error_set(ret_error, EPROTO, "the pool's answer has no machine");
	}
	*ret_machine = (struct pool_machine){
		.pid = (pid_t)pid,
		.control = fds[0],
		.pidfd = fds[1],
		.agent = fds[2],
		.stage = fds[3],
		.directory = fds[4],
		.pool = TAKE_FD(socket),
	};
	return 0;
}

int pool_ask_status(struct pool_status *ret_status, struct error **ret_error)
{
	_cleanup_free_ char *request = write_request("status", NULL);
	_cleanup_close_ int socket = connect_pool(ret_error);
	_cleanup_json_ yajl_val answer = NULL;
	struct pool_status status = { 0 };
	struct json_at root, pids;
	int fds[FD_PASS_MAX];
	size_t n;

	if (socket < 0 || ask(socket, request, &answer, fds, &n, ret_error) < 0)
		return -1;
	close_all(fds, n);
	root = json_root(answer);
	if (json_get_uint64(&root, "wanted", JSON_REQUIRED, POOL_MACHINES_MAX, &status.wanted,
			    ret_error) < 0 ||
	    json_array(&root, "pids", JSON_REQUIRED, &pids, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&pids) && i < POOL_MACHINES_MAX; i++) {
		const struct json_at at = json_element(&pids, i);
		uint64_t pid = 0;

		if (json_as_uint64(&at, INT_MAX, &pid, ret_error) < 0)
			return -1;
		status.pids[status.n_pids++] = (pid_t)pid;
	}
	*ret_status = status;
	return 0;
}
