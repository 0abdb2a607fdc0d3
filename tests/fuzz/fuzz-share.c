/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One directory that two guests share, each with a server of two threads, which rename, make, link
 * and remove under one another.  Beside it is a model of the tree (share-tree.h).
 *
 * One thread runs at a time, and hands over where the input says: between requests, and within one
 * before any of the calls that find or change a name (share-calls.h).  So an input always does the
 * same.
 *
 * - Each such call finds and changes what the model says, and every file that it opens is one of
 *   the tree.  (Symbolic links in it lead out.)
 * - A request during which no other thread ran is answered as the model says.
 * - Two numbers that a guest has of files are equal if the files are, and a file that is open has
 *   the contents it got when it was made.
 * - At the end the directory is as the model, and its neighbour as it was.
 *
 * Input: the cache mode of each guest (a nibble each), then operations: what (low nibble) and which
 * thread (bits 4 and 5), the call before which to hand over (low 3 bits; 0: none), then, as far as
 * the operation has them, files (low nibble) with names (high nibble), and flags.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/share-calls.h"
#include "tests/unit/fuse-client.h"

#define GUESTS 2
#define THREADS 4
#define NODES 16
#define HANDLES 8
/* Of an input, what counts: more is slower, and finds no more. */
#define INPUT_MAX 320

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum what {
	LOOKUP,
	MKDIR,
	CREATE,
	SYMLINK,
	LINK,
	UNLINK,
	RMDIR,
	RENAME,
	RENAME_AGAIN, /* it is what this is about */
	MOVE,	      /* a rename with flags */
	OPEN,
	READ,
	GETATTR,
	READDIR,
	FORGET,
	RELEASE,
	INIT, /* not from the input */
};

/* What a guest has been told: a node, or an open file, and which file that is. */
struct known {
	uint64_t id; /* 0: nothing */
	struct tree_object *object;
};

struct guest {
	struct fuse_server *server;
	enum fuse_cache cache;
	struct known nodes[NODES]; /* the first is the root, for good */
	struct known handles[HANDLES];
	unsigned next_node, next_handle;
};

struct request {
	enum what what;
	struct known node, other, handle;
	unsigned node_place, handle_place;
	const char *name, *new_name;
	unsigned flags;
};

struct thread {
	struct client client;
	struct guest *guest;
	struct request request;
	bool busy;	  /* in a request, which it handed over from */
	bool interrupted; /* others ran meanwhile */
	unsigned calls;	  /* until it hands over; 0: it does not */
	sem_t go;
};

static struct tree tree;
static struct guest guests[GUESTS];
static struct thread threads[THREADS];
static sem_t main_goes;
/* Of a thread that serves a request: itself. */
static _Thread_local struct thread *self;

static char base[] = "/dev/shm/fuzz-share-XXXXXX";

static void await(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		continue;
}

bool share_call_begins(void)
{
	if (!self)
		return false;
	if (self->calls > 0 && --self->calls == 0) {
		self->interrupted = true;
		(void)sem_post(&main_goes);
		await(&self->go);
	}
	return true;
}

/* ---- requests ---- */

/* What a reply names: which file it is, after what the guest has been told before. */
static struct tree_object *identify(struct thread *t, uint64_t id)
{
	const struct guest *guest = t->guest;
	struct tree_object *object;
	struct fuse_attr attr;

	check(client_getattr(&t->client, id, &attr) == 0);
	object = tree_find(&tree, attr.ino);
	check(object && object->type == (attr.mode & S_IFMT));
	check((attr.nlink == 0) == (object->names == 0));
	check(object->type == S_IFDIR || attr.nlink == object->names);
	for (size_t i = 0; i < NODES; i++)
		check(guest->nodes[i].id == 0 ||
		      (guest->nodes[i].id == id) == (guest->nodes[i].object == object));
	return object;
}

