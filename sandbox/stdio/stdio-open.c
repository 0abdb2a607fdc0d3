/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the host's side of a task's stdio.
 *
 * Descriptors must not block the loop, but O_NONBLOCK belongs to the open file,
 * which a passed descriptor shares with its sender: setting it there would change
 * a shell's terminal or another program's pipe.  So pipes and character devices
 * are opened anew through /proc/self/fd; sockets have MSG_DONTWAIT; files never
 * block.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "sandbox/stdio/stdio.h"

int stdio_reopen(int fd, int mode)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
	int again = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	/* No right to open it, or a pipe that nobody reads: then the shared
	 * open file it is. */
	if (again < 0) {
		if (set_nonblocking(fd, true) < 0)
			return -1;
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	return again;
}

/* The guest's terminal does the line editing: ours must pass every byte. */
static int make_raw(int fd, struct error **ret_error)
{
	struct termios termios;

	if (tcgetattr(fd, &termios) < 0)
		return error_set_errno(ret_error, errno, "the terminal passed as stdin");
	cfmakeraw(&termios);
	if (tcsetattr(fd, TCSANOW, &termios) < 0)
		return error_set_errno(ret_error, errno, "cannot set up the terminal");
	return 0;
}

static int open_passed(struct ttrpc_call *call, const char *name, enum stdio_stream stream,
		       bool terminal, struct error **ret_error)
{
	static const int modes[] = {
		[STDIO_IN] = O_RDONLY, [STDIO_OUT] = O_WRONLY, [STDIO_ERR] = O_WRONLY
	};
	_cleanup_close_ int fd = -1;
	struct stat st;
	int again;

	if (!isdigit((unsigned char)name[0]) || name[1])
		return error_set(ret_error, EINVAL, "\"fd:%s\" is not a descriptor", name);
	fd = ttrpc_call_take_fd(call, (size_t)(name[0] - '0'));
	if (fd < 0)
		return error_set(ret_error, EINVAL, "descriptor %s did not come with the request",
				 name);
	if (fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "descriptor %s", name);
	if (terminal && make_raw(fd, ret_error) < 0)
		return -1;
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return TAKE_FD(fd);
	again = stdio_reopen(fd, terminal ? O_RDWR : modes[stream]);
	if (again < 0)
		return error_set_errno(ret_error, errno, "descriptor %s", name);
	return again;
}

/* containerd's rules: the writing side keeps a reader of its own, so that one that
 * leaves causes no EPIPE.  The reading side is opened at the task's start only: see
 * stdio_open_stdin(). */
static int open_path(const char *path, enum stdio_stream stream, struct error **ret_error)
{
	struct stat st;
	int fd;

	if (stat(path, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	if (stream == STDIO_IN)
		fd = open(path, O_PATH | O_CLOEXEC);
	else if (S_ISFIFO(st.st_mode))
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	else
		fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return fd;
}

int stdio_open_stdin(int *fd, int *ret_hold, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", *fd);
	_cleanup_close_ int again = -1;
	_cleanup_close_ int hold = -1;
	struct stat st;

	if (!(fcntl(*fd, F_GETFL) & O_PATH))
		return 0;
	again = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (again < 0 || fstat(again, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open the task's stdin");
	/* So that a writer that leaves does not end the file. */
	if (S_ISFIFO(st.st_mode)) {
		hold = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (hold < 0)
			return error_set_errno(ret_error, errno, "cannot open the task's stdin");
	}
	(void)close(*fd);
	*fd = TAKE_FD(again);
	*ret_hold = TAKE_FD(hold);
	return 0;
}

static int open_file(const char *path, struct error **ret_error)
{
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int fd;

	if (directory[0] && make_directories(directory, 0755, ret_error) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return fd;
}

int stdio_open(struct ttrpc_call *call, const char *name, enum stdio_stream stream, bool terminal,
	       int *ret_fd, struct error **ret_error)
{
	int fd;

	if (name[0] == '\0') {
		*ret_fd = -1;
		return 0;
	}
	if (strncmp(name, "fd:", 3) == 0)
		fd = open_passed(call, name + 3, stream, terminal, ret_error);
	else if (strncmp(name, "file:///", 8) == 0 && stream != STDIO_IN)
		fd = open_file(name + 7, ret_error);
	else if (name[0] == '/')
		fd = open_path(name, stream, ret_error);
	else
		fd = error_set(ret_error, ENOTSUP,
			       "stdio by \"%s\" is not supported: a path, file:///path, or, for "
			       "stdout, binary:///path",
			       name);
	if (fd < 0)
		return -1;
	*ret_fd = fd;
	return 0;
}
