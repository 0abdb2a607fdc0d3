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

/* Names are valid for a second (rootfs/share/fuse.h "auto"); the host takes the directory out
 * when it has heard that the container is removed. */
#define FORGET_MS 1500
#define FORGET_ATTEMPTS 10

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
	agent->share_tag = xstrdup(tag);
	return 0;
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
