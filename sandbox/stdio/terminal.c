/* SPDX-License-Identifier: Apache-2.0 */
/* Following a terminal: see terminal.h. */
#include "sandbox/stdio/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/alloc.h"

struct terminal {
	int tty;
	struct terminal_events events;
	struct source *resize_source, *hangup_source;
};

void terminal_size(int tty, uint32_t *ret_width, uint32_t *ret_height)
{
	struct winsize size = { 0 };

	(void)ioctl(tty, TIOCGWINSZ, &size);
	*ret_width = size.ws_col;
	*ret_height = size.ws_row;
}

static void size_changed(void *data, const struct signalfd_siginfo *info)
{
	struct terminal *terminal = data;
	uint32_t width, height;

	(void)info;
	terminal_size(terminal->tty, &width, &height);
	if (width > 0 && height > 0)
		terminal->events.resized(terminal->events.data, width, height);
}

static void hung_up(void *data, const struct signalfd_siginfo *info)
{
	struct terminal *terminal = data;

	(void)info;
	terminal->events.hung_up(terminal->events.data);
}

int terminal_follow(struct loop *loop, int tty, const struct terminal_events *events,
		    struct terminal **ret_terminal, struct error **ret_error)
{
	struct terminal *terminal = xcalloc(1, sizeof(*terminal));

	terminal->tty = tty;
	terminal->events = *events;
	/* The signals first: a SIGHUP that nobody watches would end the server. */
	if (loop_add_signal(loop, SIGHUP, "terminal hang-up", hung_up, terminal,
			    &terminal->hangup_source, ret_error) < 0 ||
	    loop_add_signal(loop, SIGWINCH, "terminal size", size_changed, terminal,
			    &terminal->resize_source, ret_error) < 0) {
		terminal_free(terminal);
		return -1;
	}
	if (ioctl(tty, TIOCSCTTY, 0) < 0) {
		(void)error_set_errno(ret_error, errno, "cannot set the controlling terminal");
		terminal_free(terminal);
		return -1;
	}
	*ret_terminal = terminal;
	return 0;
}

void terminal_free(struct terminal *terminal)
{
	if (!terminal)
		return;
	source_remove(terminal->resize_source);
	source_remove(terminal->hangup_source);
	free(terminal);
}
