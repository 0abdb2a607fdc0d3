/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals in the container's devpts: see terminal.h. */
#include "agent/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/inroot.h"

#ifndef DEVPTS_SUPER_MAGIC
#define DEVPTS_SUPER_MAGIC 0x1cd1
#endif

/* The image or a running container decides what is at /dev/ptmx: only the
 * real one will do. Looked at through O_PATH: opening some other node might act. */
static int open_multiplexer(int root_fd, struct error **ret_error)
{
	_cleanup_close_ int path_fd = inroot_open(root_fd, "/dev/ptmx", O_PATH, 0);
	char path[FD_PATH_SIZE];
	struct statfs fs;
	struct stat st;
	int fd;

	if (path_fd < 0 || fstat(path_fd, &st) < 0 || fstatfs(path_fd, &fs) < 0)
		return error_set_errno(ret_error, errno, "open /dev/ptmx");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) || fs.f_type != DEVPTS_SUPER_MAGIC)
		return error_set(ret_error, EINVAL,
				 "/dev/ptmx is not a terminal multiplexer: is devpts mounted?");
	fd = open(fd_path(path_fd, path), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "open /dev/ptmx");
	return fd;
}

int agent_terminal_open(int root_fd, uint32_t width, uint32_t height, int *ret_master_fd,
			int *ret_slave_fd, struct error **ret_error)
{
	_cleanup_close_ int master_fd = open_multiplexer(root_fd, ret_error);
	_cleanup_close_ int slave_fd = -1;
	int unlock = 0;

	if (master_fd < 0)
		return -1;
	if (ioctl(master_fd, TIOCSPTLCK, &unlock) < 0)
		return error_set_errno(ret_error, errno, "cannot unlock the terminal");
	slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the terminal's slave");
	if (width != 0 && height != 0 &&
	    agent_terminal_resize(master_fd, width, height, ret_error) < 0)
		return -1;
	*ret_master_fd = TAKE_FD(master_fd);
	*ret_slave_fd = TAKE_FD(slave_fd);
	return 0;
}

int agent_terminal_bind_console(int root_fd, int slave_fd, struct error **ret_error)
{
	_cleanup_close_ int dev_fd = -1;
	_cleanup_close_ int console_fd = -1;
	_cleanup_close_ int tree_fd = -1;

	if (inroot_make_directories(root_fd, "/dev", 0755, &dev_fd, ret_error) < 0)
		return -1;
	if (mknodat(dev_fd, "console", S_IFREG | 0666, 0) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make /dev/console");
	console_fd = openat(dev_fd, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	tree_fd = open_tree(slave_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (console_fd < 0 || tree_fd < 0 ||
	    move_mount(tree_fd, "", console_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot bind the terminal on /dev/console");
	return 0;
}

int agent_terminal_control(int slave_fd, struct error **ret_error)
{
	if (ioctl(slave_fd, TIOCSCTTY, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set the controlling terminal");
	return 0;
}

int agent_terminal_resize(int fd, uint32_t width, uint32_t height, struct error **ret_error)
{
	struct winsize size = {
		.ws_col = (unsigned short)(width > 65535 ? 65535 : width),
		.ws_row = (unsigned short)(height > 65535 ? 65535 : height),
	};

	if (ioctl(fd, TIOCSWINSZ, &size) < 0)
		return error_set_errno(ret_error, errno, "cannot resize the terminal");
	return 0;
}
