/* SPDX-License-Identifier: Apache-2.0 */
/* Errors in the words of Go's syscall package ("no such file or directory"):
 * those that Docker and others read out of a runtime's messages. */
#pragma once

#include "base/error.h"

/* As error_set_errno(); returns -1. */
int error_set_go(struct error **ret_error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
