/* SPDX-License-Identifier: Apache-2.0 */
/* See harness.h. */
#include "tests/machine/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"

#define LIMIT_MS 60000

static char *own_path(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	CHECK(n > 0);
	return xstrndup(path, (size_t)n);
}

struct vm_config *vm_prepare(const char *cmdline)
{
	struct vm_config *config = vm_config_new();
	_cleanup_free_ char *path = own_path();

	config->kernel.path = xasprintf("%s.guest", path);
	config->cmdline = xstrdup(cmdline);
	config->memory_mib = 64;
	return config;
}

static void require_kvm(void)
{
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		test_skip("no usable /dev/kvm");
}

static void run_vmm(int config_fd) __attribute__((noreturn));
static void run_vmm(int config_fd)
{
	_cleanup_free_ char *own = own_path();
	_cleanup_free_ char *program = xasprintf("%s/../../supermachine-vmm", dirname(own));
	_cleanup_free_ char *number = xasprintf("%d", config_fd);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)execl(program, program, "--config-fd", number, NULL);
	(void)fprintf(stderr, "%s: %s\n", program, strerror(errno));
	_exit(126);
}

/* An inherited descriptor with the document in it. */
static int write_config(const struct vm_config *config)
{
	_cleanup_free_ char *text = vm_config_write(config);
	int fd = memfd_create("config", 0);

	CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

void vm_start(struct vm_config *config, bool with_control, struct vm *ret_vm)
{
	int sockets[2] = { -1, -1 }, serial[2], config_fd;

	require_kvm();
	CHECK(pipe(serial) == 0);
	config->serial_fd = serial[1];
	if (with_control) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
		config->control_fd = sockets[1];
	}
	config_fd = write_config(config);
	(void)fflush(NULL);
	*ret_vm = (struct vm){ .pid = fork(), .control = sockets[0], .serial = serial[0] };
	CHECK(ret_vm->pid >= 0);
	if (ret_vm->pid == 0) {
		(void)close(serial[0]);
		if (with_control)
			(void)close(sockets[0]);
		run_vmm(config_fd);
	}
	(void)close(serial[1]);
	(void)close(config_fd);
	if (with_control)
		(void)close(sockets[1]);
	vm_config_free(config);
	if (with_control)
		vm_expect(ret_vm, "{\"event\":\"started\"}");
}

void vm_send(const struct vm *vm, const char *line)
{
	_cleanup_free_ char *text = xasprintf("%s\n", line);

	CHECK(write_all(vm->control, text, strlen(text)) == 0);
}

static bool readable(int fd, int milliseconds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, milliseconds) > 0;
}

static char *read_line(const struct vm *vm)
{
	char line[CONTROL_LINE_MAX];

	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		if (!readable(vm->control, LIMIT_MS))
			test_fail(__FILE__, __LINE__, "nothing came on the control socket");
		if (read(vm->control, &line[n], 1) != 1)
			test_fail(__FILE__, __LINE__, "the control socket was closed");
		if (line[n] == '\n')
			return xstrndup(line, n);
	}
	test_fail(__FILE__, __LINE__, "a line without an end");
}

void vm_expect(const struct vm *vm, const char *line)
{
	_cleanup_free_ char *got = read_line(vm);

	CHECK_STRING(got, line);
}

void vm_expect_part(const struct vm *vm, const char *part)
{
	_cleanup_free_ char *got = read_line(vm);

	if (!strstr(got, part))
		test_fail(__FILE__, __LINE__, "control line \"%s\" lacks \"%s\"", got, part);
}

void vm_expect_output(struct vm *vm, const char *text)
{
	while (!strstr(vm->output, text)) {
		ssize_t n;

		if (!readable(vm->serial, LIMIT_MS))
			test_fail(__FILE__, __LINE__, "the guest did not print \"%s\" but \"%s\"",
				  text, vm->output);
		CHECK(vm->n_output < sizeof(vm->output) - 1);
		n = read(vm->serial, vm->output + vm->n_output,
			 sizeof(vm->output) - 1 - vm->n_output);
		if (n <= 0)
			test_fail(__FILE__, __LINE__, "the guest printed \"%s\", not \"%s\"",
				  vm->output, text);
		vm->n_output += (size_t)n;
	}
}

void vm_expect_more_output(const struct vm *vm)
{
	char byte;

	if (!readable(vm->serial, LIMIT_MS) || read(vm->serial, &byte, 1) != 1)
		test_fail(__FILE__, __LINE__, "the guest prints nothing more");
}

size_t vm_count_output(const struct vm *vm, int milliseconds)
{
	const uint64_t end = clock_monotonic_ns() + (uint64_t)milliseconds * 1000000;
	char bytes[4096];
	size_t total = 0;

	for (;;) {
		uint64_t now = clock_monotonic_ns();
		int left = now < end ? (int)((end - now) / 1000000) : 0;
		ssize_t n;

		if (!readable(vm->serial, left))
			return total;
		n = read(vm->serial, bytes, sizeof(bytes));
		if (n <= 0 || left == 0)
			return total;
		total += (size_t)n;
	}
}

int vm_wait(const struct vm *vm)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, vm->pid, 0);
	int status;

	CHECK(fd >= 0);
	if (!readable(fd, LIMIT_MS))
		test_fail(__FILE__, __LINE__, "the VMM did not end");
	CHECK(waitpid(vm->pid, &status, 0) == vm->pid);
	return status;
}

void vm_expect_exit(const struct vm *vm, int code)
{
	int status = vm_wait(vm);

	if (WIFSIGNALED(status))
		test_fail(__FILE__, __LINE__, "the VMM died by signal %d", WTERMSIG(status));
	CHECK_INT(WEXITSTATUS(status), code);
}

void vm_expect_signal(const struct vm *vm, int signal)
{
	int status = vm_wait(vm);

	if (!WIFSIGNALED(status))
		test_fail(__FILE__, __LINE__, "the VMM exited with %d", WEXITSTATUS(status));
	CHECK_INT(WTERMSIG(status), signal);
	CHECK(!WCOREDUMP(status));
}

void vm_expect_done(struct vm *vm)
{
	vm_expect_output(vm, "done\n");
	if (vm->control >= 0) {
		vm_expect(vm, "{\"event\":\"stopped\",\"reason\":\"poweroff\",\"message\":\"\"}");
		vm_send(vm, "{\"op\":\"stop\"}");
		vm_expect(vm, "{\"ok\":true}");
	}
	vm_expect_exit(vm, 0);
}
