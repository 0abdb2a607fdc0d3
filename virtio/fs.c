/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system device: virtio 1.2 §5.11.
 *
 * Queue 0 is the high-priority one (FORGET, INTERRUPT), queue 1 takes all other
 * requests; the notification queue (§5.11.3, VIRTIO_FS_F_NOTIFICATION) is not
 * offered, no driver has it.  Requests of one queue run at once, on as many
 * threads of its pool as there are requests, and are answered in the order they
 * get done: one that waits for a slow disk delays no other.  So that many of them do
 * not either, those of one lane (lanes.h) get a part of the threads; the rest waits here.
 *
 * A queue's rings belong to the holder of its lock.  Its states:
 *
 *	STOPPED ──start_queue──► RUNNING ──stop_queue──► DRAINING ──► STOPPED
 *	   ▲                     └─────────reset───────────────────►┘
 *
 * RUNNING: chains are taken and given back.  DRAINING: no more is taken, but
 * what was is still given back.  STOPPED: the rings are not touched, an answer
 * that comes late is dropped.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/iov.h"
#include "virtio/devices.h"
#include "virtio/queue.h"

#define FS_QUEUE_SIZE VIRTQ_SIZE_MAX /* the driver's largest request follows from it */
#define FS_HIPRIO 0
#define FS_REQUESTS 1
#define FS_QUEUES 2

enum queue_state { QUEUE_STOPPED, QUEUE_RUNNING, QUEUE_DRAINING };

struct fs_queue {
	struct fs *fs;
	unsigned index;
	struct pool *pool;
	struct pool_source *source; /* device.lock */
	pthread_mutex_t lock;	    /* a leaf lock: state, rings and lanes */
	enum queue_state state;
	struct lanes *lanes; /* NULL: its requests never block */
};

struct fs {
	struct virtio_device device;
	struct virtio_fs_config config;
	const struct fs_server_ops *ops;
	void *server;
	struct pool_source *timer;
	struct fs_queue queues[FS_QUEUES];
};

struct fs_later {
	struct fs_queue *queue;
	uint16_t head;
	unsigned n_in;
	struct iovec in[FS_LATER_REPLY_MAX]; /* a byte each, at worst */
};

/* What a request is served from; its first member is what the server sees. */
struct work {
	struct fs_request request;
	struct fs_queue *queue;
	struct lane lane;
	uint16_t head;
	bool kept;
};

/* A request that waits for a thread. */
struct parked {
	struct lane_waiter waiter;
	struct fs_request request;
	uint16_t head;
	struct iovec iov[]; /* the request's */
};

static void set_state(struct fs_queue *queue, enum queue_state state)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->state = state;
	(void)pthread_mutex_unlock(&queue->lock);
}

static struct virtq *rings(const struct fs_queue *queue)
{
	return &queue->fs->device.queues[queue->index];
}

/* Lock held.  1 with a chain, 0, or -1 as virtq_pop(). */
static int pop(struct fs_queue *queue, struct chain *ret_chain, struct error **ret_error)
{
	struct virtq *vq = rings(queue);
	int r;

	do {
		r = virtq_pop(vq, ret_chain, ret_error);
	} while (r == 0 && virtq_enable_kicks(vq));
	/* While this one is served others may come, or be there already: they are
	 * for the pool's other threads. */
	if (r > 0 && virtq_enable_kicks(vq))
		virtio_device_kick_again(&queue->fs->device, queue->index);
	return r;
}

static bool take(struct fs_queue *queue, struct chain *ret_chain)
{
	struct virtio_device *device = &queue->fs->device;
	_cleanup_error_ struct error *error = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&queue->lock);
	if (queue->state == QUEUE_RUNNING && !atomic_load(&device->broken))
		r = pop(queue, ret_chain, &error);
	(void)pthread_mutex_unlock(&queue->lock);
	if (r < 0)
		virtio_device_fault(device, error);
	return r > 0;
}

