/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of an image: see layers.h. */
#include "rootfs/registry/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/image/unpack.h"
#include "rootfs/registry/blob.h"

#define PIPE_SIZE (1 << 20)

enum job_state {
	JOB_WAITS,
	JOB_STARTS,  /* the thread runs, and waits for the layer's lock */
	JOB_READY,   /* the thread has a pipe that nobody writes to yet */
	JOB_FETCHES, /* the caller writes into the pipe */
	JOB_ENDED,   /* the thread is about to end */
	JOB_JOINED,
};

struct job {
	const struct layers_setup *setup;
	const struct descriptor *blob;
	const char *diff_id;
	int wake_fd; /* tells the caller of a new state */
	_Atomic enum job_state state;
	pthread_t thread;
	int from, to; /* the pipe: the thread's and the caller's end */
	/* The thread's; the caller looks at them only while it fetches. */
	struct store_file *layer, *copy; /* NULL: in the store already */
	_Atomic bool gave_up;		 /* the thread does not need what comes */
	struct blob *coming;
	/* Set before `to` is closed, read after `from` has ended. */
	struct error *fetch_error;
	_Atomic bool is_fetched;
	/* The thread's, read after it was joined. */
	struct error *error;
	bool was_there;
	size_t line;
};

struct pull {
	const struct layers_setup *setup;
	struct job *jobs;
	size_t n;
	int wake_fd;
	struct error *error; /* the first one */
};

/* ---- the thread ---- */

static void tell(struct job *job, enum job_state state)
{
	const uint64_t one = 1;

	atomic_store(&job->state, state);
	(void)write_all(job->wake_fd, &one, sizeof(one));
}

static int unpack_into(int fd, struct store_file *file, const char *diff_id,
		       struct error **ret_error)
{
	struct unpack_result result = { .diff_id = "" };

	if (unpack_layer(fd, store_file_fd(file), NULL, &result, ret_error) < 0)
		return error_wrap(ret_error, "cannot unpack layer %s", diff_id);
	if (strcmp(result.diff_id, diff_id) != 0)
		return error_set(ret_error, EBADMSG,
				 "layer %s: the unpacked layer has the digest %s", diff_id,
				 result.diff_id);
	return 0;
}

