/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: whole reads and writes, small files, pipes, unix sockets of any
 * path length, and passing descriptors between processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads or writes all of it, going on after EINTR and short counts.  At the
 * end of the file read_all() returns what there was (0..size); -1 with errno. */
ssize_t read_all(int fd, void *bytes, size_t size);
int write_all(int fd, const void *bytes, size_t size);
/* Copies that many bytes of a file, from *at on, which moves along, or, if at is NULL, from where
 * it stands, to where another stands.  Returns how many there were: fewer if the file ends before;
 * -1 with errno. */
ssize_t copy_bytes(int from_fd, off_t *at, int to_fd, size_t size);

/* The whole file at path, NUL-terminated (the NUL not counted), at most
 * max_size bytes (EFBIG above).  "-" is not special.  Caller frees. */
int read_file(const char *path, size_t max_size, char **ret_text, size_t *ret_size,
	      struct error **ret_error);
/* For reading; -1 with errno, EINVAL: it is not a regular file, which is known without waiting for
 * a FIFO's writer.  flags: O_NOFOLLOW, where the directory's contents may be anybody's, or 0. */
int open_regular_file(int dir_fd, const char *path, int flags);
/* read_file() of open_regular_file() with O_NOFOLLOW. */
int read_regular_file(const char *path, size_t max_size, char **ret_text, size_t *ret_size,
		      struct error **ret_error);
int read_file_fd(int fd, const char *name, size_t max_size, char **ret_text, size_t *ret_size,
		 struct error **ret_error);

/* Replaces the file atomically (temporary file beside it, rename).  No fsync: what we write so is
 * about processes that a crash of the host ends too. */
int write_file_atomic(const char *path, const void *bytes, size_t size, mode_t mode,
		      struct error **ret_error);
/* The same for what is the user's: after a crash of the host the file is the old or the new one. */
int write_file_synced(const char *path, const void *bytes, size_t size, mode_t mode,
		      struct error **ret_error);
/* Writes to an existing file in one write(2): sysfs, procfs, cgroupfs. */
int write_file(const char *path, const char *text, struct error **ret_error);

int set_nonblocking(int fd, bool nonblocking); /* -1 with errno */
int set_cloexec(int fd, bool cloexec);	       /* -1 with errno */

/* flock(2), going on after EINTR; -1 with errno. */
int lock_file(int fd, int operation);
/* A connection that was under way (EINPROGRESS) and of which something is told has succeeded. */
bool socket_is_connected(int fd);

/* Is there a directory of this name, with nothing in it? */
bool directory_is_empty(int dir_fd, const char *name);
/* A file without a name, for reading and writing, on whatever file system; -1 with errno. */
int open_unnamed_file(const char *directory);
/* path, from the current directory on if it is relative; caller frees. */
int absolute_path(const char *path, char **ret_path, struct error **ret_error);
/* Makes the directory and its missing parents; one that exists is fine. */
int make_directories(const char *path, mode_t mode, struct error **ret_error);
/* Removes what is at path, recursively, not following links and not crossing
 * into other mounts; nothing there is fine. */
int remove_tree(const char *path, struct error **ret_error);
/* False after chroot(2) into a directory like any other: then no mount can be changed by
 * the name of "/", and no other root be made.  True where it cannot be told. */
bool root_is_mount_point(void);

/* Both ends close on exec. */
int pipe_open(int *ret_reading, int *ret_writing, struct error **ret_error);

/*
 * Unix stream sockets.  A path longer than sun_path is reached through
 * /proc/self/fd, so any path works.  Returned fds are close-on-exec and
 * blocking.
 */
int unix_listen(const char *path, mode_t mode, struct error **ret_error);
int unix_connect(const char *path, struct error **ret_error);
/* Never waits: a listener whose backlog is full is EAGAIN. The fd is
 * non-blocking. */
int unix_connect_nonblocking(const char *path, struct error **ret_error);

/* Both ends of a connection. */
int unix_pair(int *ret_one, int *ret_other, struct error **ret_error);

/* sendmsg/recvmsg with SCM_RIGHTS.  At most FD_PASS_MAX at once. */
#define FD_PASS_MAX 32
ssize_t send_with_fds(int socket, const void *bytes, size_t size, const int *fds, size_t n_fds);
/* Received descriptors are close-on-exec and appended to fds (room for
 * FD_PASS_MAX); *ret_n_fds counts them.  Surplus ones are closed. */
ssize_t recv_with_fds(int socket, void *bytes, size_t size, int *ret_fds, size_t *ret_n_fds);
