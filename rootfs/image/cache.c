/* SPDX-License-Identifier: Apache-2.0 */
/* What stays in the image cache and what goes: see cache.h. */
#include "rootfs/image/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define KEEP_SECONDS (30LL * 24 * 60 * 60)
#define SPARE_SECONDS (60LL * 60)
#define SIZE_MAX_BYTES (16LL << 30)

struct image_list {
	struct cached {
		char *name;
		int64_t used; /* seconds since 1970 */
		int64_t size;
	} * images;
	size_t n, capacity;
};

bool cache_is_at(int dir_fd, const char *name, int fd)
{
	struct stat at, open_file;

	return fstat(fd, &open_file) == 0 && fstatat(dir_fd, name, &at, AT_SYMLINK_NOFOLLOW) == 0 &&
	       at.st_dev == open_file.st_dev && at.st_ino == open_file.st_ino;
}

/* A maker between its open and its lock sees that its name is gone. */
void cache_remove(int dir_fd, const char *name, int64_t used)
{
	_cleanup_close_ int fd =
	    openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || lock_file(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	if (!cache_is_at(dir_fd, name, fd) || fstat(fd, &st) < 0 || st.st_mtim.tv_sec > used)
		return;
	if (unlinkat(dir_fd, name, 0) == 0)
		log_debug("removed %s, which nobody uses", name);
}

DIR *cache_list(int dir_fd)
{
	_cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir)
		fd = -1; /* the stream's */
	return dir;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

bool cache_is_temporary(const char *name)
{
	return has_suffix(name, CACHE_TEMPORARY);
}

static void add_image(struct image_list *list, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;
	if (list->n == list->capacity) {
		list->capacity = list->capacity ? list->capacity * 2 : 16;
		list->images = xreallocarray(list->images, list->capacity, sizeof(*list->images));
	}
	list->images[list->n++] =
	    (struct cached){ .name = xstrdup(name), .used = st.st_mtim.tv_sec, .size = st.st_size };
}

static int compare_used(const void *a, const void *b)
{
	const struct cached *x = a, *y = b;

	return x->used < y->used ? -1 : x->used > y->used;
}

/* Oldest first, until those left are young enough and few enough. */
static void remove_images(int dir_fd, struct image_list *list)
{
	int64_t now = time(NULL), total = 0;

	if (list->n > 0)
		qsort(list->images, list->n, sizeof(*list->images), compare_used);
	for (size_t i = 0; i < list->n; i++)
		total += list->images[i].size;
	for (size_t i = 0; i < list->n; i++) {
		const struct cached *image = &list->images[i];

		if (image->used > now - SPARE_SECONDS ||
		    (image->used > now - KEEP_SECONDS && total <= SIZE_MAX_BYTES))
			break;
		cache_remove(dir_fd, image->name, image->used);
		total -= image->size;
	}
}

void cache_prune(int dir_fd)
{
	_cleanup_dir_ DIR *dir = cache_list(dir_fd);
	struct image_list list = { 0 };
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (cache_is_temporary(entry->d_name))
			cache_remove(dir_fd, entry->d_name, INT64_MAX);
		else if (has_suffix(entry->d_name, CACHE_IMAGE))
			add_image(&list, dir_fd, entry->d_name);
	}
	remove_images(dir_fd, &list);
	for (size_t i = 0; i < list.n; i++)
		free(list.images[i].name);
	free(list.images);
}
