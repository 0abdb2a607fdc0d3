/* SPDX-License-Identifier: Apache-2.0 */
/* Assembling a container's root: see root.h. */
#include "agent/root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/boot.h"
#include "agent/disk.h"
#include "agent/mounts.h"
#include "base/alloc.h"
#include "runtime-spec/mount-options.h"

#define DISK_DIR "disk" /* of the stage: where the disk of the writable layer is mounted */

static int mount_layer(const struct agent_config *config, const struct layer *layer, size_t index,
		       struct error **ret_error)
{
	_cleanup_free_ char *device = NULL, *part = NULL;
	_cleanup_free_ char *target = xasprintf("%s/%zu", config->stage_dir, index);

	if (strcmp(layer->type, "squashfs") != 0 && strcmp(layer->type, "erofs") != 0 &&
	    strcmp(layer->type, "ext4") != 0)
		return error_set(ret_error, EINVAL, "layer \"%s\": unknown type \"%s\"",
				 layer->serial, layer->type);
	if (disk_wait(config->block_dir, layer->serial, &device, ret_error) < 0)
		return -1;
	if (layer->size && disk_cut(config->block_dir, device, (unsigned)index + 1, layer->offset,
				    layer->size, &part, ret_error) < 0)
		return -1;
	boot_load_module(layer->type);
	if (mkdir(target, 0755) < 0 ||
	    mount(part ? part : device, target, layer->type, MS_RDONLY, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot mount layer \"%s\" (%s on %s)",
				       layer->serial, layer->type, part ? part : device);
	return 0;
}

/* The merged root has the upper directory's attributes: give it the top layer's. */
static int copy_root_attributes(const char *from, const char *to, struct error **ret_error)
{
	struct timespec times[2];
	struct stat st;

	if (stat(from, &st) < 0 || chown(to, st.st_uid, st.st_gid) < 0 ||
	    chmod(to, st.st_mode & 07777) < 0)
		return error_set_errno(ret_error, errno, "cannot prepare the root directory");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	(void)utimensat(AT_FDCWD, to, times, 0);
	return 0;
}

/* Where the writable layer is: on a disk of its own, as an earlier machine may have left it, or in
 * memory.  Relative to the stage; caller frees. */
static int make_upper(const struct agent_config *config, const struct volume *disk, const char *top,
		      char **ret_place, struct error **ret_error)
{
	_cleanup_free_ char *device = NULL;
	_cleanup_free_ char *place = xstrdup(disk ? DISK_DIR "/" : "");
	_cleanup_free_ char *upper = xasprintf("%supper", place);
	_cleanup_free_ char *work = xasprintf("%swork", place);

	if (disk) {
		if (disk_wait(config->block_dir, disk->serial, &device, ret_error) < 0)
			return -1;
		boot_load_module("ext4");
		if (mkdir(DISK_DIR, 0755) < 0 || mount(device, DISK_DIR, "ext4", 0, NULL) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot mount the writable layer (%s)", device);
	}
	if (mkdir(work, 0755) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot prepare the overlay");
	if (mkdir(upper, 0755) == 0) {
		if (copy_root_attributes(top, upper, ret_error) < 0)
			return -1;
	} else if (errno != EEXIST) {
		return error_set_errno(ret_error, errno, "cannot prepare the overlay");
	}
	*ret_place = TAKE_PTR(place);
	return 0;
}

/* Relative names keep many layers within overlayfs' one page of options. */
static int mount_overlay(const struct agent_config *config, const struct files *files,
			 struct error **ret_error)
{
	const size_t n_layers = files->n_layers;
	_cleanup_free_ char *place = NULL;
	_cleanup_free_ char *lower = xstrdup("");
	_cleanup_free_ char *data = NULL;
	_cleanup_free_ char *top = xasprintf("%zu", n_layers - 1);

	for (size_t i = n_layers; i > 0; i--) {
		char *longer = xasprintf("%s%s%zu", lower, i == n_layers ? "" : ":", i - 1);

		free(lower);
		lower = longer;
	}
	if (mkdir("root", 0755) < 0)
		return error_set_errno(ret_error, errno, "cannot prepare the overlay");
	if (make_upper(config, files_root_disk(files), top, &place, ret_error) < 0)
		return -1;
	/* redirect_dir: directories of the image can be renamed; index: hard
	 * links survive the copy-up. Both as on the plain directory that runc
	 * would use. */
	data = xasprintf("lowerdir=%s,upperdir=%supper,workdir=%swork,redirect_dir=on,index=on,"
			 "xino=auto",
			 lower, place, place);
	if (mount("overlay", "root", "overlay", 0, data) < 0)
		return error_set_errno(ret_error, errno, "cannot mount the overlay (%s)", data);
	return 0;
}

static int open_root(const struct agent_config *config, int *ret_root_fd, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/root", config->stage_dir);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the root directory");
	*ret_root_fd = fd;
	return 0;
}

static int assemble_layers(const struct agent_config *config, const struct files *files,
			   struct error **ret_error)
{
	for (size_t i = 0; i < files->n_layers; i++)
		if (mount_layer(config, &files->layers[i], i, ret_error) < 0)
			return -1;
	if (chdir(config->stage_dir) < 0)
		return error_set_errno(ret_error, errno, "cannot enter %s", config->stage_dir);
	return mount_overlay(config, files, ret_error);
}

/* Ours is a copy of the agent's mount namespace, with its mount of the share. */
static int bind_share(const struct agent_config *config, struct error **ret_error)
{
	_cleanup_free_ char *target = xasprintf("%s/share", config->stage_dir);

	if (mkdir(target, 0755) < 0 ||
	    mount(config->share_dir, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot bind the share");
	return 0;
}

/* The directory of the share, as a mount of its own. */
static int bind_root(const struct agent_config *config, const struct files *files,
		     struct error **ret_error)
{
	_cleanup_free_ char *source =
	    xasprintf("%s/share/%s", config->stage_dir, files->root_share);
	_cleanup_free_ char *target = xasprintf("%s/root", config->stage_dir);
	/* Read-only comes last (root_set_readonly): mount points are still to be made. */
	struct mount_attr attr = { .attr_set =
				       files->root_attributes & ~(uint64_t)MOUNT_ATTR_RDONLY };

	if (mkdir(target, 0755) < 0 || mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    mount_setattr(AT_FDCWD, target, 0, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "cannot bind the root directory (%s)",
				       files->root_share);
	return 0;
}

int root_assemble(const struct agent_config *config, const struct files *files,
		  const struct spec *spec, int *ret_root_fd, struct error **ret_error)
{
	_cleanup_free_ char *bound = mounts_tmpfs_bound(spec);
	_cleanup_free_ char *options = xasprintf("%smode=0755", bound);

	/* Nothing that is mounted from here on reaches the agent's namespace. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot make the mounts private");
	if (mount("tmpfs", config->stage_dir, "tmpfs", 0, options) < 0)
		return error_set_errno(ret_error, errno, "cannot mount a tmpfs on %s",
				       config->stage_dir);
	if (files->share_tag && bind_share(config, ret_error) < 0)
		return -1;
	if (files->root_share ? bind_root(config, files, ret_error) < 0
			      : assemble_layers(config, files, ret_error) < 0)
		return -1;
	return open_root(config, ret_root_fd, ret_error);
}

int root_open_parts(const struct agent_config *config, const struct files *files, int root_fd,
		    struct root_parts *ret_parts, struct error **ret_error)
{
	const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	_cleanup_free_ char *upper =
	    xasprintf("%s/%supper", config->stage_dir, files_root_disk(files) ? DISK_DIR "/" : "");
	struct root_parts parts = ROOT_PARTS_NONE;

	parts.upper_fd = open_tree(AT_FDCWD, upper, flags);
	parts.merged_fd = open_tree(root_fd, "", flags | AT_EMPTY_PATH);
	if (parts.upper_fd < 0 || parts.merged_fd < 0) {
		(void)error_set_errno(ret_error, errno, "cannot open the writable layer");
		root_parts_close(&parts);
		return -1;
	}
	*ret_parts = parts;
	return 0;
}

void root_parts_close(struct root_parts *parts)
{
	close_fdp(&parts->upper_fd);
	close_fdp(&parts->merged_fd);
	*parts = (struct root_parts)ROOT_PARTS_NONE;
}

int root_rebind(const struct agent_config *config, int *ret_root_fd, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/root", config->stage_dir);

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot bind the root directory");
	return open_root(config, ret_root_fd, ret_error);
}

int root_pivot(int root_fd, struct error **ret_error)
{
	_cleanup_close_ int old_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* pivot_root(2) "pivot_root(".", ".")": the old root ends up on top of
	 * the new one, from where it is taken off. */
	if (old_fd < 0 || fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return error_set_errno(ret_error, errno, "pivot_root");
	if (fchdir(old_fd) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_set_errno(ret_error, errno, "cannot unmount the old root");
	return 0;
}

int root_set_propagation(const char *word, struct error **ret_error)
{
	unsigned long flags = mount_propagation(word);

	if (flags == 0)
		return error_set(ret_error, EINVAL, "rootfsPropagation=%s is not supported", word);
	if (mount(NULL, "/", NULL, flags, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot make the root %s", word);
	return 0;
}

int root_set_readonly(int root_fd, struct error **ret_error)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_setattr(root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "cannot make the root read-only");
	return 0;
}
