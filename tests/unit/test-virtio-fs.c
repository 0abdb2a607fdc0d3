/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device and the pool behind it, with a server that does as the
 * first byte of a request says. */
#include <errno.h>
#include <linux/virtio_fs.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

#define THREADS 4
#define HIPRIO 0
#define REQUESTS 1
#define PATIENCE_NS 20000000000ULL

#define OP_ECHO 'e'  /* the reply is the request */
#define OP_BLOCK 'b' /* the same, after sem_post(&go_on) */
#define OP_KEEP 'k'  /* answered later */
#define OP_FORGET 'f'

struct fake {
	sem_t blocked, go_on;
	pthread_mutex_t lock;
	struct fs_later *kept[64];
	unsigned n_kept;
	_Atomic unsigned n_served, n_asked, n_resets, n_expired, n_threads, n_freed;
	int timer_fd;
};

static void copy(const struct iovec *from, unsigned n_from, const struct iovec *to, unsigned n_to)
{
	char bytes[4096];
	size_t size = 0, at = 0;

	for (unsigned i = 0; i < n_from; i++) {
		CHECK(size + from[i].iov_len <= sizeof(bytes));
		memcpy(bytes + size, from[i].iov_base, from[i].iov_len);
		size += from[i].iov_len;
	}
	for (unsigned i = 0; i < n_to && at < size; i++) {
		size_t n = MIN(to[i].iov_len, size - at);

		memcpy(to[i].iov_base, bytes + at, n);
		at += n;
	}
}

static uint32_t fake_serve(void *server, void *context, const struct fs_request *request,
			   struct fs_later *(*keep)(const struct fs_request *request))
{
	struct fake *fake = server;
	char op = *(char *)request->out[0].iov_base;

	CHECK(context == fake);
	atomic_fetch_add(&fake->n_served, 1);
	if (op == OP_FORGET)
		return 0;
	if (op == OP_KEEP) {
		(void)pthread_mutex_lock(&fake->lock);
		fake->kept[fake->n_kept++] = keep(request);
		(void)pthread_mutex_unlock(&fake->lock);
		return 0;
	}
	if (op == OP_BLOCK) {
		(void)sem_post(&fake->blocked);
		(void)sem_wait(&fake->go_on);
	}
	copy(request->out, request->n_out, request->in, request->n_in);
	return MIN(request->out_size, request->in_size);
}

/* As the second byte of the request says. */
static struct lane fake_lane_of(void *server, const struct fs_request *request)
{
	uint8_t number = *(uint8_t *)request->out[1].iov_base;

	atomic_fetch_add(&((struct fake *)server)->n_asked, 1);
	return (struct lane){ .group = number >> 4, .number = number };
}

static void fake_cancel(void *server)
{
	struct fake *fake = server;

	(void)pthread_mutex_lock(&fake->lock);
	while (fake->n_kept > 0)
		fs_complete(fake->kept[--fake->n_kept], "cancelled", 9);
	(void)pthread_mutex_unlock(&fake->lock);
}

static void fake_reset(void *server)
{
	atomic_fetch_add(&((struct fake *)server)->n_resets, 1);
}

static int fake_timer_fd(const void *server)
{
	return ((const struct fake *)server)->timer_fd;
}

static void fake_expired(void *server, void *context)
{
	static const struct itimerspec again = { .it_value.tv_nsec = 1000000 };
	struct fake *fake = server;

	CHECK(context == server);
	atomic_fetch_add(&fake->n_expired, 1);
	CHECK(timerfd_settime(fake->timer_fd, 0, &again, NULL) == 0);
}

static void fake_free(void *server)
{
	atomic_fetch_add(&((struct fake *)server)->n_freed, 1);
}

static const struct fs_server_ops fake_ops = {
	.serve = fake_serve,
	.lane_of = fake_lane_of,
	.cancel = fake_cancel,
	.reset = fake_reset,
	.timer_fd = fake_timer_fd,
	.expired = fake_expired,
	.free = fake_free,
};

static int enter(void *data, void **ret_context, struct error **ret_error)
{
	struct fake *fake = data;

	(void)ret_error;
	atomic_fetch_add(&fake->n_threads, 1);
	*ret_context = fake;
	return 0;
}

static void leave(void *context)
{
	atomic_fetch_sub(&((struct fake *)context)->n_threads, 1);
}

