/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's staging area: see stage.h. */
#include "host/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/id-map.h"

/* Directories and mount points alone: the guest cannot write here. */
#define STAGE_OPTIONS "mode=0755,size=1m,nr_inodes=4096"
/* fsconfig(2): of a value, in bytes. */
#define OVERLAY_VALUE_MAX 255

struct stage_bind *stage_add_bind(struct stage *stage, char *name, char *source)
{
	struct stage_bind *bind;

	stage->binds = xreallocarray(stage->binds, stage->n_binds + 1, sizeof(stage->binds[0]));
	bind = &stage->binds[stage->n_binds++];
	*bind = (struct stage_bind){ .name = name, .source = source };
	return bind;
}

void stage_copy(const struct stage *from, struct stage *ret_stage)
{
	*ret_stage = (struct stage){ .root = xstrdup(from->root) };
	for (size_t i = 0; i < from->n_binds; i++) {
		struct stage_bind *bind = stage_add_bind(ret_stage, NULL, NULL);

		*bind = from->binds[i];
		bind->name = xstrdup(from->binds[i].name);
		bind->source = xstrdup(from->binds[i].source);
		bind->overlay = xstrdup(from->binds[i].overlay);
		bind->destination = xstrdup(from->binds[i].destination);
		bind->uid_map = xstrdup(from->binds[i].uid_map);
		bind->gid_map = xstrdup(from->binds[i].gid_map);
	}
}

void stage_done(struct stage *stage)
{
	for (size_t i = 0; i < stage->n_binds; i++) {
		free(stage->binds[i].name);
		free(stage->binds[i].source);
		free(stage->binds[i].overlay);
		free(stage->binds[i].destination);
		free(stage->binds[i].uid_map);
		free(stage->binds[i].gid_map);
	}
	free(stage->binds);
	free(stage->root);
	*stage = (struct stage){ 0 };
}

/* One option, "NAME=VALUE" or "NAME". */
static int set_overlay_option(int fs_fd, char *option, struct error **ret_error)
{
	char *value = strchr(option, '=');

	if (value)
		*value++ = '\0';
	if (value && strlen(value) > OVERLAY_VALUE_MAX)
		return error_set(ret_error, E2BIG, "%s=%s: longer than %d bytes", option, value,
				 OVERLAY_VALUE_MAX);
	if (fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option, value, 0) < 0)
		return error_set_errno(ret_error, errno, "%s%s%s", option, value ? "=" : "",
				       value ? value : "");
	return 0;
}

/* An overlay of directories that this process sees, attached nowhere yet. */
static int open_overlay(const struct stage_bind *bind, int *ret_fd, struct error **ret_error)
{
	_cleanup_free_ char *options = xstrdup(bind->overlay);
	_cleanup_close_ int fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);
	char *rest = NULL;
	int fd;

	if (fs_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make an overlay");
	for (char *word = strtok_r(options, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		if (set_overlay_option(fs_fd, word, ret_error) < 0)
			return error_wrap(ret_error, "cannot make an overlay");
	if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot make an overlay (%s)",
				       bind->overlay);
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot mount an overlay");
	*ret_fd = fd;
	return 0;
}

static int open_source(const struct stage_bind *bind, int *ret_fd, struct error **ret_error)
{
	const unsigned int recursive = bind->recursive ? AT_RECURSIVE : 0;
	int fd;

	if (bind->overlay)
		return open_overlay(bind, ret_fd, ret_error);
	fd = open_tree(AT_FDCWD, bind->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot bind %s", bind->source);
	*ret_fd = fd;
	return 0;
}

/* A copy of the source's mount (or tree of mounts), attached nowhere yet.  Devices and set-id bits
 * are the guest's: to the host's kernel they mean nothing there.  (Programs may run: who enters the
 * namespace means to.) */
static int open_bind(const struct stage_bind *bind, int map_fd, int *ret_fd,
		     struct error **ret_error)
{
	const bool readonly = bind->readonly || bind->readonly_recursive;
	struct mount_attr below = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			    (bind->readonly_recursive ? MOUNT_ATTR_RDONLY : 0),
		.propagation = bind->private_mounts ? MS_PRIVATE : MS_SLAVE,
	};
	struct mount_attr attr = {
		.attr_set = readonly ? MOUNT_ATTR_RDONLY : 0,
		.propagation = below.propagation,
	};
	_cleanup_close_ int fd = -1;

	if (open_source(bind, &fd, ret_error) < 0)
		return -1;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &below, sizeof(below)) < 0 ||
	    mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "cannot bind %s%s", bind->source,
				       readonly ? " read-only" : "");
	if (map_fd >= 0 && id_map_mount(fd, map_fd, bind->recursive_map, ret_error) < 0)
		return error_wrap(ret_error, "cannot bind %s with other ids", bind->source);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close_fdp(&fds[i]);
	free(fds);
}

