/* SPDX-License-Identifier: Apache-2.0 */
/* Named volumes: see volumes.h. */
#include "host/volumes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"

#define FILL_POLL_MS 50 /* how often a volume that is being filled is looked at */
#define DATA "_data"
#define RECORD "volume.json"
#define RECORD_MAX (1u << 20)
#define USERS "users"
#define FILLING "filling"
#define LOCK ".lock"
/* No volume's name begins with a point. */
#define MAKING ".making-XXXXXX"
#define GOING ".going-XXXXXX"
#define RANDOM_BYTES 32

void volumes_entry_free(struct volumes_entry *entry)
{
	if (!entry)
		return;
	free(entry->name);
	free(entry->path);
	strv_free(entry->labels);
	free(entry);
}

int volumes_check_name(const char *name, struct error **ret_error)
{
	bool valid = isalnum((unsigned char)name[0]) && strlen(name) <= NAME_MAX;

	for (const char *at = name; valid && *at; at++)
		valid = isalnum((unsigned char)*at) || strchr("_.-", *at);
	if (!valid)
		return error_set(ret_error, EINVAL,
				 "\"%s\" includes invalid characters for a local volume name, only "
				 "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to "
				 "pass a host directory, use absolute path",
				 name);
	if (!name[1])
		return error_set(ret_error, EINVAL,
				 "volume name is too short, names should be at least two "
				 "alphanumeric characters");
	return 0;
}

int volumes_random_name(char **ret_name, struct error **ret_error)
{
	unsigned char bytes[RANDOM_BYTES];

	if (random_bytes(bytes, sizeof(bytes), ret_error) < 0)
		return -1;
	*ret_name = hex_encode(bytes, sizeof(bytes));
	return 0;
}

static char *path_of(const char *directory, const char *name, const char *part)
{
	return xasprintf("%s/%s/%s", directory, name, part);
}

char *volumes_path(const char *directory, const char *name)
{
	return path_of(directory, name, DATA);
}

/* Open and locked, or -1. */
static int lock_all(const char *directory, int operation, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" LOCK, directory);
	_cleanup_close_ int fd = -1;

	if (make_directories(directory, 0700, ret_error) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || lock_file(fd, operation) < 0)
		return error_set_errno(ret_error, errno, "cannot lock %s", path);
	return TAKE_FD(fd);
}

static bool exists(const char *directory, const char *name)
{
	_cleanup_free_ char *path = path_of(directory, name, RECORD);

	return access(path, F_OK) == 0;
}

static int no_such(const char *name, struct error **ret_error)
{
	return error_set(ret_error, ENOENT, "no such volume: %s", name);
}

/* ---- making ---- */

static int write_record(const char *path, bool anonymous, char *const *labels,
			struct error **ret_error)
{
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	size_t size;

	json_begin_object(writer);
	json_put_uint64(writer, "created", clock_realtime_ns() / NS_PER_SECOND);
	json_put_bool(writer, "anonymous", anonymous);
	json_put_strv(writer, "labels", labels);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	return write_file_synced(path, text, size, 0600, ret_error);
}

static int make_parts(const char *making, bool anonymous, char *const *labels,
		      struct error **ret_error)
{
	_cleanup_free_ char *data = xasprintf("%s/" DATA, making);
	_cleanup_free_ char *users = xasprintf("%s/" USERS, making);
	_cleanup_free_ char *record = xasprintf("%s/" RECORD, making);

