/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run --init`: the first process of a container that its program need not be.  It passes signals
 * on to the program, reaps what others leave behind, and ends as the program has ended.
 */
#pragma once

#include "base/error.h"

/* Returns in a child, which goes on to be the program; the caller is the init from then on. */
int init_fork(struct error **ret_error);
