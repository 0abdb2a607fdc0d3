/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's state: see fuse.h.
 *
 *   struct session    the negotiated flags, the options that must be the same, how many follow
 *   struct known      each node but the root, and its path behind it
 *   struct opened     each open file or directory
 *
 * A path is taken from the host's kernel and believed only when it leads, one component after the
 * other, from the root to that very file: as on the way back.  File handles are not kept: one that
 * somebody else has written could name any file of the file system, whatever is shared.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/plain.h"
#include "rootfs/share/fuse-parts.h"

struct session {
	uint64_t negotiated, last_id;
	uint64_t n_nodes, n_handles;
	uint32_t cache, readonly, host_locks, by_name, staging, reserved;
};

enum { KNOWN_GONE = 1 << 0, KNOWN_OPEN = 1 << 1 };

/* The file's, as statx(2) tells them: is it the same one? */
struct identity {
	uint64_t ino, size;
	int64_t born_s, changed_s;
	uint32_t born_ns, changed_ns;
	uint32_t type, reserved;
};

struct known {
	uint64_t id, lookups;
	struct identity identity;
	uint32_t flags, path_size;
};

struct opened {
	uint64_t id, node;
	uint32_t flags, directory;
};

#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_DSYNC | O_SYNC)

/* ---- files ---- */

static int identify(int fd, struct identity *ret_identity)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;
	*ret_identity = (struct identity){
		.ino = st.stx_ino,
		.size = st.stx_size,
		.changed_s = st.stx_mtime.tv_sec,
		.changed_ns = st.stx_mtime.tv_nsec,
		.type = st.stx_mode & S_IFMT,
	};
	if (st.stx_mask & STATX_BTIME) {
		ret_identity->born_s = st.stx_btime.tv_sec;
		ret_identity->born_ns = st.stx_btime.tv_nsec;
	}
	return 0;
}

/* The same file, or one that a copy of the tree has in its place.  (Of one that went through an
 * archive, as containerd's checkpoints do, the time is whole seconds.) */
static bool is_same(const struct identity *was, const struct identity *is)
{
	if (was->type != is->type)
		return false;
	if (was->ino == is->ino && was->born_s == is->born_s && was->born_ns == is->born_ns)
		return true;
	if (S_ISREG(was->type))
		return was->size == is->size && was->changed_s == is->changed_s &&
		       (was->changed_ns == is->changed_ns || is->changed_ns == 0);
	return !S_ISLNK(was->type) || was->size == is->size;
}

/* A file that has been reached, in its directory's place for the next step. */
struct place {
	struct fuse_node node; /* key and cache alone */
	struct fuse_key top;   /* the first one's on the way; the root's: none yet */
	struct statx st;
	int fd; /* O_PATH */
};

static void place_done(struct place *place)
{
	close_fdp(&place->fd);
}

static int begin(const struct fuse_server *server, struct place *ret_place)
{
	ret_place->node =
	    (struct fuse_node){ .key = server->root->key, .cache = server->root->cache };
	ret_place->top = server->root->key;
	ret_place->fd = fcntl(server->root_fd, F_DUPFD_CLOEXEC, 0);
	return ret_place->fd < 0 ? -errno : fuse_stat(ret_place->fd, &ret_place->st);
}

/* Down to the name. */
static int step(const struct fuse_server *server, struct place *place, const char *name)
{
	bool first;
	int fd, r;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	fd = fuse_open_name(place->fd, name);
	if (fd < 0)
		return fd;
	(void)close(place->fd);
	place->fd = fd;
	r = fuse_stat(fd, &place->st);
	if (r < 0)
		return r;
	first = memcmp(&place->node.key, &server->root->key, sizeof(place->node.key)) == 0;
	place->node.cache = fuse_cache_below(server, &place->node, name, &place->st);
	place->node.key = (struct fuse_key){
		.dev = fuse_device(&place->st),
		.ino = place->st.stx_ino,
		.mount = place->st.stx_mnt_id,
	};
	if (first)
		place->top = place->node.key;
	return 0;
}

