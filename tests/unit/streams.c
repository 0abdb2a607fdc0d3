/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of tests: see streams.h. */
#include "tests/unit/streams.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/unit/test.h"

void expect(int fd, const char *text)
{
	char got[64] = "";

	CHECK_INT(read_all(fd, got, strlen(text)), (long long)strlen(text));
	CHECK_STRING(got, text);
}

void expect_end(int fd)
{
	char byte;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	CHECK(poll(&poll_fd, 1, 10000) == 1);
	CHECK(read(fd, &byte, 1) <= 0);
}

void make_sockets(int fds[2])
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	(void)set_nonblocking(fds[1], true);
}
