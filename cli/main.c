/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI command line: global options, the table of verbs, and how errors are told. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/verb.h"
#include "runtime-spec/spec.h"

static const struct verb *const verbs[] = {
	&verb_check,	&verb_checkpoint, &verb_create, &verb_delete, &verb_events,  &verb_exec,
	&verb_fork,	&verb_kill,	  &verb_list,	&verb_pause,  &verb_ps,	     &verb_restore,
	&verb_resume,	&verb_run,	  &verb_spec,	&verb_start,  &verb_state,   &verb_update,
	&verb_features, &verb_history,	  &verb_images, &verb_import, &verb_inspect, &verb_load,
	&verb_login,	&verb_logout,	  &verb_prune,	&verb_pull,   &verb_rm,	     &verb_rmi,
	&verb_logs,	&verb_stop,	  &verb_save,	&verb_wait,   &verb_system,  &verb_volume,
	&verb_pool,	&verb_restart,	  &verb_port,	&verb_top,    &verb_attach,  &verb_commit,
	&verb_cp,	&verb_diff,	  &verb_export, &verb_stats,
};

static const struct option_def global_options[] = {
	{ "debug", 0, OPTION_FLAG, offsetof(struct globals, client.debug), "enable debug logging" },
	{ "log", 0, OPTION_STRING, offsetof(struct globals, client.log),
	  "log to this file (default: /dev/stderr)" },
	{ "log-format", 0, OPTION_STRING, offsetof(struct globals, client.log_format),
	  "'text' (default) or 'json'" },
	{ "root", 0, OPTION_STRING, offsetof(struct globals, root_option),
	  "directory for the state of containers; should be on a tmpfs (default: "
	  "/run/supermachine, or $XDG_RUNTIME_DIR/supermachine for users)" },
	{ "image-store", 0, OPTION_STRING, offsetof(struct globals, image_store),
	  "directory for images (default: /var/lib/supermachine, or "
	  "$XDG_DATA_HOME/supermachine for users)" },
	{ "cgroup-manager", 0, OPTION_STRING, offsetof(struct globals, client.cgroup_manager),
	  "who makes the sandbox's cgroup: 'cgroupfs' (default), 'systemd' or 'disabled'" },
	{ "systemd-cgroup", 0, OPTION_FLAG, offsetof(struct globals, systemd_cgroup),
	  "as --cgroup-manager systemd" },
	{ "rootless", 0, OPTION_IGNORED_VALUE, 0, "ignore cgroup permission errors" },
	{ "criu", 0, OPTION_IGNORED_VALUE, 0, "path to the criu binary" },
	{ "version", 'v', OPTION_FLAG, offsetof(struct globals, version), "print the version" },
	OPTION_END
};

/* Who gave a log reads that; people and podman read stderr too. */
static void tell_failure(const struct error *error, const struct globals *globals)
{
	log_error("%s", error->message);
	if (globals->client.log)
		(void)fprintf(stderr, "%s\n", error->message);
}

static void print_version(void)
{
	/* go-runc takes three such lines; it looks for "runc version " to read more
	 * of the first one, and does without where it is another runtime's. Docker
	 * splits the first line at "version". */
	printf("%s version %s\ncommit: v%s\nspec: %s\n", PACKAGE_NAME, PACKAGE_VERSION,
	       PACKAGE_VERSION, SPEC_VERSION);
}

