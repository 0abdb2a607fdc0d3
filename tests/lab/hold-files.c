/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a file many times, in as many processes as its limit of descriptors takes.
 *
 * usage: hold-files FILE TIMES: prints how often it was opened, and keeps it so until standard
 * input ends. Static, for guests. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reports how many of at most `most` it has opened, and waits. */
static void hold(const char *file, int most, int report, int go_on)
{
	int n = 0;
	char byte;

	while (n < most && open(file, O_RDONLY) >= 0)
		n++;
	if (write(report, &n, sizeof(n)) != sizeof(n))
		_exit(1);
	while (read(go_on, &byte, 1) > 0)
		continue;
	_exit(0);
}

/* A child's report; -1: none. */
static int hold_in_child(const char *file, int most)
{
	int ends[2], n = -1;

	if (pipe(ends) < 0)
		return -1;
	switch (fork()) {
	case -1:
		return -1;
	case 0:
		(void)close(ends[0]);
		hold(file, most, ends[1], STDIN_FILENO);
		break;
	default:
		break;
	}
	(void)close(ends[1]);
	if (read(ends[0], &n, sizeof(n)) != sizeof(n))
		n = -1;
	(void)close(ends[0]);
	return n;
}

int main(int argc, char **argv)
{
	int left, total = 0, each, n;
	struct rlimit limit;
	char byte;

	if (argc != 3 || getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		(void)fprintf(stderr, "usage: hold-files FILE TIMES\n");
		return 2;
	}
	each = (int)limit.rlim_cur - 8;
	for (left = atoi(argv[2]); left > 0; left -= n) {
		n = hold_in_child(argv[1], left < each ? left : each);
		if (n < 0)
			return 1;
		total += n;
		if (n < left && n < each)
			break;
	}
	(void)printf("%d\n", total);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	return 0;
}
