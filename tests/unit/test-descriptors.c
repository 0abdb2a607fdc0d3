/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that a guest can be given (host/descriptors.h). */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/descriptors.h"
#include "tests/unit/test.h"

static int is(int fd, Agent__Descriptor__Kind wanted)
{
	Agent__Descriptor__Kind kind = AGENT__DESCRIPTOR__KIND__NOTHING;
	struct error *error = NULL;

	CHECK(fd >= 0);
	CHECK_OK(descriptor_kind(fd, 7, &kind, &error), &error);
	CHECK_INT(kind, wanted);
	return close(fd);
}

static int is_refused(int fd, const char *why)
{
	Agent__Descriptor__Kind kind;
	struct error *error = NULL;

	CHECK(fd >= 0);
	CHECK_ERROR(descriptor_kind(fd, 7, &kind, &error), &error, why);
	return close(fd);
}

static void test_files(void)
{
	char path[] = "/tmp/test-descriptors.XXXXXX";

	is_refused(mkstemp(path), "descriptor 7 is a file that is open for reading and for");
	is(open(path, O_RDONLY | O_CLOEXEC), AGENT__DESCRIPTOR__KIND__INPUT);
	is(open(path, O_WRONLY | O_APPEND | O_CLOEXEC), AGENT__DESCRIPTOR__KIND__OUTPUT);
	is_refused(open(path, O_PATH | O_CLOEXEC), "O_PATH");
	CHECK(unlink(path) == 0);
	is_refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
}

static void test_devices(void)
{
	is(open("/dev/null", O_RDWR | O_CLOEXEC), AGENT__DESCRIPTOR__KIND__NOTHING);
	is_refused(open("/dev/zero", O_RDONLY | O_CLOEXEC), "a device");
	is(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), AGENT__DESCRIPTOR__KIND__OUTPUT);
	is_refused(eventfd(0, EFD_CLOEXEC), "an object of the host's kernel");
}

static int open_fifo(int flags)
{
	char directory[] = "/tmp/test-descriptors.XXXXXX";
	_cleanup_free_ char *path = NULL;
	int fd;

	CHECK(mkdtemp(directory));
	path = xasprintf("%s/fifo", directory);
	CHECK(mkfifo(path, 0600) == 0);
	fd = open(path, flags | O_CLOEXEC);
	CHECK(unlink(path) == 0 && rmdir(directory) == 0);
	return fd;
}

static void test_pipes_and_sockets(void)
{
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	is(fds[0], AGENT__DESCRIPTOR__KIND__INPUT);
	is(fds[1], AGENT__DESCRIPTOR__KIND__OUTPUT);
	/* Its own reader would take what it writes. */
	is(open_fifo(O_RDWR), AGENT__DESCRIPTOR__KIND__OUTPUT);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	is(fds[0], AGENT__DESCRIPTOR__KIND__BOTH_WAYS);
	is(fds[1], AGENT__DESCRIPTOR__KIND__BOTH_WAYS);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(listen(fds[0], 1) == 0);
	is(fds[0], AGENT__DESCRIPTOR__KIND__LISTENER);
	is_refused(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "a socket of packets");
}

static const struct test_case cases[] = {
	{ "files", test_files },
	{ "devices", test_devices },
	{ "pipes and sockets", test_pipes_and_sockets },
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