static void forget(struct thread *t, unsigned place)
{
	struct known *node = &t->guest->nodes[place];

	if (place > 0 && node->id) {
		client_forget(&t->client, node->id, 1);
		*node = (struct known){ 0 };
	}
}

/* expected: the file, if the request was not interrupted. */
static void keep_node(struct thread *t, uint64_t id, const struct tree_object *expected)
{
	struct guest *guest = t->guest;
	struct tree_object *object = identify(t, id);
	const unsigned place = 1 + guest->next_node++ % (NODES - 1);

	check(t->interrupted || object == expected);
	forget(t, place);
	guest->nodes[place] = (struct known){ id, object };
}

static void release(struct thread *t, unsigned place)
{
	struct known *handle = &t->guest->handles[place];

	if (handle->id)
		check(client_release(&t->client, FUSE_RELEASE, FUSE_ROOT_ID, handle->id) == 0);
	*handle = (struct known){ 0 };
}

static void keep_handle(struct thread *t, uint64_t id, struct tree_object *object)
{
	struct guest *guest = t->guest;
	const unsigned place = guest->next_handle++ % HANDLES;

	release(t, place);
	guest->handles[place] = (struct known){ id, object };
}

/* A request's result, unless others ran meanwhile.  true: it was done. */
static bool is_done(const struct thread *t, int result, int expected)
{
	check(result <= 0);
	if (!t->interrupted)
		share_check_result(result, expected);
	return result == 0;
}

/* The file that the request's directory has under its name. */
static struct tree_object *named(const struct request *request)
{
	const size_t place = tree_place(request->name);

	return place < TREE_NAMES ? request->node.object->entries[place] : NULL;
}

static void look_up(struct thread *t, const struct request *request)
{
	const int expected = tree_may_look(request->node.object, tree_place(request->name));
	struct fuse_entry_out entry;
	int r = client_lookup(&t->client, request->node.id, request->name, &entry);

	/* (That there is none may also be the reply.) */
	if (r == 0 && entry.nodeid == 0)
		r = -ENOENT;
	if (is_done(t, r, expected))
		keep_node(t, entry.nodeid, named(request));
}

static void make(struct thread *t, const struct request *request)
{
	static const char *const targets[] = { "../outside", "../outside/secret", "/", ".." };
	const int expected = tree_may_add(request->node.object, tree_place(request->name));
	struct client *c = &t->client;
	uint64_t id;
	int r;

	if (request->what == SYMLINK) {
		r = client_symlink(c, request->node.id, request->name, targets[request->flags % 4]);
		(void)is_done(t, r, expected);
		return;
	}
	r = client_mkdir(c, request->node.id, request->name, 0700, 0, &id);
	if (is_done(t, r, expected))
		keep_node(t, id, named(request));
}

/* What opening it ends with. */
static int may_open(const struct tree_object *object)
{
	return object->type == S_IFREG ? 0 : object->type == S_IFDIR ? -EISDIR : -ENXIO;
}

static void create(struct thread *t, const struct request *request)
{
	int expected = tree_may_add(request->node.object, tree_place(request->name));
	const uint32_t flags = O_RDWR | (request->flags & 1 ? O_EXCL : 0);
	uint64_t id, handle;
	int r;

	if (expected == -EEXIST && !(flags & O_EXCL))
		expected = may_open(named(request));
	r = client_create(&t->client, request->node.id, request->name, flags, 0600, &id, &handle);
	if (!is_done(t, r, expected))
		return;
	keep_node(t, id, named(request));
	keep_handle(t, handle, identify(t, id));
}

static void make_link(struct thread *t, const struct request *request)
{
	const int expected =
	    tree_may_link(request->other.object, request->node.object, tree_place(request->name));
	const struct fuse_link_in in = { .oldnodeid = request->other.id };
	const struct client_body parts[] = { { &in, sizeof(in) },
					     { request->name, strlen(request->name) + 1 } };
	struct fuse_entry_out entry;
	int r = client_send(&t->client, FUSE_LINK, request->node.id, parts, 2, &entry,
			    sizeof(entry), NULL);

	if (is_done(t, r, expected))
		keep_node(t, entry.nodeid, request->other.object);
}