static void print_global_help(void)
{
	printf("NAME:\n   %s - OCI runtime that runs each container in a microVM of its own\n\n"
	       "USAGE:\n   %s [global options] command [command options] [arguments...]\n\n"
	       "VERSION:\n   %s\n\nCOMMANDS:\n",
	       PACKAGE_NAME, PACKAGE_NAME, PACKAGE_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("   %-10s  %s\n", verbs[i]->name, verbs[i]->summary);
	printf("   %-10s  %s\n\nGLOBAL OPTIONS:\n", "help, h",
	       "show this, or the help of a command");
	options_print(global_options, stdout);
}

static void print_verb_help(const struct verb *verb)
{
	printf("NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s %s%s\n", PACKAGE_NAME, verb->name,
	       verb->summary, PACKAGE_NAME, verb->name,
	       verb->options[0].name ? "[command options] " : "", verb->arguments);
	if (verb->description)
		printf("\nDESCRIPTION:\n   %s\n", verb->description);
	printf("\nOPTIONS:\n");
	options_print(verb->options, stdout);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}

/* As runc: a status of its own, by which callers tell it from a failure. */
#define STATUS_UNKNOWN_VERB 3

static int unknown_verb(const char *name, const struct globals *globals)
{
	_cleanup_error_ struct error *error = NULL;

	(void)error_set(&error, EINVAL, "No help topic for '%s'", name);
	tell_failure(error, globals);
	return STATUS_UNKNOWN_VERB;
}

static int check_arguments(const struct verb *verb, size_t n, struct error **ret_error)
{
	const char *bound = NULL;
	size_t wanted = 0;

	if (verb->min_args == verb->max_args && n != verb->min_args) {
		bound = "exactly";
		wanted = verb->min_args;
	} else if (n < verb->min_args) {
		bound = "a minimum of";
		wanted = verb->min_args;
	} else if (n > verb->max_args) {
		bound = "a maximum of";
		wanted = verb->max_args;
	}
	if (!bound)
		return 0;
	printf("Incorrect Usage.\n\n");
	print_verb_help(verb);
	return error_set(ret_error, EINVAL, "%s: \"%s\" requires %s %zu argument(s)", PACKAGE_NAME,
			 verb->name, bound, wanted);
}

static int parse_options(const struct verb *verb, char *const *argv, void *options,
			 struct options_result *result, struct error **ret_error)
{
	_cleanup_free_ const char **first = NULL;

	if (options_parse(verb->options, verb->stop_at_argument, argv, options, result, ret_error) <
	    0)
		return -1;
	if (result->help || !verb->options_behind || !verb->options_behind(options, result->args))
		return 0;
	first = result->args;
	*result = (struct options_result){ 0 };
	return options_parse(verb->options, false, (char *const *)first, options, result,
			     ret_error);
}

/* What is refused by its name is not a mistake of writing. */
static int wrong_options(const struct verb *verb, struct error **ret_error)
{
	if ((*ret_error)->code == ENOTSUP)
		return error_wrap(ret_error, "%s", verb->name);
	printf("Incorrect Usage: %s\n\n", (*ret_error)->message);
	print_verb_help(verb);
	return -1;
}

static int run_command(const struct verb *verb, const struct command *command,
		       struct error **ret_error)
{
	const int status = verb->run(command, ret_error);
	int failure = verb->failure;

	if (status >= 0)
		return status;
	if (verb->failure_status)
		failure = verb->failure_status(command, *ret_error);
	if (failure <= 0)
		return -1;
	tell_failure(*ret_error, command->globals);
	error_free(TAKE_PTR(*ret_error));
	return failure;
}

static int run_verb(const struct verb *verb, const struct globals *globals, char *const *argv,
		    struct error **ret_error)
{
	_cleanup_free_ void *options = xcalloc(1, verb->options_size);
	struct options_result result = { 0 };
	struct command command = { .globals = globals, .options = options };
	int status;

	if (parse_options(verb, argv, options, &result, ret_error) < 0) {
		options_done(verb->options, options);
		return wrong_options(verb, ret_error);
	}
	if (result.help) {
		print_verb_help(verb);
		status = 0;
	} else {
		command.args = result.args;
		command.n_args = result.n_args;
		status = check_arguments(verb, result.n_args, ret_error);
		if (status == 0)
			status = run_command(verb, &command, ret_error);
	}
	options_done(verb->options, options);
	free(result.args);
	return status;
}

static int run_help(const char *topic, const struct globals *globals)
{
	const struct verb *verb = topic ? find_verb(topic) : NULL;

	if (topic && !verb)
		return unknown_verb(topic, globals);
	if (verb)
		print_verb_help(verb);
	else
		print_global_help();
	return 0;
}

static int set_up_log(const struct globals *globals, struct error **ret_error)
{
	const char *format = globals->client.log_format ? globals->client.log_format : "text";

	if (strcmp(format, "json") == 0)
		log_set_format(LOG_FORMAT_JSON);
	else if (strcmp(format, "text") != 0)
		return error_set(ret_error, EINVAL, "invalid log-format: %s", format);
	if (globals->client.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	return globals->client.log ? log_open(globals->client.log, ret_error) : 0;
}

static int find_root(struct globals *globals, struct error **ret_error)
{
	const char *root = globals->root_option;
	_cleanup_free_ char *cwd = NULL;

	if (!root || root[0] == '/') {
		globals->client.root = root ? xstrdup(root) : paths_runtime();
		return 0;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return error_set_errno(ret_error, errno, "cannot find the current directory");
	globals->client.root = xasprintf("%s/%s", cwd, root);
	return 0;
}

static int check_cgroup_manager(const char *manager, struct error **ret_error)
{
	if (!manager || strcmp(manager, "cgroupfs") == 0 || strcmp(manager, "systemd") == 0 ||
	    strcmp(manager, "disabled") == 0)
		return 0;
	return error_set(ret_error, EINVAL, "unknown cgroup manager specified: %s", manager);
}

static int run(char *const *argv, struct globals *globals, struct error **ret_error)
{
	struct options_result result = { 0 };
	_cleanup_free_ const char **args = NULL;
	const struct verb *verb;

	if (options_parse(global_options, true, argv, globals, &result, ret_error) < 0) {
		printf("Incorrect Usage. %s\n\n", (*ret_error)->message);
		print_global_help();
		return -1;
	}
	args = result.args;
	if (globals->version) {
		print_version();
		return 0;
	}
	if (result.help || result.n_args == 0)
		return run_help(NULL, globals);
	if (set_up_log(globals, ret_error) < 0 || find_root(globals, ret_error) < 0 ||
	    check_cgroup_manager(globals->client.cgroup_manager, ret_error) < 0)
		return -1;
	if (globals->systemd_cgroup)
		globals->client.cgroup_manager = "systemd";
	if (strcmp(args[0], "help") == 0 || strcmp(args[0], "h") == 0)
		return run_help(args[1], globals);
	verb = find_verb(args[0]);
	if (!verb)
		return unknown_verb(args[0], globals);
	return run_verb(verb, globals, (char *const *)args + 1, ret_error);
}

/* A caller may have closed them: what we open must not take their places. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int main(int argc, char **argv)
{
	struct globals globals = { 0 };
	_cleanup_error_ struct error *error = NULL;
	int status;

	open_standard_fds();
	(void)signal(SIGXFSZ, SIG_IGN); /* an image that is too large is removed again */
	status = run(argv + (argc > 0), &globals, &error);
	if (status < 0) {
		(void)fflush(stdout); /* the help of a wrong use comes before the error */
		tell_failure(error, &globals);
		status = 1;
	}
	free(globals.client.root);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_error("cannot write to the standard output");
		return 1;
	}
	return status;
}
