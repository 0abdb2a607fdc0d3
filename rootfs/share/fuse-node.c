/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files a guest knows: see fuse-parts.h.
 *
 * A file that keeps its O_PATH descriptor is pinned: its number cannot become
 * another file's meanwhile, so device, number and mount tell which node it is.
 * One that is known by its handle may be gone, and its number another file's:
 * then the handles differ, and the older node is superseded (what the guest
 * still does with it is ESTALE).
 */
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "rootfs/share/fuse-parts.h"

/* Where there are handles, so many descriptors are kept; the oldest nodes (the
 * upper directories) have them. */
#define RESIDENT_MAX 4096U
/* Nodes let go by this many: time to give memory back. */
#define TRIM_COUNT 16384

static struct fuse_node *from_id(struct fuse_link *link)
{
	return (struct fuse_node *)((char *)link - offsetof(struct fuse_node, by_id));
}

static struct fuse_node *from_key(struct fuse_link *link)
{
	return (struct fuse_node *)((char *)link - offsetof(struct fuse_node, by_key));
}

static uint64_t hash_key(const struct fuse_key *key)
{
	return key->ino + key->dev * 0xff51afd7ed558ccdULL + key->mount * 0xc4ceb9fe1a85ec53ULL;
}

/* ---- lock held ---- */

static struct fuse_node *find_id(const struct fuse_server *server, uint64_t id)
{
	struct fuse_link *link = fuse_table_first(&server->nodes_by_id, id);

	return link ? from_id(link) : NULL; /* an id is its own hash */
}

static struct fuse_node *find_key(const struct fuse_server *server, const struct fuse_key *key)
{
	uint64_t hash = hash_key(key);
	struct fuse_link *link = fuse_table_first(&server->nodes_by_key, hash);

	for (; link; link = fuse_table_next_of(link, hash)) {
		struct fuse_node *node = from_key(link);

		if (node->key.ino == key->ino && node->key.dev == key->dev &&
		    node->key.mount == key->mount)
			return node;
	}
	return NULL;
}

static void supersede(struct fuse_server *server, struct fuse_node *node)
{
	if (!node->superseded)
		fuse_table_remove(&server->nodes_by_key, &node->by_key);
	node->superseded = true;
}

/* What is to be freed once the lock is given up: the node itself, or just its
 * descriptor. */
struct rubbish {
	struct fuse_node *node;
	int fd;
};

static struct rubbish collect(struct fuse_server *server, struct fuse_node *node)
{
	struct rubbish rubbish = { .fd = -1 };

	if (node->users > 0)
		return rubbish;
	if (node->lookups > 0 && node->resident)
		return rubbish;
	if (node->resident) {
		server->n_resident--;
		server->n_fds--;
	}
	rubbish.fd = node->fd;
	node->fd = -1;
	if (node->lookups == 0)
		rubbish.node = node;
	return rubbish;
}

/* ---- without it ---- */

static void throw_away(struct fuse_server *server, struct rubbish rubbish)
{
	close_fdp(&rubbish.fd);
	if (!rubbish.node)
		return;
	fuse_owners_forget(server, rubbish.node);
	free(rubbish.node->handle);
	free(rubbish.node);
}

bool fuse_is_staging(const struct fuse_server *server, const struct fuse_node *node)
{
	return server->options.cache_of && node->key.mount == server->root->key.mount;
}

/* Whether a file can be opened that stands for its file system. */
static bool may_stand(const struct fuse_node *node)
{
	return S_ISDIR(node->type) || S_ISREG(node->type);
}

size_t fuse_nodes_of_devices(struct fuse_server *server,
			     struct fuse_node *ret_nodes[FUSE_DEVICES_MAX])
{
	size_t n = 0;

