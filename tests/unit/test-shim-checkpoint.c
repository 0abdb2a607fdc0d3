/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a checkpoint: written and read, altered, and compared with a bundle. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "sandbox/checkpoint-files.h"
#include "sandbox/checkpoint-layers.h"
#include "sandbox/checkpoint-manifest.h"
#include "tests/unit/test.h"

#define CONFIG                                                                                     \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"                                \
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}%s},"          \
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}%s],"        \
	"\"linux\":{\"namespaces\":[{\"type\":\"pid\"}%s]}}"

static struct checkpoint_manifest *make(void)
{
	struct checkpoint_manifest *manifest = checkpoint_manifest_new();
	struct checkpoint_process *process = checkpoint_manifest_add_process(manifest);

	manifest->name = xstrdup("0123456789abcdef0123456789abcdef");
	manifest->parent = xstrdup("../older");
	manifest->parent_name = xstrdup("fedcba9876543210fedcba9876543210");
	manifest->memory_only = true;
	manifest->id = xstrdup("box");
	manifest->config = xasprintf(CONFIG, "", "", "");
	manifest->config_size = strlen(manifest->config);
	manifest->stage = xstrdup("0123456789abcdef");
	manifest->kernel = xstrdup("");
	manifest->network = xstrdup("none");
	strv_append(&manifest->publish, "80:80");
	manifest->layers = xcalloc(1, sizeof(manifest->layers[0]));
	manifest->layers[0] =
	    (struct checkpoint_layer){ xstrdup("erofs"), 4096, 0xfedcba9876543210 };
	manifest->n_layers = 1;
	manifest->volumes[0] = (struct checkpoint_volume){ .size = 65536, .mtime = 1234567890123 };
	manifest->volumes[1] =
	    (struct checkpoint_volume){ .readonly = true, .size = 512, .head = 7 };
	manifest->n_volumes = 2;
	manifest->vcpus = 2;
	manifest->vcpus_now = 3;
	manifest->memory_mib = 256;
	manifest->memory_limit = 300 << 20;
	manifest->room_mib = 1024;
	manifest->grown_mib = 128;
	manifest->max_vcpus = 4;
	manifest->interfaces = 3;
	manifest->oom_kills = 5;
	process->exec_id = xstrdup("");
	process->streams.ports[STDIO_IN] = 1 << 30;
	process->streams.ports[STDIO_OUT] = 4000000000;
	process->streams.pending = xmemdup("\0\xff!", 3);
	process->streams.n_pending = 3;
	process = checkpoint_manifest_add_process(manifest);
	process->exec_id = xstrdup("e1");
	process->terminal = process->streams.input_ended = true;
	return manifest;
}

static void test_round(void)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *read = NULL;
	struct error *error = NULL;
	size_t size;
	_cleanup_free_ char *text = checkpoint_manifest_write(manifest, &size);

	CHECK_OK(checkpoint_manifest_parse(text, size, &read, &error), &error);
	CHECK_STRING(read->name, "0123456789abcdef0123456789abcdef");
	CHECK_STRING(read->parent, "../older");
	CHECK_STRING(read->parent_name, "fedcba9876543210fedcba9876543210");
	CHECK(read->memory_only);
	CHECK_STRING(read->id, "box");
	CHECK_STRING(read->config, manifest->config);
	CHECK_STRING(read->stage, "0123456789abcdef");
	CHECK_STRING(read->network, "none");
	CHECK(strv_length(read->publish) == 1);
	CHECK_STRING(read->publish[0], "80:80");
	CHECK_INT(read->n_layers, 1);
	CHECK_STRING(read->layers[0].type, "erofs");
	CHECK_INT(read->layers[0].size, 4096);
	CHECK(read->layers[0].head == 0xfedcba9876543210);
	CHECK_INT(read->n_volumes, 2);
	CHECK(!read->volumes[0].readonly && read->volumes[1].readonly);
	CHECK_INT(read->volumes[0].size, 65536);
	CHECK_INT(read->volumes[0].mtime, 1234567890123);
	CHECK_INT(read->volumes[1].head, 7);
	CHECK_INT(read->vcpus, 2);
	CHECK_INT(read->vcpus_now, 3);
	CHECK_INT(read->memory_mib, 256);
	CHECK_INT(read->memory_limit, 300 << 20);
	CHECK_INT(read->room_mib, 1024);
	CHECK_INT(read->grown_mib, 128);
	CHECK_INT(read->max_vcpus, 4);
	CHECK_INT(read->interfaces, 3);
	CHECK_INT(read->oom_kills, 5);
	CHECK_INT(read->n_processes, 2);
	CHECK_INT(read->processes[0].streams.ports[STDIO_OUT], 4000000000);
	CHECK_INT(read->processes[0].streams.n_pending, 3);
	CHECK(memcmp(read->processes[0].streams.pending, "\0\xff!", 3) == 0);
	CHECK(!read->processes[0].streams.input_ended && !read->processes[0].terminal);
	CHECK_STRING(read->processes[1].exec_id, "e1");
	CHECK(read->processes[1].streams.input_ended && read->processes[1].terminal);
}

