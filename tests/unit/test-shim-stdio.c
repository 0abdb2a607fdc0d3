/* SPDX-License-Identifier: Apache-2.0 */
/* Stdio between the host and the guest: bytes, back-pressure, ends, terminals. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/shim-rig.h"

#define BYTES (100000000u)

/* What `yes 0123456789` prints. */
static char wanted_byte(size_t at)
{
	return "0123456789\n"[at % 11];
}

static size_t read_checked(int fd, size_t most, useconds_t delay)
{
	static char bytes[1 << 16];
	size_t total = 0;
	ssize_t n;

	while (total < most && (n = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (bytes[i] != wanted_byte(total + (size_t)i))
				test_fail(__FILE__, __LINE__, "byte %zu differs",
					  total + (size_t)i);
		total += (size_t)n;
		if (delay)
			(void)usleep(delay);
	}
	return total;
}

static void test_hundred_megabytes(void)
{
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	(void)rig_run(&rig,
		      &(struct rig_config){
			  .args = "[\"sh\",\"-c\",\"yes 0123456789 | head -c 100000000\"]" },
		      fds);
	(void)close(out[1]);
	CHECK_INT(read_checked(out[0], SIZE_MAX, 0), BYTES);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	rig_done(&rig);
}

/* The task stops only when its last byte has been taken, and the server answers
 * others meanwhile. */
static void test_slow_reader(void)
{
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	(void)rig_run(
	    &rig,
	    &(struct rig_config){ .args = "[\"sh\",\"-c\",\"yes 0123456789 | head -c 3000000\"]" },
	    fds);
	(void)close(out[1]);
	(void)usleep(300000);
	CHECK(rig_status(&rig, "") != TASK__STATUS__STOPPED);
	CHECK_INT(read_checked(out[0], SIZE_MAX, 2000), 3000000);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	rig_done(&rig);
}

/* Output that nobody takes holds the end up for so long, and no longer. */
static void test_drain_limit(void)
{
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig.drain_timeout_ms = 500;
	rig_start(&rig);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	(void)rig_run(
	    &rig,
	    &(struct rig_config){ .args = "[\"sh\",\"-c\",\"yes | head -c 3000000 & exit 4\"]" },
	    fds);
	CHECK_INT(rig_wait(&rig, "", &error), 4);
	CHECK_INT(rig_delete(&rig, "", &error), 4);
	rig_done(&rig);
}

/* A reader that goes away is felt in the guest as a broken pipe. */
static void test_reader_leaves(void)
{
	struct error *error = NULL;
	int out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[0] = fds[2] = -1;
	fds[1] = out[1];
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"yes\"]" }, fds);
	(void)close(out[1]);
	CHECK(read_checked(out[0], 0, 0) == 0);
	(void)close(out[0]);
	/* Coreutils' yes reports the error and exits 1; a signal would be 141. */
	CHECK(rig_wait(&rig, "", &error) > 0);
	rig_done(&rig);
}

/* A process that says "y" once a line has come, and ends with 7 if it cannot. */
#define ONE_WRITE "[\"sh\",\"-c\",\"trap '' PIPE; read x; echo y || exit 7\"]"

/* One that goes while nothing is written is felt by the very next write. */
static void test_reader_of_nothing_leaves(void)
{
	struct error *error = NULL;
	int in[2], out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	fds[0] = in[0];
	fds[1] = out[1];
	fds[2] = -1;
	(void)rig_run(&rig, &(struct rig_config){ .args = ONE_WRITE }, fds);
	(void)close(out[1]);
	(void)close(out[0]);
	(void)usleep(300000);
	CHECK(write(in[1], "\n", 1) == 1);
	CHECK_INT(rig_wait(&rig, "", &error), 7);
	rig_done(&rig);
}

