/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a bundle's files: binds, sockets, disks, volumes; what is refused, and
 * in whose words. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/agent.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/plan/plan-files.h"
#include "tests/unit/test.h"

/* A bundle with rootfs/, dir/, file, socket and fifo. */
struct fixture {
	char directory[64];
	int socket;
};

static void fixture_init(struct fixture *f)
{
	_cleanup_free_ char *command = NULL;
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;

	(void)strcpy(f->directory, "/tmp/shim-files.XXXXXX");
	CHECK(mkdtemp(f->directory));
	command = xasprintf("cd '%s' && mkdir rootfs dir && echo x >file && mkfifo fifo && "
			    "ln -s dir link && truncate -s 1M disk",
			    f->directory);
	CHECK(system(command) == 0);
	path = xasprintf("%s/socket", f->directory);
	f->socket = unix_listen(path, 0620, &error);
	CHECK_OK(f->socket, &error);
	CHECK(chmod(path, 0620) == 0);
}

static void fixture_done(struct fixture *f)
{
	struct error *error = NULL;

	(void)close(f->socket);
	CHECK_OK(remove_tree(f->directory, &error), &error);
}

/* Every "@" in the members of config.json is the bundle's directory. */
static int read_files_of(const struct fixture *f, const char *members,
			 const struct plan_files_request *like, struct plan_files *files,
			 struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *text = xmalloc(8192);
	struct plan_files_request request = *like;
	struct error *error = NULL;
	size_t n =
	    (size_t)sprintf(text, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}");

	for (; *members; members++)
		if (*members == '@')
			n += (size_t)sprintf(text + n, "%s", f->directory);
		else
			text[n++] = *members;
	text[n++] = '}';
	CHECK_OK(spec_parse(text, n, &spec, &error), &error);
	request.spec = spec;
	request.stage = "box";
	request.bundle = f->directory;
	*files = (struct plan_files){ 0 };
	return plan_files_read(&request, files, ret_error);
}

static int read_files(const struct fixture *f, const char *members, bool root_share,
		      struct plan_files *files, struct error **ret_error)
{
	const struct plan_files_request like = { .root_share = root_share };

	return read_files_of(f, members, &like, files, ret_error);
}

#define MOUNT(destination, source, options)                                                        \
	"{\"destination\":\"" destination "\",\"source\":\"" source "\",\"options\":[" options "]" \
	"}"
#define MOUNTS(list) ",\"mounts\":[" list "]"

static void test_root(void)
{
	struct error *error = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(read_files(&f, "", true, &files, &error), &error);
	CHECK_STRING(files.root_share, "box/rootfs");
	CHECK_INT(files.stage.n_binds, 1);
	CHECK_STRING(files.stage.binds[0].name, "box/rootfs");
	CHECK(files.stage.binds[0].recursive && !files.stage.binds[0].readonly);
	CHECK(!files.stage.binds[0].readonly_later);
	plan_files_done(&files);
	/* Layers and nothing bound: no staging area at all. */
	CHECK_OK(read_files(&f, "", false, &files, &error), &error);
	CHECK(!files.root_share && files.stage.n_binds == 0);
	plan_files_done(&files);
	fixture_done(&f);
}

