/* SPDX-License-Identifier: Apache-2.0 */
/* virtio/vhost-user against a front-end that breaks the protocol: the connection
 * ends with a reason, or the request is refused with one; nothing is left open, and
 * nothing waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "tests/unit/vhost-fixture.h"

#define ALL (~0ULL)
#define PAGE 4096ULL

/* ---- whole messages ---- */

static const struct malformed {
	uint32_t request, flags, size;
	size_t n_fds;
	const char *reason;
} malformed[] = {
	/* Headers.  flags: more than the version. */
	{ 0, 0, 0, 0, "request 0 is not supported" },
	{ VHOST_REQUESTS, 0, 0, 0, "is not supported" },
	{ UINT32_MAX, 0, 0, 0, "is not supported" },
	{ 6, 0, 16, 1, "request 6 is not supported" },	 /* SET_LOG_BASE */
	{ 7, 0, 0, 1, "request 7 is not supported" },	 /* SET_LOG_FD */
	{ 22, 0, 32, 0, "request 22 is not supported" }, /* IOTLB_MSG */
	{ 31, 0, 24, 0, "request 31 is not supported" }, /* GET_INFLIGHT_FD */
	{ 36, 0, 0, 0, "request 36 is not supported" },	 /* GET_MAX_MEM_SLOTS */
	{ 39, 0, 8, 0, "request 39 is not supported" },	 /* SET_STATUS */
	{ VHOST_GET_FEATURES, VHOST_FLAG_REPLY, 0, 0, "flags 0x5" },
	{ VHOST_GET_FEATURES, 2, 0, 0, "flags 0x3" },
	{ VHOST_GET_FEATURES, 0x80000000, 0, 0, "flags 0x80000001" },
	/* Sizes. */
	{ VHOST_GET_FEATURES, 0, 8, 0, "GET_FEATURES of 8 bytes" },
	{ VHOST_SET_FEATURES, 0, 0, 0, "SET_FEATURES of 0 bytes" },
	{ VHOST_SET_FEATURES, 0, 7, 0, "SET_FEATURES of 7 bytes" },
	{ VHOST_SET_FEATURES, 0, 9, 0, "SET_FEATURES of 9 bytes" },
	{ VHOST_SET_MEM_TABLE, 0, 7, 0, "SET_MEM_TABLE of 7 bytes" },
	{ VHOST_SET_VRING_NUM, 0, 4, 0, "SET_VRING_NUM of 4 bytes" },
	{ VHOST_SET_VRING_ADDR, 0, 8, 0, "SET_VRING_ADDR of 8 bytes" },
	{ VHOST_SET_VRING_KICK, 0, 16, 0, "SET_VRING_KICK of 16 bytes" },
	{ VHOST_GET_CONFIG, 0, 11, 0, "GET_CONFIG of 11 bytes" },
	{ VHOST_RESET_DEVICE, 0, 1, 0, "RESET_DEVICE of 1 bytes" },
	/* Descriptors. */
	{ VHOST_GET_FEATURES, 0, 0, 1, "with 1 descriptors" },
	{ VHOST_SET_VRING_ENABLE, 0, 8, 8, "with 8 descriptors" },
	{ VHOST_SET_VRING_KICK, 0, 8, 0, "with 0 descriptors" },
	{ VHOST_SET_VRING_CALL, 0, 8, 2, "with 2 descriptors" },
	{ VHOST_SET_BACKEND_REQ_FD, 0, 0, 0, "with 0 descriptors" },
	{ VHOST_SET_BACKEND_REQ_FD, 0, 0, 2, "with 2 descriptors" },
	{ VHOST_SET_MEM_TABLE, 0, 8, 1, "with 1 descriptors" },
};

static void test_messages(void)
{
	static const char zeroes[sizeof(union vhost_payload)];
	int fds[FD_PASS_MAX];

	for (size_t i = 0; i < FD_PASS_MAX; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		const struct malformed *m = &malformed[i];

		(void)fixture(false);
		driver_start(&d, ALL);
		frontend_send(&d, m->request, m->flags, zeroes, m->size, fds, m->n_fds);
		frontend_expect_lost(&d, m->reason);
		done();
	}
	for (size_t i = 0; i < FD_PASS_MAX; i++)
		(void)close(fds[i]);
}

