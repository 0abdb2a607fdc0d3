/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors beside stdio: see descriptors.h. */
#include "agent/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/pump.h"

struct address {
	struct sockaddr_un name;
	socklen_t size; /* 0: it is not one that listens */
};

struct descriptors {
	struct loop *loop;
	struct pump *pumps[AGENT_DESCRIPTORS_MAX];
	struct address addresses[AGENT_DESCRIPTORS_MAX];
	size_t n;
};

void descriptors_free(struct descriptors *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		pump_free(all->pumps[i]);
	free(all);
}
DEFINE_CLEANUP(struct descriptors, descriptors_free)

static void pump_ended(void *data, bool broken)
{
	struct pump **pump = data;

	(void)broken;
	*pump = NULL;
}

/* An abstract name, which the kernel chooses. */
static int open_listener(struct address *address, int *ret_child_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_un any = { .sun_family = AF_UNIX };

	address->size = sizeof(address->name);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
	    listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address->name, &address->size) < 0) {
		address->size = 0;
		return error_set_errno(ret_error, errno, "cannot make a listening socket");
	}
	*ret_child_fd = TAKE_FD(fd);
	return 0;
}

static int open_ends(Agent__Descriptor__Kind kind, int *ret_own_fd, int *ret_child_fd,
		     struct error **ret_error)
{
	if (kind == AGENT__DESCRIPTOR__KIND__BOTH_WAYS)
		return unix_pair(ret_own_fd, ret_child_fd, ret_error);
	if (kind == AGENT__DESCRIPTOR__KIND__INPUT)
		return pipe_open(ret_child_fd, ret_own_fd, ret_error);
	return pipe_open(ret_own_fd, ret_child_fd, ret_error);
}

static int open_stream(struct descriptors *all, size_t index, struct stdio_table *table,
		       const Agent__Descriptor *descriptor, int *ret_child_fd,
		       struct error **ret_error)
{
	const bool input = descriptor->kind == AGENT__DESCRIPTOR__KIND__INPUT;
	const bool both_ways = descriptor->kind == AGENT__DESCRIPTOR__KIND__BOTH_WAYS;
	_cleanup_close_ int socket_fd = stdio_table_claim(table, descriptor->port, ret_error);
	_cleanup_close_ int own_fd = -1;
	struct pump_setup setup = { .both_ways = both_ways,
				    .watches_reader = !input && !both_ways,
				    .lingers = !input && !both_ways,
				    .function = pump_ended,
				    .data = &all->pumps[index] };

	if (socket_fd < 0 || open_ends(descriptor->kind, &own_fd, ret_child_fd, ret_error) < 0)
		return -1;
	(void)set_nonblocking(own_fd, true);
	setup.from = input ? TAKE_FD(socket_fd) : TAKE_FD(own_fd);
	setup.to = input ? TAKE_FD(own_fd) : TAKE_FD(socket_fd);
	all->pumps[index] = pump_new(all->loop, &setup);
	return 0;
}

static int open_one(struct descriptors *all, size_t index, struct stdio_table *table,
		    const Agent__Descriptor *descriptor, int *ret_child_fd,
		    struct error **ret_error)
{
	switch (descriptor->kind) {
	case AGENT__DESCRIPTOR__KIND__NOTHING:
		*ret_child_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
		return *ret_child_fd < 0
			   ? error_set_errno(ret_error, errno, "cannot open /dev/null")
			   : 0;
	case AGENT__DESCRIPTOR__KIND__LISTENER:
		return open_listener(&all->addresses[index], ret_child_fd, ret_error);
	case AGENT__DESCRIPTOR__KIND__INPUT:
	case AGENT__DESCRIPTOR__KIND__OUTPUT:
	case AGENT__DESCRIPTOR__KIND__BOTH_WAYS:
		return open_stream(all, index, table, descriptor, ret_child_fd, ret_error);
	default:
		return error_set(ret_error, EINVAL, "unknown kind of descriptor %d",
				 (int)descriptor->kind);
	}
}

int descriptors_new(struct loop *loop, struct stdio_table *table,
		    Agent__Descriptor *const *descriptors, size_t n,
		    struct descriptors **ret_descriptors, int child_fds[AGENT_DESCRIPTORS_MAX],
		    struct error **ret_error)
{
	_cleanup_(descriptors_freep) struct descriptors *all = NULL;

	if (n > AGENT_DESCRIPTORS_MAX)
		return error_set(ret_error, E2BIG, "more than %d descriptors beside stdio",
				 AGENT_DESCRIPTORS_MAX);
	all = xcalloc(1, sizeof(*all));
	all->loop = loop;
	for (size_t i = 0; i < n; i++) {
		child_fds[i] = -1;
		all->n = i + 1;
		if (open_one(all, i, table, descriptors[i], &child_fds[i], ret_error) == 0)
			continue;
		for (size_t k = 0; k <= i; k++)
			close_fdp(&child_fds[k]);
		return -1;
	}
	*ret_descriptors = TAKE_PTR(all);
	return 0;
}

int descriptors_connect(const struct descriptors *all, size_t index)
{
	_cleanup_close_ int fd = -1;
	const struct address *address;

	if (!all || index >= all->n || all->addresses[index].size == 0)
		return -1;
	address = &all->addresses[index];
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address->name, address->size) < 0)
		return -1;
	return TAKE_FD(fd);
}
