/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of images in checkpoints: see run-restored.h. */
#include "cli/run-restored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/images.h"
#include "cli/health.h"
#include "cli/run-again.h"
#include "cli/run-container.h"
#include "cli/run-disk.h"
#include "cli/run-volumes.h"
#include "host/volumes.h"

#define CONFIG "config.json"
#define IMAGE "image"
#define VOLUMES "volumes"
#define DISK "disk"
/* Of a file of the bundle: config.json is the largest. */
#define FILE_MAX SPEC_SIZE_MAX

struct restored {
	const struct client *client;
	const char *id;
	char *bundle, *config; /* those of the checkpoint */
	const struct create_options *options;
	struct run_disk disk;
	bool is_held;
	struct image_store *store;
	struct stored_image *image;
	struct run_log log; /* of the new one, if it is detached */
};

static void restored_done(struct restored *restored)
{
	run_log_done(&restored->log);
	run_disk_done(&restored->disk);
	stored_image_free(restored->image);
	image_store_close(restored->store);
	free(restored->config);
	free(restored->bundle);
}

bool run_restored_applies(const struct client *client, const char *id)
{
	_cleanup_free_ char *path = state_path(client->root, id, CREATE_IMAGE_BUNDLE "/" CONFIG);

	return access(path, F_OK) == 0;
}

bool run_restored_is_kept(const char *directory)
{
	_cleanup_free_ char *path = xasprintf("%s/" CREATE_IMAGE_BUNDLE "/" IMAGE, directory);

	return access(path, F_OK) == 0;
}

/* ---- keeping ---- */

static int find_held(const struct command *command, const char *id, struct image_store *store,
		     struct stored_image **ret_image, struct error **ret_error)
{
	_cleanup_free_ char *directory = state_path(command->globals->client.root, id, NULL);

	return image_store_held(store, directory, ret_image, ret_error);
}

int run_restored_check(const struct command *command, const char *id, struct error **ret_error)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;

	return image_verb_open(command, &store, ret_error) < 0
		   ? -1
		   : find_held(command, id, store, &image, ret_error);
}

