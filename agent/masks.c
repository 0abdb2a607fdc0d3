/* SPDX-License-Identifier: Apache-2.0 */
/* Masked and read-only paths: see mounts.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/inroot.h"
#include "agent/mounts.h"

/* A path that is not there, or lies below a file, needs no hiding. */
static bool is_absent(int code)
{
	return code == ENOENT || code == ENOTDIR;
}

static int mask_path(const char *path, int root_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = inroot_open(root_fd, path, O_PATH, 0);
	char target[FD_PATH_SIZE];
	struct stat st;
	int result;

	if (fd < 0 && is_absent(errno))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "can't mask path \"%s\"", path);
	if (S_ISDIR(st.st_mode))
		result = mount("tmpfs", fd_path(fd, target), "tmpfs", MS_RDONLY, NULL);
	else
		result = mount("/dev/null", fd_path(fd, target), NULL, MS_BIND, NULL);
	if (result < 0)
		return error_set_errno(ret_error, errno, "can't mask path \"%s\"", path);
	return 0;
}

int mask_paths(char *const *paths, int root_fd, struct error **ret_error)
{
	for (size_t i = 0; paths && paths[i]; i++)
		if (mask_path(paths[i], root_fd, ret_error) < 0)
			return -1;
	return 0;
}

/* A copy of the tree, made read-only before it covers the original. */
static int protect_path(const char *path, int root_fd, struct error **ret_error)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int fd = inroot_open(root_fd, path, O_PATH, 0);
	_cleanup_close_ int tree_fd = -1;

	if (fd < 0 && is_absent(errno))
		return 0;
	if (fd >= 0)
		tree_fd = open_tree(
		    fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (tree_fd < 0 ||
	    mount_setattr(tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree_fd, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_set_errno(ret_error, errno, "can't make \"%s\" read-only", path);
	return 0;
}

int protect_paths(char *const *paths, int root_fd, struct error **ret_error)
{
	for (size_t i = 0; paths && paths[i]; i++)
		if (protect_path(paths[i], root_fd, ret_error) < 0)
			return -1;
	return 0;
}
