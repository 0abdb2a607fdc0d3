/* SPDX-License-Identifier: Apache-2.0 */
/* Between fork and exec: see child.h. */
#include "base/child.h"

#include <signal.h>
#include <stddef.h>

void child_reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}