/* Lock held: is the memory of the queue's chains, and its rings, still ours? */
static bool is_ours(const struct fs_queue *queue)
{
	return queue->state != QUEUE_STOPPED && !atomic_load(&queue->fs->device.broken);
}

/* Lock held; true: the driver is to be interrupted. */
static bool push(struct fs_queue *queue, uint16_t head, uint32_t written)
{
	if (!is_ours(queue))
		return false;
	virtq_push(rings(queue), head, written);
	return virtq_should_notify(rings(queue));
}

static void give_back(struct fs_queue *queue, uint16_t head, uint32_t written)
{
	struct virtio_device *device = &queue->fs->device;
	bool notify;

	(void)pthread_mutex_lock(&queue->lock);
	notify = push(queue, head, written);
	(void)pthread_mutex_unlock(&queue->lock);
	if (notify)
		device->interrupt(device, queue->index);
}

static struct fs_later *keep(const struct fs_request *request)
{
	struct work *work = (struct work *)request;
	struct fs_later *later = xcalloc(1, sizeof(*later));
	struct iovec in[VIRTQ_SIZE_MAX];

	later->queue = work->queue;
	later->head = work->head;
	later->n_in = iov_slice(request->in, request->n_in, 0, FS_LATER_REPLY_MAX, in);
	memcpy(later->in, in, later->n_in * sizeof(in[0]));
	work->kept = true;
	return later;
}

static uint32_t write_later(const struct fs_later *later, const void *bytes, uint32_t size)
{
	uint32_t written = 0;

	for (unsigned i = 0; i < later->n_in && written < size; i++) {
		size_t n = MIN(later->in[i].iov_len, (size_t)(size - written));

		memcpy(later->in[i].iov_base, (const char *)bytes + written, n);
		written += (uint32_t)n;
	}
	return written;
}

void fs_complete(struct fs_later *later, const void *bytes, uint32_t size)
{
	struct fs_queue *queue = later->queue;
	struct virtio_device *device = &queue->fs->device;
	bool notify = false;

	/* After a reset the buffer may be anything else to the driver. */
	(void)pthread_mutex_lock(&queue->lock);
	if (is_ours(queue))
		notify = push(queue, later->head, write_later(later, bytes, size));
	(void)pthread_mutex_unlock(&queue->lock);
	if (notify)
		device->interrupt(device, queue->index);
	free(later);
}

/* ---- lanes ---- */

static void park(struct fs_queue *queue, const struct work *work)
{
	const struct fs_request *request = &work->request;
	const size_t n_iov = request->n_out + request->n_in;
	struct parked *parked = xcalloc(1, sizeof(*parked) + n_iov * sizeof(parked->iov[0]));

	memcpy(parked->iov, request->out, n_iov * sizeof(parked->iov[0]));
	parked->waiter.lane = work->lane;
	parked->head = work->head;
	parked->request = *request;
	parked->request.out = parked->iov;
	parked->request.in = parked->iov + request->n_out;
	lanes_wait(queue->lanes, &parked->waiter);
}

/* False: it is served later, when others of its lane are done. */
static bool enter(struct fs_queue *queue, struct work *work)
{
	struct fs *fs = queue->fs;
	bool may;

	if (!queue->lanes)
		return true;
	work->lane = fs->ops->lane_of(fs->server, &work->request);
	(void)pthread_mutex_lock(&queue->lock);
	may = lanes_enter(queue->lanes, &work->lane);
	if (!may)
		park(queue, work);
	(void)pthread_mutex_unlock(&queue->lock);
	return may;
}

static void leave(struct fs_queue *queue, const struct lane *lane)
{
	if (!queue->lanes)
		return;
	(void)pthread_mutex_lock(&queue->lock);
	lanes_leave(queue->lanes, lane);
	(void)pthread_mutex_unlock(&queue->lock);
}

/* One that has waited and may be served now; NULL: none.  The caller frees it. */
static struct parked *take_parked(struct fs_queue *queue)
{
	struct lane_waiter *waiter = NULL;