/* From the root along a path that names no step back; a negative errno value. */
static int reach(const struct fuse_server *server, const char *path, struct place *ret_place)
{
	_cleanup_free_ char *copy = xstrdup(path);
	char *at = copy, *name;
	int r = begin(server, ret_place);

	while (r == 0 && (name = strsep(&at, "/")))
		r = step(server, ret_place, name);
	return r;
}

/* ---- saving ---- */

struct saver {
	struct fuse_server *server;
	struct buffer *state;
	struct error **ret_error;
	char root[PATH_MAX]; /* its path, without a slash at the end */
	uint64_t n_handles;
};

/* The path that the host's kernel gives a descriptor; false: none that fits. */
static bool path_of(int fd, char ret_path[PATH_MAX])
{
	char name[FUSE_FD_NAME_MAX];
	ssize_t n = readlinkat(AT_FDCWD, fuse_fd_name(fd, name), ret_path, PATH_MAX - 1);

	if (n < 1 || n == PATH_MAX - 1 || ret_path[0] != '/')
		return false;
	ret_path[n] = '\0';
	return true;
}

/* The node's path below the root, if it leads there; NULL: it has none any more. */
static const char *find_path(const struct saver *saver, const struct fuse_node *node, int fd,
			     char path[PATH_MAX])
{
	const size_t skip = strlen(saver->root);
	_cleanup_(place_done) struct place place = { .fd = -1 };

	if (!path_of(fd, path) || strncmp(path, saver->root, skip) != 0 || path[skip] != '/')
		return NULL;
	if (reach(saver->server, path + skip + 1, &place) < 0 ||
	    memcmp(&place.node.key, &node->key, sizeof(node->key)) != 0)
		return NULL;
	return path + skip + 1;
}

static const char *plain_path_of(int fd, char path[PATH_MAX])
{
	if (fd < 0 || !path_of(fd, path))
		return "?";
	plain_text(path);
	return path;
}

static int refuse_nameless(const struct saver *saver, int fd)
{
	char path[PATH_MAX];

	return error_set(saver->ret_error, EBUSY,
			 "the open file \"%s\" has been removed, so that it cannot be found again",
			 plain_path_of(fd, path));
}

/* With a descriptor, or none: the file is gone, and the guest has yet to find out. */
static int put_node(struct saver *saver, struct fuse_node *node, int fd)
{
	struct known known = { .id = node->id, .lookups = node->lookups };
	char bytes[PATH_MAX];
	const char *path = fd < 0 ? NULL : find_path(saver, node, fd, bytes);

	/* One user is the caller, the others are handles. */
	known.flags |= node->users > 1 ? KNOWN_OPEN : 0;
	if (path && identify(fd, &known.identity) == 0)
		known.path_size = (uint32_t)strlen(path);
	else
		known.flags |= KNOWN_GONE;
	if (known.flags == (KNOWN_GONE | KNOWN_OPEN))
		return refuse_nameless(saver, fd);
	buffer_append(saver->state, &known, sizeof(known));
	if (known.path_size > 0)
		buffer_append(saver->state, path, known.path_size);
	return 0;
}

static int refuse_locks(const struct saver *saver, int fd)
{
	char path[PATH_MAX];

	return error_set(saver->ret_error, EBUSY, "the open file \"%s\" has locks on the host",
			 plain_path_of(fd, path));
}

static int save_node(void *data, struct fuse_node *node)
{
	struct saver *saver = data;
	int r;

	for (const struct fuse_owner *owner = node->owners; owner; owner = owner->next)
		if (fuse_fd_has_lock(saver->server, owner->fd))
			return refuse_locks(saver, owner->fd);
	fuse_node_hold(saver->server, node);
	r = put_node(saver, node, fuse_node_fd(node));
	fuse_node_put(saver->server, node);
	return r;
}

