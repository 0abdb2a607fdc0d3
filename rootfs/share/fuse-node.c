/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files a guest knows: see fuse-parts.h.
 *
 * Each keeps its O_PATH descriptor: the file is pinned, its number cannot become another file's
 * meanwhile, and so device, number and mount tell which node it is.  File handles
 * (open_by_handle_at(2)) would cost no descriptors, but a thread that may open one can open every
 * file of the file system.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/random.h"
#include "rootfs/share/fuse-parts.h"

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

/* Not found by its file any more. */
static void remove_key(struct fuse_server *server, struct fuse_node *node)
{
	if (node->fd >= 0)
		fuse_table_remove(&server->nodes_by_key, &node->by_key);
}

/* The node, if it is to be freed once the lock is given up; else NULL. */
static struct fuse_node *collect(struct fuse_server *server, struct fuse_node *node)
{
	if (node->users > 0 || node->lookups > 0)
		return NULL;
	if (node->fd >= 0)
		fuse_account_let_go(server, node->account);
	return node;
}

/* ---- without it ---- */

static void throw_away(struct fuse_server *server, struct fuse_node *rubbish)
{
	if (!rubbish)
		return;
	close_fdp(&rubbish->fd);
	fuse_owners_forget(server, rubbish);
	(void)pthread_mutex_lock(&server->lock);
	fuse_account_give(server, rubbish->account);
	(void)pthread_mutex_unlock(&server->lock);
	free(rubbish);
}

