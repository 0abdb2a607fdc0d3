/* SPDX-License-Identifier: Apache-2.0 */
/* Finding disks by their serial numbers: see disk.h. */
#include "agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <time.h>

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
