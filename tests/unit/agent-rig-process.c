/* SPDX-License-Identifier: Apache-2.0 */
/* The agent without a machine: see agent-rig.h. */
#include "tests/unit/agent-rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/stdio.h"
#include "base/alloc.h"
#include "base/doorman.h"
#include "base/io.h"
#include "base/log.h"

#define PUBLISHED_PORT (UINT32_MAX - 1) /* on the feed: for published.h */
#define SERVE_PORT UINT32_MAX		/* on the feed: a connection to serve, no stream */

/* ---- the agent's side ---- */

struct host {
	struct agent *agent;
	struct ttrpc_service service;
	struct ttrpc_server *server;
	int feed_fd;
};

/* false: nothing more has come. */
static bool take_from_feed(struct host *host)
{
	int fds[FD_PASS_MAX];
	size_t n_fds = 0;
	uint32_t port;
	ssize_t n = recv_with_fds(host->feed_fd, &port, sizeof(port), fds, &n_fds);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 0) { /* the test is over */
		loop_quit(host->agent->loop);
		return false;
	}
	if (n != sizeof(port) || n_fds != 1)
		abort();
	if (port == PUBLISHED_PORT) {
		(void)set_nonblocking(fds[0], true);
		doorman_admit(host->agent->published, fds[0], NULL);
	} else if (port != SERVE_PORT)
		stdio_table_add(host->agent->stdio, port, fds[0]);
	else if (ttrpc_server_serve(host->server, fds[0], NULL, NULL, NULL) < 0)
		abort();
	return true;
}

static void drain_feed(void *data)
{
	while (take_from_feed(data))
		;
}

static void on_feed(void *data, uint32_t events)
{
	(void)events;
	drain_feed(data);
}

char *rig_port_path(const struct rig *rig, uint32_t port)
{
	return xasprintf("%s/host_%u", rig->directory, port);
}

static int dial_host(void *data, uint32_t port)
{
	_cleanup_free_ char *path = rig_port_path(data, port);

	return unix_connect_nonblocking(path, NULL);
}

static void __attribute__((noreturn)) run_agent(const struct rig *rig, int feed_fd)
{
	char *block_dir = xasprintf("%s/block", rig->directory);
	char *cpu_dir = xasprintf("%s/cpu", rig->directory);
	char *stage_dir = xasprintf("%s/stage", rig->directory);
	char *share_dir = xasprintf("%s/agent-share", rig->directory);
	char *socket_dir = xasprintf("%s/guest-sockets", rig->directory);
	struct agent_config config = {
		.cgroup_root = rig->cgroup,
		.block_dir = block_dir,
		.cpu_dir = cpu_dir,
		.stage_dir = stage_dir,
		.socket_dir = socket_dir,
		.share_dir = share_dir,
		.share_flags = MS_BIND | MS_REC,
	};
	struct host host = { .feed_fd = feed_fd };
	struct source *source;
	struct loop *loop;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0);
	log_set_level(getenv("RIG_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 || loop_new(&loop, NULL) < 0 ||
	    agent_new(loop, &config, &host.agent, NULL) < 0 ||
	    loop_add_io(loop, feed_fd, EPOLLIN, "feed", on_feed, &host, &source, NULL) < 0)
		abort();
	host.agent->dial = dial_host;
	host.agent->dial_data = (void *)rig;
	(void)set_nonblocking(feed_fd, true);
	stdio_table_set_refill(host.agent->stdio, drain_feed, &host);
	agent_service_init(host.agent, &host.service);
	host.server = ttrpc_server_new(loop, &host.service, 1);
	loop_run(loop);
	/* In order, so that a sanitizer sees what was lost on the way. */
	ttrpc_server_free(host.server);
	agent_free(host.agent);
	source_remove(source);
	loop_free(loop);
	(void)close(feed_fd);
	free(block_dir);
	free(cpu_dir);
	free(stage_dir);
	free(share_dir);
	free(socket_dir);
	exit(0);
}

/* The image on a loop device, which goes when it is no longer used. */
static void make_disk(struct rig *rig)
{
	_cleanup_free_ char *image = xasprintf("%s/image", rig->directory);
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int image_fd = open(image, O_RDONLY | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)image_fd,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};
	_cleanup_free_ char *command = NULL;

	/* Another program may take the free one first. */
	for (int i = 0; i < 50 && rig->disk_fd < 0; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		_cleanup_free_ char *path = xasprintf("/dev/loop%d", number);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0)
			continue;
		rig->disk_fd = TAKE_FD(fd);
		rig->disk_name = xstrdup(path + strlen("/dev/"));
	}
	if (rig->disk_fd < 0)
		test_skip("no loop device to be had");
	command = xasprintf("mkdir '%s/block/%s' && echo test-layer >'%s/block/%s/serial'",
			    rig->directory, rig->disk_name, rig->directory, rig->disk_name);
	rig_command(command);
}

static char *find_cgroup2(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/mounts", "re");
	char line[4096];

	while (file && fgets(line, sizeof(line), file)) {
		char path[1024], type[64];

		if (sscanf(line, "%*s %1023s %63s", path, type) == 2 &&
		    strcmp(type, "cgroup2") == 0)
			return xstrdup(path);
	}
	return NULL;
}

static void check_abilities(struct rig *rig)
{
	_cleanup_free_ char *hierarchy = NULL;

	if (access("/dev/loop-control", R_OK) < 0)
		test_skip("needs loop devices");
	hierarchy = find_cgroup2();
	if (!hierarchy)
		test_skip("needs a cgroup v2 hierarchy");
	rig->cgroup = xasprintf("%s/supermachine-test-%d", hierarchy, (int)getpid());
	if (mkdir(rig->cgroup, 0755) < 0)
		test_skip("cannot make cgroups here");
}

/* ---- the host's side ---- */

static void feed(struct rig *rig, uint32_t port, int fd)
{
	CHECK(send_with_fds(rig->feed_fd, &port, sizeof(port), &fd, 1) == sizeof(port));
	(void)close(fd);
}

static int connected(struct rig *rig, uint32_t port)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	feed(rig, port, fds[1]);
	return fds[0];
}

int rig_published(struct rig *rig)
{
	return connected(rig, PUBLISHED_PORT);
}

int rig_process_stream(struct rig *rig, uint32_t *ret_port)
{
	*ret_port = rig->next_port++;
	return connected(rig, *ret_port);
}

void rig_start_process(struct rig *rig)
{
	int feed_fds[2];

	check_abilities(rig);
	make_disk(rig);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, feed_fds) == 0);
	(void)fflush(NULL);
	rig->pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (rig->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(feed_fds[0]);
		run_agent(rig, feed_fds[1]);
	}
	CHECK(rig->pid > 0);
	(void)close(feed_fds[1]);
	rig->feed_fd = feed_fds[0];
	rig->call_fd = connected(rig, SERVE_PORT);
}
