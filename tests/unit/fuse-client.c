/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of FUSE: see fuse-client.h. */
#include "tests/unit/fuse-client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define FDS_MAX 1000

static pthread_mutex_t completions_lock = PTHREAD_MUTEX_INITIALIZER;
static struct client_completion completion;

struct client_completion client_completed(void)
{
	struct client_completion copy;

	(void)pthread_mutex_lock(&completions_lock);
	copy = completion;
	(void)pthread_mutex_unlock(&completions_lock);
	return copy;
}

static void complete(void *kept, const void *bytes, uint32_t size)
{
	CHECK_INT(size, sizeof(completion.header));
	(void)pthread_mutex_lock(&completions_lock);
	completion.count++;
	memcpy(&completion.header, bytes, sizeof(completion.header));
	(void)pthread_mutex_unlock(&completions_lock);
	free(kept);
}

static void *keep(void *data)
{
	*(bool *)data = true;
	return xmalloc(1);
}

void client_init(struct client *c, const struct client_options *options)
{
	struct fuse_options server = {
		.readonly = options->readonly,
		.staging = options->staging,
		.cache = options->cache,
		.cache_of = options->cache_of,
		.host_locks = options->host_locks,
		.fds_max = options->fds_max ? options->fds_max : FDS_MAX,
		.nodes_max = CLIENT_NODES_MAX,
		.complete = complete,
	};
	struct error *error = NULL;
	_cleanup_close_ int fd = -1;
	struct fuse_init_out out;

	*c = (struct client){ .uid = geteuid(), .gid = getegid(), .pid = 1 };
	c->dir = options->dir ? realpath(options->dir, NULL) : xstrdup("/tmp/fuse-XXXXXX");
	CHECK(c->dir && (options->dir || mkdtemp(c->dir)));
	fd = open(c->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	server.root_fd = fd;
	CHECK_OK(fuse_server_new(&server, &c->server, &error), &error);
	CHECK_OK(fuse_thread_new(false, &c->thread, &error), &error);
	if (!options->without_init)
		CHECK_INT(client_init_session(c, FUSE_KERNEL_MINOR_VERSION, UINT32_MAX, &out), 0);
}

void client_done(struct client *c)
{
	fuse_cancel(c->server);
	fuse_server_free(c->server);
	fuse_thread_free(c->thread);
	CHECK(remove_tree(c->dir, NULL) == 0);
	free(c->dir);
}

void client_clone(struct client *c, const struct client *other)
{
	struct error *error = NULL;

	/* What does not change while others use it. */
	*c = (struct client){ .server = other->server,
			      .dir = other->dir,
			      .unique = (uint64_t)(uintptr_t)c << 8,
			      .uid = other->uid,
			      .gid = other->gid };
	CHECK_OK(fuse_thread_new(false, &c->thread, &error), &error);
}

void client_clone_done(struct client *c)
{
	fuse_thread_free(c->thread);
}

/* As iovecs of `piece` bytes (0: of unequal sizes), each allocated apart so that a
 * sanitizer sees one byte too far. */
static unsigned split(size_t piece, const void *bytes, size_t size,
		      struct iovec ret_iov[FUSE_IOV_MAX])
{
	static const size_t sizes[] = { 40, 7, 1, 4096, 100000 };
	unsigned n = 0;

	for (size_t at = 0; at < size; n++) {
		size_t i = MIN((size_t)n, ARRAY_SIZE(sizes) - 1);
		size_t part = MIN(size - at, piece ? piece : sizes[i]);

		CHECK(n < FUSE_IOV_MAX);
		ret_iov[n] = (struct iovec){ .iov_base = xmalloc(part), .iov_len = part };
		if (bytes)
			memcpy(ret_iov[n].iov_base, (const char *)bytes + at, part);
		at += part;
	}
	return n;
}

static void join(struct iovec *iov, unsigned n, void *ret_bytes)
{
	char *at = ret_bytes;

	for (unsigned i = 0; i < n; i++) {
		if (at) {
			memcpy(at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
		free(iov[i].iov_base);
	}
}

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define CHECK_FILLED(bytes, size) __msan_check_mem_is_initialized(bytes, size)
#endif
#endif
#ifndef CHECK_FILLED
#define CHECK_FILLED(bytes, size) (void)(bytes)
#endif

static uint32_t serve(struct client *c, const void *request, size_t size, void *reply, size_t room,
		      bool *ret_kept)
{
	struct iovec out[FUSE_IOV_MAX], in[FUSE_IOV_MAX];
	struct fuse_message message = {
		.request = out,
		.n_request = split(c->piece, request, size, out),
		.request_size = (uint32_t)size,
		.reply = in,
		.n_reply = split(c->piece, NULL, room, in),
		.reply_size = (uint32_t)room,
		.keep = keep,
		.data = ret_kept,
	};
	uint32_t written;

	*ret_kept = false;
	written = fuse_serve(c->server, c->thread, &message);
	CHECK(written <= room);
	/* A kept reply's place must stay; it is the test's complete() that frees. */
	join(out, message.n_request, NULL);
	join(in, message.n_reply, reply);
	/* All that the guest is told has been written. */
	if (reply)
		CHECK_FILLED(reply, written);
	return written;
}

uint32_t client_raw(struct client *c, const void *request, size_t size, void *reply, size_t room)
{
	bool kept;

	return serve(c, request, size, reply, room, &kept);
}

int client_send(struct client *c, uint32_t opcode, uint64_t node, const struct client_body *parts,
		unsigned n_parts, void *ret_body, size_t room, size_t *ret_size)
{
	struct fuse_in_header header = { .len = sizeof(header),
					 .opcode = opcode,
					 .unique = ++c->unique,
					 .nodeid = node,
					 .uid = c->uid,
					 .gid = c->gid,
					 .pid = c->pid };
	_cleanup_free_ char *reply = xcalloc(1, room + sizeof(struct fuse_out_header));
	_cleanup_free_ char *request = NULL;
	struct fuse_out_header out;
	size_t at = sizeof(header);
	uint32_t written;
	bool kept;

	for (unsigned i = 0; i < n_parts; i++)
		header.len += (uint32_t)parts[i].size;
	request = xmalloc(header.len);
	memcpy(request, &header, sizeof(header));
	for (unsigned i = 0; i < n_parts; i++) {
		if (parts[i].size > 0)
			memcpy(request + at, parts[i].bytes, parts[i].size);
		at += parts[i].size;
	}
	written = serve(c, request, header.len, reply, room + sizeof(out), &kept);
	if (kept) {
		CHECK_INT(written, 0);
		return CLIENT_KEPT;
	}
	CHECK(written >= sizeof(out));
	memcpy(&out, reply, sizeof(out));
	CHECK_INT(out.len, written);
	CHECK_INT(out.unique, header.unique);
	CHECK(out.error <= 0 && out.error > -512);
	CHECK(out.error == 0 || out.len == sizeof(out));
	if (ret_size)
		*ret_size = out.len - sizeof(out);
	if (out.error == 0 && ret_body)
		memcpy(ret_body, reply + sizeof(out), out.len - sizeof(out));
	return out.error;
}

/* ---- one function per operation ---- */

#define PART(value)                                                                                \
	{                                                                                          \
		&(value), sizeof(value)                                                            \
	}
#define NAME(name)                                                                                 \
	{                                                                                          \
		(name), strlen(name) + 1                                                           \
	}
#define SEND(c, opcode, node, parts, body, room, size)                                             \
	client_send((c), (opcode), (node), (parts), ARRAY_SIZE(parts), (body), (room), (size))

/* A reply of exactly this struct. */
static int send_for(struct client *c, uint32_t opcode, uint64_t node,
		    const struct client_body *parts, unsigned n_parts, void *ret_body, size_t size)
{
	size_t got = 0;
	int r = client_send(c, opcode, node, parts, n_parts, ret_body, size, &got);

	if (r == 0)
		CHECK_INT(got, size);
	return r;
}

int client_init_session(struct client *c, uint32_t minor, uint32_t flags,
			struct fuse_init_out *ret_out)
{
	const struct fuse_init_in in = { .major = FUSE_KERNEL_VERSION,
					 .minor = minor,
					 .max_readahead = 1 << 20,
					 .flags = flags };
	const struct client_body parts[] = { PART(in) };
	int r = send_for(c, FUSE_INIT, 0, parts, 1, ret_out, sizeof(*ret_out));

	if (r == 0)
		c->init_flags = ret_out->flags;
	return r;
}

int client_lookup(struct client *c, uint64_t parent, const char *name,
		  struct fuse_entry_out *ret_entry)
{
	const struct client_body parts[] = { NAME(name) };

	return send_for(c, FUSE_LOOKUP, parent, parts, 1, ret_entry, sizeof(*ret_entry));
}

uint64_t client_walk(struct client *c, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path);
	uint64_t node = FUSE_ROOT_ID;

	for (char *name = strtok(copy, "/"); name; name = strtok(NULL, "/")) {
		struct fuse_entry_out entry;

		CHECK_INT(client_lookup(c, node, name, &entry), 0);
		node = entry.nodeid;
	}
	return node;
}

void client_forget(struct client *c, uint64_t node, uint64_t lookups)
{
	struct {
		struct fuse_in_header header;
		struct fuse_forget_in in;
	} request = { .header = { .len = sizeof(request),
				  .opcode = FUSE_FORGET,
				  .unique = ++c->unique,
				  .nodeid = node },
		      .in = { .nlookup = lookups } };

	CHECK_INT(client_raw(c, &request, sizeof(request), NULL, 0), 0);
}

int client_getattr(struct client *c, uint64_t node, struct fuse_attr *ret_attr)
{
	const struct fuse_getattr_in in = { 0 };
	const struct client_body parts[] = { PART(in) };
	struct fuse_attr_out out;
	int r = send_for(c, FUSE_GETATTR, node, parts, 1, &out, sizeof(out));

	if (r == 0)
		*ret_attr = out.attr;
	return r;
}

int client_setattr(struct client *c, uint64_t node, const struct fuse_setattr_in *in)
{
	const struct client_body parts[] = { PART(*in) };
	struct fuse_attr_out out;

	return send_for(c, FUSE_SETATTR, node, parts, 1, &out, sizeof(out));
}

static int send_for_entry(struct client *c, uint32_t opcode, uint64_t parent,
			  const struct client_body *parts, unsigned n_parts, uint64_t *ret_node)
{
	struct fuse_entry_out entry;
	int r = send_for(c, opcode, parent, parts, n_parts, &entry, sizeof(entry));

	if (r == 0 && ret_node)
		*ret_node = entry.nodeid;
	return r;
}

int client_mkdir(struct client *c, uint64_t parent, const char *name, mode_t mode, mode_t mask,
		 uint64_t *ret_node)
{
	const struct fuse_mkdir_in in = { .mode = mode, .umask = mask };
	const struct client_body parts[] = { PART(in), NAME(name) };

	return send_for_entry(c, FUSE_MKDIR, parent, parts, 2, ret_node);
}

int client_mknod(struct client *c, uint64_t parent, const char *name, mode_t mode, uint32_t rdev,
		 uint64_t *ret_node)
{
	const struct fuse_mknod_in in = { .mode = mode, .rdev = rdev };
	const struct client_body parts[] = { PART(in), NAME(name) };

	return send_for_entry(c, FUSE_MKNOD, parent, parts, 2, ret_node);
}

int client_symlink(struct client *c, uint64_t parent, const char *name, const char *target)
{
	const struct client_body parts[] = { NAME(name), NAME(target) };

	return send_for_entry(c, FUSE_SYMLINK, parent, parts, 2, NULL);
}

int client_remove(struct client *c, uint32_t opcode, uint64_t parent, const char *name)
{
	const struct client_body parts[] = { NAME(name) };

	return send_for(c, opcode, parent, parts, 1, NULL, 0);
}

int client_rename(struct client *c, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, uint32_t flags)
{
	const struct fuse_rename2_in in = { .newdir = new_parent, .flags = flags };
	const struct client_body parts[] = { PART(in), NAME(name), NAME(new_name) };

	return send_for(c, FUSE_RENAME2, parent, parts, 3, NULL, 0);
}

int client_link(struct client *c, uint64_t node, uint64_t parent, const char *name)
{
	const struct fuse_link_in in = { .oldnodeid = node };
	const struct client_body parts[] = { PART(in), NAME(name) };

	return send_for_entry(c, FUSE_LINK, parent, parts, 2, NULL);
}

int client_create(struct client *c, uint64_t parent, const char *name, uint32_t flags, mode_t mode,
		  uint64_t *ret_node, uint64_t *ret_fh)
{
	const struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | mode };
	const struct client_body parts[] = { PART(in), NAME(name) };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	int r = send_for(c, FUSE_CREATE, parent, parts, 2, &out, sizeof(out));

	if (r == 0) {
		*ret_node = out.entry.nodeid;
		*ret_fh = out.open.fh;
	}
	return r;
}

static int send_open(struct client *c, uint32_t opcode, uint64_t node, uint32_t flags,
		     struct fuse_open_out *ret_out)
{
	const struct fuse_open_in in = { .flags = flags };
	const struct client_body parts[] = { PART(in) };

	return send_for(c, opcode, node, parts, 1, ret_out, sizeof(*ret_out));
}

int client_open_once(struct client *c, uint64_t node, uint32_t flags, struct fuse_open_out *ret_out)
{
	return send_open(c, FUSE_OPEN, node, flags, ret_out);
}

int client_open(struct client *c, uint64_t node, uint32_t flags, struct fuse_open_out *ret_out)
{
	int r = client_open_once(c, node, flags, ret_out);

	return r == -ESTALE ? client_open_once(c, node, flags, ret_out) : r;
}

int client_opendir(struct client *c, uint64_t node, uint64_t *ret_fh)
{
	struct fuse_open_out out;
	int r = send_open(c, FUSE_OPENDIR, node, O_RDONLY, &out);

	if (r == 0)
		*ret_fh = out.fh;
	return r;
}

int client_release(struct client *c, uint32_t opcode, uint64_t node, uint64_t fh)
{
	const struct fuse_release_in in = { .fh = fh };
	const struct client_body parts[] = { PART(in) };

	return send_for(c, opcode, node, parts, 1, NULL, 0);
}

int client_read(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, void *ret_bytes,
		uint32_t size)
{
	const struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size };
	const struct client_body parts[] = { PART(in) };
	size_t got = 0;
	int r = SEND(c, FUSE_READ, node, parts, ret_bytes, size, &got);

	return r < 0 ? r : (int)got;
}

