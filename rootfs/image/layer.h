/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-only images of a directory tree (squashfs), kept in a cache.
 *
 * The cache key is the tree's content identity: every entry's path, type,
 * mode, owner, size, link target, device number, inode, mtime and ctime, and
 * its xattrs (so a byte written to a file changes it, through its ctime). An
 * image is made once, under a lock, in a temporary file that is renamed into
 * place; two makers of one key wait for each other. A tree that changes while
 * its image is made is read again, a few times.
 *
 * Kept: names, types, modes, owners, link targets, hard links, device numbers,
 * user.*, trusted.* and security.* xattrs, holes, mtimes in whole seconds from
 * 1970 to 2106. Not kept, since squashfs has no place for them: POSIX ACLs
 * (the group's permissions become what its ACL entry grants; a warning is
 * logged), atimes, parts of a second.
 *
 * The cache is bounded: after an image was made, images not used for 30 days are
 * removed, and the least recently used ones while all take more than 16 GiB; one used
 * in the last hour always stays. A user of an image holds it open, because its file
 * may be unlinked at any time.
 */
#pragma once

#include "base/error.h"

struct layer_cache;

/* cache_dir/layers is made if missing; one that others may write to is refused. */
int layer_cache_open(const char *cache_dir, struct layer_cache **ret_cache,
		     struct error **ret_error);
void layer_cache_close(struct layer_cache *cache);
DEFINE_CLEANUP(struct layer_cache, layer_cache_close)

/* The image of directory `path`, made now if the cache has none: ret_path is
 * the image's path (caller frees). Other mounts below `path` are left out
 * (as empty directories), and so is the cache itself. Starts threads, all ended
 * on return; any thread may call it. */
int layer_cache_get(struct layer_cache *cache, const char *path, char **ret_path,
		    struct error **ret_error);
