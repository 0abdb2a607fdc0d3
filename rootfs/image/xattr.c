/* SPDX-License-Identifier: Apache-2.0 */
/* An entry's extended attributes: those squashfs can hold, and what becomes of
 * a POSIX ACL, which it cannot. */
#include <endian.h>
#include <errno.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "rootfs/image/scan.h"

#define PROC_PATH_SIZE 40

static int xattr_error(const struct tree *tree, const struct tree_node *node, const char *name,
		       struct error **ret_error)
{
	int code = errno;
	_cleanup_free_ char *path = tree_node_path(tree, node);

	/* Listed a moment ago, gone or grown now. */
	if (code == ENODATA || code == ERANGE)
		return tree_changed(tree, node, ret_error);
	return error_set_errno(ret_error, code, "cannot read the extended attribute%s%s of %s",
			       name ? " " : "s", name ? name : "", path);
}

static bool is_kept(const char *name)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security." };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/*
 * The group permissions an ACL leaves to the owning group: its entry, masked.
 * (The mode's own group bits are the mask: acl(5), "CORRESPONDENCE BETWEEN ACL
 * ENTRIES AND FILE PERMISSION BITS".)
 */
static uint32_t group_permissions(const void *acl, size_t size)
{
	struct posix_acl_xattr_entry entry;
	uint32_t group = 0, mask = 07;

	for (size_t at = sizeof(struct posix_acl_xattr_header); at + sizeof(entry) <= size;
	     at += sizeof(entry)) {
		memcpy(&entry, (const char *)acl + at, sizeof(entry));
		if (le16toh(entry.e_tag) == ACL_GROUP_OBJ)
			group = le16toh(entry.e_perm);
		else if (le16toh(entry.e_tag) == ACL_MASK)
			mask = le16toh(entry.e_perm);
	}
	return group & mask & 07;
}

static int take(struct tree *tree, struct tree_node *node, const char *path, const char *name,
		struct error **ret_error)
{
	bool is_access = strcmp(name, "system.posix_acl_access") == 0;
	bool is_default = strcmp(name, "system.posix_acl_default") == 0;
	_cleanup_free_ char *value = NULL;
	ssize_t n;

	if (!is_access && !is_default && !is_kept(name))
		return 0;
	n = getxattr(path, name, NULL, 0);
	if (n > 0) { /* a size of 0 would only ask again, whatever the value is now */
		value = xmalloc((size_t)n);
		n = getxattr(path, name, value, (size_t)n);
	}
	if (n < 0)
		return xattr_error(tree, node, name, ret_error);
	if (is_access || is_default) {
		if (is_access)
			node->mode = (node->mode & ~070U) | group_permissions(value, (size_t)n)
								<< 3;
		tree->n_acls++;
		return 0;
	}
	tree_xattr_set(node, name, value, (size_t)n);
	return 0;
}

int scan_xattrs(struct tree *tree, struct tree_node *node, int fd, struct error **ret_error)
{
	_cleanup_free_ char *names = NULL;
	char path[PROC_PATH_SIZE], probe[1];
	ssize_t size;

	/* The f…xattr() calls refuse O_PATH descriptors; their /proc link serves
	 * even for a symbolic link, which it does not follow any further. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	size = listxattr(path, probe, 0);
	if (size == 0 || (size < 0 && errno == ENOTSUP))
		return 0;
	if (size < 0)
		return xattr_error(tree, node, NULL, ret_error);
	names = xmalloc((size_t)size);
	size = listxattr(path, names, (size_t)size);
	if (size < 0)
		return xattr_error(tree, node, NULL, ret_error);
	for (const char *name = names; name < names + size; name += strlen(name) + 1)
		if (take(tree, node, path, name, ret_error) < 0)
			return -1;
	return 0;
}
