/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that come while a verb makes something: see interrupt.h. */
#include "client/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>

#include "base/cleanup.h"

const int *interrupt_signals(size_t *ret_n)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM
	};

	*ret_n = ARRAY_SIZE(signals);
	return signals;
}

int interrupts_hold(struct interrupts *interrupts, struct error **ret_error)
{
	struct sigaction action;
	sigset_t held;
	size_t n;
	const int *signals = interrupt_signals(&n);

	(void)sigemptyset(&held);
	for (size_t i = 0; i < n; i++)
		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			(void)sigaddset(&held, signals[i]);
	interrupts->fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	if (interrupts->fd < 0)
		return error_set_errno(ret_error, errno, "cannot handle signals");
	(void)sigprocmask(SIG_BLOCK, &held, &interrupts->mask);
	return 0;
}

bool interrupts_pending(const struct interrupts *interrupts)
{
	struct pollfd pending = { .fd = interrupts->fd, .events = POLLIN };

	return poll(&pending, 1, 0) > 0;
}

void interrupts_let_through(const struct interrupts *interrupts)
{
	if (interrupts->fd >= 0)
		(void)sigprocmask(SIG_SETMASK, &interrupts->mask, NULL);
}
