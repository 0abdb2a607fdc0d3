/*
 * Read-only images of a directory tree (squashfs), kept in a cache.
 *
 * The cache key is the tree's content identity: every entry's path, type,
 * mode, owner, size, link target, device number, inode, mtime and ctime, and
 * its xattrs. An image is made once, under a lock, in a temporary file that is
 * renamed into place; two makers of one key wait for each other.
 */
#pragma once

#include "base/error.h"

struct layer_cache;

/* cache_dir/layers is made if missing. */
int layer_cache_open(const char *cache_dir, struct layer_cache **ret_cache,
		     struct error **ret_error);
void layer_cache_close(struct layer_cache *cache);
DEFINE_CLEANUP(struct layer_cache, layer_cache_close)

/* The image of directory `path`, made now if the cache has none: ret_path is
 * the image's path (caller frees). Other mounts below `path` are left out
 * (as empty directories). */
int layer_cache_get(struct layer_cache *cache, const char *path, char **ret_path,
		    struct error **ret_error);
