/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container's files come from: see files.h. */
#include "agent/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

#define SECTOR_SIZE 512
#define VOLUMES_MAX 64
#define PUBLISHED_MAX 256

void files_free(struct files *files)
{
	if (!files)
		return;
	for (size_t i = 0; i < files->n_layers; i++) {
		free(files->layers[i].serial);
		free(files->layers[i].type);
	}
	free(files->layers);
	for (size_t i = 0; i < files->n_sources; i++)
		free(files->sources[i].name);
	free(files->sources);
	for (size_t i = 0; i < files->n_volumes; i++) {
		free(files->volumes[i].serial);
		free(files->volumes[i].destination);
	}
	free(files->volumes);
	strv_free(files->published);
	free(files->share_tag);
	free(files->root_share);
	free(files);
}

/* "a/b": every component a name. */
static int check_path(const char *path, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(path);
	char *rest = copy, *name;

	while ((name = strsep(&rest, "/")))
		if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return error_set(ret_error, EINVAL, "\"%s\" is not a path below a share",
					 path);
	return 0;
}

static int read_layers(const Agent__CreateRequest *request, struct files *files,
		       struct error **ret_error)
{
	if (request->n_layers == 0 || request->n_layers > LAYERS_MAX)
		return error_set(ret_error, EINVAL, "%zu layers, not 1 to %d", request->n_layers,
				 LAYERS_MAX);
	files->layers = xcalloc(request->n_layers, sizeof(*files->layers));
	files->n_layers = request->n_layers;
	for (size_t i = 0; i < request->n_layers; i++) {
		const Agent__Layer *layer = request->layers[i];
		uint64_t end;

		files->layers[i].serial = xstrdup(layer->serial);
		files->layers[i].type = xstrdup(layer->type);
		files->layers[i].offset = layer->offset;
		files->layers[i].size = layer->size;
		if ((layer->offset | layer->size) % SECTOR_SIZE != 0 ||
		    (layer->size == 0 && layer->offset != 0) ||
		    checked_add(layer->offset, layer->size, &end) || end > INT64_MAX)
			return error_set(ret_error, EINVAL, "layer %zu: no part of a disk", i);
	}
	return 0;
}

static int read_root(const Agent__CreateRequest *request, struct files *files,
		     struct error **ret_error)
{
	if (request->share_tag[0])
		files->share_tag = xstrdup(request->share_tag);
	if (!request->root_share[0])
		return read_layers(request, files, ret_error);
	if (!files->share_tag || request->n_layers > 0)
		return error_set(ret_error, EINVAL, "a root is a share or made of layers");
	files->root_share = xstrdup(request->root_share);
	files->root_attributes = request->root_attributes;
	return check_path(files->root_share, ret_error);
}

static int read_socket(const Agent__Socket *socket, struct mount_source *source,
		       struct error **ret_error)
{
	if (socket->key.len > SOCKET_KEY_MAX)
		return error_set(ret_error, EINVAL, "the key of a socket is too long");
	source->kind = SOURCE_SOCKET;
	source->socket = (struct host_socket){ .port = socket->port,
					       .key_size = socket->key.len,
					       .mode = socket->mode & 07777,
					       .uid = socket->uid,
					       .gid = socket->gid };
	if (socket->key.len > 0)
		memcpy(source->socket.key, socket->key.data, socket->key.len);
	return 0;
}

static int read_source(const Agent__Source *from, struct files *files, size_t n_mounts,
		       struct error **ret_error)
{
	struct mount_source *source = &files->sources[files->n_sources];

	if (from->mount >= n_mounts || files_source(files, from->mount))
		return error_set(ret_error, EINVAL, "mounts[%u]: no such mount, or two sources",
				 from->mount);
	files->n_sources++;
	source->mount = from->mount;
	source->attributes = from->attributes;
	source->host_readonly = from->host_readonly;
	if (from->socket)
		return read_socket(from->socket, source, ret_error);
	source->kind = from->disk[0] ? SOURCE_DISK : SOURCE_SHARE;
	source->name = xstrdup(from->disk[0] ? from->disk : from->share);
	if (source->kind == SOURCE_DISK)
		return 0;
	if (!files->share_tag)
		return error_set(ret_error, EINVAL, "mounts[%u]: the machine has no share",
				 from->mount);
	return check_path(source->name, ret_error);
}

int files_new(const Agent__CreateRequest *request, size_t n_mounts, struct files **ret_files,
	      struct error **ret_error)
{
	_cleanup_(files_freep) struct files *files = xcalloc(1, sizeof(*files));

	if (read_root(request, files, ret_error) < 0)
		return -1;
	if (request->n_sources > n_mounts || request->n_volumes > VOLUMES_MAX)
		return error_set(ret_error, EINVAL, "more sources than mounts");
	files->sources = xcalloc(request->n_sources + 1, sizeof(*files->sources));
	for (size_t i = 0; i < request->n_sources; i++)
		if (read_source(request->sources[i], files, n_mounts, ret_error) < 0)
			return -1;
	files->volumes = xcalloc(request->n_volumes + 1, sizeof(*files->volumes));
	for (size_t i = 0; i < request->n_volumes; i++) {
		struct volume *volume = &files->volumes[files->n_volumes++];

		volume->serial = xstrdup(request->volumes[i]->serial);
		volume->destination = xstrdup(request->volumes[i]->destination);
		volume->readonly = request->volumes[i]->readonly;
	}
	if (request->n_published > PUBLISHED_MAX)
		return error_set(ret_error, EINVAL, "more than %d published sockets",
				 PUBLISHED_MAX);
	for (size_t i = 0; i < request->n_published; i++)
		strv_append(&files->published, request->published[i]);
	files->n_published = request->n_published;
	*ret_files = TAKE_PTR(files);
	return 0;
}

const struct mount_source *files_source(const struct files *files, size_t mount)
{
	for (size_t i = 0; i < files->n_sources; i++)
		if (files->sources[i].mount == mount)
			return &files->sources[i];
	return NULL;
}

const struct volume *files_root_disk(const struct files *files)
{
	for (size_t i = 0; i < files->n_volumes; i++)
		if (strcmp(files->volumes[i].destination, "/") == 0)
			return &files->volumes[i];
	return NULL;
}
