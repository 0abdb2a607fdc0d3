/* SPDX-License-Identifier: Apache-2.0 */
/* Finding disks by their serial numbers: see disk.h. */
#include "agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

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

static int change(int fd, int operation, unsigned number, uint64_t offset, uint64_t size)
{
	struct blkpg_partition part = {
		.start = (long long)offset,
		.length = (long long)size,
		.pno = (int)number,
	};
	struct blkpg_ioctl_arg argument = {
		.op = operation,
		.datalen = sizeof(part),
		.data = &part,
	};

	return ioctl(fd, BLKPG, &argument);
}

/* The first layer's author may have written a table of partitions into it. */
static void remove_found(const char *block_dir, const char *disk, int fd)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", block_dir, disk);
	_cleanup_dir_ DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *name = xasprintf("%s/%s/partition", path, entry->d_name);
		_cleanup_free_ char *text = NULL;
		unsigned long number;

		if (entry->d_name[0] == '.' || read_file(name, 4096, &text, NULL, NULL) < 0)
			continue;
		number = strtoul(text, NULL, 10);
		if (number > 0 && number <= INT_MAX)
			(void)change(fd, BLKPG_DEL_PARTITION, (unsigned)number, 0, 0);
	}
}

int disk_cut(const char *block_dir, const char *device, unsigned number, uint64_t offset,
	     uint64_t size, char **ret_part, struct error **ret_error)
{
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
	const char *name = strrchr(device, '/') + 1;
	const bool digit =
	    name[0] && name[strlen(name) - 1] >= '0' && name[strlen(name) - 1] <= '9';
	uint64_t capacity;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &capacity) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", device);
	if (offset > capacity || size > capacity - offset)
		return error_set(ret_error, EINVAL, "%s has no part of %llu bytes at %llu", device,
				 (unsigned long long)size, (unsigned long long)offset);
	if (number == 1)
		remove_found(block_dir, name, fd);
	if (change(fd, BLKPG_ADD_PARTITION, number, offset, size) < 0)
		return error_set_errno(ret_error, errno, "cannot make a part of %s", device);
	/* As the kernel names them. */
	*ret_part = xasprintf("%s%s%u", device, digit ? "p" : "", number);
	return 0;
}

int disk_wait(const char *block_dir, const char *serial, char **ret_device,
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