struct fixture {
	struct driver d;
	struct fake fake;
	struct pool *requests, *urgent;
	uint8_t lane; /* of what is sent */
};

static struct pool *new_pool(struct fixture *f, unsigned threads)
{
	const struct pool_options options = { .name = "test",
					      .threads_max = threads,
					      .enter = enter,
					      .leave = leave,
					      .data = &f->fake };
	struct error *error = NULL;
	struct pool *pool;

	CHECK_OK(pool_new(&options, &pool, &error), &error);
	return pool;
}

static int new_device(struct fixture *f, const char *tag, struct virtio_device **ret_device,
		      struct error **ret_error)
{
	const struct fs_options options = { .tag = tag,
					    .ops = &fake_ops,
					    .server = &f->fake,
					    .requests = f->requests,
					    .urgent = f->urgent,
					    .threads_max = THREADS };

	return fs_new(&options, ret_device, ret_error);
}

static void fixture_init(struct fixture *f)
{
	struct virtio_device *device;
	struct error *error = NULL;

	memset(f, 0, sizeof(*f));
	CHECK(sem_init(&f->fake.blocked, 0, 0) == 0 && sem_init(&f->fake.go_on, 0, 0) == 0);
	(void)pthread_mutex_init(&f->fake.lock, NULL);
	f->fake.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	CHECK(f->fake.timer_fd >= 0);
	f->requests = new_pool(f, THREADS);
	f->urgent = new_pool(f, 1);
	CHECK_OK(new_device(f, "a tag", &device, &error), &error);
	driver_init(&f->d, device, 4 << 20);
	driver_start(&f->d, ~0ULL);
}

static void pools_done(struct fixture *f)
{
	pool_free(f->requests);
	pool_free(f->urgent);
	CHECK_INT(atomic_load(&f->fake.n_threads), 0);
	(void)close(f->fake.timer_fd);
}

static void fixture_done(struct fixture *f)
{
	driver_done(&f->d);
	CHECK_INT(atomic_load(&f->fake.n_freed), 1);
	pools_done(f);
}

/* A request of size bytes, in pieces; its reply is as long, and comes back here. */
struct sent {
	char *request, *reply;
	uint32_t size;
	int head;
	bool done;
	uint32_t written;
};

static struct sent send_request(struct fixture *f, unsigned queue, char op, uint32_t size)
{
	gpa_t out = driver_alloc(&f->d, size, 1), in = driver_alloc(&f->d, size, 1);
	struct sent sent = { .request = driver_at(&f->d, out),
			     .reply = driver_at(&f->d, in),
			     .size = size };
	const struct driver_buffer buffers[] = {
		{ out, 1 }, { out + 1, size - 1 }, { in, 5 }, { in + 5, size - 5 }
	};

	sent.request[0] = op;
	for (uint32_t i = 1; i < size; i++)
		sent.request[i] = (char)rand();
	sent.request[1] = (char)f->lane;
	sent.head = ring_add(&f->d.rings[queue], buffers, 2, 2);
	CHECK(sent.head >= 0);
	driver_kick(&f->d, queue);
	return sent;
}

/* Until this many of the requests have been answered. */
static void take(struct fixture *f, unsigned queue, struct sent *sent, unsigned n_sent, unsigned n)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (n > 0) {
		uint32_t written;
		uint16_t head;

		if (!ring_take(&f->d.rings[queue], &head, &written)) {
			CHECK(clock_monotonic_ns() < end);
			CHECK(!driver_needs_reset(&f->d));
			loop_step(f->d.loop, 10);
			continue;
		}
		n--;
		for (unsigned i = 0; i < n_sent; i++)
			if (sent[i].head == head && !sent[i].done) {
				sent[i].done = true;
				sent[i].written = written;
			}
	}
}

static void check_echo(const struct sent *sent)
{
	CHECK(sent->done);
	CHECK_INT(sent->written, sent->size);
	CHECK(memcmp(sent->request, sent->reply, sent->size) == 0);
}

