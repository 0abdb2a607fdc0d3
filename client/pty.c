/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudoterminals of the command line: see pty.h. */
#include "client/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/go-error.h"
#include "base/io.h"

int pty_own(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd;
	return -1;
}

int pty_raw(int fd, struct termios *ret_saved)
{
	struct termios raw;

	if (tcgetattr(fd, &raw) < 0)
		return -1;
	*ret_saved = raw;
	cfmakeraw(&raw);
	return tcsetattr(fd, TCSANOW, &raw);
}

static void set_size(int fd, uint32_t width, uint32_t height)
{
	struct winsize size = { 0 };
	const int own = pty_own();

	if (width != 0 && height != 0) {
		size.ws_col = (unsigned short)MIN(width, (uint32_t)UINT16_MAX);
		size.ws_row = (unsigned short)MIN(height, (uint32_t)UINT16_MAX);
	} else if (own < 0 || ioctl(own, TIOCGWINSZ, &size) < 0) {
		return;
	}
	(void)ioctl(fd, TIOCSWINSZ, &size);
}

int pty_open(struct pty *ret_pty, uint32_t width, uint32_t height, struct error **ret_error)
{
	_cleanup_pty_ struct pty pty = PTY_NONE;
	struct termios saved;

	pty.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty.master < 0 || unlockpt(pty.master) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pseudoterminal");
	/* Not by its name: another mount namespace's /dev/pts would have another's. */
	pty.slave = ioctl(pty.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty.slave < 0 || pty_raw(pty.slave, &saved) < 0)
		return error_set_errno(ret_error, errno, "cannot open the pseudoterminal");
	set_size(pty.slave, width, height);
	*ret_pty = pty;
	pty = (struct pty)PTY_NONE;
	return 0;
}

void pty_close(struct pty *pty)
{
	close_fdp(&pty->master);
	close_fdp(&pty->slave);
	*pty = (struct pty)PTY_NONE;
}

int pty_send(const struct pty *pty, const char *console_socket, struct error **ret_error)
{
	char name[64] = "/dev/ptmx";
	_cleanup_close_ int fd = unix_connect(console_socket, ret_error);

	if (fd < 0)
		return -1;
	/* runc sends the slave's name as the message's bytes. */
	(void)ptsname_r(pty->master, name, sizeof(name));
	if (send_with_fds(fd, name, strlen(name), &pty->master, 1) < 0)
		return error_set_errno(ret_error, errno, "cannot send the terminal to %s",
				       console_socket);
	return 0;
}

int pty_check(bool terminal, bool detach, const char *console_socket, struct error **ret_error)
{
	if (terminal && detach && !console_socket)
		return error_set(ret_error, EINVAL,
				 "cannot allocate tty if " PACKAGE_NAME
				 " will detach without setting console socket");
	if (console_socket && (!terminal || !detach))
		return error_set(ret_error, EINVAL,
				 "cannot use console socket if " PACKAGE_NAME
				 " will not detach or allocate tty");
	return 0;
}

int pty_check_own(bool terminal, bool detach, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (!terminal || detach || pty_own() >= 0)
		return 0;
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set_go(ret_error, errno, "open /dev/tty");
	return 0;
}
