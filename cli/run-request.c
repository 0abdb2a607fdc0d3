/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration and the options together: see run-request.h. */
#include "cli/run-request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "cli/run-disk.h"
#include "cli/run-env.h"
#include "cli/run-ports.h"
#include "rootfs/image/image-config.h"
#include "rootfs/image/layer-read.h"

#define USERS_SIZE_MAX (1u << 20) /* of the image's passwd, and of its group */
#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void run_request_free(struct run_request *request)
{
	if (!request)
		return;
	for (size_t i = 0; i < request->n_mounts; i++) {
		free(request->mounts[i].destination);
		free(request->mounts[i].type);
		free(request->mounts[i].source);
		strv_free(request->mounts[i].options);
	}
	free(request->mounts);
	for (size_t i = 0; i < request->n_volumes; i++)
		free(request->volumes[i].name);
	free(request->volumes);
	for (size_t i = 0; i < request->n_ulimits; i++)
		free(request->ulimits[i].type);
	free(request->ulimits);
	for (size_t i = 0; i < request->n_devices; i++) {
		free(request->devices[i].path);
		free(request->devices[i].access);
	}
	free(request->devices);
	strv_free(request->args);
	strv_free(request->env);
	strv_free(request->sysctls);
	strv_free(request->labels);
	strv_free(request->annotations);
	named_user_done(&request->user);
	health_check_done(&request->health);
	free(request->cwd);
	free(request->hostname);
	free(request->image);
	free(request->stop_signal);
	free(request->stop_timeout);
	free(request->domainname);
	free(request->seccomp);
	free(request);
}

static void append_all(char ***words, const char *const *more)
{
	for (; more && *more; more++)
		strv_append(words, *more);
}

/* image-spec config.md: Cmd is what Entrypoint gets if nobody says something else. An entry point
 * of the command line is not the one that the image's Cmd was meant for. */
static int find_args(const struct run_options *options, const struct image_config *config,
		     const char *const *command, char ***ret_args, struct error **ret_error)
{
	const bool own = options->entrypoint && options->entrypoint[0];

	if (own)
		strv_append(ret_args, options->entrypoint);
	else if (!options->entrypoint)
		append_all(ret_args, (const char *const *)config->entrypoint);
	if (command[0])
		append_all(ret_args, command);
	else if (!options->entrypoint)
		append_all(ret_args, (const char *const *)config->cmd);
	if (!*ret_args)
		return error_set(ret_error, EINVAL,
				 "no command: the image has none of its own, so give one");
	return 0;
}

static int find_env(const struct run_options *options, const struct image_config *config,
		    struct run_request *request, struct error **ret_error)
{
	_cleanup_free_ char *hostname = xasprintf("HOSTNAME=%s", request->hostname);

	env_put(&request->env, PATH_DEFAULT);
	env_put(&request->env, hostname);
	if (request->terminal)
		env_put(&request->env, "TERM=xterm");
	for (char **entry = config->env; entry && *entry; entry++)
		env_put(&request->env, *entry);
	return env_put_words(&request->env, options->env, ret_error);
}

/* NULL: the image has none that can be read, and *ret_why says why if it has one. */
static int read_users(const struct stored_image *image, const char *name, char **ret_text,
		      struct error **ret_why, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("etc/%s", name);
	_cleanup_error_ struct error *error = NULL;

	if (layers_read_file(image->layer_paths, image->n_layers, path, USERS_SIZE_MAX, ret_text,
			     &error) == 0 ||
	    error->code == ENOENT)
		return 0;
	if (error->code == ELOOP || error->code == EFBIG) {
		error_free(*ret_why);
		*ret_why = TAKE_PTR(error);
		return 0;
	}
	return error_set(ret_error, error->code, "%s", error->message);
}

/* docker-run(1) --group-add: named_user_find() knows a group as USER's. */
static int add_groups(const char *const *words, const char *passwd, const char *group,
		      struct named_user *user, struct error **ret_error)
{
	for (; words && *words; words++) {
		_cleanup_free_ char *of_root = xasprintf("0:%s", *words);
		struct named_user named;

		if ((*words)[0] == '\0' || strchr(*words, ':'))
			return error_set(ret_error, EINVAL, "--group-add %s: not a group", *words);
		if (named_user_find(of_root, passwd, group, &named, ret_error) < 0)
			return error_wrap(ret_error, "--group-add");
		if (user->n_groups == NAMED_GROUPS_MAX)
			return error_set(ret_error, E2BIG, "--group-add: too many groups");
		user->groups =
		    xreallocarray(user->groups, user->n_groups + 1, sizeof(*user->groups));
		user->groups[user->n_groups++] = named.gid;
		named_user_done(&named);
	}
	return 0;
}

