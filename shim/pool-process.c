/* SPDX-License-Identifier: Apache-2.0 */
/* The process of the pool: see pool-process.h. */
#include "shim/pool-process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "host/accel.h"
#include "host/own-namespaces.h"
#include "host/pool.h"
#include "host/settings.h"
#include "sandbox/machine-pool.h"
#include "shim/serve.h"

/* A start takes less, but for the first of a kind, which may boot, and a busy host. */
#define SETTLE_MS 1000
#define START_TIMEOUT_MS 120000

static void terminated(void *data, const struct signalfd_siginfo *info)
{
	log_info("signal %u: what waits is ended", info->ssi_signo);
	loop_quit(data);
}

/* VMMs are orphans, and this process adopts them: those that were taken, too. */
static void child_ended(void *data, const struct signalfd_siginfo *info)
{
	(void)data, (void)info;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int watch_signals(struct loop *loop, struct error **ret_error)
{
	static const int ending[] = { SIGTERM, SIGINT, SIGHUP };
	struct source *source;

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (loop_add_signal(loop, ending[i], "terminate", terminated, loop, &source,
				    ret_error) < 0)
			return -1;
	return loop_add_signal(loop, SIGCHLD, "children", child_ended, NULL, &source, ret_error);
}

static int check_engine(const struct settings *settings, struct error **ret_error)
{
	const struct accel_request request = { .settings = settings };
	enum vm_accel accel;

	if (accel_find(&request, &accel, ret_error) < 0)
		return -1;
	if (accel != VM_ACCEL_KVM)
		return error_set(ret_error, EOPNOTSUPP,
				 "a pool needs KVM: guests run emulated here, and such a machine "
				 "cannot wait");
	return 0;
}

int pool_process(struct error **ret_error)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(machine_pool_freep) struct machine_pool *pool = NULL;
	_cleanup_free_ char *directory = pool_directory();
	struct machine_pool_options options = { .directory = directory,
						.settle_ms = SETTLE_MS,
						.start_timeout_ms = START_TIMEOUT_MS };

	log_set_name("pool");
	log_set_level(LOG_LEVEL_INFO);
	if (settings_load(&settings, ret_error) < 0)
		return -1;
	if (settings->pool == 0)
		return error_set(ret_error, ENOENT,
				 "no pool is wanted: set \"pool\" in the configuration file");
	if (own_namespaces_are_needed())
		return error_set(ret_error, EPERM, "a pool needs root");
	options.wanted = settings->pool;
	serve_raise_descriptors();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (check_engine(settings, ret_error) < 0 || loop_new(&loop, ret_error) < 0 ||
	    watch_signals(loop, ret_error) < 0 ||
	    machine_pool_new(loop, &options, &pool, ret_error) < 0)
		return -1;
	log_info("%zu machines are to wait", options.wanted);
	loop_run(loop);
	return 0;
}