static void test_configuration(void)
{
	char longest[38] = "123456789012345678901234567890123456";
	struct virtio_device *device = NULL;
	struct error *error = NULL;
	struct virtio_fs_config config;
	struct fixture f;

	fixture_init(&f);
	driver_config_read(&f.d, 0, &config, sizeof(config));
	CHECK(memcmp(config.tag, "a tag\0\0\0", 8) == 0);
	CHECK_INT(config.num_request_queues, 1);
	driver_done(&f.d); /* one timer is watched once */
	CHECK_ERROR(new_device(&f, "", &device, &error), &error, "not 1 to 36 bytes");
	CHECK_OK(new_device(&f, longest, &device, &error), &error);
	device->ops->free(device);
	longest[36] = 'x';
	CHECK_ERROR(new_device(&f, longest, &device, &error), &error, "not 1 to 36 bytes");
	CHECK_INT(atomic_load(&f.fake.n_freed), 4);
	pools_done(&f);
}

static void test_requests(void)
{
	struct fixture f;

	fixture_init(&f);
	for (unsigned i = 0; i < 300; i++) {
		unsigned queue = i % 2 ? HIPRIO : REQUESTS;
		struct sent sent = send_request(&f, queue, OP_ECHO, 6 + i);

		take(&f, queue, &sent, 1, 1);
		check_echo(&sent);
		sent = send_request(&f, queue, OP_FORGET, 6);
		take(&f, queue, &sent, 1, 1);
		CHECK_INT(sent.written, 0);
	}
	fixture_done(&f);
}

/* Many at once, of all sizes: each gets its own reply. */
static void test_flood(void)
{
	static struct sent sent[50];
	struct fixture f;

	fixture_init(&f);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(sent); i++)
			sent[i] = send_request(&f, REQUESTS, OP_ECHO, 6 + (unsigned)rand() % 900);
		take(&f, REQUESTS, sent, ARRAY_SIZE(sent), ARRAY_SIZE(sent));
		for (unsigned i = 0; i < ARRAY_SIZE(sent); i++)
			check_echo(&sent[i]);
	}
	CHECK(atomic_load(&f.fake.n_threads) <= THREADS + 1);
	fixture_done(&f);
}

/* One that blocks delays no other, up to the pool's limit; and none of those of
 * high priority, ever. */
static void test_blocking(void)
{
	struct sent blocked[THREADS], other;
	struct fixture f;

	fixture_init(&f);
	for (unsigned i = 0; i < THREADS; i++) {
		f.lane = 0xf0;
		other = send_request(&f, REQUESTS, OP_ECHO, 100);
		take(&f, REQUESTS, &other, 1, 1);
		check_echo(&other);
		f.lane = (uint8_t)((i + 1) << 4);
		blocked[i] = send_request(&f, REQUESTS, OP_BLOCK, 100);
		(void)sem_wait(&f.fake.blocked);
	}
	other = send_request(&f, HIPRIO, OP_ECHO, 100);
	take(&f, HIPRIO, &other, 1, 1);
	check_echo(&other);
	for (unsigned i = 0; i < THREADS; i++)
		(void)sem_post(&f.fake.go_on);
	take(&f, REQUESTS, blocked, THREADS, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		check_echo(&blocked[i]);
	fixture_done(&f);
}

static void wait_for(const _Atomic unsigned *value, unsigned wanted)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (atomic_load(value) < wanted) {
		CHECK(clock_monotonic_ns() < end);
		(void)usleep(1000);
	}
}

static unsigned count_kept(struct fixture *f)
{
	unsigned n;

	(void)pthread_mutex_lock(&f->fake.lock);
	n = f->fake.n_kept;
	(void)pthread_mutex_unlock(&f->fake.lock);
	return n;
}

static void wait_for_kept(struct fixture *f)
{
	uint64_t end = clock_monotonic_ns() + PATIENCE_NS;

	while (count_kept(f) == 0) {
		CHECK(clock_monotonic_ns() < end);
		(void)usleep(1000);
	}
}

