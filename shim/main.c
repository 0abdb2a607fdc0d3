/*
 * containerd-shim-supermachine-v1: the task server.
 *
 * In CLI mode `supermachine create` starts it as "serve", with the listening
 * task.sock as descriptor 3 and in a session of its own.  It ends by Shutdown or
 * SIGTERM, and takes its machine along.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "runtime-spec/state.h"
#include "shim/server.h"

#define LISTEN_FD 3
/* An emulated host on a loaded machine is slow; a guest that hangs is rare. */
#define BOOT_TIMEOUT_MS 120000
#define DRAIN_TIMEOUT_MS 10000

struct arguments {
	const char *root, *id, *log, *log_format;
	bool debug;
};

static const char usage[] =
    "usage: containerd-shim-supermachine-v1 serve --root ROOT --id ID [--debug] [--log FILE]\n"
    "                                             [--log-format text|json]\n"
    "       containerd-shim-supermachine-v1 --version\n";

/* One "--name VALUE" or "--name=VALUE"; false when argv[*index] is not it. */
static bool take_value(char **argv, int *index, const char *name, const char **ret_value)
{
	const char *argument = argv[*index];
	size_t length = strlen(name);

	if (strncmp(argument, name, length) != 0)
		return false;
	if (argument[length] == '=') {
		*ret_value = argument + length + 1;
		return true;
	}
	if (argument[length] != '\0' || !argv[*index + 1])
		return false;
	*ret_value = argv[++*index];
	return true;
}

static int parse_arguments(char **argv, struct arguments *arguments, struct error **ret_error)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {
		{ "--root", &arguments->root },
		{ "--id", &arguments->id },
		{ "--log", &arguments->log },
		{ "--log-format", &arguments->log_format },
	};

	for (int i = 0; argv[i]; i++) {
		bool known = strcmp(argv[i], "--debug") == 0;

		if (known)
			arguments->debug = true;
		for (size_t k = 0; !known && k < ARRAY_SIZE(options); k++)
			known = take_value(argv, &i, options[k].name, options[k].value);
		if (!known)
			return error_set(ret_error, EINVAL, "unknown or incomplete option %s\n%s",
					 argv[i], usage);
	}
	if (!arguments->root || !arguments->id)
		return error_set(ret_error, EINVAL, "--root and --id are needed\n%s", usage);
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
	return arguments->log ? log_open(arguments->log, ret_error) : 0;
}

static void terminated(void *data, const struct signalfd_siginfo *info)
{
	log_debug("signal %u: ending", info->ssi_signo);
	server_terminate(data);
}

static int serve(char **argv, struct error **ret_error)
{
	struct arguments arguments = { 0 };
	struct sandbox_options options = { .boot_timeout_ms = BOOT_TIMEOUT_MS,
					   .drain_timeout_ms = DRAIN_TIMEOUT_MS };
	_cleanup_free_ char *directory = NULL;
	_cleanup_free_ char *socket = NULL;
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(server_freep) struct server *server = NULL;
	struct source *source;

	if (parse_arguments(argv, &arguments, ret_error) < 0 ||
	    set_up_log(&arguments, ret_error) < 0)
		return -1;
	(void)signal(SIGPIPE, SIG_IGN);
	directory = state_path(arguments.root, arguments.id, NULL);
	socket = state_path(arguments.root, arguments.id, "task.sock");
	options.id = arguments.id;
	options.directory = directory;
	options.debug = arguments.debug;
	if (set_cloexec(LISTEN_FD, true) < 0)
		return error_set_errno(ret_error, errno,
				       "descriptor %d must be the socket to "
				       "listen on",
				       LISTEN_FD);
	if (loop_new(&loop, ret_error) < 0 ||
	    server_new(loop, LISTEN_FD, &options, &server, ret_error) < 0 ||
	    loop_add_signal(loop, SIGTERM, "terminate", terminated, server, &source, ret_error) <
		0 ||
	    loop_add_signal(loop, SIGINT, "terminate", terminated, server, &source, ret_error) < 0)
		return -1;
	loop_run(loop);
	(void)unlink(socket);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("containerd-shim-supermachine-v1 version %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "serve") != 0) {
		(void)fputs(usage, stderr);
		return 1;
	}
	if (serve(argv + 2, &error) < 0) {
		log_error("%s", error->message);
		return 1;
	}
	return 0;
}
