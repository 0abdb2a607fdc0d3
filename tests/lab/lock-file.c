/* SPDX-License-Identifier: Apache-2.0 */
/* A small flock(1), static, for guests that have none.
 *
 * usage: lock-file wait|try FILE COMMAND: runs COMMAND (for sh) with the lock; 1 where
 * another has it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

int main(int argc, char **argv)
{
	int fd;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: lock-file wait|try FILE COMMAND\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR);
	if (fd < 0 || flock(fd, LOCK_EX | (strcmp(argv[1], "try") == 0 ? LOCK_NB : 0)) < 0)
		return 1;
	return system(argv[3]) == 0 ? 0 : 2;
}