static void remove_name(struct thread *t, const struct request *request)
{
	const bool directory = request->what == RMDIR;
	const int expected =
	    tree_may_remove(request->node.object, tree_place(request->name), directory);

	(void)is_done(t,
		      client_remove(&t->client, directory ? FUSE_RMDIR : FUSE_UNLINK,
				    request->node.id, request->name),
		      expected);
}

static void rename_it(struct thread *t, const struct request *request)
{
	const unsigned flags =
	    request->what == MOVE ? request->flags & (RENAME_NOREPLACE | RENAME_EXCHANGE) : 0;
	const int expected =
	    tree_may_rename(request->node.object, tree_place(request->name), request->other.object,
			    tree_place(request->new_name), flags);

	(void)is_done(t,
		      client_rename(&t->client, request->node.id, request->name, request->other.id,
				    request->new_name, flags),
		      expected);
}

static void open_file(struct thread *t, const struct request *request)
{
	struct fuse_open_out out;
	int r = client_open_once(&t->client, request->node.id, O_RDONLY, &out);

	/* It may have to be looked up again first. */
	if (r == -ESTALE && t->guest->cache == FUSE_CACHE_AUTO)
		return;
	if (is_done(t, r, may_open(request->node.object)))
		keep_handle(t, out.fh, request->node.object);
}

static void read_contents(struct thread *t, const struct request *request)
{
	uint64_t ino = 0;
	int r;

	if (!request->handle.id)
		return;
	r = client_read(&t->client, request->node.id, request->handle.id, 0, &ino, sizeof(ino));
	check(r == sizeof(ino) && ino == request->handle.object->ino);
}

static void look_at(struct thread *t, const struct request *request)
{
	check(identify(t, request->node.id) == request->node.object);
}

/* The entries of a directory, each once. */
static void check_entries(struct thread *t, const struct tree_object *dir, const char *bytes,
			  size_t size)
{
	bool seen[TREE_NAMES] = { false };

	for (size_t at = 0; at < size;) {
		const struct fuse_direntplus *entry = (const struct fuse_direntplus *)(bytes + at);
		_cleanup_free_ char *name = xstrndup(entry->dirent.name, entry->dirent.namelen);
		const size_t place = tree_place(name);

		at += FUSE_DIRENTPLUS_SIZE(entry);
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		check(place < TREE_NAMES && !seen[place]);
		seen[place] = true;
		if (entry->entry_out.nodeid) {
			const struct tree_object *object = identify(t, entry->entry_out.nodeid);

			check(t->interrupted || object == dir->entries[place]);
			client_forget(&t->client, entry->entry_out.nodeid, 1);
		}
	}
	for (size_t i = 0; i < TREE_NAMES && !t->interrupted; i++)
		check(seen[i] == (dir->entries[i] != NULL));
}

static void read_directory(struct thread *t, const struct request *request)
{
	const struct tree_object *dir = request->node.object;
	struct fuse_read_in in = { .size = 4096 };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	_Alignas(8) char bytes[4096];
	size_t size = 0;
	int r = client_opendir(&t->client, request->node.id, &in.fh);

	share_check_result(r, dir->type == S_IFDIR ? 0 : -ENOTDIR);
	if (r < 0)
		return;
	r = client_send(&t->client, FUSE_READDIRPLUS, request->node.id, parts, 1, bytes,
			sizeof(bytes), &size);
	if (is_done(t, r, dir->names > 0 ? 0 : -ENOENT))
		check_entries(t, dir, bytes, size);
	check(client_release(&t->client, FUSE_RELEASEDIR, request->node.id, in.fh) == 0);
}

static void begin_session(struct thread *t)
{
	struct fuse_init_out out;

	check(client_init_session(&t->client, FUSE_KERNEL_MINOR_VERSION, UINT32_MAX, &out) == 0);
}

