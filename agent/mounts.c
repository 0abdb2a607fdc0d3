/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of config.json: see mounts.h.  Every destination is resolved
 * inside the root to a descriptor, and mounted on through it.
 */
#include "agent/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/inroot.h"
#include "agent/mount-place.h"
#include "agent/sources.h"
#include "base/alloc.h"
#include "base/go-error.h"
#include "runtime-spec/mount-options.h"

static bool is_dev(const struct spec_mount *mount)
{
	return strcmp(mount->destination, "/dev") == 0 || strcmp(mount->destination, "/dev/") == 0;
}

static bool is_tmpfs(const struct spec_mount *mount)
{
	return mount->type && strcmp(mount->type, "tmpfs") == 0;
}

bool agent_mounts_bind_dev(const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (is_dev(&spec->mounts[i]) && mount_is_bind(&spec->mounts[i]))
			return true;
	return false;
}

/* As runc: they stay writable until everything is in place. */
static bool readonly_is_deferred(const struct spec_mount *mount)
{
	return (is_dev(mount) && !mount_is_bind(mount)) || is_tmpfs(mount);
}

static int refuse(const struct spec_mount *mount, const struct mount_options *options,
		  struct error **ret_error)
{
	if (options->idmap || mount->n_uid_mappings > 0 || mount->n_gid_mappings > 0)
		return error_set(ret_error, EINVAL,
				 "mount %s: only bind mounts of the host's files can be idmapped",
				 mount->destination);
	if (mount_is_bind(mount) && !(options->flags & MS_REMOUNT))
		return error_set(ret_error, EINVAL,
				 "mount %s: the host passed no source for the bind",
				 mount->destination);
	if (options->copyup)
		return error_set(ret_error, EINVAL, "mount %s: copyup is for binds of directories",
				 mount->destination);
	if (!mount_is_bind(mount) && (!mount->type || mount->type[0] == '\0'))
		return error_set(ret_error, EINVAL, "mount %s: the type is missing",
				 mount->destination);
	return 0;
}

/* The directory to mount on, and whether it had to be made.  proc and sysfs go on
 * real directories only: what the agent and the container's programs find at /proc
 * must be theirs. */
static int open_destination(const struct spec_mount *mount, int root_fd, int *ret_fd,
			    bool *ret_made, struct error **ret_error)
{
	uint64_t resolve = 0;
	int fd;

	if (mount->type && (strcmp(mount->type, "proc") == 0 || strcmp(mount->type, "sysfs") == 0))
		resolve = RESOLVE_NO_SYMLINKS;
	fd = inroot_open(root_fd, mount->destination, O_PATH, resolve);
	*ret_made = fd < 0;
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno == ELOOP && resolve)
		return error_set(ret_error, EINVAL,
				 "filesystem \"%s\" must be mounted on ordinary directory",
				 mount->type);
	return inroot_make_directories(root_fd, mount->destination, 0755, ret_fd, ret_error);
}

/* An option that is in no table went to the file system: it may be what it minds. */
static int data_error(const struct spec_mount *mount, int code, const char *data,
		      struct error **ret_error)
{
	if (code != EINVAL || !data || data[0] == '\0')
		return mount_place_error(mount, code, ret_error);
	return error_set_go(
	    ret_error, code, "error mounting \"%s\" to rootfs at \"%s\": %s does not take \"%s\"",
	    mount->source ? mount->source : mount->type, mount->destination, mount->type, data);
}

char *mounts_tmpfs_bound(const struct spec *spec)
{
	const int64_t *limit = spec->has_linux && spec->linux_.has_resources
				   ? spec->linux_.resources.memory.limit
				   : NULL;
	struct sysinfo info;

	if (!limit || *limit <= 0 || sysinfo(&info) < 0 ||
	    (uint64_t)*limit >= (uint64_t)info.totalram * info.mem_unit)
		return xstrdup("");
	return xasprintf("size=%lld,", (long long)*limit / 2);
}

/* As runc: a tmpfs has the mode of the directory that it covers, and the kernel's
 * own, 1777, where that was made for it.  A mode= of the caller's comes later, so it
 * counts; runc 1.1.5 still let the directory win. */
static char *tmpfs_data(const struct mount_options *options, const char *bound, int destination_fd,
			bool made)
{
	const char *data = options->data ? options->data : "";
	struct stat st;

	if (made || fstat(destination_fd, &st) < 0)
		return xasprintf("%s%s", bound, data);
	return xasprintf("%smode=%o%s%s", bound, st.st_mode & 07777, *data ? "," : "", data);
}

/* Mounts on STAGE/copyup, fills it with what destination_fd holds, and moves it
 * there. */
static int mount_copyup(const struct agent_config *config, const struct spec_mount *mnt,
			unsigned long flags, const char *data, int destination_fd,
			struct error **ret_error)
{
	_cleanup_free_ char *staged = xasprintf("%s/copyup", config->stage_dir);
	_cleanup_close_ int from_fd = -1;
	_cleanup_close_ int to_fd = -1;
	char target[FD_PATH_SIZE];

