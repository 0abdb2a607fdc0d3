/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of FUSE, for tests of rootfs/share: requests to a server
 * that shares a scratch directory.  Every call gives 0 or a positive result, or
 * a negative errno value, as the server replied; a reply of the wrong form ends
 * the test.
 */
#pragma once

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rootfs/share/fuse.h"

struct client {
	struct fuse_server *server;
	struct fuse_thread *thread; /* of the thread that calls */
	char *dir;		    /* the shared directory, absolute */
	uint64_t unique;	    /* of the last request */
	uid_t uid;		    /* the caller's */
	gid_t gid;
	uint32_t pid;	     /* of the guest's thread */
	uint32_t init_flags; /* as negotiated */
	size_t piece;	     /* bytes in each iovec of a message; 0: unequal ones */
};

#define CLIENT_NODES_MAX 10000

struct client_options {
	enum fuse_cache cache;
	bool staging;
	bool (*cache_of)(const char *name, enum fuse_cache *ret_cache);
	bool readonly;
	bool host_locks;
	unsigned fds_max;  /* 0: 1000 */
	const char *dir;   /* NULL: a new one, removed by client_done() */
	bool without_init; /* INIT is the test's */
};

/* Leaves the working directory (fuse_thread_new()). */
void client_init(struct client *c, const struct client_options *options);
void client_done(struct client *c);
/* For another thread of the test: the same server, a context of its own. */
void client_clone(struct client *c, const struct client *other);
void client_clone_done(struct client *c);

/* size bytes of the request's body, whose length in the header is len (0: the
 * right one); the reply's body goes to ret_body (room bytes), its size to
 * *ret_size.  room + header is all the room there is for the reply. */
struct client_body {
	const void *bytes;
	size_t size;
};
int client_send(struct client *c, uint32_t opcode, uint64_t node, const struct client_body *parts,
		unsigned n_parts, void *ret_body, size_t room, size_t *ret_size);
/* How many bytes of reply a request of these very bytes gets. */
uint32_t client_raw(struct client *c, const void *request, size_t size, void *reply, size_t room);

int client_init_session(struct client *c, uint32_t minor, uint32_t flags,
			struct fuse_init_out *ret_out);
int client_lookup(struct client *c, uint64_t parent, const char *name,
		  struct fuse_entry_out *ret_entry);
/* The node of a path from the root ("a/b/c"); ends the test if there is none. */
uint64_t client_walk(struct client *c, const char *path);
void client_forget(struct client *c, uint64_t node, uint64_t lookups);
int client_getattr(struct client *c, uint64_t node, struct fuse_attr *ret_attr);
int client_setattr(struct client *c, uint64_t node, const struct fuse_setattr_in *in);
int client_mkdir(struct client *c, uint64_t parent, const char *name, mode_t mode, mode_t mask,
		 uint64_t *ret_node);
int client_mknod(struct client *c, uint64_t parent, const char *name, mode_t mode, uint32_t rdev,
		 uint64_t *ret_node);
int client_symlink(struct client *c, uint64_t parent, const char *name, const char *target);
int client_remove(struct client *c, uint32_t opcode, uint64_t parent, const char *name);
int client_rename(struct client *c, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, uint32_t flags);
int client_link(struct client *c, uint64_t node, uint64_t parent, const char *name);
int client_create(struct client *c, uint64_t parent, const char *name, uint32_t flags, mode_t mode,
		  uint64_t *ret_node, uint64_t *ret_fh);
/* As Linux does it: a second time after ESTALE (where it also looks the name up). */
int client_open(struct client *c, uint64_t node, uint32_t flags, struct fuse_open_out *ret_out);
int client_open_once(struct client *c, uint64_t node, uint32_t flags,
		     struct fuse_open_out *ret_out);
int client_opendir(struct client *c, uint64_t node, uint64_t *ret_fh);
int client_release(struct client *c, uint32_t opcode, uint64_t node, uint64_t fh);
int client_read(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, void *ret_bytes,
		uint32_t size);
int client_write(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
		 uint32_t size, uint32_t write_flags);
int client_setxattr(struct client *c, uint64_t node, const char *name, const void *value,
		    uint32_t size, uint32_t flags);
int client_getxattr(struct client *c, uint64_t node, const char *name, void *ret_value,
		    uint32_t size);
int client_lock(struct client *c, uint32_t opcode, uint64_t node, const struct fuse_lk_in *in,
		struct fuse_lk_out *ret_out);

/* What complete() was last called with, and how often: see fuse.h. */
struct client_completion {
	unsigned count;
	struct fuse_out_header header;
};
struct client_completion client_completed(void);
/* The result of a request that waits. */
#define CLIENT_KEPT (-1000)
