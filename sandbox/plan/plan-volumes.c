/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and published sockets by annotation (plan-files.h):
 *
 *   io.supermachine.volume.NAME = SOURCE:DESTINATION[:OPTION[,OPTION]…]
 *
 * Options: ro, rw, size=SIZE (of a file that is to be made).  They are mounted in
 * front of config.json's own mounts, in the order in which they are written.  One at / is the
 * writable layer of a root of layers.
 *
 *   io.supermachine.socket.NAME = PATH
 *
 * PATH: of a socket in the container.  NAME is that of the host's end, in a directory of
 * the sandbox's own: config.json cannot have a socket made anywhere on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "host/beneath.h"
#include "runtime-spec/machine-options.h"
#include "runtime-spec/proc-mount.h"
#include "sandbox/plan/plan-files.h"

/* What mkfs.ext4 can make at all. */
#define VOLUME_SIZE_MIN (1U << 20)
#define PUBLISHED_NAME_MAX 200

int plan_volume_add(struct plan_files *files, char *source, int mount,
		    struct plan_volume **ret_volume, struct error **ret_error)
{
	struct plan_volume *volume = &files->volumes[files->n_volumes];

	if (files->n_volumes == PLAN_VOLUMES_MAX) {
		int result = error_set(ret_error, E2BIG, "%s: more than %d volumes", source,
				       PLAN_VOLUMES_MAX);

		free(source);
		return result;
	}
	*volume = (struct plan_volume){ .volume.source = source, .mount = mount };
	(void)snprintf(volume->serial, sizeof(volume->serial), "volume%zu", files->n_volumes++);
	*ret_volume = volume;
	return 0;
}

static int parse_option(const char *word, struct volume *volume, struct error **ret_error)
{
	if (strcmp(word, "ro") == 0) {
		volume->readonly = true;
	} else if (strcmp(word, "rw") == 0) {
		volume->readonly = false;
	} else if (strncmp(word, "size=", 5) == 0) {
		if (parse_size(word + 5, &volume->size, ret_error) < 0)
			return -1;
		if (volume->size < VOLUME_SIZE_MIN || volume->size > INT64_MAX)
			return error_set(ret_error, EINVAL, "%s: the size must be at least 1M",
					 word);
	} else {
		return error_set(ret_error, EINVAL,
				 "unknown option \"%s\": must be ro, rw or size=SIZE", word);
	}
	return 0;
}

static int parse_options(char *words, struct volume *volume, struct error **ret_error)
{
	char *rest;

	for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		if (parse_option(word, volume, ret_error) < 0)
			return -1;
	return 0;
}

/* (It is opened when the machine is started, and looked at again.) */
static int check_source(const struct plan_files_request *request, const struct volume *volume,
			struct error **ret_error)
{
	const struct allow *allow = request->allow;
	_cleanup_close_ int fd = beneath_open(allow_paths(allow), volume->source, O_PATH, 0);
	struct stat st;

	if (fd < 0 && errno == EXDEV)
		return allow_refuse_path(volume->source, ret_error);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
			return error_set(ret_error, EINVAL,
					 "%s is neither a file nor a block device", volume->source);
		return 0;
	}
	if (errno != ENOENT)
		return error_set_errno(ret_error, errno, "%s", volume->source);
	if (volume->size == 0 && !request->restored)
		return error_set(ret_error, ENOENT,
				 "%s does not exist: give size=SIZE to create it", volume->source);
	if (volume->readonly)
		return error_set(ret_error, ENOENT, "%s does not exist, so it cannot be read-only",
				 volume->source);
	return 0;
}

/* Not in /proc; and a later mount on or above the volume's destination would hide it. */
static int check_destination(const struct spec *spec, char *source, char *destination,
			     struct error **ret_error)
{
	const struct spec_mount mount = { .destination = destination,
					  .type = (char *)"ext4",
					  .source = source };

