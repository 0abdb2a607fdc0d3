/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of the host's: see host-user.h.
 *
 * Each id has a byte of one file, and who holds the id has an open file description that locked
 * that byte.  So the kernel gives an id back, however its holder ends.  The file itself is empty.
 */
#include "vmm/host-user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define DIRECTORY "/run/supermachine"
#define FILE_PATH DIRECTORY "/@users"

/* user_namespaces(7): the first id here, the first outside, how many. */
static bool is_mapped(void)
{
	_cleanup_file_ FILE *map = fopen("/proc/self/uid_map", "re");
	unsigned first, outside, count;
	bool mapped = false;

	while (map && !mapped && fscanf(map, "%u %u %u", &first, &outside, &count) == 3)
		mapped = first <= HOST_USER_FIRST &&
			 (uint64_t)first + count >= (uint64_t)HOST_USER_FIRST + HOST_USERS;
	return mapped;
}

bool host_user_available(void)
{
	return geteuid() == 0 && is_mapped();
}

/* As many as are tried: more in use than that are all of them. */
static int lock_one(int fd, unsigned first, uid_t *ret_user)
{
	for (unsigned i = 0; i < HOST_USERS; i++) {
		const unsigned offset = (first + i) % HOST_USERS;
		struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)offset, .l_len = 1 };

		if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
			*ret_user = HOST_USER_FIRST + offset;
			return 0;
		}
		if (errno != EAGAIN && errno != EACCES)
			return -1;
	}
	errno = EUSERS;
	return -1;
}

int host_user_take(uid_t *ret_user, int *ret_hold, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;
	unsigned first = 0;
	struct stat st;

	if (make_directories(DIRECTORY, 0700, ret_error) < 0)
		return -1;
	fd = open(FILE_PATH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open " FILE_PATH);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return error_set(ret_error, EPERM, FILE_PATH " is not a file of this user's");
	/* Anywhere: those that start together do not meet, and an id is seldom used again soon. */
	(void)getrandom(&first, sizeof(first), GRND_NONBLOCK);
	if (lock_one(fd, first % HOST_USERS, ret_user) < 0)
		return error_set_errno(ret_error, errno, "cannot lock a user id in " FILE_PATH);
	*ret_hold = TAKE_FD(fd);
	return 0;
}
