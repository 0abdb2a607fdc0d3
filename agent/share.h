/*
 * The share: the host's staging area (rootfs/stage.h), as the guest sees it.
 *
 * It is mounted once, by the agent in its own mount namespace, and stays; containers
 * bind theirs from there.  A second mount(2) of the same tag is not the same thing: the
 * kernel (6.1) takes it for another mount of any superblock of that device, and the
 * newest is that of a submount, so of some container's root.
 *
 * What the host has mounted below it, a container's root for one, is a submount: a file
 * system of its own to the kernel, which ends when nobody uses it any more.  Linux (6.1) ends
 * it without waiting for what is read ahead, and then finds inodes that are still busy: at
 * best it says so, with CONFIG_BUG_ON_DATA_CORRUPTION the process that was the last to use it
 * stands still for ever.  So the agent uses a container's until nothing is under way.
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
