/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the FUSE server share (rootfs/share/fuse-*.c only): the server,
 * its nodes and handles, and a request being served.
 *
 * Lock order: a handle's lock, locks_lock, then lock.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/log.h"
#include "rootfs/share/fuse.h"

/* An xattr's value (XATTR_SIZE_MAX) and name, and its request's head. */
#define FUSE_BODY_MAX (64 * 1024 + 1024)
/* Everything but the data of READ; XATTR_SIZE_MAX is also XATTR_LIST_MAX. */
#define FUSE_PAYLOAD_MAX (64 * 1024)
#define FUSE_NAMES_MAX 2

/* A hash table of things with a number, growing and shrinking with them. */
struct fuse_link {
	struct fuse_link *next;
	uint64_t hash;
};
struct fuse_table {
	struct fuse_link **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t count;
};
void fuse_table_add(struct fuse_table *table, struct fuse_link *link, uint64_t hash);
void fuse_table_remove(struct fuse_table *table, struct fuse_link *link);
/* The first with this hash, and the next one after link; NULL. */
struct fuse_link *fuse_table_first(const struct fuse_table *table, uint64_t hash);
struct fuse_link *fuse_table_next_of(const struct fuse_link *link, uint64_t hash);
/* The first of all, or the one after link, in no order; NULL.  The table does not change
 * meanwhile. */
struct fuse_link *fuse_table_each(const struct fuse_table *table, const struct fuse_link *link);
/* Empties the table; what was in it, as a list. */
struct fuse_link *fuse_table_take(struct fuse_table *table);

/* Which file: the mount counts, for it may be read-only where another is not. */
struct fuse_key {
	uint64_t dev, ino, mount;
};

/* Whose descriptors are counted together (fuse-fd.c). */
struct fuse_account {
	struct fuse_account *next;
	struct fuse_key directory; /* a container's, in the staging area */
	unsigned n_fds;		   /* that nodes, handles and locks keep */
	unsigned n_nodes;	   /* of it; the last one takes it along */
};

/*
 * A file the guest knows.  It lives as long as the guest remembers it (lookups
 * > 0) or a thread or handle uses it (users > 0), and keeps a descriptor.
 */
struct fuse_node {
	struct fuse_link by_id, by_key; /* in the tables while lookups > 0 */
	uint64_t id;
	struct fuse_key key;
	struct fuse_account *account;
	unsigned device;       /* key.dev's place in server->devices */
	mode_t type;	       /* S_IFMT bits */
	enum fuse_cache cache; /* what the guest may keep of it, and of names in it */
	uint64_t lookups;
	unsigned users;
	int fd; /* O_PATH; -1: the file is gone, and the node only in the first table */
	/* For AUTO, when the file was last changed (ns), as of the last open(), and
	 * as the guest was told with its name at told_ns. */
	int64_t opened_change, told_change;
	uint64_t told_ns;
	/* Which name that was (a hash), and when another one was told shortly before. */
	uint64_t told_name, two_names_ns;
	struct fuse_owner *owners; /* locks_lock: who has or had POSIX locks */
};

/*
 * The number that the guest has for a file of the node's device: to the guest all are on one
 * device, and numbers of different ones must not look as if they were links of one file.  The
 * first device's are its own; few file systems use those bits themselves.
 */
static inline uint64_t fuse_ino(const struct fuse_node *node, uint64_t ino)
{
	return ino ^ (uint64_t)node->device << 48;
}

/* An open file or directory. */
struct fuse_handle {
	struct fuse_link by_id; /* in the table until released */
	uint64_t id;
	struct fuse_node *node; /* used by it */
	int fd;
	bool directory;
	bool writable;
	unsigned users;	      /* threads, and one for being in the table */
	pthread_mutex_t lock; /* directory: position */
	uint64_t position;
};

/* What its file system says about the files of a mount (fuse-open.c). */
struct fuse_mount_facts {
	uint64_t mount;
	bool wants_flush; /* it wants to hear of close(2) */
	bool pseudo;	  /* proc, sysfs and the like */
};

#define FUSE_CHANGE_UNKNOWN INT64_MIN
/* A thread of the guest that is to look a file up again (fuse-fresh.c). */
struct fuse_retry {
	uint32_t pid;
	uint64_t node;
	uint64_t since_ns; /* 0: none */
};
#define FUSE_RETRIES 64
#define FUSE_DEVICES_MAX 255
#define FUSE_IDS 32

struct fuse_server {
	struct fuse_options options;
	int root_fd; /* O_PATH */
	int fdinfo;  /* of this process: fuse_open_proc(); -1: its locks are nobody's business */
	int timer_fd;
	struct fuse_node *root;
	_Atomic uint64_t negotiated; /* FUSE_… flags; 0 before INIT */
	struct ratelimit complaints;

