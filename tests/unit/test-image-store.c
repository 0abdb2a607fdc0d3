/* SPDX-License-Identifier: Apache-2.0 */
/* The store of images: names, ids, holds, what is collected, and makers that wait or die. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "rootfs/image/store.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/test-image-store.XXXXXX";
static struct image_store *store;

static void begin(void)
{
	struct error *error = NULL;

	(void)strcpy(directory + strlen(directory) - 6, "XXXXXX");
	CHECK(mkdtemp(directory));
	CHECK_OK(image_store_open(directory, &store, &error), &error);
}

static void end(void)
{
	image_store_close(store);
	store = NULL;
	CHECK(remove_tree(directory, NULL) == 0);
}

static void add_layer(const char *text, char digest[DIGEST_SIZE])
{
	struct store_file *file;
	struct error *error = NULL;

	CHECK_OK(digest_of(text, strlen(text), digest, &error), &error);
	CHECK_OK(store_file_begin(store, STORE_LAYER, digest, &file, &error), &error);
	if (!file)
		return;
	CHECK(write_all(store_file_fd(file), text, strlen(text)) == 0);
	CHECK_OK(store_file_commit(file, &error), &error);
}

/* An image of one layer with this text, which came as this blob (NULL: as it is); the manifest's
 * digest. */
static void add_image_of(const char *name, const char *layer, const char *blob,
			 char manifest[DIGEST_SIZE])
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	_cleanup_free_ char *config = NULL, *text = NULL;
	char diff_id[DIGEST_SIZE], digest[DIGEST_SIZE];
	struct error *error = NULL;

	add_layer(layer, diff_id);
	config = xasprintf("{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", diff_id);
	CHECK_OK(image_store_put_blob(store, config, strlen(config), digest, &error), &error);
	text = xasprintf("{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},"
			 "\"layers\":[{\"digest\":\"%s\",\"size\":1}]}",
			 digest, strlen(config), blob ? blob : diff_id);
	CHECK_OK(image_store_put_blob(store, text, strlen(text), manifest, &error), &error);
	CHECK_OK(reference_parse(name, &reference, &error), &error);
	CHECK_OK(image_store_set_name(store, reference, manifest, NULL, &error), &error);
}

static void add_image(const char *name, const char *layer, char manifest[DIGEST_SIZE])
{
	add_image_of(name, layer, NULL, manifest);
}

static bool has_layer(const char *diff_id)
{
	_cleanup_free_ char *path =
	    xasprintf("%s/layers/%s.squashfs", directory, digest_hex(diff_id));

	return access(path, F_OK) == 0;
}

static struct stored_image *find(const char *name)
{
	struct stored_image *image;
	struct error *error = NULL;

	CHECK_OK(image_store_find(store, name, &image, &error), &error);
	return image;
}

static void finds_none(const char *name, int code)
{
	struct stored_image *image;
	struct error *error = NULL;

	CHECK_INT(image_store_find(store, name, &image, &error), -1);
	CHECK_INT(error->code, code);
	error_free(error);
}

static void collect(bool all)
{
	struct error *error = NULL;
	uint64_t bytes;

	CHECK_OK(image_store_collect(store, all, false, &bytes, &error), &error);
}

static size_t count(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	_cleanup_dir_ DIR *dir = opendir(path);
	size_t n = 0;

	while (readdir(dir))
		n++;
	return n - 2;
}

static void test_finding(void)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL, *by_id = NULL;
	_cleanup_(stored_image_freep) struct stored_image *by_digest = NULL;
	_cleanup_free_ char *with_digest = NULL, *text = NULL;
	char manifest[DIGEST_SIZE], other[DIGEST_SIZE], id[13] = "";
	struct stored_image **images;
	struct error *error = NULL;

	begin();
	add_image("one", "first", manifest);
	add_image("quay.io/a/two:x", "second", other);
	image = find("docker.io/library/one");
	CHECK_STRING(image->name, "docker.io/library/one:latest");
	CHECK_STRING(image->manifest_digest, manifest);
	CHECK_INT(image->n_layers, 1);
	CHECK_INT(image->size, 5);
	CHECK_OK(read_file(image->layer_paths[0], 100, &text, NULL, &error), &error);
	CHECK_STRING(text, "first");
	memcpy(id, digest_hex(image->config_digest), 12);
	by_id = find(id);
	CHECK_STRING(by_id->manifest_digest, manifest);
	with_digest = xasprintf("one@%s", manifest);
	by_digest = find(with_digest);
	CHECK_STRING(by_digest->manifest_digest, manifest);
	finds_none("one:other", ENOENT);
	finds_none("three", ENOENT);
	finds_none("ABC def", ENOENT);
	finds_none("../../etc/passwd", ENOENT);
	CHECK_OK(image_store_list(store, &images, &error), &error);
	CHECK_STRING(images[0]->name, "docker.io/library/one:latest");
	CHECK_STRING(images[1]->name, "quay.io/a/two:x");
	CHECK(!images[2]);
	stored_images_free(images);
	end();
}

