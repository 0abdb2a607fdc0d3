/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's way to a resolver: see host-names.h. */
#include "sandbox/sockets/host-names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/doorman.h"
#include "base/io.h"
#include "base/log.h"
#include "base/netns.h"
#include "protocol/agent.h"
#include "sandbox/vmm.h"

#define DNS_PORT 53
#define FILE_MAX (64u << 10)

struct host_names {
	struct doorman *doorman;
	int ns_fd;
};

/* Its handshake is the connection to the resolver. */
struct asker {
	struct visitor visitor;
	int resolver_fd;
};

/* ---- is there one? ---- */

static bool names_resolver(char *text)
{
	char *rest, *line;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *rest_of_line, *word = strtok_r(line, " \t", &rest_of_line);

		if (!word || strcmp(word, "nameserver") != 0)
			continue;
		word = strtok_r(NULL, " \t\r", &rest_of_line);
		if (word && strcmp(word, AGENT_NAMES_ADDRESS) == 0)
			return true;
	}
	return false;
}

/* NULL: there is no such file, or it is one that would be waited for. */
static char *read_text(const char *path)
{
	_cleanup_close_ int fd = open_regular_file(AT_FDCWD, path, 0);
	char *text = NULL;

	return fd < 0 || read_file_fd(fd, path, FILE_MAX, &text, NULL, NULL) < 0 ? NULL : text;
}

bool host_names_are_wanted(const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *mount = &spec->mounts[i];
		_cleanup_free_ char *text = NULL;

		if (strcmp(mount->destination, "/etc/resolv.conf") != 0 || !mount->source ||
		    mount->source[0] != '/')
			continue;
		text = read_text(mount->source);
		if (text && names_resolver(text))
			return true;
	}
	return false;
}

/* ---- the way ---- */

static void asker_leaves(struct visitor *visitor)
{
	close_fdp(&((struct asker *)visitor)->resolver_fd);
}

static void connected(struct visitor *visitor)
{
	struct asker *asker = (struct asker *)visitor;

	if (socket_is_connected(asker->resolver_fd))
		visitor_join(visitor, TAKE_FD(asker->resolver_fd));
	else
		visitor_refuse(visitor);
}

/* In the namespace. */
static int dial(void *data, struct error **ret_error)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)inet_pton(AF_INET, AGENT_NAMES_ADDRESS, &address.sin_addr);
	if (fd < 0 ||
	    (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS))
		return error_set_errno(ret_error, errno, "cannot ask " AGENT_NAMES_ADDRESS);
	*(int *)data = TAKE_FD(fd);
	return 0;
}

static void came(struct visitor *visitor)
{
	struct asker *asker = (struct asker *)visitor;
	const struct host_names *names = doorman_data(visitor->doorman);
	_cleanup_error_ struct error *error = NULL;

	asker->resolver_fd = -1;
	if (netns_run(names->ns_fd, dial, &asker->resolver_fd, &error) < 0) {
		log_debug("%s", error->message);
		visitor_refuse(visitor);
		return;
	}
	visitor_watch(visitor, asker->resolver_fd, EPOLLOUT, connected);
}

int host_names_new(struct loop *loop, const char *directory, int ns_fd,
		   struct host_names **ret_names, struct error **ret_error)
{
	_cleanup_free_ char *path = vmm_port_path(directory, AGENT_NAMES_PORT);
	_cleanup_(host_names_freep) struct host_names *names = xcalloc(1, sizeof(*names));
	const struct doorman_setup setup = { .visitor_size = sizeof(struct asker),
					     .came = came,
					     .leaves = asker_leaves,
					     .data = names };

	names->ns_fd = fcntl(ns_fd, F_DUPFD_CLOEXEC, 0);
	names->doorman = doorman_new(loop, &setup);
	if (names->ns_fd < 0)
		return error_set_errno(ret_error, errno, "the network namespace");
	if (doorman_listen(names->doorman, path, 0600, NULL, ret_error) < 0)
		return -1;
	*ret_names = TAKE_PTR(names);
	return 0;
}

void host_names_free(struct host_names *names)
{
	if (!names)
		return;
	doorman_free(names->doorman);
	close_fdp(&names->ns_fd);
	free(names);
}
