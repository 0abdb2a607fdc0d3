/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding the host's unix sockets: see forward.h. */
#include "sandbox/sockets/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/vmm.h"

struct forward {
	int target_fd; /* O_PATH */
	uint8_t key[PLAN_SOCKET_KEY_SIZE];
};

/* Its handshake is the key. */
struct guest_program {
	struct visitor visitor;
	uint8_t key[PLAN_SOCKET_KEY_SIZE];
	size_t length;
};

struct forwards {
	struct doorman *doorman;
	struct forward *forwards;
	size_t n;
	bool warned;
};

/* A guest may do this as often as it likes: it is said once. */
static void warn_once(void *data, const char *why)
{
	struct forwards *all = data;

	if (!all->warned)
		log_warning("a connection to a unix socket of the host was closed: %s", why);
	all->warned = true;
}

void forwards_free(struct forwards *forwards)
{
	if (!forwards)
		return;
	doorman_free(forwards->doorman);
	for (size_t i = 0; i < forwards->n; i++)
		close_fdp(&forwards->forwards[i].target_fd);
	free(forwards->forwards);
	free(forwards);
}

static bool key_matches(const struct guest_program *program, const struct forward *forward)
{
	uint8_t difference = 0;

	/* No earlier for a key that is half right. */
	for (size_t i = 0; i < sizeof(program->key); i++)
		difference |= program->key[i] ^ forward->key[i];
	return difference == 0;
}

/* The target as a path, since connect(2) takes no descriptor. */
static int connect_target(const struct forward *forward, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", forward->target_fd);

	return unix_connect_nonblocking(path, ret_error);
}

static void key_ready(struct visitor *visitor)
{
	struct guest_program *program = (struct guest_program *)visitor;
	const struct forward *forward = visitor->door;
	_cleanup_error_ struct error *error = NULL;
	ssize_t n = recv(visitor->fd, program->key + program->length,
			 sizeof(program->key) - program->length, MSG_DONTWAIT);
	int target;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		program->length += (size_t)n;
	if (n > 0 && program->length < sizeof(program->key))
		return;
	if (n <= 0 || !key_matches(program, forward)) {
		warn_once(doorman_data(visitor->doorman), "its key is wrong");
		visitor_refuse(visitor);
		return;
	}
	target = connect_target(forward, &error);
	if (target < 0) {
		/* The program in the guest sees its connection end at once. */
		log_debug("%s", error->message);
		visitor_refuse(visitor);
		return;
	}
	visitor_join(visitor, target);
}

static void await_key(struct visitor *visitor)
{
	visitor_watch(visitor, visitor->fd, EPOLLIN, key_ready);
}

static int forward_open(struct forwards *all, const char *directory,
			const struct plan_socket *socket, struct error **ret_error)
{
	_cleanup_free_ char *path = vmm_port_path(directory, socket->port);
	struct forward *forward = &all->forwards[all->n];

	forward->target_fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
	if (forward->target_fd < 0)
		return error_set_errno(ret_error, errno, "cannot duplicate a socket");
	all->n++;
	memcpy(forward->key, socket->key, sizeof(forward->key));
	return doorman_listen(all->doorman, path, 0600, forward, ret_error);
}

int forwards_new(struct loop *loop, struct lodge *lodge, const char *directory,
		 const struct plan_files *files, struct forwards **ret_forwards,
		 struct error **ret_error)
{
	_cleanup_(forwards_freep) struct forwards *all = NULL;
	struct doorman_setup setup = { .visitor_size = sizeof(struct guest_program),
				       .came = await_key,
				       .turned_away = warn_once,
				       .lodge = lodge };

	if (files->n_sockets == 0) {
		*ret_forwards = NULL;
		return 0;
	}
	all = xcalloc(1, sizeof(*all));
	setup.data = all;
	all->doorman = doorman_new(loop, &setup);
	all->forwards = xcalloc(files->n_sockets, sizeof(all->forwards[0]));
	for (size_t i = 0; i < files->n_sockets; i++)
		if (forward_open(all, directory, &files->sockets[i], ret_error) < 0)
			return -1;
	*ret_forwards = TAKE_PTR(all);
	return 0;
}
