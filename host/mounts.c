/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting a container's root directory: see mounts.h. */
#include "host/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "host/loop-device.h"
#include "runtime-spec/mount-options.h"

/* mount(2) takes one page of options, its NUL included. */
#define DATA_MAX 4096
#define MOUNTINFO_MAX (4u << 20)

static bool has_option(const Task__Mount *mount, const char *name)
{
	for (size_t i = 0; i < mount->n_options; i++)
		if (strcmp(mount->options[i], name) == 0)
			return true;
	return false;
}

bool mounts_is_image(const Task__Mount *mount)
{
	return strcmp(mount->type, "squashfs") == 0 || strcmp(mount->type, "erofs") == 0 ||
	       (strcmp(mount->type, "ext4") == 0 && has_option(mount, "ro"));
}

/* ---- options ---- */

struct parsed {
	unsigned long flags;
	bool loop;  /* the source is a file */
	char *data; /* for the file system, separated by commas */
};

static void parsed_done(struct parsed *parsed)
{
	free(parsed->data);
}

/* What a root's mount is made by, as opposed to what a mount of config.json may be besides;
 * "x-…" is for programs of user space. */
static bool is_for_roots(const struct mount_options *options)
{
	return !(options->flags & MS_REMOUNT) && options->n_propagations == 0 &&
	       options->recursive_set == 0 && options->recursive_clear == 0 &&
	       !options->tmpcopyup && !options->copyup && !options->idmap &&
	       !(options->data && strncasecmp(options->data, "x-", 2) == 0);
}

static int check_option(const Task__Mount *mount, char *word, struct error **ret_error)
{
	_cleanup_(mount_options_done) struct mount_options options = { 0 };
	char *const words[] = { word, NULL };

	if (mount_options_parse(words, &options, ret_error) < 0)
		return -1;
	if (!is_for_roots(&options))
		return error_set(ret_error, ENOTSUP,
				 "the root file system's mount option \"%s\" (%s) is not supported",
				 word, mount->type);
	return 0;
}

static int parse(const Task__Mount *mount, struct parsed *ret_parsed, struct error **ret_error)
{
	_cleanup_free_ char **words = xcalloc(mount->n_options + 1, sizeof(*words));
	_cleanup_(mount_options_done) struct mount_options options = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < mount->n_options; i++) {
		if (strcmp(mount->options[i], "loop") == 0) {
			ret_parsed->loop = true;
			continue;
		}
		if (check_option(mount, mount->options[i], ret_error) < 0)
			return -1;
		words[n++] = mount->options[i];
	}
	if (mount_options_parse(words, &options, ret_error) < 0)
		return -1;
	ret_parsed->flags = options.flags;
	ret_parsed->data = options.data ? TAKE_PTR(options.data) : xstrdup("");
	if (strcmp(mount->type, "bind") == 0)
		ret_parsed->flags |= MS_BIND;
	return 0;
}

/* ---- many lower directories ---- */

/* The parent directory that all paths of an overlay's lowerdir have in common, "/"
 * included at its end: containerd's layers are all below one. */
static size_t common_parent(const char *lower, size_t length)
{
	size_t common = 0;

	for (size_t i = 0; i < length && lower[i] != ':'; i++)
		if (lower[i] == '/')
			common = i + 1;
	for (const char *path = lower; common > 0; path++) {
		size_t same = 0;

		while (same < common && path + same < lower + length && path[same] == lower[same])
			same++;
		while (same < common && common > 0 && same > 0 && lower[same - 1] != '/')
			same--;
		common = MIN(common, same);
		path = memchr(path, ':', (size_t)(lower + length - path));
		if (!path)
			break;
	}
	return common;
}

/* The same options with the lower directories relative to *ret_directory, which is
 * NULL when there is nothing to gain. */
static char *shorten(const char *data, char **ret_directory)
{
	static const char key[] = "lowerdir=";
	const char *option =
	    strncmp(data, key, strlen(key)) == 0 ? data : strstr(data, ",lowerdir=");
	const char *lower, *rest;
	size_t common, length;
	char *shorter, *to;

	*ret_directory = NULL;
	if (!option)
		return NULL;
	lower = strchr(option, '=') + 1;
	length = strcspn(lower, ",");
	rest = lower + length;
	common = common_parent(lower, length);
	if (common <= 1)
		return NULL;
	*ret_directory = xstrndup(lower, common);
	shorter = to = xcalloc(strlen(data) + 1, 1);
	memcpy(to, data, (size_t)(lower - data));
	to += lower - data;
	for (const char *path = lower; path < rest;) {
		size_t n = strcspn(path, ":,");

		memcpy(to, path + common, n - common);
		to += n - common;
		path += n;
		if (*path == ':')
			*to++ = *path++;
	}
	strcpy(to, rest);
	return shorter;
}

/* In the directory that makes the options fit; this process has one thread. */
static int mount_in(const char *directory, const Task__Mount *from, const char *target,
		    unsigned long flags, const char *data)
{
	_cleanup_close_ int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result, code;

	if (before < 0 || chdir(directory) < 0)
		return -1;
	result = mount(from->source, target, from->type, flags, data);
	code = errno;
	if (fchdir(before) < 0 && result == 0)
		result = -1;
	errno = code;
	return result;
}

