/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting what the host gives: see sources.h. */
#include "agent/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/boot.h"
#include "agent/disk.h"
#include "agent/inroot.h"
#include "agent/mount-place.h"
#include "agent/mounts.h"
#include "base/alloc.h"
#include "base/go-error.h"

/* Where the mount goes: what is there must be of the source's kind. */
static int open_destination(const struct spec_mount *mount, bool directory, int root_fd,
			    int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (directory
		? inroot_make_directories(root_fd, mount->destination, 0755, &fd, ret_error) < 0
		: inroot_make_file(root_fd, mount->destination, 0755, &fd, ret_error) < 0)
		return error_wrap(ret_error, "error mounting \"%s\" to rootfs at \"%s\"",
				  mount->source ? mount->source : mount->type, mount->destination);
	if (fstat(fd, &st) < 0)
		return mount_place_error(mount, errno, ret_error);
	if (S_ISDIR(st.st_mode) != directory)
		return mount_place_error(mount, ENOTDIR, ret_error);
	if (mount_place_check(mount, root_fd, fd, ret_error) < 0)
		return -1;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What the mount will cover, into what is mounted. */
static int copy_up(const struct spec_mount *mount, int destination_fd, int tree_fd,
		   struct error **ret_error)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	char path[FD_PATH_SIZE];
	_cleanup_close_ int from = open(fd_path(destination_fd, path), flags);
	_cleanup_close_ int to = openat(tree_fd, ".", flags);

	if (from < 0 || to < 0)
		return mount_place_error(mount, errno, ret_error);
	return copy_tree_into_empty(from, to, ret_error) < 0
		   ? error_wrap(ret_error, "copyup %s", mount->destination)
		   : 0;
}

/* A bind of path, or of the tree of mounts there. */
static int bind_path(const char *path, const struct spec_mount *mount,
		     const struct mount_options *options, uint64_t attributes, int root_fd,
		     struct error **ret_error)
{
	const unsigned int recursive = options->flags & MS_REC ? AT_RECURSIVE : 0;
	_cleanup_close_ int tree_fd =
	    open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	_cleanup_close_ int fd = -1;
	struct mount_attr attr = { 0 };
	uint64_t clear;
	struct stat st;

	if (tree_fd < 0 || fstat(tree_fd, &st) < 0)
		return mount_place_error(mount, errno, ret_error);
	if (open_destination(mount, S_ISDIR(st.st_mode), root_fd, &fd, ret_error) < 0)
		return -1;
	if (options->copyup && S_ISDIR(st.st_mode) && !(options->flags & MS_RDONLY) &&
	    copy_up(mount, fd, tree_fd, ret_error) < 0)
		return -1;
	attr.attr_set = attributes | mount_attributes(options->flags, &clear);
	attr.attr_clr = clear;
	if (mount_setattr(tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree_fd, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return mount_place_error(mount, errno, ret_error);
	return 0;
}

static int mount_disk(const struct agent_config *config, const char *serial,
		      const struct spec_mount *mnt, const struct mount_options *options,
		      int root_fd, struct error **ret_error)
{
	_cleanup_free_ char *device = NULL;
	_cleanup_close_ int fd = -1;
	char target[FD_PATH_SIZE];

	if (disk_wait(config->block_dir, serial, &device, ret_error) < 0 ||
	    open_destination(mnt, true, root_fd, &fd, ret_error) < 0)
		return -1;
	boot_load_module(strncmp(mnt->type, "ext", 3) == 0 ? "ext4" : mnt->type);
	if (mount(device, fd_path(fd, target), mnt->type, options->flags, options->data) < 0)
		return mount_place_error(mnt, errno, ret_error);
	return 0;
}

/* Writable where the host says what is not. */
static int bind_share(const char *path, const struct mount_source *source,
		      const struct spec_mount *mount, const struct mount_options *options,
		      int root_fd, struct error **ret_error)
{
	struct mount_options own = *options;
	uint64_t attributes = source->attributes;

	if (source->host_readonly) {
		own.flags &= ~(unsigned long)MS_RDONLY;
		own.copyup = false;
		attributes &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	}
	return bind_path(path, mount, &own, attributes, root_fd, ret_error);
}

int source_mount(const struct agent_config *config, const struct mount_source *source,
		 const struct spec_mount *mount, const struct mount_options *options, int root_fd,
		 struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;

	switch (source->kind) {
	case SOURCE_SHARE:
		path = xasprintf("%s/share/%s", config->stage_dir, source->name);
		return bind_share(path, source, mount, options, root_fd, ret_error);
	case SOURCE_SOCKET:
		return bind_path(source->name, mount, options, 0, root_fd, ret_error);
	case SOURCE_DISK:
		return mount_disk(config, source->name, mount, options, root_fd, ret_error);
	}
	return error_set(ret_error, EINVAL, "mount %s: unknown source", mount->destination);
}

int source_mount_volumes(const struct agent_config *config, const struct files *files, int root_fd,
			 struct error **ret_error)
{
	for (size_t i = 0; i < files->n_volumes; i++) {
		const struct volume *volume = &files->volumes[i];
		const struct spec_mount mount = { .destination = volume->destination,
						  .type = (char *)"ext4",
						  .source = volume->serial };
		const struct mount_options options = {
			.flags = MS_NOSUID | MS_NODEV | (volume->readonly ? MS_RDONLY : 0)
		};

		if (volume == files_root_disk(files))
			continue;
		if (mount_disk(config, volume->serial, &mount, &options, root_fd, ret_error) < 0)
			return -1;
	}
	return 0;
}