/* A link on the way to the root: refused; on that to the bundle: not. */
static void test_linked_root(void)
{
	static const struct {
		const char *bundle, *root, *error; /* "@": the bundle's directory */
	} cases[] = {
		{ "", "rootfs", NULL },
		{ "", "dir/../rootfs/", NULL },
		{ "/same", "rootfs", NULL },
		{ "", "@/rootfs", NULL },
		{ "", "link", "invalid rootfs: not an absolute path, or a symlink: " },
		{ "", "@/link", "invalid rootfs: not an absolute path, or a symlink: " },
		{ "", "@/same/rootfs", "invalid rootfs: not an absolute path, or a symlink: " },
		{ "", "same/rootfs", "invalid rootfs: not an absolute path, or a symlink: " },
		{ "", "nowhere", "/nowhere: no such file or directory" },
		{ "", "file", "/file: not a directory" },
	};
	_cleanup_free_ char *link = NULL, *real = NULL;
	struct fixture f;

	fixture_init(&f);
	link = xasprintf("%s/same", f.directory);
	real = xasprintf("%s/rootfs", f.directory);
	CHECK(symlink(".", link) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *bundle = xasprintf("%s%s", f.directory, cases[i].bundle);
		_cleanup_free_ char *root = cases[i].root[0] == '@'
						? xasprintf("%s%s", f.directory, cases[i].root + 1)
						: xstrdup(cases[i].root);
		struct spec spec = { .root_path = root };
		const struct plan_files_request request = {
			.spec = &spec, .stage = "box", .bundle = bundle, .root_share = true
		};
		struct plan_files files = { 0 };
		struct error *error = NULL;

		if (cases[i].error) {
			CHECK_ERROR(plan_files_read(&request, &files, &error), &error,
				    cases[i].error);
		} else {
			CHECK_OK(plan_files_read(&request, &files, &error), &error);
			CHECK_STRING(files.stage.binds[0].source, real);
		}
		plan_files_done(&files);
	}
	fixture_done(&f);
}

static void test_binds(void)
{
	static const struct {
		const char *options;
		bool recursive, readonly, readonly_recursive, private_mounts;
	} cases[] = {
		{ "\"bind\"", false, false, false, false },
		{ "\"rbind\"", true, false, false, false },
		{ "\"rbind\",\"ro\"", true, true, false, false },
		{ "\"rbind\",\"ro\",\"rw\"", true, false, false, false },
		{ "\"rbind\",\"rro\"", true, false, true, false },
		{ "\"rbind\",\"rprivate\"", true, false, false, true },
		{ "\"rbind\",\"rslave\"", true, false, false, false },
		{ "\"rbind\",\"rshared\"", true, false, false, false },
		{ "\"rbind\",\"rprivate\",\"rslave\"", true, false, false, false },
		{ "\"bind\",\"nosuid\",\"nodev\",\"noexec\",\"relatime\"", false, false, false,
		  false },
	};
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *members = xasprintf(
		    MOUNTS(MOUNT("/p", "tmpfs", "") ",{\"destination\":\"/d\","
						    "\"source\":\"@/dir\",\"options\":[%s]}"),
		    cases[i].options);
		_cleanup_free_ char *source = xasprintf("%s/dir", f.directory);
		const struct stage_bind *bind;
		struct plan_files files;

		CHECK_OK(read_files(&f, members, false, &files, &error), &error);
		CHECK_INT(files.n_shares, 1);
		CHECK_INT(files.shares[0].mount, 1);
		CHECK_STRING(files.shares[0].path, "box/1");
		CHECK_INT(files.stage.n_binds, 1);
		bind = &files.stage.binds[0];
		CHECK_STRING(bind->name, "box/1");
		CHECK_STRING(bind->source, source);
		CHECK_INT(bind->recursive, cases[i].recursive);
		CHECK_INT(bind->readonly, cases[i].readonly);
		CHECK_INT(bind->readonly_recursive, cases[i].readonly_recursive);
		CHECK_INT(bind->private_mounts, cases[i].private_mounts);
		plan_files_done(&files);
	}
	fixture_done(&f);
}

/* By type alone; relative to the bundle; a file; a FIFO. */
static void test_sources(void)
{
	struct error *error = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(read_files(
		     &f,
		     MOUNTS("{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"file\"}," MOUNT(
			 "/b", "@/fifo", "\"bind\"") "," MOUNT("/c", "/dev/null", "\"bind\"")),
		     true, &files, &error),
		 &error);
	CHECK_INT(files.n_shares, 3);
	CHECK_INT(files.stage.n_binds, 4);
	CHECK(strstr(files.stage.binds[1].source, "/file"));
	CHECK(files.stage.binds[1].source[0] == '/');
	plan_files_done(&files);
	fixture_done(&f);
}

