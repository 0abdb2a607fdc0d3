/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata part of the file benchmark (tests/bench/files), in its guests.
 *
 * usage: many-files create|stat|unlink DIRECTORY N
 *          Does that to N small files of the directory, "f0" and so on.
 *        many-files run COMMAND…
 *          Runs it; its failure is ours.
 *
 * Prints the microseconds it took.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define FILE_SIZE 128

extern char **environ;

static int create(const char *name)
{
	static const char bytes[FILE_SIZE];
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -1;
	if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes)) {
		(void)close(fd);
		return -1;
	}
	return close(fd);
}

static int look(const char *name)
{
	struct stat st;

	return stat(name, &st);
}

static int with_all(const char *what, const char *directory, unsigned long n)
{
	static const struct {
		const char *name;
		int (*run)(const char *name);
	} operations[] = { { "create", create }, { "stat", look }, { "unlink", unlink } };
	int (*operation)(const char *) = NULL;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(operations[i].name, what) == 0)
			operation = operations[i].run;
	if (!operation)
		return errno = EINVAL, -1;
	if (chdir(directory) < 0)
		return -1;
	for (unsigned long i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "f%lu", i);
		if (operation(name) < 0)
			return -1;
	}
	return 0;
}

static int run(char *const *command)
{
	int status;
	pid_t child;
	int code = posix_spawnp(&child, command[0], NULL, NULL, command, environ);

	if (code != 0)
		return errno = code, -1;
	if (waitpid(child, &status, 0) < 0)
		return -1;
	return status == 0 ? 0 : (errno = ECHILD, -1);
}

int main(int argc, char **argv)
{
	uint64_t started = clock_monotonic_ns();
	int r;

	if (argc > 2 && strcmp(argv[1], "run") == 0) {
		r = run(argv + 2);
	} else if (argc == 4) {
		r = with_all(argv[1], argv[2], strtoul(argv[3], NULL, 10));
	} else {
		(void)fputs("usage: many-files create|stat|unlink DIRECTORY N\n"
			    "       many-files run COMMAND…\n",
			    stderr);
		return 2;
	}
	if (r < 0) {
		(void)fprintf(stderr, "many-files: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	printf("%llu\n", (unsigned long long)(clock_monotonic_ns() - started) / 1000);
	return 0;
}
