/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's files: see plan-files.h. */
#include "sandbox/plan/plan-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/go-error.h"
#include "base/random.h"
#include "host/mounts.h"
#include "host/root.h"
#include "protocol/agent.h"
#include "runtime-spec/mount-options.h"

/* File systems on disks that the guest's kernel has. */
static const char *const disk_types[] = { "ext2", "ext3", "ext4", "squashfs", "erofs" };

void plan_files_done(struct plan_files *files)
{
	free(files->root_share);
	stage_done(&files->stage);
	for (size_t i = 0; i < files->n_shares; i++)
		free(files->shares[i].path);
	free(files->shares);
	for (size_t i = 0; i < files->n_sockets; i++)
		close_fdp(&files->sockets[i].fd);
	free(files->sockets);
	for (size_t i = 0; i < files->n_volumes; i++) {
		free(files->volumes[i].volume.source);
		free(files->volumes[i].destination);
	}
	for (size_t i = 0; i < files->n_published; i++) {
		free(files->published[i].name);
		free(files->published[i].path);
	}
	free(files->published);
	*files = (struct plan_files){ 0 };
}

/* config.md "Mounts": a bind mount's source is absolute or relative to the bundle. */
static char *absolute(const char *bundle, const char *path)
{
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", bundle, path);
}

/* What a bind of this path would have of its mount: noexec and the like. */
static uint64_t inherited_attributes(const char *path)
{
	static const struct {
		unsigned long flag;
		uint64_t attribute;
	} table[] = {
		{ ST_RDONLY, MOUNT_ATTR_RDONLY },
		{ ST_NOSUID, MOUNT_ATTR_NOSUID },
		{ ST_NODEV, MOUNT_ATTR_NODEV },
		{ ST_NOEXEC, MOUNT_ATTR_NOEXEC },
	};
	struct statvfs st;
	uint64_t attributes = 0;

	if (statvfs(path, &st) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (st.f_flag & table[i].flag)
			attributes |= table[i].attribute;
	return attributes;
}

/* ---- bind mounts ---- */

static int refuse_options(size_t index, const struct spec_mount *mount,
			  const struct mount_options *options, struct error **ret_error)
{
	if (options->data)
		return error_set(ret_error, EINVAL,
				 "mounts[%zu] (%s): bind mounts cannot have any "
				 "filesystem-specific options: \"%s\"",
				 index, mount->destination, options->data);
	return 0;
}

static char *map_text(const struct spec_id_mapping *mappings, size_t n)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < n; i++) {
		char *longer = xasprintf("%s%u %u %u\n", text, mappings[i].container_id,
					 mappings[i].host_id, mappings[i].size);

		free(text);
		text = longer;
	}
	return text;
}

/* Its own mappings; with the option alone, those of the container. */
static int add_id_maps(const struct spec *spec, size_t index, const struct mount_options *options,
		       struct stage_bind *bind, struct error **ret_error)
{
	const struct spec_mount *mount = &spec->mounts[index];
	const struct spec_linux *l = &spec->linux_;

	bind->recursive_map = options->ridmap;
	if (mount->n_uid_mappings > 0) {
		bind->uid_map = map_text(mount->uid_mappings, mount->n_uid_mappings);
		bind->gid_map = map_text(mount->gid_mappings, mount->n_gid_mappings);
	} else if (options->idmap && l->n_uid_mappings > 0 && l->n_gid_mappings > 0) {
		bind->uid_map = map_text(l->uid_mappings, l->n_uid_mappings);
		bind->gid_map = map_text(l->gid_mappings, l->n_gid_mappings);
	} else if (options->idmap) {
		return error_set(ret_error, EINVAL,
				 "mounts[%zu] (%s): idmap without mappings, its own or the "
				 "container's",
				 index, mount->destination);
	}
	return 0;
}

static bool is_private(const struct mount_options *options)
{
	const size_t n = options->n_propagations;

	/* The last word counts; runc's default for a bind is its parent's: slave.  Shared is taken
	 * as that, with a warning (spec_read_mounts()). */
	return n > 0 && !(options->propagations[n - 1] & (MS_SLAVE | MS_SHARED));
}

