/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client and a server of unix stream sockets, for guests whose busybox has none;
 * linked statically.
 *
 *   unix-socket connect PATH   stdin goes there, half-closed at its end; the answer
 *                              to stdout
 *   unix-socket echo PATH      answers every connection, when it is half-closed, with
 *                              "echo: " and what came
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void copy(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, m; done < n; done += m)
			if ((m = write(to, bytes + done, (size_t)(n - done))) < 0)
				die("write");
	if (n < 0)
		die("read");
}

static void connect_to(int fd, const struct sockaddr_un *address)
{
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		die(address->sun_path);
	copy(STDIN_FILENO, fd);
	(void)shutdown(fd, SHUT_WR);
	copy(fd, STDOUT_FILENO);
}

static void echo(int fd, const struct sockaddr_un *address)
{
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 || listen(fd, 64) < 0)
		die(address->sun_path);
	for (;;) {
		int connection = accept(fd, NULL, NULL);
		static char all[16 << 20];
		size_t size = 0;
		ssize_t n;

		if (connection < 0)
			die("accept");
		while (size < sizeof(all) &&
		       (n = read(connection, all + size, sizeof(all) - size)) > 0)
			size += (size_t)n;
		if (write(connection, "echo: ", 6) == 6)
			for (size_t done = 0; done < size; done += (size_t)n) {
				n = write(connection, all + done, size - done);
				if (n < 0)
					break;
			}
		(void)close(connection);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 3 || strlen(argv[2]) >= sizeof(address.sun_path)) {
		(void)fputs("usage: unix-socket connect|echo PATH\n", stderr);
		return 2;
	}
	(void)strcpy(address.sun_path, argv[2]);
	if (strcmp(argv[1], "connect") == 0)
		connect_to(fd, &address);
	else
		echo(fd, &address);
	return 0;
}
