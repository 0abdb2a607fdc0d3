/*
 * The share: the host's staging area (rootfs/stage.h), as the guest sees it.
 *
 * It is mounted once, by the agent in its own mount namespace, and stays; containers
 * bind theirs from there.  A second mount(2) of the same tag is not the same thing: the
 * kernel (6.1) takes it for another mount of any superblock of that device, and the
 * newest is that of a submount, so of some container's root.
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