	if ((mkdir(staged, 0700) < 0 && errno != EEXIST) ||
	    mount("tmpfs", staged, "tmpfs", flags, data) < 0)
		return mount_place_error(mnt, errno, ret_error);
	from_fd = open(fd_path(destination_fd, target), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to_fd = open(staged, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from_fd < 0 || to_fd < 0)
		return mount_place_error(mnt, errno, ret_error);
	if (copy_tree(from_fd, to_fd, ret_error) < 0)
		return error_wrap(ret_error, "tmpcopyup %s", mnt->destination);
	if (mount(staged, target, NULL, MS_MOVE, NULL) < 0)
		return mount_place_error(mnt, errno, ret_error);
	return 0;
}

static int apply_attributes(const struct spec_mount *mnt, const struct mount_options *options,
			    int root_fd, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	char target[FD_PATH_SIZE];
	struct mount_attr attr = {
		.attr_set = options->recursive_set,
		.attr_clr = options->recursive_clear,
	};

	if (options->n_propagations == 0 && attr.attr_set == 0 && attr.attr_clr == 0)
		return 0;
	fd = inroot_open(root_fd, mnt->destination, O_PATH, 0);
	if (fd < 0)
		return mount_place_error(mnt, errno, ret_error);
	for (size_t i = 0; i < options->n_propagations; i++)
		if (mount(NULL, fd_path(fd, target), NULL, options->propagations[i], NULL) < 0)
			return mount_place_error(mnt, errno, ret_error);
	if ((attr.attr_set || attr.attr_clr) &&
	    mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return mount_place_error(mnt, errno, ret_error);
	return 0;
}

/* A user namespace without a cgroup namespace of its own may not mount cgroup2;
 * runc then shows the one that is there. */
static int bind_cgroup(const struct agent_config *config, const struct spec_mount *mnt,
		       unsigned long flags, int destination_fd, struct error **ret_error)
{
	uint64_t clear;
	struct mount_attr attr = { .attr_set = mount_attributes(flags, &clear), .attr_clr = clear };
	_cleanup_close_ int tree_fd =
	    open_tree(AT_FDCWD, config->cgroup_root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree_fd < 0 || mount_setattr(tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree_fd, "", destination_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return mount_place_error(mnt, errno, ret_error);
	return 0;
}

static int mount_one(const struct agent_config *config, const struct spec_mount *mnt,
		     const struct mount_options *options, const char *bound, int root_fd,
		     struct error **ret_error)
{
	/* cgroup v2 is all there is in the guest; runc, too, mounts it for "cgroup". */
	bool cgroup =
	    mnt->type && (strcmp(mnt->type, "cgroup") == 0 || strcmp(mnt->type, "cgroup2") == 0);
	const char *type = cgroup ? "cgroup2" : mnt->type;
	unsigned long flags = options->flags;
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = -1;
	char target[FD_PATH_SIZE];
	bool made;

	if (refuse(mnt, options, ret_error) < 0 ||
	    open_destination(mnt, root_fd, &fd, &made, ret_error) < 0 ||
	    mount_place_check(mnt, root_fd, fd, ret_error) < 0)
		return -1;
	if (readonly_is_deferred(mnt) && !(flags & MS_REMOUNT))
		flags &= ~(unsigned long)MS_RDONLY;
	if (is_tmpfs(mnt))
		data = tmpfs_data(options, bound, fd, made);
	else if (!cgroup && options->data)
		data = xstrdup(options->data);
	if (is_tmpfs(mnt) && options->tmpcopyup)
		return mount_copyup(config, mnt, flags, data, fd, ret_error);
	if (mount_is_bind(mnt))
		flags |= MS_BIND; /* a remount */
	if (mount(mnt->source ? mnt->source : type, fd_path(fd, target), type, flags, data) == 0)
		return 0;
	if (cgroup && (errno == EPERM || errno == EBUSY))
		return bind_cgroup(config, mnt, flags, fd, ret_error);
	return data_error(mnt, errno, data, ret_error);
}

int agent_mounts_make(const struct agent_config *config, const struct files *files,
		      const struct spec *spec, int root_fd, struct error **ret_error)
{
	_cleanup_free_ char *bound = mounts_tmpfs_bound(spec);

	if (source_mount_volumes(config, files, root_fd, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		_cleanup_(mount_options_done) struct mount_options options = { 0 };
		const struct spec_mount *mnt = &spec->mounts[i];
		const struct mount_source *source = files_source(files, i);

		if (mount_options_parse(mnt->options, &options, ret_error) < 0)
			return error_wrap(ret_error, "mount %s", mnt->destination);
		if ((source ? source_mount(config, source, mnt, &options, root_fd, ret_error)
			    : mount_one(config, mnt, &options, bound, root_fd, ret_error)) < 0 ||
		    apply_attributes(mnt, &options, root_fd, ret_error) < 0)
			return -1;
	}
	return 0;
}

int agent_mounts_finish(const struct spec *spec, int root_fd, struct error **ret_error)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	for (size_t i = 0; i < spec->n_mounts; i++) {
		_cleanup_(mount_options_done) struct mount_options options = { 0 };
		const struct spec_mount *mnt = &spec->mounts[i];
		_cleanup_close_ int fd = -1;

		if (!readonly_is_deferred(mnt))
			continue;
		if (mount_options_parse(mnt->options, &options, ret_error) < 0)
			return error_wrap(ret_error, "mount %s", mnt->destination);
		if (!(options.flags & MS_RDONLY))
			continue;
		fd = inroot_open(root_fd, mnt->destination, O_PATH, 0);
		if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
			return mount_place_error(mnt, errno, ret_error);
	}
	return 0;
}
