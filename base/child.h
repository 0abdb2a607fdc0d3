/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that was forked does before it executes a program. */
#pragma once

/* No signal is handled, ignored or blocked: an exec would pass on what is. */
void child_reset_signals(void);
