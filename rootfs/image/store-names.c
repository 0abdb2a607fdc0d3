/* SPDX-License-Identifier: Apache-2.0 */
/* The store's records: names of images, and what containers use. See store.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "rootfs/image/store-parts.h"

void store_record_done(struct store_record *record)
{
	free(record->name);
	free(record->manifest);
	free(record->index);
	*record = (struct store_record){ 0 };
}

int store_record_file(const char *name, char ret_file[DIGEST_SIZE], struct error **ret_error)
{
	char digest[DIGEST_SIZE];

	if (digest_of(name, strlen(name), digest, ret_error) < 0)
		return -1;
	(void)strcpy(ret_file, digest_hex(digest));
	return 0;
}

int store_write_record(struct image_store *store, int directory, const struct store_record *record,
		       struct error **ret_error)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL;
	char file[DIGEST_SIZE];
	size_t size;

	json_begin_object(writer);
	json_put_string(writer, "name", record->name);
	json_put_string(writer, "manifest", record->manifest);
	if (record->index)
		json_put_string(writer, "index", record->index);
	json_put_uint64(writer, "time", record->time);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	if (store_record_file(record->name, file, ret_error) < 0)
		return -1;
	return store_write(store, directory, file, text, size, ret_error);
}

static int parse_record(const char *text, size_t size, const char *file,
			struct store_record *record, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, file, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_get_string(&root, "name", JSON_REQUIRED, &record->name, ret_error) < 0 ||
	    json_get_string(&root, "manifest", JSON_REQUIRED, &record->manifest, ret_error) < 0 ||
	    json_get_string(&root, "index", JSON_OPTIONAL, &record->index, ret_error) < 0 ||
	    json_get_uint64(&root, "time", JSON_REQUIRED, INT64_MAX, &record->time, ret_error) < 0)
		return -1;
	if (!digest_valid(record->manifest) || (record->index && !digest_valid(record->index)))
		return json_error(&root, ret_error, "no valid digest");
	return 0;
}

int store_read_record(int directory, const char *file, struct store_record *record,
		      struct error **ret_error)
{
	_cleanup_close_ int fd = openat(directory, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", file);
	if (read_file_fd(fd, file, STORE_RECORD_MAX, &text, &size, ret_error) < 0)
		return -1;
	return parse_record(text, size, file, record, ret_error);
}

static bool is_record(const char *name)
{
	return strlen(name) == DIGEST_HEX && strspn(name, "0123456789abcdef") == DIGEST_HEX;
}

bool store_is_damage(const struct error *error)
{
	static const int codes[] = { ENOENT, EBADMSG, EINVAL, EFBIG, ELOOP, ENOTSUP };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (error->code == codes[i])
			return true;
	return false;
}

DIR *store_list(const struct image_store *store, int directory, struct error **ret_error)
{
	DIR *dir = cache_list(directory);

	if (!dir)
		(void)error_set_errno(ret_error, errno, "cannot read the image store %s",
				      store->path);
	return dir;
}

int store_each(struct image_store *store, int directory, bool must_read, store_record_fn function,
	       void *data, struct error **ret_error)
{
	_cleanup_dir_ DIR *dir = store_list(store, directory, ret_error);
	struct dirent *entry;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		_cleanup_(store_record_done) struct store_record record = { 0 };
		_cleanup_error_ struct error *error = NULL;

		if (!is_record(entry->d_name))
			continue;
		if (store_read_record(directory, entry->d_name, &record, &error) < 0) {
			if (must_read && !store_is_damage(error)) {
				if (ret_error)
					*ret_error = TAKE_PTR(error);
				return error_wrap(ret_error, "image store %s", store->path);
			}
			if (error->code != ENOENT)
				log_warning("image store %s: %s: ignored", store->path,
					    error->message);
			continue;
		}
		if (function(data, entry->d_name, &record, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* What is stored is the name without the tag where there is a digest: the digest alone counts. */
int image_store_set_name(struct image_store *store, const struct reference *reference,
			 const char *manifest, const char *index, struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;
	struct store_record record = { .manifest = (char *)manifest,
				       .index = (char *)index,
				       .time = clock_realtime_ns() / NS_PER_SECOND };

	if (reference->digest)
		name = xasprintf("%s/%s@%s", reference->host, reference->repository,
				 reference->digest);
	else
		name = xstrdup(reference->name);
	record.name = name;
	return store_write_record(store, store->names, &record, ret_error);
}

int image_store_remove_name(struct image_store *store, const char *name, struct error **ret_error)
{
	char file[DIGEST_SIZE];

	if (store_record_file(name, file, ret_error) < 0)
		return -1;
	if (unlinkat(store->names, file, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot remove the name %s", name);
	if (fsync(store->names) < 0)
		return error_set_errno(ret_error, errno, "cannot sync the image store %s",
				       store->path);
	return 0;
}

bool store_hold_over(const struct store_record *hold)
{
	struct stat st;

	return lstat(hold->name, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* What stays is found to be over by image_store_collect(). */
void image_store_release(struct image_store *store, const char *container_directory)
{
	char file[DIGEST_SIZE];

	if (store_record_file(container_directory, file, NULL) == 0)
		(void)unlinkat(store->holds, file, 0);
}
