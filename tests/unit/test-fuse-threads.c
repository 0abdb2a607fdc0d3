/* SPDX-License-Identifier: Apache-2.0 */
/* rootfs/share: many threads in one server, which share files and get in each
 * other's way.  For the thread sanitizer; and nothing may be left at the end. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/unit/fuse-client.h"
#include "tests/unit/test.h"

#define THREADS 4
#define ROUNDS 1500
#define NAMES 6
#define FDS_MAX 60 /* so that file handles are used too, where there are any */

static struct client main_client;
static _Atomic unsigned n_read, n_made;

static int count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	return n;
}

/* What is written is the file's name over and over; who reads sees nothing else. */
static void use_file(struct client *c, const char *name, unsigned *seed)
{
	char text[64], got[64];
	uint64_t node, fh;
	struct fuse_lk_in lock;
	int r;

	memset(text, name[0], sizeof(text));
	if (client_create(c, FUSE_ROOT_ID, name, O_RDWR, 0600, &node, &fh) < 0)
		return;
	atomic_fetch_add(&n_made, 1);
	lock = (struct fuse_lk_in){ .fh = fh,
				    .owner = (uint64_t)rand_r(seed) % 3,
				    .lk = { .type = F_WRLCK, .end = INT64_MAX } };
	(void)client_lock(c, FUSE_SETLK, node, &lock, NULL);
	if (rand_r(seed) % 2)
		(void)client_write(c, node, fh, 0, text, sizeof(text), 0);
	r = client_read(c, node, fh, 0, got, sizeof(got));
	for (int i = 0; i < r; i++)
		CHECK(got[i] == name[0]);
	atomic_fetch_add(&n_read, r > 0);
	lock.lk.type = F_UNLCK;
	(void)client_lock(c, FUSE_SETLK, node, &lock, NULL);
	(void)client_release(c, FUSE_RELEASE, node, fh);
	client_forget(c, node, 1);
}

static void read_root(struct client *c)
{
	struct fuse_read_in in = { .size = 4096 };
	const struct client_body parts[] = { { &in, sizeof(in) } };
	char bytes[4096];
	size_t got = 0;

	if (client_opendir(c, FUSE_ROOT_ID, &in.fh) < 0)
		return;
	if (client_send(c, FUSE_READDIRPLUS, FUSE_ROOT_ID, parts, 1, bytes, sizeof(bytes), &got) ==
	    0)
		for (size_t at = 0; at < got;) {
			const struct fuse_direntplus *entry =
			    (struct fuse_direntplus *)(bytes + at);

			if (entry->entry_out.nodeid)
				client_forget(c, entry->entry_out.nodeid, 1);
			at += FUSE_DIRENTPLUS_SIZE(entry);
		}
	(void)client_release(c, FUSE_RELEASEDIR, FUSE_ROOT_ID, in.fh);
}

static void *work(void *data)
{
	unsigned seed = *(unsigned *)data;
	struct client c;

	client_clone(&c, &main_client);
	for (int i = 0; i < ROUNDS; i++) {
		const char name[] = { (char)('a' + rand_r(&seed) % NAMES), '\0' };
		struct fuse_entry_out entry;
		struct fuse_attr attr;

		switch (rand_r(&seed) % 6) {
		case 0:
		case 1:
			use_file(&c, name, &seed);
			break;
		case 2:
			if (client_lookup(&c, FUSE_ROOT_ID, name, &entry) == 0) {
				(void)client_getattr(&c, entry.nodeid, &attr);
				client_forget(&c, entry.nodeid, 1);
			}
			break;
		case 3:
			(void)client_remove(&c, FUSE_UNLINK, FUSE_ROOT_ID, name);
			break;
		case 4:
			read_root(&c);
			break;
		default:
			/* Somebody else's numbers, or nobody's. */
			(void)client_getattr(&c, (uint64_t)rand_r(&seed) % 500, &attr);
			client_forget(&c, 2 + (uint64_t)rand_r(&seed) % 500, 1);
			(void)client_release(&c, FUSE_RELEASE, 1, (uint64_t)rand_r(&seed) % 500);
		}
	}
	client_clone_done(&c);
	return NULL;
}

static void run(bool with_resets)
{
	const struct client_options options = { .cache = FUSE_CACHE_AUTO, .fds_max = FDS_MAX };
	pthread_t threads[THREADS];
	unsigned seeds[THREADS];
	int before;

	client_init(&main_client, &options);
	before = count_fds();
	for (unsigned i = 0; i < THREADS; i++) {
		seeds[i] = i + 1;
		CHECK(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
	}
	for (int i = 0; with_resets && i < 50; i++) {
		struct fuse_init_out out;

		(void)usleep(2000);
		CHECK_INT(client_init_session(&main_client, 38, UINT32_MAX, &out), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(atomic_load(&n_made) > 0 && atomic_load(&n_read) > 0);
	fuse_reset(main_client.server);
	CHECK_INT(count_fds(), before);
	client_done(&main_client);
}

static void test_threads(void)
{
	run(false);
}

static void test_threads_and_resets(void)
{
	run(true);
}

static const struct test_case cases[] = {
	{ "threads", test_threads },
	{ "threads and resets", test_threads_and_resets },
};

TEST_MAIN(cases)