static void test_later(void)
{
	struct fixture f;
	struct sent kept, other;

	fixture_init(&f);
	kept = send_request(&f, REQUESTS, OP_KEEP, 100);
	wait_for_kept(&f);
	other = send_request(&f, REQUESTS, OP_ECHO, 100);
	take(&f, REQUESTS, &other, 1, 1);
	check_echo(&other);
	fake_cancel(&f.fake);
	take(&f, REQUESTS, &kept, 1, 1);
	CHECK_INT(kept.written, 9);
	CHECK(memcmp(kept.reply, "cancelled", 9) == 0);
	/* The driver resets while one is kept: it is dropped. */
	kept = send_request(&f, REQUESTS, OP_KEEP, 100);
	wait_for_kept(&f);
	driver_reset(&f.d);
	CHECK_INT(count_kept(&f), 0);
	CHECK_INT(atomic_load(&f.fake.n_resets), 1);
	if (f.d.mmio) /* a vhost-user front-end stops the queues before */
		CHECK_INT(kept.reply[0], 0);
	driver_start(&f.d, ~0ULL);
	other = send_request(&f, REQUESTS, OP_ECHO, 100);
	take(&f, REQUESTS, &other, 1, 1);
	check_echo(&other);
	fixture_done(&f);
}

static void *let_go(void *data)
{
	struct fixture *f = data;

	(void)usleep(50000);
	(void)sem_post(&f->fake.go_on);
	return NULL;
}

static void wait_for_blocked(struct fixture *f, unsigned n)
{
	while (n-- > 0)
		CHECK(sem_wait(&f->fake.blocked) == 0);
}

static void let_many_go(struct fixture *f, unsigned n)
{
	while (n-- > 0)
		(void)sem_post(&f->fake.go_on);
}

/* However many requests of one lane hang, there are threads for others; those that had to wait get
 * theirs. */
static void test_lanes(void)
{
	struct sent blocked[12], other;
	struct fixture f;

	fixture_init(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(blocked); i++) {
		f.lane = i % 2 ? 0x21 : 0x10;
		blocked[i] = send_request(&f, REQUESTS, OP_BLOCK, 100);
	}
	wait_for_blocked(&f, 3);
	for (unsigned i = 0; i < 20; i++) {
		f.lane = (uint8_t)(0x30 + i);
		other = send_request(&f, REQUESTS, OP_ECHO, 100 + i);
		take(&f, REQUESTS, &other, 1, 1);
		check_echo(&other);
	}
	CHECK_INT(atomic_load(&f.fake.n_served), 3 + 20);
	let_many_go(&f, ARRAY_SIZE(blocked));
	take(&f, REQUESTS, blocked, ARRAY_SIZE(blocked), ARRAY_SIZE(blocked));
	for (unsigned i = 0; i < ARRAY_SIZE(blocked); i++)
		check_echo(&blocked[i]);
	fixture_done(&f);
}

/* Eight requests of one lane, of which two run. */
static void send_to_lane(struct fixture *f, struct sent sent[8])
{
	unsigned asked = atomic_load(&f->fake.n_asked);

	for (unsigned i = 0; i < 8; i++)
		sent[i] = send_request(f, REQUESTS, OP_BLOCK, 100);
	wait_for_blocked(f, 2);
	wait_for(&f->fake.n_asked, asked + 8);
}

/* Those that wait are answered before a queue has stopped. */
static void test_lanes_stopped(void)
{
	struct sent sent[8];
	struct fixture f;

	fixture_init(&f);
	send_to_lane(&f, sent);
	let_many_go(&f, 8);
	driver_stop_queue(&f.d, REQUESTS);
	CHECK_INT(atomic_load(&f.fake.n_served), 8);
	take(&f, REQUESTS, sent, 8, 8);
	for (unsigned i = 0; i < 8; i++)
		check_echo(&sent[i]);
	fixture_done(&f);
}

static void *let_all_go(void *data)
{
	(void)usleep(50000);
	let_many_go(data, 8);
	return NULL;
}

/* A reset drops them. */
static void test_lanes_reset(void)
{
	struct sent sent[8];
	struct fixture f;
	pthread_t thread;
	uint16_t used;

	fixture_init(&f);
	send_to_lane(&f, sent);
	CHECK(pthread_create(&thread, NULL, let_all_go, &f) == 0);
	driver_reset(&f.d);
	used = __atomic_load_n(&f.d.rings[REQUESTS].used->idx, __ATOMIC_SEQ_CST);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_INT(__atomic_load_n(&f.d.rings[REQUESTS].used->idx, __ATOMIC_SEQ_CST), used);
	driver_start(&f.d, ~0ULL);
	sent[0] = send_request(&f, REQUESTS, OP_ECHO, 100);
	take(&f, REQUESTS, sent, 1, 1);
	check_echo(&sent[0]);
	fixture_done(&f);
}

