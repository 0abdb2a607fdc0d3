/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share: the host's staging area (host/stage.h), as the guest sees it.
 *
 * It is mounted once, by the agent in its own mount namespace, and stays; containers
 * bind theirs from there.  To the guest's kernel all of it is one file system, whatever the host
 * has mounted below it: Linux 6.1 checks POSIX ACLs on the file system that was mounted, but not
 * on the submounts that virtio-fs can make of it, and ends a submount without waiting for
 * read-ahead.
 *
 * A container that may mount file systems can mount the same tag, and gets the same file
 * system.  What keeps it from others' shares are their names, which are not listed and cannot
 * be guessed.
 */
#pragma once

#include "agent/agent.h"
#include "base/error.h"

/* Mounts it if it is not there yet; the tag is always the same. */
int share_mount(struct agent *agent, const char *tag, struct error **ret_error);
/* The host takes the directory of this path's first component out of the share: lets go of
 * what the kernel remembers of it, which the host would have to keep. */
void share_forget(struct agent *agent, const char *path);
/* No more timers. */
void share_done(struct agent *agent);
