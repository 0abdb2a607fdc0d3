/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A word to the user while the first machine of its kind is made: that takes seconds, and every
 * later start goes on from it (vmm/template.h).
 *
 * On a terminal alone, one line that goes away.  A thread looks whether somebody holds the lock of
 * the templates, and says nothing if nobody does.
 */
#pragma once

struct start_notice;

/* Looks from now on. NULL: there is no terminal to tell it to. */
struct start_notice *start_notice_begin(void);
/* The line is gone, and the terminal the caller's again.  NULL is fine. */
void start_notice_end(struct start_notice *notice);
