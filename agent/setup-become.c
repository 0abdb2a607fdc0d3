/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps to the user's program: see setup.h.
 *
 * Capabilities: the bounding set while CAP_SETPCAP is there, the user with the
 * permitted set kept, then the other sets.  The seccomp filter is the last step, so
 * that nothing but execve() has to be allowed by it.  Without no_new_privs it takes
 * CAP_SYS_ADMIN, which is kept that long: runc installs it first then, and what its
 * own steps need has to be in every profile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/channel.h"
#include "agent/hooks.h"
#include "agent/init.h"
#include "agent/privileges.h"
#include "agent/program.h"
#include "agent/scheduling.h"
#include "agent/setup.h"
#include "base/alloc.h"
#include "base/go-error.h"
#include "base/io.h"
#include "base/json.h"
#include "runtime-spec/exec-tool.h"
#include "runtime-spec/named-user.h"

#define USERS_SIZE_MAX (1u << 20) /* of passwd, and of group */

static int enter_cwd(const char *cwd, struct error **ret_error)
{
	char path[4096];

	if (chdir(cwd) < 0)
		return error_set_go(ret_error, errno,
				    "chdir to cwd (\"%s\") set in config.json failed", cwd);
	/* The raw call tells of a directory outside of the root. */
	if (syscall(SYS_getcwd, path, sizeof(path)) > 0 && path[0] != '/')
		return error_set(ret_error, EPERM,
				 "current working directory is outside of container mount "
				 "namespace root");
	return 0;
}

/* So that /dev/stdout can be opened anew by the container's user. */
static void give_streams(uint32_t uid)
{
	struct stat st;

	for (int i = 0; i < 3; i++)
		if (fstat(i, &st) == 0 && st.st_uid != uid && st.st_rdev != makedev(1, 3))
			(void)fchown(i, uid, (gid_t)-1);
}

/* The soft limit that programs expect: the agent's own is its hard one. */
static void lower_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 1024) {
		limit.rlim_cur = 1024;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int change_user(const struct setup *setup, struct error **ret_error)
{
	const struct spec_process *process = setup->process;
	const struct spec_process *limited = setup_limited(setup);
	const uint64_t kept =
	    setup->filter && !process->no_new_privileges ? UINT64_C(1) << CAP_SYS_ADMIN : 0;
	struct error *first = NULL;
	int result;

	lower_file_limit();
	if (rlimits_set(limited->rlimits, limited->n_rlimits, ret_error) < 0 ||
	    capabilities_bound(&process->capabilities, ret_error) < 0)
		return -1;
	/* A directory that only root or only the user may enter: either will do. */
	result = enter_cwd(process->cwd, &first);
	if (result < 0 && first->code != EACCES && first->code != EPERM) {
		*ret_error = first;
		return -1;
	}
	error_free(first);
	give_streams(process->user.uid);
	if (user_become(&process->user, ret_error) < 0 ||
	    (result < 0 && enter_cwd(process->cwd, ret_error) < 0))
		return -1;
	return capabilities_set(&process->capabilities, kept, ret_error);
}

/* config.md "State", as a hook reads it. */
static char *state_json(const struct setup *setup)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "ociVersion", SPEC_VERSION);
	json_put_string(writer, "id", setup->id);
	json_put_string(writer, "status", "created");
	json_put_int64(writer, "pid", getpid());
	json_put_string(writer, "bundle", setup->bundle);
	json_put_key(writer, "annotations");
	json_begin_object(writer);
	for (size_t i = 0; i < setup->n_annotations; i++)
		json_put_string(writer, setup->annotations[i].key, setup->annotations[i].value);
	json_end_object(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

static void end_by(int signal)
{
	_exit(128 + signal);
}

/* The kernel keeps a pid namespace's first process from signals that it has no handler for.
 * As under runc, whose init has one, these end a created container; execve(2) takes it away. */
static void die_of_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM };
	const struct sigaction action = { .sa_handler = end_by };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
}

static int wait_for_start(const struct setup *setup, struct error **ret_error)
{
	const struct spec_hook_list *hooks = &setup->spec->hooks.start_container;
	_cleanup_free_ char *state = NULL;

	die_of_signals();
	if (channel_send(SETUP_CHANNEL_FD, CHANNEL_READY, 0, NULL, -1, ret_error) < 0 ||
	    channel_expect(SETUP_CHANNEL_FD, CHANNEL_GO, ret_error) < 0)
		return -1;
	if (hooks->n_hooks == 0)
		return 0;
	state = state_json(setup);
	return agent_hooks_run(hooks, state, setup->filter, ret_error);
}