	if (!queue->lanes)
		return NULL;
	(void)pthread_mutex_lock(&queue->lock);
	if (is_ours(queue))
		waiter = lanes_next(queue->lanes);
	/* One that is done may let two others run: there is a thread for the second. */
	if (waiter && lanes_have_next(queue->lanes))
		virtio_device_kick_again(&queue->fs->device, queue->index);
	(void)pthread_mutex_unlock(&queue->lock);
	return (struct parked *)waiter;
}

/* No thread serves the queue, and its memory is not ours any more. */
static void drop_parked(struct fs_queue *queue)
{
	struct lane_waiter *waiter;

	while (queue->lanes && (waiter = lanes_drop(queue->lanes)))
		free(waiter);
}

/* ---- serving ---- */

static void serve_one(struct work *work, void *context)
{
	struct fs *fs = work->queue->fs;
	uint32_t written;

	work->kept = false;
	written = fs->ops->serve(fs->server, context, &work->request, keep);
	if (!work->kept)
		give_back(work->queue, work->head, written);
	leave(work->queue, &work->lane);
}

static void serve_parked(struct fs_queue *queue, const struct parked *parked, void *context)
{
	struct work work = { .request = parked->request,
			     .queue = queue,
			     .lane = parked->waiter.lane,
			     .head = parked->head };

	serve_one(&work, context);
}

static void serve_chain(struct fs_queue *queue, const struct chain *chain, void *context)
{
	struct work work = { .request = { .out = chain->iov,
					  .n_out = chain->n_out,
					  .out_size = chain->out_size,
					  .in = chain->iov + chain->n_out,
					  .n_in = chain->n_in,
					  .in_size = chain->in_size },
			     .queue = queue,
			     .head = chain->head };

	if (enter(queue, &work))
		serve_one(&work, context);
}

/* A thread of the queue's pool. */
static void serve(void *data, void *context)
{
	struct fs_queue *queue = data;
	struct chain chain;

	for (;;) {
		_cleanup_free_ struct parked *parked = take_parked(queue);

		if (parked)
			serve_parked(queue, parked, context);
		else if (take(queue, &chain))
			serve_chain(queue, &chain, context);
		else
			break;
	}
}

static void on_timer(void *data, void *context)
{
	struct fs *fs = data;

	fs->ops->expired(fs->server, context);
}

static void fs_config_read(struct virtio_device *device, uint32_t offset, void *ret_bytes,
			   uint32_t size)
{
	memcpy(ret_bytes, (char *)&((struct fs *)device)->config + offset, size);
}

static int fs_start_queue(struct virtio_device *device, unsigned index, struct error **ret_error)
{
	struct fs_queue *queue = &((struct fs *)device)->queues[index];

	set_state(queue, QUEUE_RUNNING);
	return pool_add(queue->pool, device->kick_fds[index], serve, queue, &queue->source,
			ret_error);
}

/* No thread serves the queue when this returns. */
static void leave_pool(struct fs_queue *queue)
{
	pool_remove(queue->source);
	queue->source = NULL;
}

static void fs_stop_queue(struct virtio_device *device, unsigned index)
{
	struct fs *fs = (struct fs *)device;
	struct fs_queue *queue = &fs->queues[index];

	set_state(queue, QUEUE_DRAINING);
	leave_pool(queue);
	/* Of the other queue nothing is ever kept. */
	if (index == FS_REQUESTS)
		fs->ops->cancel(fs->server);
	set_state(queue, QUEUE_STOPPED);
}

static void fs_reset(struct virtio_device *device)
{
	struct fs *fs = (struct fs *)device;

	for (unsigned i = 0; i < FS_QUEUES; i++)
		set_state(&fs->queues[i], QUEUE_STOPPED);
	for (unsigned i = 0; i < FS_QUEUES; i++)
		leave_pool(&fs->queues[i]);
	for (unsigned i = 0; i < FS_QUEUES; i++)
		drop_parked(&fs->queues[i]);
	fs->ops->cancel(fs->server);
	fs->ops->reset(fs->server);
}