/* Reads on until the caller's end is closed: only then there is a verdict. */
static void drain(int fd)
{
	char bytes[65536];

	while (read_all(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
		;
}

static int make_pipe(struct job *job, struct error **ret_error)
{
	if (pipe_open(&job->from, &job->to, ret_error) < 0)
		return -1;
	(void)fcntl(job->to, F_SETPIPE_SZ, PIPE_SIZE); /* or less, as a user's limit has it */
	if (set_nonblocking(job->to, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set up a pipe");
	return 0;
}

static int take_layer(struct job *job)
{
	const struct image_store *store = job->setup->store;

	if (store_file_begin(store, STORE_LAYER, job->diff_id, &job->layer, &job->error) < 0 ||
	    (job->setup->keep_blobs &&
	     store_file_begin(store, STORE_BLOB, job->blob->digest, &job->copy, &job->error) < 0))
		return -1;
	job->was_there = !job->layer && !job->copy;
	if (job->was_there)
		return 0;
	if (make_pipe(job, &job->error) < 0)
		return -1;
	tell(job, JOB_READY);
	if (job->layer && unpack_into(job->from, job->layer, job->diff_id, &job->error) < 0) {
		atomic_store(&job->gave_up, true);
		tell(job, JOB_FETCHES);
	}
	/* The files stay open until the caller writes to them no more. */
	drain(job->from);
	if (job->error || !atomic_load(&job->is_fetched))
		return -1;
	if (job->copy && store_file_commit(TAKE_PTR(job->copy), &job->error) < 0)
		return -1;
	return job->layer ? store_file_commit(TAKE_PTR(job->layer), &job->error) : 0;
}

static void *run(void *data)
{
	struct job *job = data;

	(void)take_layer(job);
	close_fdp(&job->from);
	store_file_free(TAKE_PTR(job->layer));
	store_file_free(TAKE_PTR(job->copy));
	tell(job, JOB_ENDED);
	return NULL;
}

/* ---- the caller ---- */

static void note_error(struct pull *pull, struct error *error)
{
	if (pull->error)
		error_free(error);
	else
		pull->error = error;
}

static void start(struct pull *pull, struct job *job)
{
	int code;

	atomic_store(&job->state, JOB_STARTS);
	code = pthread_create(&job->thread, NULL, run, job);
	if (code == 0)
		return;
	atomic_store(&job->state, JOB_JOINED);
	if (!pull->error)
		(void)error_set_errno(&pull->error, code, "cannot start a thread");
}

/* The verdict, and the end of the pipe. */
static void end_fetch(struct job *job, bool is_fetched)
{
	if (!is_fetched && job->coming)
		job->fetch_error = blob_take_error(job->coming);
	atomic_store(&job->is_fetched, is_fetched);
	blob_free(TAKE_PTR(job->coming));
	(void)close(TAKE_FD(job->to));
}

static void begin_fetch(struct pull *pull, struct job *job)
{
	const struct blob_setup setup = { .digest = job->blob->digest,
					  .size = job->blob->size,
					  .sink_fd = job->layer ? job->to : -1,
					  .copy_fd = job->copy ? store_file_fd(job->copy) : -1,
					  .directory = image_store_path(pull->setup->store) };
	enum job_state ready = JOB_READY;

	/* (The thread may have found meanwhile that it cannot go on.) */
	if (!atomic_compare_exchange_strong(&job->state, &ready, JOB_FETCHES))
		return;
	job->coming = blob_start(pull->setup->registry, &setup);
}

static void go_on_fetching(struct pull *pull, struct job *job)
{
	enum fetch_state state;

	if (job->to < 0)
		return;
	if (pull->error || atomic_load(&job->gave_up)) {
		end_fetch(job, false);
		return;
	}
	state = blob_go_on(job->coming);
	progress_set(pull->setup->progress, job->line, blob_received(job->coming));
	if (state != FETCH_RUNS)
		end_fetch(job, state == FETCH_DONE);
}

/* A stream that broke off cannot be unpacked: what the fetch says is the reason. */
static void join(struct pull *pull, struct job *job)
{
	struct error *error;

	(void)pthread_join(job->thread, NULL);
	atomic_store(&job->state, JOB_JOINED);
	error = job->fetch_error ? TAKE_PTR(job->fetch_error) : TAKE_PTR(job->error);
	error_free(TAKE_PTR(job->fetch_error));
	error_free(TAKE_PTR(job->error));
	if (error)
		note_error(pull, error);
	progress_end(pull->setup->progress, job->line,
		     error	      ? "failed"
		     : job->was_there ? "already there"
				      : "done");
}

/* One step of each job; how many are not over. */
static size_t go_on(struct pull *pull)
{
	size_t running = 0, left = 0;

	for (size_t i = 0; i < pull->n; i++) {
		struct job *job = &pull->jobs[i];
		const enum job_state state = atomic_load(&job->state);

		if (state == JOB_READY) {
			begin_fetch(pull, job);
		} else if (state == JOB_FETCHES) {
			go_on_fetching(pull, job);
		} else if (state == JOB_ENDED) {
			join(pull, job);
		}
		running += state > JOB_WAITS && state < JOB_JOINED;
	}
	for (size_t i = 0; i < pull->n; i++) {
		struct job *job = &pull->jobs[i];

		if (atomic_load(&job->state) == JOB_WAITS && !pull->error &&
		    running < LAYERS_AT_ONCE) {
			start(pull, job);
			running++;
		}
		left += atomic_load(&job->state) != JOB_JOINED &&
			!(atomic_load(&job->state) == JOB_WAITS && pull->error);
	}
	return left;
}

/* Until a server, a thread or an unpacker has something for us. */
static void wait_for_more(const struct pull *pull)
{
	struct pollfd others[1 + LAYERS_AT_ONCE] = { { .fd = pull->wake_fd, .events = POLLIN } };
	size_t n = 1;

	for (size_t i = 0; i < pull->n && n < ARRAY_SIZE(others); i++)
		if (pull->jobs[i].coming && blob_waits_for_sink(pull->jobs[i].coming))
			others[n++] = (struct pollfd){ .fd = pull->jobs[i].to, .events = POLLOUT };
	http_step(pull->setup->http, others, n, 100);
}

static void run_all(struct pull *pull)
{
	uint64_t count;

	while (go_on(pull) > 0) {
		wait_for_more(pull);
		(void)!read(pull->wake_fd, &count, sizeof(count));
		progress_show(pull->setup->progress, false);
	}
}

int layers_pull(const struct layers_setup *setup, struct error **ret_error)
{
	_cleanup_close_ int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	_cleanup_free_ struct job *jobs = xcalloc(setup->manifest->n_layers + 1, sizeof(*jobs));
	struct pull pull = { setup, jobs, setup->manifest->n_layers, wake_fd, NULL };

	if (wake_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make an eventfd");
	for (size_t i = 0; i < pull.n; i++) {
		const struct descriptor *blob = &setup->manifest->layers[i];

		jobs[i].setup = setup;
		jobs[i].blob = blob;
		jobs[i].diff_id = setup->diff_ids[i];
		jobs[i].wake_fd = wake_fd;
		jobs[i].from = jobs[i].to = -1;
		jobs[i].line = progress_add(setup->progress, blob->digest, blob->size);
	}
	run_all(&pull);
	if (!pull.error)
		return 0;
	if (ret_error)
		*ret_error = pull.error;
	else
		error_free(pull.error);
	return -1;
}

int layer_add(const struct image_store *store, int blob_fd, const char *diff_id,
	      struct error **ret_error)
{
	_cleanup_(store_file_freep) struct store_file *file = NULL;

	if (store_file_begin(store, STORE_LAYER, diff_id, &file, ret_error) < 0)
		return -1;
	if (!file)
		return 0;
	if (lseek(blob_fd, 0, SEEK_SET) < 0)
		return error_set_errno(ret_error, errno, "cannot read layer %s", diff_id);
	if (unpack_into(blob_fd, file, diff_id, ret_error) < 0)
		return -1;
	return store_file_commit(TAKE_PTR(file), ret_error);
}
