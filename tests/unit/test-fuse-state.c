/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: a server goes on where another was, with the files that the guest had open. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

static const struct client_options standard = { .cache = FUSE_CACHE_AUTO };

static void put_file(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
}

/* In the directory: the tests' own is another one (fuse_thread_new()). */
static void run_shell(const char *dir, const char *script)
{
	_cleanup_free_ char *command = xasprintf("cd %s && %s", dir, script);

	CHECK_INT(system(command), 0);
}

/* Another server of the tree in dir. */
static void restart(struct client *c, const struct client_options *like, const char *dir)
{
	struct client_options options = *like;

	options.dir = dir;
	options.without_init = true;
	client_init(c, &options);
}

/* The tree stays. */
static void restart_done(struct client *c)
{
	fuse_cancel(c->server);
	fuse_server_free(c->server);
	fuse_thread_free(c->thread);
	free(c->dir);
}

static int load(struct client *c, const struct buffer *state, struct error **ret_error)
{
	struct packed from = { state->bytes, buffer_length(state) };
	int r = fuse_load(c->server, &from, ret_error);

	if (r == 0)
		CHECK_INT(from.left, 0);
	return r;
}

/* Files in use: one open for appending, one for reading, a directory in the middle, a symbolic
 * link, and one that is only known. */
struct use {
	uint64_t log, log_fh, text, text_fh, sub, sub_fh, link, known;
	uint64_t next; /* in the directory */
};

static uint64_t first_entry(struct client *c, uint64_t node, uint64_t fh, uint64_t offset,
			    char ret_name[64], uint64_t *ret_next)
{
	const struct fuse_read_in in = { .fh = fh, .offset = offset, .size = 200 };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	char bytes[200];
	const struct fuse_dirent *entry = (const struct fuse_dirent *)bytes;
	size_t size = 0;

	CHECK_INT(client_send(c, FUSE_READDIR, node, parts, 1, bytes, sizeof(bytes), &size), 0);
	CHECK(size > sizeof(*entry));
	(void)snprintf(ret_name, 64, "%.*s", (int)entry->namelen, entry->name);
	*ret_next = entry->off;
	return entry->ino;
}

static void use_files(struct client *c, struct use *u)
{
	struct fuse_open_out out;
	char name[64];

	put_file(c->dir, "log", "one");
	put_file(c->dir, "text", "some text");
	run_shell(c->dir, "mkdir -p sub/deep && touch sub/deep/known && ln -s target link");
	u->log = client_walk(c, "log");
	u->text = client_walk(c, "text");
	u->sub = client_walk(c, "sub");
	u->link = client_walk(c, "link");
	u->known = client_walk(c, "sub/deep/known");
	CHECK_INT(client_open(c, u->log, O_WRONLY | O_APPEND, &out), 0);
	u->log_fh = out.fh;
	CHECK_INT(client_open(c, u->text, O_RDONLY, &out), 0);
	u->text_fh = out.fh;
	CHECK_INT(client_opendir(c, u->sub, &u->sub_fh), 0);
	(void)first_entry(c, u->sub, u->sub_fh, 0, name, &u->next);
}

/* All of it goes on. */
static void go_on(struct client *c, const struct use *u, const char *log)
{
	_cleanup_free_ char *path = xasprintf("%s/log", c->dir);
	_cleanup_free_ char *text = NULL;
	char bytes[16], name[64];
	struct fuse_entry_out entry;
	uint64_t next, fresh;

	CHECK_INT(client_read(c, u->text, u->text_fh, 5, bytes, sizeof(bytes)), 4);
	CHECK(memcmp(bytes, "text", 4) == 0);
	CHECK_INT(client_write(c, u->log, u->log_fh, 0, "two", 3, 0), 3);
	CHECK_OK(read_file(path, 100, &text, NULL, NULL), &(struct error *){ NULL });
	CHECK_STRING(text, log);
	CHECK_INT(client_write(c, u->text, u->text_fh, 0, "x", 1, 0), -EBADF);
	(void)first_entry(c, u->sub, u->sub_fh, u->next, name, &next);
	CHECK_INT(client_lookup(c, 1, "text", &entry), 0);
	CHECK_INT(entry.nodeid, u->text);
	CHECK_INT(client_lookup(c, u->sub, "deep", &entry), 0);
	CHECK_INT(client_lookup(c, entry.nodeid, "known", &entry), 0);
	CHECK_INT(entry.nodeid, u->known);
	/* A number that was in use is never another file's. */
	CHECK_INT(client_mkdir(c, 1, "fresh", 0755, 0, &fresh), 0);
	CHECK(fresh > u->sub_fh);
	CHECK_INT(client_release(c, FUSE_RELEASE, u->log, u->log_fh), 0);
	CHECK_INT(client_write(c, u->log, u->log_fh, 0, "two", 3, 0), -EBADF);
}

static void test_goes_on(void)
{
	struct buffer state = { 0 };
	struct error *error = NULL;
	struct client c, again;
	struct use u;

	client_init(&c, &standard);
	use_files(&c, &u);
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	/* The first one is as it was, and is not needed. */
	CHECK_INT(client_write(&c, u.log, u.log_fh, 0, ",", 1, 0), 1);
	restart(&again, &standard, c.dir);
	CHECK_OK(load(&again, &state, &error), &error);
	go_on(&again, &u, "one,two");
	restart_done(&again);
	buffer_done(&state);
	client_done(&c);
}