/* Its release waits in the queue, behind that of the file. */
static bool is_forgotten(const struct fuse_handle *handle)
{
	return handle->node->lookups == 0;
}

static int count_handle(void *data, struct fuse_handle *handle)
{
	((struct saver *)data)->n_handles += !is_forgotten(handle);
	return 0;
}

static int save_handle(void *data, struct fuse_handle *handle)
{
	struct saver *saver = data;
	struct opened opened = {
		.id = handle->id,
		.node = handle->node->id,
		.directory = handle->directory,
		.flags = (uint32_t)fcntl(handle->fd, F_GETFL) & OPEN_FLAGS,
	};

	if (saver->server->options.host_locks && fuse_fd_has_lock(saver->server, handle->fd))
		return refuse_locks(saver, handle->fd);
	if (is_forgotten(handle))
		return 0;
	buffer_append(saver->state, &opened, sizeof(opened));
	return 0;
}

static struct session session_of(const struct fuse_server *server)
{
	return (struct session){
		.negotiated = server->negotiated,
		.last_id = server->last_id,
		.n_nodes = server->nodes_by_id.count - 1,
		.cache = server->options.cache,
		.readonly = server->options.readonly,
		.host_locks = server->options.host_locks,
		.by_name = server->options.cache_of != NULL,
		.staging = server->options.staging,
	};
}

int fuse_save(struct fuse_server *server, struct buffer *state, struct error **ret_error)
{
	struct session session = session_of(server);
	struct saver saver = { .server = server, .state = state, .ret_error = ret_error };

	if (server->waiters)
		return error_set(ret_error, EBUSY, "a process waits for a lock of the host");
	if (!path_of(server->root_fd, saver.root))
		return error_set(ret_error, EINVAL, "the shared directory has no path");
	if (strcmp(saver.root, "/") == 0)
		saver.root[0] = '\0';
	(void)fuse_handles_walk(server, count_handle, &saver);
	session.n_handles = saver.n_handles;
	buffer_append(state, &session, sizeof(session));
	if (fuse_nodes_walk(server, save_node, &saver) != 0)
		return -1;
	return fuse_handles_walk(server, save_handle, &saver) != 0 ? -1 : 0;
}

/* ---- loading ---- */

static int check_session(const struct fuse_server *server, const struct session *session,
			 struct error **ret_error)
{
	const struct session mine = session_of(server);
	const uint64_t possible = fuse_wanted_flags(server) | FUSE_INITIALIZED;

	if (session->readonly != mine.readonly)
		return error_set(ret_error, EINVAL, "it is %s, and was not",
				 mine.readonly ? "read-only" : "writable");
	if (session->cache != mine.cache || session->by_name != mine.by_name ||
	    session->staging != mine.staging || session->host_locks != mine.host_locks ||
	    (session->negotiated & ~possible))
		return error_set(ret_error, EINVAL, "its mode (cache, locks) has changed");
	if (!(session->negotiated & FUSE_INITIALIZED) &&
	    (session->n_nodes > 0 || session->n_handles > 0))
		return error_set(ret_error, EINVAL, "it has files, and was never mounted");
	if (session->last_id < server->last_id || session->last_id > UINT64_MAX / 2)
		return error_set(ret_error, EINVAL, "its last node number is invalid");
	return 0;
}

static int cut_short(struct error **ret_error)
{
	return error_set(ret_error, EINVAL, "its state is cut short");
}

/* Is it there, and what it was? */
static int find_again(const struct fuse_server *server, const struct known *known, const char *path,
		      struct place *ret_place)
{
	struct identity identity;
	int r = reach(server, path, ret_place);

	if (r == 0)
		r = identify(ret_place->fd, &identity);
	if (r < 0)
		return r;
	return is_same(&known->identity, &identity) ? 0 : -ESTALE;
}

