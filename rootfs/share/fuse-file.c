/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with open files: see fuse-parts.h. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include <sys/uio.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "rootfs/share/fuse-parts.h"

/* fuse_fsync_in.fsync_flags, which have no name in the header: data only. */
#define FSYNC_DATA 1U
/* At once; the guest asks again for the rest. */
#define COPY_MAX (128U << 20)

_Static_assert(FUSE_IOV_MAX <= IOV_MAX, "preadv(2) takes a whole message at once");

int fuse_op_read(struct fuse_call *call)
{
	const struct fuse_read_in *in = call->args;
	const struct fuse_message *message = call->message;
	struct fuse_handle *handle = fuse_handle_get(call->server, in->fh, false);
	struct iovec iov[FUSE_IOV_MAX];
	unsigned n;
	ssize_t size;

	if (!handle)
		return -EBADF;
	n = iov_slice(message->reply, message->n_reply, sizeof(struct fuse_out_header), in->size,
		      iov);
	size = preadv(handle->fd, iov, (int)n, (off_t)in->offset);
	fuse_handle_put(call->server, handle);
	if (size < 0)
		return -errno;
	call->payload_size = (uint32_t)size;
	call->direct = true;
	return 0;
}

int fuse_op_write(struct fuse_call *call)
{
	const struct fuse_write_in *in = call->args;
	const struct fuse_message *message = call->message;
	const uint32_t head = sizeof(struct fuse_in_header) + sizeof(*in);
	bool kill = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
	struct fuse_write_out *out = call->payload;
	struct fuse_handle *handle;
	struct iovec iov[FUSE_IOV_MAX];
	ssize_t size;
	unsigned n;

	if (in->size > message->request_size - head)
		return -EINVAL;
	handle = fuse_handle_get(call->server, in->fh, false);
	if (!handle)
		return -EBADF;
	n = iov_slice(message->request, message->n_request, head, in->size, iov);
	kill = kill && fuse_drop_fsetid(call->thread, &call->header, handle->fd);
	size = pwritev(handle->fd, iov, (int)n, (off_t)in->offset);
	if (size < 0)
		size = -errno;
	if (kill)
		fuse_regain_fsetid(call->thread);
	fuse_handle_put(call->server, handle);
	if (size < 0)
		return (int)size;
	*out = (struct fuse_write_out){ .size = (uint32_t)size };
	call->payload_size = sizeof(*out);
	return 0;
}

/* close(2): the owner's POSIX locks go, and a file system that keeps writes back
 * (NFS) may have an error to tell. */
int fuse_op_flush(struct fuse_call *call)
{
	const struct fuse_flush_in *in = call->args;
	struct fuse_handle *handle = fuse_handle_get(call->server, in->fh, false);
	int r = 0;

	if (!handle)
		return -EBADF;
	fuse_locks_drop(call->server, handle->node, in->lock_owner);
	if (handle->writable) {
		int fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);

		if (fd < 0 || close(fd) < 0)
			r = -errno;
	}
	fuse_handle_put(call->server, handle);
	return r;
}

int fuse_sync_handle(struct fuse_call *call, bool directory)
{
	const struct fuse_fsync_in *in = call->args;
	struct fuse_handle *handle = fuse_handle_get(call->server, in->fh, directory);
	int r;

	if (!handle)
		return -EBADF;
	r = in->fsync_flags & FSYNC_DATA ? fdatasync(handle->fd) : fsync(handle->fd);
	if (r < 0)
		r = -errno;
	fuse_handle_put(call->server, handle);
	return r;
}

int fuse_op_fsync(struct fuse_call *call)
{
	return fuse_sync_handle(call, false);
}

int fuse_op_fallocate(struct fuse_call *call)
{
	const struct fuse_fallocate_in *in = call->args;
	struct fuse_handle *handle;
	bool killing;
	int r = 0;

	if (in->mode & ~(uint32_t)FUSE_FALLOCATE_MODES)
		return -EOPNOTSUPP;
	handle = fuse_handle_get(call->server, in->fh, false);
	if (!handle)
		return -EBADF;
	killing = fuse_may_lack_fsetid(&call->header) &&
		  fuse_drop_fsetid(call->thread, &call->header, handle->fd);
	if (fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
		r = -errno;
	if (killing)
		fuse_regain_fsetid(call->thread);
	fuse_handle_put(call->server, handle);
	return r;
}

/* The guest's kernel seeks by itself, but for data and holes. */
int fuse_op_lseek(struct fuse_call *call)
{
	const struct fuse_lseek_in *in = call->args;
	struct fuse_lseek_out *out = call->payload;
	struct fuse_handle *handle;
	off_t offset;

	/* The guest has data that is not here yet, and does not bring it first: then
	 * it must not take a hole of the host's for one. */
	if (call->server->negotiated & FUSE_WRITEBACK_CACHE)
		return -ENOSYS;
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL;
	handle = fuse_handle_get(call->server, in->fh, false);
	if (!handle)
		return -EBADF;
	offset = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	if (offset < 0)
		offset = -errno;
	fuse_handle_put(call->server, handle);
	if (offset < 0)
		return (int)offset;
	*out = (struct fuse_lseek_out){ .offset = (uint64_t)offset };
	call->payload_size = sizeof(*out);
	return 0;
}

int fuse_op_copy_file_range(struct fuse_call *call)
{
	const struct fuse_copy_file_range_in *in = call->args;
	struct fuse_write_out *out = call->payload;
	struct fuse_handle *from, *to;
	off_t from_offset = (off_t)in->off_in, to_offset = (off_t)in->off_out;
	ssize_t size = -EBADF;

	if (in->flags)
		return -EINVAL; /* there are none */
	from = fuse_handle_get(call->server, in->fh_in, false);
	to = fuse_handle_get(call->server, in->fh_out, false);
	if (from && to) {
		const bool killing = fuse_may_lack_fsetid(&call->header) &&
				     fuse_drop_fsetid(call->thread, &call->header, to->fd);

		size = copy_file_range(from->fd, &from_offset, to->fd, &to_offset,
				       (size_t)MIN(in->len, (uint64_t)COPY_MAX), 0);
		if (size < 0)
			size = -errno;
		if (killing)
			fuse_regain_fsetid(call->thread);
	}
	fuse_handle_put(call->server, from);
	fuse_handle_put(call->server, to);
	if (size < 0)
		return (int)size;
	*out = (struct fuse_write_out){ .size = (uint32_t)size };
	call->payload_size = sizeof(*out);
	return 0;
}

static int sync_device_of(const struct fuse_node *node)
{
	int path_fd = fuse_node_fd(node);
	_cleanup_close_ int fd = -1;

	if (path_fd < 0)
		return path_fd;
	fd = fuse_reopen(path_fd, O_RDONLY);
	if (fd < 0 || syncfs(fd) < 0)
		return -errno;
	return 0;
}

/* To the guest it is one file system, to the host any number. */
int fuse_op_syncfs(struct fuse_call *call)
{
	struct fuse_node *nodes[FUSE_DEVICES_MAX];
	size_t n = fuse_nodes_of_devices(call->server, nodes);
	int result = 0;

	for (size_t i = 0; i < n; i++) {
		int r = sync_device_of(nodes[i]);

		/* A file that is gone has nothing to write. */
		if (r < 0 && r != -ESTALE && result == 0)
			result = r;
		fuse_node_put(call->server, nodes[i]);
	}
	return result;
}