static void perform(struct thread *t, const struct request *request)
{
	switch (request->what) {
	case LOOKUP:
		look_up(t, request);
		break;
	case MKDIR:
	case SYMLINK:
		make(t, request);
		break;
	case CREATE:
		create(t, request);
		break;
	case LINK:
		make_link(t, request);
		break;
	case UNLINK:
	case RMDIR:
		remove_name(t, request);
		break;
	case RENAME:
	case RENAME_AGAIN:
	case MOVE:
		rename_it(t, request);
		break;
	case OPEN:
		open_file(t, request);
		break;
	case READ:
		read_contents(t, request);
		break;
	case GETATTR:
		look_at(t, request);
		break;
	case READDIR:
		read_directory(t, request);
		break;
	case FORGET:
		forget(t, request->node_place);
		break;
	case RELEASE:
		release(t, request->handle_place);
		break;
	case INIT:
		begin_session(t);
		break;
	}
}

/* ---- turns ---- */

static void *serve_requests(void *data)
{
	struct thread *t = data;

	check(fuse_thread_new(false, &t->client.thread, NULL) == 0);
	(void)sem_post(&main_goes);
	for (;;) {
		await(&t->go);
		self = t;
		perform(t, &t->request);
		self = NULL;
		t->busy = false;
		(void)sem_post(&main_goes);
	}
	return NULL;
}

static void let_run(struct thread *t)
{
	(void)sem_post(&t->go);
	await(&main_goes);
}

static void finish(struct thread *t)
{
	while (t->busy)
		let_run(t);
}

static void begin(struct thread *t, const struct request *request, unsigned calls)
{
	t->request = *request;
	t->calls = calls;
	t->interrupted = false;
	t->busy = true;
	let_run(t);
}

static struct known take_node(struct input *input, const struct guest *guest, unsigned *ret_place,
			      const char **ret_name)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "..", ".", "a/b" };
	const uint8_t byte = take(input);

	*ret_place = guest->nodes[byte & 15].id ? byte & 15 : 0;
	*ret_name = names[byte >> 4 & 7];
	return guest->nodes[*ret_place];
}

/* Does it make at most one file, and is there room for it? */
static bool has_room(void)
{
	return tree.n_objects + THREADS < TREE_OBJECTS_MAX;
}

static void operate(struct input *input)
{
	const uint8_t what = take(input), calls = take(input) & 7;
	struct thread *t = &threads[what >> 4 & 3];
	struct request request = { .what = (enum what)(what & 15) };
	unsigned unused;

	/* Its last one first. */
	finish(t);
	request.node = take_node(input, t->guest, &request.node_place, &request.name);
	if (request.what == LINK || (request.what >= RENAME && request.what <= MOVE))
		request.other = take_node(input, t->guest, &unused, &request.new_name);
	if (request.what == SYMLINK || request.what == CREATE || request.what == MOVE)
		request.flags = take(input);
	request.handle_place = request.node_place % HANDLES;
	if (request.what == READ || request.what == RELEASE)
		request.handle_place = take(input) % HANDLES;
	request.handle = t->guest->handles[request.handle_place];
	if (has_room() || request.what > SYMLINK || request.what == LOOKUP)
		begin(t, &request, calls);
}

/* ---- the directory ---- */

static void start_threads(void)
{
	pthread_t thread;

	log_set_level(LOG_LEVEL_ERROR);
	check(mkdtemp(base) && sem_init(&main_goes, 0, 0) == 0);
	for (size_t i = 0; i < THREADS; i++) {
		threads[i].guest = &guests[i / (THREADS / GUESTS)];
		threads[i].client = (struct client){ .pid = 1 + (uint32_t)i };
		check(sem_init(&threads[i].go, 0, 0) == 0);
		check(pthread_create(&thread, NULL, serve_requests, &threads[i]) == 0);
		check(pthread_detach(thread) == 0);
		await(&main_goes);
	}
}