static void test_socket(void)
{
	struct error *error = NULL;
	struct plan_files files;
	struct stat target;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(read_files(&f, MOUNTS(MOUNT("/s", "@/socket", "\"rbind\",\"ro\"")), false, &files,
			    &error),
		 &error);
	CHECK_INT(files.n_shares, 0);
	CHECK_INT(files.stage.n_binds, 0);
	CHECK_INT(files.n_sockets, 1);
	CHECK_INT(files.sockets[0].mount, 0);
	CHECK_INT(files.sockets[0].port, AGENT_FORWARD_PORT_FIRST);
	CHECK_INT(files.sockets[0].mode, 0620);
	CHECK(fstat(files.sockets[0].fd, &target) == 0 && S_ISSOCK(target.st_mode));
	plan_files_done(&files);
	fixture_done(&f);
}

static void test_disks(void)
{
	struct error *error = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(
	    read_files(&f,
		       MOUNTS("{\"destination\":\"/a\",\"type\":\"ext4\",\"source\":\"@/disk\"},"
			      "{\"destination\":\"/b\",\"type\":\"erofs\",\"source\":\"@/disk\"},"
			      "{\"destination\":\"/c\",\"type\":\"ext4\",\"source\":\"ext4\"}"),
		       false, &files, &error),
	    &error);
	CHECK_INT(files.n_volumes, 2);
	CHECK_INT(files.volumes[0].mount, 0);
	CHECK_STRING(files.volumes[0].serial, "volume0");
	CHECK(!files.volumes[0].volume.readonly && !files.volumes[0].volume.format);
	CHECK(files.volumes[1].volume.readonly);
	plan_files_done(&files);
	fixture_done(&f);
}

#define VOLUME(text) ",\"annotations\":{\"io.supermachine.volume.v\":\"" text "\"}"

static void test_volumes(void)
{
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(read_files(&f, VOLUME("@/new:/data:size=64M"), true, &files, &error), &error);
	CHECK_INT(files.n_volumes, 1);
	CHECK_INT(files.volumes[0].mount, -1);
	CHECK_STRING(files.volumes[0].destination, "/data");
	CHECK(files.volumes[0].volume.format && !files.volumes[0].volume.readonly);
	CHECK_INT(files.volumes[0].volume.size, 64 << 20);
	plan_files_done(&files);
	CHECK_OK(read_files(&f, VOLUME("@/disk:/data:ro"), true, &files, &error), &error);
	CHECK(files.volumes[0].volume.readonly);
	plan_files_done(&files);
	/* Planning has made nothing. */
	path = xasprintf("%s/new", f.directory);
	CHECK(access(path, F_OK) < 0);
	fixture_done(&f);
}

/* Others' are looked for below certain directories only: what is elsewhere is not told. */
static void test_confined_volumes(void)
{
	static const char *const refused[] = { VOLUME("@/disk:/data"), VOLUME("@/none:/data"),
					       VOLUME("/none:/data:size=1M"),
					       VOLUME("@/dir/../disk:/data") };
	struct allow allow = { .has_options = true, .options = 1U << MACHINE_VOLUME };
	const struct plan_files_request like = { .allow = &allow };
	struct error *error = NULL;
	_cleanup_free_ char *path = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	path = xasprintf("%s/dir", f.directory);
	strv_append(&allow.paths, path);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		CHECK_ERROR(read_files_of(&f, refused[i], &like, &files, &error), &error,
			    "does not lie below a directory of allow.paths");
		plan_files_done(&files);
	}
	CHECK_OK(read_files_of(&f, VOLUME("@/dir/new:/data:size=1M"), &like, &files, &error),
		 &error);
	CHECK_INT(files.n_volumes, 1);
	plan_files_done(&files);
	/* config.json's own disks are its writer's. */
	CHECK_OK(read_files_of(
		     &f, MOUNTS("{\"destination\":\"/a\",\"type\":\"ext4\",\"source\":\"@/disk\"}"),
		     &like, &files, &error),
		 &error);
	plan_files_done(&files);
	allow_done(&allow);
	fixture_done(&f);
}