static int refuse_file(char *path, int code, struct error **ret_error)
{
	plain_text(path);
	if (code == ESTALE)
		return error_set(ret_error, ESTALE, "the file \"%s\" is not the one that was open",
				 path);
	if (code == EEXIST)
		return error_set(ret_error, EINVAL, "the file \"%s\" comes twice", path);
	return error_set_errno(ret_error, code, "cannot open the file \"%s\" again", path);
}

static int load_node(struct fuse_server *server, struct packed *state, struct error **ret_error)
{
	_cleanup_(place_done) struct place place = { .fd = -1 };
	_cleanup_free_ char *path = NULL;
	struct fuse_known found;
	struct known known;
	const char *at;
	int r = 0;

	if (!packed_take(state, &known, sizeof(known)) ||
	    !(at = packed_view(state, known.path_size)))
		return cut_short(ret_error);
	if (known.path_size >= PATH_MAX || memchr(at, '\0', known.path_size))
		return error_set(ret_error, EINVAL, "a path cannot have %u bytes", known.path_size);
	if (known.id <= FUSE_ROOT_ID || known.lookups == 0)
		return error_set(ret_error, EINVAL, "%llu is not the number of a file",
				 (unsigned long long)known.id);
	path = xstrndup(at, known.path_size);
	if (!(known.flags & KNOWN_GONE))
		r = find_again(server, &known, path, &place);
	if (r < 0 && (known.flags & KNOWN_OPEN))
		return refuse_file(path, -r, ret_error);
	found = (struct fuse_known){ .id = known.id,
				     .lookups = known.lookups,
				     .path_fd = r < 0 ? -1 : TAKE_FD(place.fd),
				     .st = &place.st,
				     .top = place.top,
				     .cache = place.node.cache };
	r = fuse_node_restore(server, &found);
	return r < 0 ? refuse_file(path, -r, ret_error) : 0;
}

/* The file that is open as opened says, of which the node is used. */
static int reopen(struct fuse_server *server, struct fuse_node *node, const struct opened *opened)
{
	const bool directory = S_ISDIR(node->type);
	int flags = (int)opened->flags & OPEN_FLAGS;
	int fd = fuse_node_fd(node);

	if (fd < 0)
		return fd;
	if (directory != (opened->directory != 0) || (!directory && !S_ISREG(node->type)) ||
	    (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if ((server->options.readonly || directory) && (flags & O_ACCMODE) != O_RDONLY)
		return -EROFS;
	fd = fuse_reopen(fd, directory ? O_RDONLY | O_DIRECTORY : flags);
	if (fd < 0)
		return -errno;
	return fuse_handle_restore(server, node, fd, flags, opened->id);
}

static int load_handle(struct fuse_server *server, struct packed *state, struct error **ret_error)
{
	struct opened opened;
	struct fuse_node *node;
	int r;

	if (!packed_take(state, &opened, sizeof(opened)))
		return cut_short(ret_error);
	if (opened.id == 0 || opened.id > server->last_id)
		return error_set(ret_error, EINVAL, "%llu is not the number of an open file",
				 (unsigned long long)opened.id);
	node = fuse_node_get(server, opened.node);
	r = node ? reopen(server, node, &opened) : -ESTALE;
	fuse_node_put(server, node);
	if (r < 0)
		return error_set_errno(ret_error, -r, "cannot open file %llu again",
				       (unsigned long long)opened.node);
	return 0;
}

int fuse_load(struct fuse_server *server, struct packed *state, struct error **ret_error)
{
	struct session session;

	if (!packed_take(state, &session, sizeof(session)))
		return cut_short(ret_error);
	if (check_session(server, &session, ret_error) < 0)
		return -1;
	server->last_id = session.last_id;
	for (uint64_t i = 0; i < session.n_nodes; i++)
		if (load_node(server, state, ret_error) < 0)
			return -1;
	for (uint64_t i = 0; i < session.n_handles; i++)
		if (load_handle(server, state, ret_error) < 0)
			return -1;
	server->negotiated = session.negotiated;
	return 0;
}
