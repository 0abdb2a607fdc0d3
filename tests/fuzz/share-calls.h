/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of a share's server that find or change a name, for fuzz-share.c: the linker leads them
 * here (--wrap in local.mk).  Each must end as the model says, which then changes as the tree
 * did; and every file that is opened is one of the tree.
 */
#pragma once

#include "tests/fuzz/share-tree.h"

/* What there is to watch, from now on. */
void share_calls_watch(struct tree *tree, dev_t device);
/* fuzz-share.c's, before each call; others may run there.  false: it is not a server's. */
bool share_call_begins(void);
/* Of a file of the share's file system. */
uint64_t share_ino_at(int dir_fd, const char *name, int flags);
/* A call or request that ended with result (negative: an errno value) ended as expected: see
 * tree_may_look(). */
void share_check_result(int result, int expected);
/* (As it is, without all this.) */
int __real_open(const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *path, int flags, ...);