/* What is mounted in the staging area for a mount: the last of the shares; source becomes the
 * bind's. */
static struct stage_bind *add_share(const struct plan_files_request *request,
				    struct plan_cache *cache, size_t index,
				    const struct mount_options *options, char *source,
				    struct plan_files *files)
{
	const char *destination = request->spec->mounts[index].destination;
	_cleanup_free_ char *base = xasprintf("%zu", index);
	struct plan_share *share;
	struct stage_bind *bind;

	files->shares = xreallocarray(files->shares, files->n_shares + 1, sizeof(files->shares[0]));
	share = &files->shares[files->n_shares++];
	*share = (struct plan_share){
		.mount = index,
		.path = plan_cache_share(cache, request, base, destination, files),
	};
	bind = stage_add_bind(&files->stage, xstrdup(share->path), source);
	bind->readonly = options->flags & MS_RDONLY;
	bind->readonly_recursive = options->recursive_set & MOUNT_ATTR_RDONLY;
	bind->private_mounts = is_private(options);
	bind->destination = xstrdup(destination);
	return bind;
}

static int add_shared_bind(const struct plan_files_request *request, struct plan_cache *cache,
			   size_t index, const struct mount_options *options, char *source,
			   struct plan_files *files, struct error **ret_error)
{
	struct stage_bind *bind = add_share(request, cache, index, options, source, files);
	struct plan_share *share = &files->shares[files->n_shares - 1];

	share->attributes = inherited_attributes(source);
	bind->recursive = options->flags & MS_REC;
	/* As under runc, where `ro` is of the one mount, and `rro` of all. */
	share->host_readonly = bind->recursive && bind->readonly && !bind->readonly_recursive &&
			       mounts_below(bind->source);
	return add_id_maps(request->spec, index, options, bind, ret_error);
}

static int add_socket(const struct plan_files_request *request, size_t index, const char *source,
		      const struct stat *st, struct plan_files *files, struct error **ret_error)
{
	_cleanup_close_ int fd = open(source, O_PATH | O_CLOEXEC);
	uint32_t first = request->socket_port ? request->socket_port : AGENT_FORWARD_PORT_FIRST;
	struct plan_socket *socket;

	if (fd < 0)
		return error_set_go(ret_error, errno, "mounts[%zu]: open %s", index, source);
	if (files->n_sockets == PLAN_SOCKETS_MAX)
		return error_set(ret_error, E2BIG, "mounts[%zu]: more than %d unix sockets", index,
				 PLAN_SOCKETS_MAX);
	files->sockets =
	    xreallocarray(files->sockets, files->n_sockets + 1, sizeof(files->sockets[0]));
	socket = &files->sockets[files->n_sockets];
	*socket = (struct plan_socket){ .mount = index,
					.port = first + (uint32_t)files->n_sockets,
					.mode = st->st_mode & 07777,
					.uid = st->st_uid,
					.gid = st->st_gid };
	if (random_bytes(socket->key, sizeof(socket->key), ret_error) < 0)
		return -1;
	socket->fd = TAKE_FD(fd);
	files->n_sockets++;
	return 0;
}

static int add_bind(const struct plan_files_request *request, struct plan_cache *cache,
		    size_t index, const struct mount_options *options, struct plan_files *files,
		    struct error **ret_error)
{
	const struct spec_mount *mount = &request->spec->mounts[index];
	_cleanup_free_ char *source = NULL;
	struct stat st;

	/* "remount" is of what is there already, in the guest. */
	if (options->flags & MS_REMOUNT)
		return 0;
	if (refuse_options(index, mount, options, ret_error) < 0)
		return -1;
	if (!mount->source || !mount->source[0])
		return error_set(ret_error, EINVAL, "mounts[%zu] (%s): a bind mount needs a source",
				 index, mount->destination);
	source = absolute(request->bundle, mount->source);
	if (stat(source, &st) < 0)
		return error_set_go(ret_error, errno,
				    "error mounting \"%s\" to rootfs at \"%s\": stat %s", source,
				    mount->destination, source);
	if (S_ISSOCK(st.st_mode))
		return add_socket(request, index, source, &st, files, ret_error);
	return add_shared_bind(request, cache, index, options, TAKE_PTR(source), files, ret_error);
}

