/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories: see fuse-parts.h.
 *
 * An offset is the host's (d_off).  So much is read from the host's directory
 * at once that all of it fits the reply: no record grows by more than one of
 * RECORD_MIN bytes does, so nothing is left over and the next request goes on
 * where the descriptor is.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "rootfs/share/fuse-parts.h"

/* What getdents64(2) fills in, which no header has. */
struct dirent_record {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};
#define RECORD_MIN 24 /* a name of one to four bytes */
/* Longest possible reply for a record of RECORD_MIN bytes, over that. */
#define PLAIN_SIZE FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 4)
#define PLUS_SIZE FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + 4)

int fuse_op_opendir(struct fuse_call *call)
{
	struct fuse_server *server = call->server;
	struct fuse_open_out *out = call->payload;
	int path_fd = fuse_node_fd(call->node);
	uint64_t id;
	int fd, r;

	if (path_fd < 0)
		return path_fd;
	if (!S_ISDIR(call->node->type))
		return -ENOTDIR;
	fd = fuse_reopen(path_fd, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return -errno;
	r = fuse_handle_add(server, call->node, fd, O_RDONLY, &id);
	if (r < 0)
		return r;
	*out = (struct fuse_open_out){ .fh = id };
	if (call->node->cache == FUSE_CACHE_ALWAYS)
		out->open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	call->payload_size = sizeof(*out);
	return 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Appends one entry to the reply. */
static void add_entry(struct fuse_call *call, const struct fuse_handle *handle,
		      const struct dirent_record *record, bool plus)
{
	char *at = (char *)call->payload + call->payload_size;
	size_t length = strlen(record->name);
	size_t size = plus ? FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + length)
			   : FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
	struct fuse_dirent *dirent = (struct fuse_dirent *)at;

	memset(at, 0, size);
	if (plus) {
		struct fuse_direntplus *entry = (struct fuse_direntplus *)at;

		/* Without attributes where there are none: the file may be gone. */
		if (!is_dots(record->name))
			(void)fuse_fill_entry(call->server, handle->node, record->name,
					      &entry->entry_out, NULL);
		dirent = &entry->dirent;
	}
	dirent->ino = fuse_ino(handle->node, record->ino);
	/* Above the root there is nothing to be known. */
	if (handle->node == call->server->root && strcmp(record->name, "..") == 0)
		dirent->ino = handle->node->key.ino;
	dirent->off = (uint64_t)record->off;
	dirent->namelen = (uint32_t)length;
	dirent->type = record->type;
	memcpy(dirent->name, record->name, length);
	call->payload_size += (uint32_t)size;
}

/* handle->lock held. */
static int read_entries(struct fuse_call *call, struct fuse_handle *handle, bool plus)
{
	const struct fuse_read_in *in = call->args;
	uint32_t room = MIN(in->size, call->payload_max);
	size_t size = (size_t)room * RECORD_MIN / (plus ? PLUS_SIZE : PLAIN_SIZE);
	char *records = call->thread->scratch;
	/* Names there are secrets between the host and the agent: any container that may mount
	 * the device sees them otherwise. */
	const bool hidden = fuse_is_staging(call->server, handle->node);
	long got;

	if (in->offset != handle->position && lseek(handle->fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	handle->position = in->offset;
	got = syscall(SYS_getdents64, handle->fd, records, size);
	if (got < 0)
		return -errno;
	for (long at = 0; at < got;) {
		const struct dirent_record *record = (struct dirent_record *)(records + at);

		if (!hidden || is_dots(record->name))
			add_entry(call, handle, record, plus);
		handle->position = (uint64_t)record->off;
		at += record->reclen;
	}
	return 0;
}

static int read_directory(struct fuse_call *call, bool plus)
{
	const struct fuse_read_in *in = call->args;
	struct fuse_handle *handle = fuse_handle_get(call->server, in->fh, true);
	int r;

	if (!handle)
		return -EBADF;
	(void)pthread_mutex_lock(&handle->lock);
	r = read_entries(call, handle, plus);
	(void)pthread_mutex_unlock(&handle->lock);
	fuse_handle_put(call->server, handle);
	return r;
}

int fuse_op_readdir(struct fuse_call *call)
{
	return read_directory(call, false);
}

int fuse_op_readdirplus(struct fuse_call *call)
{
	return read_directory(call, true);
}

int fuse_op_releasedir(struct fuse_call *call)
{
	const struct fuse_release_in *in = call->args;

	fuse_handle_remove(call->server, in->fh);
	return 0;
}

int fuse_op_fsyncdir(struct fuse_call *call)
{
	return fuse_sync_handle(call, true);
}
