/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of --console-socket, for tests: `console-receiver SOCKET [WIDTHxHEIGHT]`
 * waits for the master of a terminal, sets its size if told, and copies what comes from
 * it to stdout until it hangs up. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_close_ int listen_fd = -1, connection = -1, master = -1;
	struct winsize size = { 0 };
	int fds[FD_PASS_MAX];
	char bytes[4096];
	size_t n_fds = 0;
	ssize_t n;

	if (argc < 2)
		return 2;
	listen_fd = unix_listen(argv[1], 0600, &error);
	if (listen_fd < 0) {
		(void)fprintf(stderr, "%s\n", error->message);
		return 1;
	}
	connection = accept(listen_fd, NULL, NULL);
	if (connection < 0 || recv_with_fds(connection, bytes, sizeof(bytes), fds, &n_fds) <= 0 ||
	    n_fds != 1)
		return 1;
	master = fds[0];
	if (!isatty(master))
		return 1;
	if (argc > 2 && sscanf(argv[2], "%hux%hu", &size.ws_col, &size.ws_row) == 2 &&
	    ioctl(master, TIOCSWINSZ, &size) < 0)
		return 1;
	while ((n = read(master, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && write_all(STDOUT_FILENO, bytes, (size_t)n) < 0)
			return 1;
	return 0;
}
