/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's bytes to the operation and back: see fuse-parts.h.
 *
 * The table says what an operation looks like; everything about its form is
 * checked here, once, on a copy.  Operations check what their numbers mean.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/log.h"
#include "rootfs/share/fuse-parts.h"

#define MINOR_MIN 31 /* the first with virtio-fs */
#define MAX_PAGES 256
#define MAX_WRITE (1U << 20)
#define MAX_BACKGROUND 64
#define CONGESTION_THRESHOLD 48

enum {
	OP_NODE = 1 << 0,    /* header.nodeid names a node */
	OP_CHANGES = 1 << 1, /* refused where the share is read-only */
	OP_NO_REPLY = 1 << 2,
	OP_DATA = 1 << 3,  /* what follows the arguments stays in the message */
	OP_EARLY = 1 << 4, /* before INIT too */
};

/* What a string that follows the arguments has to be. */
enum name_kind {
	NAME_NONE,
	NAME_COMPONENT, /* of a path: not empty, no "/", neither "." nor ".." */
	NAME_XATTR,	/* 1 to XATTR_NAME_MAX bytes */
	NAME_TARGET,	/* 1 to PATH_MAX - 1 bytes */
};

struct operation {
	fuse_op_fn run;
	uint16_t args_size;
	uint16_t reply_min; /* the room that its whole reply needs, without a header */
	unsigned flags;
	enum name_kind names[FUSE_NAMES_MAX];
};

static int op_init(struct fuse_call *call);
static int op_destroy(struct fuse_call *call);

#define IN(type) sizeof(struct fuse_##type##_in)
#define OUT(type) sizeof(struct fuse_##type##_out)
#define CHANGE (OP_NODE | OP_CHANGES)
#define CREATED (OUT(entry) + OUT(open))

