/* SPDX-License-Identifier: Apache-2.0 */
/* The store's directories and the files that are made in them: see store.h. */
#include "rootfs/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/user.h"
#include "rootfs/image/store-parts.h"

struct store_file {
	const struct image_store *store;
	int directory, fd;
	char *temporary, *name;
};

/* ---- opening ---- */

static int open_directory(const struct image_store *store, const char *name, int *ret_fd,
			  struct error **ret_error)
{
	if (mkdirat(store->fd, name, 0700) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make %s/%s", store->path, name);
	*ret_fd = openat(store->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s/%s", store->path, name);
	return 0;
}

int image_store_open(const char *directory, struct image_store **ret_store,
		     struct error **ret_error)
{
	_cleanup_(image_store_closep) struct image_store *store = xcalloc(1, sizeof(*store));

	store->fd = store->blobs = store->layers = store->names = store->holds = store->lock = -1;
	store->path = directory ? xstrdup(directory) : paths_store();
	if (make_directories(store->path, 0700, ret_error) < 0)
		return error_wrap(ret_error, "the image store cannot be used");
	store->fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the image store %s",
				       store->path);
	if (user_check_private(store->fd, "the image store", store->path, ret_error) < 0 ||
	    open_directory(store, "blobs", &store->blobs, ret_error) < 0 ||
	    open_directory(store, "layers", &store->layers, ret_error) < 0 ||
	    open_directory(store, "names", &store->names, ret_error) < 0 ||
	    open_directory(store, "holds", &store->holds, ret_error) < 0)
		return -1;
	*ret_store = TAKE_PTR(store);
	return 0;
}

void image_store_close(struct image_store *store)
{
	if (!store)
		return;
	close_fdp(&store->lock);
	close_fdp(&store->blobs);
	close_fdp(&store->layers);
	close_fdp(&store->names);
	close_fdp(&store->holds);
	close_fdp(&store->fd);
	free(store->path);
	free(store);
}

const char *image_store_path(const struct image_store *store)
{
	return store->path;
}

int store_lock(const struct image_store *store, int operation)
{
	_cleanup_close_ int fd =
	    openat(store->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || lock_file(fd, operation) < 0)
		return -1;
	return TAKE_FD(fd);
}

int image_store_share(struct image_store *store, struct error **ret_error)
{
	if (store->lock >= 0)
		return 0;
	store->lock = store_lock(store, LOCK_SH);
	if (store->lock < 0)
		return error_set_errno(ret_error, errno, "cannot lock %s/lock", store->path);
	return 0;
}

/* ---- files ---- */

char *store_layer_name(const char *diff_id)
{
	return xasprintf("%s" CACHE_IMAGE, digest_hex(diff_id));
}

static bool is_there(int directory, const char *name)
{
	struct stat st;

	return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Locked, and still the file of this name. What a dead maker left in it is cut off. */
static int open_temporary(int directory, const char *name)
{
	for (;;) {
		_cleanup_close_ int fd =
		    openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd < 0 || lock_file(fd, LOCK_EX) < 0)
			return -1;
		if (!cache_is_at(directory, name, fd))
			continue; /* its maker renamed or removed it meanwhile */
		if (ftruncate(fd, 0) < 0)
			return -1;
		return TAKE_FD(fd);
	}
}

static int begin(const struct image_store *store, int directory, const char *name,
		 struct store_file **ret_file, struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = xcalloc(1, sizeof(*file));

	file->store = store;
	file->directory = directory;
	file->name = xstrdup(name);
	file->temporary = xasprintf("%s" CACHE_TEMPORARY, name);
	file->fd = open_temporary(directory, file->temporary);
	if (file->fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s in the image store %s",
				       file->temporary, store->path);
	*ret_file = TAKE_PTR(file);
	return 0;
}

int store_file_begin(const struct image_store *store, enum store_kind kind, const char *digest,
		     struct store_file **ret_file, struct error **ret_error)
{
	const int directory = kind == STORE_LAYER ? store->layers : store->blobs;
	_cleanup_free_ char *name =
	    kind == STORE_LAYER ? store_layer_name(digest) : xstrdup(digest_hex(digest));
	_cleanup_(store_file_freep) struct store_file *file = NULL;

	if (is_there(directory, name)) {
		*ret_file = NULL;
		return 0;
	}
	if (begin(store, directory, name, &file, ret_error) < 0)
		return -1;
	/* Another may have been faster. */
	*ret_file = is_there(directory, name) ? NULL : TAKE_PTR(file);
	return 0;
}

int store_file_fd(const struct store_file *file)
{
	return file->fd;
}

int store_file_commit(struct store_file *own, struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = own;

	if (fsync(file->fd) < 0 ||
	    renameat(file->directory, file->temporary, file->directory, file->name) < 0)
		return error_set_errno(ret_error, errno, "cannot write %s in the image store %s",
				       file->name, file->store->path);
	free(TAKE_PTR(file->temporary));
	if (fsync(file->directory) < 0)
		return error_set_errno(ret_error, errno, "cannot sync the image store %s",
				       file->store->path);
	return 0;
}

void store_file_free(struct store_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0 && file->temporary)
		(void)unlinkat(file->directory, file->temporary, 0);
	close_fdp(&file->fd);
	free(file->temporary);
	free(file->name);
	free(file);
}

int store_write(const struct image_store *store, int directory, const char *name, const char *text,
		size_t size, struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = NULL;

	if (begin(store, directory, name, &file, ret_error) < 0)
		return -1;
	if (write_all(file->fd, text, size) < 0)
		return error_set_errno(ret_error, errno, "cannot write to the image store %s",
				       store->path);
	return store_file_commit(TAKE_PTR(file), ret_error);
}

/* ---- blobs ---- */

int image_store_put_blob(const struct image_store *store, const void *bytes, size_t size,
			 char ret_digest[DIGEST_SIZE], struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = NULL;
	char digest[DIGEST_SIZE];

	if (digest_of(bytes, size, digest, ret_error) < 0 ||
	    store_file_begin(store, STORE_BLOB, digest, &file, ret_error) < 0)
		return -1;
	if (file) {
		if (write_all(file->fd, bytes, size) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot write to the image store %s", store->path);
		if (store_file_commit(TAKE_PTR(file), ret_error) < 0)
			return -1;
	}
	(void)strcpy(ret_digest, digest);
	return 0;
}

int image_store_open_blob(const struct image_store *store, const char *digest)
{
	return openat(store->blobs, digest_hex(digest), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int image_store_read_blob(struct image_store *store, const char *digest, size_t size_max,
			  char **ret_bytes, size_t *ret_size, struct error **ret_error)
{
	_cleanup_close_ int fd = image_store_open_blob(store, digest);
	_cleanup_free_ char *bytes = NULL;
	char got[DIGEST_SIZE];
	size_t size;

	if (fd < 0)
		return error_set_errno(ret_error, errno,
				       "cannot open blob %s of the image store %s", digest,
				       store->path);
	if (read_file_fd(fd, digest, size_max, &bytes, &size, ret_error) < 0 ||
	    digest_of(bytes, size, got, ret_error) < 0)
		return -1;
	if (strcmp(got, digest) != 0)
		return error_set(ret_error, EBADMSG,
				 "blob %s of the image store %s was damaged: remove the image and "
				 "pull it again",
				 digest, store->path);
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = size;
	return 0;
}
