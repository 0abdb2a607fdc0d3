/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server whose answers a test writes: see fake-registry.h. */
#include "tests/unit/fake-registry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "tests/unit/test.h"

#define HEAD_MAX 65536

struct fake_registry {
	fake_answer_fn answer;
	void *data;
	int fd;
	unsigned port;
	pthread_t threads[FAKE_REGISTRY_THREADS_MAX];
	size_t n_threads;
};

static void say(int fd, const void *bytes, size_t size)
{
	while (size > 0) {
		const ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* a client may go at any time */
		bytes = (const char *)bytes + n;
		size -= (size_t)n;
	}
}

void fake_say_length(int fd, const char *status, const char *headers, const void *body, size_t size,
		     uint64_t length)
{
	_cleanup_free_ char *head =
	    xasprintf("HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %llu\r\n%s\r\n", status,
		      (unsigned long long)length, headers);

	say(fd, head, strlen(head));
	say(fd, body, size);
}

void fake_say(int fd, const char *status, const char *headers, const void *body, size_t size)
{
	fake_say_length(fd, status, headers, body, size, size);
}

static void serve(const struct fake_registry *registry, int fd)
{
	_cleanup_free_ char *head = xcalloc(HEAD_MAX, 1);
	char path[1024] = "";
	size_t n = 0;

	while (n + 1 < HEAD_MAX && !strstr(head, "\r\n\r\n")) {
		const ssize_t got = recv(fd, head + n, HEAD_MAX - 1 - n, 0);

		if (got <= 0)
			return;
		n += (size_t)got;
		/* TLS is not spoken here: what servers without it say to it. */
		if (head[0] == 0x16) {
			fake_say(fd, "400 Bad Request", "", "", 0);
			return;
		}
	}
	if (sscanf(head, "%*s %1023s", path) == 1)
		registry->answer(registry->data, fd, path, head);
	/* What was not read would reset the connection. */
	(void)shutdown(fd, SHUT_WR);
}

static void *run(void *data)
{
	const struct fake_registry *registry = data;
	int fd;

	while ((fd = accept4(registry->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		serve(registry, fd);
		(void)close(fd);
	}
	return NULL;
}

struct fake_registry *fake_registry_start_threads(fake_answer_fn answer, void *data, size_t n)
{
	struct fake_registry *registry = xcalloc(1, sizeof(*registry));
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	registry->answer = answer;
	registry->data = data;
	registry->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(registry->fd, (struct sockaddr *)&address, size) == 0);
	CHECK(listen(registry->fd, 16) == 0);
	CHECK(getsockname(registry->fd, (struct sockaddr *)&address, &size) == 0);
	registry->port = ntohs(address.sin_port);
	CHECK(n <= FAKE_REGISTRY_THREADS_MAX);
	for (; registry->n_threads < n; registry->n_threads++)
		CHECK(pthread_create(&registry->threads[registry->n_threads], NULL, run,
				     registry) == 0);
	return registry;
}

struct fake_registry *fake_registry_start(fake_answer_fn answer, void *data)
{
	return fake_registry_start_threads(answer, data, 1);
}

unsigned fake_registry_port(const struct fake_registry *registry)
{
	return registry->port;
}

void fake_registry_stop(struct fake_registry *registry)
{
	(void)shutdown(registry->fd, SHUT_RDWR);
	for (size_t i = 0; i < registry->n_threads; i++)
		CHECK(pthread_join(registry->threads[i], NULL) == 0);
	(void)close(registry->fd);
	free(registry);
}