static void test_collecting(void)
{
	char manifest[DIGEST_SIZE], other[DIGEST_SIZE];
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_free_ char *container = NULL;
	struct store_usage usage;
	struct error *error = NULL;

	begin();
	container = xasprintf("%s/container", directory);
	add_image("one", "first", manifest);
	add_image("two", "second", other);
	collect(false);
	CHECK_INT(count("layers"), 2);
	CHECK_INT(count("blobs"), 4);
	/* A name that moves on leaves its image to the collector. */
	add_image("two", "third", other);
	CHECK_INT(count("layers"), 3);
	collect(false);
	CHECK_INT(count("layers"), 2);
	/* A container keeps what no name refers to. */
	CHECK(mkdir(container, 0700) == 0);
	image = find("one");
	CHECK_OK(image_store_hold(store, image, container, &error), &error);
	CHECK_OK(image_store_remove_name(store, "docker.io/library/one:latest", &error), &error);
	collect(false);
	CHECK_INT(count("layers"), 2);
	CHECK_OK(image_store_usage(store, &usage, &error), &error);
	CHECK_INT(usage.held, 1);
	CHECK_INT(usage.names, 1);
	CHECK_INT(usage.images, 2);
	CHECK_INT(usage.layers, 2);
	collect(true);
	CHECK_INT(count("names"), 0);
	CHECK_INT(count("layers"), 1);
	CHECK(rmdir(container) == 0);
	collect(false);
	CHECK_INT(count("layers"), 0);
	CHECK_INT(count("blobs"), 0);
	CHECK_INT(count("holds"), 0);
	CHECK_ERROR(image_store_hold(store, image, container, &error), &error, "cannot open blob");
	CHECK_ERROR(image_store_remove_name(store, "docker.io/library/one:latest", &error), &error,
		    "No such file");
	end();
}

/* An image whose layer's blob is said to be another image's manifest, found before that one. */
static void test_manifest_as_layer(void)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	char manifest[DIGEST_SIZE], hostile[DIGEST_SIZE];
	struct store_usage usage;
	struct error *error = NULL;

	begin();
	add_image("victim", "first", manifest);
	for (int i = 0; i < 20; i++) {
		_cleanup_free_ char *name = xasprintf("hostile:%d", i);

		add_image_of(name, "second", manifest, hostile);
	}
	collect(false);
	CHECK_INT(count("layers"), 2);
	image = find("victim");
	CHECK_INT(image->n_layers, 1);
	CHECK_OK(image_store_usage(store, &usage, &error), &error);
	CHECK_INT(usage.images, 2);
	end();
}

/* Nothing is collected while somebody adds, in this or another process. */
static void test_sharing(void)
{
	struct image_store *other;
	char manifest[DIGEST_SIZE], diff_id[DIGEST_SIZE];
	struct error *error = NULL;
	uint64_t bytes;

	begin();
	CHECK_OK(image_store_share(store, &error), &error);
	add_layer("not yet named", diff_id);
	CHECK_OK(image_store_open(directory, &other, &error), &error);
	CHECK_OK(image_store_share(other, &error), &error);
	image_store_close(store);
	store = other;
	CHECK_OK(image_store_open(directory, &other, &error), &error);
	CHECK_INT(image_store_collect(other, false, false, &bytes, &error), -1);
	CHECK_INT(error->code, EBUSY);
	error_free(error);
	CHECK(has_layer(diff_id));
	add_image("one", "not yet named", manifest);
	image_store_close(store);
	store = other;
	collect(false);
	CHECK(has_layer(diff_id));
	end();
}

/* The second maker waits for the first one, and finds its work; a killed one's is made again. */
static void make_slowly(const char *diff_id, bool dies, int ready)
{
	struct store_file *file;

	if (store_file_begin(store, STORE_LAYER, diff_id, &file, NULL) < 0 || !file)
		_exit(1);
	(void)write_all(store_file_fd(file), "half", 4);
	(void)write_all(ready, "x", 1);
	if (dies)
		(void)raise(SIGKILL);
	(void)usleep(100000);
	(void)write_all(store_file_fd(file), " whole", 6);
	_exit(store_file_commit(file, NULL) < 0);
}

