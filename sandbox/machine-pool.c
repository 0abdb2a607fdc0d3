/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that wait: see machine-pool.h. */
#include "sandbox/machine-pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "host/pool.h"
#include "sandbox/plan/machine-plan.h"
#include "sandbox/pool-door.h"
#include "sandbox/vmm.h"

/* After a machine that could not be started, twice as long each time. */
#define RETRY_FIRST_MS UINT64_C(1000)
#define RETRY_LAST_MS UINT64_C(64000)
/* Between two looks at the files of what waits. */
#define LOOK_MS 30000
/* What a template is written as, before it has its name (vmm/template.c): not one that is gone. */
#define TEMPLATE_DRAFT "draft"

/*
 *   STARTING ──the agent dials──► PAUSING ──► WAITING ──► taken
 *       └──────────────┴─────────────┴── ended, or stale ──► (freed)
 */
enum entry_state { ENTRY_STARTING, ENTRY_PAUSING, ENTRY_WAITING };

struct entry {
	struct entry *next;
	struct machine_pool *pool;
	enum entry_state state;
	char *kind, *directory;
	struct machine_plan *plan;
	struct vmm *vmm;
	int agent_fd;
	struct source *timer; /* until it waits */
};

struct machine_pool {
	struct loop *loop;
	struct machine_pool_options options;
	char *directory;
	int lock_fd;
	struct pool_door *door;
	struct entry *entries;
	char *kinds[POOL_MACHINES_MAX]; /* that were asked for, the last one first */
	size_t n_kinds;
	uint64_t n_made;  /* the next one's name */
	int templates_fd; /* inotify(7) */
	struct source *templates_source, *refill_timer, *look_timer;
	uint64_t retry_ms; /* 0: the last one came up */
};

/* ---- machines ---- */

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	source_remove(entry->timer);
	vmm_free(entry->vmm);
	close_fdp(&entry->agent_fd);
	machine_plan_free(entry->plan);
	if (entry->directory)
		(void)remove_tree(entry->directory, NULL);
	free(entry->directory);
	free(entry->kind);
	free(entry);
}
DEFINE_CLEANUP(struct entry, entry_free)