static void test_size(void)
{
	const struct vhost_header header = { VHOST_SET_MEM_TABLE, VHOST_FLAG_VERSION,
					     sizeof(union vhost_payload) + 1 };

	(void)fixture(false);
	CHECK(write(d.frontend->socket, &header, sizeof(header)) == sizeof(header));
	frontend_expect_lost(&d, "at most");
	done();
}

/* A message may come byte by byte, its descriptors with the first. */
static void test_in_pieces(void)
{
	const struct {
		struct vhost_header header;
		char payload[8];
	} message = { { VHOST_SET_VRING_ERR, VHOST_FLAG_VERSION | VHOST_FLAG_NEED_REPLY, 8 },
		      { 1 } };
	const char *bytes = (const char *)&message;
	uint64_t value;

	(void)fixture(false);
	for (size_t i = 0; i < sizeof(message); i++) {
		CHECK_INT(
		    send_with_fds(d.frontend->socket, bytes + i, 1, &d.frontend->err_fd, i == 0),
		    1);
		loop_step(d.loop, 0);
	}
	CHECK_INT(frontend_expect(&d, VHOST_SET_VRING_ERR, &value, sizeof(value)), 8);
	CHECK_INT(value, 0);
	/* Several at once, too: each is answered. */
	for (int i = 0; i < 200; i++)
		frontend_send(&d, VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	for (int i = 0; i < 200; i++)
		CHECK_INT(frontend_expect(&d, VHOST_GET_FEATURES, &value, sizeof(value)), 8);
	for (size_t at = 1; at < sizeof(message); at += 6) {
		done();
		(void)fixture(false);
		CHECK_INT(write(d.frontend->socket, bytes, at), at);
		loop_step(d.loop, 0);
		CHECK_INT(send_with_fds(d.frontend->socket, bytes + at, sizeof(message) - at,
					&d.frontend->err_fd, 1),
			  sizeof(message) - at);
		frontend_expect_lost(&d, "in the middle");
	}
	done();
}

/* Gone in the middle of a message, with descriptors that had come. */
static void test_gone(void)
{
	const char byte = VHOST_SET_VRING_KICK;

	(void)fixture(false);
	CHECK_INT(send_with_fds(d.frontend->socket, &byte, 1, d.frontend->kick_fds, 4), 1);
	loop_step(d.loop, 0);
	CHECK(shutdown(d.frontend->socket, SHUT_WR) == 0);
	frontend_expect_lost(&d, "hung up");
	done();
}

/* A front-end that asks and does not listen is not waited for. */
static void test_deaf(void)
{
	const struct vhost_header header = { VHOST_GET_FEATURES, VHOST_FLAG_VERSION, 0 };

	(void)fixture(false);
	while (d.frontend->n_lost == 0) {
		(void)!write(d.frontend->socket, &header, sizeof(header));
		loop_step(d.loop, 0);
	}
	CHECK(strstr(d.frontend->lost, "front-end"));
	done();
}

/* ---- refusals ---- */

static uint64_t ask_addr(uint32_t queue, uint32_t flags)
{
	const struct vhost_vring_addr addr = { .index = queue, .flags = flags };

	return frontend_ask(&d, VHOST_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static uint64_t ask_fd(uint32_t request, uint64_t value, int fd)
{
	return frontend_ask(&d, request, &value, sizeof(value), &fd, fd >= 0);
}

/* What is refused changes nothing: the device works on. */
static void test_refused(void)
{
	struct fake *fake = fixture(false);
	uint64_t features;
	int fd = eventfd(0, EFD_CLOEXEC), pipe_fds[2];

	CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
	driver_start(&d, ALL);
	/* A ring that runs is not changed; one that is not there, neither. */
	for (uint32_t queue = 0; queue < 300; queue += queue < 4 ? 1 : 37) {
		CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_NUM, queue, 8), 1);
		CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_BASE, queue, 0), 1);
		CHECK_INT(ask_addr(queue, 0), 1);
		if (queue < FAKE_QUEUES)
			continue;
		CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_ENABLE, queue, 1), 1);
		CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, queue, fd), 1);
		CHECK_INT(ask_fd(VHOST_SET_VRING_CALL, queue, fd), 1);
		CHECK_INT(ask_fd(VHOST_SET_VRING_ERR, queue, fd), 1);
	}
	CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_ENABLE, 0, 2), 1);
	features = d.frontend->accepted & ~FAKE_FEATURE_A;
	CHECK_INT(frontend_ask(&d, VHOST_SET_FEATURES, &features, 8, NULL, 0), 1);
	features = 1ULL << 16; /* STATUS: not offered */
	CHECK_INT(frontend_ask(&d, VHOST_SET_PROTOCOL_FEATURES, &features, 8, NULL, 0), 1);
	/* Descriptors: none to kick with, and not an eventfd. */
	CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, VHOST_VRING_NO_FD, -1), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, VHOST_VRING_NO_FD, fd), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, 1ULL << 9, fd), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, 1ULL << 63, fd), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_KICK, 0, pipe_fds[0]), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_CALL, 0, pipe_fds[1]), 1);
	CHECK_INT(ask_fd(VHOST_SET_VRING_ERR, 0, d.frontend->socket), 1);
	CHECK_INT(frontend_ask(&d, 6, NULL, 0, &fd, 1), 1);
	serve_one(0);
	serve_one(1);
	CHECK_INT(fake->activated, 1);
	CHECK_INT(fake->reset, 0);
	frontend_stop(&d);
	CHECK_INT(ask_addr(0, 1), 1); /* logging */
	CHECK_INT(frontend_ask_state(&d, VHOST_SET_VRING_BASE, 0, 0x10000), 1);
	/* Where no answer is asked for, it is the end. */
	frontend_send(&d, VHOST_SET_VRING_ENABLE, 0, "\2\0\0\0\1\0\0\0", 8, NULL, 0);
	frontend_expect_lost(&d, "SET_VRING_ENABLE: queue 2 of 2");
	(void)close(fd);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	driver_done(&d);
}

