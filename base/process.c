/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are not ours to wait for: see process.h. */
#include "base/process.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define TEXT_MAX 4096

int process_identify(pid_t pid, uint64_t *ret_start, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", pid);
	_cleanup_free_ char *text = NULL;
	const char *p;

	if (read_file(path, TEXT_MAX, &text, NULL, &error) < 0) {
		if (error->code != ENOENT && error->code != ESRCH)
			return error_set(ret_error, error->code, "%s", error->message);
		*ret_start = 0;
		return 0;
	}
	/* proc(5): field 2, the name, is in parentheses and may hold any of both;
	 * starttime is field 22, the 20th after it. */
	p = strrchr(text, ')');
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	*ret_start = p ? strtoull(p, NULL, 10) : 0;
	return 0;
}

uint64_t process_start_time(pid_t pid)
{
	uint64_t start;

	return process_identify(pid, &start, NULL) < 0 ? 0 : start;
}

/* Through a pidfd, so that between look and blow the pid cannot change hands. */
void process_kill(pid_t pid, uint64_t start, int patience_ms)
{
	_cleanup_close_ int fd = -1;
	struct pollfd ended = { .events = POLLIN };

	if (pid <= 1 || start == 0)
		return;
	fd = pidfd_open(pid, 0);
	if (fd < 0 || process_start_time(pid) != start)
		return;
	log_debug("killing process %d", pid);
	(void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
	ended.fd = fd;
	(void)poll(&ended, 1, patience_ms);
}

int process_note(const char *path, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	uint64_t start;

	if (process_identify(pid, &start, ret_error) < 0)
		return -1;
	text = xasprintf("%d %" PRIu64 "\n", pid, start);
	return write_file_atomic(path, text, strlen(text), 0600, ret_error);
}

pid_t process_noted(const char *path, uint64_t *ret_start)
{
	_cleanup_free_ char *text = NULL;
	uint64_t start;
	int pid;

	if (read_file(path, TEXT_MAX, &text, NULL, NULL) < 0 ||
	    sscanf(text, "%d %" SCNu64, &pid, &start) != 2 || pid <= 1)
		return 0;
	if (ret_start)
		*ret_start = start;
	return pid;
}

pid_t process_kill_noted(const char *path, int patience_ms)
{
	uint64_t start = 0;
	const pid_t pid = process_noted(path, &start);

	process_kill(pid, start, patience_ms);
	return pid;
}