/* Any byte that is another is noticed, and any that is missing. */
static void test_altered(void)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	struct checkpoint_manifest *read = NULL;
	struct error *error = NULL;
	size_t size;
	_cleanup_free_ char *text = checkpoint_manifest_write(manifest, &size);

	for (size_t i = 0; i < size; i++) {
		text[i] ^= 1;
		CHECK(checkpoint_manifest_parse(text, size, &read, NULL) < 0);
		text[i] ^= 1;
		CHECK(checkpoint_manifest_parse(text, i, &read, NULL) < 0);
	}
	CHECK_ERROR(checkpoint_manifest_parse("", 0, &read, &error), &error,
		    "not a checkpoint of supermachine's");
	CHECK_ERROR(checkpoint_manifest_parse("pstree", 6, &read, &error), &error,
		    "not a checkpoint of supermachine's");
	*strchr(text, '5') = '1';
	CHECK_ERROR(checkpoint_manifest_parse(text, size, &read, &error), &error,
		    "the checkpoint has format 1, this program reads format 5");
}

static void test_twice(void)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	struct checkpoint_process *process = checkpoint_manifest_add_process(manifest);
	struct checkpoint_manifest *read = NULL;
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	size_t size;

	process->exec_id = xstrdup("e1");
	text = checkpoint_manifest_write(manifest, &size);
	CHECK_ERROR(checkpoint_manifest_parse(text, size, &read, &error), &error,
		    "\"e1\" comes twice");
}

/* Sound as a file, and yet no manifest. */
static void test_bad_values(void)
{
	static const struct {
		const char *stage, *id, *exec_id, *message;
		uint32_t vcpus;
	} bad[] = {
		{ "../..", "box", "", "not a staging name", 1 },
		{ "", "box", "", "not a staging name", 1 },
		{ "0", "a/b", "", "invalid container ID", 1 },
		{ "0", "box", "e", "the first process", 1 },
		{ "0", "box", "", "no vCPU", 0 },
		{ "0", "box", "", "vcpus", 65 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
		struct checkpoint_manifest *read = NULL;
		_cleanup_free_ char *text = NULL;
		struct error *error = NULL;
		size_t size;

		free(manifest->stage);
		free(manifest->id);
		free(manifest->processes[0].exec_id);
		manifest->stage = xstrdup(bad[i].stage);
		manifest->id = xstrdup(bad[i].id);
		manifest->processes[0].exec_id = xstrdup(bad[i].exec_id);
		manifest->vcpus = bad[i].vcpus;
		text = checkpoint_manifest_write(manifest, &size);
		CHECK_ERROR(checkpoint_manifest_parse(text, size, &read, &error), &error,
			    bad[i].message);
	}
}

static void check_parent(const char *name, const char *parent, const char *parent_name,
			 const char *message)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	struct checkpoint_manifest *read = NULL;
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	size_t size;

	free(manifest->name);
	free(manifest->parent);
	free(manifest->parent_name);
	manifest->name = xstrdup(name);
	manifest->parent = xstrdup(parent);
	manifest->parent_name = xstrdup(parent_name);
	text = checkpoint_manifest_write(manifest, &size);
	CHECK_ERROR(checkpoint_manifest_parse(text, size, &read, &error), &error, message);
}

