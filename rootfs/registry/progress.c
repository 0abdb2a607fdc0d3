/* SPDX-License-Identifier: Apache-2.0 */
/* How far a pull is: see progress.h. */
#include "rootfs/registry/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define INTERVAL_NS 100000000ULL
#define DIGITS 12 /* of a digest */
#define BAR 24

struct line {
	char digits[DIGITS + 1];
	uint64_t size, received;
	const char *word; /* a literal; NULL: on the way */
};

struct progress {
	struct line *lines;
	size_t n, shown; /* shown: lines on the terminal, the cursor below them */
	bool is_quiet, is_terminal, is_changed;
	bool is_told; /* a line of progress_tell() stands on the terminal */
	uint64_t last_ns;
};

struct progress *progress_new(bool quiet)
{
	struct progress *progress = xcalloc(1, sizeof(*progress));

	progress->is_quiet = quiet;
	progress->is_terminal = isatty(STDERR_FILENO) == 1;
	return progress;
}

void progress_tell(struct progress *progress, const char *words)
{
	if (progress->is_quiet || !progress->is_terminal)
		return;
	(void)fprintf(stderr, "\r\x1b[K%s...", words);
	(void)fflush(stderr);
	progress->is_told = true;
}

size_t progress_add(struct progress *progress, const char *digest, uint64_t size)
{
	struct line *line;
	const char *colon = strchr(digest, ':');

	progress->lines = xreallocarray(progress->lines, progress->n + 1, sizeof(*progress->lines));
	line = &progress->lines[progress->n];
	*line = (struct line){ .size = size };
	(void)snprintf(line->digits, sizeof(line->digits), "%s", colon ? colon + 1 : digest);
	progress->is_changed = true;
	return progress->n++;
}

void progress_set(struct progress *progress, size_t line, uint64_t received)
{
	progress->is_changed = progress->is_changed || progress->lines[line].received != received;
	progress->lines[line].received = received;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

void progress_end(struct progress *progress, size_t number, const char *word)
{
	struct line *line = &progress->lines[number];

	line->word = word;
	progress->is_changed = true;
	if (!progress->is_quiet && !progress->is_terminal)
		(void)fprintf(stderr, "%s: %s, %.1f MiB\n", line->digits, word, mib(line->size));
}

static void show_line(const struct line *line)
{
	char bar[BAR + 1];
	size_t full;

	if (line->word) {
		(void)fprintf(stderr, "\r\x1b[K%s: %s, %.1f MiB\n", line->digits, line->word,
			      mib(line->size));
		return;
	}
	full = line->size ? (size_t)((double)line->received / (double)line->size * BAR) : 0;
	memset(bar, ' ', BAR);
	memset(bar, '=', full < BAR ? full : BAR);
	bar[BAR] = '\0';
	(void)fprintf(stderr, "\r\x1b[K%s: [%s] %.1f of %.1f MiB\n", line->digits, bar,
		      mib(line->received), mib(line->size));
}

/* As many lines as fit: those that are still on the way come last, and are of interest. */
static size_t first_shown(const struct progress *progress)
{
	struct winsize size = { .ws_row = 0 };
	size_t rows = 20;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2)
		rows = size.ws_row - 1;
	return progress->n > rows ? progress->n - rows : 0;
}

void progress_show(struct progress *progress, bool now)
{
	const uint64_t time = clock_monotonic_ns();

	if (progress->is_quiet || !progress->is_terminal || !progress->is_changed ||
	    (!now && time - progress->last_ns < INTERVAL_NS))
		return;
	progress->last_ns = time;
	progress->is_changed = false;
	if (progress->shown > 0)
		(void)fprintf(stderr, "\x1b[%zuA", progress->shown);
	progress->shown = 0;
	progress->is_told = false; /* the first line takes its place */
	for (size_t i = first_shown(progress); i < progress->n; i++) {
		show_line(&progress->lines[i]);
		progress->shown++;
	}
	(void)fflush(stderr);
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	progress_show(progress, true);
	if (progress->is_told)
		(void)fprintf(stderr, "\r\x1b[K");
	free(progress->lines);
	free(progress);
}