/* The server's state is files: what its threads may do with them, the loop may not. */
struct state_call {
	struct fs *fs;
	struct buffer *save;
	struct packed *load;
	int r;
	struct error *error;
};

static void save_server(void *data, void *context)
{
	struct state_call *call = data;

	call->r = call->fs->ops->save(call->fs->server, context, call->save, &call->error);
}

static void load_server(void *data, void *context)
{
	struct state_call *call = data;

	call->r = call->fs->ops->load(call->fs->server, context, call->load, &call->error);
}

static int call_server(struct state_call *call, pool_fn fn, struct error **ret_error)
{
	if (pool_call(call->fs->queues[FS_REQUESTS].pool, fn, call, ret_error) < 0)
		return -1;
	if (call->r == 0)
		return 0;
	if (!ret_error)
		error_free(call->error);
	else
		*ret_error = call->error;
	return error_wrap(ret_error, "share \"%.*s\"", (int)sizeof(call->fs->config.tag),
			  (const char *)call->fs->config.tag);
}

static int fs_save(struct virtio_device *device, struct buffer *state, struct error **ret_error)
{
	struct state_call call = { .fs = (struct fs *)device, .save = state };

	return call_server(&call, save_server, ret_error);
}

static int fs_load(struct virtio_device *device, struct packed *state, struct error **ret_error)
{
	struct state_call call = { .fs = (struct fs *)device, .load = state };

	return call_server(&call, load_server, ret_error);
}

static void fs_free(struct virtio_device *device)
{
	struct fs *fs = (struct fs *)device;

	pool_remove(fs->timer);
	fs->ops->free(fs->server);
	for (unsigned i = 0; i < FS_QUEUES; i++) {
		drop_parked(&fs->queues[i]);
		lanes_free(fs->queues[i].lanes);
		(void)pthread_mutex_destroy(&fs->queues[i].lock);
	}
	virtio_device_done(device);
	free(fs);
}

static const struct virtio_device_ops fs_ops = {
	.config_read = fs_config_read,
	.start_queue = fs_start_queue,
	.stop_queue = fs_stop_queue,
	.reset = fs_reset,
	.save = fs_save,
	.load = fs_load,
	.free = fs_free,
};

static void init_queue(struct fs *fs, unsigned index, struct pool *pool)
{
	struct fs_queue *queue = &fs->queues[index];

	queue->fs = fs;
	queue->index = index;
	queue->pool = pool;
	(void)pthread_mutex_init(&queue->lock, NULL);
}

int fs_new(const struct fs_options *options, struct virtio_device **ret_device,
	   struct error **ret_error)
{
	size_t tag_size = strlen(options->tag);
	struct fs *fs = xcalloc(1, sizeof(*fs));

	fs->ops = options->ops;
	fs->server = options->server;
	fs->device.ops = &fs_ops;
	fs->device.name = "fs";
	fs->device.type = VIRTIO_ID_FS;
	fs->device.n_queues = FS_QUEUES;
	fs->device.queue_size_max = FS_QUEUE_SIZE;
	fs->device.config_size = sizeof(fs->config);
	fs->device.config_apart = true;
	fs->device.has_workers = true;
	virtio_device_init(&fs->device);
	init_queue(fs, FS_HIPRIO, options->urgent);
	init_queue(fs, FS_REQUESTS, options->requests);
	fs->queues[FS_REQUESTS].lanes = lanes_new(options->threads_max);
	if (tag_size == 0 || tag_size > sizeof(fs->config.tag)) {
		fs_free(&fs->device);
		return error_set(ret_error, EINVAL, "the tag \"%s\" is not 1 to %zu bytes long",
				 options->tag, sizeof(fs->config.tag));
	}
	memcpy(fs->config.tag, options->tag, tag_size);
	fs->config.num_request_queues = htole32(FS_QUEUES - FS_REQUESTS);
	if (pool_add(options->requests, fs->ops->timer_fd(fs->server), on_timer, fs, &fs->timer,
		     ret_error) < 0) {
		fs_free(&fs->device);
		return -1;
	}
	*ret_device = &fs->device;
	return 0;
}