static void test_bad_parent(void)
{
	static const char name[] = "0123456789abcdef0123456789abcdef";

	check_parent("", "../older", name, "is not a name");
	check_parent("0123", "../older", name, "is not a name");
	check_parent(name, "../older", "", "is not a name");
	check_parent(name, "", name, "is not a name");
	check_parent(name, "/older", name, "\"parent\" is not a relative path");
}

static void check_spec(const char *process, const char *mounts, const char *namespaces,
		       const char *message)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	_cleanup_free_ char *text = xasprintf(CONFIG, process, mounts, namespaces);
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct error *error = NULL;

	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	if (message)
		CHECK_ERROR(checkpoint_manifest_check_spec(manifest, spec, &error), &error,
			    message);
	else
		CHECK_OK(checkpoint_manifest_check_spec(manifest, spec, &error), &error);
}

static void test_bundle(void)
{
	check_spec("", "", "", NULL);
	check_spec(",\"env\":[\"A=b\"]", "", "", NULL);
	check_spec(",\"terminal\":true", "", "", "process.terminal: it is true, and was false");
	check_spec("", ",{\"destination\":\"/x\",\"type\":\"tmpfs\"}", "",
		   "mounts: there are 2, and were 1");
	check_spec("", "", ",{\"type\":\"uts\"}",
		   "linux.namespaces: \"uts\" is there, and was not");
}

/* They get the order that they had, by which the guest knows them. */
static void test_mounts_order(void)
{
	static const char config[] =
	    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
	    "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}},"
	    "\"mounts\":[{\"destination\":\"%s\",\"source\":\"%s\",\"options\":[\"bind\"]},"
	    "{\"destination\":\"%s\",\"source\":\"%s\",\"options\":[\"bind\"]},"
	    "{\"destination\":\"%s\",\"source\":\"%s\",\"options\":[\"bind\"]}]}";
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	_cleanup_free_ char *text = xasprintf(config, "/c", "new-c", "/a", "new-a", "/b", "new-b");
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct error *error = NULL;

	free(manifest->config);
	manifest->config = xasprintf(config, "/a", "a", "/b", "b", "/c", "c");
	manifest->config_size = strlen(manifest->config);
	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	CHECK_OK(checkpoint_manifest_check_spec(manifest, spec, &error), &error);
	CHECK_INT(spec->n_mounts, 3);
	CHECK_STRING(spec->mounts[0].source, "new-a");
	CHECK_STRING(spec->mounts[1].source, "new-b");
	CHECK_STRING(spec->mounts[2].source, "new-c");
	free(spec->mounts[1].destination);
	spec->mounts[1].destination = xstrdup("/other");
	CHECK_ERROR(checkpoint_manifest_check_spec(manifest, spec, &error), &error,
		    "mounts: bind at /b was there, and is not");
}

/* ---- layers ---- */

static void write_image(const char *path, const char *head, off_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, head, strlen(head)) == (ssize_t)strlen(head) &&
	      ftruncate(fd, size) == 0);
}

static void check_layers(const struct checkpoint_manifest *manifest,
			 const struct container_plan *plan, const char *message)
{
	struct error *error = NULL;

	CHECK_ERROR(checkpoint_layers_check(manifest, plan, &error), &error, message);
}