/* ---- mounting ---- */

static int make_bind(const Task__Mount *from, const char *target, const struct parsed *parsed)
{
	const unsigned long bind = MS_BIND | MS_REC;

	if (mount(from->source, target, NULL, parsed->flags & bind, NULL) < 0)
		return -1;
	if ((parsed->flags & ~bind) == 0)
		return 0;
	return mount(NULL, target, NULL, MS_REMOUNT | (parsed->flags & ~MS_REC), NULL);
}

static int cannot_mount(const Task__Mount *from, const char *target, struct error **ret_error)
{
	return error_set_errno(ret_error, errno,
			       "cannot mount the root file system (type %s, source %s) on %s",
			       from->type, from->source, target);
}

/* A file system in a file: the host writes to it, for the guest it is a share. */
static int make_loop(const Task__Mount *from, const char *target, const struct parsed *parsed,
		     struct error **ret_error)
{
	_cleanup_free_ char *device = NULL;
	_cleanup_close_ int fd = -1;

	if (loop_device_attach(from->source, parsed->flags & MS_RDONLY, &device, &fd, ret_error) <
	    0)
		return -1;
	if (mount(device, target, from->type, parsed->flags, parsed->data) < 0)
		return cannot_mount(from, target, ret_error);
	return 0;
}

static int make(const Task__Mount *from, const char *target, struct error **ret_error)
{
	_cleanup_(parsed_done) struct parsed parsed = { 0 };
	_cleanup_free_ char *directory = NULL;
	_cleanup_free_ char *shorter = NULL;
	int result;

	if (parse(from, &parsed, ret_error) < 0)
		return -1;
	if (from->target[0] != '\0')
		return error_set(ret_error, ENOTSUP,
				 "the root file system's mount on \"%s\" below the root is not "
				 "supported",
				 from->target);
	if (strlen(parsed.data) >= DATA_MAX)
		shorter = shorten(parsed.data, &directory);
	if (shorter && strlen(shorter) >= DATA_MAX)
		return error_set(ret_error, E2BIG,
				 "the root file system's mount options are %zu bytes, more than "
				 "the kernel takes (%d): the image has too many layers",
				 strlen(parsed.data), DATA_MAX - 1);
	if (parsed.loop && !(parsed.flags & MS_BIND))
		return make_loop(from, target, &parsed, ret_error);
	if (parsed.flags & MS_BIND)
		result = make_bind(from, target, &parsed);
	else if (shorter)
		result = mount_in(directory, from, target, parsed.flags, shorter);
	else
		result = mount(from->source, target, from->type, parsed.flags, parsed.data);
	if (result < 0)
		return cannot_mount(from, target, ret_error);
	return 0;
}

int mounts_make(Task__Mount *const *mounts, size_t n_mounts, const char *target,
		struct error **ret_error)
{
	if (n_mounts == 0)
		return 0;
	if (mkdir(target, 0711) < 0 && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot make %s", target);
	for (size_t i = 0; i < n_mounts; i++)
		if (make(mounts[i], target, ret_error) < 0) {
			(void)mounts_remove(target, NULL);
			return -1;
		}
	return 0;
}

int mounts_remove(const char *target, struct error **ret_error)
{
	/* EINVAL: no mount point (any more). */
	while (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return error_set_errno(ret_error, errno, "cannot unmount %s", target);
	return 0;
}

void mounts_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

bool mounts_below(const char *path)
{
	_cleanup_free_ char *directory = realpath(path, NULL);
	_cleanup_free_ char *text = NULL;
	size_t length;
	char *rest, *line;

	if (!directory || read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, NULL) < 0)
		return false;
	length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		_cleanup_free_ char *point = NULL;
		int begin = 0, end = 0;

		if (sscanf(line, "%*s %*s %*s %*s %n%*s%n", &begin, &end) < 0 || end <= begin)
			continue;
		point = xstrndup(line + begin, (size_t)(end - begin));
		mounts_unescape(point);
		if (strncmp(point, directory, length) == 0 && point[length] == '/' &&
		    point[length + 1])
			return true;
	}
	return false;
}

bool mounts_in_memory(const char *path)
{
	_cleanup_free_ char *directory = realpath(path, NULL), *text = NULL;
	struct statfs fs;
	size_t length;
	char *rest, *line;

	if (!directory || (statfs(directory, &fs) == 0 && fs.f_type == TMPFS_MAGIC))
		return true;
	if (read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, NULL) < 0)
		return true;
	length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		_cleanup_free_ char *point = NULL;
		int begin = 0, end = 0;

		if (!strstr(line, " - tmpfs ") ||
		    sscanf(line, "%*s %*s %*s %*s %n%*s%n", &begin, &end) < 0 || end <= begin)
			continue;
		point = xstrndup(line + begin, (size_t)(end - begin));
		mounts_unescape(point);
		if (strncmp(point, directory, length) == 0 && point[length] == '/')
			return true;
	}
	return false;
}
