/* SPDX-License-Identifier: Apache-2.0 */
/* The share: see share.h. */
#include "agent/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

/* Names are valid for a second (rootfs/share/fuse.h "auto"); the host takes the directory out
 * when it has heard that the container is removed. */
#define FORGET_MS 1500
#define FORGET_ATTEMPTS 10

/* One of these for each submount: its root, and where the agent's namespace has it. */
struct share_hold {
	int *fds;
	char **paths;
	size_t n;
};

struct forgotten {
	struct agent *agent;
	char *path;
	unsigned int attempts;
	struct source *timer;
	struct forgotten *next;
};

int share_mount(struct agent *agent, const char *tag, struct error **ret_error)
{
	const struct agent_config *config = &agent->config;

	if (agent->share_tag && strcmp(agent->share_tag, tag) == 0)
		return 0;
	if (agent->share_tag)
		return error_set(ret_error, EINVAL, "the share is \"%s\", not \"%s\"",
				 agent->share_tag, tag);
	if (mount(tag, config->share_dir, config->share_type, config->share_flags, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot mount the share \"%s\"", tag);
	/* Without it nobody can tell what is under way: see share_is_quiet(). */
	if (config->fuse_dir)
		(void)mount("fusectl", config->fuse_dir, "fusectl",
			    MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	agent->share_tag = xstrdup(tag);
	return 0;
}

/* That a path cannot be held is for whoever mounts it to find. */
static void hold_path(const struct agent *agent, struct share_hold *hold, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", agent->config.share_dir, name);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	hold->fds[hold->n] = fd;
	hold->paths[hold->n++] = TAKE_PTR(path);
}

struct share_hold *share_hold_new(const struct agent *agent, const struct files *files)
{
	struct share_hold *hold = xcalloc(1, sizeof(*hold));

	hold->fds = xcalloc(files->n_sources + 1, sizeof(*hold->fds));
	hold->paths = xcalloc(files->n_sources + 1, sizeof(*hold->paths));
	if (files->root_share)
		hold_path(agent, hold, files->root_share);
	for (size_t i = 0; i < files->n_sources; i++)
		if (files->sources[i].kind == SOURCE_SHARE)
			hold_path(agent, hold, files->sources[i].name);
	return hold;
}

/* What the kernel counts of the share's requests (Linux, Documentation/filesystems/fuse.rst,
 * "waiting"). */
bool share_is_quiet(const struct agent *agent)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *count = NULL;
	struct stat st;

	if (!agent->share_tag || !agent->config.fuse_dir || stat(agent->config.share_dir, &st) < 0)
		return true;
	path = xasprintf("%s/%llu/waiting", agent->config.fuse_dir, (unsigned long long)st.st_dev);
	return read_file(path, 32, &count, NULL, NULL) < 0 || atoi(count) == 0;
}

/* The host takes the directories out next: nothing is to be mounted there. */
void share_hold_free(struct share_hold *hold)
{
	if (!hold)
		return;
	while (hold->n > 0) {
		hold->n--;
		(void)umount2(hold->paths[hold->n], MNT_DETACH | UMOUNT_NOFOLLOW);
		(void)close(hold->fds[hold->n]);
		free(hold->paths[hold->n]);
	}
	free(hold->fds);
	free(hold->paths);
	free(hold);
}

static void forgotten_free(struct forgotten *forgotten)
{
	struct forgotten **link = &forgotten->agent->forgotten;

	while (*link && *link != forgotten)
		link = &(*link)->next;
	if (*link)
		*link = forgotten->next;
	source_remove(forgotten->timer);
	free(forgotten->path);
	free(forgotten);
}

/* A look-up that fails takes all names below along. */
static void look(void *data)
{
	struct forgotten *forgotten = data;
	struct stat st;

	forgotten->timer = NULL;
	if (stat(forgotten->path, &st) < 0 || ++forgotten->attempts == FORGET_ATTEMPTS) {
		forgotten_free(forgotten);
		return;
	}
	forgotten->timer =
	    loop_add_timer(forgotten->agent->loop, FORGET_MS, "forget share", look, forgotten);
}

void share_forget(struct agent *agent, const char *path)
{
	struct forgotten *forgotten;

	if (!agent->share_tag)
		return;
	forgotten = xcalloc(1, sizeof(*forgotten));
	forgotten->agent = agent;
	forgotten->path =
	    xasprintf("%s/%.*s", agent->config.share_dir, (int)strcspn(path, "/"), path);
	forgotten->next = agent->forgotten;
	agent->forgotten = forgotten;
	forgotten->timer = loop_add_timer(agent->loop, FORGET_MS, "forget share", look, forgotten);
}

void share_done(struct agent *agent)
{
	while (agent->forgotten)
		forgotten_free(agent->forgotten);
	free(agent->share_tag);
	agent->share_tag = NULL;
}
