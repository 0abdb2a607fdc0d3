/* Assembling a container's root: see root.h. */
#include "agent/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/mount-options.h"
#include "base/alloc.h"
#include "base/io.h"

/* A disk whose driver is still probing appears a moment later. */
#define DISK_WAIT_MS 2000
#define DISK_POLL_MS 5

static bool serial_matches(const char *block_dir, const char *disk, const char *serial)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/serial", block_dir, disk);
	_cleanup_free_ char *text = NULL;

	if (read_file(path, 4096, &text, NULL, NULL) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, serial) == 0;
}

/* The device node of the disk with this serial number, or NULL. */
static char *find_disk(const char *block_dir, const char *serial)
{
	_cleanup_dir_ DIR *dir = opendir(block_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && serial_matches(block_dir, entry->d_name, serial))
			return xasprintf("/dev/%s", entry->d_name);
	return NULL;
}

static int wait_for_disk(const char *block_dir, const char *serial, char **ret_device,
			 struct error **ret_error)
{
	const struct timespec pause = { .tv_nsec = DISK_POLL_MS * 1000000L };

	for (unsigned int waited = 0; waited <= DISK_WAIT_MS; waited += DISK_POLL_MS) {
		*ret_device = find_disk(block_dir, serial);
		if (*ret_device)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return error_set(ret_error, ENOENT, "no disk with the serial number \"%s\"", serial);
}

static int mount_layer(const struct agent_config *config, const struct layer *layer, size_t index,
		       struct error **ret_error)
{
	_cleanup_free_ char *device = NULL;
	_cleanup_free_ char *target = xasprintf("%s/%zu", config->stage_dir, index);

	if (strcmp(layer->type, "squashfs") != 0 && strcmp(layer->type, "erofs") != 0 &&
	    strcmp(layer->type, "ext4") != 0)
		return error_set(ret_error, EINVAL, "layer \"%s\": unknown type \"%s\"",
				 layer->serial, layer->type);
	if (wait_for_disk(config->block_dir, layer->serial, &device, ret_error) < 0)
		return -1;
	if (mkdir(target, 0755) < 0 || mount(device, target, layer->type, MS_RDONLY, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot mount layer \"%s\" (%s on %s)",
				       layer->serial, layer->type, device);
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

/* Relative names keep many layers within overlayfs' one page of options. */
static int mount_overlay(size_t n_layers, struct error **ret_error)
{
	_cleanup_free_ char *lower = xstrdup("");
	_cleanup_free_ char *data = NULL;
	_cleanup_free_ char *top = xasprintf("%zu", n_layers - 1);

	for (size_t i = n_layers; i > 0; i--) {
		char *longer = xasprintf("%s%s%zu", lower, i == n_layers ? "" : ":", i - 1);

		free(lower);
		lower = longer;
	}
	if (mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0 || mkdir("root", 0755) < 0)
		return error_set_errno(ret_error, errno, "cannot prepare the overlay");
	if (copy_root_attributes(top, "upper", ret_error) < 0)
		return -1;
	/* redirect_dir: directories of the image can be renamed; index: hard
	 * links survive the copy-up. Both as on the plain directory that runc
	 * would use. */
	data = xasprintf("lowerdir=%s,upperdir=upper,workdir=work,redirect_dir=on,index=on,"
			 "xino=auto",
			 lower);
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

int root_assemble(const struct agent_config *config, const struct layer *layers, size_t n_layers,
		  int *ret_root_fd, struct error **ret_error)
{
	if (n_layers == 0 || n_layers > LAYERS_MAX)
		return error_set(ret_error, EINVAL, "%zu layers, not 1 to %d", n_layers,
				 LAYERS_MAX);
	/* Nothing that is mounted from here on reaches the agent's namespace. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot make the mounts private");
	/* tmpfs' own limit, half of the memory, is what the writes may take. */
	if (mount("tmpfs", config->stage_dir, "tmpfs", 0, "mode=0755") < 0)
		return error_set_errno(ret_error, errno, "cannot mount a tmpfs on %s",
				       config->stage_dir);
	for (size_t i = 0; i < n_layers; i++)
		if (mount_layer(config, &layers[i], i, ret_error) < 0)
			return -1;
	if (chdir(config->stage_dir) < 0)
		return error_set_errno(ret_error, errno, "cannot enter %s", config->stage_dir);
	if (mount_overlay(n_layers, ret_error) < 0)
		return -1;
	return open_root(config, ret_root_fd, ret_error);
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
