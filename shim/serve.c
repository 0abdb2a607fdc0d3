/* SPDX-License-Identifier: Apache-2.0 */
/* The task server's process: see serve.h. */
#include "shim/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/daemon.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "shim/events.h"
#include "shim/server.h"

/* An emulated host on a loaded machine is slow; a guest that hangs is rare. */
#define BOOT_TIMEOUT_MS 120000
#define DRAIN_TIMEOUT_MS 10000
/* The process that starts a server asks for a Create at once. */
#define IDLE_TIMEOUT_MS 180000

void serve_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void terminated(void *data, const struct signalfd_siginfo *info)
{
	log_debug("signal %u: ending", info->ssi_signo);
	server_terminate(data);
}

int serve(struct sandbox_options *options, const char *oom_namespace, struct error **ret_error)
{
	const char *namespace = options->namespace ? options->namespace : oom_namespace;
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(events_freep) struct events *events = NULL;
	_cleanup_(server_freep) struct server *server = NULL;
	const char *address = getenv("TTRPC_ADDRESS");
	struct source *source;

	options->boot_timeout_ms = BOOT_TIMEOUT_MS;
	options->drain_timeout_ms = DRAIN_TIMEOUT_MS;
	options->idle_timeout_ms = IDLE_TIMEOUT_MS;
	/* Errors of the writer. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	serve_raise_descriptors();
	if (set_cloexec(DAEMON_LISTEN_FD, true) < 0)
		return error_set_errno(ret_error, errno,
				       "descriptor %d must be the socket to listen on",
				       DAEMON_LISTEN_FD);
	if (loop_new(&loop, ret_error) < 0)
		return -1;
	if (namespace && address && address[0])
		events = events_new(loop, address, namespace);
	if (server_new(loop, DAEMON_LISTEN_FD, options, events, &server, ret_error) < 0 ||
	    loop_add_signal(loop, SIGTERM, "terminate", terminated, server, &source, ret_error) <
		0 ||
	    loop_add_signal(loop, SIGINT, "terminate", terminated, server, &source, ret_error) <
		0 ||
	    /* RLIMIT_CPU's soft limit: its hard one would leave everything behind. */
	    loop_add_signal(loop, SIGXCPU, "terminate", terminated, server, &source, ret_error) < 0)
		return -1;
	loop_run(loop);
	return 0;
}