	pthread_mutex_t lock; /* a leaf lock: nodes, handles and their counts */
	struct fuse_table nodes_by_id, nodes_by_key, handles;
	uint64_t last_id;	/* of a handle */
	uint64_t ids[FUSE_IDS]; /* n_ids random ones, for new nodes */
	unsigned n_ids;
	unsigned n_fds;				/* of all accounts */
	struct fuse_account account, *accounts; /* its own; the containers' */
	uint64_t n_forgotten;			/* nodes, ever */
	struct fuse_retry retries[FUSE_RETRIES];
	struct fuse_mount_facts last_mount; /* the one last asked about */
	uint64_t devices[FUSE_DEVICES_MAX]; /* in the order in which files of them were met:
					       fuse_ino() */
	unsigned n_devices;

	pthread_mutex_t locks_lock;
	struct fuse_waiter *waiters;
	_Atomic unsigned n_ticks; /* of the timer */
};

struct fuse_thread {
	char *body;    /* FUSE_BODY_MAX bytes and a NUL */
	char *payload; /* FUSE_PAYLOAD_MAX */
	char *scratch; /* FUSE_PAYLOAD_MAX: directory entries */
	mode_t umask;
	uid_t uid; /* its own */
	gid_t gid;
	bool keeps_ids; /* CAP_SETUID and CAP_SETGID */
	bool has_fsetid;
};

/* A request being served. */
struct fuse_call {
	struct fuse_server *server;
	struct fuse_thread *thread;
	const struct fuse_message *message;
	struct fuse_in_header header;
	struct fuse_node *node;		   /* of header.nodeid; NULL where the operation has none */
	const void *args;		   /* the operation's own struct, checked for size */
	const char *names[FUSE_NAMES_MAX]; /* path components, or as the operation has it */
	const char *rest;		   /* what follows them: rest_size bytes */
	uint32_t rest_size;
	/* The reply, without its header: at most payload_max bytes in
	 * thread->payload, or (direct) put into the message already. */
	void *payload;
	uint32_t payload_size, payload_max;
	bool direct;
	bool kept; /* keep() was called: no reply now */
};

/* An operation: 0, or a negative errno value. */
typedef int (*fuse_op_fn)(struct fuse_call *call);

/* ---- fuse-fd.c ---- */

/* Counts a descriptor that is kept for the node, or not any more; false: there are too many. */
bool fuse_fd_reserve(struct fuse_server *server, const struct fuse_node *node);
void fuse_fd_release(struct fuse_server *server, const struct fuse_node *node);
/* The following with server->lock held.  The account of a new node below this directory of the
 * staging area, or which is this directory; NULL: the server's own. */
struct fuse_account *fuse_account_take(struct fuse_server *server,
				       const struct fuse_key *directory);