static const struct operation operations[] = {
	[FUSE_LOOKUP] = { fuse_op_lookup, 0, OUT(entry), OP_NODE, { NAME_COMPONENT } },
	[FUSE_FORGET] = { fuse_op_forget, IN(forget), 0, OP_NO_REPLY, { 0 } },
	[FUSE_GETATTR] = { fuse_op_getattr, IN(getattr), OUT(attr), OP_NODE, { 0 } },
	[FUSE_SETATTR] = { fuse_op_setattr, IN(setattr), OUT(attr), CHANGE, { 0 } },
	[FUSE_READLINK] = { fuse_op_readlink, 0, 1, OP_NODE, { 0 } },
	[FUSE_SYMLINK] = { fuse_op_symlink,
			   0,
			   OUT(entry),
			   CHANGE,
			   { NAME_COMPONENT, NAME_TARGET } },
	[FUSE_MKNOD] = { fuse_op_mknod, IN(mknod), OUT(entry), CHANGE, { NAME_COMPONENT } },
	[FUSE_MKDIR] = { fuse_op_mkdir, IN(mkdir), OUT(entry), CHANGE, { NAME_COMPONENT } },
	[FUSE_UNLINK] = { fuse_op_unlink, 0, 0, CHANGE, { NAME_COMPONENT } },
	[FUSE_RMDIR] = { fuse_op_rmdir, 0, 0, CHANGE, { NAME_COMPONENT } },
	[FUSE_RENAME] = { fuse_op_rename,
			  IN(rename),
			  0,
			  CHANGE,
			  { NAME_COMPONENT, NAME_COMPONENT } },
	[FUSE_LINK] = { fuse_op_link, IN(link), OUT(entry), CHANGE, { NAME_COMPONENT } },
	[FUSE_OPEN] = { fuse_op_open, IN(open), OUT(open), OP_NODE, { 0 } },
	[FUSE_READ] = { fuse_op_read, IN(read), 0, 0, { 0 } },
	[FUSE_WRITE] = { fuse_op_write, IN(write), OUT(write), OP_CHANGES | OP_DATA, { 0 } },
	[FUSE_STATFS] = { fuse_op_statfs, 0, OUT(statfs), OP_NODE, { 0 } },
	[FUSE_RELEASE] = { fuse_op_release, IN(release), 0, 0, { 0 } },
	[FUSE_FSYNC] = { fuse_op_fsync, IN(fsync), 0, 0, { 0 } },
	[FUSE_SETXATTR] = { fuse_op_setxattr, IN(setxattr), 0, CHANGE, { NAME_XATTR } },
	[FUSE_GETXATTR] = { fuse_op_getxattr, IN(getxattr), 0, OP_NODE, { NAME_XATTR } },
	[FUSE_LISTXATTR] = { fuse_op_listxattr, IN(getxattr), 0, OP_NODE, { 0 } },
	[FUSE_REMOVEXATTR] = { fuse_op_removexattr, 0, 0, CHANGE, { NAME_XATTR } },
	[FUSE_FLUSH] = { fuse_op_flush, IN(flush), 0, 0, { 0 } },
	/* Without its second flags word, which came with 7.36. */
	[FUSE_INIT] = { op_init,
			offsetof(struct fuse_init_in, flags2),
			OUT(init),
			OP_EARLY,
			{ 0 } },
	[FUSE_OPENDIR] = { fuse_op_opendir, IN(open), OUT(open), OP_NODE, { 0 } },
	[FUSE_READDIR] = { fuse_op_readdir, IN(read), 0, 0, { 0 } },
	[FUSE_RELEASEDIR] = { fuse_op_releasedir, IN(release), 0, 0, { 0 } },
	[FUSE_FSYNCDIR] = { fuse_op_fsyncdir, IN(fsync), 0, 0, { 0 } },
	[FUSE_GETLK] = { fuse_op_getlk, IN(lk), OUT(lk), OP_NODE, { 0 } },
	[FUSE_SETLK] = { fuse_op_setlk, IN(lk), 0, OP_NODE, { 0 } },
	[FUSE_SETLKW] = { fuse_op_setlkw, IN(lk), 0, OP_NODE, { 0 } },
	[FUSE_ACCESS] = { fuse_op_access, IN(access), 0, OP_NODE, { 0 } },
	[FUSE_CREATE] = { fuse_op_create, IN(create), CREATED, CHANGE, { NAME_COMPONENT } },
	[FUSE_INTERRUPT] = { fuse_op_interrupt, IN(interrupt), 0, OP_NO_REPLY, { 0 } },
	[FUSE_DESTROY] = { op_destroy, 0, 0, OP_EARLY, { 0 } },
	[FUSE_BATCH_FORGET] = { fuse_op_batch_forget, IN(batch_forget), 0, OP_NO_REPLY, { 0 } },
	[FUSE_FALLOCATE] = { fuse_op_fallocate, IN(fallocate), 0, OP_CHANGES, { 0 } },
	[FUSE_READDIRPLUS] = { fuse_op_readdirplus, IN(read), 0, 0, { 0 } },
	[FUSE_RENAME2] = { fuse_op_rename2,
			   IN(rename2),
			   0,
			   CHANGE,
			   { NAME_COMPONENT, NAME_COMPONENT } },
	[FUSE_LSEEK] = { fuse_op_lseek, IN(lseek), OUT(lseek), 0, { 0 } },
	[FUSE_COPY_FILE_RANGE] = { fuse_op_copy_file_range,
				   IN(copy_file_range),
				   OUT(write),
				   OP_CHANGES,
				   { 0 } },
	[FUSE_SYNCFS] = { fuse_op_syncfs, IN(syncfs), 0, OP_NODE, { 0 } },
	/* The name that comes with it means nothing. */
	[FUSE_TMPFILE] = { fuse_op_tmpfile, IN(create), CREATED, CHANGE, { NAME_TARGET } },
};