/* As runc does, which names the process by its pid. */
static void tell_listen_fds(const struct setup *setup, char ***env)
{
	char text[64];

	if (setup->listen_fds == 0)
		return;
	(void)snprintf(text, sizeof(text), "LISTEN_FDS=%u", setup->listen_fds);
	strv_append(env, text);
	(void)snprintf(text, sizeof(text), "LISTEN_PID=%d", (int)getpid());
	strv_append(env, text);
}

/* Not before: hooks have none of them. */
static void keep_extra(const struct setup *setup)
{
	const int end = SETUP_FIRST_EXTRA_FD + (int)setup->n_extra;

	(void)close_range((unsigned)end, ~0u, CLOSE_RANGE_CLOEXEC);
	for (int fd = SETUP_FIRST_EXTRA_FD; fd < end; fd++)
		(void)fcntl(fd, F_SETFD, 0);
}

static void __attribute__((noreturn)) become_tool(const struct spec_process *process)
{
	const struct exec_tool tool = { .name = process->tool,
					.args = (const char *const *)process->args,
					.in = STDIN_FILENO,
					.out = STDOUT_FILENO,
					.errors = STDERR_FILENO,
					.upper = SETUP_UPPER_FD,
					.merged = SETUP_MERGED_FD };

	(void)close(SETUP_CHANNEL_FD); /* it runs */
	_exit(exec_tool_run(&tool));
}

static int become(const struct setup *setup, struct error **ret_error)
{
	const struct spec_process *process = setup->process;
	_cleanup_free_ char *path = NULL;
	_cleanup_strv_ char **env = NULL;

	if (scheduling_set(process, ret_error) < 0 ||
	    (setup->exec && (process->initial_cpus || process->final_cpus) &&
	     scheduling_keep_to(process->final_cpus, ret_error) < 0))
		return -1;
	if (process->no_new_privileges && no_new_privileges_set(ret_error) < 0)
		return -1;
	if (change_user(setup, ret_error) < 0)
		return -1;
	(void)umask(process->user.has_umask ? process->user.umask : 0022);
	if (setup->exec && process->tool)
		become_tool(process);
	env = program_environment(process->env, process->user.uid);
	tell_listen_fds(setup, &env);
	/* Before the wait: a missing program is an error of create. */
	if (program_find(process->args[0], env, &path, ret_error) < 0)
		return -1;
	if (!setup->exec && wait_for_start(setup, ret_error) < 0)
		return -1;
	keep_extra(setup);
	if (setup->filter && seccomp_install(setup->filter, ret_error) < 0)
		return -1;
	if (!setup->exec && process->has_init && init_fork(ret_error) < 0)
		return -1;
	(void)execve(path, process->args, env);
	return error_set_go(ret_error, errno, "exec %s", path);
}

/* NULL: there is none. The file is the container's own, whatever it is. */
static int read_users(const char *path, char **ret_text, struct error **ret_error)
{
	_cleanup_close_ int fd = open_regular_file(AT_FDCWD, path, 0);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EINVAL))
		return 0;
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", path);
	return read_file_fd(fd, path, USERS_SIZE_MAX, ret_text, NULL, ret_error);
}

/* Whom the container knows by these words.  The fields are the caller's to free. */
static int find_user(const char *words, struct spec_user *user, struct error **ret_error)
{
	_cleanup_free_ char *passwd = NULL, *group = NULL;
	struct named_user named;

	if (read_users("/etc/passwd", &passwd, ret_error) < 0 ||
	    read_users("/etc/group", &group, ret_error) < 0 ||
	    named_user_find(words, passwd, group, &named, ret_error) < 0)
		return -1;
	user->uid = named.uid;
	user->gid = named.gid;
	user->additional_gids = TAKE_PTR(named.groups);
	user->n_additional_gids = named.n_groups;
	named_user_done(&named);
	return 0;
}

int setup_become(const struct setup *setup, struct error **ret_error)
{
	struct spec_process process = *setup->process;
	struct setup named = *setup;
	_cleanup_free_ uint32_t *groups = NULL;

	if (!setup->exec || !process.user_words)
		return become(setup, ret_error);
	if (find_user(process.user_words, &process.user, ret_error) < 0)
		return -1;
	groups = process.user.additional_gids;
	named.process = &process;
	return become(&named, ret_error);
}
