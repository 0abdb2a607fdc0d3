/* SPDX-License-Identifier: Apache-2.0 */
/* The console and the entropy device. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/test.h"
#include "tests/unit/virtio-driver.h"
#include "virtio/devices.h"

enum { RECEIVE, TRANSMIT };

static struct driver d;
static gpa_t page;

static void start_console(int output_fd, int input_fd)
{
	struct console_options options = { output_fd, input_fd };
	struct virtio_device *device;
	struct error *error = NULL;

	CHECK_OK(console_new(&options, &device, &error), &error);
	driver_init(&d, device, 1 << 20);
	page = driver_alloc(&d, 65536, 4096);
	driver_start(&d, ~0ULL);
}

static void print(const char *text)
{
	struct driver_buffer buffers[2] = { { page, 1 }, { page + 1, (uint32_t)strlen(text) - 1 } };
	int head;

	memcpy(driver_at(&d, page), text, strlen(text));
	head = ring_add(&d.rings[TRANSMIT], buffers, 2, 0);
	CHECK(head >= 0);
	CHECK_INT(driver_complete(&d, TRANSMIT, (uint16_t)head), 0);
}

static void test_output_kinds(void)
{
	char got[8] = "";
	int fds[2], file, pair[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	start_console(fds[1], -1);
	print("hello");
	CHECK(read(fds[0], got, sizeof(got)) == 5 && memcmp(got, "hello", 5) == 0);
	driver_done(&d);
	CHECK(read(fds[0], got, 1) == 0); /* closed with the device */
	file = memfd_create("console", MFD_CLOEXEC);
	start_console(dup(file), -1);
	print("hello");
	print("again");
	CHECK(pread(file, got, sizeof(got), 3) == 7 && memcmp(got, "loagain", 7) == 0);
	driver_done(&d);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	start_console(pair[1], -1);
	print("hello");
	CHECK(read(pair[0], got, sizeof(got)) == 5);
	/* A reader that has left costs its bytes and nothing else. */
	(void)close(pair[0]);
	print("hello");
	print("again");
	CHECK(!driver_needs_reset(&d));
	driver_done(&d);
}

#define LOG_SIZE (64 << 10)

/* The log takes all at once and keeps its end, whatever a buffer says its size is. */
static void test_output_to_log(void)
{
	static char got[LOG_SIZE + 1], line[60000];
	int file = memfd_create("log", MFD_CLOEXEC);
	struct driver_buffer buffers[40];
	struct error *error = NULL;
	int head;

	CHECK(fcntl(file, F_SETFL, O_APPEND) == 0);
	log_set_fd(file);
	CHECK_OK(log_keep_end(LOG_SIZE, &error), &error);
	start_console(-1, -1);
	print("hello");
	CHECK_INT(pread(file, got, sizeof(got), 0), 7);
	CHECK(memcmp(got, "> hello", 7) == 0);
	/* 50 MB. */
	memset(line, 'x', sizeof(line) - 1);
	for (int i = 0; i < 833; i++) {
		print(line);
		CHECK(lseek(file, 0, SEEK_END) <= LOG_SIZE);
	}
	/* Many times that in one chain. */
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++)
		buffers[i] = (struct driver_buffer){ page, 65536 };
	head = ring_add(&d.rings[TRANSMIT], buffers, ARRAY_SIZE(buffers), 0);
	CHECK(head >= 0);
	CHECK_INT(driver_complete(&d, TRANSMIT, (uint16_t)head), 0);
	CHECK(lseek(file, 0, SEEK_END) <= LOG_SIZE);
	print("the last words");
	CHECK(lseek(file, 0, SEEK_END) <= LOG_SIZE);
	memset(got, 0, sizeof(got));
	CHECK(pread(file, got, 14, lseek(file, 0, SEEK_END) - 14) == 14);
	CHECK_STRING(got, "the last words");
	driver_done(&d);
	log_set_fd(STDERR_FILENO);
	(void)close(file);
}

/* Making it non-blocking must not show at the others who write there. */
static void test_shared_output(void)
{
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	start_console(dup(fds[1]), -1);
	print("xy");
	CHECK(!(fcntl(fds[1], F_GETFL) & O_NONBLOCK));
	driver_done(&d);
}

/* A reader that does not read: the guest is never kept waiting; what is kept
 * comes in order when there is room, the rest is gone. */
static void test_slow_output(void)
{
	static char line[4096], got[1 << 20];
	uint64_t start = clock_monotonic_ns();
	size_t n = 0;
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	start_console(fds[1], -1);
	for (int i = 0; i < 100; i++) {
		memset(line, 'A' + i % 26, sizeof(line) - 1);
		print(line);
	}
	CHECK(clock_monotonic_ns() - start < 10000000000ULL);
	for (int i = 0; i < 200; i++) {
		ssize_t r = read(fds[0], got + n, sizeof(got) - n);

		n += r > 0 ? (size_t)r : 0;
		loop_step(d.loop, 1);
	}
	/* The pipe's 64 KiB and the device's. */
	CHECK(n >= 120 * 1024 && n < 200 * 1024);
	for (size_t i = 0; i < n; i++)
		CHECK(got[i] == (char)('A' + i / 4095 % 26));
	print("later");
	CHECK(read(fds[0], got, sizeof(got)) == 5);
	driver_done(&d);
	(void)close(fds[0]);
}

