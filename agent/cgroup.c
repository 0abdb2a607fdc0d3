/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a container's cgroup: see cgroup.h. */
#include "agent/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/inroot.h"
#include "base/alloc.h"
#include "base/go-error.h"
#include "base/io.h"
#include "runtime-spec/cgroup-terms.h"

#define CGROUP_FILE_MAX (1u << 20)
#define CGROUP_DEPTH_MAX 64

int cgroup_path(const char *root, const char *cgroups_path, const char *id, char **ret_path,
		struct error **ret_error)
{
	_cleanup_free_ char *below = NULL;

	if (cgroup_terms_path(cgroups_path ? cgroups_path : id, &below, ret_error) < 0)
		return -1;
	*ret_path = xasprintf("%s/%s", root, below + strspn(below, "/"));
	return 0;
}

int cgroup_enable_controllers(const char *directory, struct error **ret_error)
{
	_cleanup_free_ char *list_path = xasprintf("%s/cgroup.controllers", directory);
	_cleanup_free_ char *control_path = xasprintf("%s/cgroup.subtree_control", directory);
	_cleanup_free_ char *list = NULL;
	_cleanup_free_ char *all = xstrdup("");
	char *rest, *name;

	if (read_file(list_path, CGROUP_FILE_MAX, &list, NULL, ret_error) < 0)
		return -1;
	for (name = strtok_r(list, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
		char *longer = xasprintf("%s+%s ", all, name);

		free(all);
		all = longer;
	}
	if (write_file(control_path, all, NULL) == 0)
		return 0;
	/* One that cannot be had must not cost the others. */
	for (name = strtok_r(all, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		(void)write_file(control_path, name, NULL);
	return 0;
}

static int check_empty(const struct cgroup *cgroup, struct error **ret_error)
{
	if (cgroup_event(cgroup, "populated"))
		return error_set(ret_error, EBUSY, "container's cgroup is not empty: %s",
				 cgroup->path);
	return 0;
}

int cgroup_make(const char *root, const char *path, struct cgroup **ret_cgroup,
		struct error **ret_error)
{
	_cleanup_free_ char *prefix = xstrdup(path);
	_cleanup_(cgroup_freep) struct cgroup *cgroup = xcalloc(1, sizeof(*cgroup));
	char *slash = prefix + strlen(root);

	cgroup->fd = cgroup->program_fd = -1;
	cgroup->path = xstrdup(path);
	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		if (mkdir(prefix, 0755) < 0 && errno != EEXIST)
			return error_set_errno(ret_error, errno, "cannot make the cgroup %s",
					       prefix);
		if (cgroup_enable_controllers(prefix, ret_error) < 0)
			return -1;
		*slash = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make the cgroup %s", path);
	cgroup->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the cgroup %s", path);
	if (check_empty(cgroup, ret_error) < 0)
		return -1;
	*ret_cgroup = TAKE_PTR(cgroup);
	return 0;
}

/* By its text, as runc has it: "a/.." is the container's own. */
static bool leads_out(const char *path)
{
	int depth = 0;

	while (depth >= 0 && *(path += strspn(path, "/"))) {
		const size_t length = strcspn(path, "/");

		if (length == 2 && strncmp(path, "..", 2) == 0)
			depth--;
		else if (length != 1 || path[0] != '.')
			depth++;
		path += length;
	}
	return depth < 0;
}

int cgroup_open_below(const struct cgroup *cgroup, const char *path, int *ret_fd,
		      struct error **ret_error)
{
	int fd;

	if (leads_out(path))
		return error_set(ret_error, EINVAL, "%s is not a sub cgroup path", path);
	fd = inroot_open(cgroup->fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_set_go(ret_error, errno,
				    "error adding pid of the process to cgroups: openat2 "
				    "%s/%s/cgroup.procs",
				    cgroup->path, path + strspn(path, "/"));
	*ret_fd = fd;
	return 0;
}

int cgroup_open_of(const struct cgroup *cgroup, const char *root, pid_t pid, int *ret_fd,
		   struct error **ret_error)
{
	_cleanup_free_ char *file = xasprintf("/proc/%d/cgroup", (int)pid);
	const char *own = cgroup->path + strlen(root);
	_cleanup_free_ char *text = NULL;
	const char *path;

	if (read_file(file, CGROUP_FILE_MAX, &text, NULL, ret_error) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	path = strncmp(text, "0::", 3) == 0 ? text + 3 : "";
	if (strncmp(path, own, strlen(own)) != 0)
		return error_set(ret_error, ENOENT, "process %d is not in the cgroup %s", (int)pid,
				 cgroup->path);
	return cgroup_open_below(cgroup, path + strlen(own), ret_fd, ret_error);
}

void cgroup_free(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	close_fdp(&cgroup->fd);
	close_fdp(&cgroup->program_fd);
	free(cgroup->path);
	free(cgroup);
}

char *cgroup_read(const struct cgroup *cgroup, const char *file)
{
	_cleanup_close_ int fd = openat(cgroup->fd, file, O_RDONLY | O_CLOEXEC);
	char *text;

	if (fd < 0 || read_file_fd(fd, file, CGROUP_FILE_MAX, &text, NULL, NULL) < 0)
		return NULL;
	return text;
}

uint64_t cgroup_read_number(const struct cgroup *cgroup, const char *file, uint64_t fallback)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, file);

	if (!text)
		return fallback;
	return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

uint64_t cgroup_key(const char *text, const char *key)
{
	size_t length = strlen(key);

	while (text && *text) {
		if (strncmp(text, key, length) == 0 && text[length] == ' ')
			return strtoull(text + length + 1, NULL, 10);
		text = strchr(text, '\n');
		text += text ? 1 : 0;
	}
	return 0;
}

int cgroup_write(const struct cgroup *cgroup, const char *file, const char *value,
		 struct error **ret_error)
{
	_cleanup_close_ int fd = openat(cgroup->fd, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return error_set(ret_error, ENOENT,
				 "cannot set %s: the guest's kernel has no such controller", file);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return error_set_errno(ret_error, errno, "failed to write \"%s\" to %s/%s", value,
				       cgroup->path, file);
	return 0;
}

int cgroup_kill(const struct cgroup *cgroup, struct error **ret_error)
{
	return cgroup_write(cgroup, "cgroup.kill", "1", ret_error);
}

int cgroup_freeze(const struct cgroup *cgroup, bool freeze, struct error **ret_error)
{
	return cgroup_write(cgroup, "cgroup.freeze", freeze ? "1" : "0", ret_error);
}

bool cgroup_event(const struct cgroup *cgroup, const char *key)
{
	_cleanup_free_ char *text = cgroup_read(cgroup, "cgroup.events");

	return text && cgroup_key(text, key) == 1;
}

/* Removes the cgroups below the directory fd, deepest first. */
static int remove_below(int fd, unsigned int depth)
{
	_cleanup_dir_ DIR *dir = NULL;
	_cleanup_close_ int own_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	dir = own_fd < 0 || depth == CGROUP_DEPTH_MAX ? NULL : fdopendir(own_fd);
	if (!dir)
		return -1;
	(void)TAKE_FD(own_fd);
	while ((entry = readdir(dir))) {
		_cleanup_close_ int child = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child < 0 || remove_below(child, depth + 1) < 0 ||
		    unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0)
			return -1;
	}
	return 0;
}

int cgroup_remove(const struct cgroup *cgroup, struct error **ret_error)
{
	if (remove_below(cgroup->fd, 0) < 0 || (rmdir(cgroup->path) < 0 && errno != ENOENT))
		return error_set_errno(ret_error, errno, "cannot remove the cgroup %s",
				       cgroup->path);
	return 0;
}

static size_t processes_at(int fd, pid_t *ret_pids, size_t max, unsigned int depth)
{
	_cleanup_close_ int list_fd = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int own_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = NULL;
	_cleanup_free_ char *text = NULL;
	struct dirent *entry;
	size_t n = 0;
	char *rest, *line;

	if (list_fd < 0 || own_fd < 0 || depth == CGROUP_DEPTH_MAX ||
	    read_file_fd(list_fd, "cgroup.procs", CGROUP_FILE_MAX, &text, NULL, NULL) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &rest); line && n < max;
	     line = strtok_r(NULL, "\n", &rest)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		/* 0: in a pid namespace that ours does not see */
		if (pid > 0)
			ret_pids[n++] = pid;
	}
	dir = fdopendir(own_fd);
	if (!dir)
		return n;
	(void)TAKE_FD(own_fd);
	while ((entry = readdir(dir))) {
		_cleanup_close_ int child = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child >= 0)
			n += processes_at(child, ret_pids + n, max - n, depth + 1);
	}
	return n;
}

size_t cgroup_processes(const struct cgroup *cgroup, pid_t *ret_pids, size_t max)
{
	return processes_at(cgroup->fd, ret_pids, max, 0);
}
