/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an image layout: see layout.h. */
#include "rootfs/registry/layout.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/registry/actions.h"

#define BLOCK_SIZE 65536
#define NAME_MAX_BYTES 4096
#define LINKS_MAX 8 /* followed one after the other */

struct member {
	char *name;
	int fd;	      /* -1: a link */
	char *target; /* of a link: another member's name */
};

struct layout {
	char *path;    /* for messages */
	int directory; /* -1: an archive */
	struct member *members;
	size_t n;
	uint64_t bytes;
};

DEFINE_CLEANUP(struct archive, archive_read_free)

void layout_free(struct layout *layout)
{
	if (!layout)
		return;
	for (size_t i = 0; i < layout->n; i++) {
		close_fdp(&layout->members[i].fd);
		free(layout->members[i].name);
		free(layout->members[i].target);
	}
	free(layout->members);
	close_fdp(&layout->directory);
	free(layout->path);
	free(layout);
}

/* "a/b" of "./a//x/../b"; NULL: it leads out, or to the top.  Caller frees. */
static char *plain_name(const char *name)
{
	_cleanup_free_ char *plain = xcalloc(strlen(name) + 2, 1);
	size_t end = 0;

	while (*name) {
		const size_t length = strcspn(name, "/");

		if (length == 2 && strncmp(name, "..", 2) == 0) {
			if (end == 0)
				return NULL;
			while (end > 0 && plain[--end] != '/')
				;
		} else if (length > 0 && !(length == 1 && name[0] == '.')) {
			if (end > 0)
				plain[end++] = '/';
			memcpy(plain + end, name, length);
			end += length;
		}
		name += length + (name[length] == '/');
	}
	plain[end] = '\0';
	return end > 0 ? TAKE_PTR(plain) : NULL;
}

static struct member *find(struct layout *layout, const char *name)
{
	/* The last one of a name counts. */
	for (size_t i = layout->n; i > 0; i--)
		if (strcmp(layout->members[i - 1].name, name) == 0)
			return &layout->members[i - 1];
	return NULL;
}

/* ---- archives ---- */

static int copy_data(struct layout *layout, struct archive *archive, int fd,
		     struct error **ret_error)
{
	_cleanup_free_ char *block = xmalloc(BLOCK_SIZE);
	la_ssize_t n;

	while ((n = archive_read_data(archive, block, BLOCK_SIZE)) > 0) {
		layout->bytes += (uint64_t)n;
		if (layout->bytes > LAYOUT_BYTES_MAX)
			return error_set(ret_error, EFBIG, "%s: more than %llu GiB", layout->path,
					 LAYOUT_BYTES_MAX >> 30);
		if (write_all(fd, block, (size_t)n) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot write the members of %s to the image store",
					       layout->path);
	}
	if (n < 0)
		return error_set(ret_error, EBADMSG, "%s: %s", layout->path,
				 archive_error_string(archive));
	return 0;
}

/* A symbolic link's target is relative to its own place, a hard link's to the top. */
static char *link_target(const char *name, struct archive_entry *entry)
{
	const char *hard = archive_entry_hardlink(entry);
	const char *symbolic = archive_entry_symlink(entry);
	_cleanup_free_ char *joined = NULL;
	const char *slash = strrchr(name, '/');

	if (hard)
		return plain_name(hard);
	if (!symbolic || symbolic[0] == '/')
		return NULL;
	joined = xasprintf("%.*s/%s", slash ? (int)(slash - name) : 0, name, symbolic);
	return plain_name(joined);
}

static int add_member(struct layout *layout, struct archive *archive, struct archive_entry *entry,
		      const char *temporary, struct error **ret_error)
{
	const char *raw = archive_entry_pathname(entry);
	_cleanup_free_ char *name = NULL, *target = NULL;
	_cleanup_close_ int fd = -1;

	if (!raw || strlen(raw) > NAME_MAX_BYTES)
		return 0;
	name = plain_name(raw);
	if (!name)
		return 0;
	target = link_target(name, entry);
	if (!target && (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)))
		return 0;
	if (layout->n == LAYOUT_MEMBERS_MAX)
		return error_set(ret_error, E2BIG, "%s: more than %d files", layout->path,
				 LAYOUT_MEMBERS_MAX);
	if (!target) {
		fd = open_unnamed_file(temporary);
		if (fd < 0)
			return error_set_errno(ret_error, errno, "cannot make a file in %s",
					       temporary);
		if (copy_data(layout, archive, fd, ret_error) < 0)
			return -1;
	}
	layout->members = xreallocarray(layout->members, layout->n + 1, sizeof(*layout->members));
	layout->members[layout->n++] =
	    (struct member){ TAKE_PTR(name), TAKE_FD(fd), TAKE_PTR(target) };
	return 0;
}

