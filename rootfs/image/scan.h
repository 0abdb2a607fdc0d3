/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of tree_scan(): see tree.h. */
#pragma once

#include "rootfs/image/tree.h"

/* Fills node->xattrs, and narrows node->mode for an ACL; fd may be O_PATH. */
int scan_xattrs(struct tree *tree, struct tree_node *node, int fd, struct error **ret_error);