/* False when the request holds fewer bytes: the rest would be those of another request. */
static bool copy_in(const struct fuse_message *message, uint32_t offset, void *ret_bytes,
		    uint32_t size)
{
	struct iovec iov[FUSE_IOV_MAX];
	unsigned n = iov_slice(message->request, message->n_request, offset, size, iov);
	char *at = ret_bytes;

	for (unsigned i = 0; i < n; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return at == (char *)ret_bytes + size;
}

/* False when the reply has less room. */
static bool copy_out(const struct fuse_message *message, uint32_t offset, const void *bytes,
		     uint32_t size)
{
	struct iovec iov[FUSE_IOV_MAX];
	unsigned n = iov_slice(message->reply, message->n_reply, offset, size, iov);
	const char *at = bytes;

	for (unsigned i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return at == (const char *)bytes + size;
}

/* ---- the session ---- */

uint64_t fuse_wanted_flags(const struct fuse_server *server)
{
	uint64_t flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |
			 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |
			 FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | FUSE_MAX_PAGES |
			 FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT;

	if (server->options.host_locks)
		flags |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
	/* What serves every mode: it counts only when the guest asks for a file's state
	 * again, and where it forgets a symbolic link at once it asks for its target. */
	if (server->options.cache_of)
		return flags | FUSE_AUTO_INVAL_DATA | FUSE_CACHE_SYMLINKS;
	switch (server->options.cache) {
	case FUSE_CACHE_AUTO:
		flags |= FUSE_AUTO_INVAL_DATA;
		break;
	case FUSE_CACHE_ALWAYS:
		flags |= FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA;
		if (!server->options.readonly)
			flags |= FUSE_WRITEBACK_CACHE;
		break;
	case FUSE_CACHE_NONE:
		break;
	}
	return flags;
}

static void too_old(struct fuse_server *server, const struct fuse_init_in *in)
{
	uint32_t suppressed;

	if (ratelimit_pass(&server->complaints, &suppressed))
		log_warning("share: the guest's FUSE %u.%u is too old, it needs 7.%d (%u more)",
			    in->major, in->minor, MINOR_MIN, suppressed);
}

static int op_init(struct fuse_call *call)
{
	const struct fuse_init_in *in = call->args;
	struct fuse_init_out *out = call->payload;
	struct fuse_server *server = call->server;
	/* Flags above 31 are neither known nor wanted. */
	uint64_t flags = in->flags & fuse_wanted_flags(server);

	if (in->major < FUSE_KERNEL_VERSION ||
	    (in->major == FUSE_KERNEL_VERSION && in->minor < MINOR_MIN)) {
		too_old(server, in);
		return -EPROTO;
	}
	*out = (struct fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
	};
	call->payload_size = sizeof(*out);
	/* A later major version: the guest comes again with ours. */
	if (in->major > FUSE_KERNEL_VERSION)
		return 0;
	fuse_reset(server);
	out->max_readahead = in->max_readahead;
	out->flags = (uint32_t)flags;
	out->max_background = MAX_BACKGROUND;
	out->congestion_threshold = CONGESTION_THRESHOLD;
	out->max_write = MAX_WRITE;
	out->time_gran = 1;
	out->max_pages = MAX_PAGES;
	server->negotiated = flags | FUSE_INITIALIZED;
	log_debug("share: FUSE 7.%u, flags 0x%x", in->minor, out->flags);
	return 0;
}

static int op_destroy(struct fuse_call *call)
{
	fuse_reset(call->server);
	return 0;
}

void fuse_reset(struct fuse_server *server)
{
	server->negotiated = 0;
	fuse_cancel(server);
	fuse_handles_reset(server);
	fuse_nodes_reset(server);
}

/* ---- one request ---- */

static int check_name(enum name_kind kind, const char *name, size_t length)
{
	if (length == 0)
		return kind == NAME_XATTR ? -ERANGE : -ENOENT;
	switch (kind) {
	case NAME_COMPONENT:
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		if (memchr(name, '/', length) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return -EINVAL;
		break;
	case NAME_XATTR:
		if (length > NAME_MAX) /* XATTR_NAME_MAX, that is */
			return -ERANGE;
		break;
	case NAME_TARGET:
		if (length >= PATH_MAX)
			return -ENAMETOOLONG;
		break;
	case NAME_NONE:
		break;
	}
	return 0;
}

/* The strings behind the arguments, and what follows them. */
static int take_names(struct fuse_call *call, const struct operation *operation, const char *at,
		      uint32_t size)
{
	for (unsigned i = 0; i < FUSE_NAMES_MAX && operation->names[i] != NAME_NONE; i++) {
		const char *end = memchr(at, '\0', size);
		int r;

		if (!end)
			return -EINVAL;
		r = check_name(operation->names[i], at, (size_t)(end - at));
		if (r < 0)
			return r;
		call->names[i] = at;
		size -= (uint32_t)(end + 1 - at);
		at = end + 1;
	}
	call->rest = at;
	call->rest_size = size;
	return 0;
}

/* SETXATTR's arguments are shorter for a guest that does not know the longer. */
static uint32_t args_size(const struct fuse_call *call, const struct operation *operation)
{
	if (call->header.opcode == FUSE_SETXATTR && !(call->server->negotiated & FUSE_SETXATTR_EXT))
		return FUSE_COMPAT_SETXATTR_IN_SIZE;
	return operation->args_size;
}

/* Copies the arguments and all that is to be looked at, and checks their form. */
static int take_body(struct fuse_call *call, const struct operation *operation)
{
	uint32_t size = call->message->request_size - (uint32_t)sizeof(call->header);
	uint32_t fixed = args_size(call, operation);

	if (size < fixed)
		return -EINVAL;
	if (operation->flags & OP_DATA)
		size = fixed;
	if (size > FUSE_BODY_MAX)
		return -E2BIG;
	if (!copy_in(call->message, sizeof(call->header), call->thread->body, size))
		return -EIO;
	call->args = call->thread->body;
	return take_names(call, operation, call->thread->body + fixed, size - fixed);
}

static const struct operation *find_operation(uint32_t opcode)
{
	if (opcode >= ARRAY_SIZE(operations) || !operations[opcode].run)
		return NULL;
	return &operations[opcode];
}

static int run(struct fuse_call *call, const struct operation *operation)
{
	struct fuse_server *server = call->server;
	int r;

	if (!(operation->flags & OP_EARLY) && !(server->negotiated & FUSE_INITIALIZED))
		return -EIO;
	if ((operation->flags & OP_CHANGES) && server->options.readonly)
		return -EROFS;
	if (call->payload_max < operation->reply_min)
		return -EINVAL;
	r = take_body(call, operation);
	if (r < 0)
		return r;
	if (operation->flags & OP_NODE) {
		call->node = fuse_node_get(server, call->header.nodeid);
		if (!call->node)
			return -ESTALE;
	}
	r = operation->run(call);
	fuse_node_put(server, call->node);
	return r;
}

static uint32_t reply(struct fuse_call *call, int error)
{
	struct fuse_out_header header = { .error = error, .unique = call->header.unique };

	if (error == 0 && !call->direct && call->payload_size > call->payload_max)
		header.error = -ERANGE;
	if (header.error < 0)
		call->payload_size = 0;
	header.len = (uint32_t)sizeof(header) + call->payload_size;
	if (!copy_out(call->message, 0, &header, sizeof(header)))
		return 0;
	if (!call->direct &&
	    !copy_out(call->message, sizeof(header), call->payload, call->payload_size))
		return 0;
	return header.len;
}

void fuse_place_of(struct fuse_server *server, const struct fuse_message *message,
		   uint64_t *ret_container, uint64_t *ret_mount)
{
	struct fuse_in_header header;

	*ret_container = *ret_mount = 0;
	if (message->request_size >= sizeof(header) &&
	    copy_in(message, 0, &header, sizeof(header)) && header.opcode != FUSE_SYNCFS)
		fuse_node_place(server, header.nodeid, ret_container, ret_mount);
}

uint32_t fuse_serve(struct fuse_server *server, struct fuse_thread *thread,
		    const struct fuse_message *message)
{
	struct fuse_call call = {
		.server = server, .thread = thread, .message = message, .payload = thread->payload
	};
	const struct operation *operation;
	int r = -ENOSYS;

	/* No request at all, so no reply either. */
	if (message->request_size < sizeof(call.header) ||
	    !copy_in(message, 0, &call.header, sizeof(call.header)))
		return 0;
	operation = find_operation(call.header.opcode);
	if (operation && (operation->flags & OP_NO_REPLY)) {
		if (call.header.len == message->request_size)
			(void)run(&call, operation);
		return 0;
	}
	if (message->reply_size < sizeof(struct fuse_out_header))
		return 0;
	call.payload_max = MIN(message->reply_size - (uint32_t)sizeof(struct fuse_out_header),
			       (uint32_t)FUSE_PAYLOAD_MAX);
	if (call.header.len != message->request_size)
		r = -EINVAL;
	else if (operation)
		r = run(&call, operation);
	return call.kept ? 0 : reply(&call, r);
}