static int read_archive(struct layout *layout, int fd, const char *temporary,
			struct error **ret_error)
{
	_cleanup_(archive_read_freep) struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	int result;

	/* Not ARCHIVE_WARN: that would run a program for it.  (For some others libarchive always
	 * does: an archive would choose what runs here.) */
	if (!archive || archive_read_support_format_tar(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(archive) != ARCHIVE_OK)
		return error_set(ret_error, ENOMEM, "cannot set up libarchive");
	if (archive_read_open_fd(archive, fd, BLOCK_SIZE) != ARCHIVE_OK)
		return error_set(ret_error, EBADMSG, "%s: %s", layout->path,
				 archive_error_string(archive));
	while ((result = archive_read_next_header(archive, &entry)) == ARCHIVE_OK ||
	       result == ARCHIVE_WARN)
		if (add_member(layout, archive, entry, temporary, ret_error) < 0)
			return -1;
	if (result != ARCHIVE_EOF)
		return error_set(ret_error, EBADMSG, "%s: %s", layout->path,
				 archive_error_string(archive));
	return 0;
}

/* Each member is a descriptor. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int layout_open(const char *path, const char *temporary, struct layout **ret_layout,
		struct error **ret_error)
{
	_cleanup_(layout_freep) struct layout *layout = xcalloc(1, sizeof(*layout));
	_cleanup_close_ int fd = -1;
	struct stat st;

	layout->directory = -1;
	layout->path = xstrdup(path);
	if (action_open_input(path, &fd, &st, ret_error) < 0)
		return -1;
	if (S_ISDIR(st.st_mode)) {
		layout->directory = TAKE_FD(fd);
	} else {
		allow_descriptors();
		if (read_archive(layout, fd, temporary, ret_error) < 0)
			return -1;
	}
	*ret_layout = TAKE_PTR(layout);
	return 0;
}

/* ---- files ---- */

static int open_regular(const struct layout *layout, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	_cleanup_free_ char *plain = plain_name(name);
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!plain) {
		errno = ENOENT;
		return -1;
	}
	fd = (int)syscall(SYS_openat2, layout->directory, plain, &how, sizeof(how));
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		errno = ENOENT;
		return -1;
	}
	return TAKE_FD(fd);
}

/* A description of its own, so that offsets are; -1: there is none. */
static int open_member(struct layout *layout, const char *name)
{
	_cleanup_free_ char *plain = plain_name(name);
	struct member *member = plain ? find(layout, plain) : NULL;
	char path[64];

	for (size_t i = 0; member && member->target && i < LINKS_MAX; i++)
		member = find(layout, member->target);
	if (!member || member->fd < 0) {
		errno = ENOENT;
		return -1;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", member->fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int layout_open_file(struct layout *layout, const char *name, int *ret_fd, struct error **ret_error)
{
	const int fd =
	    layout->directory >= 0 ? open_regular(layout, name) : open_member(layout, name);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "%s: cannot open %s", layout->path, name);
	*ret_fd = fd;
	return 0;
}

int layout_read_file(struct layout *layout, const char *name, size_t size_max, char **ret_text,
		     size_t *ret_size, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (layout_open_file(layout, name, &fd, ret_error) < 0)
		return -1;
	return read_file_fd(fd, name, size_max, ret_text, ret_size, ret_error);
}

int file_digest(int fd, int copy_fd, char ret_digest[DIGEST_SIZE], struct error **ret_error)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;
	_cleanup_free_ char *block = xmalloc(BLOCK_SIZE);
	ssize_t n;

	if (digest_begin(&digest, ret_error) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot read a layer");
	while ((n = read_all(fd, block, BLOCK_SIZE)) > 0) {
		if (digest_add(digest, block, (size_t)n, ret_error) < 0)
			return -1;
		if (copy_fd >= 0 && write_all(copy_fd, block, (size_t)n) < 0)
			return error_set_errno(ret_error, errno, "cannot keep a layer");
	}
	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read a layer");
	return digest_end(TAKE_PTR(digest), ret_digest, ret_error);
}

int layout_digest_file(struct layout *layout, const char *name, char ret_digest[DIGEST_SIZE],
		       struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (layout_open_file(layout, name, &fd, ret_error) < 0)
		return -1;
	return file_digest(fd, -1, ret_digest, ret_error);
}

char *layout_blob_name(const char *digest)
{
	return xasprintf("blobs/sha256/%s", digest_hex(digest));
}
