/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files a thread may open, whatever descriptors it finds in its process: those below some
 * directories, by Landlock, where the kernel has it.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* *ret_rules (close-on-exec): nothing may be opened so far; -1: base/landlock.h says no. */
int jail_files_new(int *ret_rules, struct error **ret_error);
/* Adds all below a directory (O_PATH is enough): everything, or only reading.  rules may be -1. */
int jail_files_allow(int rules, int directory, bool only_read, struct error **ret_error);
/* The calling thread, and those that it starts, which gain no privileges by a program any more.
 * rules may be -1. */
int jail_files_enter(int rules, struct error **ret_error);