int client_write(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
		 uint32_t size, uint32_t write_flags)
{
	const struct fuse_write_in in = {
		.fh = fh, .offset = offset, .size = size, .write_flags = write_flags
	};
	const struct client_body parts[] = { PART(in), { bytes, size } };
	struct fuse_write_out out;
	int r = send_for(c, FUSE_WRITE, node, parts, 2, &out, sizeof(out));

	return r < 0 ? r : (int)out.size;
}

int client_setxattr(struct client *c, uint64_t node, const char *name, const void *value,
		    uint32_t size, uint32_t flags)
{
	const struct fuse_setxattr_in in = { .size = size, .flags = flags };
	const struct client_body parts[] = { PART(in), NAME(name), { value, size } };

	return send_for(c, FUSE_SETXATTR, node, parts, 3, NULL, 0);
}

int client_getxattr(struct client *c, uint64_t node, const char *name, void *ret_value,
		    uint32_t size)
{
	const struct fuse_getxattr_in in = { .size = size };
	const struct client_body parts[] = { PART(in), NAME(name) };
	struct fuse_getxattr_out out;
	size_t got = 0;
	int r;

	if (size > 0) {
		r = SEND(c, FUSE_GETXATTR, node, parts, ret_value, size, &got);
		return r < 0 ? r : (int)got;
	}
	r = send_for(c, FUSE_GETXATTR, node, parts, 2, &out, sizeof(out));
	return r < 0 ? r : (int)out.size;
}

int client_lock(struct client *c, uint32_t opcode, uint64_t node, const struct fuse_lk_in *in,
		struct fuse_lk_out *ret_out)
{
	const struct client_body parts[] = { PART(*in) };

	if (opcode == FUSE_GETLK)
		return send_for(c, opcode, node, parts, 1, ret_out, sizeof(*ret_out));
	return send_for(c, opcode, node, parts, 1, NULL, 0);
}