#define SOCKET(name, path) ",\"annotations\":{\"io.supermachine.socket." name "\":\"" path "\"}"

static void test_published(void)
{
	struct error *error = NULL;
	struct plan_files files;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(read_files(&f, SOCKET("api", "/run/api.sock"), false, &files, &error), &error);
	CHECK_INT(files.n_published, 1);
	CHECK_STRING(files.published[0].name, "api");
	CHECK_STRING(files.published[0].path, "/run/api.sock");
	plan_files_done(&files);
	fixture_done(&f);
}

#define CACHE(text) ",\"annotations\":{\"io.supermachine.cache\":\"" text "\"}"
#define TWO_BINDS MOUNTS(MOUNT("/a/", "@/dir", "\"bind\"") "," MOUNT("/b", "@/file", "\"bind\""))

/* Each share's mode is in its name, where it is not the machine's; a later container's
 * wherever the annotation says one. */
static void test_cache(void)
{
	static const struct {
		bool joins;
		const char *text;
		enum vm_fs_cache cache;
		bool by_name;
		const char *root, *a, *b;
	} cases[] = {
		{ false, "always", VM_FS_CACHE_ALWAYS, false, "box/rootfs", "box/0", "box/1" },
		{ false, "/=always,/b=none", VM_FS_CACHE_AUTO, true, "box/rootfs@always", "box/0",
		  "box/1@none" },
		{ false, "/a=none,none,/b//=auto", VM_FS_CACHE_NONE, true, "box/rootfs", "box/0",
		  "box/1@auto" },
		{ true, "/a=auto", VM_FS_CACHE_AUTO, true, "box/rootfs", "box/0@auto", "box/1" },
		{ true, "none,/a=always", VM_FS_CACHE_NONE, true, "box/rootfs@none", "box/0@always",
		  "box/1@none" },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct plan_files_request like = { .root_share = true,
							 .sandbox_pid = cases[i].joins ? 1 : 0 };
		_cleanup_free_ char *members =
		    xasprintf("%s" CACHE("%s"), TWO_BINDS, cases[i].text);
		struct error *error = NULL;
		struct plan_files files;

		CHECK_OK(read_files_of(&f, members, &like, &files, &error), &error);
		CHECK_INT(files.cache, cases[i].cache);
		CHECK_INT(files.cache_by_name, cases[i].by_name);
		CHECK_STRING(files.root_share, cases[i].root);
		/* A machine that runs has its root already. */
		CHECK_STRING(files.stage.root, cases[i].joins ? NULL : cases[i].root);
		CHECK_STRING(files.shares[0].path, cases[i].a);
		CHECK_STRING(files.shares[1].path, cases[i].b);
		for (size_t k = 0; k < 2; k++)
			CHECK_STRING(files.stage.binds[k + 1].name, files.shares[k].path);
		plan_files_done(&files);
	}
	fixture_done(&f);
}

