/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unix socket that QEMU connects to by itself.  For a front-end behind a netdev it has to:
 * it passes descriptors only through a socket that has a path.  The path is that of a
 * descriptor which QEMU inherits; nobody else can connect.
 */
#pragma once

#include "base/error.h"

/* Made in the current directory, where it has no name any more when this returns.  The file
 * (O_PATH) is for QEMU.  Both are the caller's. */
int qemu_listener_new(int *ret_listener, int *ret_file, struct error **ret_error);
/* Waits until QEMU has connected: 1, or until its process has ended: 0. */
int qemu_listener_accept(int listener, int pidfd, int *ret_socket, struct error **ret_error);