static void unlink_entry(struct entry *entry)
{
	struct entry **at = &entry->pool->entries;

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

static void drop(struct entry *entry, const char *why)
{
	log_info("a machine that waits is ended: %s", why);
	unlink_entry(entry);
	entry_free(entry);
}

static void refill_in(struct machine_pool *pool, uint64_t ms);

/* A pool that cannot start any must not try without end. */
static void failed(struct machine_pool *pool)
{
	pool->retry_ms = pool->retry_ms ? MIN(2 * pool->retry_ms, RETRY_LAST_MS) : RETRY_FIRST_MS;
	source_clear(&pool->refill_timer);
	refill_in(pool, pool->retry_ms);
}

static void give_up(struct entry *entry, const char *why)
{
	_cleanup_free_ char *tail = vmm_log_tail(entry->vmm);
	struct machine_pool *pool = entry->pool;

	log_warning("a machine for the pool did not come up: %s%s%s", why, tail[0] ? "; " : "",
		    tail);
	unlink_entry(entry);
	entry_free(entry);
	failed(pool);
}

static void on_overdue(void *data)
{
	struct entry *entry = data;

	entry->timer = NULL;
	give_up(entry, "its agent did not call");
}

static void on_paused(void *data, const struct error *error)
{
	struct entry *entry = data;

	if (error)
		return; /* on_ended() comes */
	entry->state = ENTRY_WAITING;
	source_clear(&entry->timer);
	entry->pool->retry_ms = 0;
	log_debug("process %d waits", vmm_pid(entry->vmm));
	refill_in(entry->pool, 0);
}

static void on_agent(void *data, int fd)
{
	struct entry *entry = data;

	entry->agent_fd = fd;
	entry->state = ENTRY_PAUSING;
	vmm_ask(entry->vmm, "pause", NULL, 0, on_paused, entry);
}

static void on_lost(void *data, const char *reason)
{
	const struct entry *entry = data;

	log_debug("%s", reason);
	vmm_kill(entry->vmm);
}

static void on_ended(void *data)
{
	struct entry *entry = data;
	struct machine_pool *pool = entry->pool;

	if (entry->state != ENTRY_WAITING) {
		give_up(entry, "it ended");
		return;
	}
	drop(entry, "its process was killed");
	refill_in(pool, pool->options.settle_ms);
}

static int start_entry(struct machine_pool *pool, const char *kind, struct error **ret_error)
{
	_cleanup_(entry_freep) struct entry *entry = xcalloc(1, sizeof(*entry));
	const struct vmm_events events = {
		.agent = on_agent, .lost = on_lost, .ended = on_ended, .data = entry
	};
	_cleanup_free_ char *program = NULL;
	struct vmm_setup setup = { 0 };

	entry->pool = pool;
	entry->agent_fd = -1;
	entry->kind = xstrdup(kind);
	if (plan_pool_machine(kind, &entry->plan, &program, ret_error) < 0)
		return -1;
	entry->directory =
	    xasprintf("%s/%llu", pool->directory, (unsigned long long)pool->n_made++);
	if (mkdir(entry->directory, 0700) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", entry->directory);
	(void)inotify_add_watch(pool->templates_fd, entry->plan->config->templates,
				IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
				    IN_ONLYDIR);
	setup.program = program;
	setup.directory = entry->directory;
	setup.plan = entry->plan;
	if (vmm_start(pool->loop, &setup, &events, &entry->vmm, ret_error) < 0)
		return -1;
	entry->timer = loop_add_timer(pool->loop, pool->options.start_timeout_ms, "pool start",
				      on_overdue, entry);
	entry->next = pool->entries;
	pool->entries = TAKE_PTR(entry);
	return 0;
}

/* ---- what is to wait ---- */

/* Of the n-th machine: those asked for last, and of the last one what is left. */
static const char *wanted_kind(const struct machine_pool *pool, size_t n)
{
	return pool->kinds[n < pool->n_kinds ? n : 0];
}

static size_t count_wanted(const struct machine_pool *pool, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; pool->n_kinds > 0 && i < pool->options.wanted; i++)
		n += strcmp(wanted_kind(pool, i), kind) == 0;
	return n;
}

static size_t count_there(const struct machine_pool *pool, const char *kind)
{
	size_t n = 0;

	for (const struct entry *entry = pool->entries; entry; entry = entry->next)
		n += strcmp(entry->kind, kind) == 0;
	return n;
}

/* The first of those that are missing; NULL: none is. */
static const char *missing_kind(const struct machine_pool *pool)
{
	for (size_t i = 0; pool->n_kinds > 0 && i < pool->options.wanted; i++) {
		const char *kind = wanted_kind(pool, i);

		if (count_there(pool, kind) < count_wanted(pool, kind))
			return kind;
	}
	return NULL;
}

static bool is_starting(const struct machine_pool *pool)
{
	const struct entry *entry = pool->entries;

	while (entry && entry->state == ENTRY_WAITING)
		entry = entry->next;
	return entry;
}

/* The files of a kind have changed: it will not be asked for again. */
static void forget_kind(struct machine_pool *pool, const char *kind)
{
	size_t kept = 0;

	for (size_t i = 0; i < pool->n_kinds; i++) {
		if (strcmp(pool->kinds[i], kind) == 0)
			free(pool->kinds[i]);
		else
			pool->kinds[kept++] = pool->kinds[i];
	}
	pool->n_kinds = kept;
}

static void end_stale(struct machine_pool *pool)
{
	struct entry *next;

	for (struct entry *entry = pool->entries; entry; entry = next) {
		next = entry->next;
		if (plan_pool_is_current(entry->kind))
			continue;
		/* (A string of the pool's own may be the one that is freed.) */
		_cleanup_free_ char *kind = xstrdup(entry->kind);

		forget_kind(pool, kind);
		drop(entry, "what it was started from has changed");
	}
}

static void end_surplus(struct machine_pool *pool)
{
	struct entry *next;

	for (struct entry *entry = pool->entries; entry; entry = next) {
		next = entry->next;
		if (count_there(pool, entry->kind) > count_wanted(pool, entry->kind))
			drop(entry, "others were asked for since");
	}
}

static void look(void *data)
{
	struct machine_pool *pool = data;

	pool->look_timer = NULL;
	end_stale(pool);
	if (pool->entries)
		pool->look_timer = loop_add_timer(pool->loop, LOOK_MS, "pool look", look, pool);
}

static void refill(void *data)
{
	struct machine_pool *pool = data;
	_cleanup_error_ struct error *error = NULL;
	const char *kind;

	pool->refill_timer = NULL;
	end_stale(pool);
	end_surplus(pool);
	kind = is_starting(pool) ? NULL : missing_kind(pool);
	if (kind && !plan_pool_is_current(kind)) {
		_cleanup_free_ char *gone = xstrdup(kind);

		forget_kind(pool, gone);
		refill_in(pool, 0);
	} else if (kind && start_entry(pool, kind, &error) < 0) {
		log_warning("a machine for the pool did not start: %s", error->message);
		failed(pool);
	}
	if (!pool->look_timer && pool->entries)
		pool->look_timer = loop_add_timer(pool->loop, LOOK_MS, "pool look", look, pool);
}

static void refill_in(struct machine_pool *pool, uint64_t ms)
{
	if (!pool->refill_timer)
		pool->refill_timer = loop_add_timer(pool->loop, ms, "pool refill", refill, pool);
}

static void note_kind(struct machine_pool *pool, const char *kind)
{
	if (pool->n_kinds == pool->options.wanted)
		free(pool->kinds[--pool->n_kinds]);
	(void)memmove(&pool->kinds[1], pool->kinds, pool->n_kinds * sizeof(pool->kinds[0]));
	pool->kinds[0] = xstrdup(kind);
	pool->n_kinds++;
	/* Not while the container starts that has asked. */
	refill_in(pool, pool->options.settle_ms);
}

/* A template that is gone has been found wanting, or is made anew: no machine of the old one is
 * given away. Which one it was does not tell. */
static void templates_changed(void *data, uint32_t events)
{
	struct machine_pool *pool = data;
	union {
		struct inotify_event event;
		char room[4096];
	} buffer;
	bool gone = false;
	ssize_t n;

	(void)events;
	while ((n = read(pool->templates_fd, &buffer, sizeof(buffer))) > 0) {
		for (char *at = buffer.room; at < buffer.room + n;) {
			const struct inotify_event *event =
			    (const struct inotify_event *)(void *)at;

			gone =
			    gone || (!(event->mask & IN_IGNORED) &&
				     (event->len == 0 || strcmp(event->name, TEMPLATE_DRAFT) != 0));
			at += sizeof(*event) + event->len;
		}
	}
	if (!gone)
		return;
	while (pool->entries)
		drop(pool->entries, "its template has been removed");
	refill_in(pool, pool->options.settle_ms);
}

/* ---- what is asked for ---- */

static void tell_status(void *data, struct pool_status *ret_status)
{
	const struct machine_pool *pool = data;

	*ret_status = (struct pool_status){ .wanted = pool->options.wanted };
	for (const struct entry *entry = pool->entries; entry; entry = entry->next)
		if (entry->state == ENTRY_WAITING)
			ret_status->pids[ret_status->n_pids++] = vmm_pid(entry->vmm);
}

static void give(struct entry *entry, struct pool_given *ret_given)
{
	int fds[VMM_GIVEN_FDS];

	*ret_given = (struct pool_given){
		.pid = vmm_pid(entry->vmm),
		.directory = TAKE_PTR(entry->directory),
	};
	unlink_entry(entry);
	vmm_give(TAKE_PTR(entry->vmm), fds);
	ret_given->fds[0] = fds[0];
	ret_given->fds[1] = fds[1];
	ret_given->fds[2] = TAKE_FD(entry->agent_fd);
	ret_given->fds[3] = fds[2];
	ret_given->fds[4] = open(ret_given->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	entry_free(entry);
}

static bool take(void *data, const char *kind, struct pool_given *ret_given)
{
	struct machine_pool *pool = data;
	struct entry *entry;

	templates_changed(pool, 0);
	entry = pool->entries;
	while (entry && (entry->state != ENTRY_WAITING || strcmp(entry->kind, kind) != 0))
		entry = entry->next;
	if (entry)
		give(entry, ret_given);
	note_kind(pool, kind);
	return entry;
}

/* ---- the pool ---- */

/* Whose directory it is; it lasts as long as the process. */
static int lock_directory(struct machine_pool *pool, struct error **ret_error)
{
	struct stat st;

	if (make_directories(pool->directory, 0700, ret_error) < 0)
		return -1;
	pool->lock_fd = open(pool->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pool->lock_fd < 0 || fstat(pool->lock_fd, &st) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", pool->directory);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(ret_error, EPERM, "%s is not this user's own", pool->directory);
	if (lock_file(pool->lock_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(ret_error, EBUSY, "a pool runs already: it holds %s",
				 pool->directory);
	return 0;
}

/* Their machines have ended with it. */
static void sweep(const struct machine_pool *pool)
{
	_cleanup_dir_ DIR *directory = opendir(pool->directory);
	const struct dirent *found;

	while (directory && (found = readdir(directory))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", pool->directory, found->d_name);

		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
			(void)remove_tree(path, NULL);
	}
}

static int open_pool(struct machine_pool *pool, struct error **ret_error)
{
	const struct pool_door_events events = { .status = tell_status,
						 .take = take,
						 .data = pool };

	if (lock_directory(pool, ret_error) < 0)
		return -1;
	sweep(pool);
	pool->templates_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (pool->templates_fd < 0)
		return error_set_errno(ret_error, errno, "cannot watch templates");
	if (loop_add_io(pool->loop, pool->templates_fd, EPOLLIN, "templates", templates_changed,
			pool, &pool->templates_source, ret_error) < 0)
		return -1;
	return pool_door_new(pool->loop, pool->directory, &events, &pool->door, ret_error);
}

int machine_pool_new(struct loop *loop, const struct machine_pool_options *options,
		     struct machine_pool **ret_pool, struct error **ret_error)
{
	_cleanup_(machine_pool_freep) struct machine_pool *pool = xcalloc(1, sizeof(*pool));

	pool->loop = loop;
	pool->options = *options;
	pool->directory = xstrdup(options->directory);
	pool->lock_fd = pool->templates_fd = -1;
	if (open_pool(pool, ret_error) < 0)
		return -1;
	*ret_pool = TAKE_PTR(pool);
	return 0;
}

void machine_pool_free(struct machine_pool *pool)
{
	if (!pool)
		return;
	pool_door_free(pool->door);
	source_remove(pool->refill_timer);
	source_remove(pool->look_timer);
	source_remove(pool->templates_source);
	while (pool->entries) {
		struct entry *entry = pool->entries;

		pool->entries = entry->next;
		entry_free(entry);
	}
	for (size_t i = 0; i < pool->n_kinds; i++)
		free(pool->kinds[i]);
	close_fdp(&pool->templates_fd);
	close_fdp(&pool->lock_fd);
	free(pool->directory);
	free(pool);
}
