/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree from a tar stream: see tar.h.
 *
 * Every name is walked part by part from the destination's descriptor: "..", and, if the stream is
 * not to be trusted, a symbolic link as a parent, is refused.  What is there is removed first,
 * never written into; a directory is merged with one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/tar.h"

#define CHUNK 65536

/* A directory whose mode and time come last: what is written in it changes these. */
struct directory {
	char *path;
	mode_t mode;
	struct timespec mtime;
};

struct unpacker {
	const struct tar_unpack *is;
	struct tar_reader reader;
	int base;   /* the directory that all is written below */
	char *old;  /* the stream's tree, as it is called there; NULL: names stay */
	char *name; /* and here */
	struct directory *directories;
	size_t n_directories;
	uint64_t left_out;
};

static void unpacker_done(struct unpacker *unpacker)
{
	close_fdp(&unpacker->base);
	free(unpacker->old);
	free(unpacker->name);
	for (size_t i = 0; i < unpacker->n_directories; i++)
		free(unpacker->directories[i].path);
	free(unpacker->directories);
}

/* ---- names ---- */

/* As it is called here: relative, and without "." and "..".  Caller frees. */
static int place_of(const struct unpacker *unpacker, const char *path, char **ret_path,
		    struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(path), *place = xstrdup("");
	char *rest = NULL;
	bool is_first = unpacker->old;

	for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		const char *name = part;
		char *longer;

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0 || (is_first && strcmp(part, unpacker->old) != 0))
			return error_set(ret_error, EPERM,
					 "the archive has a name outside of its tree: %s", path);
		if (is_first)
			name = unpacker->name;
		is_first = false;
		longer = xasprintf("%s%s%s", place, place[0] ? "/" : "", name);
		free(place);
		place = longer;
	}
	*ret_path = TAKE_PTR(place);
	return 0;
}

static int enter(const struct unpacker *unpacker, int dir, const char *name)
{
	const int flags =
	    O_PATH | O_DIRECTORY | O_CLOEXEC | (unpacker->is->is_contained ? O_NOFOLLOW : 0);
	const int fd = openat(dir, name, flags);

	if (fd >= 0 || errno != ENOENT || mkdirat(dir, name, 0755) < 0)
		return fd;
	return openat(dir, name, flags);
}

/* The directory that the place is in, and its last part there (within place).  "" is the base's
 * ".". */
static int open_parent(const struct unpacker *unpacker, char *place, int *ret_fd,
		       const char **ret_name, struct error **ret_error)
{
	int fd = fcntl(unpacker->base, F_DUPFD_CLOEXEC, 0);
	char *part = place, *slash;

	while (fd >= 0 && (slash = strchr(part, '/'))) {
		int next;

		*slash = '\0';
		next = enter(unpacker, fd, part);
		(void)close(fd);
		fd = next;
		*slash = '/';
		part = slash + 1;
	}
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot enter the directory of %s", place);
	*ret_fd = fd;
	*ret_name = part[0] ? part : ".";
	return 0;
}

/* ---- entries ---- */

