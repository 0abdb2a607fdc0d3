/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing what a note names: see cgroup-place.h.
 *
 * The note may lie: it is in a directory that a user may write where root removes a container.  So
 * nothing but a cgroup is removed, below a directory of the same hierarchy, and no link is
 * followed on the way there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/cgroup-place.h"

#define NOTE_MAX 65536
/* The kernel's own bound is of descendants; paths end before. */
#define DEPTH_MAX 64
/* Of a note, the lines and the cgroups below them. */
#define CGROUPS_MAX 4096
/* For all of a sandbox's processes to end, which have been killed. */
#define PATIENCE_MS 1000
#define PAUSE_MS 10

struct removal {
	unsigned patience_ms, n_cgroups;
};

/* ---- where it is ---- */

/* *ret_device: its hierarchy's.  -1 with errno, EPERM: it is not a cgroup. */
static int check_cgroup(int fd, dev_t *ret_device)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return -1;
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC) {
		errno = EPERM;
		return -1;
	}
	*ret_device = st.st_dev;
	return 0;
}

static bool is_plain(const char *component)
{
	return component[0] && strcmp(component, ".") != 0 && strcmp(component, "..") != 0;
}

/* The directory that has the path's last component, *ret_name.  -1 with errno, EPERM: a path that
 * we have not written. */
static int open_parent(char *path, const char **ret_name)
{
	_cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *rest = path + 1, *component, *slash;

	while (fd >= 0 && path[0] == '/') {
		int next;

		component = rest;
		slash = strchr(component, '/');
		if (slash) {
			*slash = '\0';
			rest = slash + 1;
		}
		if (!is_plain(component))
			break;
		if (!slash) {
			*ret_name = component;
			return TAKE_FD(fd);
		}
		next = openat(fd, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -1;
		(void)close(fd);
		fd = next;
	}
	errno = EPERM;
	return -1;
}

/* ---- removing ---- */

/* The cgroups below first: a cgroup's files go with it.  -1 with errno. */
static int remove_below(struct removal *removal, int parent_fd, dev_t hierarchy, const char *name,
			unsigned depth)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	dev_t device;

	if (!dir) {
		close_fdp(&fd);
		return -1;
	}
	if (check_cgroup(fd, &device) < 0)
		return -1;
	if (device != hierarchy || depth == DEPTH_MAX || removal->n_cgroups == CGROUPS_MAX) {
		errno = EPERM;
		return -1;
	}
	removal->n_cgroups++;
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_DIR && is_plain(entry->d_name))
			(void)remove_below(removal, fd, hierarchy, entry->d_name, depth + 1);
	return unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* A process that was killed is there until its memory is gone. */
static int remove_cgroup(struct removal *removal, const char *path)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
	_cleanup_free_ char *copy = xstrdup(path);
	const char *name;
	_cleanup_close_ int parent_fd = open_parent(copy, &name);
	const unsigned n_cgroups = removal->n_cgroups;
	dev_t hierarchy;

	if (parent_fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (check_cgroup(parent_fd, &hierarchy) < 0)
		return -1;
	while (remove_below(removal, parent_fd, hierarchy, name, 0) < 0) {
		if (errno != EBUSY || removal->patience_ms < PAUSE_MS)
			return errno == ENOENT ? 0 : -1;
		removal->patience_ms -= PAUSE_MS;
		removal->n_cgroups = n_cgroups;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int cgroup_place_remove(const char *note, struct error **ret_error)
{
	struct removal removal = { .patience_ms = PATIENCE_MS };
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	int result = 0;

	if (read_regular_file(note, NOTE_MAX, &text, NULL, NULL) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *path = line + strlen("made ");

		if (strncmp(line, "made ", strlen("made ")) == 0 &&
		    remove_cgroup(&removal, path) < 0)
			result = error_set_errno(result < 0 ? NULL : ret_error, errno,
						 "cannot remove the cgroup %s", path);
	}
	if (result == 0)
		(void)unlink(note);
	return result;
}
