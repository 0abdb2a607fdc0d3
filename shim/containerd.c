/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's front door: see containerd.h. */
#include "shim/containerd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime-spec/state.h"
#include "shim/flags.h"
#include "shim/serve.h"

#define PROGRAM "containerd-shim-supermachine-v1"
/* Go's flag package ends a program that was called wrongly with this. */
#define STATUS_USAGE 2

static const char usage[] =
    "usage: " PROGRAM " -namespace NS -id ID -address ADDRESS [-bundle DIR] [-debug] start|delete\n"
    "       " PROGRAM " -info | -v\n"
    "       " PROGRAM " serve --root ROOT --id ID [--debug] [--log FILE] "
    "[--log-format text|json]\n";

static int check(const struct containerd *containerd, struct error **ret_error)
{
	if (!containerd->namespace || !containerd->namespace[0])
		return error_set(ret_error, EINVAL, "shim namespace cannot be empty");
	if (!containerd->id || !containerd->id[0])
		return error_set(ret_error, EINVAL, "-id is needed");
	if (!containerd->address)
		return error_set(ret_error, EINVAL, "-address, containerd's own socket, is needed");
	if (state_check_id(containerd->namespace, ret_error) < 0)
		return error_wrap(ret_error, "-namespace %s", containerd->namespace);
	if (state_check_id(containerd->id, ret_error) < 0)
		return error_wrap(ret_error, "-id %s", containerd->id);
	return 0;
}

/* The task server: the working directory is the bundle, its log a FIFO there. */
static int containerd_serve(const struct containerd *containerd, struct error **ret_error)
{
	_cleanup_free_ char *directory = NULL;
	struct sandbox_options options = { .id = containerd->id,
					   .namespace = containerd->namespace,
					   .debug = containerd->debug };
	_cleanup_close_ int lock = -1;

	if (!containerd->socket)
		return error_set(ret_error, EINVAL, "no command: start or delete\n%s", usage);
	if (log_open("log", ret_error) < 0)
		return -1;
	/* The bundle is containerd's to remove, and another container's may outlive it. */
	if (chdir("/") < 0)
		return error_set_errno(ret_error, errno, "cannot enter /");
	directory = home_directory(containerd->socket);
	options.directory = directory;
	if (serve(&options, NULL, ret_error) < 0 || home_lock(directory, &lock, ret_error) < 0)
		return -1;
	return home_remove(containerd->socket, ret_error);
}

static int run(const struct containerd *containerd, const char *action, struct error **ret_error)
{
	if (check(containerd, ret_error) < 0)
		return -1;
	if (!action)
		return containerd_serve(containerd, ret_error);
	if (strcmp(action, "start") == 0)
		return containerd_start(containerd, ret_error);
	if (strcmp(action, "delete") == 0)
		return containerd_delete(containerd, ret_error);
	return error_set(ret_error, EINVAL, "unknown command \"%s\"\n%s", action, usage);
}

int containerd_main(char **argv)
{
	struct containerd containerd = { 0 };
	bool version = false, info = false;
	const char *ignored;
	const struct flag flags[] = {
		{ "namespace", &containerd.namespace, NULL },
		{ "id", &containerd.id, NULL },
		{ "address", &containerd.address, NULL },
		{ "bundle", &containerd.bundle, NULL },
		{ "socket", &containerd.socket, NULL },
		/* Events go to $TTRPC_ADDRESS, not through a program. */
		{ "publish-binary", &ignored, NULL },
		{ "debug", NULL, &containerd.debug },
		{ "info", NULL, &info },
		{ "v", NULL, &version },
		{ "version", NULL, &version },
	};
	_cleanup_error_ struct error *error = NULL;
	int n = flags_parse(argv, flags, ARRAY_SIZE(flags), &error);
	int result;

	if (n < 0) {
		(void)fprintf(stderr, "%s\n%s", error->message, usage);
		return STATUS_USAGE;
	}
	log_set_name("shim");
	log_set_level(containerd.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	if (version) {
		(void)printf(PROGRAM ":\n  Version:  %s\n", PACKAGE_VERSION);
		return 0;
	}
	result = info ? containerd_info(&error) : run(&containerd, argv[n], &error);
	if (result == 0 && fflush(stdout) == 0)
		return 0;
	/* containerd shows it as it is; the task server has its log for it. */
	if (!error)
		(void)error_set_errno(&error, errno, "cannot write to stdout");
	if (containerd.socket)
		log_error("%s", error->message);
	else
		(void)fprintf(stderr, PROGRAM ": %s\n", error->message);
	return 1;
}