static void test_bad_base_request(void)
{
	const struct vhost_vring_state state = { FAKE_QUEUES, 0 };

	/* It has a reply of its own, in which no refusal fits. */
	(void)fixture(false);
	frontend_send(&d, VHOST_GET_VRING_BASE, VHOST_FLAG_NEED_REPLY, &state, sizeof(state), NULL,
		      0);
	frontend_expect_lost(&d, "GET_VRING_BASE: queue 2 of 2");
	done();
}

static void test_config(void)
{
	static const struct {
		uint32_t offset, size, payload;
	} bad[] = {
		{ 0, 5, 4 },	      { 0, 4, 5 },	    { 253, 4, 4 },
		{ 257, 0, 0 },	      { UINT32_MAX, 4, 4 }, { 4, UINT32_MAX, 0 },
		{ UINT32_MAX, 0, 0 }, { 1, 256, 256 },	    { 0, 257, 256 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct vhost_config config = { .offset = bad[i].offset, .size = bad[i].size };

		(void)fixture(false);
		CHECK_INT(frontend_ask(&d, VHOST_SET_CONFIG, &config,
				       VHOST_CONFIG_HEADER + bad[i].payload, NULL, 0),
			  1);
		frontend_send(&d, VHOST_GET_CONFIG, 0, &config,
			      VHOST_CONFIG_HEADER + bad[i].payload, NULL, 0);
		frontend_expect_lost(&d, "GET_CONFIG: configuration");
		done();
	}
}

/* ---- memory tables ---- */

static uint64_t ask_table(const struct vhost_region *regions, uint32_t n, const int *fds,
			  size_t n_fds)
{
	struct vhost_mem_table table = { .n_regions = n };
	size_t size = MIN((size_t)n, (size_t)MEM_REGIONS_MAX) * sizeof(*regions);

	memcpy(table.regions, regions, size);
	return frontend_ask(&d, VHOST_SET_MEM_TABLE, &table,
			    (uint32_t)(offsetof(struct vhost_mem_table, regions) + size), fds,
			    n_fds);
}

static void test_regions(void)
{
	/* Of a file of 16 pages. */
	static const struct vhost_region bad[][2] = {
		{ { 0, 0, 0, 0 } },
		{ { 0, 17 * PAGE, 0, 0 } },
		{ { 0, PAGE, 0, 16 * PAGE } },
		{ { 0, 16 * PAGE, 0, PAGE } },
		{ { 0, PAGE, 0, UINT64_MAX - PAGE + 1 } },
		{ { 0, UINT64_MAX & ~(PAGE - 1), 0, PAGE } },
		{ { UINT64_MAX - PAGE + 1, 2 * PAGE, 0, 0 } },
		{ { UINT64_MAX - PAGE + 1, PAGE, 0, 0 } }, /* its end wraps to 0 */
		{ { 0, 2 * PAGE, UINT64_MAX - PAGE + 1, 0 } },
		{ { 1, PAGE, 0, 0 } },
		{ { 0, PAGE, 8, 0 } },
		{ { 0, PAGE, 0, 512 } },
		/* Overlaps in the guest, in the front-end. */
		{ { 0, 2 * PAGE, 0, 0 }, { PAGE, PAGE, 1 << 20, 0 } },
		{ { PAGE, PAGE, 0, 0 }, { 0, 2 * PAGE, 1 << 20, 0 } },
		{ { 0, 2 * PAGE, 0, 0 }, { 1 << 20, PAGE, PAGE, 0 } },
		{ { 0, PAGE, PAGE, 0 }, { 1 << 20, 2 * PAGE, 0, 0 } },
		{ { 0, PAGE, 0, 0 }, { 0, PAGE, 0, 0 } },
	};
	int fd = memfd_create("regions", MFD_CLOEXEC | MFD_ALLOW_SEALING), fds[9];

	CHECK(ftruncate(fd, 16 * PAGE) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = fd;
	(void)fixture(false);
	driver_start(&d, ALL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t n = bad[i][1].size > 0 ? 2 : 1;

		if (ask_table(bad[i], n, fds, n) != 1)
			test_fail(__FILE__, __LINE__, "table %zu was taken", i);
	}
	/* Counts that do not fit. */
	CHECK_INT(ask_table(bad[0], 1, fds, 0), 1);
	CHECK_INT(ask_table(bad[0], 1, fds, 2), 1);
	CHECK_INT(ask_table(bad[0], 0, fds, 1), 1);
	CHECK_INT(ask_table(bad[0], 8, fds, 7), 1);
	CHECK_INT(ask_table(bad[0], 9, fds, 8), 1);
	CHECK_INT(ask_table(bad[0], UINT32_MAX, fds, 8), 1);
	/* The old table is still there. */
	serve_one(0);
	(void)close(fd);
	driver_done(&d);
}

/* Memory that may vanish, or is none. */
static void test_files(void)
{
	const struct vhost_region region = { 0, PAGE, 0, 0 };
	char path[] = "/tmp/test-vhost-XXXXXX";
	int fds[6], pair[2];

	fds[0] = mkostemp(path, O_CLOEXEC); /* a plain file has no seals */
	CHECK(fds[0] >= 0 && unlink(path) == 0 && ftruncate(fds[0], PAGE) == 0);
	fds[1] = memfd_create("unsealable", MFD_CLOEXEC);
	CHECK(ftruncate(fds[1], PAGE) == 0);
	fds[2] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fds[3] = pair[0];
	fds[4] = memfd_create("read-only", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate(fds[4], PAGE) == 0 && fcntl(fds[4], F_ADD_SEALS, F_SEAL_WRITE) == 0);
	fds[5] = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	(void)fixture(false);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (ask_table(&region, 1, &fds[i], 1) != 1)
			test_fail(__FILE__, __LINE__, "file %zu was taken", i);
		(void)close(fds[i]);
	}
	(void)close(pair[1]);
	driver_done(&d);
}

static const struct test_case cases[] = {
	{ "messages", test_messages },
	{ "size", test_size },
	{ "in pieces", test_in_pieces },
	{ "gone in the middle", test_gone },
	{ "deaf front-end", test_deaf },
	{ "refused", test_refused },
	{ "bad GET_VRING_BASE", test_bad_base_request },
	{ "configuration", test_config },
	{ "memory regions", test_regions },
	{ "memory files", test_files },
};

TEST_MAIN(cases)