static int set_attributes(const struct unpacker *unpacker, const struct tar_entry *entry, int dir,
			  const char *name, struct error **ret_error)
{
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, entry->mtime };
	const bool owners = unpacker->is->has_owners;

	if (owners && fchownat(dir, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != EPERM)
		return error_set_errno(ret_error, errno, "cannot set the owner of %s", entry->path);
	/* A set-id bit is its owner's, not ours. (The umask does not apply.) */
	if (!S_ISLNK(entry->mode) &&
	    fchmodat(dir, name, entry->mode & (owners ? 07777 : 01777), 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set the mode of %s", entry->path);
	(void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static void set_xattrs(const struct unpacker *unpacker, const struct tar_entry *entry, int fd)
{
	for (size_t i = 0; i < entry->n_xattrs && !unpacker->is->is_contained; i++)
		(void)fsetxattr(fd, entry->xattrs[i].name, entry->xattrs[i].value,
				entry->xattrs[i].size, 0);
}

static int make_file(struct unpacker *unpacker, const struct tar_entry *entry, int dir,
		     const char *name, struct error **ret_error)
{
	_cleanup_close_ int fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	_cleanup_free_ char *bytes = xcalloc(1, CHUNK);
	ssize_t n;

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot create %s", entry->path);
	while ((n = tar_read(&unpacker->reader, bytes, CHUNK, ret_error)) > 0)
		if (write_all(fd, bytes, (size_t)n) < 0)
			return error_set_errno(ret_error, errno, "cannot write %s", entry->path);
	if (n < 0 || set_attributes(unpacker, entry, dir, name, ret_error) < 0)
		return -1;
	set_xattrs(unpacker, entry, fd);
	return 0;
}

static int make_link(const struct unpacker *unpacker, const struct tar_entry *entry, int dir,
		     const char *name, struct error **ret_error)
{
	_cleanup_free_ char *place = NULL;
	_cleanup_close_ int other = -1;
	const char *other_name;

	if (place_of(unpacker, entry->link, &place, ret_error) < 0 ||
	    open_parent(unpacker, place, &other, &other_name, ret_error) < 0)
		return -1;
	return linkat(other, other_name, dir, name, 0) < 0
		   ? error_set_errno(ret_error, errno, "cannot link %s to %s", entry->path,
				     entry->link)
		   : 0;
}

/* What is there makes room, unless one of both is a directory. */
static int make_room(const struct tar_entry *entry, int dir, const char *name, bool *ret_exists,
		     struct error **ret_error)
{
	struct stat st;

	*ret_exists = false;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			   ? 0
			   : error_set_errno(ret_error, errno, "cannot stat %s", entry->path);
	if (S_ISDIR(entry->mode) && S_ISDIR(st.st_mode)) {
		*ret_exists = true;
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return error_set(ret_error, EISDIR,
				 "cannot overwrite directory \"%s\" with non-directory",
				 entry->path);
	if (S_ISDIR(entry->mode))
		return error_set(ret_error, ENOTDIR,
				 "cannot overwrite non-directory \"%s\" with directory",
				 entry->path);
	return unlinkat(dir, name, 0) < 0
		   ? error_set_errno(ret_error, errno, "cannot remove %s", entry->path)
		   : 0;
}

static int make_directory(struct unpacker *unpacker, const struct tar_entry *entry, int dir,
			  const char *name, const char *place, bool exists,
			  struct error **ret_error)
{
	struct directory *directory;
	_cleanup_close_ int fd = -1;

	if (!exists && mkdirat(dir, name, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot create %s", entry->path);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", entry->path);
	if (set_attributes(unpacker, entry, dir, name, ret_error) < 0)
		return -1;
	set_xattrs(unpacker, entry, fd);
	/* Until all is in it. */
	(void)fchmod(fd, (entry->mode & 07777) | 0700);
	unpacker->directories = xreallocarray(unpacker->directories, unpacker->n_directories + 1,
					      sizeof(*unpacker->directories));
	directory = &unpacker->directories[unpacker->n_directories++];
	*directory = (struct directory){
		.path = xstrdup(place),
		.mode = entry->mode & (unpacker->is->has_owners ? 07777 : 01777),
		.mtime = entry->mtime,
	};
	return 0;
}

static int make_node(struct unpacker *unpacker, const struct tar_entry *entry, int dir,
		     const char *name, struct error **ret_error)
{
	if (unpacker->is->is_contained && !S_ISFIFO(entry->mode)) {
		unpacker->left_out++;
		return 0;
	}
	if (mknodat(dir, name, (entry->mode & S_IFMT) | 0600, entry->device) < 0)
		return error_set_errno(ret_error, errno, "cannot create %s", entry->path);
	return set_attributes(unpacker, entry, dir, name, ret_error);
}

static int unpack_entry(struct unpacker *unpacker, const struct tar_entry *entry,
			struct error **ret_error)
{
	_cleanup_free_ char *place = NULL;
	_cleanup_close_ int dir = -1;
	const char *name;
	bool exists;

	if (place_of(unpacker, entry->path, &place, ret_error) < 0 ||
	    open_parent(unpacker, place, &dir, &name, ret_error) < 0)
		return -1;
	/* The destination itself, which is there already. */
	if (strcmp(name, ".") == 0)
		return S_ISDIR(entry->mode)
			   ? 0
			   : error_set(ret_error, EPROTO, "the archive has a nameless file");
	if (make_room(entry, dir, name, &exists, ret_error) < 0)
		return -1;
	if (S_ISDIR(entry->mode))
		return make_directory(unpacker, entry, dir, name, place, exists, ret_error);
	if (entry->is_hard_link)
		return make_link(unpacker, entry, dir, name, ret_error);
	if (S_ISREG(entry->mode))
		return make_file(unpacker, entry, dir, name, ret_error);
	if (!S_ISLNK(entry->mode))
		return make_node(unpacker, entry, dir, name, ret_error);
	if (symlinkat(entry->link, dir, name) < 0)
		return error_set_errno(ret_error, errno, "cannot create %s", entry->path);
	return set_attributes(unpacker, entry, dir, name, ret_error);
}

/* The deepest first. */
static int finish_directories(struct unpacker *unpacker, struct error **ret_error)
{
	for (size_t i = unpacker->n_directories; i > 0; i--) {
		const struct directory *directory = &unpacker->directories[i - 1];
		const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, directory->mtime };
		_cleanup_close_ int parent = -1, fd = -1;
		const char *name;

		if (open_parent(unpacker, directory->path, &parent, &name, ret_error) < 0)
			return -1;
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || fchmod(fd, directory->mode) < 0)
			return error_set_errno(ret_error, errno, "cannot set the mode of %s",
					       directory->path);
		(void)futimens(fd, times);
	}
	return 0;
}

/* ---- the destination ---- */

static int open_base(struct unpacker *unpacker, const char *path, struct error **ret_error)
{
	unpacker->base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return unpacker->base < 0 ? error_set_errno(ret_error, errno, "cannot open %s", path) : 0;
}

/* The directory of a path that is not there, or is a file, and what the tree is called in it. */
static int open_beside(struct unpacker *unpacker, const char *path, struct error **ret_error)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");

	unpacker->name = xstrdup(slash ? slash + 1 : path);
	return open_base(unpacker, parent[0] ? parent : "/", ret_error);
}

static char *first_part(const char *path)
{
	while (strncmp(path, "./", 2) == 0 || path[0] == '/')
		path += path[0] == '/' ? 1 : 2;
	return xstrndup(path, strcspn(path, "/"));
}

/* docker-cp(1): what becomes of a tree of this first entry. */
static int find_place(struct unpacker *unpacker, const struct tar_entry *first,
		      struct error **ret_error)
{
	const char *path = unpacker->is->destination;
	_cleanup_free_ char *top = first_part(first->path), *plain = xstrdup(path), *real = NULL;
	const bool is_content = strcmp(top, ".") == 0;
	struct stat st;
	int result;

	while (strlen(plain) > 1 && plain[strlen(plain) - 1] == '/')
		plain[strlen(plain) - 1] = '\0';
	result = stat(path, &st);
	if (result == 0 && S_ISDIR(st.st_mode)) {
		unpacker->old = is_content ? NULL : xstrdup(top);
		unpacker->name = xstrdup(top);
		return open_base(unpacker, path, ret_error);
	}
	if (result == 0 && S_ISDIR(first->mode))
		return error_set(ret_error, ENOTDIR, "cannot copy directory");
	if (result < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot stat %s", path);
	if (result < 0 && !S_ISDIR(first->mode) && strcmp(plain, path) != 0)
		return error_set(ret_error, ENOENT, "no such directory");
	if (result < 0 && is_content) {
		if (mkdir(plain, 0755) < 0)
			return error_set_errno(ret_error, errno, "cannot create %s", plain);
		return open_base(unpacker, plain, ret_error);
	}
	/* The file that a link leads to, not the link. */
	real = result == 0 ? realpath(plain, NULL) : NULL;
	unpacker->old = xstrdup(top);
	return open_beside(unpacker, real ? real : plain, ret_error);
}

static int unpack_all(struct unpacker *unpacker, struct error **ret_error)
{
	struct stat st;
	bool is_first = !unpacker->is->is_raw;
	int result;

	if (unpacker->is->is_raw &&
	    (stat(unpacker->is->destination, &st) < 0 || !S_ISDIR(st.st_mode)))
		return error_set(ret_error, ENOTDIR, "destination \"%s\" must be a directory",
				 unpacker->is->destination);
	if (unpacker->is->is_raw && open_base(unpacker, unpacker->is->destination, ret_error) < 0)
		return -1;
	for (;;) {
		_cleanup_(tar_entry_done) struct tar_entry entry = { 0 };

		result = tar_next(&unpacker->reader, &entry, ret_error);
		if (result <= 0)
			break;
		if (is_first && find_place(unpacker, &entry, ret_error) < 0)
			return -1;
		is_first = false;
		if (unpack_entry(unpacker, &entry, ret_error) < 0)
			return -1;
	}
	return result < 0 ? -1 : finish_directories(unpacker, ret_error);
}

int tar_unpack(int fd, const struct tar_unpack *unpack, uint64_t *ret_left_out,
	       struct error **ret_error)
{
	struct unpacker unpacker = { .is = unpack, .reader.fd = fd, .base = -1 };
	const int result = unpack_all(&unpacker, ret_error);

	*ret_left_out = unpacker.left_out;
	unpacker_done(&unpacker);
	return result;
}
