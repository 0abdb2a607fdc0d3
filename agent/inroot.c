/* SPDX-License-Identifier: Apache-2.0 */
/* Path resolution inside a container's root: see inroot.h. */
#include "agent/inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/go-error.h"

#define LINKS_MAX 40 /* as the kernel's own path walk */

const char *fd_path(int fd, char ret_path[FD_PATH_SIZE])
{
	(void)snprintf(ret_path, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
	return ret_path;
}

int inroot_open(int root_fd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	long fd;

	/* EAGAIN: a rename or mount raced with "..". */
	do {
		fd = syscall(SYS_openat2, root_fd, *path ? path : "/", &how, sizeof(how));
	} while (fd < 0 && errno == EAGAIN);
	return (int)fd;
}

/* A walk: what is left, what exists, and the links followed so far. */
struct walk {
	int root_fd;
	char *todo;
	char *done;
	unsigned int links;
};

static void walk_done(struct walk *walk)
{
	free(walk->todo);
	free(walk->done);
}

static void replace(char **string, char *with)
{
	free(*string);
	*string = with;
}

/* name in `done` is a link to nothing: go on with what it names. */
static int walk_link(struct walk *walk, int parent_fd, const char *name, const char *rest,
		     struct error **ret_error)
{
	char target[4096];
	ssize_t length = readlinkat(parent_fd, name, target, sizeof(target) - 1);

	if (length < 0)
		return error_set_go(ret_error, errno, "cannot make the directory %s/%s", walk->done,
				    name);
	if (++walk->links > LINKS_MAX)
		return error_set_go(ret_error, ELOOP, "cannot make the directory %s/%s", walk->done,
				    name);
	target[length] = '\0';
	if (target[0] == '/')
		replace(&walk->done, xstrdup(""));
	replace(&walk->todo, xasprintf("%s/%s", target, rest));
	return 0;
}

/* One component; false in *ret_more when there is none. */
static int walk_step(struct walk *walk, mode_t mode, bool *ret_more, struct error **ret_error)
{
	const char *start = walk->todo + strspn(walk->todo, "/");
	size_t length = strcspn(start, "/");
	_cleanup_free_ char *name = xstrndup(start, length);
	_cleanup_free_ char *prefix = xasprintf("%s/%s", walk->done, name);
	_cleanup_free_ char *rest = xstrdup(start + length);
	_cleanup_close_ int fd = -1;
	_cleanup_close_ int parent_fd = -1;

	*ret_more = length > 0;
	if (length == 0)
		return 0;
	fd = inroot_open(walk->root_fd, prefix, O_PATH | O_DIRECTORY, 0);
	if (fd < 0 && errno != ENOENT)
		return error_set_go(ret_error, errno, "cannot open the directory %s", prefix);
	if (fd < 0) {
		parent_fd = inroot_open(walk->root_fd, walk->done, O_PATH | O_DIRECTORY, 0);
		if (parent_fd < 0)
			return error_set_go(ret_error, errno, "cannot open the directory %s",
					    walk->done);
		if (mkdirat(parent_fd, name, mode) < 0) {
			if (errno == EEXIST)
				return walk_link(walk, parent_fd, name, rest, ret_error);
			return error_set_go(ret_error, errno, "cannot make the directory %s",
					    prefix);
		}
	}
	replace(&walk->todo, TAKE_PTR(rest));
	replace(&walk->done, TAKE_PTR(prefix));
	return 0;
}

int inroot_make_directories(int root_fd, const char *path, mode_t mode, int *ret_fd,
			    struct error **ret_error)
{
	_cleanup_(walk_done) struct walk walk = {
		.root_fd = root_fd,
		.todo = xstrdup(path),
		.done = xstrdup(""),
	};
	bool more = true;
	int fd;

	while (more)
		if (walk_step(&walk, mode, &more, ret_error) < 0)
			return -1;
	fd = inroot_open(root_fd, walk.done, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return error_set_go(ret_error, errno, "cannot open the directory %s", path);
	*ret_fd = fd;
	return 0;
}

int inroot_make_parent(int root_fd, const char *path, int *ret_fd, char **ret_name,
		       struct error **ret_error)
{
	_cleanup_free_ char *parent = xstrdup(path);
	size_t length = strlen(parent);
	char *slash;

	while (length > 0 && parent[length - 1] == '/')
		parent[--length] = '\0';
	slash = strrchr(parent, '/');
	if (!slash || strcmp(slash, "/") == 0 || strcmp(slash, "/.") == 0 ||
	    strcmp(slash, "/..") == 0)
		return error_set(ret_error, EINVAL, "%s is not a path for a file", path);
	*slash = '\0';
	if (inroot_make_directories(root_fd, parent, 0755, ret_fd, ret_error) < 0)
		return -1;
	*ret_name = xstrdup(slash + 1);
	return 0;
}

/* The path that the link `name` in the directory of `path` leads to; NULL with errno. */
static char *follow(const char *path, int parent_fd, const char *name)
{
	char target[4096];
	ssize_t length = readlinkat(parent_fd, name, target, sizeof(target) - 1);
	const char *slash = strrchr(path, '/');

	if (length < 0)
		return NULL;
	target[length] = '\0';
	if (target[0] == '/')
		return xstrdup(target);
	return xasprintf("%.*s/%s", slash ? (int)(slash - path) : 0, path, target);
}

int inroot_make_file(int root_fd, const char *path, mode_t mode, int *ret_fd,
		     struct error **ret_error)
{
	_cleanup_free_ char *where = xstrdup(path);

	for (unsigned int links = 0; links <= LINKS_MAX; links++) {
		_cleanup_close_ int parent_fd = -1;
		_cleanup_close_ int made_fd = -1;
		_cleanup_free_ char *name = NULL;
		char *next;

		*ret_fd = inroot_open(root_fd, where, O_PATH, 0);
		if (*ret_fd >= 0)
			return 0;
		if (errno != ENOENT)
			return error_set_go(ret_error, errno, "cannot open %s", path);
		if (inroot_make_parent(root_fd, where, &parent_fd, &name, ret_error) < 0)
			return -1;
		made_fd = openat(parent_fd, name,
				 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (made_fd >= 0)
			continue;
		if (errno != EEXIST)
			return error_set_go(ret_error, errno, "cannot make the file %s", path);
		next = follow(where, parent_fd, name);
		if (!next)
			return error_set_go(ret_error, errno, "cannot make the file %s", path);
		replace(&where, next);
	}
	return error_set_go(ret_error, ELOOP, "cannot make the file %s", path);
}

static char *path_of(int fd)
{
	char link[FD_PATH_SIZE], path[PATH_MAX];
	ssize_t n = readlink(fd_path(fd, link), path, sizeof(path) - 1);

	if (n < 0)
		return NULL;
	path[n] = '\0';
	return xstrdup(path);
}

int inroot_path(int root_fd, int fd, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *root = path_of(root_fd);
	_cleanup_free_ char *path = path_of(fd);
	size_t length;

	if (!root || !path)
		return error_set_go(ret_error, errno, "cannot find where a mount goes");
	length = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return error_set(ret_error, EXDEV, "%s is not in the root %s", path, root);
	*ret_path = xasprintf("%s", path[length] ? path + length : "/");
	return 0;
}
