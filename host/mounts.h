/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts that containerd asks for on a container's root directory
 * (CreateTaskRequest.rootfs; containerd mount/mount_linux.go): made in the
 * server's mount namespace, where snapshotters and `ctr` expect them.  With "loop" the
 * source is a file with a file system.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "protocol/task.pb-c.h"

/* A read-only image that a virtio-blk device can carry as it is. */
bool mounts_is_image(const Task__Mount *mount);
/* Mounts all of them on target, one over the other; on failure none.  Errors name
 * the mount and what is wrong with it. */
int mounts_make(Task__Mount *const *mounts, size_t n_mounts, const char *target,
		struct error **ret_error);
/* Something is mounted below the directory, in the caller's mount namespace. */
bool mounts_below(const char *path);
/* Unmounts everything on target; nothing there is fine, a busy mount too: it goes
 * when its last user does. */
int mounts_remove(const char *target, struct error **ret_error);
/* What is written there, or to a mount below, stays in the host's memory (tmpfs). */
bool mounts_in_memory(const char *path);
/* proc(5): in mountinfo, blanks and the like are "\\" and three octal digits. */
void mounts_unescape(char *path);