/* In a copy of the tree, whose inodes are others. */
static void check_copy(const char *format)
{
	char copy[] = "/tmp/test-fuse-state.XXXXXX";
	_cleanup_free_ char *copy_command = NULL;
	struct buffer state = { 0 };
	struct error *error = NULL;
	struct client c, again;
	struct use u;

	client_init(&c, &standard);
	use_files(&c, &u);
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	CHECK(mkdtemp(copy));
	copy_command = xasprintf("tar --format=%s -cf - . | tar -xf - -C %s", format, copy);
	run_shell(c.dir, copy_command);
	restart(&again, &standard, copy);
	CHECK_OK(load(&again, &state, &error), &error);
	go_on(&again, &u, "onetwo");
	restart_done(&again);
	buffer_done(&state);
	client_done(&c);
	CHECK(remove_tree(copy, NULL) == 0);
}

static void test_copy(void)
{
	check_copy("posix");
	check_copy("gnu"); /* whole seconds */
}

static void check_refused(const struct client *c, const struct buffer *state,
			  const struct client_options *options, const char *message)
{
	struct error *error = NULL;
	struct client again;

	restart(&again, options, c->dir);
	CHECK_ERROR(load(&again, state, &error), &error, message);
	restart_done(&again);
}

/* What is not there any more, or is another file: an error where it was open, and news for the
 * guest where it was not. */
static void test_changed_tree(void)
{
	const struct client_options readonly = { .cache = FUSE_CACHE_AUTO, .readonly = true };
	const struct client_options other = { .cache = FUSE_CACHE_NONE };
	struct buffer state = { 0 };
	struct error *error = NULL;
	struct fuse_attr attr;
	struct client c, again;
	struct use u;

	client_init(&c, &standard);
	use_files(&c, &u);
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	check_refused(&c, &state, &readonly, "it is read-only, and was not");
	check_refused(&c, &state, &other, "its mode (cache, locks) has changed");
	run_shell(c.dir, "mv text gone");
	check_refused(&c, &state, &standard,
		      "cannot open the file \"text\" again: No such file or directory");
	put_file(c.dir, "text", "another");
	check_refused(&c, &state, &standard, "the file \"text\" is not the one that was open");
	run_shell(c.dir, "rm text && ln -s gone text");
	check_refused(&c, &state, &standard, "the file \"text\" is not the one that was open");
	run_shell(c.dir, "mv gone text && rm sub/deep/known");
	restart(&again, &standard, c.dir);
	CHECK_OK(load(&again, &state, &error), &error);
	CHECK_INT(client_getattr(&again, u.known, &attr), -ESTALE);
	client_forget(&again, u.known, 1);
	CHECK_INT(client_getattr(&again, u.text, &attr), 0);
	restart_done(&again);
	buffer_done(&state);
	client_done(&c);
}

/* What could not be found again is told while there is still a choice. */
static void test_refuses_to_save(void)
{
	const struct client_options locks = { .cache = FUSE_CACHE_AUTO, .host_locks = true };
	struct fuse_lk_in lock = { .owner = 1, .lk = { .end = 10, .type = F_WRLCK, .pid = 1 } };
	struct buffer state = { 0 };
	struct error *error = NULL;
	struct client c;
	struct use u;

	client_init(&c, &locks);
	use_files(&c, &u);
	lock.fh = u.text_fh;
	lock.lk.type = F_RDLCK;
	CHECK_INT(client_lock(&c, FUSE_SETLK, u.text, &lock, NULL), 0);
	CHECK_ERROR(fuse_save(c.server, &state, &error), &error, "text\" has locks on the host");
	lock.lk.type = F_UNLCK;
	CHECK_INT(client_lock(&c, FUSE_SETLK, u.text, &lock, NULL), 0);
	buffer_consume(&state, buffer_length(&state));
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	CHECK_INT(client_remove(&c, FUSE_UNLINK, 1, "text"), 0);
	buffer_consume(&state, buffer_length(&state));
	CHECK_ERROR(fuse_save(c.server, &state, &error), &error, "has been removed");
	CHECK_INT(client_release(&c, FUSE_RELEASE, u.text, u.text_fh), 0);
	buffer_consume(&state, buffer_length(&state));
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	buffer_done(&state);
	client_done(&c);
}

/* Nothing in a state leads out of the shared directory, or ends the server. */
static void test_hostile(void)
{
	static const char *const paths[] = { "../log", "./log1", "/log12",
					     "sub/..", "sub//x", "link/x" };
	struct buffer state = { 0 };
	struct error *error = NULL;
	struct client c;
	struct use u;

	client_init(&c, &standard);
	use_files(&c, &u);
	CHECK_OK(fuse_save(c.server, &state, &error), &error);
	for (size_t size = 0; size < buffer_length(&state); size++) {
		struct buffer part = state;
		struct client again;

		part.end = part.start + size;
		restart(&again, &standard, c.dir);
		CHECK_INT(load(&again, &part, NULL), -1);
		restart_done(&again);
	}
	/* "text" is four bytes long, as each of these is cut to be. */
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		uint8_t *at = memmem(state.bytes, buffer_length(&state), "text", 4);
		struct client again;

		CHECK(at);
		(void)memcpy(at, paths[i], 4);
		restart(&again, &standard, c.dir);
		CHECK_INT(load(&again, &state, NULL), -1);
		restart_done(&again);
		(void)memcpy(at, "text", 4);
	}
	/* One bit at a time: refused, or as good as any. */
	for (size_t bit = 0; bit < buffer_length(&state) * 8; bit += 5) {
		struct client again;

		state.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		restart(&again, &standard, c.dir);
		(void)load(&again, &state, NULL);
		restart_done(&again);
		state.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	buffer_done(&state);
	client_done(&c);
}

static const struct test_case cases[] = {
	{ "goes on", test_goes_on },	       { "copy", test_copy },
	{ "changed tree", test_changed_tree }, { "refuses to save", test_refuses_to_save },
	{ "hostile", test_hostile },
};

TEST_MAIN(cases)