	/* Whatever the umask: programs of other users in the container use it. */
	if (mkdir(data, 0755) < 0 || chmod(data, 0755) < 0 || mkdir(users, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", making);
	return write_record(record, anonymous, labels, ret_error);
}

int volumes_make(const char *directory, const char *name, bool anonymous, char *const *labels,
		 struct error **ret_error)
{
	_cleanup_close_ int lock = lock_all(directory, LOCK_SH, ret_error);
	_cleanup_free_ char *making = xasprintf("%s/" MAKING, directory);
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	int result;

	if (lock < 0 || volumes_check_name(name, ret_error) < 0)
		return -1;
	if (exists(directory, name))
		return 0;
	if (!mkdtemp(making))
		return error_set_errno(ret_error, errno, "cannot make %s", making);
	result = make_parts(making, anonymous, labels, ret_error);
	if (result == 0 && rename(making, path) < 0) {
		const int code = errno;

		/* Another made it meanwhile. */
		if (code != ENOTEMPTY && code != EEXIST)
			result = error_set_errno(ret_error, code, "cannot make volume %s", name);
		(void)remove_tree(making, NULL);
	} else if (result < 0) {
		(void)remove_tree(making, NULL);
	}
	return result;
}

/* ---- looking ---- */

static int read_record(const char *path, struct volumes_entry *entry, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_at root;
	size_t size;

	if (read_file(path, RECORD_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, path, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_get_uint64(&root, "created", JSON_REQUIRED, INT64_MAX, &entry->created,
			    ret_error) < 0 ||
	    json_get_bool(&root, "anonymous", JSON_REQUIRED, &entry->anonymous, ret_error) < 0 ||
	    json_get_strv(&root, "labels", JSON_OPTIONAL, &entry->labels, ret_error) < 0)
		return error_wrap(ret_error, "%s", path);
	return 0;
}

int volumes_find(const char *directory, const char *name, struct volumes_entry **ret_entry,
		 struct error **ret_error)
{
	_cleanup_(volumes_entry_freep) struct volumes_entry *entry = xcalloc(1, sizeof(*entry));
	_cleanup_free_ char *path = path_of(directory, name, RECORD);

	if (volumes_check_name(name, NULL) < 0 || !exists(directory, name))
		return no_such(name, ret_error);
	if (read_record(path, entry, ret_error) < 0)
		return -1;
	entry->name = xstrdup(name);
	entry->path = volumes_path(directory, name);
	*ret_entry = TAKE_PTR(entry);
	return 0;
}

static int is_name(const struct dirent *entry)
{
	return volumes_check_name(entry->d_name, NULL) == 0;
}

int volumes_names(const char *directory, char ***ret_names, struct error **ret_error)
{
	struct dirent **entries = NULL;
	const int n = scandir(directory, &entries, is_name, alphasort);

	if (n < 0 && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot read %s", directory);
	*ret_names = NULL;
	for (int i = 0; i < n; i++) {
		strv_append(ret_names, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

int volumes_used(const char *marks, char ***ret_names, struct error **ret_error)
{
	return volumes_names(marks, ret_names, ret_error);
}

uint64_t volumes_size(const char *directory, const char *name)
{
	_cleanup_free_ char *path = volumes_path(directory, name);
	char *const paths[] = { path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	uint64_t bytes = 0;
	FTSENT *entry;

	while (tree && (entry = fts_read(tree)))
		if (entry->fts_info == FTS_F || entry->fts_info == FTS_D)
			bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	if (tree)
		(void)fts_close(tree);
	return bytes;
}

/* ---- using ---- */

/* The container's mark that the link leads to; false: none. */
static bool read_user(const char *link, char ret_mark[PATH_MAX])
{
	const ssize_t n = readlink(link, ret_mark, PATH_MAX - 1);

	if (n < 0)
		return false;
	ret_mark[n] = '\0';
	return true;
}

/* The first free number is the link's name; one of a container that had this id is as good. */
static int add_user(const char *directory, const char *name, const char *mark,
		    struct error **ret_error)
{
	for (unsigned n = 0; n < UINT_MAX; n++) {
		_cleanup_free_ char *path = xasprintf("%s/%s/" USERS "/%u", directory, name, n);
		char other[PATH_MAX];

		if (symlink(mark, path) == 0)
			return 0;
		if (errno != EEXIST)
			return error_set_errno(ret_error, errno, "cannot make %s", path);
		if (read_user(path, other) && strcmp(other, mark) == 0)
			return 0;
	}
	return error_set_errno(ret_error, EMLINK, "volume %s", name);
}

/* A container of this mark is there. */
static bool is_user(const char *link)
{
	char mark[PATH_MAX];
	struct stat st;

	return read_user(link, mark) && lstat(mark, &st) == 0;
}

/* How many containers use it; what others have left goes. */
static size_t count_users(const char *directory, const char *name)
{
	_cleanup_free_ char *users = path_of(directory, name, USERS);
	_cleanup_dir_ DIR *dir = opendir(users);
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *link = xasprintf("%s/%s", users, entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		if (is_user(link))
			n++;
		else
			(void)unlink(link);
	}
	return n;
}

/* What was filled by halves goes; but it stays, for good, where somebody uses it as it is. */
static int undo_filling(const char *directory, const char *name, struct error **ret_error)
{
	_cleanup_free_ char *data = volumes_path(directory, name);
	_cleanup_free_ char *filling = path_of(directory, name, FILLING);

	if (access(filling, F_OK) < 0)
		return 0;
	if (count_users(directory, name) > 1) {
		(void)unlink(filling);
		return 0;
	}
	if (remove_tree(data, ret_error) < 0)
		return -1;
	if (mkdir(data, 0755) < 0 || chmod(data, 0755) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", data);
	return 0;
}

/* A process that fills one is not told of who waits: it is asked every so often. */
static int lock_unless_canceled(int fd, int cancel_fd, const char *name, struct error **ret_error)
{
	struct pollfd cancel = { .fd = cancel_fd, .events = POLLIN };

	while (lock_file(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set_errno(ret_error, errno, "cannot lock volume %s", name);
		if (poll(&cancel, 1, FILL_POLL_MS) > 0)
			return error_set(ret_error, ECANCELED,
					 "interrupted while another container fills volume %s",
					 name);
	}
	return 0;
}

/* The user is noted already.  Open, locked and marked as being filled; -1 in *ret_fd: nothing is
 * to be filled. */
static int begin_filling(const char *directory, const char *name, int cancel_fd, int *ret_fd,
			 struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	_cleanup_free_ char *data = volumes_path(directory, name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int mark = -1;

	*ret_fd = -1;
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open volume %s", name);
	if (lock_unless_canceled(fd, cancel_fd, name, ret_error) < 0 ||
	    undo_filling(directory, name, ret_error) < 0)
		return -1;
	if (!directory_is_empty(AT_FDCWD, data))
		return 0;
	mark = openat(fd, FILLING, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (mark < 0)
		return error_set_errno(ret_error, errno, "cannot write in volume %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int volumes_use(const char *directory, const char *name, const char *marks, int cancel_fd,
		int *ret_fill, struct error **ret_error)
{
	_cleanup_close_ int lock = lock_all(directory, LOCK_SH, ret_error);
	_cleanup_free_ char *mark = xasprintf("%s/%s", marks, name);
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	if (lock < 0 || make_directories(marks, 0700, ret_error) < 0)
		return -1;
	if (!exists(directory, name))
		return no_such(name, ret_error);
	/* The mark first: a link that leads nowhere is nobody's. */
	if (symlink(path, mark) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make %s", mark);
	if (add_user(directory, name, mark, ret_error) < 0)
		return -1;
	/* It is a user's now: nobody needs to wait for us to remove another volume. */
	close_fdp(&lock);
	lock = -1;
	return begin_filling(directory, name, cancel_fd, ret_fill, ret_error);
}

int volumes_take(const char *directory, const char *name, bool anonymous, const char *marks,
		 int cancel_fd, int *ret_fill, struct error **ret_error)
{
	for (;;) {
		_cleanup_error_ struct error *error = NULL;

		if (volumes_make(directory, name, anonymous, NULL, ret_error) < 0)
			return -1;
		if (volumes_use(directory, name, marks, cancel_fd, ret_fill, &error) == 0)
			return 0;
		/* Another removed what nobody used yet. */
		if (error->code == ENOENT && !exists(directory, name))
			continue;
		*ret_error = TAKE_PTR(error);
		return -1;
	}
}

void volumes_filled(int fill)
{
	if (fill < 0)
		return;
	(void)unlinkat(fill, FILLING, 0);
	(void)close(fill);
}

int volumes_keep(const char *marks, struct error **ret_error)
{
	_cleanup_strv_ char **names = NULL;

	if (volumes_used(marks, &names, ret_error) < 0)
		return -1;
	for (char *const *name = names; name && *name; name++) {
		_cleanup_free_ char *filling = xasprintf("%s/%s/" FILLING, marks, *name);

		if (unlink(filling) < 0 && errno != ENOENT && errno != ENOTDIR)
			return error_set_errno(ret_error, errno, "cannot remove %s", filling);
	}
	return 0;
}

/* ---- removing ---- */

static int remove_at(const char *directory, const char *name, struct error **ret_error)
{
	_cleanup_free_ char *going = xasprintf("%s/" GOING, directory);
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	/* It is gone at once, and its files one by one. */
	if (!mkdtemp(going) || rename(path, going) < 0)
		return error_set_errno(ret_error, errno, "cannot remove volume %s", name);
	return remove_tree(going, ret_error);
}

int volumes_remove(const char *directory, const char *name, struct error **ret_error)
{
	_cleanup_close_ int lock = lock_all(directory, LOCK_EX, ret_error);

	if (lock < 0)
		return -1;
	if (volumes_check_name(name, NULL) < 0 || !exists(directory, name))
		return no_such(name, ret_error);
	if (count_users(directory, name) > 0)
		return error_set(ret_error, EBUSY, "remove %s: volume is in use", name);
	return remove_at(directory, name, ret_error);
}

void volumes_tidy(const char *directory)
{
	_cleanup_close_ int lock = lock_all(directory, LOCK_EX, NULL);
	_cleanup_dir_ DIR *dir = lock < 0 ? NULL : opendir(directory);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, entry->d_name);
		_cleanup_error_ struct error *error = NULL;

		if ((strncmp(entry->d_name, MAKING, strcspn(MAKING, "X")) == 0 ||
		     strncmp(entry->d_name, GOING, strcspn(GOING, "X")) == 0) &&
		    remove_tree(path, &error) < 0)
			log_warning("%s", error->message);
	}
}

/* True: it is gone. */
static bool prune_one(const char *directory, const char *name, bool all, uint64_t *bytes)
{
	_cleanup_(volumes_entry_freep) struct volumes_entry *entry = NULL;
	_cleanup_error_ struct error *error = NULL;
	uint64_t size;

	if (volumes_find(directory, name, &entry, NULL) < 0 || !(entry->anonymous || all))
		return false;
	size = volumes_size(directory, name);
	if (volumes_remove(directory, name, &error) < 0) {
		if (error->code != EBUSY && error->code != ENOENT)
			log_warning("%s", error->message);
		return false;
	}
	*bytes += size;
	return true;
}

int volumes_prune(const char *directory, bool all, volumes_removed_fn removed, void *data,
		  uint64_t *bytes, struct error **ret_error)
{
	_cleanup_strv_ char **names = NULL;

	volumes_tidy(directory);
	if (volumes_names(directory, &names, ret_error) < 0)
		return -1;
	for (char **name = names; name && *name; name++)
		if (prune_one(directory, *name, all, bytes) && removed)
			removed(data, *name);
	return 0;
}