	(void)pthread_mutex_lock(&server->lock);
	for (struct fuse_link *link = fuse_table_each(&server->nodes_by_id, NULL);
	     link && n < FUSE_DEVICES_MAX; link = fuse_table_each(&server->nodes_by_id, link)) {
		struct fuse_node *node = from_id(link);
		size_t i;

		for (i = 0; i < n && ret_nodes[i]->key.dev != node->key.dev; i++)
			;
		if (i < n || !may_stand(node))
			continue;
		node->users++;
		ret_nodes[n++] = node;
	}
	(void)pthread_mutex_unlock(&server->lock);
	return n;
}

struct fuse_node *fuse_node_get(struct fuse_server *server, uint64_t id)
{
	struct fuse_node *node;

	(void)pthread_mutex_lock(&server->lock);
	node = find_id(server, id);
	if (node)
		node->users++;
	(void)pthread_mutex_unlock(&server->lock);
	return node;
}

void fuse_node_hold(struct fuse_server *server, struct fuse_node *node)
{
	(void)pthread_mutex_lock(&server->lock);
	node->users++;
	(void)pthread_mutex_unlock(&server->lock);
}

void fuse_node_put(struct fuse_server *server, struct fuse_node *node)
{
	struct rubbish rubbish;

	if (!node)
		return;
	(void)pthread_mutex_lock(&server->lock);
	node->users--;
	rubbish = collect(server, node);
	(void)pthread_mutex_unlock(&server->lock);
	throw_away(server, rubbish);
}

/* The file a handle names. While its inode number is being given to a new file Linux says
 * ENOMEM (ext4's iget), where a moment later the answer is ESTALE: asked again. */
static int open_handle(const struct fuse_server *server, struct file_handle *handle)
{
	for (int tries = 0;; tries++) {
		int fd = open_by_handle_at(server->mount_fd, handle, O_PATH | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		if (errno != ENOMEM || tries == 20)
			return -errno;
		(void)sched_yield();
	}
}

int fuse_node_fd(struct fuse_server *server, struct fuse_node *node)
{
	_cleanup_close_ int mine = -1;
	int fd;

	(void)pthread_mutex_lock(&server->lock);
	fd = node->fd;
	(void)pthread_mutex_unlock(&server->lock);
	if (fd >= 0)
		return fd;
	mine = node->handle ? open_handle(server, node->handle) : -ESTALE;
	if (mine < 0)
		return mine;
	(void)pthread_mutex_lock(&server->lock);
	if (node->fd < 0)
		node->fd = TAKE_FD(mine);
	fd = node->fd;
	(void)pthread_mutex_unlock(&server->lock);
	return fd;
}

/* NULL with errno: none. */
static struct file_handle *handle_of(int fd)
{
	char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ]
	    __attribute__((aligned(__alignof__(struct file_handle))));
	struct file_handle *handle = (struct file_handle *)bytes;
	int mount;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH) < 0)
		return NULL;
	return xmemdup(handle, sizeof(*handle) + handle->handle_bytes);
}

static bool same_handle(const struct file_handle *a, const struct file_handle *b)
{
	return a->handle_type == b->handle_type && a->handle_bytes == b->handle_bytes &&
	       memcmp(a->f_handle, b->f_handle, a->handle_bytes) == 0;
}

/* Lock held: a new node; takes the handle, or else the descriptor for good. */
static int add(struct fuse_server *server, const struct fuse_node *like, int *path_fd,
	       struct file_handle **handle, struct fuse_node **ret_node)
{
	struct fuse_node *node;

	if (server->nodes_by_id.count >= server->options.nodes_max ||
	    (!*handle && server->n_fds >= server->options.fds_max))
		return -ENFILE;
	node = xcalloc(1, sizeof(*node));
	node->id = like->id ? like->id : ++server->last_id;
	node->key = like->key;
	node->type = like->type;
	node->cache = like->cache;
	node->opened_change = node->told_change = FUSE_CHANGE_UNKNOWN;
	node->fd = TAKE_FD(*path_fd);
	node->handle = TAKE_PTR(*handle);
	node->resident = !node->handle;
	if (node->resident) {
		server->n_resident++;
		server->n_fds++;
	}
	fuse_table_add(&server->nodes_by_id, &node->by_id, node->id);
	fuse_table_add(&server->nodes_by_key, &node->by_key, hash_key(&node->key));
	*ret_node = node;
	return 0;
}

