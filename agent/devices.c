/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes and links in a container's /dev: see devices.h. */
#include "agent/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/inroot.h"
#include "base/alloc.h"

static const struct spec_device default_devices[] = {
	{ .path = (char *)"/dev/null", .type = 'c', .major = 1, .minor = 3 },
	{ .path = (char *)"/dev/random", .type = 'c', .major = 1, .minor = 8 },
	{ .path = (char *)"/dev/full", .type = 'c', .major = 1, .minor = 7 },
	{ .path = (char *)"/dev/tty", .type = 'c', .major = 5, .minor = 0 },
	{ .path = (char *)"/dev/zero", .type = 'c', .major = 1, .minor = 5 },
	{ .path = (char *)"/dev/urandom", .type = 'c', .major = 1, .minor = 9 },
};

static const struct {
	const char *target, *path;
} default_links[] = {
	{ "/proc/self/fd", "/dev/fd" },	      { "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
	{ "pts/ptmx", "/dev/ptmx" },
};

static mode_t node_type(char type)
{
	return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

/* As runc: what is there already, of whatever kind, is the image's and stays as it is. */
static int make_node(int parent_fd, const char *name, const struct spec_device *device,
		     struct error **ret_error)
{
	mode_t mode = device->has_file_mode ? device->file_mode & 07777 : 0666;
	dev_t number = makedev((unsigned int)device->major, (unsigned int)device->minor);

	if (mknodat(parent_fd, name, node_type(device->type) | mode, number) < 0) {
		if (errno == EEXIST)
			return 0;
		return error_set_errno(ret_error, errno, "error creating device nodes: mknod %s",
				       device->path);
	}
	if (fchmodat(parent_fd, name, mode, 0) < 0 ||
	    fchownat(parent_fd, name, device->has_uid ? device->uid : 0,
		     device->has_gid ? device->gid : 0, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(ret_error, errno, "error creating device nodes: chown %s",
				       device->path);
	return 0;
}

static int bind_node(int parent_fd, const char *name, const struct spec_device *device,
		     const char *source, struct error **ret_error)
{
	char target[FD_PATH_SIZE];
	_cleanup_close_ int fd = -1;

	if (mknodat(parent_fd, name, S_IFREG | 0666, 0) == 0 || errno == EEXIST)
		fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || mount(source, fd_path(fd, target), NULL, MS_BIND, NULL) < 0)
		return error_set_errno(ret_error, errno, "error creating device nodes: bind %s",
				       device->path);
	return 0;
}

/* source: the node to bind; NULL: it is made. */
static int make_device(const struct spec_device *device, int root_fd, const char *source,
		       struct error **ret_error)
{
	_cleanup_close_ int parent_fd = -1;
	_cleanup_free_ char *name = NULL;

	if (inroot_make_parent(root_fd, device->path, &parent_fd, &name, ret_error) < 0)
		return -1;
	return source ? bind_node(parent_fd, name, device, source, ret_error)
		      : make_node(parent_fd, name, device, ret_error);
}

static int make_link(const char *target, const char *path, int root_fd, struct error **ret_error)
{
	_cleanup_close_ int parent_fd = -1;
	_cleanup_free_ char *name = NULL;

	if (inroot_make_parent(root_fd, path, &parent_fd, &name, ret_error) < 0)
		return -1;
	/* The ptmx node of an image is not the one of the container's devpts. */
	if (strcmp(path, "/dev/ptmx") == 0 && unlinkat(parent_fd, name, 0) < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot replace %s", path);
	if (symlinkat(target, parent_fd, name) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "error setting up symlinks: %s", path);
	return 0;
}

/* A node of linux.devices replaces the default one of the same path. */
static bool is_overridden(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->linux_.n_devices; i++)
		if (strcmp(spec->linux_.devices[i].path, path) == 0)
			return true;
	return false;
}

/* The owner's id outside of the namespace; of one that is not mapped, root's. */
static uint32_t map_id(uint32_t id, const struct spec_id_mapping *mappings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (id >= mappings[i].container_id &&
		    id - mappings[i].container_id < mappings[i].size)
			return mappings[i].host_id + (id - mappings[i].container_id);
	return 0;
}

int devices_prepare(const struct spec *spec, const char *directory, struct error **ret_error)
{
	const struct spec_linux *linux_ = &spec->linux_;
	_cleanup_close_ int fd = -1;

	if (mkdir(directory, 0755) == 0)
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", directory);
	for (size_t i = 0; i < linux_->n_devices; i++) {
		_cleanup_free_ char *name = xasprintf("%zu", i);
		struct spec_device node = linux_->devices[i];

		node.uid = map_id(node.uid, linux_->uid_mappings, linux_->n_uid_mappings);
		node.gid = map_id(node.gid, linux_->gid_mappings, linux_->n_gid_mappings);
		node.has_uid = node.has_gid = true;
		if (make_node(fd, name, &node, ret_error) < 0)
			return -1;
	}
	return 0;
}

int devices_make(const struct spec *spec, int root_fd, const char *prepared,
		 struct error **ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
		if (!is_overridden(spec, default_devices[i].path) &&
		    make_device(&default_devices[i], root_fd,
				prepared ? default_devices[i].path : NULL, ret_error) < 0)
			return -1;
	for (size_t i = 0; i < spec->linux_.n_devices; i++) {
		_cleanup_free_ char *node = prepared ? xasprintf("%s/%zu", prepared, i) : NULL;

		/* runc: ptmx is always the link */
		if (strcmp(spec->linux_.devices[i].path, "/dev/ptmx") != 0 &&
		    make_device(&spec->linux_.devices[i], root_fd, node, ret_error) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(default_links); i++)
		if (make_link(default_links[i].target, default_links[i].path, root_fd, ret_error) <
		    0)
			return -1;
	if (access("/proc/kcore", F_OK) == 0)
		return make_link("/proc/kcore", "/dev/core", root_fd, ret_error);
	return 0;
}
