/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a container: maps a file, says so, waits, has the kernel read it ahead, and ends at once.
 *
 * usage: read-ahead FILE SECONDS
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc == 3 ? open(argv[1], O_RDONLY) : -1;
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 1;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || close(fd) < 0 || puts("mapped") < 0 || fflush(stdout) != 0)
		return 2;
	(void)sleep((unsigned int)atoi(argv[2]));
	return madvise(map, (size_t)st.st_size, MADV_WILLNEED) < 0 ? 3 : 9;
}