/* By its times and its size the guest's file is known again. */
static int copy_times(const char *source, const char *target, struct error **ret_error)
{
	_cleanup_close_ int fd = open(target, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || lstat(source, &st) < 0 ||
	    futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0 || fsync(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot set the times of %s", target);
	return 0;
}

static int copy_file(const char *from, const char *to, const char *name, struct error **ret_error)
{
	_cleanup_free_ char *source = xasprintf("%s/%s", from, name), *text = NULL;
	_cleanup_free_ char *target = xasprintf("%s/%s", to, name);
	size_t size;

	if (read_regular_file(source, FILE_MAX, &text, &size, ret_error) < 0 ||
	    write_file_synced(target, text, size, 0644, ret_error) < 0)
		return -1;
	return copy_times(source, target, ret_error);
}

/* Those that are bound in, of which each may be missing. */
static int copy_own_files(const char *from, const char *to, struct error **ret_error)
{
	static const char *const names[] = { "hosts", "hostname", "resolv.conf",
					     HEALTH_CHECK_FILE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", from, names[i]);

		if (access(path, F_OK) == 0 && copy_file(from, to, names[i], ret_error) < 0)
			return -1;
	}
	return 0;
}

/* One in each line, of none no file. */
static int keep_names(char *const *names, const char *to, const char *name,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", to, name), *text = NULL;

	if (!names)
		return 0;
	text = strv_join(names, "\n");
	return write_file_synced(path, text, strlen(text), 0644, ret_error);
}

static int keep_volumes(const struct client *client, const char *id, const char *to,
			struct error **ret_error)
{
	_cleanup_free_ char *marks = run_volumes_marks(client, id);
	_cleanup_free_ char *directory = state_path(client->root, id, NULL);
	_cleanup_strv_ char **volumes = NULL, **disks = NULL;

	if (volumes_used(marks, &volumes, ret_error) < 0 ||
	    run_disks_used(directory, &disks, ret_error) < 0 ||
	    keep_names(volumes, to, VOLUMES, ret_error) < 0)
		return -1;
	return keep_names(disks, to, DISK, ret_error);
}

static int keep_bundle(const struct command *command, const char *id, const char *to,
		       struct error **ret_error)
{
	_cleanup_free_ char *from =
	    state_path(command->globals->client.root, id, CREATE_IMAGE_BUNDLE);
	_cleanup_free_ char *path = xasprintf("%s/" IMAGE, to);
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;

	if (image_verb_open(command, &store, ret_error) < 0 ||
	    find_held(command, id, store, &image, ret_error) < 0)
		return -1;
	if (mkdir(to, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", to);
	if (copy_file(from, to, CONFIG, ret_error) < 0 ||
	    copy_file(from, to, RUN_AGAIN_FILE, ret_error) < 0 ||
	    copy_own_files(from, to, ret_error) < 0 ||
	    keep_volumes(&command->globals->client, id, to, ret_error) < 0)
		return -1;
	return write_file_synced(path, image->manifest_digest, strlen(image->manifest_digest), 0644,
				 ret_error);
}

/* (What was kept there before is of another checkpoint, even of a container that had a bundle.
 * Another directory of that name is somebody's: then rename(2) fails.) */
int run_restored_keep(const struct command *command, const char *id, const char *directory,
		      struct error **ret_error)
{
	_cleanup_free_ char *to = xasprintf("%s/" CREATE_IMAGE_BUNDLE, directory);
	_cleanup_free_ char *new = xasprintf("%s/." CREATE_IMAGE_BUNDLE ".new", directory);
	const bool applies = run_restored_applies(&command->globals->client, id);

	if (remove_tree(new, ret_error) < 0 ||
	    (applies && keep_bundle(command, id, new, ret_error) < 0) ||
	    (run_restored_is_kept(directory) && remove_tree(to, ret_error) < 0))
		return -1;
	if (applies && rename(new, to) < 0) {
		(void)error_set_errno(ret_error, errno, "cannot make %s", to);
		(void)remove_tree(new, NULL);
		return -1;
	}
	return 0;
}

static void release(struct image_store *store, const struct client *client, const char *id)
{
	_cleanup_free_ char *directory = state_path(client->root, id, NULL);

	image_store_release(store, directory);
}

void run_restored_release(const struct command *command, const char *id, char *const *disks)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;

	if (image_verb_open(command, &store, NULL) < 0)
		return;
	release(store, &command->globals->client, id);
	run_disks_remove(store, disks);
}

/* ---- making it again ---- */

static int find_image(const struct command *command, const char *like, struct restored *restored,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/" IMAGE, restored->bundle), *digest = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (like)
		return find_held(command, like, restored->store, &restored->image, ret_error);
	if (read_regular_file(path, DIGEST_SIZE, &digest, NULL, ret_error) < 0)
		return -1;
	if (!digest_valid(digest))
		return error_set(ret_error, EINVAL, "%s: not a digest", path);
	if (image_store_find(restored->store, digest, &restored->image, &error) < 0)
		return error_set(ret_error, error->code,
				 "the image of the container (%s): %s: pull or load it", digest,
				 error->message);
	return 0;
}

/* *ret_names: NULL, if there is no such file. */
static int read_names(const struct restored *restored, const char *name, char ***ret_names,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", restored->bundle, name), *text = NULL;
	char *rest;

	if (access(path, F_OK) < 0)
		return 0;
	if (read_regular_file(path, FILE_MAX, &text, NULL, ret_error) < 0)
		return -1;
	for (char *word = strtok_r(text, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
		if (volumes_check_name(word, ret_error) < 0)
			return error_wrap(ret_error, "%s", path);
		strv_append(ret_names, word);
	}
	return 0;
}

/* What they had is theirs still; one that has gone is not made anew, for the container knows what
 * was in it. */
static int use_volumes(const struct restored *restored, int cancel_fd, struct error **ret_error)
{
	_cleanup_free_ char *directory = run_volumes_directory(restored->store);
	_cleanup_free_ char *marks = run_volumes_marks(restored->client, restored->id);
	_cleanup_strv_ char **names = NULL;

	if (read_names(restored, VOLUMES, &names, ret_error) < 0)
		return -1;
	for (char *const *name = names; name && *name; name++) {
		int fill;

		if (volumes_use(directory, *name, marks, cancel_fd, &fill, ret_error) < 0)
			return error_wrap(ret_error, "a volume of the container's");
		if (fill >= 0)
			volumes_filled(fill);
	}
	return 0;
}

static int choose_disk(struct restored *restored, struct error **ret_error)
{
	_cleanup_strv_ char **names = NULL;

	if (read_names(restored, DISK, &names, ret_error) < 0)
		return -1;
	if (!names)
		return 0;
	return run_disk_replace(&restored->disk, names[0], restored->store, &restored->config,
				ret_error);
}

/* (config.json is there.) */
static int prepare(void *data, const char *directory, int cancel_fd, struct error **ret_error)
{
	struct restored *restored = data;
	_cleanup_free_ char *bundle = xasprintf("%s/" CREATE_IMAGE_BUNDLE, directory);

	if (image_store_hold(restored->store, restored->image, directory, ret_error) < 0)
		return -1;
	restored->is_held = true;
	if (use_volumes(restored, cancel_fd, ret_error) < 0 ||
	    run_disk_take(&restored->disk, directory, ret_error) < 0)
		return -1;
	if (copy_own_files(restored->bundle, bundle, ret_error) < 0)
		return -1;
	return run_again_copy(restored->bundle, bundle, restored->options,
			      image_store_path(restored->store), &restored->log, ret_error);
}

/* The same form as its origin's, in its own directory. */
static int choose_log(struct restored *restored, struct error **ret_error)
{
	const char *root = restored->client->root;
	_cleanup_(run_log_done) struct run_log log = { 0 };

	if (!restored->options->detach)
		return 0;
	if (run_again_log(restored->bundle, root, restored->id, &log, ret_error) < 0)
		return -1;
	run_log_like(&log, root, restored->id, &restored->log);
	return 0;
}

static int make(struct restored *restored, struct error **ret_error)
{
	const bool detach = restored->options->detach;
	const struct create_image image = { .config = restored->config,
					    .layers = restored->image->layer_paths,
					    .output = restored->log.path,
					    .output_rule = restored->log.rule,
					    .prepare = prepare,
					    .data = restored };
	struct create_options create = *restored->options;
	int status;

	create.image = &image;
	status = run_container(restored->client, &create, restored->id, ret_error);
	if (restored->is_held && (status < 0 || !detach)) {
		release(restored->store, restored->client, restored->id);
		run_disk_remove(&restored->disk);
	}
	return status;
}

int run_restored(const struct command *command, const struct create_options *options,
		 const char *like, const char *id, struct error **ret_error)
{
	_cleanup_(restored_done) struct restored restored = { .client = &command->globals->client,
							      .id = id,
							      .options = options };
	_cleanup_free_ char *config = NULL;
	size_t size;

	restored.bundle = xasprintf("%s/" CREATE_IMAGE_BUNDLE, options->checkpoint);
	config = xasprintf("%s/" CONFIG, restored.bundle);
	if (read_regular_file(config, SPEC_SIZE_MAX, &restored.config, &size, ret_error) < 0 ||
	    image_verb_open(command, &restored.store, ret_error) < 0 ||
	    find_image(command, like, &restored, ret_error) < 0 ||
	    choose_disk(&restored, ret_error) < 0 || choose_log(&restored, ret_error) < 0)
		return -1;
	return make(&restored, ret_error);
}