/* A FIFO with a name may be opened for reading again, by another. */
static void test_reader_of_fifo_returns(void)
{
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	int in[2], fds[3], reader;
	struct rig rig;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	path = xasprintf("%s/fifo", rig.directory);
	CHECK(mkfifo(path, 0600) == 0 && pipe2(in, O_CLOEXEC) == 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fds[0] = in[0];
	fds[1] = open(path, O_WRONLY | O_CLOEXEC);
	fds[2] = -1;
	CHECK(reader >= 0 && fds[1] >= 0);
	(void)rig_run(&rig, &(struct rig_config){ .args = ONE_WRITE }, fds);
	(void)close(fds[1]);
	(void)close(reader);
	(void)usleep(300000);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(write(in[1], "\n", 1) == 1);
	text = rig_read(reader);
	CHECK_STRING(text, "y\n");
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	free(text);
	(void)close(reader);
	rig_done(&rig);
}

/* So is what cannot be written for another reason: a full disk. */
static void test_sink_fails(void)
{
	struct error *error = NULL;
	struct rig rig;
	int fds[3];

	rig_init(&rig);
	rig_start(&rig);
	fds[0] = fds[2] = -1;
	fds[1] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"yes\"]" }, fds);
	CHECK(rig_wait(&rig, "", &error) > 0);
	rig_done(&rig);
}

static void *write_much(void *data)
{
	int fd = *(int *)data;
	char bytes[11 * 1000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = wanted_byte(i);
	for (int i = 0; i < 1000; i++)
		if (write_all(fd, bytes, sizeof(bytes)) < 0)
			break;
	(void)close(fd);
	return NULL;
}

static void test_stdin_to_its_end(void)
{
	struct error *error = NULL;
	int in[2], out[2], fds[3];
	pthread_t writer;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(in, O_CLOEXEC) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0);
	fds[0] = in[0];
	fds[1] = out[1];
	fds[2] = -1;
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"cat\"]" }, fds);
	(void)close(in[0]);
	(void)close(out[1]);
	CHECK(pthread_create(&writer, NULL, write_much, &in[1]) == 0);
	CHECK_INT(read_checked(out[0], SIZE_MAX, 0), 11000000);
	CHECK(pthread_join(writer, NULL) == 0);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	rig_done(&rig);
}

static void test_passed_fds_keep_their_mode(void)
{
	int in[2], out[2], fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	fds[0] = in[0];
	fds[1] = fds[2] = out[1];
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"cat\"]" }, fds);
	CHECK(!(fcntl(in[0], F_GETFL) & O_NONBLOCK));
	CHECK(!(fcntl(out[1], F_GETFL) & O_NONBLOCK));
	rig_done(&rig);
}

/* Regular files: read to their end, and appended to where their offset is. */
static void test_files(void)
{
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;
	struct rig rig;
	char *text;
	int fds[3];

	rig_init(&rig);
	rig_start(&rig);
	path = xasprintf("%s/in", rig.directory);
	CHECK_OK(write_file_atomic(path, "content\n", 8, 0600, &error), &error);
	fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	path = xasprintf("%s/out", rig.directory);
	fds[1] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(write(fds[1], "before\n", 7) == 7);
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"cat\"]" }, fds);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_OK(read_file(path, 1000, &text, NULL, &error), &error);
	CHECK_STRING(text, "before\ncontent\n");
	free(text);
	rig_done(&rig);
}

/* containerd's rules: a FIFO's writer may come and go, only CloseIO ends stdin;
 * its reader may come and go, the output goes on. */