bool fuse_is_staging(const struct fuse_server *server, const struct fuse_node *node)
{
	return server->options.staging && node->key.mount == server->root->key.mount;
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

void fuse_node_place(struct fuse_server *server, uint64_t id, uint64_t *ret_container,
		     uint64_t *ret_mount)
{
	const struct fuse_node *node;

	(void)pthread_mutex_lock(&server->lock);
	node = find_id(server, id);
	*ret_container = node ? node->account->directory.ino : 0;
	*ret_mount = node ? node->key.mount : 0;
	(void)pthread_mutex_unlock(&server->lock);
}

void fuse_node_hold(struct fuse_server *server, struct fuse_node *node)
{
	(void)pthread_mutex_lock(&server->lock);
	node->users++;
	(void)pthread_mutex_unlock(&server->lock);
}

void fuse_node_put(struct fuse_server *server, struct fuse_node *node)
{
	struct fuse_node *rubbish;

	if (!node)
		return;
	(void)pthread_mutex_lock(&server->lock);
	node->users--;
	rubbish = collect(server, node);
	(void)pthread_mutex_unlock(&server->lock);
	throw_away(server, rubbish);
}

int fuse_node_fd(const struct fuse_node *node)
{
	return node->fd >= 0 ? node->fd : -ESTALE;
}

/* Lock held.  A guest that may open files by their handles (of its own kernel's making, which are
 * node ids) must not guess those of others; never 0, which is not an id. */
static uint64_t new_id(struct fuse_server *server)
{
	uint64_t id;

	if (!server->root)
		return FUSE_ROOT_ID;
	do {
		if (server->n_ids == 0 && random_bytes(server->ids, sizeof(server->ids), NULL) == 0)
			server->n_ids = FUSE_IDS;
		id = server->n_ids > 0 ? server->ids[--server->n_ids] : 0;
	} while (id != 0 && (id <= FUSE_ROOT_ID || find_id(server, id)));
	return id;
}

/* Lock held: the device's place.  The staging area, whose directories are linked once, has the
 * first device's, and the last place is for all that there is no room for. */
static unsigned place_of(struct fuse_server *server, uint64_t dev)
{
	unsigned i;

	if (server->options.staging && (!server->root || dev == server->root->key.dev))
		return 0;
	for (i = 0; i < server->n_devices && server->devices[i] != dev; i++)
		;
	if (i == server->n_devices && i < FUSE_DEVICES_MAX)
		server->devices[server->n_devices++] = dev;
	return i;
}

/* Lock held: a new node below that directory of the staging area (fuse_account_take()), which takes
 * the descriptor. */
static int add(struct fuse_server *server, const struct fuse_node *like, const struct fuse_key *top,
	       int *path_fd, struct fuse_node **ret_node)
{
	const uint64_t id = like->id ? like->id : new_id(server);
	struct fuse_account *account;
	struct fuse_node *node;

	if (id == 0 || server->nodes_by_id.count >= server->options.nodes_max)
		return -ENFILE;
	account = fuse_account_take(server, top);
	if (!fuse_account_may_keep(server, account)) {
		fuse_account_give(server, account);
		return -ENFILE;
	}
	node = xcalloc(1, sizeof(*node));
	node->account = account;
	node->id = id;
	node->key = like->key;
	node->device = place_of(server, like->key.dev);
	node->type = like->type;
	node->cache = like->cache;
	node->opened_change = node->told_change = FUSE_CHANGE_UNKNOWN;
	node->fd = TAKE_FD(*path_fd);
	fuse_account_keep(server, account);
	fuse_table_add(&server->nodes_by_id, &node->by_id, node->id);
	fuse_table_add(&server->nodes_by_key, &node->by_key, hash_key(&node->key));
	*ret_node = node;
	return 0;
}

static struct fuse_node node_of(const struct statx *st, enum fuse_cache cache)
{
	return (struct fuse_node){
		.key = { .dev = fuse_device(st), .ino = st->stx_ino, .mount = st->stx_mnt_id },
		.type = st->stx_mode & S_IFMT,
		.cache = cache,
	};
}

/* The staging area's directory that a file found in parent is below, or is; NULL: there is no
 * staging area, or it is its root. */
static const struct fuse_key *top_of(const struct fuse_server *server,
				     const struct fuse_node *parent, const struct fuse_key *key)
{
	if (!server->options.staging || !parent)
		return NULL;
	return parent == server->root ? key : &parent->account->directory;
}

int fuse_node_intern(struct fuse_server *server, const struct fuse_node *parent, int path_fd,
		     const struct statx *st, enum fuse_cache cache, struct fuse_node **ret_node)
{
	const struct fuse_node like = node_of(st, cache);
	_cleanup_close_ int fd = path_fd;
	struct fuse_node *node;
	int r = 0;

	(void)pthread_mutex_lock(&server->lock);
	node = find_key(server, &like.key);
	if (!node)
		r = add(server, &like, top_of(server, parent, &like.key), &fd, &node);
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
	node->account = fuse_account_take(server, NULL);
	node->fd = -1;
	fuse_table_add(&server->nodes_by_id, &node->by_id, id);
	*ret_node = node;
	return 0;
}

int fuse_node_restore(struct fuse_server *server, const struct fuse_known *known)
{
	const struct fuse_key *top = server->options.staging ? &known->top : NULL;
	_cleanup_close_ int fd = known->path_fd;
	struct fuse_node like = { .id = known->id };
	struct fuse_node *node = NULL;
	int r;

	if (fd >= 0) {
		like = node_of(known->st, known->cache);
		like.id = known->id;
	}
	(void)pthread_mutex_lock(&server->lock);
	if (find_id(server, known->id) || (fd >= 0 && find_key(server, &like.key)))
		r = -EEXIST;
	else
		r = fd >= 0 ? add(server, &like, top, &fd, &node)
			    : add_gone(server, known->id, &node);
	if (r == 0)
		node->lookups = known->lookups;
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
	struct fuse_node *node, *rubbish = NULL;
	bool trim = false;

	(void)pthread_mutex_lock(&server->lock);
	node = find_id(server, id);
	if (node && node != server->root) {
		/* More than there were: the guest's own mistake. */
		node->lookups -= MIN(lookups, node->lookups);
		if (node->lookups == 0) {
			fuse_table_remove(&server->nodes_by_id, &node->by_id);
			remove_key(server, node);
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

		next = all->next;
		if (node == server->root)
			continue;
		node->lookups = 0;
		if (!collect(server, node))
			continue; /* still used: the last put frees it */
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
		next = unused->next;
		throw_away(server, from_id(unused));
	}
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
	r = fuse_node_intern(server, NULL, fd, &st,
			     server->options.staging ? FUSE_CACHE_AUTO : server->options.cache,
			     &server->root);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot open the shared directory");
	fuse_node_put(server, server->root); /* its lookup stays for good */
	return 0;
}

void fuse_nodes_done(struct fuse_server *server)
{
	server->root = NULL; /* forgotten with the others */
	fuse_nodes_reset(server);
}