/* The node is gone, and its descriptor counted no more. */
void fuse_account_give(struct fuse_server *server, struct fuse_account *account);
/* May it keep one more descriptor? */
bool fuse_account_may_keep(const struct fuse_server *server, const struct fuse_account *account);
/* Has it half of what it may have free, so that not all need be in use? */
bool fuse_account_has_room(const struct fuse_server *server, const struct fuse_account *account);
void fuse_account_keep(struct fuse_server *server, struct fuse_account *account);
void fuse_account_let_go(struct fuse_server *server, struct fuse_account *account);
int fuse_stat(int fd, struct statx *ret_st); /* a negative errno value */
/* As in a node's key. */
static inline uint64_t fuse_device(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

/* ---- fuse-owner.c: locks_lock held, or the node nobody's any more ---- */

struct fuse_owner {
	struct fuse_owner *next;
	uint64_t owner;
	uint32_t pid; /* in the guest, as of its last lock */
	int fd;	      /* an open file of its own: its OFD locks are the owner's */
};
/* Where the owner's is in the node's list, or would be. */
struct fuse_owner **fuse_owner_find(struct fuse_node *node, uint64_t owner);
void fuse_owner_free(struct fuse_server *server, const struct fuse_node *node,
		     struct fuse_owner **at);
/* All of the node's. */
void fuse_owners_forget(struct fuse_server *server, struct fuse_node *node);

/* ---- fuse-node.c ---- */

int fuse_nodes_init(struct fuse_server *server, struct error **ret_error);
void fuse_nodes_done(struct fuse_server *server);
void fuse_nodes_reset(struct fuse_server *server);
/* One of the staging area's own directories, which hold the shares. */
bool fuse_is_staging(const struct fuse_server *server, const struct fuse_node *node);
/* A regular file or directory for each device that the guest knows one of; the caller puts them.
 * Returns how many. */
size_t fuse_nodes_of_devices(struct fuse_server *server,
			     struct fuse_node *ret_nodes[FUSE_DEVICES_MAX]);
/* NULL: there is none.  The caller puts what it gets. */
struct fuse_node *fuse_node_get(struct fuse_server *server, uint64_t id);
void fuse_node_hold(struct fuse_server *server, struct fuse_node *node); /* one more user */
void fuse_node_put(struct fuse_server *server, struct fuse_node *node);
/* fuse_place_of(); 0 and 0: there is none of this id. */
void fuse_node_place(struct fuse_server *server, uint64_t id, uint64_t *ret_container,
		     uint64_t *ret_mount);
/* Its O_PATH descriptor, good until the node is put; or -ESTALE. */
int fuse_node_fd(const struct fuse_node *node);
/* The node of the file path_fd (O_PATH; taken over) with one more lookup, used
 * by the caller; a negative errno value.  parent: where it was found; st: of path_fd; cache: a
 * new node's. */
int fuse_node_intern(struct fuse_server *server, const struct fuse_node *parent, int path_fd,
		     const struct statx *st, enum fuse_cache cache, struct fuse_node **ret_node);
void fuse_node_forget(struct fuse_server *server, uint64_t id, uint64_t lookups);
/* Calls fn() for every node the guest knows but the root, until it gives something else than 0,
 * which is the result; nothing is being served, and fn() adds and removes none. */
int fuse_nodes_walk(struct fuse_server *server, int (*fn)(void *data, struct fuse_node *node),
		    void *data);
/* A node that the guest knows from before. */
struct fuse_known {
	uint64_t id, lookups;
	int path_fd; /* O_PATH; taken over.  -1: it is gone, and what the guest does with it is
			ESTALE */
	const struct statx *st; /* of path_fd */
	struct fuse_key top;	/* the first directory on its way from the root, or it itself */
	enum fuse_cache cache;
};
int fuse_node_restore(struct fuse_server *server, const struct fuse_known *known);

/* ---- fuse-handle.c ---- */

/* As fuse_nodes_walk(). */
int fuse_handles_walk(struct fuse_server *server, int (*fn)(void *data, struct fuse_handle *handle),
		      void *data);
/* As fuse_handle_add(), of this id, which must be free. */
int fuse_handle_restore(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
			uint64_t id);

/* fd becomes the handle's, on failure too. */
int fuse_handle_add(struct fuse_server *server, struct fuse_node *node, int fd, int flags,
		    uint64_t *ret_id);
/* NULL: there is none of that kind.  The caller puts what it gets. */
struct fuse_handle *fuse_handle_get(struct fuse_server *server, uint64_t id, bool directory);
void fuse_handle_put(struct fuse_server *server, struct fuse_handle *handle);
/* No new user finds it. */
void fuse_handle_remove(struct fuse_server *server, uint64_t id);
void fuse_handles_reset(struct fuse_server *server);

/* ---- fuse-thread.c ---- */

/* Of the process's directory of that name in /proc ("fd", "fdinfo"), O_PATH: with CAP_SYS_ADMIN
 * one from which nothing else of /proc can be reached.  -1: error. */
int fuse_open_proc(const char *name, struct error **ret_error);
/* The thread's /proc name for a descriptor, relative to its working directory, which is "fd". */
#define FUSE_FD_NAME_MAX 16
const char *fuse_fd_name(int fd, char ret_name[FUSE_FD_NAME_MAX]);
/* Opens a regular file or directory by its O_PATH descriptor; -1 with errno. */
int fuse_reopen(int path_fd, int flags);
/* Becomes the caller of a request for making a file, with that umask; or back.
 * A negative errno value. */
int fuse_become(struct fuse_thread *thread, const struct fuse_in_header *header, mode_t mask);
void fuse_become_self(struct fuse_thread *thread);
/* Before a user without CAP_FSETID changes the file that fd is: if it has set-id bits, the host's
 * kernel is to take them as it would from that user.  True: then fuse_regain_fsetid(). */
bool fuse_drop_fsetid(struct fuse_thread *thread, const struct fuse_in_header *header, int fd);
void fuse_regain_fsetid(struct fuse_thread *thread);
/* For requests that do not say whether their user has CAP_FSETID: root is taken to have it. */
static inline bool fuse_may_lack_fsetid(const struct fuse_in_header *header)
{
	return header->uid != 0;
}

/* ---- fuse-attr.c ---- */

/* The file of that name in the directory, as a reply with one lookup, which
 * fuse_node_forget() undoes.  ret_node: used by the caller; may be NULL. */
int fuse_fill_entry(struct fuse_server *server, struct fuse_node *parent, const char *name,
		    struct fuse_entry_out *ret_entry, struct fuse_node **ret_node);
/* The same of a descriptor (O_PATH; taken over) of that file. */
int fuse_fill_entry_fd(struct fuse_server *server, const struct fuse_node *parent, const char *name,
		       int path_fd, struct fuse_entry_out *ret_entry, struct fuse_node **ret_node);

/* The file of that name, a path component, by an O_PATH descriptor; a negative errno value. */
int fuse_open_name(int parent_fd, const char *name);
/* The mode of the file st that was found by this name. */
enum fuse_cache fuse_cache_below(const struct fuse_server *server, const struct fuse_node *parent,
				 const char *name, const struct statx *st);

int fuse_op_lookup(struct fuse_call *call);
int fuse_op_forget(struct fuse_call *call);
int fuse_op_batch_forget(struct fuse_call *call);
int fuse_op_getattr(struct fuse_call *call);
int fuse_op_setattr(struct fuse_call *call);
int fuse_op_readlink(struct fuse_call *call);
int fuse_op_statfs(struct fuse_call *call);
int fuse_op_access(struct fuse_call *call);

/* ---- fuse-fresh.c ---- */

/* May the guest remember the file when it is not in use?  Not so many that there is no
 * room for those that are. */
bool fuse_may_remember(struct fuse_server *server, const struct fuse_node *node);
/* The guest is told of a regular file (st) by its name in parent, AUTO.  asked_ns: the real
 * time from before st was asked for.  True: it may remember the name for an instant. */
bool fuse_fresh_tell(struct fuse_server *server, struct fuse_node *node,
		     const struct fuse_node *parent, const char *name, const struct statx *st,
		     uint64_t asked_ns);
/* The guest's thread pid opens the file, which is st now: 0 or -ESTALE.
 * *ret_keep_pages: nobody has changed it since it was opened last. */
int fuse_fresh_open(struct fuse_server *server, struct fuse_node *node, uint32_t pid,
		    const struct statx *st, bool *ret_keep_pages);

/* ---- fuse-tree.c ---- */

int fuse_op_symlink(struct fuse_call *call);
int fuse_op_mknod(struct fuse_call *call);
int fuse_op_mkdir(struct fuse_call *call);
int fuse_op_unlink(struct fuse_call *call);
int fuse_op_rmdir(struct fuse_call *call);
int fuse_op_rename(struct fuse_call *call);
int fuse_op_rename2(struct fuse_call *call);
int fuse_op_link(struct fuse_call *call);

/* ---- fuse-open.c ---- */

int fuse_op_open(struct fuse_call *call);
int fuse_op_create(struct fuse_call *call);
int fuse_op_tmpfile(struct fuse_call *call);
int fuse_op_release(struct fuse_call *call);

/* ---- fuse-file.c ---- */

int fuse_op_read(struct fuse_call *call);
int fuse_op_write(struct fuse_call *call);
int fuse_op_flush(struct fuse_call *call);
int fuse_op_fsync(struct fuse_call *call);
int fuse_op_fallocate(struct fuse_call *call);
int fuse_op_lseek(struct fuse_call *call);
int fuse_op_copy_file_range(struct fuse_call *call);
int fuse_op_syncfs(struct fuse_call *call);
int fuse_sync_handle(struct fuse_call *call, bool directory);

/* ---- fuse-serve.c ---- */

/* In server->negotiated: INIT was there.  No flag of the protocol. */
#define FUSE_INITIALIZED (1ULL << 63)
/* What the server would negotiate. */
uint64_t fuse_wanted_flags(const struct fuse_server *server);

/* ---- fuse-dir.c ---- */

int fuse_op_opendir(struct fuse_call *call);
int fuse_op_readdir(struct fuse_call *call);
int fuse_op_readdirplus(struct fuse_call *call);
int fuse_op_releasedir(struct fuse_call *call);
int fuse_op_fsyncdir(struct fuse_call *call);

/* ---- fuse-xattr.c ---- */

int fuse_op_setxattr(struct fuse_call *call);
int fuse_op_getxattr(struct fuse_call *call);
int fuse_op_listxattr(struct fuse_call *call);
int fuse_op_removexattr(struct fuse_call *call);

/* ---- fuse-lock.c ---- */

int fuse_op_getlk(struct fuse_call *call);
int fuse_op_setlk(struct fuse_call *call);
int fuse_op_setlkw(struct fuse_call *call);
int fuse_op_interrupt(struct fuse_call *call);
/* The owner's POSIX locks on the file are gone (close()). */
void fuse_locks_drop(struct fuse_server *server, struct fuse_node *node, uint64_t owner);
/* Does the open file hold a lock on the host? */
bool fuse_fd_has_lock(const struct fuse_server *server, int fd);
/* A lock may have become free: tries those who wait. */
void fuse_locks_retry(struct fuse_server *server);
