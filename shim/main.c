/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd-shim-supermachine-v1: the task server, with two front doors, and the pool.
 *
 * The command line: `supermachine create` starts it as "serve --root ROOT --id ID",
 * with the listening ROOT/ID/task.sock as descriptor 3.  containerd: see
 * containerd.h.  Behind both there is one server (serve.h), which ends by Shutdown
 * or SIGTERM, and takes its machine along.
 *
 * "pool": `supermachine pool` has become this program (pool-process.h).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "host/own-namespaces.h"
#include "runtime-spec/state.h"
#include "shim/containerd.h"
#include "shim/flags.h"
#include "shim/pool-process.h"
#include "shim/serve.h"

#define LOG_SIZE_MAX (1U << 20)

struct arguments {
	const char *root, *id, *log, *log_format, *oom_namespace;
	bool debug;
};

static int parse_arguments(char **argv, struct arguments *arguments, struct error **ret_error)
{
	const struct flag flags[] = {
		{ "root", &arguments->root, NULL },
		{ "id", &arguments->id, NULL },
		{ "log", &arguments->log, NULL },
		{ "log-format", &arguments->log_format, NULL },
		{ "oom-namespace", &arguments->oom_namespace, NULL },
		{ "debug", NULL, &arguments->debug },
	};
	int n = flags_parse(argv, flags, ARRAY_SIZE(flags), ret_error);

	if (n < 0)
		return -1;
	if (argv[n] || !arguments->root || !arguments->id)
		return error_set(ret_error, EINVAL,
				 "\"serve\" needs --root and --id, and takes no arguments");
	return state_check_id(arguments->id, ret_error);
}

static int set_up_log(const struct arguments *arguments, struct error **ret_error)
{
	log_set_name("shim");
	if (arguments->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	if (arguments->log_format && strcmp(arguments->log_format, "json") == 0)
		log_set_format(LOG_FORMAT_JSON);
	else if (arguments->log_format && strcmp(arguments->log_format, "text") != 0)
		return error_set(ret_error, EINVAL, "unknown log format \"%s\"",
				 arguments->log_format);
	if (arguments->log) {
		log_limit(LOG_SIZE_MAX);
		return log_open(arguments->log, ret_error);
	}
	/* server.log, where a guest can cause a line a second for years.  (Who runs it by hand
	 * may have a terminal there.) */
	(void)log_keep_end(LOG_SIZE_MAX, NULL);
	return 0;
}

/* Without, some containers run (of images, without binds). */
static void enter_namespaces(void)
{
	_cleanup_error_ struct error *error = NULL;

	if (own_namespaces_are_needed() && own_namespaces_enter(&error) < 0)
		log_warning("%s: no files of this host can be shared with a guest", error->message);
}

static int cli_serve(char **argv, struct error **ret_error)
{
	struct arguments arguments = { 0 };
	struct sandbox_options options = { 0 };
	_cleanup_free_ char *directory = NULL;
	_cleanup_free_ char *socket = NULL;

	if (parse_arguments(argv, &arguments, ret_error) < 0 ||
	    set_up_log(&arguments, ret_error) < 0)
		return -1;
	enter_namespaces();
	directory = state_path(arguments.root, arguments.id, NULL);
	socket = state_path(arguments.root, arguments.id, "task.sock");
	options.id = arguments.id;
	options.directory = directory;
	options.debug = arguments.debug;
	if (serve(&options, arguments.oom_namespace, ret_error) < 0)
		return -1;
	(void)unlink(socket);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;

	const bool is_pool = argc == 2 && strcmp(argv[1], "pool") == 0;

	if (argc < 2 || (!is_pool && strcmp(argv[1], "serve") != 0))
		return argc < 1 ? 1 : containerd_main(argv + 1);
	if ((is_pool ? pool_process(&error) : cli_serve(argv + 2, &error)) < 0) {
		log_error("%s", error->message);
		return 1;
	}
	return 0;
}
