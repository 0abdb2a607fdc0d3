/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share: the host's staging area (host/stage.h), as the guest sees it.
 *
 * It is mounted once, by the agent in its own mount namespace, and stays; containers
 * bind theirs from there.  A second mount(2) of the same tag would not do: the
 * kernel (6.1) mounts any superblock of that device, and the newest is a submount's, such
 * as some container's root.
 *
 * What the host has mounted below it, for example a container's root, is a submount: the
 * kernel treats it as a file system of its own, which ends with its last user.  Linux (6.1)
 * ends it without waiting for read-ahead and then finds busy inodes.  At best it logs
 * that; with CONFIG_BUG_ON_DATA_CORRUPTION the last process to use it hangs.  So the agent
 * holds a container's submounts until no request is under way.
 */
#pragma once

#include "agent/agent.h"
#include "agent/files.h"
#include "base/error.h"

/* Mounts it if it is not there yet; the tag is always the same. */
int share_mount(struct agent *agent, const char *tag, struct error **ret_error);
/* The host takes the directory of this path's first component out of the share: lets go of
 * what the kernel remembers of it, which the host would have to keep. */
void share_forget(struct agent *agent, const char *path);
/* Uses what the container shares with the host, from before its mounts are made. */
struct share_hold;
struct share_hold *share_hold_new(const struct agent *agent, const struct files *files);
/* Of a container whose processes have ended: is nothing of the share under way? */
bool share_is_quiet(const struct agent *agent);
void share_hold_free(struct share_hold *hold);
/* No more timers. */
void share_done(struct agent *agent);
