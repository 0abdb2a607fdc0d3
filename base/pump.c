/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying bytes in the loop: see pump.h.  The bytes are the copiers' (copier.h); here is
 * what they wait for.
 *
 * Each end is watched once, for what the directions want of it.  An end that nobody wants
 * anything of is not watched at all, not even with an empty mask: epoll reports a hang-up
 * whatever is asked for, and the loop would spin on it.
 */
#include "base/pump.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

/* Wanted of a sink that nothing is to be written to; edge-triggered, for a half-close is
 * told once. */
#define READER_LEAVES ((uint32_t)EPOLLRDHUP | (uint32_t)EPOLLET)

struct end {
	struct pump *pump;
	int fd;
	bool is_file; /* or a function: nothing to watch */
	struct source *source;
	uint32_t wanted; /* what the source is for */
};

enum { FROM, TO };

struct pump {
	struct loop *loop;
	pump_fn function;
	void *data;
	struct end ends[2];
	struct copier copiers[2]; /* one reads from ends[FROM], the other from ends[TO] */
	int n_copiers;
	bool watches_reader, lingers;
	bool lingering;	      /* everything is written, the peer's close awaited */
	bool held;	      /* pump_hold() */
	bool failed;	      /* an end cannot be watched, or its reader has left */
	struct source *timer; /* the next round */
};

static void pump_run(struct pump *pump);

static void end_close(struct end *end)
{
	source_clear(&end->source);
	end->wanted = 0;
	close_fdp(&end->fd);
	end->fd = -1;
}

void pump_free(struct pump *pump)
{
	if (!pump)
		return;
	source_remove(pump->timer);
	for (int i = 0; i < 2; i++)
		end_close(&pump->ends[i]);
	for (int i = 0; i < pump->n_copiers; i++)
		copier_done(&pump->copiers[i]);
	free(pump);
}

static void finish(struct pump *pump, bool broken)
{
	pump_fn function = pump->function;
	void *data = pump->data;

	pump_free(pump);
	function(data, broken);
}

static void on_timer(void *data)
{
	struct pump *pump = data;

	pump->timer = NULL;
	pump_run(pump);
}

/* A timer of no delay rather than loop_call(): it can be taken back. */
static void wait_round(struct pump *pump)
{
	if (!pump->timer)
		pump->timer = loop_add_timer(pump->loop, 0, "pump", on_timer, pump);
}

/* RDHUP alone may be a half-close, the end of an input that shares a terminal's stream; so it
 * asks by a send() of nothing. */
static bool reader_has_left(const struct end *end, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		return true;
	return (events & EPOLLRDHUP) && send(end->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	       errno != EAGAIN && errno != EINTR;
}

static void on_end(void *data, uint32_t events)
{
	struct end *end = data;

	if (end->wanted == READER_LEAVES && reader_has_left(end, events))
		end->pump->failed = true;
	pump_run(end->pump);
}

static void watch(struct end *end, uint32_t wanted)
{
	_cleanup_error_ struct error *error = NULL;
	struct pump *pump = end->pump;

	if (wanted == 0) {
		source_clear(&end->source);
	} else if (end->source) {
		if (end->wanted != wanted)
			source_set_events(end->source, wanted);
	} else if (!end->is_file && loop_add_io(pump->loop, end->fd, wanted, "pump", on_end, end,
						&end->source, &error) < 0) {
		/* A regular file cannot be watched: it is always ready, and nobody leaves it. */
		end->is_file = error->code == EPERM;
		if (!end->is_file) {
			log_error("%s", error->message);
			pump->failed = true;
		}
	}
	if (pump->failed || (end->is_file && wanted != 0 && wanted != READER_LEAVES))
		wait_round(pump);
	end->wanted = wanted;
}

static void wait_for_ends(struct pump *pump)
{
	uint32_t wanted[2] = { 0, 0 };

	for (int i = 0; i < pump->n_copiers && !pump->held; i++) {
		if (pump->copiers[i].over)
			continue;
		if (copier_waits_for_sink(&pump->copiers[i]))
			wanted[1 - i] |= EPOLLOUT;
		else
			wanted[i] |= EPOLLIN;
	}
	if (wanted[TO] == 0 && pump->watches_reader && !pump->held)
		wanted[TO] = READER_LEAVES;
	for (int i = 0; i < 2; i++)
		watch(&pump->ends[i], wanted[i]);
}

static void linger(struct pump *pump)
{
	struct end *end = &pump->ends[TO];
	char bytes[256];
	ssize_t n;

	if (!pump->lingering) {
		pump->lingering = true;
		end_close(&pump->ends[FROM]);
		watch(end, EPOLLIN | EPOLLRDHUP);
	}
	n = recv(end->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || pump->failed)
		finish(pump, false);
}

static void pump_run(struct pump *pump)
{
	bool over = true, broken = pump->failed;

	if (pump->held)
		return;
	for (int i = 0; i < pump->n_copiers && !broken; i++) {
		const struct copier *copier = &pump->copiers[i];

		copier_run(&pump->copiers[i]);
		/* Nobody reads there; but an answer may be on its way. */
		if (copier->broken && pump->n_copiers > 1)
			copier_give_up(&pump->copiers[i]);
		over = over && copier->over;
		broken = copier->broken || (copier->failed && copier->over && pump->n_copiers > 1);
	}
	/* A writer tells of a reader that has left; nobody else tells of a file that is full. */
	if (pump->copiers[0].broken && pump->ends[TO].is_file)
		log_warning("cannot write a stream to its file, the rest of it is lost: %s",
			    strerror(pump->copiers[0].code));
	if (over && !broken && pump->lingers)
		linger(pump);
	else if (over || broken)
		finish(pump, broken);
	else
		wait_for_ends(pump);
}

static bool has_one_reader(int fd)
{
	struct stat st;
	struct statfs fs;

	return fstat(fd, &st) == 0 &&
	       (!S_ISFIFO(st.st_mode) || (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC));
}

struct pump *pump_new(struct loop *loop, const struct pump_setup *setup)
{
	struct pump *pump = xcalloc(1, sizeof(*pump));

	pump->loop = loop;
	pump->function = setup->function;
	pump->data = setup->data;
	pump->ends[FROM] = (struct end){ .pump = pump, .fd = setup->from };
	pump->ends[TO] = (struct end){ .pump = pump, .fd = setup->to };
	pump->n_copiers = setup->both_ways ? 2 : 1;
	for (int i = 0; i < pump->n_copiers; i++)
		copier_init(&pump->copiers[i], pump->ends[i].fd, pump->ends[1 - i].fd);
	if (setup->sink) {
		copier_sink(&pump->copiers[FROM], setup->sink, setup->sink_data);
		pump->ends[TO].is_file = true;
	}
	pump->watches_reader = setup->watches_reader && !setup->sink && has_one_reader(setup->to);
	pump->lingers = setup->lingers;
	wait_for_ends(pump);
	return pump;
}

void pump_hold(struct pump *pump, bool hold)
{
	pump->held = hold;
	if (hold)
		wait_for_ends(pump);
	else
		wait_round(pump);
}

const struct buffer *pump_pending(const struct pump *pump)
{
	return &pump->copiers[FROM].pending;
}

void pump_end_input(struct pump *pump)
{
	pump->copiers[FROM].ended = true;
	if (!copier_waits_for_sink(&pump->copiers[FROM]))
		wait_round(pump);
}
