/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams of every size, and many connections at once; static, for both sides of a network.
 *
 * usage: talk serve PORT: sends back what comes, by TCP and UDP, to that port.
 *        talk accept FD: the same, to the first that connects to what listens there.
 *        talk ask ADDRESS PORT CONNECTIONS: datagrams up to the largest that the family has, then
 *          that many connections, all open before the first one says something; says what came
 *          back as it left. 1: something did not.
 *        talk once ADDRESS PORT: what stdin has, as a datagram of a socket that is not connected;
 * says who answers, and with how much.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 65535
#define CONNECTIONS_MAX 2000
#define WORDS 1000 /* bytes, for each connection */
#define ATTEMPTS 20
#define ATTEMPT_MS 3000

static unsigned char sent[DATAGRAM_MAX], got[DATAGRAM_MAX];

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	const int code = errno;
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fprintf(stderr, ": %s\n", strerror(code));
	exit(1);
}

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

/* ---- the server ---- */

static int open_port(int type, uint16_t port)
{
	const struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int on = 1, off = 0;
	int fd = socket(AF_INET6, type, 0), result;

	if (fd >= 0) {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		result = bind(fd, (const struct sockaddr *)&any6, sizeof(any6));
	} else {
		fd = socket(AF_INET, type, 0);
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		result = bind(fd, (const struct sockaddr *)&any4, sizeof(any4));
	}
	if (result < 0 || (type == SOCK_STREAM && listen(fd, CONNECTIONS_MAX) < 0))
		die("port %u", port);
	return fd;
}

static void echo_datagram(int fd)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	ssize_t n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &size);

	if (n >= 0)
		(void)sendto(fd, got, (size_t)n, 0, (struct sockaddr *)&from, size);
}

/* False: it has ended. */
static int echo_words(int fd)
{
	ssize_t n = read(fd, got, sizeof(got));

	return n > 0 && write(fd, got, (size_t)n) == n;
}

static int serve(uint16_t port)
{
	static struct pollfd fds[CONNECTIONS_MAX + 2];
	nfds_t n = 2;

	fds[0] = (struct pollfd){ .fd = open_port(SOCK_STREAM, port), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = open_port(SOCK_DGRAM, port), .events = POLLIN };
	for (;;) {
		if (poll(fds, n, -1) < 0)
			die("poll");
		for (nfds_t i = n; i-- > 2;)
			if (fds[i].revents && !echo_words(fds[i].fd)) {
				(void)close(fds[i].fd);
				fds[i] = fds[--n];
			}
		if (fds[1].revents)
			echo_datagram(fds[1].fd);
		if (fds[0].revents && n < CONNECTIONS_MAX + 2) {
			int fd = accept(fds[0].fd, NULL, NULL);

			if (fd >= 0)
				fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
	}
}

static int accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	while (echo_words(fd))
		;
	return 0;
}

/* ---- the client ---- */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t parse(const char *host, uint16_t port, union address *ret_address)
{
	*ret_address = (union address){ .in6 = { .sin6_family = AF_INET6 } };
	if (inet_pton(AF_INET6, host, &ret_address->in6.sin6_addr) == 1) {
		ret_address->in6.sin6_port = htons(port);
		return sizeof(ret_address->in6);
	}
	ret_address->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	if (inet_pton(AF_INET, host, &ret_address->in.sin_addr) != 1)
		die("%s", host);
	return sizeof(ret_address->in);
}

static int dial(const union address *to, socklen_t size, int type)
{
	int fd = socket(to->any.sa_family, type, 0);

	if (fd < 0 || connect(fd, &to->any, size) < 0)
		die("connect");
	return fd;
}

