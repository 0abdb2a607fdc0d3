/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a share's server: see share-calls.h. */
#include "tests/fuzz/share-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/input.h"

static struct tree *share_tree;
static dev_t share_device;

int __real_mkdirat(int dir_fd, const char *path, mode_t mode);
int __real_symlinkat(const char *target, int dir_fd, const char *path);
int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __real_unlinkat(int dir_fd, const char *path, int flags);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode);
int __wrap_symlinkat(const char *target, int dir_fd, const char *path);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

void share_calls_watch(struct tree *tree, dev_t device)
{
	share_tree = tree;
	share_device = device;
}

void share_check_result(int result, int expected)
{
	if (expected == 0)
		check(result >= 0);
	else
		check(expected == -1 ? result < 0 : result == expected);
}

uint64_t share_ino_at(int dir_fd, const char *name, int flags)
{
	struct stat st;

	check(fstatat(dir_fd, name, &st, flags) == 0 && st.st_dev == share_device);
	return st.st_ino;
}

/* The file of a descriptor, which is one of the tree. */
static struct tree_object *share_object_of(int fd)
{
	struct tree_object *object = tree_find(share_tree, share_ino_at(fd, "", AT_EMPTY_PATH));

	check(object);
	return object;
}

static int check_call(int result, int expected)
{
	const int error = errno;

	share_check_result(result < 0 ? -error : 0, expected);
	errno = error;
	return result;
}

int __wrap_open(const char *path, int flags, ...)
{
	bool ours = share_call_begins();
	va_list arguments;
	mode_t mode;
	int fd;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	fd = __real_open(path, flags, mode);
	if (ours && fd >= 0)
		(void)share_object_of(fd);
	return fd;
}

/* A new file's contents tell which one it is. */
static void sign(int fd, uint64_t ino)
{
	check(pwrite(fd, &ino, sizeof(ino), 0) == sizeof(ino));
}

static int open_or_make(int dir_fd, const char *path, int flags, mode_t mode)
{
	const size_t place = tree_place(path);
	struct tree_object *dir = share_object_of(dir_fd), *object;
	const int expected = flags & O_CREAT ? tree_may_add(dir, place) : tree_may_look(dir, place);
	int fd = check_call(__real_openat(dir_fd, path, flags, mode), expected);

	if (fd < 0)
		return fd;
	if (flags & O_CREAT) {
		object =
		    tree_add(share_tree, dir, place, S_IFREG, share_ino_at(fd, "", AT_EMPTY_PATH));
		sign(fd, object->ino);
	}
	check(share_object_of(fd) == dir->entries[place]);
	return fd;
}

int __wrap_openat(int dir_fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return share_call_begins() ? open_or_make(dir_fd, path, flags, mode)
				   : __real_openat(dir_fd, path, flags, mode);
}

int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode)
{
	struct tree_object *dir;
	int r;

	if (!share_call_begins())
		return __real_mkdirat(dir_fd, path, mode);
	dir = share_object_of(dir_fd);
	r = check_call(__real_mkdirat(dir_fd, path, mode), tree_may_add(dir, tree_place(path)));
	if (r == 0)
		(void)tree_add(share_tree, dir, tree_place(path), S_IFDIR,
			       share_ino_at(dir_fd, path, 0));
	return r;
}

int __wrap_symlinkat(const char *target, int dir_fd, const char *path)
{
	struct tree_object *dir;
	int r;

	if (!share_call_begins())
		return __real_symlinkat(target, dir_fd, path);
	dir = share_object_of(dir_fd);
	r = check_call(__real_symlinkat(target, dir_fd, path), tree_may_add(dir, tree_place(path)));
	if (r == 0)
		(void)tree_add(share_tree, dir, tree_place(path), S_IFLNK,
			       share_ino_at(dir_fd, path, AT_SYMLINK_NOFOLLOW));
	return r;
}

/* (`from` is a descriptor's name in /proc.) */
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	struct tree_object *dir, *object;
	int r;

	if (!share_call_begins())
		return __real_linkat(from_fd, from, to_fd, to, flags);
	check(flags == AT_SYMLINK_FOLLOW);
	dir = share_object_of(to_fd);
	object = tree_find(share_tree, share_ino_at(from_fd, from, 0));
	check(object);
	r = check_call(__real_linkat(from_fd, from, to_fd, to, flags),
		       tree_may_link(object, dir, tree_place(to)));
	if (r == 0)
		tree_link(object, dir, tree_place(to));
	return r;
}

int __wrap_unlinkat(int dir_fd, const char *path, int flags)
{
	struct tree_object *dir;
	int r;

	if (!share_call_begins())
		return __real_unlinkat(dir_fd, path, flags);
	dir = share_object_of(dir_fd);
	r = check_call(__real_unlinkat(dir_fd, path, flags),
		       tree_may_remove(dir, tree_place(path), flags & AT_REMOVEDIR));
	if (r == 0)
		tree_remove(dir, tree_place(path));
	return r;
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct tree_object *old_dir, *new_dir;
	int r;

	if (!share_call_begins())
		return __real_renameat2(from_fd, from, to_fd, to, flags);
	old_dir = share_object_of(from_fd);
	new_dir = share_object_of(to_fd);
	r = check_call(__real_renameat2(from_fd, from, to_fd, to, flags),
		       tree_may_rename(old_dir, tree_place(from), new_dir, tree_place(to), flags));
	if (r == 0)
		tree_rename(old_dir, tree_place(from), new_dir, tree_place(to), flags);
	return r;
}