/* The images may be elsewhere, and be made again the same; others are told apart. */
static void test_layers(void)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest =
	    checkpoint_manifest_new();
	char directory[] = "/tmp/test-layers.XXXXXX";
	_cleanup_free_ char *one = NULL, *two = NULL;
	static struct container_plan plan, other;
	struct error *error = NULL;

	CHECK(mkdtemp(directory));
	one = xasprintf("%s/one", directory);
	two = xasprintf("%s/two", directory);
	write_image(one, "first", 8192);
	write_image(two, "second", 4096);
	plan = (struct container_plan){ .n_layers = 2,
					.layers = { { .type = (char *)"squashfs", .path = one },
						    { .type = (char *)"erofs", .path = two } } };
	CHECK_OK(checkpoint_layers_note(&plan, manifest, &error), &error);
	CHECK_INT(manifest->n_layers, 2);
	CHECK_INT(manifest->layers[0].size, 8192);
	CHECK_OK(checkpoint_layers_check(manifest, &plan, &error), &error);
	other = plan;
	other.n_layers = 1;
	check_layers(manifest, &other, "it has 1 layers that are images, and had 2");
	other = plan;
	other.layers[1].type = (char *)"ext4";
	check_layers(manifest, &other, "two is not the one that the container had");
	write_image(two, "second", 8192);
	check_layers(manifest, &plan, "two is not the one that the container had");
	write_image(two, "third", 4096);
	check_layers(manifest, &plan, "two is not the one that the container had");
	write_image(two, "second", 4096);
	CHECK_OK(checkpoint_layers_check(manifest, &plan, &error), &error);
	CHECK(unlink(one) == 0);
	check_layers(manifest, &plan, "one: No such file");
	CHECK(unlink(two) == 0 && rmdir(directory) == 0);
}

static void put(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	write_image(path, name, 64);
}

static bool has(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return access(path, F_OK) == 0;
}

static void make_files(const struct checkpoint_files *files, bool state, bool disk)
{
	struct error *error = NULL;
	int fd;

	if (state) {
		CHECK_OK(checkpoint_files_make(files, MANIFEST_STATE, &fd, &error), &error);
		(void)close(fd);
	}
	CHECK_OK(checkpoint_files_make(files, MANIFEST_RAM, &fd, &error), &error);
	(void)close(fd);
	if (!disk)
		return;
	CHECK_OK(checkpoint_files_make(files, "disk0", &fd, &error), &error);
	(void)close(fd);
}

/* An older checkpoint makes way, and nothing else; it stays if the new one cannot take its place.
 */
static void test_files(void)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest = make();
	char directory[] = "/tmp/test-files.XXXXXX";
	_cleanup_free_ char *stray = NULL;
	struct checkpoint_files files;
	struct error *error = NULL;

	CHECK(mkdtemp(directory));
	put(directory, "disk5");
	CHECK_OK(checkpoint_files_open(directory, &files, &error), &error);
	make_files(&files, true, true);
	CHECK_OK(checkpoint_files_finish(&files, manifest, &error), &error);
	CHECK(has(directory, "manifest") && has(directory, "disk0") && has(directory, "disk5"));
	CHECK(!has(directory, ".disk0.new"));
	CHECK(has(directory, MANIFEST_INVENTORY) != manifest->memory_only);
	/* Another, without a volume, over a name that is somebody's. */
	manifest->n_volumes = 0;
	stray = xasprintf("%s/ram", directory);
	CHECK(unlink(stray) == 0 && mkdir(stray, 0700) == 0);
	make_files(&files, true, false);
	CHECK_ERROR(checkpoint_files_finish(&files, manifest, &error), &error, "is a directory");
	CHECK(has(directory, "manifest") && has(directory, "disk0") && has(directory, "state"));
	CHECK(rmdir(stray) == 0);
	CHECK_OK(checkpoint_files_finish(&files, manifest, &error), &error);
	CHECK(has(directory, "ram") && !has(directory, "disk0") && has(directory, "disk5"));
	/* Of memory alone: the older one's state is none of it. */
	make_files(&files, false, false);
	CHECK_OK(checkpoint_files_finish(&files, manifest, &error), &error);
	CHECK(has(directory, "ram") && !has(directory, "state"));
	checkpoint_files_done(&files);
	CHECK(remove_tree(directory, NULL) == 0);
}

static const struct test_case cases[] = {
	{ "round", test_round },
	{ "altered", test_altered },
	{ "twice", test_twice },
	{ "bad values", test_bad_values },
	{ "bundle", test_bundle },
	{ "layers", test_layers },
	{ "files", test_files },
	{ "bad parent", test_bad_parent },
	{ "order of mounts", test_mounts_order },
};

TEST_MAIN(cases)