/* Lock held: the node of this file or NULL, after superseding one that is not. */
static struct fuse_node *find_same(struct fuse_server *server, const struct fuse_key *key,
				   const struct file_handle *handle)
{
	struct fuse_node *node = find_key(server, key);

	if (!node || node->resident || same_handle(node->handle, handle))
		return node;
	supersede(server, node);
	return NULL;
}

/* Must the file's handle be known to tell which node is its, or to make one? */
static bool needs_handle(struct fuse_server *server, const struct fuse_key *key)
{
	struct fuse_node *node;
	bool needs;

	if (server->mount_fd < 0 || (server->root && key->mount != server->root->key.mount))
		return false;
	(void)pthread_mutex_lock(&server->lock);
	node = find_key(server, key);
	needs = node ? !node->resident : server->n_resident >= server->resident_max;
	(void)pthread_mutex_unlock(&server->lock);
	return needs;
}

static struct fuse_node node_of(const struct statx *st, enum fuse_cache cache)
{
	return (struct fuse_node){
		.key = { .dev = fuse_device(st), .ino = st->stx_ino, .mount = st->stx_mnt_id },
		.type = st->stx_mode & S_IFMT,
		.cache = cache,
	};
}

int fuse_node_intern(struct fuse_server *server, int path_fd, const struct statx *st,
		     enum fuse_cache cache, struct fuse_node **ret_node)
{
	const struct fuse_node like = node_of(st, cache);
	const struct fuse_key *key = &like.key;
	_cleanup_free_ struct file_handle *handle = NULL;
	_cleanup_close_ int fd = path_fd;
	struct fuse_node *node;
	int r = 0;

	if (needs_handle(server, key))
		handle = handle_of(fd);
	(void)pthread_mutex_lock(&server->lock);
	node = find_key(server, key);
	if (node && !node->resident && !handle) {
		/* It became known by its handle just now, or this file has none. */
		(void)pthread_mutex_unlock(&server->lock);
		handle = handle_of(fd);
		if (!handle)
			return -errno;
		(void)pthread_mutex_lock(&server->lock);
	}
	node = find_same(server, key, handle);
	if (!node)
		r = add(server, &like, &fd, &handle, &node);
	if (r == 0) {
		node->lookups++;
		node->users++;
		*ret_node = node;
	}
	(void)pthread_mutex_unlock(&server->lock);
	return r;
}

/* Lock held: one that has no file; it is found by its id alone. */
static int add_gone(struct fuse_server *server, uint64_t id, struct fuse_node **ret_node)
{
	struct fuse_node *node;

	if (server->nodes_by_id.count >= server->options.nodes_max)
		return -ENFILE;
	node = xcalloc(1, sizeof(*node));
	node->id = id;
	node->superseded = true;
	node->fd = -1;
	fuse_table_add(&server->nodes_by_id, &node->by_id, id);
	*ret_node = node;
	return 0;
}

int fuse_node_restore(struct fuse_server *server, uint64_t id, uint64_t lookups, int path_fd,
		      const struct statx *st, enum fuse_cache cache)
{
	_cleanup_free_ struct file_handle *handle = NULL;
	_cleanup_close_ int fd = path_fd;
	struct fuse_node like = { .id = id };
	struct fuse_node *node = NULL;
	int r;

	if (fd >= 0) {
		like = node_of(st, cache);
		like.id = id;
		handle = needs_handle(server, &like.key) ? handle_of(fd) : NULL;
	}
	(void)pthread_mutex_lock(&server->lock);
	if (find_id(server, id) || (fd >= 0 && find_key(server, &like.key)))
		r = -EEXIST;
	else
		r = fd >= 0 ? add(server, &like, &fd, &handle, &node) : add_gone(server, id, &node);
	if (r == 0)
		node->lookups = lookups;
	(void)pthread_mutex_unlock(&server->lock);
	return r;
}

