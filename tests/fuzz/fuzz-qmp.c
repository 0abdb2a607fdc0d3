/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor (vmm/qemu/qmp.h), of which the other end says anything at all.
 *
 * Input: rows of a byte (below 0x40: the client sends a command; else how many bytes of text
 * follow, sent at once) and the text. It ends with the connection's end.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/fuzz/input.h"
#include "vmm/qemu/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct qmp *qmp;
	unsigned events, commands;
	bool lost;
};

static void on_event(void *data, const char *name, const struct json_at *details)
{
	struct seen *seen = data;
	_cleanup_free_ char *reason = NULL;

	check(!seen->lost && name);
	/* What the engine looks for. */
	(void)json_get_string(details, "reason", JSON_OPTIONAL, &reason, NULL);
	if (++seen->events % 4 == 0 && seen->commands++ < 1000)
		qmp_send(seen->qmp, "cont", NULL);
}

static void on_idle(void *data)
{
	struct seen *seen = data;

	check(!seen->lost);
}

static void on_lost(void *data, const char *reason)
{
	struct seen *seen = data;

	check(!seen->lost && reason && reason[0]);
	seen->lost = true;
}

static void drain(int fd)
{
	uint8_t bytes[4096];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct input input = { data, size };
	struct seen seen = { 0 };
	const struct qmp_events events = { on_event, on_idle, on_lost, &seen };
	int ours, theirs;

	log_set_level(LOG_LEVEL_ERROR);
	check((loop || loop_new(&loop, NULL) == 0) && unix_pair(&ours, &theirs, NULL) == 0 &&
	      qmp_new(theirs, loop, &events, &seen.qmp, NULL) == 0);
	while (input.left > 0) {
		size_t n = take(&input);

		if (n < 0x40) {
			qmp_send(seen.qmp, "stop", n & 1 ? "{\"a\":1}" : NULL);
		} else {
			n = MIN(input.left, n & 0x20 ? (n - 0x40) * 64 : n - 0x40);
			(void)send(ours, input.at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
			input.at += n;
			input.left -= n;
			for (int i = 0; i < 4 && !seen.lost; i++)
				loop_step(loop, 0);
		}
		drain(ours);
	}
	(void)close(ours);
	for (int i = 0; i < 100 && !seen.lost; i++)
		loop_step(loop, 0);
	check(seen.lost);
	qmp_free(seen.qmp);
	return 0;
}
