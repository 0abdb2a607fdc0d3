/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle of a forked container: what is copied, and what its config.json names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/fork-files.h"
#include "tests/unit/test.h"

#define CONFIG                                                                                     \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":%s},"                \
	"\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}},"            \
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"           \
	"{\"destination\":\"/ro\",\"source\":\"one\",\"options\":[\"bind\",\"ro\"]},"              \
	"{\"destination\":\"/rw\",\"source\":\"link\",\"options\":[\"bind\"]},"                    \
	"{\"destination\":\"/again\",\"source\":\"one\",\"options\":[\"rbind\",\"rw\"]},"          \
	"{\"destination\":\"/fixed\",\"source\":\"two\",\"options\":[\"bind\",\"ro\"]}],"          \
	"\"annotations\":{\"other\":\"/a:/b\","                                                    \
	"\"io.supermachine.volume.a\":\"/a.img:/a:size=1M,ro,rw\","                                \
	"\"io.supermachine.volume.b\":\"/b.img:/b:rw,ro\","                                        \
	"\"io.supermachine.volume.c\":\"/c.img:/c\"}}"

struct bundle {
	char directory[32];
	struct state state;
};

static void bundle_init(struct bundle *bundle, const char *readonly)
{
	static const char *const names[] = { "rootfs", "one", "two" };
	_cleanup_free_ char *link = NULL;
	struct error *error = NULL;

	(void)strcpy(bundle->directory, "/tmp/test-fork.XXXXXX");
	CHECK(mkdtemp(bundle->directory));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", bundle->directory, names[i]);

		CHECK_OK(make_directories(path, 0700, &error), &error);
	}
	link = xasprintf("%s/link", bundle->directory);
	CHECK(symlink("one", link) == 0);
	bundle->state = (struct state){ .id = (char *)"box",
					.bundle = bundle->directory,
					.config = xasprintf(CONFIG, readonly) };
}

static void bundle_done(struct bundle *bundle)
{
	CHECK(remove_tree(bundle->directory, NULL) == 0);
	free(bundle->state.config);
}

/* text is the format with the directory in the place of "%". */
static void check_text(const char *text, const char *format, const char *directory)
{
	const char *mark = strchr(format, '%');
	_cleanup_free_ char *wanted =
	    mark ? xasprintf("%.*s%s%s", (int)(mark - format), format, directory, mark + 1)
		 : xstrdup(format);

	CHECK_STRING(text, wanted);
}

static void check_copy(char *const *names, const char *directory, const char *source,
		       const char *target)
{
	_cleanup_free_ char *from = xasprintf("%s/%s", directory, source);
	_cleanup_free_ char *to = xasprintf("%s/new/%s", directory, target);

	CHECK_STRING(names[0], from);
	CHECK_STRING(names[1], to);
}

/* Each thing that is written to once; what is only read is the same, unless another mount writes to
 * it. */
static void test_written(void)
{
	static const char *const sources[] = { "proc", "%/new/binds/2", "%/new/binds/2",
					       "%/new/binds/2", "%/two" };
	static const char *const annotations[] = { "/a:/b", "%/new/volumes/1:/a:size=1M,ro,rw",
						   "/b.img:/b:rw,ro", "%/new/volumes/3:/c" };
	_cleanup_(spec_freep) struct spec *spec = NULL;
	size_t size;
	_cleanup_free_ char *path = NULL, *config = NULL, *text = NULL;
	_cleanup_strv_ char **copies = NULL;
	struct fork_files files;
	struct error *error = NULL;
	struct bundle bundle;

	bundle_init(&bundle, "false");
	path = xasprintf("%s/new", bundle.directory);
	config = xasprintf("%s/config.json", path);
	CHECK_OK(fork_files_plan(&bundle.state, path, &files, &copies, &error), &error);
	CHECK_INT(strv_length(copies), 4);
	check_copy(copies, bundle.directory, "rootfs", "rootfs");
	check_copy(copies + 2, bundle.directory, "one", "binds/2");
	CHECK(access(path, F_OK) < 0);
	CHECK_OK(fork_files_begin(&files, &error), &error);
	CHECK(access(path, F_OK) == 0 && access(config, F_OK) < 0);
	CHECK_OK(fork_files_finish(&files, &error), &error);
	CHECK_OK(read_file(config, 1 << 20, &text, &size, &error), &error);
	CHECK_OK(spec_parse(text, size, &spec, &error), &error);
	CHECK_STRING(spec->root_path, "rootfs");
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		check_text(spec->mounts[i].source, sources[i], bundle.directory);
	for (size_t i = 0; i < ARRAY_SIZE(annotations); i++)
		check_text(spec->annotations[i].value, annotations[i], bundle.directory);
	/* It goes, unless it is kept. */
	fork_files_done(&files);
	CHECK(access(path, F_OK) < 0 && errno == ENOENT);
	bundle_done(&bundle);
}

static void test_kept(void)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_strv_ char **copies = NULL;
	struct fork_files files, other;
	struct error *error = NULL;
	struct bundle bundle;

	bundle_init(&bundle, "true");
	path = xasprintf("%s/new", bundle.directory);
	CHECK_OK(fork_files_plan(&bundle.state, path, &files, &copies, &error), &error);
	CHECK_INT(strv_length(copies), 2);
	check_copy(copies, bundle.directory, "one", "binds/2");
	CHECK_OK(fork_files_begin(&files, &error), &error);
	fork_files_keep(&files);
	fork_files_done(&files);
	CHECK(access(path, F_OK) == 0);
	/* What is there is somebody's. */
	CHECK_OK(fork_files_plan(&bundle.state, path, &other, &copies, &error), &error);
	CHECK_ERROR(fork_files_begin(&other, &error), &error, "/new: File exists");
	fork_files_done(&other);
	CHECK(access(path, F_OK) == 0);
	bundle_done(&bundle);
}

static void test_overlay(void)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_strv_ char **copies = NULL;
	struct fork_files files;
	struct error *error = NULL;
	struct bundle bundle;

	bundle_init(&bundle, "true");
	free(bundle.state.config);
	bundle.state.config =
	    xstrdup("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
		    "\"mounts\":[{\"destination\":\"/o\",\"type\":\"overlay\","
		    "\"options\":[\"lowerdir=/l\",\"upperdir=/u\",\"workdir=/w\"]}]}");
	path = xasprintf("%s/new", bundle.directory);
	CHECK_ERROR(fork_files_plan(&bundle.state, path, &files, &copies, &error), &error,
		    "mounts[0] (/o): there is no copy of an overlay");
	fork_files_done(&files);
	bundle_done(&bundle);
}

static const struct test_case cases[] = {
	{ "written", test_written },
	{ "kept", test_kept },
	{ "overlay", test_overlay },
};

TEST_MAIN(cases)
