/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay of unix sockets that a container has of the host (sandbox/sockets/forward.h): several
 * programs of the guest, with the right key or any other, and the host's service, which connect,
 * write, read, half-close and leave in any order. What arrives is what was sent, and only for who
 * has the key.
 *
 * Input: rows of a byte (which program, a nibble; what it does, a nibble) and what that takes.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "sandbox/sockets/forward.h"
#include "sandbox/vmm.h"
#include "tests/fuzz/input.h"

#define PROGRAMS 4
#define PORT 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/dev/shm/fuzz-relay-XXXXXX";
static struct loop *loop;
static struct plan_socket a_socket = { .port = PORT, .key = "0123456789abcdef" };
static int service_fd = -1;
static char *port_path;

struct program {
	int fd, service;
	bool keyed; /* the whole key was sent, and nothing else before */
	size_t sent;
};

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static void set_up(void)
{
	_cleanup_free_ char *path = NULL;

	if (loop)
		return;
	(void)signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	check(mkdtemp(directory) && atexit(remove_directory) == 0 && loop_new(&loop, NULL) == 0);
	path = xasprintf("%s/service", directory);
	service_fd = unix_listen(path, 0600, NULL);
	a_socket.fd = open(path, O_PATH | O_CLOEXEC);
	check(service_fd >= 0 && a_socket.fd >= 0 && set_nonblocking(service_fd, true) == 0);
	port_path = vmm_port_path(directory, PORT);
}

static void step(void)
{
	for (int i = 0; i < 3; i++)
		loop_step(loop, 0);
}

static void let_go(struct program *program)
{
	close_fdp(&program->fd);
	close_fdp(&program->service);
	*program = (struct program){ -1, -1, false, 0 };
}

/* Only who has shown the key comes this far. */
static void accept_all(struct program *programs)
{
	int fd = accept4(service_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct program *keyed = NULL;

	if (fd < 0)
		return;
	for (size_t i = 0; i < PROGRAMS; i++)
		if (programs[i].keyed && programs[i].service < 0)
			keyed = &programs[i];
	check(keyed);
	keyed->service = fd;
}

static void send_some(int fd, struct input *input)
{
	static uint8_t bytes[1 << 16];
	size_t n = take(input);

	n = n & 0x80 ? (n & 0x7f) * 512 : MIN(n, input->left);
	memset(bytes, 'x', n);
	if (fd >= 0)
		(void)send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void receive(int fd)
{
	uint8_t bytes[4096];
	ssize_t n = fd >= 0 ? recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;

	for (ssize_t i = 0; i < n; i++)
		check(bytes[i] == 'x');
}

static void send_key(struct program *program, struct input *input)
{
	uint8_t key[PLAN_SOCKET_KEY_SIZE];
	size_t n = MIN((size_t)take(input) % 17, sizeof(key));
	const size_t from = program->sent;

	if (program->fd < 0 || from >= sizeof(key))
		return;
	memcpy(key, a_socket.key, sizeof(key));
	key[15] ^= n % 16 == 15 ? take(input) : 0;
	n = MIN(n, sizeof(key) - from);
	if (memcmp(key, a_socket.key, sizeof(key)) != 0)
		program->sent = 1000; /* never */
	if (send(program->fd, key + from, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	program->sent += n;
	program->keyed = program->sent == sizeof(key);
}

static void turn(struct program *programs, struct program *program, uint8_t what,
		 struct input *input)
{
	switch (what) {
	case 0:
	case 1:
		let_go(program);
		program->fd = unix_connect_nonblocking(port_path, NULL);
		break;
	case 2:
	case 3:
	case 4:
		send_key(program, input);
		break;
	case 5:
	case 6:
		if (program->keyed)
			send_some(program->fd, input);
		break;
	case 7:
	case 8:
		send_some(program->service, input);
		break;
	case 9:
		receive(program->fd);
		break;
	case 10:
		receive(program->service);
		break;
	case 11:
		(void)shutdown(program->fd, SHUT_WR);
		break;
	case 12:
		(void)shutdown(program->service, SHUT_RDWR);
		break;
	case 13:
		let_go(program);
		break;
	default:
		/* Whatever comes instead of a key. */
		if (!program->keyed) {
			program->sent = 1000;
			send_some(program->fd, input);
		}
	}
	step();
	accept_all(programs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan_files files = { .sockets = &a_socket, .n_sockets = 1 };
	struct input input = { data, size };
	struct program programs[PROGRAMS];
	struct forwards *forwards;
	struct lodge *lodge;

	set_up();
	lodge = lodge_new(4, 2);
	check(forwards_new(loop, lodge, directory, &files, &forwards, NULL) == 0);
	for (size_t i = 0; i < PROGRAMS; i++)
		programs[i] = (struct program){ -1, -1, false, 0 };
	while (input.left > 0) {
		uint8_t what = take(&input);

		turn(programs, &programs[what >> 4 & 3], what & 15, &input);
	}
	forwards_free(forwards);
	lodge_free(lodge);
	accept_all(programs);
	for (size_t i = 0; i < PROGRAMS; i++)
		let_go(&programs[i]);
	check(access(port_path, F_OK) < 0);
	return 0;
}