static int give_input(uint32_t size)
{
	struct driver_buffer buffer = { page, size };
	int head = ring_add(&d.rings[RECEIVE], &buffer, 0, 1);

	CHECK(head >= 0);
	driver_kick(&d, RECEIVE);
	return head;
}

static uint32_t expect_input(void)
{
	uint64_t end = clock_monotonic_ns() + 20000000000ULL;
	uint16_t head;
	uint32_t written;

	while (!ring_take(&d.rings[RECEIVE], &head, &written)) {
		CHECK(clock_monotonic_ns() < end);
		loop_step(d.loop, 10);
	}
	return written;
}

static void test_input(void)
{
	uint16_t head;
	uint32_t written;
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	start_console(open("/dev/null", O_WRONLY | O_CLOEXEC), fds[0]);
	CHECK(write(fds[1], "hello, guest", 12) == 12);
	for (int i = 0; i < 5; i++)
		loop_step(d.loop, 1);
	(void)give_input(5);
	CHECK_INT(expect_input(), 5);
	CHECK(memcmp(driver_at(&d, page), "hello", 5) == 0);
	(void)give_input(100);
	CHECK_INT(expect_input(), 7);
	(void)give_input(100);
	for (int i = 0; i < 5; i++)
		loop_step(d.loop, 1);
	CHECK(!ring_take(&d.rings[RECEIVE], &head, &written));
	CHECK(write(fds[1], "!", 1) == 1);
	CHECK_INT(expect_input(), 1);
	/* The end of the input is not the end of anything else. */
	(void)give_input(100);
	(void)close(fds[1]);
	for (int i = 0; i < 5; i++)
		loop_step(d.loop, 1);
	CHECK(!ring_take(&d.rings[RECEIVE], &head, &written));
	print("fine");
	driver_done(&d);
}

/* Input waits for the next driver, and none reaches the last one's buffers. */
static void test_input_over_reset(void)
{
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	start_console(open("/dev/null", O_WRONLY | O_CLOEXEC), fds[0]);
	(void)give_input(100);
	loop_step(d.loop, 1);
	driver_reset(&d);
	memset(driver_at(&d, page), 0, 8);
	CHECK(write(fds[1], "late", 4) == 4);
	for (int i = 0; i < 5; i++)
		loop_step(d.loop, 1);
	CHECK_INT(*(char *)driver_at(&d, page), 0);
	driver_start(&d, ~0ULL);
	(void)give_input(100);
	CHECK_INT(expect_input(), 4);
	(void)close(fds[1]);
	driver_done(&d);
}

static void test_console_faults(void)
{
	struct driver_buffer buffer = { 0, 10 };
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	start_console(fds[1], -1);
	buffer.gpa = page;
	(void)ring_add(&d.rings[TRANSMIT], &buffer, 0, 1);
	driver_kick(&d, TRANSMIT);
	driver_expect_needs_reset(&d);
	driver_start(&d, ~0ULL);
	print("ok");
	driver_done(&d);
	(void)close(fds[0]);
}

static void test_rng(void)
{
	struct virtio_device *device;
	struct error *error = NULL;
	struct driver_buffer buffers[2];
	const uint8_t *bytes;
	uint8_t all = 0;
	int head;

	CHECK_OK(rng_new(&device, &error), &error);
	driver_init(&d, device, 1 << 20);
	page = driver_alloc(&d, 65536, 4096);
	bytes = driver_at(&d, page);
	driver_start(&d, ~0ULL);
	for (uint32_t size = 1; size <= 65536; size *= 4) {
		buffers[0] = (struct driver_buffer){ page, size };
		head = ring_add(&d.rings[0], buffers, 0, 1);
		CHECK_INT(driver_complete(&d, 0, (uint16_t)head), size < 256 ? size : 256);
	}
	for (int i = 0; i < 256; i++)
		all |= bytes[i];
	CHECK_INT(all, 0xff); /* every bit somewhere: false once in 2^253 */
	/* Readable buffers are not for this device. */
	buffers[1] = buffers[0];
	(void)ring_add(&d.rings[0], buffers, 1, 1);
	driver_kick(&d, 0);
	driver_expect_needs_reset(&d);
	driver_start(&d, ~0ULL);
	head = ring_add(&d.rings[0], buffers, 0, 1);
	CHECK_INT(driver_complete(&d, 0, (uint16_t)head), 256);
	driver_done(&d);
}

static const struct test_case cases[] = {
	{ "output to pipe, file, socket", test_output_kinds },
	{ "output to the log", test_output_to_log },
	{ "shared output", test_shared_output },
	{ "slow output", test_slow_output },
	{ "input", test_input },
	{ "input over a reset", test_input_over_reset },
	{ "console faults", test_console_faults },
	{ "rng", test_rng },
};

TEST_MAIN(cases)
