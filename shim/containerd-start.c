/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "start": makes sure that a task server listens for the sandbox, and tells its
 * address.  containerd reads stdout and stderr together: on success not one other
 * byte may come, and the server must hold neither.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/daemon.h"
#include "base/io.h"
#include "base/process.h"
#include "shim/containerd.h"
#include "ttrpc/any.h"

#define OOM_SCORE_ADJ_MAX 1000

/* A little more willing to die than containerd, which started us. */
static int adjust_oom_score(pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *parent = xasprintf("/proc/%d/oom_score_adj", getppid());
	_cleanup_free_ char *path = xasprintf("/proc/%d/oom_score_adj", pid);
	_cleanup_free_ char *score = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (read_file(parent, 64, &text, &size, ret_error) < 0)
		return -1;
	score = xasprintf("%d", MIN(atoi(text) + 1, OOM_SCORE_ADJ_MAX));
	return write_file(path, score, ret_error);
}

/* Unpacks the ShimCgroup option, in either of its two types; NULL or "": there is none. */
static int find_cgroup(const Task__Any *options, char **ret_cgroup, struct error **ret_error)
{
	Shim__RuncOptions *runc = NULL;
	Shim__RuncCreateOptions *create = NULL;

	*ret_cgroup = NULL;
	if (any_is(options, RUNC_OPTIONS))
		runc = (Shim__RuncOptions *)any_unpack(options, RUNC_OPTIONS,
						       &shim__runc_options__descriptor);
	else if (any_is(options, RUNC_CREATE_OPTIONS))
		create = (Shim__RuncCreateOptions *)any_unpack(
		    options, RUNC_CREATE_OPTIONS, &shim__runc_create_options__descriptor);
	else
		return 0;
	if (!runc && !create)
		return error_set(ret_error, EINVAL, "the runtime options cannot be read");
	*ret_cgroup = xstrdup(runc ? runc->shim_cgroup : create->shim_cgroup);
	if (runc)
		shim__runc_options__free_unpacked(runc, NULL);
	else
		shim__runc_create_options__free_unpacked(create, NULL);
	return 0;
}

/* One of the hierarchies; sets *entered where it has the cgroup. */
static int enter_in(const char *hierarchy, const char *cgroup, const char *process, bool *entered,
		    struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/cgroup.procs", hierarchy, cgroup);

	if (access(path, F_OK) < 0)
		return 0;
	*entered = true;
	return write_file(path, process, ret_error);
}

/* A cgroup that exists, below the mount point; with version 1, in each hierarchy that has
 * it. */
static int enter_cgroup(const char *cgroup, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *process = xasprintf("%d", pid);
	_cleanup_(globfree) glob_t hierarchies = { 0 };
	bool entered = false;
	int result = 0;

	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0)
		result = enter_in("/sys/fs/cgroup", cgroup, process, &entered, ret_error);
	else if (glob("/sys/fs/cgroup/*", GLOB_ONLYDIR, NULL, &hierarchies) == 0)
		for (size_t i = 0; i < hierarchies.gl_pathc && result == 0; i++)
			result =
			    enter_in(hierarchies.gl_pathv[i], cgroup, process, &entered, ret_error);
	if (result == 0 && !entered)
		result = error_set(ret_error, ENOENT, "there is no such cgroup in /sys/fs/cgroup");
	if (result < 0)
		(void)error_wrap(ret_error, "ShimCgroup %s", cgroup);
	return result;
}

struct server {
	const struct containerd *containerd;
	const char *bundle;
	const struct home *home;
	const Task__Any *options;
};

/* Before it runs: "delete" finds it by its note, and all that it does counts for its
 * cgroup. */
static int set_up(pid_t pid, void *context, struct error **ret_error)
{
	const struct server *server = context;
	_cleanup_free_ char *note = xasprintf("%s/shim.pid", server->home->directory);
	_cleanup_free_ char *cgroup = NULL;

	if (process_note(note, pid, ret_error) < 0 || adjust_oom_score(pid, ret_error) < 0)
		return -1;
	if (find_cgroup(server->options, &cgroup, ret_error) < 0)
		return -1;
	return cgroup && cgroup[0] ? enter_cgroup(cgroup, pid, ret_error) : 0;
}

static int spawn(struct server *server, int listen_fd, struct error **ret_error)
{
	const struct containerd *containerd = server->containerd;
	const char *argv[] = { "containerd-shim-supermachine-v1",
			       "-namespace",
			       containerd->namespace,
			       "-id",
			       containerd->id,
			       "-address",
			       containerd->address,
			       "-socket",
			       server->home->socket,
			       containerd->debug ? "-debug" : NULL,
			       NULL };
	const struct daemon_setup setup = { .program = "/proc/self/exe",
					    .argv = argv,
					    .directory = server->bundle,
					    .listen_fd = listen_fd,
					    .log_fd = -1,
					    .note = set_up,
					    .context = server };

	return daemon_start(&setup, ret_error);
}

static int start_server(struct server *server, struct error **ret_error)
{
	_cleanup_close_ int listen_fd = -1;

	/* One that nobody listens on: its server was killed. */
	(void)unlink(server->home->socket);
	listen_fd = unix_listen(server->home->socket, 0600, ret_error);
	return listen_fd < 0 ? -1 : spawn(server, listen_fd, ret_error);
}

static int write_address(const char *bundle, const char *address, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/address", bundle);

	return write_file_atomic(path, address, strlen(address), 0600, ret_error);
}

static bool is_alive(const char *socket)
{
	_cleanup_close_ int fd = unix_connect(socket, NULL);

	return fd >= 0;
}

/* containerd from 2.3 on, which is known by its BootstrapParams, is told that Task v3 is
 * spoken here; others take an address alone (core/runtime/v2/shim.go "parseStartResponse"). */
static void print_answer(const struct shim_input *input, const char *address)
{
	if (input->bootstrap)
		(void)printf("{\"version\":3,\"address\":\"%s\",\"protocol\":\"ttrpc\"}", address);
	else
		(void)fputs(address, stdout);
}

int containerd_start(const struct containerd *containerd, struct error **ret_error)
{
	_cleanup_shim_input_ struct shim_input input = { 0 };
	_cleanup_free_ char *bundle = realpath(containerd->bundle ? containerd->bundle : ".", NULL);
	_cleanup_home_ struct home home = { 0 };
	struct server server = { .containerd = containerd, .bundle = bundle, .home = &home };
	_cleanup_free_ char *address = NULL;
	_cleanup_close_ int lock = -1;

	if (!bundle)
		return error_set_errno(ret_error, errno, "the bundle %s", containerd->bundle);
	if (shim_input_read(containerd, &input, ret_error) < 0)
		return -1;
	home_find(containerd, bundle, input.bootstrap ? input.bootstrap->socket_dir : NULL, &home);
	address = xasprintf(ADDRESS_SCHEME "%s", home.socket);
	if (home_lock(home.directory, &lock, ret_error) < 0)
		return -1;
	server.options = shim_input_options(&input);
	if (!is_alive(home.socket) && start_server(&server, ret_error) < 0) {
		(void)home_remove(home.socket, NULL);
		return -1;
	}
	if (write_address(bundle, address, ret_error) < 0)
		return -1;
	print_answer(&input, address);
	return 0;
}