/* Of the host's directories, as under runc: the host's kernel makes it. */
static void add_overlay(const struct plan_files_request *request, struct plan_cache *cache,
			size_t index, const struct mount_options *options, struct plan_files *files)
{
	struct stage_bind *bind =
	    add_share(request, cache, index, options, xstrdup("overlay"), files);

	bind->overlay = xstrdup(options->data ? options->data : "");
}

/* ---- disks ---- */

static bool is_disk(const struct spec_mount *mount)
{
	struct stat st;

	for (size_t i = 0; mount->type && i < ARRAY_SIZE(disk_types); i++)
		if (strcmp(mount->type, disk_types[i]) == 0)
			return mount->source && mount->source[0] == '/' &&
			       stat(mount->source, &st) == 0 &&
			       (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
	return false;
}

static int add_disk(const struct plan_files_request *request, size_t index,
		    const struct mount_options *options, struct plan_files *files,
		    struct error **ret_error)
{
	const struct spec_mount *mount = &request->spec->mounts[index];
	struct plan_volume *volume;

	if (plan_volume_add(files, xstrdup(mount->source), (int)index, &volume, ret_error) < 0)
		return -1;
	/* squashfs and erofs cannot be written. */
	volume->volume.readonly = options->flags & MS_RDONLY || strncmp(mount->type, "ext", 3) != 0;
	return 0;
}

/* ---- all of it ---- */

static int add_mount(const struct plan_files_request *request, struct plan_cache *cache,
		     size_t index, struct plan_files *files, struct error **ret_error)
{
	const struct spec_mount *mount = &request->spec->mounts[index];
	_cleanup_(mount_options_done) struct mount_options options = { 0 };

	if (mount_options_parse(mount->options, &options, ret_error) < 0)
		return error_wrap(ret_error, "mounts[%zu] (%s)", index, mount->destination);
	if (mount_is_bind(mount))
		return add_bind(request, cache, index, &options, files, ret_error);
	if (mount_is_overlay(mount) && !(options.flags & MS_REMOUNT)) {
		add_overlay(request, cache, index, &options, files);
		return 0;
	}
	if (is_disk(mount))
		return add_disk(request, index, &options, files, ret_error);
	return 0;
}

static int add_root(const struct plan_files_request *request, struct plan_cache *cache,
		    struct plan_files *files, struct error **ret_error)
{
	_cleanup_free_ char *source = NULL;
	struct stage_bind *bind;

	if (root_find(request->spec, request->bundle, &source, ret_error) < 0)
		return -1;
	files->root_share = plan_cache_share(cache, request, "rootfs", "/", files);
	files->root_attributes = inherited_attributes(source);
	bind = stage_add_bind(&files->stage, xstrdup(files->root_share), TAKE_PTR(source));
	bind->recursive = true;
	/* Mount points are still to be made in it. */
	bind->readonly_later = request->spec->root_readonly;
	/* A machine that runs has its root already. */
	if (!request->sandbox_pid)
		files->stage.root = xstrdup(files->root_share);
	return 0;
}

static int add_all(const struct plan_files_request *request, struct plan_cache *cache,
		   struct plan_files *files, struct error **ret_error)
{
	if (request->root_share && add_root(request, cache, files, ret_error) < 0)
		return -1;
	if (plan_volumes_read(request, files, ret_error) < 0 ||
	    plan_published_read(request->spec, files, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < request->spec->n_mounts; i++)
		if (add_mount(request, cache, i, files, ret_error) < 0)
			return -1;
	return plan_cache_check(cache, ret_error);
}

int plan_files_read(const struct plan_files_request *request, struct plan_files *files,
		    struct error **ret_error)
{
	_cleanup_(plan_cache_done) struct plan_cache cache = { 0 };

	if (plan_cache_read(request->spec, &cache, ret_error) < 0)
		return -1;
	files->cache = cache.mode;
	return add_all(request, &cache, files, ret_error);
}
