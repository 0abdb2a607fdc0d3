/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts on /proc and below it: see proc-mount.h. */
#include "runtime-spec/proc-mount.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/spec.h"

/* What lxcfs and the like put a file of their own over. */
static const char *const emulated[] = {
	"/proc/cpuinfo", "/proc/diskstats",
	"/proc/meminfo", "/proc/stat",
	"/proc/swaps",	 "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo",
	"/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
};

/* runc does not look where these go: the kernel has no directory of that name, or it has. */
static const char *const free_types[] = { "proc", "sysfs", "tmpfs", "mqueue" };

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* "/" followed by components without "." and ".."; caller frees. */
static char *clean(const char *path)
{
	char *cleaned = xmalloc(strlen(path) + 2);
	size_t n = 0;

	while (*(path += strspn(path, "/"))) {
		size_t length = strcspn(path, "/");

		if (length == 2 && path[0] == '.' && path[1] == '.') {
			while (n > 0 && cleaned[--n] != '/')
				;
		} else if (length != 1 || path[0] != '.') {
			cleaned[n++] = '/';
			memcpy(cleaned + n, path, length);
			n += length;
		}
		path += length;
	}
	if (n == 0)
		cleaned[n++] = '/';
	cleaned[n] = '\0';
	return cleaned;
}

static bool is_remount(const struct spec_mount *mount)
{
	for (char **word = mount->options; word && *word; word++)
		if (strcmp(*word, "remount") == 0)
			return true;
	return false;
}

static int refuse(const struct spec_mount *mount, const char *path, const char *why,
		  struct error **ret_error)
{
	return error_set(ret_error, EINVAL,
			 "error mounting \"%s\" to rootfs at \"%s\": \"%s\" cannot be mounted "
			 "because it is %s",
			 mount->source ? mount->source
			 : mount->type ? mount->type
				       : "",
			 mount->destination, path, why);
}

int proc_mount_check(const struct spec_mount *mount, const char *path, struct error **ret_error)
{
	_cleanup_free_ char *at = clean(path);
	const char *type = mount_is_bind(mount) || !mount->type ? "bind" : mount->type;

	if (strncmp(at, "/proc", 5) != 0 || (at[5] != '/' && at[5] != '\0'))
		return 0;
	if (at[5] == '\0')
		return strcmp(type, "proc") == 0 || is_remount(mount)
			   ? 0
			   : refuse(mount, at, "not of type proc", ret_error);
	if (is_one_of(type, free_types, ARRAY_SIZE(free_types)) ||
	    is_one_of(at, emulated, ARRAY_SIZE(emulated)))
		return 0;
	return refuse(mount, at, "inside /proc", ret_error);
}
