/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar streams (POSIX.1-2017 "pax": ustar headers and extended ones; read are GNU's long names and
 * numbers, too), and trees of files from and to them.  The same source on host and guest.
 *
 * What is read is a peer's: sizes are bounded, and a tree is written below its destination alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buffer.h"
#include "base/error.h"

#define TAR_BLOCK 512
#define TAR_PATH_MAX 4096
#define TAR_XATTRS_MAX 64

struct tar_xattr {
	char *name;
	void *value;
	size_t size;
};
struct tar_entry {
	char *path; /* as it is said; of a directory without a slash at the end */
	char *link; /* of a symbolic or a hard link; else NULL */
	bool is_hard_link;
	mode_t mode; /* type and permissions; of a hard link a regular file's */
	uid_t uid;
	gid_t gid;
	uint64_t size; /* of what follows; 0 for all but regular files */
	struct timespec mtime;
	dev_t device;
	struct tar_xattr *xattrs;
	size_t n_xattrs;
};
void tar_entry_done(struct tar_entry *entry);
/* name: "user.x"; the value is copied. */
void tar_entry_add_xattr(struct tar_entry *entry, const char *name, const void *value, size_t size);

/* ---- format ---- */

/* Its headers. What it holds comes next, and zeros up to a whole block. */
void tar_put_entry(struct buffer *to, const struct tar_entry *entry);
void tar_put_end(struct buffer *to);
/* How many zeros. */
size_t tar_padding(uint64_t size);

struct tar_reader {
	int fd;
	uint64_t left;	/* of the present entry's content, and */
	size_t padding; /* behind it */
};
/* 1: an entry, whose content may be read (what is not is skipped); 0: there are no more.  EPROTO:
 * it is not a tar stream, or one that is not understood. */
int tar_next(struct tar_reader *reader, struct tar_entry *ret_entry, struct error **ret_error);
/* Of the content; 0: that is all. */
ssize_t tar_read(struct tar_reader *reader, void *bytes, size_t size, struct error **ret_error);

/* ---- trees ---- */

struct tar_pack {
	const char *source; /* a path; a link as its last part is packed as one, unless: */
	bool follows;
	/* Its name in the stream, and the beginning of all others'; NULL: the source is a
	 * directory, and called ".". */
	const char *name;
	bool stays;	 /* mount points below are empty directories, and files that are none */
	bool has_xattrs; /* user.* and security.capability */
};
/* Writes the stream to fd, with its end.  Left out: sockets, and what is gone, or another file,
 * before it is read.  ENOENT: the source is not there. */
int tar_pack(int fd, const struct tar_pack *pack, struct error **ret_error);

/* What overlayfs has written to its upper directory, as image-spec layer.md has it: whiteouts are
 * empty files called .wh.NAME, and a directory that hides what is below it has one called
 * .wh..wh..opq. */
struct tar_changes {
	int upper, merged; /* directories: the upper one, and the root of the mount */
	/* Absolute paths of mount points, which were made for the mounts; ends with NULL. */
	const char *const *mount_points;
	/* What has changed, not what it is now: files are empty, and directories that have only
	 * mount points are left out. */
	bool names_only;
};
#define TAR_WHITEOUT ".wh."
#define TAR_OPAQUE ".wh..wh..opq"
/* Writes the stream to fd, with its end.  What has changed meanwhile is there as it was before or
 * as it is then.  Left out: files that are called .wh.NAME, sockets. */
int tar_pack_changes(int fd, const struct tar_changes *changes, struct error **ret_error);

struct tar_unpack {
	/* As cp(1): a directory, which gets the entries; else, for a stream of one tree
	 * (tar_pack()), its new name.  NULL never. */
	const char *destination;
	bool is_raw;	 /* any stream, into a directory that is there */
	bool has_owners; /* set, with set-id bits; else all is ours */
	/* The stream is not to be trusted: no symbolic link is followed, and there are no device
	 * nodes, which are counted in *ret_left_out. */
	bool is_contained;
};
/* Reads the stream from fd.  ENOENT, ENOTDIR, EISDIR: of the destination, in docker's words. */
int tar_unpack(int fd, const struct tar_unpack *unpack, uint64_t *ret_left_out,
	       struct error **ret_error);
