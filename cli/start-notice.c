/* SPDX-License-Identifier: Apache-2.0 */
/* A word while a template is made: see start-notice.h. */
#include "cli/start-notice.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/paths.h"

#define LOOK_MS 200

struct start_notice {
	pthread_t thread;
	int terminal; /* standard error's: that may be the container's meanwhile */
	int end_fd;   /* can be read: enough */
	char *lock;   /* held while a template is made */
	bool is_told;
};

static void say(const struct start_notice *notice, const char *text)
{
	(void)write_all(notice->terminal, text, strlen(text));
}

static bool is_held(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && lock_file(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void *look(void *data)
{
	struct start_notice *notice = data;
	struct pollfd end = { .fd = notice->end_fd, .events = POLLIN };

	while (!notice->is_told && poll(&end, 1, LOOK_MS) == 0) {
		if (!is_held(notice->lock))
			continue;
		notice->is_told = true;
		say(notice, "booting a first machine of this kind, from which later ones start...");
	}
	return NULL;
}

/* Signals are the caller's. */
static int start_thread(struct start_notice *notice)
{
	sigset_t all, before;
	int code;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&notice->thread, NULL, look, notice);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

static void notice_free(struct start_notice *notice)
{
	close_fdp(&notice->terminal);
	close_fdp(&notice->end_fd);
	free(notice->lock);
	free(notice);
}

struct start_notice *start_notice_begin(void)
{
	_cleanup_free_ char *cache = paths_cache();
	struct start_notice *notice;

	if (isatty(STDERR_FILENO) != 1)
		return NULL;
	notice = xcalloc(1, sizeof(*notice));
	notice->terminal = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	notice->end_fd = eventfd(0, EFD_CLOEXEC);
	notice->lock = xasprintf("%s/templates/lock", cache);
	/* It is a courtesy: without it, all goes on. */
	if (notice->terminal < 0 || notice->end_fd < 0 || start_thread(notice) != 0) {
		notice_free(notice);
		return NULL;
	}
	return notice;
}

void start_notice_end(struct start_notice *notice)
{
	const uint64_t one = 1;

	if (!notice)
		return;
	(void)write_all(notice->end_fd, &one, sizeof(one));
	(void)pthread_join(notice->thread, NULL);
	if (notice->is_told)
		say(notice, "\r\x1b[K");
	notice_free(notice);
}
