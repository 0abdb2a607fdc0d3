/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the container's program, with the error texts of Go's os/exec: moby
 * maps "executable file not found" and "no such file or directory" to 127,
 * "permission denied" to 126.
 */
#include "agent/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/go-error.h"

static size_t name_length(const char *entry)
{
	return strcspn(entry, "=");
}

static bool same_name(const char *a, const char *b)
{
	size_t length = name_length(a);

	return length == name_length(b) && memcmp(a, b, length) == 0;
}

const char *environment_get(char *const *env, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; env && env[i]; i++)
		if (strncmp(env[i], name, length) == 0 && env[i][length] == '=')
			return env[i] + length + 1;
	return NULL;
}

static void environment_set(char ***env, const char *entry)
{
	for (size_t i = 0; *env && (*env)[i]; i++) {
		if (same_name((*env)[i], entry)) {
			free((*env)[i]);
			(*env)[i] = xstrdup(entry);
			return;
		}
	}
	strv_append(env, entry);
}

/* passwd(5): name:password:UID:GID:GECOS:directory:shell. The file is the
 * container's own; a line that is not like this is passed over. */
static char *home_of_line(char *line, uint32_t uid)
{
	char *fields[6];
	char *end;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&line, ":");
		if (!fields[i])
			return NULL;
	}
	if (fields[2][0] == '\0' || strtoul(fields[2], &end, 10) != uid || *end != '\0')
		return NULL;
	return xstrdup(fields[5]);
}

static char *home_of(uint32_t uid)
{
	/* Not one to wait on, whatever the image made of it. */
	_cleanup_close_ int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_file_ FILE *file = NULL;
	_cleanup_free_ char *home = NULL;
	struct stat st;
	char line[4096];

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return xstrdup("/");
	file = fdopen(fd, "r");
	if (!file)
		return xstrdup("/");
	(void)TAKE_FD(fd);
	while (!home && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		home = home_of_line(line, uid);
	}
	return home && *home ? TAKE_PTR(home) : xstrdup("/");
}

char **program_environment(char *const *env, uint32_t uid)
{
	char **result = NULL;
	const char *home;

	for (size_t i = 0; env && env[i]; i++)
		if (strchr(env[i], '='))
			environment_set(&result, env[i]);
	home = environment_get(result, "HOME");
	if (!home || !*home) {
		_cleanup_free_ char *directory = home_of(uid);
		_cleanup_free_ char *entry = xasprintf("HOME=%s", directory);

		environment_set(&result, entry);
	}
	return result;
}

/* 0, or the errno for which this is not a program. */
static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode) || !(st.st_mode & 0111))
		return EACCES;
	/* a file system mounted noexec, or nothing for this user */
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return errno;
	return 0;
}

static int find_in_path(const char *name, const char *path, char **ret_path,
			struct error **ret_error)
{
	while (path && *path) {
		size_t length = strcspn(path, ":");
		_cleanup_free_ char *candidate =
		    xasprintf("%.*s/%s", length ? (int)length : 1, length ? path : ".", name);

		if (check_executable(candidate) == 0) {
			*ret_path = TAKE_PTR(candidate);
			return 0;
		}
		path += length;
		path += *path == ':';
	}
	return error_set(ret_error, ENOENT, "exec: \"%s\": executable file not found in $PATH",
			 name);
}

int program_find(const char *name, char *const *env, char **ret_path, struct error **ret_error)
{
	int code;

	if (!strchr(name, '/'))
		return find_in_path(name, environment_get(env, "PATH"), ret_path, ret_error);
	code = check_executable(name);
	if (code == EACCES)
		return error_set_go(ret_error, code, "exec: \"%s\"", name);
	if (code != 0)
		return error_set_go(ret_error, code, "exec: \"%s\": stat %s", name, name);
	*ret_path = xstrdup(name);
	return 0;
}
