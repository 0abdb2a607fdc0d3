/* SPDX-License-Identifier: Apache-2.0 */
/* Connections with the host over vsock: see host-link.h. */
#include "agent/host-link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "agent/stdio.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/doorman.h"
#include "base/listener.h"
#include "base/log.h"

/* The vsock device answers at once; it may only not be there yet. */
#define RETRY_FIRST_MS 5
#define RETRY_LAST_MS 200
/* Linux gives up after two seconds, which a host that is busy can take; it would then have accepted
 * a connection that is not there any more.  The boot's own time-out is longer. */
#define CONNECT_TIMEOUT_S 60

struct host_link {
	struct agent *agent;
	struct ttrpc_service service;
	struct ttrpc_server *server;
	struct listener *streams, *published;
	int dial_fd;
	struct source *dial_source;
	struct source *retry_timer;
	uint64_t retry_ms;
};

static void dial(void *data);

static void retry(struct host_link *link)
{
	source_clear(&link->dial_source);
	close_fdp(&link->dial_fd);
	link->dial_fd = -1;
	link->retry_timer =
	    loop_add_timer(link->agent->loop, link->retry_ms, "dial again", dial, link);
	link->retry_ms = link->retry_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : link->retry_ms * 2;
}

static void on_close(void *data)
{
	struct host_link *link = data;

	agent_connection_closed(link->agent);
	link->retry_ms = RETRY_FIRST_MS;
	retry(link);
}

static void on_dialled(void *data, uint32_t events)
{
	struct host_link *link = data;
	_cleanup_error_ struct error *error = NULL;
	int fd;

	(void)events;
	if (!socket_is_connected(link->dial_fd)) {
		retry(link);
		return;
	}
	source_clear(&link->dial_source);
	fd = TAKE_FD(link->dial_fd);
	if (ttrpc_server_serve(link->server, fd, on_close, link, &error) < 0) {
		log_error("cannot serve the host: %s", error->message);
		retry(link);
	}
}

static int dial_host(void *data, uint32_t port)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = port,
	};
	const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)data;
	if (fd < 0 ||
	    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout)) <
		0 ||
	    (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS))
		return -1;
	return TAKE_FD(fd);
}

static void dial(void *data)
{
	struct host_link *link = data;

	link->retry_timer = NULL;
	link->dial_fd = dial_host(NULL, AGENT_HOST_PORT);
	if (link->dial_fd < 0 || loop_add_io(link->agent->loop, link->dial_fd, EPOLLOUT, "dial",
					     on_dialled, link, &link->dial_source, NULL) < 0)
		retry(link);
}

/* vsock addresses are not namespaced: a container's process can connect here,
 * too, by the loopback.  Only the host's connections count. */
static bool is_from_host(int fd, uint32_t *ret_port)
{
	struct sockaddr_vm address = { 0 };
	socklen_t size = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.svm_cid != VMADDR_CID_HOST)
		return false;
	*ret_port = address.svm_port;
	return true;
}

static void on_stream(void *data, int fd)
{
	struct host_link *link = data;
	uint32_t port;

	if (is_from_host(fd, &port))
		stdio_table_add(link->agent->stdio, port, fd);
	else
		(void)close(fd);
}

static void on_published(void *data, int fd)
{
	struct host_link *link = data;
	uint32_t port;

	if (is_from_host(fd, &port))
		doorman_admit(link->agent->published, fd, NULL);
	else
		(void)close(fd);
}

static void accept_streams(void *data)
{
	struct host_link *link = data;

	listener_accept_now(link->streams);
}

static int listen_on(struct host_link *link, uint32_t port, const char *kind, listener_fn function,
		     struct listener **ret_listener, struct error **ret_error)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	_cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A backlog that is full refuses: one process has up to 32 streams, which come at once. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return error_set_errno(ret_error, errno, "cannot listen on vsock port %u", port);
	return listener_new(link->agent->loop, TAKE_FD(fd), kind, function, link, ret_listener,
			    ret_error);
}

static int listen_for_host(struct host_link *link, struct error **ret_error)
{
	if (listen_on(link, AGENT_STDIO_PORT, "stdio port", on_stream, &link->streams, ret_error) <
		0 ||
	    listen_on(link, AGENT_PUBLISHED_PORT, "published port", on_published, &link->published,
		      ret_error) < 0)
		return -1;
	stdio_table_set_refill(link->agent->stdio, accept_streams, link);
	return 0;
}

int host_link_new(struct agent *agent, struct host_link **ret_link, struct error **ret_error)
{
	_cleanup_(host_link_freep) struct host_link *link = xcalloc(1, sizeof(*link));

	link->agent = agent;
	link->dial_fd = -1;
	link->retry_ms = RETRY_FIRST_MS;
	if (listen_for_host(link, ret_error) < 0)
		return -1;
	agent->dial = dial_host;
	agent_service_init(agent, &link->service);
	link->server = ttrpc_server_new(agent->loop, &link->service, 1);
	/* A machine that was saved goes on without its host's end, with Waits that are open. */
	ttrpc_server_end_early(link->server);
	dial(link);
	*ret_link = TAKE_PTR(link);
	return 0;
}

void host_link_free(struct host_link *link)
{
	if (!link)
		return;
	stdio_table_set_refill(link->agent->stdio, NULL, NULL);
	ttrpc_server_free(link->server);
	listener_free(link->streams);
	listener_free(link->published);
	source_clear(&link->dial_source);
	source_clear(&link->retry_timer);
	close_fdp(&link->dial_fd);
	free(link);
}