	if (proc_mount_check(&mount, destination, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *other = spec->mounts[i].destination;
		size_t length = strlen(other);

		while (length > 1 && other[length - 1] == '/')
			length--;
		if (strncmp(destination, other, length) == 0 &&
		    (destination[length] == '\0' || destination[length] == '/'))
			return error_set(ret_error, EINVAL,
					 "%s would be hidden by mounts[%zu] (%s)", destination, i,
					 other);
	}
	return 0;
}

/* The last volume, at /. */
static int check_root(const struct plan_volume *root, const struct plan_files *files,
		      struct error **ret_error)
{
	if (files->root_share)
		return error_set(ret_error, EINVAL,
				 "/ is for a root of layers (an image, --rootfs layer): this one "
				 "is shared, and written where it is");
	if (root->volume.readonly)
		return error_set(ret_error, EINVAL,
				 "/ has what is written to the root: it cannot be read-only");
	for (size_t i = 0; i + 1 < files->n_volumes; i++)
		if (files->volumes[i].destination &&
		    strcmp(files->volumes[i].destination, root->destination) == 0)
			return error_set(ret_error, EINVAL, "/ has a volume already");
	return 0;
}

static int parse_volume(const struct plan_files_request *request, const char *text,
			struct plan_files *files, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *destination = strchr(copy, ':'), *options;
	struct plan_volume *volume;

	if (destination)
		*destination++ = '\0';
	options = destination ? strchr(destination, ':') : NULL;
	if (options)
		*options++ = '\0';
	if (copy[0] != '/' || !destination || destination[0] != '/')
		return error_set(ret_error, EINVAL,
				 "\"%s\" is not SOURCE:DESTINATION[:OPTIONS], two absolute paths",
				 text);
	if (plan_volume_add(files, xstrdup(copy), -1, &volume, ret_error) < 0)
		return -1;
	volume->destination = xstrdup(destination);
	volume->volume.format = true;
	if (options && parse_options(options, &volume->volume, ret_error) < 0)
		return -1;
	if (check_source(request, &volume->volume, ret_error) < 0)
		return -1;
	return destination[1] ? check_destination(request->spec, copy, destination, ret_error)
			      : check_root(volume, files, ret_error);
}

int plan_volumes_read(const struct plan_files_request *request, struct plan_files *files,
		      struct error **ret_error)
{
	const struct spec *spec = request->spec;

	for (size_t i = 0; i < spec->n_annotations; i++) {
		const struct spec_key_value *annotation = &spec->annotations[i];

		if (strncmp(annotation->key, ANNOTATION_VOLUME, strlen(ANNOTATION_VOLUME)) == 0 &&
		    parse_volume(request, annotation->value, files, ret_error) < 0)
			return error_wrap(ret_error, "annotations[\"%s\"]", annotation->key);
	}
	return 0;
}

static int publish(const char *name, const char *path, struct plan_files *files,
		   struct error **ret_error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";
	struct plan_published *published;

	if (!name[0] || name[0] == '.' || name[strspn(name, allowed)] ||
	    strlen(name) > PUBLISHED_NAME_MAX)
		return error_set(ret_error, EINVAL,
				 "\"%s\" is not a socket's name: use letters, digits, _, - and .",
				 name);
	if (path[0] != '/' || !path[1])
		return error_set(ret_error, EINVAL,
				 "\"%s\" is not an absolute path in the container", path);
	if (files->n_published == PLAN_SOCKETS_MAX)
		return error_set(ret_error, E2BIG, "more than %d published sockets",
				 PLAN_SOCKETS_MAX);
	files->published =
	    xreallocarray(files->published, files->n_published + 1, sizeof(files->published[0]));
	published = &files->published[files->n_published++];
	*published = (struct plan_published){ .name = xstrdup(name), .path = xstrdup(path) };
	return 0;
}

int plan_published_read(const struct spec *spec, struct plan_files *files, struct error **ret_error)
{
	const size_t prefix = strlen(ANNOTATION_SOCKET);

	for (size_t i = 0; i < spec->n_annotations; i++) {
		const struct spec_key_value *annotation = &spec->annotations[i];

		if (strncmp(annotation->key, ANNOTATION_SOCKET, prefix) == 0 &&
		    publish(annotation->key + prefix, annotation->value, files, ret_error) < 0)
			return error_wrap(ret_error, "annotations[\"%s\"]", annotation->key);
	}
	return 0;
}