static void test_cache_refusals(void)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "never", "annotations[\"io.supermachine.cache\"]: unknown cache mode \"never\"" },
		{ "/a=", "unknown cache mode \"\"" },
		{ "auto,", "unknown cache mode \"\"" },
		{ "", "unknown cache mode \"\"" },
		{ "/a=always;/b=none", "/a=always;/b: the container has no directory" },
		{ "a=always", "\"a\" is not an absolute path in the container" },
		{ "=always", "\"\" is not an absolute path in the container" },
		{ "/a=always,/a/=none", "/a/ has two cache modes" },
		{ "always,none", "two cache modes for all shares: always and none" },
		{ "/c=none", "annotations[\"io.supermachine.cache\"]: /c: the container has no" },
		{ "/=none",
		  "annotations[\"io.supermachine.cache\"]: /: the root file system is no" },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *members =
		    xasprintf("%s" CACHE("%s"), TWO_BINDS, cases[i].text);
		struct error *error = NULL;
		struct plan_files files;

		CHECK_ERROR(read_files(&f, members, false, &files, &error), &error, cases[i].error);
		plan_files_done(&files);
	}
	/* A socket that is forwarded has nothing to keep. */
	{
		struct error *error = NULL;
		struct plan_files files;

		CHECK_ERROR(
		    read_files(&f, MOUNTS(MOUNT("/s", "@/socket", "\"bind\"")) CACHE("/s=always"),
			       true, &files, &error),
		    &error, "/s: the container has no directory or file bound there");
		plan_files_done(&files);
	}
	fixture_done(&f);
}

static void test_refusals(void)
{
	static const struct {
		const char *members, *error;
	} cases[] = {
		{ MOUNTS(MOUNT("/d", "/no/such", "\"bind\"")),
		  "error mounting \"/no/such\" to rootfs at \"/d\": stat /no/such: no such file or "
		  "directory" },
		{ MOUNTS(MOUNT("/d", "@/dir", "\"bind\",\"size=1\"")),
		  "mounts[0] (/d): bind mounts cannot have any filesystem-specific options: "
		  "\"size=1\"" },
		{ MOUNTS(MOUNT("/d", "@/dir", "\"rbind\",\"idmap\"")),
		  "mounts[0] (/d): idmap without mappings, its own or the container's" },
		{ MOUNTS("{\"destination\":\"/d\",\"type\":\"bind\"}"),
		  "mounts[0] (/d): a bind mount needs a source" },
		{ VOLUME("@/new:/data"), "does not exist: give size=SIZE to create it" },
		{ VOLUME("@/new:/data:ro,size=1G"), "so it cannot be read-only" },
		{ VOLUME("@/dir:/data"), "neither a file nor a block device" },
		{ VOLUME("@/disk"), "is not SOURCE:DESTINATION[:OPTIONS]" },
		{ VOLUME("disk:/data"), "is not SOURCE:DESTINATION[:OPTIONS]" },
		{ VOLUME("@/disk:/"), "/ is for a root of layers" },
		{ VOLUME("@/disk:/data:rx"), "unknown option \"rx\"" },
		{ VOLUME("@/disk:/data:size=1"), "the size must be at least 1M" },
		{ VOLUME("@/disk:/data:size=x"), "invalid size" },
		{ SOCKET("", "/s"), "is not a socket's name" },
		{ SOCKET("..", "/s"), "is not a socket's name" },
		{ SOCKET("a/b", "/s"), "is not a socket's name" },
		{ SOCKET("a", "s"),
		  "annotations[\"io.supermachine.socket.a\"]: \"s\" is not an absolute" },
		{ VOLUME("@/disk:/run/data") MOUNTS(MOUNT("/run", "tmpfs", "")),
		  "annotations[\"io.supermachine.volume.v\"]: /run/data would be hidden by "
		  "mounts[0] (/run)" },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		struct plan_files files;

		CHECK_ERROR(read_files(&f, cases[i].members, true, &files, &error), &error,
			    cases[i].error);
		plan_files_done(&files);
	}
	fixture_done(&f);
}

static const struct test_case cases[] = {
	{ "root", test_root },
	{ "linked root", test_linked_root },
	{ "binds", test_binds },
	{ "sources", test_sources },
	{ "socket", test_socket },
	{ "disks", test_disks },
	{ "confined volumes", test_confined_volumes },
	{ "volumes", test_volumes },
	{ "published", test_published },
	{ "cache", test_cache },
	{ "cache refusals", test_cache_refusals },
	{ "refusals", test_refusals },
};

TEST_MAIN(cases)
