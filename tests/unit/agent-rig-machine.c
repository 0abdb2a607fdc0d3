/* SPDX-License-Identifier: Apache-2.0 */
/* The agent in a real guest: see agent-rig.h. */
#include "tests/unit/agent-rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/alloc.h"
#include "base/io.h"

#define BOOT_TIMEOUT_MS 180000

/* What the lab runs is in the build tree that it was given. */
static char *built(const char *name)
{
	const char *tree = getenv("LAB_BUILD");

	CHECK(tree != NULL);
	return xasprintf("%s/%s", tree, name);
}

static void write_config(const struct rig *rig, const char *kernel, const char *path)
{
	_cleanup_free_ char *modules = xasprintf("%s/modules.cpio", kernel);
	_cleanup_free_ char *initramfs = built("initramfs.cpio");
	_cleanup_file_ FILE *file = fopen(path, "we");
	bool modular = access(modules, R_OK) == 0;
	const char *accel = getenv("SUPERMACHINE_ACCEL");

	CHECK(file != NULL);
	CHECK(
	    fprintf(
		file,
		"{\"version\":1,\"accel\":\"%s\",\"kernel\":{\"path\":\"%s/vmlinux\"},\"vcpus\":1,"
		"\"memory_mib\":256,\"initramfs\":[{\"path\":\"%s\"}%s%s%s],"
		"\"cmdline\":\"console=hvc0 quiet panic=-1 reboot=t cryptomgr.notests\","
		"\"devices\":[{\"type\":\"rng\"},"
		"{\"type\":\"console\",\"output\":{\"path\":\"%s/console\"}},"
		"{\"type\":\"vsock\",\"cid\":3,\"path\":\"%s/vsock.sock\"},"
		"{\"type\":\"blk\",\"id\":\"test-layer\",\"readonly\":true,"
		"\"file\":{\"path\":\"%s/image\"}}]}",
		accel ? accel : "kvm", kernel, initramfs, modular ? ",{\"path\":\"" : "",
		modular ? modules : "", modular ? "\"}" : "", rig->directory, rig->directory,
		rig->directory) > 0);
}

void rig_machine_show(const struct rig *rig)
{
	_cleanup_free_ char *command =
	    xasprintf("tail -n 30 '%s/console' '%s/vmm.log'", rig->directory, rig->directory);

	(void)fflush(stdout);
	(void)!system(command);
}

static void run_vmm(const char *program, const char *config, const char *log)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(fd, STDOUT_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	(void)execl(program, program, "--config", config, (char *)NULL);
	_exit(127);
}

void rig_start_machine(struct rig *rig, const char *kernel)
{
	_cleanup_free_ char *listen_path =
	    xasprintf("%s/vsock.sock_%d", rig->directory, AGENT_HOST_PORT);
	_cleanup_free_ char *config = xasprintf("%s/vm.json", rig->directory);
	_cleanup_free_ char *console = xasprintf("%s/console", rig->directory);
	_cleanup_free_ char *log = xasprintf("%s/vmm.log", rig->directory);
	_cleanup_free_ char *program = built("supermachine-vmm");
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(console, "", 0, 0600, &error), &error);
	write_config(rig, kernel, config);
	rig->listen_fd = unix_listen(listen_path, 0600, &error);
	CHECK_OK(rig->listen_fd, &error);
	(void)fflush(NULL);
	rig->pid = fork();
	if (rig->pid == 0)
		run_vmm(program, config, log);
}

void rig_machine_connect(struct rig *rig)
{
	_cleanup_close_ int pidfd = pidfd_open(rig->pid, 0);
	struct pollfd fds[] = { { .fd = rig->listen_fd, .events = POLLIN },
				{ .fd = pidfd, .events = POLLIN } };

	CHECK(pidfd >= 0);
	(void)poll(fds, ARRAY_SIZE(fds), BOOT_TIMEOUT_MS);
	if (!(fds[0].revents & POLLIN))
		test_fail(__FILE__, __LINE__, "%s",
			  fds[1].revents ? "the machine has ended" : "the agent does not dial");
	rig->call_fd = accept4(rig->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(rig->call_fd >= 0);
}

int rig_machine_stream(struct rig *rig, uint32_t *ret_port)
{
	_cleanup_free_ char *path = xasprintf("%s/vsock.sock", rig->directory);
	_cleanup_free_ char *request = xasprintf("CONNECT %d\n", AGENT_STDIO_PORT);
	struct error *error = NULL;
	char line[32] = "";
	int fd = unix_connect(path, &error);

	CHECK_OK(fd, &error);
	CHECK(write_all(fd, request, strlen(request)) == 0);
	for (size_t i = 0; i < sizeof(line) - 1 && !strchr(line, '\n'); i++)
		CHECK(read(fd, &line[i], 1) == 1);
	CHECK(sscanf(line, "OK %u\n", ret_port) == 1);
	return fd;
}