static void test_fifos(void)
{
	Task__ExecProcessRequest exec = TASK__EXEC_PROCESS_REQUEST__INIT;
	Task__CloseIORequest close_io = TASK__CLOSE_IOREQUEST__INIT;
	_cleanup_free_ char *in = NULL;
	_cleanup_free_ char *out = NULL;
	Task__Any process = TASK__ANY__INIT;
	struct error *error = NULL;
	char bytes[16] = "";
	struct rig rig;
	int fd, reader;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	in = xasprintf("%s/in", rig.directory);
	out = xasprintf("%s/out", rig.directory);
	CHECK(mkfifo(in, 0600) == 0 && mkfifo(out, 0600) == 0);
	process.value.data = (uint8_t *)(char[]){ "{\"args\":[\"cat\"],\"cwd\":\"/\"}" };
	process.value.len = strlen((char *)process.value.data);
	exec.id = close_io.id = (char *)RIG_ID;
	exec.exec_id = close_io.exec_id = (char *)"e";
	exec.stdin = in;
	exec.stdout = out;
	exec.spec = &process;
	rig_free(rig_call(&rig, "Exec", &exec.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	/* Nobody reads it before the start. */
	CHECK(open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0 && errno == ENXIO);
	CHECK_OK(rig_start_task(&rig, "e", &error), &error);
	for (int i = 0; i < 2; i++) {
		fd = open(in, O_WRONLY | O_CLOEXEC);
		CHECK(write(fd, "again\n", 6) == 6);
		(void)close(fd);
		reader = open(out, O_RDONLY | O_CLOEXEC);
		CHECK_INT(read_all(reader, bytes, 6), 6);
		CHECK_STRING(bytes, "again\n");
		(void)close(reader);
		CHECK_INT(rig_status(&rig, "e"), TASK__STATUS__RUNNING);
	}
	/* What is in the FIFO comes before the end. */
	reader = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	(void)set_nonblocking(reader, false);
	fd = open(in, O_WRONLY | O_CLOEXEC);
	CHECK(write(fd, "the end", 7) == 7);
	(void)close(fd);
	close_io.stdin = true;
	rig_free(
	    rig_call(&rig, "CloseIO", &close_io.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK_INT(read_all(reader, bytes, 7), 7);
	CHECK_STRING(bytes, "the end");
	CHECK_INT(rig_wait(&rig, "e", &error), 0);
	rig_done(&rig);
}

/* The same for init, which has its streams from its creation on. */
static void test_fifo_of_init(void)
{
	Task__CreateTaskRequest create = TASK__CREATE_TASK_REQUEST__INIT;
	Task__Mount layer = TASK__MOUNT__INIT;
	Task__Mount *layers[] = { &layer };
	_cleanup_free_ char *source = NULL;
	_cleanup_free_ char *in = NULL;
	struct error *error = NULL;
	struct rig rig;
	int fd;

	rig_init(&rig);
	rig_start(&rig);
	rig_write_config(
	    &rig, &(struct rig_config){ .args = "[\"sh\",\"-c\",\"read line; exit $line\"]" });
	source = xasprintf("%s/layer", rig.directory);
	in = xasprintf("%s/in", rig.directory);
	CHECK(mkfifo(in, 0600) == 0);
	layer.type = (char *)"squashfs";
	layer.source = source;
	create.id = (char *)RIG_ID;
	create.bundle = rig.bundle;
	create.rootfs = layers;
	create.n_rootfs = 1;
	create.stdin = in;
	rig_free(rig_call(&rig, "Create", &create.base, &task__create_task_response__descriptor,
			  NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK(open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0 && errno == ENXIO);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	fd = open(in, O_WRONLY | O_CLOEXEC);
	CHECK(write(fd, "23\n", 3) == 3);
	(void)close(fd);
	CHECK_INT(rig_wait(&rig, "", &error), 23);
	CHECK_INT(rig_delete(&rig, "", &error), 23);
	rig_done(&rig);
}

static void test_refused_names(void)
{
	Task__ExecProcessRequest exec = TASK__EXEC_PROCESS_REQUEST__INIT;
	static const char *const names[][2] = {
		{ "fd:0", "did not come with the request" },
		{ "fd:12", "is not a descriptor" },
		{ "fd:x", "is not a descriptor" },
		{ "/nonexistent/fifo", "cannot open /nonexistent/fifo" },
	};
	Task__Any process = TASK__ANY__INIT;
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	process.value.data = (uint8_t *)(char[]){ "{\"args\":[\"cat\"],\"cwd\":\"/\"}" };
	process.value.len = strlen((char *)process.value.data);
	exec.id = (char *)RIG_ID;
	exec.exec_id = (char *)"e";
	exec.spec = &process;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		exec.stdout = (char *)names[i][0];
		CHECK(
		    !rig_call(&rig, "Exec", &exec.base, &task__empty__descriptor, NULL, 0, &error));
		CHECK_ERROR(-1, &error, names[i][1]);
	}
	rig_done(&rig);
}

static void read_until(int fd, const char *part)
{
	char text[4096] = "";
	size_t n = 0;

	while (!strstr(text, part)) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&pollfd, 1, 10000) != 1)
			test_fail(__FILE__, __LINE__, "\"%s\" did not come, but \"%s\"", part,
				  text);
		got = read(fd, text + n, sizeof(text) - 1 - n);
		CHECK(got > 0);
		n += (size_t)got;
		text[n] = '\0';
	}
}

static void test_terminal(void)
{
	struct winsize size = { .ws_col = 100, .ws_row = 40 };
	_cleanup_free_ char *log = NULL;
	struct error *error = NULL;
	int master, slave, fds[3];
	struct rig rig;
	char *text;

	rig_init(&rig);
	rig_start(&rig);
	CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0);
	(void)set_cloexec(master, true);
	(void)set_cloexec(slave, true);
	fds[0] = slave;
	fds[1] = fds[2] = -1;
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"cat\"]", .terminal = true }, fds);
	(void)close(slave);
	log = xasprintf("%s/" RIG_ID "/vmm.log", rig.directory);
	CHECK_OK(read_file(log, 10000, &text, NULL, &error), &error);
	CHECK(strstr(text, "terminal 100x40"));
	free(text);
	/* Raw on the host: control characters travel, nothing is echoed twice. */
	CHECK(write(master, "a\003\004b\r", 5) == 5);
	read_until(master, "a\003\004b\r");
	size.ws_col = 132;
	size.ws_row = 50;
	CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
	read_until(master, "resize 132x50");
	/* The master goes: the guest's terminal hangs up, cat sees its end. */
	(void)close(master);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	rig_done(&rig);
}