int fuse_nodes_walk(struct fuse_server *server, int (*fn)(void *data, struct fuse_node *node),
		    void *data)
{
	const struct fuse_table *table = &server->nodes_by_id;
	int r = 0;

	for (struct fuse_link *at = fuse_table_each(table, NULL); r == 0 && at;
	     at = fuse_table_each(table, at))
		if (from_id(at) != server->root)
			r = fn(data, from_id(at));
	return r;
}

void fuse_node_forget(struct fuse_server *server, uint64_t id, uint64_t lookups)
{
	struct rubbish rubbish = { .fd = -1 };
	struct fuse_node *node;
	bool trim = false;

	(void)pthread_mutex_lock(&server->lock);
	node = find_id(server, id);
	if (node && node != server->root) {
		/* More than there were: the guest's own mistake. */
		node->lookups -= MIN(lookups, node->lookups);
		if (node->lookups == 0) {
			fuse_table_remove(&server->nodes_by_id, &node->by_id);
			supersede(server, node);
			rubbish = collect(server, node);
			server->n_forgotten++;
			trim = server->n_forgotten % TRIM_COUNT == 0;
		}
	}
	(void)pthread_mutex_unlock(&server->lock);
	throw_away(server, rubbish);
	if (trim)
		(void)malloc_trim(0);
}

void fuse_nodes_reset(struct fuse_server *server)
{
	struct fuse_link *all, *next, *unused = NULL;

	(void)pthread_mutex_lock(&server->lock);
	all = fuse_table_take(&server->nodes_by_id);
	(void)fuse_table_take(&server->nodes_by_key);
	for (; all; all = next) {
		struct fuse_node *node = from_id(all);
		struct rubbish rubbish;

		next = all->next;
		if (node == server->root)
			continue;
		node->lookups = 0;
		node->superseded = true;
		rubbish = collect(server, node);
		if (!rubbish.node)
			continue; /* still used: by whoever puts it last */
		node->fd = rubbish.fd;
		all->next = unused;
		unused = all;
	}
	if (server->root) {
		fuse_table_add(&server->nodes_by_id, &server->root->by_id, server->root->id);
		fuse_table_add(&server->nodes_by_key, &server->root->by_key,
			       hash_key(&server->root->key));
	}
	(void)pthread_mutex_unlock(&server->lock);
	for (; unused; unused = next) {
		struct fuse_node *node = from_id(unused);

		next = unused->next;
		throw_away(server, (struct rubbish){ .node = node, .fd = node->fd });
	}
}

/* Can files of the root's mount be found again by their handles? */
static void try_handles(struct fuse_server *server)
{
	_cleanup_free_ struct file_handle *handle = handle_of(server->root_fd);
	_cleanup_close_ int again = -1;

	if (!handle)
		return;
	server->mount_fd = openat(server->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server->mount_fd < 0)
		return;
	again = open_by_handle_at(server->mount_fd, handle, O_PATH | O_CLOEXEC);
	if (again < 0)
		close_fdp(&server->mount_fd);
}

int fuse_nodes_init(struct fuse_server *server, struct error **ret_error)
{
	struct statx st;
	int r = fuse_stat(server->root_fd, &st);
	int fd;

	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot open the shared directory");
	if (!S_ISDIR(st.stx_mode))
		return error_set(ret_error, ENOTDIR, "the shared path is not a directory");
	fd = fcntl(server->root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the shared directory");
	server->last_id = FUSE_ROOT_ID - 1;
	server->resident_max = MIN(RESIDENT_MAX, server->options.fds_max / 4);
	r = fuse_node_intern(server, fd, &st,
			     server->options.cache_of ? FUSE_CACHE_AUTO : server->options.cache,
			     &server->root);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot open the shared directory");
	fuse_node_put(server, server->root); /* its lookup stays for good */
	try_handles(server);
	return 0;
}

void fuse_nodes_done(struct fuse_server *server)
{
	server->root = NULL; /* forgotten with the others */
	fuse_nodes_reset(server);
}