/* A reset waits for what is being served, and then nothing touches the rings. */
static void test_reset(void)
{
	struct fixture f;

	fixture_init(&f);
	for (unsigned i = 0; i < 20; i++) {
		pthread_t thread;
		uint16_t used;

		(void)send_request(&f, REQUESTS, OP_BLOCK, 100);
		(void)sem_wait(&f.fake.blocked);
		CHECK(pthread_create(&thread, NULL, let_go, &f) == 0);
		driver_reset(&f.d);
		used = __atomic_load_n(&f.d.rings[REQUESTS].used->idx, __ATOMIC_SEQ_CST);
		if (f.d.mmio)
			CHECK_INT(used, 0);
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK_INT(__atomic_load_n(&f.d.rings[REQUESTS].used->idx, __ATOMIC_SEQ_CST), used);
		driver_start(&f.d, ~0ULL);
	}
	CHECK_INT(atomic_load(&f.fake.n_resets), 20);
	fixture_done(&f);
}

/* A queue taken back has what was kept answered; the other one goes on. */
static void test_stopped_queue(void)
{
	struct fixture f;
	struct sent kept, other;

	fixture_init(&f);
	kept = send_request(&f, REQUESTS, OP_KEEP, 100);
	wait_for_kept(&f);
	driver_stop_queue(&f.d, HIPRIO);
	CHECK_INT(count_kept(&f), 1);
	driver_stop_queue(&f.d, REQUESTS);
	CHECK_INT(count_kept(&f), 0);
	take(&f, REQUESTS, &kept, 1, 1);
	CHECK_INT(kept.written, 9);
	driver_reset(&f.d);
	driver_start(&f.d, ~0ULL);
	other = send_request(&f, REQUESTS, OP_ECHO, 100);
	take(&f, REQUESTS, &other, 1, 1);
	check_echo(&other);
	fixture_done(&f);
}

static void test_bad_rings(void)
{
	struct fixture f;
	struct sent sent;

	fixture_init(&f);
	for (unsigned queue = 0; queue < 2; queue++) {
		struct driver_ring *ring = &f.d.rings[queue];

		/* A head beyond the table; memory that is not there. */
		ring_publish(ring, 5000);
		driver_kick(&f.d, queue);
		driver_expect_needs_reset(&f.d);
		driver_start(&f.d, ~0ULL);
		sent = send_request(&f, queue, OP_ECHO, 10);
		take(&f, queue, &sent, 1, 1);
		check_echo(&sent);
		CHECK(ring_add(ring, &(struct driver_buffer){ ~0ULL - 100, 50 }, 1, 0) >= 0);
		driver_kick(&f.d, queue);
		driver_expect_needs_reset(&f.d);
		driver_start(&f.d, ~0ULL);
	}
	fixture_done(&f);
}

static void test_timer(void)
{
	const struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	struct fixture f;

	fixture_init(&f);
	CHECK(timerfd_settime(f.fake.timer_fd, 0, &soon, NULL) == 0);
	wait_for(&f.fake.n_expired, 3);
	fixture_done(&f);
}

static int enter_badly(void *data, void **ret_context, struct error **ret_error)
{
	(void)data, (void)ret_context;
	return error_set(ret_error, EPERM, "may not enter");
}

static void test_pool_that_cannot_start(void)
{
	const struct pool_options options = { .name = "test",
					      .threads_max = 2,
					      .enter = enter_badly };
	struct pool *pool = NULL;
	struct error *error = NULL;

	CHECK_ERROR(pool_new(&options, &pool, &error), &error, "may not enter");
	CHECK(!pool);
}

static const struct test_case cases[] = {
	{ "configuration", test_configuration },
	{ "requests", test_requests },
	{ "flood", test_flood },
	{ "blocking", test_blocking },
	{ "later", test_later },
	{ "lanes", test_lanes },
	{ "lanes of a stopped queue", test_lanes_stopped },
	{ "lanes at a reset", test_lanes_reset },
	{ "reset", test_reset },
	{ "stopped queue", test_stopped_queue },
	{ "bad rings", test_bad_rings },
	{ "timer", test_timer },
	{ "a pool that cannot start", test_pool_that_cannot_start },
};

TEST_MAIN(cases)