static void test_terminal_of_exec(void)
{
	Task__ResizePtyRequest resize = TASK__RESIZE_PTY_REQUEST__INIT;
	struct winsize size = { .ws_col = 90, .ws_row = 30 };
	struct error *error = NULL;
	int master, slave, fds[3];
	struct rig rig;

	rig_init(&rig);
	rig_start(&rig);
	(void)rig_run(&rig, &(struct rig_config){ 0 }, NULL);
	CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0);
	(void)set_cloexec(master, true);
	(void)set_cloexec(slave, true);
	fds[0] = slave;
	fds[1] = fds[2] = -1;
	CHECK_OK(rig_exec(&rig, "t", "[\"cat\"]", fds, true, &error), &error);
	(void)close(slave);
	CHECK_OK(rig_start_task(&rig, "t", &error), &error);
	resize.id = (char *)RIG_ID;
	resize.exec_id = (char *)"t";
	resize.width = 77;
	resize.height = 11;
	rig_free(
	    rig_call(&rig, "ResizePty", &resize.base, &task__empty__descriptor, NULL, 0, &error));
	CHECK_OK(error ? -1 : 0, &error);
	read_until(master, "resize 77x11");
	CHECK_OK(rig_kill(&rig, "t", SIGTERM, &error), &error);
	CHECK_INT(rig_wait(&rig, "t", &error), 128 + SIGTERM);
	/* A pipe is not a terminal. */
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	fds[1] = fds[2] = -1;
	CHECK_ERROR(rig_exec(&rig, "p", "[\"cat\"]", fds, true, &error), &error,
		    "the terminal passed as stdin");
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "hundred megabytes", test_hundred_megabytes },
	{ "slow reader", test_slow_reader },
	{ "drain limit", test_drain_limit },
	{ "reader leaves", test_reader_leaves },
	{ "reader of nothing leaves", test_reader_of_nothing_leaves },
	{ "reader of a FIFO returns", test_reader_of_fifo_returns },
	{ "sink fails", test_sink_fails },
	{ "stdin to its end", test_stdin_to_its_end },
	{ "passed fds keep their mode", test_passed_fds_keep_their_mode },
	{ "files", test_files },
	{ "fifos", test_fifos },
	{ "fifo of init", test_fifo_of_init },
	{ "refused names", test_refused_names },
	{ "terminal", test_terminal },
	{ "terminal of exec", test_terminal_of_exec },
};

TEST_MAIN(cases)