/* A datagram may get lost; one that comes back otherwise than it left must not. */
static void ask_datagram(int fd, size_t size)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };

	fill(sent, size, (unsigned)size);
	for (int i = 0; i < ATTEMPTS; i++) {
		ssize_t n;

		if (send(fd, sent, size, 0) < 0 && errno != ECONNREFUSED)
			die("a datagram of %zu bytes", size);
		while (poll(&answer, 1, ATTEMPT_MS) > 0) {
			n = recv(fd, got, sizeof(got), 0);
			if (n == (ssize_t)size && memcmp(sent, got, size) == 0)
				return;
			/* (The answer to an attempt for another size.) */
			if (n == (ssize_t)size) {
				errno = EBADMSG;
				die("a datagram of %zu bytes came back changed", size);
			}
			if (n < 0)
				break;
		}
	}
	errno = ETIMEDOUT;
	die("a datagram of %zu bytes", size);
}

static void ask_words(int fd, unsigned seed)
{
	size_t have = 0;

	fill(sent, WORDS, seed);
	while (have < WORDS) {
		ssize_t n = read(fd, got + have, WORDS - have);

		if (n <= 0)
			die("connection %u", seed);
		have += (size_t)n;
	}
	if (memcmp(sent, got, WORDS) != 0) {
		errno = EBADMSG;
		die("connection %u", seed);
	}
}

static int ask(const char *host, uint16_t port, unsigned n)
{
	static const size_t sizes[] = { 0, 1, 1200, 1472, 1473, 4000, 9000, 30000, 65507, 65527 };
	static int fds[CONNECTIONS_MAX];
	union address to;
	const socklen_t size = parse(host, port, &to);
	const size_t largest = to.any.sa_family == AF_INET ? 65507 : 65527;
	size_t datagrams = 0;
	int fd = dial(&to, size, SOCK_DGRAM);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i] <= largest) {
			ask_datagram(fd, sizes[i]);
			datagrams++;
		}
	(void)close(fd);
	for (unsigned i = 0; i < n; i++)
		fds[i] = dial(&to, size, SOCK_STREAM);
	for (unsigned i = 0; i < n; i++) {
		fill(sent, WORDS, i);
		if (write(fds[i], sent, WORDS) != WORDS)
			die("connection %u", i);
	}
	for (unsigned i = 0; i < n; i++)
		ask_words(fds[i], i);
	(void)printf("%zu datagrams, %u connections\n", datagrams, n);
	return 0;
}

static int once(const char *host, uint16_t port)
{
	union address to, from;
	socklen_t size = parse(host, port, &to), from_size = sizeof(from);
	int fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	char name[INET6_ADDRSTRLEN] = "";
	ssize_t n = read(STDIN_FILENO, sent, sizeof(sent));

	if (fd < 0 || n < 0 || sendto(fd, sent, (size_t)n, 0, &to.any, size) < 0)
		die("a datagram");
	errno = ETIMEDOUT;
	if (poll(&answer, 1, ATTEMPTS * ATTEMPT_MS) < 1)
		die("an answer");
	n = recvfrom(fd, got, sizeof(got), 0, &from.any, &from_size);
	if (n < 0)
		die("an answer");
	if (from.any.sa_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &from.in6.sin6_addr, name, sizeof(name));
	else
		(void)inet_ntop(AF_INET, &from.in.sin_addr, name, sizeof(name));
	/* (The port is at the same place in both.) */
	(void)printf("%s %u %zd\n", name, ntohs(from.in.sin_port), n);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve((uint16_t)atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "accept") == 0)
		return accept_one(atoi(argv[2]));
	if (argc == 5 && strcmp(argv[1], "ask") == 0 && atoi(argv[4]) >= 0 &&
	    atoi(argv[4]) <= CONNECTIONS_MAX)
		return ask(argv[2], (uint16_t)atoi(argv[3]), (unsigned)atoi(argv[4]));
	if (argc == 4 && strcmp(argv[1], "once") == 0)
		return once(argv[2], (uint16_t)atoi(argv[3]));
	(void)fputs(
	    "usage: talk serve PORT | talk accept FD | talk ask ADDRESS PORT CONNECTIONS |\n"
	    "       talk once ADDRESS PORT\n",
	    stderr);
	return 2;
}