static int find_user(const char *words, const char *const *groups, const struct stored_image *image,
		     struct named_user *user, struct error **ret_error)
{
	_cleanup_free_ char *passwd = NULL, *group = NULL;
	_cleanup_error_ struct error *why = NULL;

	if (read_users(image, "group", &group, &why, ret_error) < 0 ||
	    read_users(image, "passwd", &passwd, &why, ret_error) < 0)
		return -1;
	if (named_user_find(words, passwd, group, user, ret_error) == 0)
		return add_groups(groups, passwd, group, user, ret_error);
	return why ? error_wrap(ret_error, "%s", why->message) : -1;
}

static int find_cwd(const struct run_options *options, const struct image_config *config,
		    char **ret_cwd, struct error **ret_error)
{
	const char *cwd = options->workdir ? options->workdir : config->working_dir;

	if (cwd && cwd[0] && cwd[0] != '/')
		return error_set(ret_error, EINVAL, "--workdir %s: must be an absolute path", cwd);
	*ret_cwd = xstrdup(cwd && cwd[0] ? cwd : "/");
	return 0;
}

static int find_stop_signal(const struct run_options *options, const struct image_config *config,
			    char **ret_signal, struct error **ret_error)
{
	const char *word = options->stop_signal ? options->stop_signal : config->stop_signal;
	int signal;

	if (!word || !word[0])
		return 0;
	if (parse_signal(word, &signal, ret_error) < 0)
		return error_wrap(ret_error, options->stop_signal
						 ? "--stop-signal"
						 : "image configuration: config.StopSignal");
	*ret_signal = xstrdup(word);
	return 0;
}

/* All but what files of the image, or a command, are needed for. */
static int fill_by_words(const struct run_options *options, const struct image_config *config,
			 struct run_request *request, struct error **ret_error)
{
	if (find_env(options, config, request, ret_error) < 0 ||
	    find_cwd(options, config, &request->cwd, ret_error) < 0 ||
	    find_stop_signal(options, config, &request->stop_signal, ret_error) < 0 ||
	    health_check_find(options, config, &request->health, ret_error) < 0 ||
	    run_limits_read(options, request, ret_error) < 0 ||
	    run_devices_read(options, request, ret_error) < 0 ||
	    run_disk_read(options->disk, &request->disk, ret_error) < 0 ||
	    run_ports_check("--expose", options->exposed, ret_error) < 0 ||
	    run_files_check(options, ret_error) < 0)
		return -1;
	return run_mounts_read(options, request, ret_error);
}

static int fill(const struct run_options *options, const struct stored_image *image,
		const struct image_config *config, const char *const *args,
		struct run_request *request, struct error **ret_error)
{
	const char *user = options->user ? options->user : config->user;

	if (find_args(options, config, args, &request->args, ret_error) < 0 ||
	    find_user(user ? user : "", options->groups, image, &request->user, ret_error) < 0 ||
	    fill_by_words(options, config, request, ret_error) < 0)
		return -1;
	return run_mounts_of_image(config->volumes, request, ret_error);
}

int run_request_check(const struct run_options *options, struct error **ret_error)
{
	_cleanup_(run_request_freep) struct run_request *request = xcalloc(1, sizeof(*request));
	const struct image_config none = { 0 };

	request->hostname = xstrdup("");
	return fill_by_words(options, &none, request, ret_error);
}

int run_request_new(const struct run_options *options, const struct stored_image *image,
		    const char *const *args, const char *hostname, struct run_request **ret_request,
		    struct error **ret_error)
{
	_cleanup_(run_request_freep) struct run_request *request = xcalloc(1, sizeof(*request));
	_cleanup_(image_config_freep) struct image_config *config = NULL;

	if (image_config_parse(image->config_json, strlen(image->config_json), &config, ret_error) <
	    0)
		return -1;
	request->image = xstrdup(image->name);
	request->hostname = xstrdup(options->hostname ? options->hostname : hostname);
	request->init = options->init;
	request->terminal = options->tty;
	request->read_only = options->read_only;
	request->cpu_shares = options->cpu_shares;
	request->domainname = options->domainname ? xstrdup(options->domainname) : NULL;
	request->privileged = options->privileged;
	if (fill(options, image, config, args, request, ret_error) < 0)
		return -1;
	*ret_request = TAKE_PTR(request);
	return 0;
}