static void remove_base(void)
{
	(void)remove_tree(base, NULL);
}

/* base/share, and base/outside/secret. */
static void make_directories_of(int *ret_share_fd, struct stat *ret_outside)
{
	_cleanup_free_ char *share = xasprintf("%s/share", base);
	_cleanup_free_ char *outside = xasprintf("%s/outside", base);
	_cleanup_free_ char *secret = xasprintf("%s/secret", outside);
	struct stat st;

	check(mkdir(share, 0755) == 0);
	if (access(outside, F_OK) < 0)
		check(mkdir(outside, 0755) == 0 &&
		      write_file_atomic(secret, "secret", 6, 0600, NULL) == 0);
	*ret_share_fd = __real_open(share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(*ret_share_fd >= 0 && fstat(*ret_share_fd, &st) == 0 &&
	      stat(outside, ret_outside) == 0);
	tree_init(&tree, st.st_ino);
	share_calls_watch(&tree, st.st_dev);
}

static void check_outside(const struct stat *before)
{
	_cleanup_free_ char *outside = xasprintf("%s/outside", base);
	struct stat st;

	check(stat(outside, &st) == 0 && st.st_nlink == 2 && st.st_ino == before->st_ino &&
	      st.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	      st.st_ctim.tv_nsec == before->st_ctim.tv_nsec);
}

/* fd becomes the function's. */
static void check_directory(int fd, const struct tree_object *object)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;
	size_t count = 0;

	check(dir);
	while ((entry = readdir(dir))) {
		const size_t place = tree_place(entry->d_name);
		const struct tree_object *found;

		if (entry->d_name[0] == '.')
			continue;
		check(place < TREE_NAMES && object->entries[place]);
		found = object->entries[place];
		check(share_ino_at(fd, entry->d_name, AT_SYMLINK_NOFOLLOW) == found->ino);
		count++;
		if (found->type == S_IFDIR)
			check_directory(
			    __real_openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			    found);
	}
	for (size_t i = 0; i < TREE_NAMES; i++)
		count -= object->entries[i] != NULL;
	check(count == 0);
}

static void complete(void *kept, const void *bytes, uint32_t size)
{
	(void)kept, (void)bytes, (void)size;
	check(false); /* nothing waits here */
}

static void open_guest(size_t i, int share_fd, uint8_t mode)
{
	struct fuse_options options = { .root_fd = share_fd,
					.cache = (enum fuse_cache)(mode % 3),
					.fds_max = 1000,
					.nodes_max = 1000,
					.complete = complete };
	const struct request init = { .what = INIT };
	struct guest *guest = &guests[i];

	*guest = (struct guest){ .cache = options.cache };
	check(fuse_server_new(&options, &guest->server, NULL) == 0);
	guest->nodes[0] = (struct known){ FUSE_ROOT_ID, &tree.objects[0] };
	for (size_t j = 0; j < THREADS; j++)
		if (threads[j].guest == guest)
			threads[j].client.server = guest->server;
	begin(&threads[i * (THREADS / GUESTS)], &init, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct input input = { data, MIN(size, (size_t)INPUT_MAX) };
	const uint8_t modes = take(&input);
	_cleanup_free_ char *share = NULL;
	struct stat outside;
	int share_fd;

	if (!started) {
		start_threads();
		check(atexit(remove_base) == 0);
	}
	started = true;
	make_directories_of(&share_fd, &outside);
	for (size_t i = 0; i < GUESTS; i++)
		open_guest(i, share_fd, modes >> (4 * i) & 15);
	while (input.left > 0)
		operate(&input);
	for (size_t i = 0; i < THREADS; i++)
		finish(&threads[i]);
	for (size_t i = 0; i < GUESTS; i++)
		fuse_server_free(guests[i].server);
	check_directory(share_fd, &tree.objects[0]);
	check_outside(&outside);
	share = xasprintf("%s/share", base);
	check(remove_tree(share, NULL) == 0);
	return 0;
}
