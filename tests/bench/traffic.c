/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes and measures TCP traffic; tests/bench/network runs it on both sides.
 *
 * usage: traffic serve PORT
 *          Serves for ever: a connection's first byte says what it is to be (below).
 *        traffic sink|source|echo|connect ADDRESS PORT MILLISECONDS [STREAMS]
 *          Prints what a second brought: KiB sent to the server, KiB that came from it, bytes
 *          that went there and came back one by one, connections made and closed.
 *        traffic tap NAME PAIRS [vhost] -- COMMAND…
 *          Runs COMMAND with that tap as descriptor 9 and /dev/vhost-net as 10; with more pairs of
 *          queues as 11, 12 and so on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define BLOCK (128U << 10)
#define TAP_FD 9
#define VHOST_FD 10
#define PAIRS_MAX 8

static char block[BLOCK];

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

/* ---- the server ---- */

static void serve_one(int fd)
{
	char kind;
	ssize_t n;

	if (read(fd, &kind, 1) != 1)
		return;
	if (kind == 's')
		while (read(fd, block, BLOCK) > 0)
			;
	else if (kind == 'o')
		while (write(fd, block, BLOCK) > 0)
			;
	else if (kind == 'e')
		while ((n = read(fd, block, BLOCK)) > 0 && write(fd, block, (size_t)n) == n)
			;
}

static int serve(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	(void)signal(SIGCHLD, SIG_IGN);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1024) < 0)
		die("port %s", port);
	for (;;) {
		int one = accept(fd, NULL, NULL);
		char kind = 0;

		if (one < 0)
			continue;
		(void)setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		/* A connection that is all there is to it needs no process. */
		if (recv(one, &kind, 1, MSG_PEEK) == 1 && kind != 'c' && fork() == 0) {
			serve_one(one);
			_exit(0);
		}
		(void)close(one);
	}
}

/* ---- the client ---- */

static int dial(const struct sockaddr_in *address, char kind)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (write(fd, &kind, 1) != 1)
		die("write");
	return fd;
}

/* How much until then: bytes, or connections; one in any case. */
static uint64_t measure(const struct sockaddr_in *address, char kind, uint64_t end)
{
	int fd = kind == 'c' ? -1 : dial(address, kind);
	uint64_t count = 0;

	do {
		ssize_t n = 1;

		if (kind == 'c') {
			fd = dial(address, kind);
			(void)read(fd, block, 1);
			(void)close(fd);
		} else if (kind == 's') {
			n = write(fd, block, BLOCK);
		} else {
			if (kind == 'e' && write(fd, block, 1) != 1)
				die("write");
			n = read(fd, block, BLOCK);
		}
		if (n <= 0)
			die("the connection");
		count += (uint64_t)n;
	} while (clock_monotonic_ns() < end);
	return count;
}

static int run_client(char kind, const char *host, const char *port, int milliseconds, int streams)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)atoi(port)) };
	uint64_t *counts = mmap(NULL, (size_t)streams * sizeof(*counts), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t begin, end, total = 0;
	int status;

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || counts == MAP_FAILED)
		die("%s", host);
	begin = clock_monotonic_ns();
	end = begin + (uint64_t)milliseconds * 1000000;
	for (int i = 0; i < streams; i++)
		if (fork() == 0) {
			counts[i] = measure(&address, kind, end);
			_exit(0);
		}
	for (int i = 0; i < streams; i++)
		if (wait(&status) < 0 || status != 0)
			die("a stream");
	for (int i = 0; i < streams; i++)
		total += counts[i];
	(void)printf("%.1f\n", (double)total / (kind == 's' || kind == 'o' ? 1024 : 1) /
				   ((double)(clock_monotonic_ns() - begin) / 1e9));
	return 0;
}

/* ---- the tap ---- */

static void place(const char *path, int fd, int to)
{
	if (fd < 0 || dup2(fd, to) < 0)
		die("%s", path);
	(void)close(fd);
}

static int run_with_tap(const char *name, int pairs, char **command)
{
	struct ifreq request = { 0 };
	const bool vhost = strcmp(command[0], "vhost") == 0;

	if (pairs < 1 || pairs > PAIRS_MAX)
		die("%d pairs of queues", pairs);
	for (int i = 0; i < pairs; i++) {
		request.ifr_flags =
		    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (pairs > 1 ? IFF_MULTI_QUEUE : 0);
		(void)snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
		place("/dev/net/tun", open("/dev/net/tun", O_RDWR), TAP_FD + 2 * i);
		if (ioctl(TAP_FD + 2 * i, TUNSETIFF, &request) < 0)
			die("TUNSETIFF %s", name);
		if (vhost)
			place("/dev/vhost-net", open("/dev/vhost-net", O_RDWR), VHOST_FD + 2 * i);
	}
	command += vhost;
	if (strcmp(command[0], "--") == 0 && command[1])
		(void)execvp(command[1], command + 1);
	die("%s", command[0]);
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "sink", "source", "echo", "connect" };

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc > 5 && strcmp(argv[1], "tap") == 0)
		return run_with_tap(argv[2], atoi(argv[3]), argv + 4);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((argc == 5 || argc == 6) && strcmp(argv[1], kinds[i]) == 0)
			return run_client("soec"[i], argv[2], argv[3], atoi(argv[4]),
					  argc == 6 ? atoi(argv[5]) : 1);
	(void)fputs("usage: see the head of tests/bench/traffic.c\n", stderr);
	return 2;
}