static void make_after(bool dies)
{
	struct store_file *file;
	char diff_id[DIGEST_SIZE], byte;
	struct error *error = NULL;
	int ready[2];
	pid_t pid;

	begin();
	CHECK(pipe(ready) == 0);
	CHECK_OK(digest_of("half whole", 10, diff_id, &error), &error);
	pid = fork();
	if (pid == 0)
		make_slowly(diff_id, dies, ready[1]);
	CHECK_INT(read_all(ready[0], &byte, 1), 1);
	CHECK_OK(store_file_begin(store, STORE_LAYER, diff_id, &file, &error), &error);
	CHECK(dies == (file != NULL));
	CHECK(dies == !has_layer(diff_id));
	if (file) {
		struct stat st;

		CHECK(fstat(store_file_fd(file), &st) == 0);
		CHECK_INT(st.st_size, 0);
	}
	store_file_free(file);
	CHECK(waitpid(pid, NULL, 0) == pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
	end();
}

static void test_waiting(void)
{
	make_after(false);
}

static void test_dead_maker(void)
{
	make_after(true);
}

static void test_damage(void)
{
	char manifest[DIGEST_SIZE];
	_cleanup_free_ char *path = NULL;
	struct stored_image *image;
	struct error *error = NULL;

	begin();
	log_set_level(LOG_LEVEL_ERROR);
	add_image("one", "first", manifest);
	path = xasprintf("%s/blobs/%s", directory, digest_hex(manifest));
	CHECK(truncate(path, 10) == 0);
	CHECK_ERROR(image_store_find(store, "one", &image, &error), &error, "damaged");
	CHECK(unlink(path) == 0);
	CHECK_ERROR(image_store_find(store, "one", &image, &error), &error, "cannot open blob");
	collect(false);
	end();
}

/* What cannot be read now is not what is not there: a directory in its place stands for EIO. */
static void collects_nothing_without(const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, file);
	_cleanup_free_ char *aside = xasprintf("%s/aside", directory);
	struct error *error = NULL;
	uint64_t bytes;

	CHECK(rename(path, aside) == 0 && mkdir(path, 0700) == 0);
	CHECK_ERROR(image_store_collect(store, false, false, &bytes, &error), &error,
		    "Is a directory");
	CHECK_INT(count("layers"), 2);
	CHECK(rmdir(path) == 0 && rename(aside, path) == 0);
}

static void test_unreadable(void)
{
	_cleanup_(stored_image_freep) struct stored_image *image = NULL;
	_cleanup_free_ char *name = NULL, *blob = NULL, *config = NULL;
	char manifest[DIGEST_SIZE], diff_id[DIGEST_SIZE], digest[DIGEST_SIZE];
	static const char whole[] = "docker.io/library/one:latest";
	struct error *error = NULL;

	begin();
	add_image("one", "first", manifest);
	add_layer("of nobody", diff_id);
	image = find("one");
	CHECK_OK(digest_of(whole, strlen(whole), digest, &error), &error);
	name = xasprintf("names/%s", digest_hex(digest));
	blob = xasprintf("blobs/%s", digest_hex(manifest));
	config = xasprintf("blobs/%s", digest_hex(image->config_digest));
	collects_nothing_without(name);
	collects_nothing_without(blob);
	collects_nothing_without(config);
	collect(false);
	CHECK_INT(count("layers"), 1);
	end();
}

/* What a killed maker of any kind of file leaves goes; what a living one has stays. */
static void test_leftovers(void)
{
	static const char *const directories[] = { "blobs", "layers", "names", "holds" };
	_cleanup_close_ int fd = -1;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s/x.tmp", directory, directories[i]);
		_cleanup_free_ char *live = xasprintf("%s/names/live.tmp", directory);

		close_fdp(&fd);
		fd = open(live, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
		CHECK(close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) == 0);
		collect(false);
		CHECK(access(path, F_OK) < 0 && access(live, F_OK) == 0);
	}
	end();
}

static void test_of_others(void)
{
	struct image_store *other;
	struct error *error = NULL;

	begin();
	CHECK(chmod(directory, 0777) == 0);
	CHECK_ERROR(image_store_open(directory, &other, &error), &error,
		    "can be written by others");
	end();
}

static const struct test_case cases[] = {
	{ "finding", test_finding },
	{ "collecting", test_collecting },
	{ "manifest as layer", test_manifest_as_layer },
	{ "sharing", test_sharing },
	{ "waiting", test_waiting },
	{ "dead maker", test_dead_maker },
	{ "damage", test_damage },
	{ "unreadable", test_unreadable },
	{ "leftovers", test_leftovers },
	{ "of others", test_of_others },
};
TEST_MAIN(cases)
