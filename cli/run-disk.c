/* SPDX-License-Identifier: Apache-2.0 */
/* The disk for what a container writes: see run-disk.h. */
#include "cli/run-disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/parse.h"
#include "client/create.h"
#include "host/volumes.h"
#include "runtime-spec/machine-options.h"

/* For a file system with a journal. */
#define DISK_MIN (UINT64_C(8) << 20)
#define DISK_ALIGN 4096
#define FILE_NAME "/root.ext4"

static char *directory_of(const struct image_store *store)
{
	return xasprintf("%s/disks", image_store_path(store));
}

static char *marks_of(const char *container_directory)
{
	return xasprintf("%s/" CREATE_IMAGE_BUNDLE "/disks", container_directory);
}

int run_disk_read(const char *size, uint64_t *ret_bytes, struct error **ret_error)
{
	uint64_t bytes;

	*ret_bytes = 0;
	if (!size)
		return 0;
	if (parse_size(size, &bytes, ret_error) < 0)
		return error_wrap(ret_error, "--disk");
	if (bytes < DISK_MIN || bytes > INT64_MAX - DISK_ALIGN)
		return error_set(ret_error, EINVAL, "--disk %s: must be at least %llu bytes", size,
				 (unsigned long long)DISK_MIN);
	*ret_bytes = align_up(bytes, DISK_ALIGN);
	return 0;
}

int run_disk_plan(struct run_disk *disk, uint64_t bytes, const struct image_store *store,
		  char ***annotations, struct error **ret_error)
{
	_cleanup_free_ char *data = NULL, *annotation = NULL;

	if (bytes == 0)
		return 0;
	disk->directory = directory_of(store);
	if (strchr(disk->directory, ':'))
		return error_set(ret_error, ENOTSUP,
				 "--disk: the image store %s has a colon in its path",
				 image_store_path(store));
	if (volumes_random_name(&disk->name, ret_error) < 0)
		return -1;
	data = volumes_path(disk->directory, disk->name);
	annotation = xasprintf(ANNOTATION_VOLUME "root=%s" FILE_NAME ":/:size=%llu", data,
			       (unsigned long long)bytes);
	strv_append(annotations, annotation);
	return 0;
}

int run_disk_replace(struct run_disk *disk, const char *old, const struct image_store *store,
		     char **config, struct error **ret_error)
{
	const char *name = strstr(*config, old), *start = name, *end;
	_cleanup_free_ char *data = NULL;
	char *replaced;

	disk->directory = directory_of(store);
	/* What would have to be escaped in one of the two. */
	if (strpbrk(disk->directory, ":\"\\"))
		return error_set(ret_error, ENOTSUP,
				 "the container has a disk, and the image store %s a colon, a "
				 "quotation mark or a backslash in its path",
				 image_store_path(store));
	while (start && start > *config && start[-1] != '"')
		start--;
	end = name ? strstr(name, FILE_NAME ":") : NULL;
	if (!end)
		return error_set(ret_error, EINVAL, "its config.json does not name the disk %s",
				 old);
	if (volumes_random_name(&disk->name, ret_error) < 0)
		return -1;
	data = volumes_path(disk->directory, disk->name);
	replaced = xasprintf("%.*s%s%s", (int)(start - *config), *config, data, end);
	free(*config);
	*config = replaced;
	return 0;
}

int run_disk_take(const struct run_disk *disk, const char *container_directory,
		  struct error **ret_error)
{
	_cleanup_free_ char *marks = marks_of(container_directory);
	int fill;

	if (!disk->name)
		return 0;
	if (volumes_take(disk->directory, disk->name, true, marks, -1, &fill, ret_error) < 0)
		return -1;
	/* The task server makes the file. */
	volumes_filled(fill);
	return 0;
}

static void remove_one(const char *directory, const char *name)
{
	_cleanup_error_ struct error *error = NULL;

	if (volumes_remove(directory, name, &error) < 0 && error->code != ENOENT)
		log_warning("a container's disk: %s", error->message);
}

void run_disk_remove(const struct run_disk *disk)
{
	if (disk->name)
		remove_one(disk->directory, disk->name);
}

void run_disk_done(struct run_disk *disk)
{
	free(disk->directory);
	free(disk->name);
}

int run_disks_used(const char *container_directory, char ***ret_names, struct error **ret_error)
{
	_cleanup_free_ char *marks = marks_of(container_directory);

	return volumes_used(marks, ret_names, ret_error);
}

void run_disks_remove(const struct image_store *store, char *const *names)
{
	_cleanup_free_ char *directory = directory_of(store);

	for (; names && *names; names++)
		remove_one(directory, *names);
}

void run_disks_prune(const struct image_store *store, uint64_t *bytes)
{
	_cleanup_free_ char *directory = directory_of(store);
	_cleanup_error_ struct error *error = NULL;

	/* Most stores have none. */
	if (access(directory, F_OK) == 0 &&
	    volumes_prune(directory, true, NULL, NULL, bytes, &error) < 0)
		log_warning("%s", error->message);
}