/* Of each bind: the namespace that its owners are mapped by, or -1.  close_all(). */
static int open_maps(const struct stage *stage, int **ret_fds, struct error **ret_error)
{
	int *fds = xcalloc(stage->n_binds + 1, sizeof(*fds));

	for (size_t i = 0; i < stage->n_binds; i++) {
		const struct stage_bind *bind = &stage->binds[i];

		fds[i] = bind->uid_map ? id_map_open(bind->uid_map, bind->gid_map, ret_error) : -1;
		if (!bind->uid_map || fds[i] >= 0)
			continue;
		close_all(fds, i);
		return error_wrap(ret_error, "cannot bind %s with other ids", bind->source);
	}
	*ret_fds = fds;
	return 0;
}

/* What the bind is mounted on: a directory or an empty file, as the source is. */
static int make_mount_point(int root_fd, const struct stage_bind *bind, int bind_fd,
			    struct error **ret_error)
{
	_cleanup_free_ char *parent = xstrdup(bind->name);
	_cleanup_close_ int file = -1;
	struct stat st;
	int result;

	*strchr(parent, '/') = '\0';
	if (fstat(bind_fd, &st) < 0 || (mkdirat(root_fd, parent, 0755) < 0 && errno != EEXIST))
		return error_set_errno(ret_error, errno, "cannot stage %s", bind->name);
	if (S_ISDIR(st.st_mode)) {
		result = mkdirat(root_fd, bind->name, 0755);
	} else {
		file = openat(root_fd, bind->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		result = file;
	}
	if (result < 0)
		return error_set_errno(ret_error, errno, "cannot stage %s", bind->name);
	return 0;
}

static void remove_mount_point(int root_fd, const struct stage_bind *bind)
{
	_cleanup_free_ char *parent = xstrdup(bind->name);

	*strchr(parent, '/') = '\0';
	if (unlinkat(root_fd, bind->name, 0) < 0)
		(void)unlinkat(root_fd, bind->name, AT_REMOVEDIR);
	/* The last one takes the container's directory along. */
	(void)unlinkat(root_fd, parent, AT_REMOVEDIR);
}

static void remove_bind(int root_fd, const struct stage_bind *bind)
{
	/* The namespace's own root may be any container's: nothing is found by path. */
	if (fchdir(root_fd) == 0)
		(void)umount2(bind->name, MNT_DETACH | UMOUNT_NOFOLLOW);
	remove_mount_point(root_fd, bind);
}

static int attach(int root_fd, const struct stage_bind *bind, int bind_fd, struct error **ret_error)
{
	if (make_mount_point(root_fd, bind, bind_fd, ret_error) < 0)
		return -1;
	if (move_mount(bind_fd, "", root_fd, bind->name, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
		int code = errno;

		remove_mount_point(root_fd, bind);
		return error_set_errno(ret_error, code, "cannot stage %s", bind->source);
	}
	return 0;
}

static int set_readonly(int root_fd, bool readonly)
{
	struct mount_attr attr = {
		.attr_set = readonly ? MOUNT_ATTR_RDONLY : 0,
		.attr_clr = readonly ? 0 : MOUNT_ATTR_RDONLY,
	};

	return mount_setattr(root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

static int unshare_mounts(struct error **ret_error)
{
	if (unshare(CLONE_NEWNS) < 0)
		return error_set_errno(ret_error, errno, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0)
		return 0;
	if (errno == EINVAL && !root_is_mount_point())
		return error_set(ret_error, EINVAL,
				 "cannot make a mount namespace: the root directory is not a mount "
				 "point: bind-mount it onto itself and enter it with pivot_root "
				 "instead of chroot");
	return error_set_errno(ret_error, errno, "cannot make the mounts private");
}

/* The current directory is to be the root. */
static int pivot_root(const char *directory, struct error **ret_error)
{
	if (syscall(SYS_pivot_root, ".", "host") == 0)
		return 0;
	/* pivot_root(2): the root's parent is a shared mount, or the root is rootfs. */
	if (errno == EINVAL)
		return error_set(ret_error, EINVAL,
				 "cannot make a root on %s: the root directory was entered by "
				 "chroot (enter it with pivot_root instead), or is the initial RAM "
				 "disk (leave it with switch_root)",
				 directory);
	return error_set_errno(ret_error, errno, "cannot make a root on %s", directory);
}

/* A tmpfs with two directories, which becomes the namespace's root; the host's goes to
 * one of them, and stays that of this process. */
static int make_namespace(const char *directory, struct error **ret_error)
{
	_cleanup_close_ int base_fd = -1;

	if (unshare_mounts(ret_error) < 0)
		return -1;
	if (mount("supermachine", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  STAGE_OPTIONS) < 0)
		return error_set_errno(ret_error, errno, "cannot mount a tmpfs on %s", directory);
	base_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (base_fd < 0 || mkdirat(base_fd, "host", 0755) < 0 ||
	    mkdirat(base_fd, "share", 0755) < 0 || mkdirat(base_fd, "empty", 0755) < 0 ||
	    fchdir(base_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot make a root on %s", directory);
	if (pivot_root(directory, ret_error) < 0)
		return -1;
	if (chroot("/host") < 0)
		return error_set_errno(ret_error, errno, "cannot chroot to the host's root");
	return 0;
}

/* The current directory is the namespace's root. */
static int make_area(const struct stage *stage, const int *maps, int *ret_root_fd,
		     struct error **ret_error)
{
	_cleanup_close_ int root_fd = -1;

	if (mount("supermachine", "share", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  STAGE_OPTIONS) < 0)
		return error_set_errno(ret_error, errno, "cannot mount a staging area");
	root_fd = open("share", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (root_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the staging area");
	for (size_t i = 0; i < stage->n_binds; i++) {
		_cleanup_close_ int bind_fd = -1;

		if (open_bind(&stage->binds[i], maps[i], &bind_fd, ret_error) < 0 ||
		    attach(root_fd, &stage->binds[i], bind_fd, ret_error) < 0)
			return -1;
	}
	if (set_readonly(root_fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot make the staging area read-only");
	*ret_root_fd = TAKE_FD(root_fd);
	return 0;
}

/* Covers the namespace's root, which stays beneath; *ret_fd is that of the cover. */
static int cover_root(const struct stage *stage, int root_fd, int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int base_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int cover_fd = -1;

	if (stage->root)
		cover_fd = open_tree(root_fd, stage->root,
				     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	else
		cover_fd = open_tree(AT_FDCWD, "empty", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (base_fd < 0 || cover_fd < 0 || set_readonly(base_fd, true) < 0 ||
	    (!stage->root && set_readonly(cover_fd, true) < 0) ||
	    move_mount(cover_fd, "", base_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_set_errno(ret_error, errno, "cannot mount over the namespace's root");
	*ret_fd = TAKE_FD(cover_fd);
	return 0;
}

int stage_enter(const char *directory, const struct stage *stage, int *ret_root_fd,
		int *ret_view_fd, struct error **ret_error)
{
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	_cleanup_close_ int root_fd = -1, view_fd = -1;
	int *maps, result;

	if (open_maps(stage, &maps, ret_error) < 0)
		return -1;
	result = make_namespace(directory, ret_error);
	if (result == 0)
		result = make_area(stage, maps, &root_fd, ret_error);
	close_all(maps, stage->n_binds);
	if (result < 0 || cover_root(stage, root_fd, &view_fd, ret_error) < 0)
		return -1;
	if (!cwd || chdir(cwd) < 0)
		return error_set_errno(ret_error, errno, "cannot return to the current directory");
	*ret_root_fd = TAKE_FD(root_fd);
	*ret_view_fd = TAKE_FD(view_fd);
	return 0;
}

/* All or nothing. */
static int attach_all(int root_fd, const struct stage *stage, const int *fds,
		      struct error **ret_error)
{
	for (size_t i = 0; i < stage->n_binds; i++) {
		if (attach(root_fd, &stage->binds[i], fds[i], ret_error) == 0)
			continue;
		for (size_t k = i; k > 0; k--)
			remove_bind(root_fd, &stage->binds[k - 1]);
		return -1;
	}
	return 0;
}

static int enter_namespace(pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/mnt", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		return error_set_errno(ret_error, errno, "cannot enter the mount namespace of %d",
				       (int)pid);
	return 0;
}

static int show_bind(int view_fd, int root_fd, const struct stage_bind *bind)
{
	const unsigned int recursive = bind->recursive ? AT_RECURSIVE : 0;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int at_fd =
	    (int)syscall(SYS_openat2, view_fd, bind->destination, &how, sizeof(how));
	_cleanup_close_ int fd =
	    open_tree(root_fd, bind->name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);

	if (at_fd < 0 || fd < 0)
		return -1;
	return move_mount(fd, "", at_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int protect_bind(int view_fd, int root_fd, const struct stage *stage,
			const struct stage_bind *bind, struct error **ret_error)
{
	_cleanup_close_ int fd = openat(root_fd, bind->name, O_PATH | O_CLOEXEC);
	bool is_root = stage->root && strcmp(stage->root, bind->name) == 0;

	if (fd < 0 || set_readonly(fd, true) < 0 || (is_root && set_readonly(view_fd, true) < 0))
		return error_set_errno(ret_error, errno, "cannot make %s read-only", bind->source);
	return 0;
}

int stage_show(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error)
{
	_cleanup_close_ int view_fd = -1;

	if (enter_namespace(pid, ret_error) < 0)
		return -1;
	view_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (view_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the namespace's root");
	for (size_t i = 0; i < stage->n_binds; i++)
		if (stage->root && stage->binds[i].destination)
			(void)show_bind(view_fd, root_fd, &stage->binds[i]);
	for (size_t i = 0; i < stage->n_binds; i++)
		if (stage->binds[i].readonly_later &&
		    protect_bind(view_fd, root_fd, stage, &stage->binds[i], ret_error) < 0)
			return -1;
	return 0;
}

int stage_extend(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error)
{
	size_t n = 0;
	int *fds = xcalloc(stage->n_binds + 1, sizeof(*fds)), *maps = NULL;
	int result = open_maps(stage, &maps, ret_error);

	/* Here and now: the caller's namespace sees what the other may not. */
	for (; result == 0 && n < stage->n_binds; n++) {
		fds[n] = -1;
		result = open_bind(&stage->binds[n], maps[n], &fds[n], ret_error);
	}
	if (result == 0)
		result = enter_namespace(pid, ret_error);
	if (result == 0 && set_readonly(root_fd, false) < 0)
		result = error_set_errno(ret_error, errno, "cannot write to the staging area");
	if (result == 0) {
		result = attach_all(root_fd, stage, fds, ret_error);
		(void)set_readonly(root_fd, true);
	}
	close_all(fds, n);
	if (maps)
		close_all(maps, stage->n_binds);
	return result;
}

int stage_adopt(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error)
{
	_cleanup_close_ int cover_fd = -1, base_fd = -1;

	if (stage_extend(pid, root_fd, stage, ret_error) < 0)
		return -1;
	if (!stage->root)
		return 0;
	base_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cover_fd =
	    open_tree(root_fd, stage->root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (base_fd < 0 || cover_fd < 0 ||
	    move_mount(cover_fd, "", base_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ||
	    fchdir(cover_fd) < 0 || chroot(".") < 0)
		return error_set_errno(ret_error, errno, "cannot mount over the namespace's root");
	return 0;
}

int stage_shrink(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error)
{
	if (enter_namespace(pid, ret_error) < 0)
		return -1;
	if (set_readonly(root_fd, false) < 0)
		return error_set_errno(ret_error, errno, "cannot write to the staging area");
	for (size_t i = stage->n_binds; i > 0; i--)
		remove_bind(root_fd, &stage->binds[i - 1]);
	(void)set_readonly(root_fd, true);
	return 0;
}
