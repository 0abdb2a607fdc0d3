/* SPDX-License-Identifier: Apache-2.0 */
/* What callers ask for: see caller.h. */
#include "client/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "host/descriptors.h"
#include "protocol/agent.h"

int caller_write_pid(const char *path, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("%d", pid);

	return path ? write_file_atomic(path, text, strlen(text), 0644, ret_error) : 0;
}

int caller_send_pidfd(const char *path, pid_t pid, struct error **ret_error)
{
	static const char name[] = "pidfd";
	_cleanup_close_ int pidfd = -1, fd = -1;

	if (!path)
		return 0;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot open a pidfd of process %d",
				       (int)pid);
	fd = unix_connect(path, ret_error);
	if (fd < 0)
		return error_wrap(ret_error, "--pidfd-socket");
	if (send_with_fds(fd, name, strlen(name), &pidfd, 1) < 0)
		return error_set_errno(ret_error, errno, "--pidfd-socket: cannot send to %s", path);
	return 0;
}

/* sd_listen_fds(3) */
static uint32_t count_listen_fds(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	char *end;

	if (!pid || !n || strtoul(pid, &end, 10) != (unsigned long)getpid() || *end)
		return 0;
	return (uint32_t)MIN(strtoul(n, NULL, 10), (unsigned long)UINT32_MAX);
}

/* Ours, which are close-on-exec all, are none of the caller's. */
static int check_fd(int fd, struct error **ret_error)
{
	const int flags = fcntl(fd, F_GETFD);
	Agent__Descriptor__Kind kind;

	if (flags < 0 || flags & FD_CLOEXEC)
		return error_set(ret_error, EBADF,
				 "unable to stat preserved-fd %d: no such file or directory", fd);
	return descriptor_kind(fd, fd, &kind, ret_error);
}

int caller_find_fds(uint64_t n_preserved, bool listen, struct caller_fds *ret_fds,
		    struct error **ret_error)
{
	const uint32_t n_listen = listen ? count_listen_fds() : 0;
	const uint64_t n = n_listen + MIN(n_preserved, (uint64_t)UINT32_MAX);

	if (n > AGENT_DESCRIPTORS_MAX)
		return error_set(ret_error, ENOTSUP,
				 "--preserve-fds and LISTEN_FDS: %llu descriptors, and no more "
				 "than %d can be passed to a guest",
				 (unsigned long long)n, AGENT_DESCRIPTORS_MAX);
	for (int i = 0; i < (int)n; i++)
		if (check_fd(STDERR_FILENO + 1 + i, ret_error) < 0)
			return -1;
	*ret_fds = (struct caller_fds){ .n = (size_t)n, .n_listen = n_listen };
	return 0;
}

void caller_add_fds(const struct caller_fds *caller_fds, int all[FD_PASS_MAX], size_t *n)
{
	for (size_t i = 0; i < caller_fds->n; i++)
		all[(*n)++] = STDERR_FILENO + 1 + (int)i;
}

void caller_close_fds(const struct caller_fds *caller_fds)
{
	if (caller_fds->n > 0)
		(void)close_range(STDERR_FILENO + 1, STDERR_FILENO + (unsigned)caller_fds->n, 0);
}

char *caller_oom_file(const char *bundle)
{
	return getenv("_OCI_SYNCPIPE") ? xasprintf("%s/oom", bundle) : NULL;
}

char *caller_oom_namespace(const char *root, const char *bundle)
{
	const char *address = getenv("TTRPC_ADDRESS"), *namespace = strrchr(root, '/');
	const char *id = strrchr(bundle, '/');
	size_t length;

	if (!address || !address[0] || !namespace || !id)
		return NULL;
	/* (With the slash in front of it.) */
	length = strlen(namespace);
	if (length < 2 || (size_t)(id - bundle) < length ||
	    strncmp(id - length, namespace, length) != 0)
		return NULL;
	return xstrdup(namespace + 1);
}
